//! What sessions hold, in sum. Those without a connection: bounded for each account, for all new accounts
//! of a site (docs/design/ledger.md) and for the server (`docs/design/shares.md`). All of them, with those
//! that have one: several times that for the new accounts of a site, and for the server. Above a bound the
//! session ends that was heard least lately, of the account that holds most: what is kept stays in the log,
//! and everything else is answered or dropped as at every end of a session.
//!
//! Each session has a bound of its own, and nothing grows between two looks but by what others send, so it
//! is enough to look now and then.

use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Steady;
use crate::network::Site;
use crate::node::Node;
use crate::session::{Session, too_much_waits};

/// How often to look, while there are sessions.
const LOOK: Duration = Duration::from_secs(5);
/// What an account may hold, in sessions that are full: a phone, a computer, and those that they
/// left behind when they came back without resuming.
const FULL_SESSIONS: usize = 4;
/// What all new accounts of a site may hold, in accounts that hold as much as they may. Those that are
/// older than a day, or that the operator has made, hold what each may hold.
const ACCOUNTS_OF_SITE: usize = 4;

/// How much more all sessions may hold than those without a connection: what is on its way to people who
/// are there goes soon, unless they do not read.
const WITH_CONNECTION: usize = 4;

/// What a session holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Held {
    is_attached: bool,
    account: i64,
    /// Where it was connected from, if its account is new and shares with others.
    site: Option<Site>,
    /// When its client was last heard.
    since: Steady,
    bytes: usize,
}

/// What may be held by sessions without a connection, in bytes.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    account: usize,
    site: usize,
    all: usize,
}

impl Node {
    /// Looks from now on, as long as there are sessions.
    pub(crate) fn watch_what_is_held(self: &Arc<Node>) {
        if !self.held.ask() {
            return;
        }
        let (clock, node) = (self.clock.clone(), Arc::downgrade(self));
        tokio::spawn(async move {
            loop {
                clock.sleep(LOOK).await;
                let Some(node) = node.upgrade() else { return };
                // One may begin during the look.
                let so_far = node.held.so_far();
                if !node.end_those_beyond().await && node.held.is_done_for(so_far) {
                    return;
                }
            }
        });
    }

    /// Ends those that are too many. Returns whether there are any.
    async fn end_those_beyond(self: &Arc<Node>) -> bool {
        let mut sessions = self.sessions();
        sessions.retain(|session| !session.is_gone());
        let now = self.clock.steady();
        let held: Vec<Held> = sessions.iter().map(|session| of(session, now)).collect();
        let bounds = {
            let limits = &self.settings().limits;
            let account = FULL_SESSIONS * limits.session_bytes;
            Bounds { account, site: ACCOUNTS_OF_SITE * account, all: limits.detached_bytes }
        };
        for place in beyond(&held, bounds) {
            // Its place is one of those that were looked at.
            let session = &sessions[place];
            // Whoever has come back meanwhile counts as one that is there, at the next look.
            if held[place].is_attached || !session.is_attached() {
                tracing::info!(
                    session = session.id,
                    account = session.jid.bare(),
                    bytes = held[place].bytes,
                    "session_put_out"
                );
                // At once: whoever does not read would take what waits with them for as long as they like.
                session.order_end(too_much_waits());
                self.end(session).await;
            }
        }
        !sessions.is_empty()
    }
}

fn of(session: &Session, now: Steady) -> Held {
    Held {
        is_attached: session.is_attached(),
        account: session.account.as_ref().map_or(0, |account| account.id),
        site: session.payer().and_then(|payer| payer.shares_with(now)),
        since: session.last_heard(),
        bytes: session.held_bytes(),
    }
}

/// Returns the places of those that are too many.
fn beyond(held: &[Held], bounds: Bounds) -> Vec<usize> {
    let mut places: Vec<usize> = (0..held.len()).filter(|&place| held[place].bytes > 0).collect();
    places.sort_by_key(|&place| held[place].since);
    let mut look = Look { held, ends: Vec::new() };
    let (attached, detached): (Vec<usize>, Vec<usize>) =
        places.into_iter().partition(|&place| held[place].is_attached);
    let places = look.keep(detached, |one| Some(one.account), bounds.account);
    let places = look.keep(places, |one| one.site, bounds.site);
    let mut places = look.keep(places, |_| Some(()), bounds.all);
    places.extend(attached);
    places.sort_by_key(|&place| held[place].since);
    let places = look.keep(places, |one| one.site, WITH_CONNECTION * bounds.site);
    look.keep(places, |_| Some(()), WITH_CONNECTION * bounds.all);
    look.ends
}

/// A look at what is held.
struct Look<'a> {
    held: &'a [Held],
    /// The places of those that end.
    ends: Vec<usize>,
}

impl Look<'_> {
    /// Keeps of each group, which `whose` names, no more than this; returns what is left, the oldest
    /// first, like `places`.
    fn keep<K: Ord>(
        &mut self,
        places: Vec<usize>,
        whose: impl Fn(&Held) -> Option<K>,
        most: usize,
    ) -> Vec<usize> {
        let mut left = Vec::new();
        let mut groups: BTreeMap<K, Vec<usize>> = BTreeMap::new();
        for place in places {
            match whose(&self.held[place]) {
                Some(group) => groups.entry(group).or_default().push(place),
                None => left.push(place),
            }
        }
        for group in groups.into_values() {
            self.shrink(&group, most, &mut left);
        }
        left.sort_by_key(|&place| self.held[place].since);
        left
    }

    /// Ends the oldest of the account that holds most, until all of these hold no more than this.
    fn shrink(&mut self, group: &[usize], most: usize, left: &mut Vec<usize>) {
        let mut accounts: BTreeMap<i64, (usize, VecDeque<usize>)> = BTreeMap::new();
        for &place in group {
            let (bytes, oldest) = accounts.entry(self.held[place].account).or_default();
            *bytes += self.held[place].bytes;
            oldest.push_back(place);
        }
        let mut total: usize = accounts.values().map(|(bytes, _)| bytes).sum();
        let mut largest: BinaryHeap<_> =
            accounts.iter().map(|(account, (bytes, _))| (*bytes, *account)).collect();
        while total > most
            && let Some((_, account)) = largest.pop()
            && let Some((bytes, oldest)) = accounts.get_mut(&account)
        {
            if let Some(place) = oldest.pop_front() {
                *bytes -= self.held[place].bytes;
                total -= self.held[place].bytes;
                self.ends.push(place);
                largest.push((*bytes, account));
            }
        }
        left.extend(accounts.into_values().flat_map(|(_, places)| places));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::network::Network;

    const FREE: usize = 1_000_000;

    fn held(account: i64, since: i64, bytes: usize) -> Held {
        Held { is_attached: false, account, site: None, since: Steady(since), bytes }
    }

    fn of_new(account: i64, since: i64, from: u32) -> Held {
        let network = Network::of(Ipv4Addr::from_bits(0xC000_0200 + from).into());
        Held { site: Some(network.site()), ..held(account, since, 50) }
    }

    fn bounds(account: usize, all: usize) -> Bounds {
        Bounds { account, site: FREE, all }
    }

    #[test]
    fn an_account_keeps_the_latest_that_fit() {
        let all = [held(1, 3, 40), held(1, 1, 40), held(2, 0, 90), held(1, 2, 40)];

        assert_eq!(beyond(&all, bounds(100, 1_000)), [1]);
        assert_eq!(beyond(&all, bounds(50, 1_000)), [1, 3, 2]);
        assert!(beyond(&all, bounds(1_000, 1_000)).is_empty());
    }

    #[test]
    fn above_the_bound_of_all_whoever_holds_most_goes_first_and_nobody_for_them() {
        let mut all: Vec<Held> = (0..20).map(|n| held(666, n, 50)).collect();
        all.extend((0..10).map(|n| held(n, 0, 60)));

        let ends = beyond(&all, bounds(10_000, 1_000));

        assert_eq!(ends, (0..12).collect::<Vec<_>>(), "the oldest of the one who holds most");
    }

    #[test]
    fn new_accounts_of_a_site_share_and_nobody_else_pays_for_them() {
        // A hundred that were registered at one address, one elsewhere, and old ones of all places.
        let mut all: Vec<Held> = (0..100).map(|n| of_new(n, n, 1)).collect();
        all.push(of_new(500, 0, 2));
        all.extend((600..700).map(|n| held(n, 0, 50)));

        let ends = beyond(&all, Bounds { account: 50, site: 200, all: FREE });

        assert_eq!(ends.len(), 96);
        assert!(ends.iter().all(|&place| place < 100));
        // All as old as three days or made by the operator: as much as each may hold.
        let old: Vec<Held> = (0..300).map(|n| held(n, n, 50)).collect();
        assert!(beyond(&old, Bounds { account: 50, site: 200, all: FREE }).is_empty());
    }

    #[test]
    fn of_the_new_accounts_of_a_site_whoever_holds_most_loses_the_oldest() {
        let mut all: Vec<Held> = (0..8).map(|n| of_new(1, n, 1)).collect();
        all.extend((2..5).map(|n| of_new(n, 100, 1)));

        let ends = beyond(&all, Bounds { account: 400, site: 300, all: FREE });

        assert_eq!(ends, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn what_holds_nothing_ends_for_nobody() {
        let all = [held(1, 0, 0), held(1, 1, 10), held(2, 0, 5)];

        assert_eq!(beyond(&all, bounds(5, 0)), [1, 2]);
    }

    fn there(account: i64, bytes: usize) -> Held {
        Held { is_attached: true, ..held(account, 100, bytes) }
    }

    #[test]
    fn those_that_are_there_may_hold_four_times_as_much_and_whoever_holds_most_goes_first() {
        let full: Vec<Held> = (0..20).map(|_| there(666, 50)).collect();
        let small: Vec<Held> = (0..100).map(|n| there(n, 10)).collect();
        let all = [full, small].concat();

        let room = bounds(100, 500);
        assert!(beyond(&all, room).is_empty(), "one account alone has no bound while it is there");
        let ends = beyond(&all, bounds(100, 400));

        assert_eq!(ends, (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn new_accounts_of_a_site_that_are_there_share_as_well() {
        let mut all: Vec<Held> =
            (0..40).map(|n| Held { is_attached: true, ..of_new(n, n, 1) }).collect();
        all.extend((100..200).map(|n| there(n, 50)));

        let ends = beyond(&all, Bounds { account: 50, site: 200, all: FREE });

        assert_eq!(ends.len(), 24, "of 2,000 bytes, 800 may stay");
        assert!(ends.iter().all(|&place| place < 40));
    }

    #[test]
    fn of_all_together_those_without_a_connection_go_first_if_they_were_heard_before() {
        let all = [there(1, 250), held(1, 0, 100), there(1, 100)];

        assert_eq!(beyond(&all, bounds(100, 100)), [1]);
    }
}
