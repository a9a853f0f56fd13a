//! The counts that survive a restart: rows by a key, with times in even time ([`crate::trust`]),
//! which goes on over restarts whatever is done to the wall.
//!
//! How long the server was down is taken from the wall, which may be wrong. So a block that is read
//! again has no more time left than would be set for it now. A [`Moment`] here has even time in
//! place of the wall.

use std::time::Duration;

use super::counts::{Pair, block_after};
use super::{LoginThrottle, Tables, WINDOW};
use crate::clock::{Moment, Steady, Time};
use crate::network::{Network, Place};

/// What a row counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// An account and a network.
    Pair(String, Network),
    /// A place that is blocked as a whole.
    Place(Place),
    /// An account that the administrator has blocked.
    Account(String),
}

impl Scope {
    /// The key of its row.
    pub fn key(&self) -> String {
        match self {
            Scope::Pair(account, network) => format!("pair|{account}|{network}"),
            Scope::Place(place) => format!("place|{place}"),
            Scope::Account(account) => format!("admin|{account}"),
        }
    }

    /// Reads a key back. No place has a bar in its text.
    fn of(key: &str) -> Option<Scope> {
        match key.split_once('|')? {
            ("pair", rest) => {
                let (account, network) = rest.rsplit_once('|')?;
                Some(Scope::Pair(account.to_owned(), network.parse().ok()?))
            }
            ("place", place) => Some(Scope::Place(place.parse().ok()?)),
            ("admin", account) => Some(Scope::Account(account.to_owned())),
            _ => None,
        }
    }
}

/// A row: a count that must survive a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Failures since the last success.
    pub failures: u32,
    /// When the last of them was, or when the administrator set the block.
    pub since: Time,
    /// Until when it is blocked; zero: not blocked.
    pub until: Time,
}

impl LoginThrottle {
    /// Takes over the rows that a former run has stored. `block` is how long a first block lasts.
    pub fn restore(
        &self,
        rows: impl IntoIterator<Item = (String, Count)>,
        block: Duration,
        now: Moment,
    ) {
        let mut tables = self.tables.lock();
        for (key, count) in rows {
            let blocked = |at_most| match count.until {
                Time(0) => None,
                until => Some(now.steady_at(until, at_most)),
            };
            let since = steady_before(now, count.since);
            match Scope::of(&key) {
                Some(Scope::Pair(account, network)) => {
                    let until = blocked(block_after(count.failures, block));
                    let pair = Pair { failures: count.failures, last: since, until };
                    tables.account(&account).restore(network, pair);
                    tables.pairs += 1;
                }
                Some(Scope::Place(place)) => {
                    tables.places.entry(place).or_default().until = blocked(WINDOW);
                }
                Some(Scope::Account(account)) => {
                    if let Some(until) = blocked(count.until.since(count.since)) {
                        tables.disabled.insert(account, (since, until));
                    }
                }
                // This row is of a newer version, or broken: it blocks nobody.
                None => tracing::warn!(key, "login_count_unreadable"),
            }
        }
    }

    /// Returns what is to be stored of these: each key with its count, `None` to delete it.
    pub fn rows(&self, scopes: &[Scope], now: Moment) -> Vec<(String, Option<Count>)> {
        let tables = self.tables.lock();
        scopes.iter().map(|scope| (scope.key(), tables.row(scope, now))).collect()
    }
}

/// Turns a stamp into the moment when something was; now, if the stamp is in the future.
fn steady_before(now: Moment, stamp: Time) -> Steady {
    let age = now.wall.since(stamp).as_micros();
    Steady(now.steady.0.saturating_sub(i64::try_from(age).unwrap_or(i64::MAX)))
}

impl Tables {
    fn row(&self, scope: &Scope, now: Moment) -> Option<Count> {
        let (failures, since, until) = match scope {
            Scope::Pair(account, network) => {
                let pair = self.accounts.get(account)?.pair(*network)?;
                (pair.failures, now.wall_at(pair.last), pair.until)
            }
            Scope::Place(place) => {
                let until = self.places.get(place)?.until?;
                (0, now.wall_at(until).before(WINDOW), Some(until))
            }
            Scope::Account(account) => {
                let (since, until) = *self.disabled.get(account)?;
                (0, now.wall_at(since), Some(until))
            }
        };
        let until = until.map_or(Time(0), |until| now.wall_at(until));
        Some(Count { failures, since, until })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::testing::{network, reserve, stranger, throttle};
    use super::super::{Begun, Blocked};
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: Moment = Moment { wall: Time(1_000_000_000_000_000), steady: Steady(5) };

    /// Returns how much time is left of bob's block, if there is one.
    fn left(throttle: &std::sync::Arc<LoginThrottle>, now: Moment) -> Option<Duration> {
        match throttle.begin(&stranger("bob", network(1)), now.steady) {
            Begun::Blocked(Blocked::Until(until)) => Some(until.since(now.steady)),
            Begun::Reserved(_) => None,
            other => panic!("{other:?}"),
        }
    }

    /// The rows of a server at which bob is blocked for a minute.
    fn rows() -> Vec<(String, Count)> {
        let throttle = throttle();
        let mut scopes = Vec::new();
        for _ in 0..3 {
            scopes = reserve(&throttle, "bob", 1, NOW.steady).fail(MINUTE, NOW.steady).1;
        }
        let rows = throttle.rows(&scopes, NOW).into_iter();
        rows.filter_map(|(key, count)| Some((key, count?))).collect()
    }

    fn restarted(now: Moment, block: Duration) -> Option<Duration> {
        let throttle = throttle();
        throttle.restore(rows(), block, now);
        left(&throttle, now)
    }

    /// Starts the next run: another steady clock, and the wall where somebody has set it.
    fn at(wall: Time) -> Moment {
        Moment { wall, steady: Steady(9_000_000) }
    }

    #[test]
    fn a_block_survives_a_restart_and_no_more_is_left_of_it_than_is_set() {
        for (what, wall, block, wanted) in [
            ("at once", NOW.wall, MINUTE, Some(MINUTE)),
            ("half a minute later", NOW.wall.after(MINUTE / 2), MINUTE, Some(MINUTE / 2)),
            ("when it is over", NOW.wall.after(MINUTE), MINUTE, None),
            ("with a shorter setting", NOW.wall, MINUTE / 6, Some(MINUTE / 6)),
            ("with a longer one", NOW.wall, HOUR, Some(MINUTE)),
            ("the clock set back", NOW.wall.before(HOUR * 24), MINUTE, Some(MINUTE)),
            ("the clock set ahead", NOW.wall.after(HOUR), MINUTE, None),
        ] {
            assert_eq!(restarted(at(wall), block), wanted, "{what}");
        }
    }

    #[test]
    fn the_growth_of_a_block_survives_too() {
        let throttle = throttle();
        let now = at(NOW.wall.after(MINUTE));
        throttle.restore(rows(), MINUTE, now);

        for _ in 0..3 {
            reserve(&throttle, "bob", 1, now.steady).fail(MINUTE, now.steady);
        }

        assert_eq!(left(&throttle, now), Some(MINUTE * 2));
    }

    #[test]
    fn the_administrators_block_survives_for_what_was_left_or_for_ever() {
        let before = throttle();
        let mut scopes = before.block("bob", NOW.steady.after(HOUR), NOW.steady);
        scopes.extend(before.block("eve", Steady::NEVER, NOW.steady));
        let rows = || {
            let rows = before.rows(&scopes, NOW).into_iter();
            rows.filter_map(|(key, count)| Some((key, count?)))
        };
        for (wall, left) in [
            (NOW.wall.after(MINUTE * 20), MINUTE * 40),
            (NOW.wall.before(HOUR * 100), HOUR),
            (NOW.wall.after(HOUR), Duration::ZERO),
        ] {
            let (after, now) = (throttle(), at(wall));
            after.restore(rows(), MINUTE, now);

            let until = after.blocks_of("bob", now.steady).first().map(|(_, until)| *until);
            assert_eq!(until.map(|until| until.since(now.steady)).unwrap_or_default(), left);
            assert_eq!(after.blocks_of("eve", now.steady), [(None, Steady::NEVER)]);
        }
    }

    #[test]
    fn a_blocked_network_survives_within_the_window() {
        let now = at(NOW.wall);
        let throttle = throttle();
        let count = Count { failures: 0, since: NOW.wall, until: NOW.wall.after(HOUR) };
        throttle.restore([("place|192.0.2.1".to_owned(), count)], MINUTE, now);

        assert_eq!(left(&throttle, now), Some(WINDOW));
        assert_eq!(throttle.rows(&[Scope::Place(Place::Network(network(2)))], now)[0].1, None);
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        for scope in [
            Scope::Pair("a|b@#1".to_owned(), "2001:db8:1:2::/64".parse().unwrap()),
            Scope::Pair("bob@#1".to_owned(), Network::Local),
            Scope::Place(Place::Network(network(1))),
            Scope::Place("2001:db8:1:200::/56".parse().unwrap()),
            Scope::Place("2001:db8:1::/48".parse().unwrap()),
            Scope::Account("a|b@#1".to_owned()),
        ] {
            assert_eq!(Scope::of(&scope.key()), Some(scope));
        }
        for key in ["", "pair|bob@#1", "pair|bob@#1|nowhere", "place|", "other|bob"] {
            assert_eq!(Scope::of(key), None, "{key}");
        }
    }
}
