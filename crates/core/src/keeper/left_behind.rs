//! What sessions have left behind and the store did not take. Nobody hears of that refusal: the message
//! was acknowledged long ago, and a device may have confirmed what came after it. So it waits here, and
//! is tried again until it is stored. When the keeper stops, it is tried once more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use whoelse_xmpp::Stanza;

use super::Keeper;
use super::lane::{GROUP, Grouped, Lane};
use crate::clock::Steady;
use crate::delivery;
use crate::node::Node;
use crate::session::Session;

/// How long the store has, until it is tried again.
const AFTER: Duration = Duration::from_secs(1);
/// The most messages that wait, and the most bytes of them. While the store takes nothing, no new ones
/// are accepted that have to be kept; with `history = "off"` others pass, and sessions can leave any
/// number of them behind.
const MOST: usize = 4096;
const MOST_BYTES: usize = 64 << 20;

/// The queue.
#[derive(Default)]
pub(super) struct LeftBehind {
    /// Oldest first.
    waiting: VecDeque<(Arc<Session>, Stanza)>,
    bytes: usize,
    /// When it is tried again.
    at: Steady,
    /// How many found no room, and that is not logged yet.
    lost: u64,
}

impl Keeper {
    /// Takes a message that a session has left behind and that was not stored.
    pub(crate) fn store_later(&self, node: &Node, session: Arc<Session>, stanza: Stanza) {
        let mut left = self.left_behind.lock();
        let bytes = stanza.bytes().len();
        if left.waiting.len() >= MOST || left.bytes + bytes > MOST_BYTES {
            left.lost += 1;
            return;
        }
        left.bytes += bytes;
        left.waiting.push_back((session, stanza));
        left.at = node.clock.steady().after(AFTER);
        self.wake_lane();
    }

    /// How many wait.
    pub(super) fn count_left_behind(&self) -> usize {
        self.left_behind.lock().waiting.len()
    }

    fn next_left_behind(&self, now: Steady, is_last: bool) -> Vec<(Arc<Session>, Stanza)> {
        let mut left = self.left_behind.lock();
        if now < left.at && !is_last {
            return Vec::new();
        }
        let count = left.waiting.len().min(GROUP);
        let next: Vec<_> = left.waiting.drain(..count).collect();
        left.bytes -= next.iter().map(|(_, stanza)| stanza.bytes().len()).sum::<usize>();
        next
    }

    /// Logs how many messages found no room here, or are left at the end.
    pub(super) fn tell_lost(&self, is_over: bool) {
        let mut left = self.left_behind.lock();
        let rest = if is_over { left.waiting.drain(..).count() } else { 0 };
        let lost = std::mem::take(&mut left.lost) + rest as u64;
        if lost > 0 {
            tracing::error!(
                messages = lost,
                "left_behind_lost: messages that devices have not confirmed could not be stored; \
                 with history on they are in the archive"
            );
        }
    }
}

impl Lane {
    /// Tries to store the next messages that were left behind, if it is time.
    pub(super) async fn store_left_behind(&mut self, node: &Arc<Node>) {
        node.keeper.tell_lost(false);
        self.store_next(node, false).await;
    }

    /// Tries to store all of them once more, for the last time.
    pub(super) async fn store_all_left_behind(&mut self, node: &Arc<Node>) {
        let mut groups = node.keeper.count_left_behind().div_ceil(GROUP);
        while groups > 0 && self.store_next(node, true).await {
            groups -= 1;
        }
        // What was not stored comes back to the end of the queue.
        self.finisher.caught_up().await;
        node.keeper.tell_lost(true);
    }

    /// Returns whether there were any.
    async fn store_next(&mut self, node: &Arc<Node>, is_last: bool) -> bool {
        let next = node.keeper.next_left_behind(node.clock.steady(), is_last);
        let appends = next.into_iter().filter_map(|(session, stanza)| {
            delivery::ended::append(node, &session, stanza).map(|(append, _)| append)
        });
        let group: Vec<Grouped> = appends.map(|it| Grouped::Post(Box::new(it))).collect();
        if group.is_empty() {
            return false;
        }
        node.keeper.waiting.fetch_add(group.len(), Ordering::AcqRel);
        self.commit_group(node, group).await;
        true
    }
}
