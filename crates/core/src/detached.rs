//! What sessions without a connection hold, in sum: bounded for each account and for the server
//! (`docs/design/shares.md`). Above a bound the session ends that has been without a connection for
//! longest, of the account that holds most: what is kept stays in the log, and everything else is
//! answered or dropped as at every end of a session.
//!
//! Losing a connection makes a session no larger, so it is enough to look now and then.

use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Steady;
use crate::node::Node;
use crate::session::Session;

/// How often to look, while there is such a session.
const LOOK: Duration = Duration::from_secs(5);
/// What an account may hold, in sessions that are full: a phone, a computer, and those that they
/// left behind when they came back without resuming.
const FULL_SESSIONS: usize = 4;

/// A session without a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    account: i64,
    /// When its client was last heard.
    since: Steady,
    bytes: usize,
}

impl Node {
    /// Looks from now on, as long as there are sessions without a connection.
    pub(crate) fn watch_detached(self: &Arc<Node>) {
        if !self.detached.ask() {
            return;
        }
        let (clock, node) = (self.clock.clone(), Arc::downgrade(self));
        tokio::spawn(async move {
            loop {
                clock.sleep(LOOK).await;
                let Some(node) = node.upgrade() else { return };
                // One may lose its connection during the look.
                let so_far = node.detached.so_far();
                if !node.end_detached().await && node.detached.is_done_for(so_far) {
                    return;
                }
            }
        });
    }

    /// Ends those that are too many. Returns whether there are any.
    async fn end_detached(self: &Arc<Node>) -> bool {
        let mut detached = self.sessions();
        detached.retain(|session| !session.is_attached() && !session.is_gone());
        let held: Vec<Held> = detached.iter().map(|session| of(session)).collect();
        let (account, all) = {
            let limits = &self.settings().limits;
            (FULL_SESSIONS * limits.session_bytes, limits.detached_bytes)
        };
        for place in beyond(&held, account, all) {
            // Its place is one of those that were looked at.
            let session = &detached[place];
            if !session.is_attached() {
                tracing::info!(
                    session = session.id,
                    account = session.jid.bare(),
                    bytes = held[place].bytes,
                    "session_put_out"
                );
                self.end(session).await;
            }
        }
        !detached.is_empty()
    }
}

fn of(session: &Session) -> Held {
    Held {
        account: session.account.as_ref().map_or(0, |account| account.id),
        since: session.last_heard(),
        bytes: session.held_bytes(),
    }
}

/// Returns the places of those that are too many, where each account may hold so much, and all
/// together so much.
fn beyond(held: &[Held], account: usize, all: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..held.len()).filter(|&place| held[place].bytes > 0).collect();
    places.sort_by_key(|&place| held[place].since);
    let mut accounts: BTreeMap<i64, (usize, VecDeque<usize>)> = BTreeMap::new();
    for place in places {
        let (bytes, oldest) = accounts.entry(held[place].account).or_default();
        *bytes += held[place].bytes;
        oldest.push_back(place);
    }
    let mut ends = Vec::new();
    let mut total = 0;
    let mut largest = BinaryHeap::new();
    for (number, (bytes, oldest)) in &mut accounts {
        while *bytes > account
            && let Some(place) = oldest.pop_front()
        {
            *bytes -= held[place].bytes;
            ends.push(place);
        }
        total += *bytes;
        largest.push((*bytes, *number));
    }
    while total > all
        && let Some((_, number)) = largest.pop()
        && let Some((bytes, oldest)) = accounts.get_mut(&number)
    {
        if let Some(place) = oldest.pop_front() {
            *bytes -= held[place].bytes;
            total -= held[place].bytes;
            ends.push(place);
            largest.push((*bytes, number));
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(account: i64, since: i64, bytes: usize) -> Held {
        Held { account, since: Steady(since), bytes }
    }

    #[test]
    fn an_account_keeps_the_latest_that_fit() {
        let all = [held(1, 3, 40), held(1, 1, 40), held(2, 0, 90), held(1, 2, 40)];

        assert_eq!(beyond(&all, 100, 1_000), [1]);
        assert_eq!(beyond(&all, 50, 1_000), [1, 3, 2]);
        assert!(beyond(&all, 1_000, 1_000).is_empty());
    }

    #[test]
    fn above_the_bound_of_all_whoever_holds_most_goes_first_and_nobody_for_them() {
        let mut all: Vec<Held> = (0..20).map(|n| held(666, n, 50)).collect();
        all.extend((0..10).map(|n| held(n, 0, 60)));

        let ends = beyond(&all, 10_000, 1_000);

        assert_eq!(ends, (0..12).collect::<Vec<_>>(), "the oldest of the one who holds most");
    }

    #[test]
    fn what_holds_nothing_ends_for_nobody() {
        let all = [held(1, 0, 0), held(1, 1, 10), held(2, 0, 5)];

        assert_eq!(beyond(&all, 5, 0), [1, 2]);
    }
}
