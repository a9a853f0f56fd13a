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
            // It is given up: nobody waits for it.
            session.stored_again();
            return;
        }
        left.bytes += bytes;
        left.waiting.push_back((session, stanza));
        left.at = node.clock.steady().after(AFTER);
        self.lane_is_due.notify_one();
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

    /// Logs how many messages found no room here, or are left at the end. With history on they are in
    /// the archive.
    fn tell_lost(&self, node: &Node, is_over: bool) {
        let mut left = self.left_behind.lock();
        let rest = if is_over { left.waiting.drain(..).count() } else { 0 };
        let lost = std::mem::take(&mut left.lost) + rest as u64;
        drop(left);
        if lost > 0 {
            let what = format_args!("{lost} messages that no device has confirmed were not stored");
            node.failing("left_behind_lost", None, &what);
        }
    }
}

impl Lane {
    /// Tries to store the next messages that were left behind, if it is time.
    pub(super) async fn store_left_behind(&mut self, node: &Arc<Node>) {
        node.keeper.tell_lost(node, false);
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
        node.keeper.tell_lost(node, true);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::AtomicUsize;

    use whoelse_store::faults::{Fault, Step};

    use super::*;
    use crate::keeper::tests::lane_rests;
    use crate::keeper::{Post, Unstored};
    use crate::route::tests::{device, hears, jid, node};
    use crate::sessions::Hold;

    /// Something that bob's device leaves behind.
    fn left(bob: &Hold, text: &str) -> (Arc<Session>, Stanza) {
        let (from, to) = (jid("alice"), &bob.session.jid);
        let xml =
            format!("<message from='{from}' to='{to}' type='chat'><body>{text}</body></message>");
        (bob.session.clone(), Stanza::parse(xml).unwrap())
    }

    /// A disk that takes nothing; returns how often something was tried.
    fn fail(node: &Node) -> Arc<AtomicUsize> {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        node.store.set_faults(move |step| match step {
            Step::Question => Fault::None,
            _ => {
                counted.fetch_add(1, Ordering::Relaxed);
                Fault::Fails
            }
        });
        tries
    }

    async fn a_second_passes(node: &Node) {
        let until = node.clock.steady().after(AFTER);
        while node.clock.steady() < until {
            lane_rests(node).await;
            node.clock.advance_to(until);
        }
        lane_rests(node).await;
    }

    /// Lets seconds pass until this is so.
    async fn seconds_pass_until(node: &Node, is_so: impl Fn() -> bool) {
        for _ in 0..1000 {
            if is_so() {
                return;
            }
            a_second_passes(node).await;
        }
        panic!("it has not come true");
    }

    #[tokio::test]
    async fn it_is_tried_every_second_until_the_disk_takes_it() {
        let node = node(&["alice", "bob"]).await;
        let bob = device(&node, "bob", "desk").await;
        let tries = fail(&node);
        let (session, stanza) = left(&bob, "one");
        node.keeper.store_later(&node, session, stanza);

        for _ in 0..3 {
            let before = tries.load(Ordering::Relaxed);
            let is_back = || node.keeper.count_left_behind() == 1;
            seconds_pass_until(&node, || tries.load(Ordering::Relaxed) > before && is_back()).await;
        }
        assert!(!hears(&node, &bob).contains("one"));
        node.store.clear_faults();
        seconds_pass_until(&node, || node.keeper.count_left_behind() == 0).await;
        node.keeper.caught_up().await;

        assert_eq!(hears(&node, &bob).matches("<body>one</body>").count(), 1);
    }

    #[tokio::test]
    async fn what_may_be_stored_or_not_is_tried_again() {
        let node = node(&["alice", "bob"]).await;
        let bob = device(&node, "bob", "desk").await;
        let (session, stanza) = left(&bob, "one");
        let (append, _) = delivery::ended::append(&node, &session, stanza).unwrap();

        Box::new(append).finish(&node, Err(Unstored::Unknown));

        assert_eq!(node.keeper.count_left_behind(), 1);
        assert!(!bob.session.own().arriving.is_open());
    }

    #[tokio::test]
    async fn the_last_try_is_when_the_keeper_stops() {
        let node = node(&["alice", "bob"]).await;
        let bob = device(&node, "bob", "desk").await;
        for text in 0..GROUP + 10 {
            let (session, stanza) = left(&bob, &text.to_string());
            node.keeper.store_later(&node, session, stanza);
        }

        node.keeper.stop().await;

        let archive = bob.session.own().archive;
        let query = whoelse_store::Query::default();
        let stored = node.store.count(archive, &query, i64::MAX).await.unwrap().unwrap();
        assert_eq!(stored, GROUP as i64 + 10);
    }

    #[tokio::test]
    async fn so_many_wait_and_so_many_bytes_and_what_finds_no_room_is_counted() {
        let node = node(&["alice", "bob"]).await;
        let bob = device(&node, "bob", "desk").await;
        fail(&node);
        for _ in 0..MOST + 3 {
            let (session, stanza) = left(&bob, "x");
            node.keeper.store_later(&node, session, stanza);
        }
        assert_eq!(node.keeper.count_left_behind(), MOST);
        assert_eq!(node.keeper.left_behind.lock().lost, 3);

        node.keeper.next_left_behind(node.clock.steady(), true);
        let (session, stanza) = left(&bob, &"x".repeat(MOST_BYTES - 1_000));
        node.keeper.store_later(&node, session, stanza);
        assert_eq!(node.keeper.left_behind.lock().lost, 4);
    }
}
