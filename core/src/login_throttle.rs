//! Who may try a password, and how often (behaviour.md, Log in 4).
//!
//! A try is counted before it is checked, so that tries made at once do not outrun the count.
//! Unknown names count the same as known ones. Pure bookkeeping: time is handed in, what must
//! survive a restart comes out as rows.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Time;

/// Wrong passwords in a row for an account from one network, then it is blocked for that network.
const IN_A_ROW: u32 = 3;
/// Failures for an account over all networks within [`WINDOW`]; then only known networks get in.
const PER_ACCOUNT: usize = 20;
/// Failures from one network over all accounts within [`WINDOW`]; then the network is blocked.
const PER_NETWORK: usize = 30;
/// Accounts made from one network within [`WINDOW`]: a class behind one address signs up, a flood
/// of names does not fill the database and everybody's roster.
const NEW_ACCOUNTS: usize = 100;
const WINDOW: Duration = Duration::from_secs(600);
/// A count of failures in a row is forgotten after this long without a try.
const FORGET: Duration = Duration::from_secs(86_400);
/// Entries of each table. Full: what ends soonest is dropped first, so an attacker with many
/// addresses forgets only about his own youth.
const ENTRIES: usize = 100_000;

/// Where a connection comes from: an IPv4 address, or the /64 of an IPv6 address, since one
/// person has a whole /64.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(String);

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Network {
        match address.to_canonical() {
            IpAddr::V4(v4) => Network(v4.to_string()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Network(format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"))
            }
        }
    }

    /// The admin socket, which only the machine's owner can open.
    pub fn local() -> Network {
        Network("local".to_owned())
    }

    /// Its text, as stored and logged.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a try is not even checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// This account is blocked for this network, or the network as a whole, until then.
    Until(Time),
    /// The administrator has blocked the account. Said only to who knows the password, or it would
    /// tell which names exist.
    ByAdministrator,
}

/// A count that must survive a restart, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Failures in a row.
    pub failures: u32,
    /// When the last of them was.
    pub since: Time,
    /// Blocked until then; zero: not blocked.
    pub until: Time,
}

impl Count {
    fn ends(&self) -> Time {
        self.until.max(self.since.after(FORGET))
    }
}

#[derive(Default)]
struct Tables {
    /// By key: account and network, network alone, or account alone (the administrator's block).
    counts: HashMap<String, Count>,
    /// Failures of an account within the window, with their networks.
    accounts: HashMap<String, VecDeque<(Time, Network)>>,
    /// Failures from a network within the window, with their accounts.
    networks: HashMap<Network, VecDeque<(Time, String)>>,
    /// Accounts made from a network within the window.
    made: HashMap<Network, VecDeque<(Time, ())>>,
}

/// The bookkeeping of tries.
#[derive(Default)]
pub struct LoginThrottle {
    /// Held for one look or change, never across an await.
    tables: Mutex<Tables>,
}

impl LoginThrottle {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over the counts a former run has saved.
    pub fn restore(&self, rows: impl IntoIterator<Item = (String, Count)>) {
        self.lock().counts.extend(rows);
    }

    /// Counts a try, or says why it is not even checked.
    pub fn begin(
        &self,
        account: &str,
        network: &Network,
        block: Duration,
        now: Time,
    ) -> Result<(), Blocked> {
        let mut tables = self.lock();
        for key in [pair_key(account, network), network_key(network)] {
            if let Some(count) = tables.counts.get(&key)
                && count.until > now
            {
                return Err(Blocked::Until(count.until));
            }
        }
        tables.bound(now);
        tables.note_tries(account, network, now);
        let count = tables.counts.entry(pair_key(account, network)).or_insert(Count {
            failures: 0,
            since: now,
            until: Time(0),
        });
        // A block that has run out, and a count of yesterday, start anew.
        if count.until != Time(0) || count.since.after(FORGET) <= now {
            count.failures = 0;
            count.until = Time(0);
        }
        count.failures += 1;
        count.since = now;
        if count.failures >= IN_A_ROW {
            count.until = now.after(block);
        }
        Ok(())
    }

    /// Counts a question whether a name exists: against the network alone, since asking must not
    /// block anybody's account.
    pub fn ask(&self, account: &str, network: &Network, now: Time) -> Result<(), Blocked> {
        let mut tables = self.lock();
        if let Some(count) = tables.counts.get(&network_key(network))
            && count.until > now
        {
            return Err(Blocked::Until(count.until));
        }
        tables.bound(now);
        tables.note_network(account, network, now);
        Ok(())
    }

    /// Counts an account that is about to be made; fails with when the next may be.
    pub fn make(&self, network: &Network, now: Time) -> Result<(), Time> {
        let mut tables = self.lock();
        tables.bound(now);
        let made = tables.made.entry(network.clone()).or_default();
        let oldest = made.front().map(|(at, ())| at.after(WINDOW)).filter(|until| *until > now);
        match oldest {
            Some(until) if made.len() >= NEW_ACCOUNTS => Err(until),
            _ => {
                note(made, (now, ()), now, NEW_ACCOUNTS);
                Ok(())
            }
        }
    }

    /// Whether only networks that have logged in before may try this account.
    pub fn only_known_networks(&self, account: &str, now: Time) -> bool {
        self.lock().accounts.get(account).is_some_and(|tries| {
            tries.iter().filter(|(at, _)| at.after(WINDOW) > now).count() >= PER_ACCOUNT
        })
    }

    /// The try failed: until when the account is now blocked for the network, if it is.
    pub fn failed(&self, account: &str, network: &Network, now: Time) -> Option<Time> {
        let tables = self.lock();
        let until = tables.counts.get(&pair_key(account, network)).map(|count| count.until);
        until.filter(|until| *until > now)
    }

    /// The try succeeded: what it had counted is taken back. Returns whether there was more than
    /// this try, some of which may have been saved.
    pub fn succeeded(&self, account: &str, network: &Network) -> bool {
        let mut tables = self.lock();
        let count = tables.counts.remove(&pair_key(account, network));
        let mut had_failed = count.is_some_and(|count| count.failures > 1);
        if let Some(tries) = tables.accounts.get_mut(account) {
            tries.retain(|(_, from)| from != network);
        }
        let Some(tries) = tables.networks.get_mut(network) else { return had_failed };
        tries.retain(|(_, name)| name != account);
        if tries.len() < PER_NETWORK {
            had_failed |= tables.counts.remove(&network_key(network)).is_some();
        }
        had_failed
    }

    /// How many blocks hold at this moment, those of the administrator among them.
    pub fn blocked(&self, now: Time) -> usize {
        self.lock().counts.values().filter(|count| count.until > now).count()
    }

    /// Whether the administrator has blocked an account.
    pub fn is_disabled(&self, account: &str, now: Time) -> bool {
        self.lock().counts.get(&admin_key(account)).is_some_and(|count| count.until > now)
    }

    /// The administrator blocks an account everywhere.
    pub fn block(&self, account: &str, until: Time, now: Time) {
        let count = Count { failures: 0, since: now, until };
        self.lock().counts.insert(admin_key(account), count);
    }

    /// The administrator lifts every block of an account. Returns the keys that fell away.
    pub fn unblock(&self, account: &str) -> Vec<String> {
        let mut tables = self.lock();
        tables.accounts.remove(account);
        let prefix = pair_prefix(account);
        let admin = admin_key(account);
        let keys = tables.counts.keys().filter(|key| key.starts_with(&prefix) || **key == admin);
        let keys: Vec<String> = keys.cloned().collect();
        for key in &keys {
            tables.counts.remove(key);
        }
        keys
    }

    /// Until when an account is blocked, and for which network (`None`: everywhere).
    pub fn blocks_of(&self, account: &str, now: Time) -> Vec<(Option<String>, Time)> {
        let tables = self.lock();
        let prefix = pair_prefix(account);
        let admin = admin_key(account);
        let blocked = tables.counts.iter().filter(|(_, count)| count.until > now);
        let mut blocks: Vec<_> = blocked
            .filter_map(|(key, count)| match key.strip_prefix(&prefix) {
                Some(network) => Some((Some(network.to_owned()), count.until)),
                None if *key == admin => Some((None, count.until)),
                None => None,
            })
            .collect();
        blocks.sort();
        blocks
    }

    /// What is to be saved after a try: each key with its count, `None` if it fell away.
    pub fn rows(&self, account: &str, network: &Network) -> Vec<(String, Option<Count>)> {
        let tables = self.lock();
        [pair_key(account, network), network_key(network), admin_key(account)]
            .into_iter()
            .map(|key| {
                let count = tables.counts.get(&key).copied();
                (key, count)
            })
            .collect()
    }
}

impl Tables {
    fn note_tries(&mut self, account: &str, network: &Network, now: Time) {
        let tries = self.accounts.entry(account.to_owned()).or_default();
        note(tries, (now, network.clone()), now, PER_ACCOUNT);
        self.note_network(account, network, now);
    }

    fn note_network(&mut self, account: &str, network: &Network, now: Time) {
        let tries = self.networks.entry(network.clone()).or_default();
        note(tries, (now, account.to_owned()), now, PER_NETWORK);
        if tries.len() >= PER_NETWORK {
            let until = now.after(WINDOW);
            self.counts.insert(network_key(network), Count { failures: 0, since: now, until });
        }
    }

    /// Keeps every table within its bound.
    fn bound(&mut self, now: Time) {
        if self.counts.len() >= ENTRIES {
            self.counts.retain(|_, count| count.ends() > now);
        }
        if self.counts.len() >= ENTRIES {
            // Many at once, so that not every try looks at all of them.
            let mut ends: Vec<Time> = self.counts.values().map(Count::ends).collect();
            let (_, last, _) = ends.select_nth_unstable(ENTRIES / 16);
            let last = *last;
            let mut room = ENTRIES / 16;
            self.counts.retain(|_, count| {
                let goes = room > 0 && count.ends() <= last;
                room -= usize::from(goes);
                !goes
            });
        }
        if self.accounts.len() >= ENTRIES {
            self.accounts.retain(|_, tries| tries.back().is_some_and(|t| t.0.after(WINDOW) > now));
        }
        if self.accounts.len() >= ENTRIES {
            self.accounts.clear();
        }
        if self.networks.len() >= ENTRIES {
            self.networks.retain(|_, tries| tries.back().is_some_and(|t| t.0.after(WINDOW) > now));
        }
        if self.networks.len() >= ENTRIES {
            self.networks.clear();
        }
        if self.made.len() >= ENTRIES {
            self.made.retain(|_, made| made.back().is_some_and(|m| m.0.after(WINDOW) > now));
        }
        if self.made.len() >= ENTRIES {
            self.made.clear();
        }
    }
}

/// Adds to a window, which holds no more than `most` and nothing older than [`WINDOW`].
fn note<T>(tries: &mut VecDeque<(Time, T)>, entry: (Time, T), now: Time, most: usize) {
    while tries.front().is_some_and(|(at, _)| at.after(WINDOW) <= now) || tries.len() >= most {
        tries.pop_front();
    }
    tries.push_back(entry);
}

// The bar can stand in neither an account's key nor an address.
fn pair_prefix(account: &str) -> String {
    format!("pair|{account}|")
}

fn pair_key(account: &str, network: &Network) -> String {
    format!("pair|{account}|{}", network.0)
}

fn network_key(network: &Network) -> String {
    format!("place|{}", network.0)
}

fn admin_key(account: &str) -> String {
    format!("admin|{account}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const NOW: Time = Time(1_000_000_000_000_000);

    fn network(last: u8) -> Network {
        Network::of(IpAddr::from([127, 0, 0, last]))
    }

    fn fail(throttle: &LoginThrottle, account: &str, from: &Network, now: Time) -> Option<Time> {
        throttle.begin(account, from, MINUTE, now).unwrap();
        throttle.failed(account, from, now)
    }

    #[test]
    fn the_third_failure_in_a_row_blocks_the_account_for_the_network() {
        let throttle = LoginThrottle::default();

        assert_eq!(fail(&throttle, "bob", &network(1), NOW), None);
        assert_eq!(fail(&throttle, "bob", &network(1), NOW), None);
        assert_eq!(fail(&throttle, "bob", &network(1), NOW), Some(NOW.after(MINUTE)));

        let blocked = Err(Blocked::Until(NOW.after(MINUTE)));
        assert_eq!(throttle.begin("bob", &network(1), MINUTE, NOW.after(MINUTE / 2)), blocked);
        assert_eq!(throttle.begin("bob", &network(2), MINUTE, NOW), Ok(()));
        assert_eq!(throttle.begin("carol", &network(1), MINUTE, NOW), Ok(()));
        assert_eq!(throttle.begin("bob", &network(1), MINUTE, NOW.after(MINUTE)), Ok(()));
    }

    #[test]
    fn tries_made_at_once_do_not_outrun_the_count() {
        let throttle = LoginThrottle::default();
        for _ in 0..3 {
            throttle.begin("bob", &network(1), MINUTE, NOW).unwrap();
        }

        assert!(throttle.begin("bob", &network(1), MINUTE, NOW).is_err());
    }

    #[test]
    fn after_a_block_has_run_out_the_count_starts_anew() {
        let throttle = LoginThrottle::default();
        for _ in 0..3 {
            fail(&throttle, "bob", &network(1), NOW);
        }
        let later = NOW.after(MINUTE);

        assert_eq!(fail(&throttle, "bob", &network(1), later), None);
        assert_eq!(fail(&throttle, "bob", &network(1), later), None);
        assert!(fail(&throttle, "bob", &network(1), later).is_some());
    }

    #[test]
    fn a_success_resets_the_count() {
        let throttle = LoginThrottle::default();
        fail(&throttle, "bob", &network(1), NOW);
        fail(&throttle, "bob", &network(1), NOW);
        throttle.begin("bob", &network(1), MINUTE, NOW).unwrap();
        assert!(throttle.succeeded("bob", &network(1)), "there were failures");
        throttle.begin("bob", &network(1), MINUTE, NOW).unwrap();
        assert!(!throttle.succeeded("bob", &network(1)), "there were none since");

        assert_eq!(fail(&throttle, "bob", &network(1), NOW), None);
        assert_eq!(fail(&throttle, "bob", &network(1), NOW), None);
    }

    #[test]
    fn twenty_failures_from_everywhere_leave_only_known_networks() {
        let throttle = LoginThrottle::default();
        for n in 1..=19 {
            fail(&throttle, "bob", &network(n), NOW);
        }
        assert!(!throttle.only_known_networks("bob", NOW));
        fail(&throttle, "bob", &network(20), NOW);

        assert!(throttle.only_known_networks("bob", NOW));
        assert!(!throttle.only_known_networks("bob", NOW.after(WINDOW)));
        assert!(!throttle.only_known_networks("carol", NOW));
    }

    #[test]
    fn thirty_failures_from_one_network_block_the_network() {
        let throttle = LoginThrottle::default();
        for n in 0..30 {
            fail(&throttle, &format!("user{n}"), &network(1), NOW);
        }

        assert!(throttle.begin("somebody", &network(1), MINUTE, NOW).is_err());
        assert!(throttle.begin("somebody", &network(2), MINUTE, NOW).is_ok());
        assert!(throttle.begin("somebody", &network(1), MINUTE, NOW.after(WINDOW)).is_ok());
    }

    #[test]
    fn logins_that_succeed_never_block_a_network() {
        let throttle = LoginThrottle::default();
        for n in 0..100 {
            let name = format!("user{n}");
            throttle.begin(&name, &network(1), MINUTE, NOW).unwrap();
            throttle.succeeded(&name, &network(1));
        }
    }

    #[test]
    fn the_administrators_block_holds_everywhere_until_it_is_lifted() {
        let throttle = LoginThrottle::default();
        throttle.block("bob", Time::NEVER, NOW);
        assert!(throttle.is_disabled("bob", NOW));
        assert_eq!(throttle.blocks_of("bob", NOW), [(None, Time::NEVER)]);

        throttle.unblock("bob");
        assert!(!throttle.is_disabled("bob", NOW));
    }

    #[test]
    fn a_block_survives_in_its_rows() {
        let before = LoginThrottle::default();
        for _ in 0..3 {
            fail(&before, "bob", &network(1), NOW);
        }
        let rows = before.rows("bob", &network(1));

        let after = LoginThrottle::default();
        after.restore(rows.into_iter().filter_map(|(key, count)| Some((key, count?))));
        assert!(after.begin("bob", &network(1), MINUTE, NOW).is_err());
    }

    #[test]
    fn one_person_with_many_ipv6_addresses_is_one_network() {
        let network = |text: &str| Network::of(text.parse().unwrap());

        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:127.0.0.1"), network("127.0.0.1"));
    }

    #[test]
    fn a_hundred_accounts_from_one_network_are_enough_for_ten_minutes() {
        let throttle = LoginThrottle::default();
        for _ in 0..NEW_ACCOUNTS {
            throttle.make(&network(1), NOW).unwrap();
        }

        assert_eq!(throttle.make(&network(1), NOW), Err(NOW.after(WINDOW)));
        assert_eq!(throttle.make(&network(2), NOW), Ok(()));
        assert_eq!(throttle.make(&network(1), NOW.after(WINDOW)), Ok(()));
    }

    #[test]
    fn the_tables_are_bounded() {
        let throttle = LoginThrottle::default();
        for n in 0..ENTRIES + 10 {
            let from = Network(n.to_string());
            throttle.begin("x", &from, MINUTE, NOW).unwrap();
        }

        assert!(throttle.lock().counts.len() <= ENTRIES + 1);
        assert!(throttle.lock().networks.len() <= ENTRIES + 1);
    }
}
