//! Who is at the relay, and which tokens may return. Pure bookkeeping: time is handed in.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use whoelse_core::Time;
use whoelse_features::relay::{COMING_BACK, Denied, EndpointKey, Token};

/// Tokens whose holders have left and may return. When full, those who left first are forgotten,
/// and ask for another token.
const REMEMBERED: usize = 10_000;

/// The capacity of the relay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// In all.
    pub all: usize,
    /// Of one account.
    pub per_account: usize,
}

/// The bookkeeping, by connection.
pub(super) struct Admissions<C> {
    here: HashMap<C, Here>,
    /// Tokens that admitted somebody. Every token of `here` is among them, except those of ended
    /// accounts.
    known: HashMap<Arc<Token>, Known>,
    /// How many have been admitted.
    arrived: u64,
}

/// One connection.
struct Here {
    token: Arc<Token>,
    nth: u64,
    /// Whether it is to be closed. It has no place any more.
    goes: bool,
}

/// What is known of a token.
struct Known {
    connections: usize,
    /// When the last of its holders left.
    left: Time,
}

impl Known {
    fn may_come_back(&self, now: Time) -> bool {
        self.connections > 0 || now < self.left.after(COMING_BACK)
    }
}

impl<C> Default for Admissions<C> {
    fn default() -> Admissions<C> {
        Admissions { here: HashMap::new(), known: HashMap::new(), arrived: 0 }
    }
}

impl<C: Copy + Eq + Hash> Admissions<C> {
    /// Admits a connection that has proved this key. If all places are taken, the oldest connection of
    /// the account that has most of them goes, unless that has as few as this one would have.
    pub fn enter(
        &mut self,
        connection: C,
        token: Token,
        key: &EndpointKey,
        room: Room,
        (started, now): (Time, Time),
    ) -> Result<(), Denied> {
        let known = self.known.get(&token).is_some_and(|known| known.may_come_back(now));
        token.admits(key, known, started, now)?;
        let of_account = self.stay().filter(|here| here.token.account == token.account).count();
        if of_account >= room.per_account {
            return Err(Denied::AccountFull);
        }
        if self.count() >= room.all && !self.put_one_out(of_account + 1) {
            return Err(Denied::Full);
        }
        self.forget_some(now);
        let token = match self.known.get_key_value(&token) {
            Some((token, _)) => token.clone(),
            None => Arc::new(token),
        };
        let known = self.known.entry(token.clone());
        known.or_insert(Known { connections: 0, left: now }).connections += 1;
        self.arrived += 1;
        self.here.insert(connection, Here { token, nth: self.arrived, goes: false });
        Ok(())
    }

    /// Lets the oldest connection go of the account that has most, if that has more than so many.
    fn put_one_out(&mut self, fewest: usize) -> bool {
        let mut accounts: HashMap<i64, usize> = HashMap::new();
        self.stay().for_each(|here| *accounts.entry(here.token.account).or_default() += 1);
        let most = accounts.into_iter().max_by_key(|(_, count)| *count);
        let Some((most, _)) = most.filter(|(_, count)| *count > fewest) else { return false };
        let theirs = self.here.values_mut().filter(|here| !here.goes && here.token.account == most);
        theirs.min_by_key(|here| here.nth).map(|here| here.goes = true).is_some()
    }

    fn stay(&self) -> impl Iterator<Item = &Here> {
        self.here.values().filter(|here| !here.goes)
    }

    /// Removes a connection.
    pub fn leave(&mut self, connection: C, now: Time) {
        let Some(here) = self.here.remove(&connection) else { return };
        if let Some(known) = self.known.get_mut(&here.token) {
            known.connections = known.connections.saturating_sub(1);
            known.left = now;
        }
    }

    /// Removes a connection that was not let in after all, and its token, which admits nobody.
    pub fn refuse(&mut self, connection: C) {
        if let Some(here) = self.here.remove(&connection) {
            self.known.remove(&here.token);
        }
    }

    /// Forgets the tokens of an account, whose connections go.
    pub fn end(&mut self, account: i64) {
        self.known.retain(|token, _| token.account != account);
        let here = self.here.values_mut().filter(|here| here.token.account == account);
        here.for_each(|here| here.goes = true);
    }

    /// Does the same for every account.
    pub fn end_all(&mut self) {
        self.known.clear();
        self.here.values_mut().for_each(|here| here.goes = true);
    }

    /// Returns those that are still here and are to be closed.
    pub fn going(&self) -> Vec<(C, EndpointKey)> {
        let going = self.here.iter().filter(|(_, here)| here.goes);
        going.map(|(connection, here)| (*connection, here.token.key)).collect()
    }

    /// How many have a place.
    pub fn count(&self) -> usize {
        self.stay().count()
    }

    fn forget_some(&mut self, now: Time) {
        if self.known.len() < REMEMBERED {
            return;
        }
        self.known.retain(|_, known| known.may_come_back(now));
        let gone = self.known.values().filter(|known| known.connections == 0);
        let mut left: Vec<Time> = gone.map(|known| known.left).collect();
        if self.known.len() < REMEMBERED || left.is_empty() {
            return;
        }
        // Removes many at once, so that not every arrival scans all of them.
        let some = (left.len() - 1).min(REMEMBERED / 16);
        let (_, last, _) = left.select_nth_unstable(some);
        let last = *last;
        self.known.retain(|_, known| known.connections > 0 || known.left > last);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use whoelse_xmpp::BareJid;

    const NOON: Time = Time(1_767_268_800_000_000);
    const ROOM: Room = Room { all: 4, per_account: 3 };
    const KEY: EndpointKey = [7; 32];

    fn token(account: i64, sid: &str) -> Token {
        let address = BareJid::parse("bob@localhost").unwrap();
        Token {
            issued: NOON,
            account,
            generation: 1,
            device: None,
            address,
            sid: sid.to_owned(),
            key: KEY,
        }
    }

    fn at(seconds: u64) -> Time {
        NOON.after(Duration::from_secs(seconds))
    }

    fn enter(
        admissions: &mut Admissions<u32>,
        connection: u32,
        token: &Token,
        seconds: u64,
    ) -> Result<(), Denied> {
        let times = (NOON.before(Duration::from_secs(9)), at(seconds));
        admissions.enter(connection, token.clone(), &KEY, ROOM, times)
    }

    #[test]
    fn who_was_here_may_come_back_for_a_quarter_of_an_hour() {
        let mut admissions = Admissions::default();
        let token = token(1, "s");
        assert_eq!(enter(&mut admissions, 1, &token, 10), Ok(()));
        assert_eq!(enter(&mut admissions, 2, &token, 5000), Ok(()));
        admissions.leave(1, at(5001));
        admissions.leave(2, at(6000));

        assert_eq!(enter(&mut admissions, 3, &token, 6899), Ok(()));
        admissions.leave(3, at(7000));
        assert_eq!(enter(&mut admissions, 4, &token, 7900), Err(Denied::Expired));
    }

    #[test]
    fn who_was_never_here_does_not_come_late_by_what_another_did() {
        let mut admissions = Admissions::default();
        enter(&mut admissions, 1, &token(1, "one"), 0).unwrap();

        assert_eq!(enter(&mut admissions, 2, &token(1, "other"), 120), Err(Denied::Expired));
    }

    #[test]
    fn there_is_room_for_so_many_and_so_many_of_one_account() {
        let mut admissions = Admissions::default();
        for connection in 0..3 {
            enter(&mut admissions, connection, &token(1, "s"), 0).unwrap();
        }

        assert_eq!(enter(&mut admissions, 3, &token(1, "t"), 0), Err(Denied::AccountFull));
        assert_eq!(enter(&mut admissions, 4, &token(2, "s"), 0), Ok(()));
        assert_eq!((admissions.count(), admissions.going()), (4, vec![]));
    }

    #[test]
    fn when_all_places_are_taken_whoever_has_most_of_them_makes_room_for_whoever_has_fewer() {
        let mut admissions = Admissions::default();
        for connection in 0..3 {
            enter(&mut admissions, connection, &token(1, "s"), 0).unwrap();
        }
        enter(&mut admissions, 4, &token(2, "s"), 0).unwrap();

        // The oldest goes, and has no place from now on.
        assert_eq!(enter(&mut admissions, 5, &token(3, "s"), 1), Ok(()));
        assert_eq!((admissions.going(), admissions.count()), (vec![(0, KEY)], 4));
        assert_eq!(enter(&mut admissions, 6, &token(2, "t"), 1), Err(Denied::Full));
        assert_eq!(enter(&mut admissions, 7, &token(4, "s"), 1), Ok(()));
        // Now everybody has one: who comes first has it.
        assert_eq!(enter(&mut admissions, 8, &token(5, "s"), 1), Err(Denied::Full));
        assert_eq!(enter(&mut admissions, 9, &token(1, "s"), 1), Err(Denied::Full));
        admissions.leave(0, at(1));
        admissions.leave(1, at(1));
        assert_eq!((admissions.going(), admissions.count()), (vec![], 4));
        admissions.leave(4, at(1));
        assert_eq!(enter(&mut admissions, 10, &token(5, "s"), 1), Ok(()));
    }

    #[test]
    fn an_account_that_has_ended_does_not_come_back() {
        let mut admissions = Admissions::default();
        enter(&mut admissions, 1, &token(1, "s"), 0).unwrap();
        enter(&mut admissions, 2, &token(2, "s"), 0).unwrap();

        admissions.end(1);

        assert_eq!(admissions.going(), [(1, KEY)]);
        admissions.leave(1, at(200));
        assert_eq!(enter(&mut admissions, 3, &token(1, "s"), 200), Err(Denied::Expired));
        assert_eq!(enter(&mut admissions, 4, &token(2, "s"), 200), Ok(()));
        admissions.end_all();
        assert_eq!((admissions.going().len(), admissions.count()), (2, 0));
    }

    #[test]
    fn who_is_refused_takes_nothing_from_others_of_the_account() {
        let mut admissions = Admissions::default();
        enter(&mut admissions, 1, &token(1, "own"), 0).unwrap();
        admissions.leave(1, at(100));
        enter(&mut admissions, 2, &token(1, "stolen"), 100).unwrap();

        admissions.refuse(2);

        assert_eq!(admissions.count(), 0);
        assert_eq!(enter(&mut admissions, 3, &token(1, "stolen"), 200), Err(Denied::Expired));
        assert_eq!(enter(&mut admissions, 4, &token(1, "own"), 200), Ok(()));
    }

    #[test]
    fn who_comes_and_goes_does_not_fill_the_memory() {
        let mut admissions = Admissions::default();
        for n in 0..REMEMBERED as u32 + 2000 {
            enter(&mut admissions, n, &token(1, &n.to_string()), 0).unwrap();
            admissions.leave(n, NOON.after(Duration::from_micros(n.into())));
        }

        assert!(admissions.known.len() <= REMEMBERED);
        // The newest one is remembered, the oldest one is not.
        assert_eq!(enter(&mut admissions, 1, &token(1, "11999"), 800), Ok(()));
        assert_eq!(enter(&mut admissions, 2, &token(1, "0"), 800), Err(Denied::Expired));
    }
}
