//! Changes that nobody waits for. If the lane is full they wait in a queue of their own, which is
//! bounded too: whoever submits cannot wait, so a change that finds no room there is not made.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use whoelse_store::{Error, Tx};

use super::change::{Change, Touches};
use super::{After, Keeper, Work};
use crate::boxed_future::BoxFuture;
use crate::node::Node;

/// The most changes that wait for room in the lane: as many again as wait in it.
pub(super) const MOST: usize = 4096;

impl Keeper {
    /// Posts a change that nobody waits for; it may share its commit, as with [`Keeper::share`].
    /// Changes keep the order in which they are submitted. If there is no room for it, it is not
    /// made, and the log says so.
    pub fn submit<F>(self: &Arc<Keeper>, touches: Touches, change: F)
    where
        F: for<'a> FnOnce(&'a mut Tx) -> BoxFuture<'a, Result<((), After), Error>>
            + Clone
            + Send
            + 'static,
    {
        let (command, _) = Change::sharing(touches, change);
        let mut work = Work::Change(Box::new(command));
        let mut submitted = self.submitted.lock();
        if submitted.is_empty() {
            match self.try_post(work) {
                Ok(()) => return,
                Err(refused) => work = refused,
            }
        }
        if submitted.len() >= MOST {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        submitted.push_back(work);
        if submitted.len() == 1 {
            tokio::spawn(self.clone().post_submitted());
        }
    }

    async fn post_submitted(self: Arc<Keeper>) {
        loop {
            let room = self.post.reserve().await;
            let mut submitted = self.submitted.lock();
            match room {
                Ok(room) => {
                    if let Some(work) = submitted.pop_front() {
                        room.send(work);
                    }
                }
                Err(_stopped) => {
                    self.waiting.fetch_sub(submitted.len(), Ordering::AcqRel);
                    submitted.clear();
                }
            }
            if submitted.is_empty() {
                return;
            }
        }
    }

    /// Logs the changes that found no room.
    pub(super) fn tell_dropped(&self, node: &Node) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            node.failing("changes_dropped", None, &format_args!("{dropped} found no room"));
        }
    }
}
