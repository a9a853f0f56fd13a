//! Who may try a password, and how often (behaviour.md, Log in 4).
//!
//! A try is *reserved* before it is looked at and resolved afterwards, as failed or not, so that
//! tries made at once do not outrun the count and none of them counts as failed before it has:
//! [`LoginThrottle::begin`] lets it in, lets it wait for one in flight, or says why not. Unknown
//! names count the same as known ones. Pure bookkeeping: time is handed in, what must survive a
//! restart comes out as rows ([`stored`]).

mod counts;
pub mod stored;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Steady;
use crate::network::Network;
use counts::{AccountCount, NetworkCount, thin, thin_pairs};
use stored::Scope;

/// Failures in a row for an account from one network, then it is blocked for that network.
const IN_A_ROW: u32 = 3;
/// Failures for an account over all networks within [`WINDOW`]; then only known networks get in.
const PER_ACCOUNT: usize = 20;
/// What one site adds to them at most, or an attacker at one place would lock the traveller out.
const PER_SITE: usize = IN_A_ROW as usize;
/// Failures from one network over all accounts within [`WINDOW`]; then the network is blocked.
const PER_NETWORK: usize = 30;
/// What one account adds to them at most. Its third failure blocks itself, so it need not also
/// block those beside it: of thirty at one address ten may mistype three times.
const OF_ONE_ACCOUNT: usize = 2;
/// Names about which it is asked whether they exist, from one network within [`WINDOW`]: one for each
/// account that may be made.
const QUESTIONS: usize = NEW_ACCOUNTS;
/// Accounts made from one network within [`WINDOW`]: a class behind one address signs up, a flood
/// of names does not fill the database and everybody's roster.
const NEW_ACCOUNTS: usize = 100;
const WINDOW: Duration = Duration::from_secs(600);
/// A block of an account for a network grows up to this, or to the block duration if that is more.
const LONGEST: Duration = Duration::from_secs(3600);
/// Failures in a row, and the growth of the block after them, are forgotten after this long
/// without another.
const FORGET: Duration = Duration::from_secs(86_400);
/// Pairs of an account and a network, and networks. Full: what ends soonest is dropped first, so an
/// attacker with many addresses forgets only about his own youth.
const ENTRIES: usize = 100_000;
/// For so long a try that is being looked at holds up others: the time between a challenge and its
/// response. It may come later, but then something must be reserved for it anew.
const HELD: Duration = Duration::from_secs(5);
/// Tries that wait for the same account or network; past it the next one is refused.
const WAITING: usize = 100;

/// Whose try it is.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// By what the account is counted.
    pub account: &'a str,
    /// Where the try comes from.
    pub network: Network,
    /// Whether the network is one of the operator's own, in which failures count by account alone.
    pub is_own: bool,
    /// Whether the account has logged in from there lately; `None`: nobody has looked yet.
    pub is_known: Option<bool>,
}

/// What becomes of a try.
#[derive(Debug)]
pub enum Begun {
    /// It may be looked at.
    Reserved(Reservation),
    /// It may not, unless the account is known to come from there: look, and ask again.
    UnlessKnown,
    /// So many are in flight that one more could be one too many: ask again when one of them has
    /// landed, and then the first ends, or when the first of them counts no more.
    Wait(oneshot::Receiver<()>, Steady),
    /// It is not even looked at.
    Blocked(Blocked),
}

/// Why a try is not even looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// This account is blocked for this network, or the network as a whole, until then.
    Until(Steady),
    /// Only networks may try this account from which it has logged in before.
    OnlyKnown,
    /// Too many wait already.
    Crowded,
}

/// A try that is being looked at. Dropped without a word it was none.
#[derive(Debug)]
pub struct Reservation {
    throttle: Arc<LoginThrottle>,
    account: String,
    network: Network,
    is_own: bool,
    /// Known to come from there, and without a failure there: others' failures do not count.
    is_exempt: bool,
    /// From then on it counts no more.
    until: Steady,
}

/// The bookkeeping of tries.
#[derive(Debug, Default)]
pub struct LoginThrottle {
    /// Held for one look or change, never across an await.
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    accounts: HashMap<String, AccountCount>,
    networks: HashMap<Network, NetworkCount>,
    /// Accounts that the administrator has blocked: since when, and until when.
    disabled: HashMap<String, (Steady, Steady)>,
    /// Pairs of an account and a network, in all of `accounts`.
    pairs: usize,
}

/// What a try meets.
enum Admission {
    Free {
        is_exempt: bool,
    },
    UnlessKnown,
    /// Too many in flight for the account, or else for the network.
    Busy {
        account: bool,
    },
    Blocked(Blocked),
}

impl LoginThrottle {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // --- tries ---

    /// Lets a try in, if it may be looked at now.
    pub fn begin(self: &Arc<Self>, who: &Who<'_>, now: Steady) -> Begun {
        let mut tables = self.lock();
        tables.make_room(now);
        match tables.judge(who, now) {
            Admission::UnlessKnown => Begun::UnlessKnown,
            Admission::Blocked(blocked) => Begun::Blocked(blocked),
            Admission::Busy { account } => {
                let (turn, wait) = oneshot::channel();
                let (waiting, until) = match account {
                    true => {
                        let count = tables.account(who.account);
                        let held = count.in_flight.iter().map(|(_, until)| *until);
                        let until = held.filter(|until| *until > now).min();
                        (&mut count.waiting, until)
                    }
                    false => {
                        let count = tables.networks.entry(who.network).or_default();
                        let held = count.in_flight.iter().copied();
                        let until = held.filter(|until| *until > now).min();
                        (&mut count.waiting, until)
                    }
                };
                // Those whose clients have gone meanwhile wait no more.
                waiting.retain(|turn| !turn.is_closed());
                if waiting.len() >= WAITING {
                    return Begun::Blocked(Blocked::Crowded);
                }
                waiting.push(turn);
                Begun::Wait(wait, until.unwrap_or(now.after(HELD)))
            }
            Admission::Free { is_exempt } => {
                let until = now.after(HELD);
                tables.account(who.account).in_flight.push((who.network, until));
                tables.networks.entry(who.network).or_default().in_flight.push(until);
                Begun::Reserved(Reservation {
                    throttle: self.clone(),
                    account: who.account.to_owned(),
                    network: who.network,
                    is_own: who.is_own,
                    is_exempt,
                    until,
                })
            }
        }
    }

    /// The same for what goes on with a try that has failed already: it is counted, so nothing
    /// more is reserved for it and it waits for nobody, but a block stops it.
    ///
    /// # Errors
    /// Why it is not looked at; `None`: unless the account is known to come from there.
    pub fn may_go_on(&self, who: &Who<'_>, now: Steady) -> Result<(), Option<Blocked>> {
        match self.lock().judge(who, now) {
            Admission::Free { .. } | Admission::Busy { .. } => Ok(()),
            Admission::UnlessKnown => Err(None),
            Admission::Blocked(blocked) => Err(Some(blocked)),
        }
    }

    /// Somebody has proved who they are: every block that wrong passwords have earned the account
    /// is lifted, and what it has added to the count of its network is taken back. Returns what of
    /// it may have been stored.
    pub fn succeeded(&self, account: &str, network: Network) -> Vec<Scope> {
        let mut tables = self.lock();
        let mut gone = tables.forgive(account);
        if let Some(count) = tables.networks.get_mut(&network) {
            let before = count.recent.len();
            count.recent.retain(|(_, name)| name != account);
            // After a restart nobody knows whose failures have blocked it.
            let was_enough = before >= PER_NETWORK && count.recent.len() < PER_NETWORK;
            if count.until.is_some() && was_enough {
                count.until = None;
                gone.push(Scope::Network(network));
            }
        }
        gone
    }

    /// Every block that wrong passwords have earned the account is lifted, and its growth: it has
    /// a new password. Returns what of it may have been stored.
    pub fn forgive(&self, account: &str) -> Vec<Scope> {
        self.lock().forgive(account)
    }

    // --- names and new accounts ---

    /// Counts a question whether a name exists, once for each name. It has a count of its own, since
    /// asking must block neither an account nor anybody's login.
    ///
    /// # Errors
    /// When the next question may be asked.
    pub fn ask(&self, name: &str, network: Network, now: Steady) -> Result<(), Steady> {
        let mut tables = self.lock();
        tables.make_room(now);
        let count = tables.networks.entry(network).or_default();
        let mut asked = count.questions.iter().filter(|(at, _)| at.after(WINDOW) > now);
        if asked.any(|(_, asked)| asked == name) {
            return Ok(());
        }
        counts::admit(&mut count.questions, name.to_owned(), QUESTIONS, now)
    }

    /// Counts an account that is about to be made.
    ///
    /// # Errors
    /// When the next one may be made.
    pub fn make(&self, network: Network, now: Steady) -> Result<(), Steady> {
        let mut tables = self.lock();
        tables.make_room(now);
        let count = tables.networks.entry(network).or_default();
        counts::admit(&mut count.made, (), NEW_ACCOUNTS, now)
    }

    /// The account was made: who asked about its name had a reason to.
    pub fn made(&self, name: &str, network: Network) {
        if let Some(count) = self.lock().networks.get_mut(&network) {
            count.questions.retain(|(_, asked)| asked != name);
        }
    }

    // --- the administrator ---

    /// The administrator blocks an account everywhere until then.
    pub fn block(&self, account: &str, until: Steady, now: Steady) -> Vec<Scope> {
        self.lock().disabled.insert(account.to_owned(), (now, until));
        vec![Scope::Account(account.to_owned())]
    }

    /// The administrator lifts every block of an account, also their own. Returns what of it may
    /// have been stored.
    pub fn unblock(&self, account: &str) -> Vec<Scope> {
        let mut tables = self.lock();
        let mut gone = tables.forgive(account);
        if tables.disabled.remove(account).is_some() {
            gone.push(Scope::Account(account.to_owned()));
        }
        gone
    }

    /// The administrator lets in who comes from a network: its block is lifted, and those of all
    /// accounts for its site. Returns how many blocks that were, and what may have been stored.
    pub fn unblock_network(&self, network: Network, now: Steady) -> (usize, Vec<Scope>) {
        let mut tables = self.lock();
        let (mut lifted, mut gone) = (0, Vec::new());
        if let Some(count) = tables.networks.get_mut(&network) {
            lifted += usize::from(count.is_blocked(now));
            count.recent.clear();
            gone.extend(count.until.take().map(|_| Scope::Network(network)));
            if count.is_empty() {
                tables.networks.remove(&network);
            }
        }
        let of_site = |(of, _): &(Network, Steady)| of.site() == network.site();
        tables.accounts.retain(|account, count| {
            lifted += count.blocks(now).filter(of_site).count();
            let networks = count.forgive_site(network.site());
            gone.extend(networks.into_iter().map(|one| Scope::Pair(account.clone(), one)));
            !count.is_empty()
        });
        tables.pairs = tables.accounts.values().map(AccountCount::pairs).sum();
        (lifted, gone)
    }

    // --- looks ---

    /// How many blocks hold at this moment, those of the administrator among them.
    pub fn blocked(&self, now: Steady) -> usize {
        let tables = self.lock();
        let pairs = tables.accounts.values().map(|count| count.blocks(now).count());
        let networks = tables.networks.values().filter(|count| count.is_blocked(now)).count();
        let disabled = tables.disabled.values().filter(|(_, until)| *until > now).count();
        pairs.sum::<usize>() + networks + disabled
    }

    /// Whether the administrator has blocked an account.
    pub fn is_disabled(&self, account: &str, now: Steady) -> bool {
        self.lock().disabled.get(account).is_some_and(|(_, until)| *until > now)
    }

    /// Until when an account is blocked, and for which network (`None`: everywhere).
    pub fn blocks_of(&self, account: &str, now: Steady) -> Vec<(Option<Network>, Steady)> {
        let tables = self.lock();
        let disabled = tables.disabled.get(account).filter(|(_, until)| *until > now);
        let mut blocks: Vec<_> = disabled.map(|(_, until)| (None, *until)).into_iter().collect();
        let pairs = tables.accounts.get(account).into_iter().flat_map(|count| count.blocks(now));
        blocks.extend(pairs.map(|(network, until)| (Some(network), until)));
        blocks.sort();
        blocks
    }

    /// The networks that are blocked as a whole, and until when.
    pub fn blocked_networks(&self, now: Steady) -> Vec<(Network, Steady)> {
        let tables = self.lock();
        let blocked = tables.networks.iter().filter_map(|(network, count)| {
            Some((*network, count.until.filter(|until| *until > now)?))
        });
        let mut blocked: Vec<_> = blocked.collect();
        blocked.sort();
        blocked
    }
}

impl Reservation {
    /// Whether it counts no more: others may have come in its stead, so nothing may be looked at
    /// for it.
    pub fn is_late(&self, now: Steady) -> bool {
        self.until <= now
    }

    /// The try has failed, which counts. `block` is how long a first block lasts. Returns until
    /// when the account is blocked for the network, if this was the last of so many in a row; and
    /// what is to be stored.
    pub fn fail(self, block: Duration, now: Steady) -> (Option<Steady>, Vec<Scope>) {
        let mut tables = self.throttle.lock();
        let mut changed = vec![Scope::Pair(self.account.clone(), self.network)];
        if !self.is_own
            && let Some(count) = tables.networks.get_mut(&self.network)
            && count.fail(&self.account, now)
        {
            changed.push(Scope::Network(self.network));
        }
        let count = tables.account(&self.account);
        let before = count.pairs();
        let until = count.fail(self.network, self.is_exempt, block, now);
        // Fewer than before, perhaps: a failure also forgets those of its site that are over.
        let after = count.pairs();
        tables.pairs = tables.pairs.saturating_sub(before).saturating_add(after);
        drop(tables);
        (until.filter(|until| *until > now), changed)
        // What was reserved is free again, and who waits asks anew, when `self` is dropped here:
        // after the failure is counted.
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut tables = self.throttle.lock();
        if let Some(count) = tables.accounts.get_mut(&self.account) {
            count.land(self.network, self.until);
            if count.is_empty() {
                tables.accounts.remove(&self.account);
            }
        }
        if let Some(count) = tables.networks.get_mut(&self.network) {
            count.land(self.until);
            if count.is_empty() {
                tables.networks.remove(&self.network);
            }
        }
    }
}

impl Tables {
    fn account(&mut self, account: &str) -> &mut AccountCount {
        self.accounts.entry(account.to_owned()).or_default()
    }

    fn judge(&self, who: &Who<'_>, now: Steady) -> Admission {
        let nothing = AccountCount::default();
        let account = self.accounts.get(who.account).unwrap_or(&nothing);
        let has_failed = account.has_failed(who.network, now);
        let is_known = who.is_known == Some(true);
        if is_known && !has_failed {
            // Others' failures are not its own: only its own tries can be too many at once.
            let in_flight = account.in_flight(now, |network| network == who.network);
            return match in_flight >= IN_A_ROW as usize {
                true => Admission::Busy { account: true },
                false => Admission::Free { is_exempt: true },
            };
        }
        // Whatever follows may be others' doing.
        let unless_known = |verdict: Admission| match who.is_known {
            None if !has_failed => Admission::UnlessKnown,
            _ => verdict,
        };
        let site = account.site(who.network.site(), now);
        if let Some(until) = site.until.filter(|until| *until > now) {
            return unless_known(Admission::Blocked(Blocked::Until(until)));
        }
        let network = self.networks.get(&who.network).filter(|_| !who.is_own);
        if let Some(until) = network.and_then(|count| count.until).filter(|until| *until > now) {
            return unless_known(Admission::Blocked(Blocked::Until(until)));
        }
        let (failed, at_most) = account.over_all(who.network.site(), now);
        if failed >= PER_ACCOUNT && !is_known {
            return match who.is_known {
                None => Admission::UnlessKnown,
                Some(_) => Admission::Blocked(Blocked::OnlyKnown),
            };
        }
        if site.failures % IN_A_ROW + site.in_flight >= IN_A_ROW {
            return unless_known(Admission::Busy { account: true });
        }
        if at_most > PER_ACCOUNT && !is_known {
            return match who.is_known {
                None => Admission::UnlessKnown,
                Some(_) => Admission::Busy { account: true },
            };
        }
        if network.is_some_and(|count| count.at_most(now) >= PER_NETWORK) {
            return unless_known(Admission::Busy { account: false });
        }
        Admission::Free { is_exempt: false }
    }

    /// Every pair of the account, and what it has failed over all networks. Who waits asks anew.
    fn forgive(&mut self, account: &str) -> Vec<Scope> {
        let Some(count) = self.accounts.get_mut(account) else { return Vec::new() };
        let networks = count.forgive();
        self.pairs = self.pairs.saturating_sub(networks.len());
        if count.is_empty() {
            self.accounts.remove(account);
        }
        networks.into_iter().map(|network| Scope::Pair(account.to_owned(), network)).collect()
    }

    /// Keeps every table within its bound.
    fn make_room(&mut self, now: Steady) {
        // An account is there for its pairs, or for what is in flight, which connections bound.
        if self.pairs >= ENTRIES {
            self.pairs = thin_pairs(&mut self.accounts, now);
        }
        if self.networks.len() >= ENTRIES {
            thin(&mut self.networks, now, NetworkCount::ends);
        }
    }
}

/// For tests, of other files too.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    pub fn throttle() -> Arc<LoginThrottle> {
        Arc::default()
    }

    pub fn network(last: u8) -> Network {
        Network::of([192, 0, 2, last].into())
    }

    /// A try of somebody who does not usually come from there.
    pub fn stranger(account: &str, network: Network) -> Who<'_> {
        Who { account, network, is_own: false, is_known: Some(false) }
    }

    pub fn reserve(
        throttle: &Arc<LoginThrottle>,
        account: &str,
        last: u8,
        now: Steady,
    ) -> Reservation {
        match throttle.begin(&stranger(account, network(last)), now) {
            Begun::Reserved(reservation) => reservation,
            other => panic!("{other:?}"),
        }
    }
}
