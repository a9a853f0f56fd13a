//! Changes that nobody waits for. If the lane is full they wait in a queue of their own, which is
//! bounded too: whoever submits cannot wait, so a change that finds no room there is not made. When
//! the keeper stops, it makes what is submitted by then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use whoelse_store::{Error, Tx};

use super::change::{Change, Touches};
use super::{After, Keeper, Work};
use crate::boxed_future::BoxFuture;
use crate::node::Node;

/// The most changes that wait for room in the lane: as many again as wait in it.
pub(super) const MOST: usize = 4096;

/// The queue of those that found no room in the lane.
#[derive(Default)]
pub(super) struct Submitted {
    /// Oldest first.
    waiting: VecDeque<Work>,
    /// Whether the lane takes nothing more.
    is_closed: bool,
    /// How many changes found no room, and that is not logged yet.
    pub dropped: u64,
}

impl Keeper {
    /// Posts a change that nobody waits for; it may share its commit, as with [`Keeper::share`].
    /// Changes keep the order in which they are submitted. If there is no room for it, or the keeper
    /// has stopped, it is not made, and the log says so.
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
        if submitted.is_closed {
            // Only at the end of the server, whose sessions have ended before.
            tracing::info!("change_after_stop");
            return;
        }
        if submitted.waiting.is_empty() {
            match self.try_post(work) {
                Ok(()) => return,
                Err(refused) => work = refused,
            }
        }
        if submitted.waiting.len() >= MOST {
            submitted.dropped += 1;
            return;
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        submitted.waiting.push_back(work);
        if submitted.waiting.len() == 1 {
            tokio::spawn(self.clone().post_submitted());
        }
    }

    async fn post_submitted(self: Arc<Keeper>) {
        // When the keeper stops, there is no more room: the lane takes what waits by itself.
        while let Ok(room) = self.post.reserve().await {
            let mut submitted = self.submitted.lock();
            if let Some(work) = submitted.waiting.pop_front() {
                room.send(work);
            }
            if submitted.waiting.is_empty() {
                return;
            }
        }
    }

    /// Takes what waits, for a lane to which nothing more is posted. `None` if nothing waits; from
    /// then on nothing more can be submitted.
    pub(super) fn take_submitted(&self) -> Option<VecDeque<Work>> {
        let mut submitted = self.submitted.lock();
        submitted.is_closed = submitted.waiting.is_empty();
        (!submitted.is_closed).then(|| std::mem::take(&mut submitted.waiting))
    }

    /// Logs the changes that found no room.
    pub(super) fn tell_dropped(&self, node: &Node) {
        let dropped = std::mem::take(&mut self.submitted.lock().dropped);
        if dropped > 0 {
            node.failing("changes_dropped", None, &format_args!("{dropped} found no room"));
        }
    }
}
