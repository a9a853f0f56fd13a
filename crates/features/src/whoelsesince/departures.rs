//! The latest departure of each account that is gone, in memory: as far back as somebody has asked,
//! or as there is room.
//!
//! Departures since the start are noted as they happen. Those before are read from the store when
//! somebody asks for them, each time only the part that is not known yet.

use std::collections::{BTreeSet, HashMap};

use parking_lot::{Mutex, MutexGuard};
use whoelse_core::clock::{Moment, Time};
use whoelse_store::GoneAccount;
use whoelse_xmpp::BareJid;

/// The most departures that are kept, the latest ones: some 10 MB. What is older is read from the
/// store each time.
const MOST: usize = 50_000;

/// Holds for one domain name, and until even time jumps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Basis {
    domain: String,
    /// Even time minus steady time. When a doubt of the clock ends, even time jumps, and the store
    /// renews what it has; then what is known here is of another time.
    jumps: i64,
}

impl Basis {
    /// Of this domain, at a moment in even time.
    pub fn new(domain: &str, now: Moment) -> Basis {
        Basis { domain: domain.to_owned(), jumps: now.wall.0.wrapping_sub(now.steady.0) }
    }
}

/// The departures that are known.
#[derive(Default)]
pub(super) struct Departures {
    /// Held for a look or a change, never across an await.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    basis: Option<Basis>,
    /// All departures at this time or later are known.
    from: Time,
    accounts: HashMap<i64, (Time, BareJid)>,
    by_time: BTreeSet<(Time, i64)>,
}

/// Who is gone: numbers and addresses.
pub(super) type Gone = Vec<(i64, BareJid)>;

impl Departures {
    /// Notes that an account has gone now.
    pub fn note(&self, basis: Basis, now: Time, account: i64, jid: &BareJid) {
        let mut known = self.lock(basis, now);
        known.remove(account);
        known.insert(account, now, jid.clone());
        known.trim(MOST);
    }

    /// Notes that an account has come, or is removed.
    pub fn forget(&self, account: i64) {
        let mut known = self.known.lock();
        known.remove(account);
    }

    /// Returns who went at `from` or later, or else the time up to which the store has to be read.
    pub fn since(&self, basis: Basis, now: Time, from: Time) -> Result<Gone, Time> {
        let known = self.lock(basis, now);
        match known.from <= from {
            true => Ok(known.since(from)),
            false => Err(known.from),
        }
    }

    /// Takes what the store has of departures from `from` to `to`. Returns who went at `from` or
    /// later.
    ///
    /// Who is here again is told and not kept: `is_here` is asked under the lock, and whoever goes
    /// after that is noted after it.
    pub fn take(
        &self,
        basis: Basis,
        now: Time,
        (from, to): (Time, Time),
        rows: Vec<(GoneAccount, BareJid)>,
        is_here: impl Fn(&BareJid) -> bool,
    ) -> Gone {
        let mut known = self.lock(basis, now);
        // Otherwise there is a gap: even time has jumped, or there was no room for all.
        let joins = known.from <= to;
        let mut apart = Vec::new();
        for (row, jid) in rows {
            match known.accounts.contains_key(&row.account) {
                true => {}
                false if joins => known.insert(row.account, Time(row.at), jid),
                false => apart.push((row.account, jid)),
            }
        }
        if joins {
            known.from = known.from.min(from);
        }
        let mut gone = known.since(from);
        gone.append(&mut apart);
        gone.iter().filter(|(_, jid)| is_here(jid)).for_each(|(account, _)| known.remove(*account));
        known.trim(MOST);
        gone
    }

    fn lock(&self, basis: Basis, now: Time) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock();
        if known.basis.as_ref() != Some(&basis) {
            *known = Known { basis: Some(basis), from: now, ..Known::default() };
        }
        known
    }
}

impl Known {
    fn insert(&mut self, account: i64, at: Time, jid: BareJid) {
        self.accounts.insert(account, (at, jid));
        self.by_time.insert((at, account));
    }

    fn remove(&mut self, account: i64) {
        if let Some((at, _)) = self.accounts.remove(&account) {
            self.by_time.remove(&(at, account));
        }
    }

    fn since(&self, from: Time) -> Gone {
        let late = self.by_time.range((from, i64::MIN)..);
        late.filter_map(|(_, id)| Some((*id, self.accounts.get(id)?.1.clone()))).collect()
    }

    fn trim(&mut self, most: usize) {
        while self.accounts.len() > most
            && let Some((at, account)) = self.by_time.pop_first()
        {
            self.accounts.remove(&account);
            self.from = Time(at.0.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    use whoelse_core::Steady;

    fn basis(jumps: i64) -> Basis {
        Basis::new("a.example", Moment { wall: Time(jumps), steady: Steady(0) })
    }

    fn jid(account: i64) -> BareJid {
        BareJid::parse(&format!("user{account}@a.example")).unwrap()
    }

    fn row(account: i64, at: i64) -> (GoneAccount, BareJid) {
        (GoneAccount { account, localpart: format!("user{account}"), at }, jid(account))
    }

    /// Departures of a server that started at 100.
    fn started() -> Departures {
        let departures = Departures::default();
        assert!(departures.since(basis(0), Time(100), Time(100)).unwrap().is_empty());
        departures
    }

    fn since(departures: &Departures, from: i64) -> Result<Vec<i64>, Time> {
        let gone = departures.since(basis(0), Time(1_000), Time(from))?;
        Ok(gone.into_iter().map(|(account, _)| account).collect())
    }

    #[test]
    fn who_went_is_known_until_they_come_again() {
        let departures = started();
        departures.note(basis(0), Time(110), 1, &jid(1));
        departures.note(basis(0), Time(120), 2, &jid(2));

        assert_eq!(since(&departures, 110), Ok(vec![1, 2]));
        assert_eq!(since(&departures, 111), Ok(vec![2]));
        departures.forget(2);
        assert_eq!(since(&departures, 111), Ok(vec![]));
        departures.note(basis(0), Time(130), 1, &jid(1));
        assert_eq!(since(&departures, 125), Ok(vec![1]));
    }

    #[test]
    fn what_was_before_the_start_is_read_once() {
        let departures = started();
        departures.note(basis(0), Time(110), 1, &jid(1));
        assert_eq!(since(&departures, 50), Err(Time(100)));

        let rows = vec![row(1, 60), row(2, 50), row(3, 70)];
        let gone = departures.take(basis(0), Time(120), (Time(50), Time(100)), rows, |_| false);

        assert_eq!(gone.iter().map(|(account, _)| *account).collect::<Vec<_>>(), [2, 3, 1]);
        assert_eq!(since(&departures, 50), Ok(vec![2, 3, 1]));
        assert_eq!(since(&departures, 71), Ok(vec![1]));
        assert_eq!(since(&departures, 49), Err(Time(50)));
    }

    #[test]
    fn who_is_here_again_is_told_and_not_kept() {
        let departures = started();
        let rows = vec![row(1, 60), row(2, 50)];

        let here = |it: &BareJid| *it == jid(1);
        let gone = departures.take(basis(0), Time(120), (Time(50), Time(100)), rows, here);

        assert_eq!(gone.len(), 2);
        assert_eq!(since(&departures, 50), Ok(vec![2]));
    }

    #[test]
    fn when_even_time_jumps_or_the_domain_gets_another_name_everything_is_read_anew() {
        let departures = started();
        departures.note(basis(0), Time(110), 1, &jid(1));

        assert_eq!(departures.since(basis(5), Time(200), Time(110)), Err(Time(200)));
        let other = Basis { domain: "b.example".to_owned(), ..basis(5) };
        assert_eq!(departures.since(other, Time(300), Time(250)), Err(Time(300)));
    }

    #[test]
    fn what_is_read_while_even_time_jumps_is_told_and_not_kept() {
        let departures = started();
        departures.note(basis(5), Time(300), 1, &jid(1));

        let rows = vec![row(1, 60), row(2, 50)];
        let gone = departures.take(basis(5), Time(300), (Time(50), Time(100)), rows, |_| false);

        assert_eq!(gone.iter().map(|(account, _)| *account).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(departures.since(basis(5), Time(300), Time(50)), Err(Time(300)));
    }

    #[test]
    fn when_there_is_no_room_the_oldest_are_read_each_time() {
        let mut known = Known::default();
        for (account, at) in [(1, 10), (2, 20), (3, 20), (4, 30)] {
            known.insert(account, Time(at), jid(account));
        }

        known.trim(2);

        assert_eq!((known.from, known.accounts.len()), (Time(21), 2));
        let left = known.since(Time(0));
        assert_eq!(left.iter().map(|(account, _)| *account).collect::<Vec<_>>(), [3, 4]);
    }
}
