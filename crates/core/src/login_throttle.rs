//! Who may try a password, and how often (behaviour.md, Log in 4).
//!
//! A try is *reserved* before it is checked and resolved afterwards, as failed or not. So tries
//! made at once do not outrun the count, and none of them counts as failed before it has failed:
//! [`LoginThrottle::begin`] admits it, lets it wait for one in flight, or says why not. Unknown
//! names count the same as known ones. This is pure bookkeeping: time is handed in, and what must
//! survive a restart comes out as rows ([`stored`]).

mod counts;
pub mod stored;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::clock::Steady;
use crate::network::{Network, Place, Site};
use counts::{AccountCount, PlaceCount, Window, thin, thin_pairs};
use stored::Scope;

/// Failures in a row for an account from one network, before it is blocked for that network.
const IN_A_ROW: u32 = 3;
/// Failures for an account over all networks within [`WINDOW`], before only known networks are
/// admitted.
const PER_ACCOUNT: usize = 20;
/// The most that one site adds to this count; otherwise an attacker at one place would lock out the
/// account's user elsewhere.
const PER_SITE: usize = IN_A_ROW as usize;
/// Failures from one network over all accounts within [`WINDOW`], before the network is blocked;
/// of the places around it, [`OF_A_HOME`] and [`OF_A_SITE`] times as many.
const PER_NETWORK: usize = 30;
/// The most that one account adds to this count. Its third failure blocks the account itself, so it
/// need not also block its neighbours: of thirty people at one address, ten may mistype three
/// times.
const OF_ONE_ACCOUNT: usize = 2;
/// The most names whose existence one network may ask about within [`WINDOW`]: one for each account
/// that may be made.
const QUESTIONS: usize = NEW_ACCOUNTS;
/// Accounts made from one network within [`WINDOW`]: a class behind one address can sign up, but a
/// flood of names does not fill the database and everybody's roster.
const NEW_ACCOUNTS: usize = 100;
/// Proofs of former passwords from one network within [`WINDOW`]: ten devices that try every minute.
/// A client that goes through all its mechanisms counts once for each of them.
const FORMER: usize = 100;
/// How many times as much as a network a home (an IPv6 /56) may, and a whole site (a /48): no more from
/// 65,536 networks that one person can have, and enough for a university. One home of a site whose others
/// are strangers' never uses up more than a quarter of what all may.
const OF_A_HOME: usize = 4;
const OF_A_SITE: usize = 16;
const WINDOW: Duration = Duration::from_secs(600);
/// The longest block of an account for a network, unless the block duration is longer.
const LONGEST: Duration = Duration::from_secs(3600);
/// Failures in a row, and the growth of the block after them, are forgotten after this long without
/// another failure.
const FORGET: Duration = Duration::from_secs(86_400);
/// The most pairs of an account and a network, and the most places. When full, what ends soonest
/// is dropped first: an attacker with many addresses only pushes out their own oldest entries.
const ENTRIES: usize = 100_000;
/// So few places may stay though they have expired.
const FEW_PLACES: usize = 1_000;
/// How long a try that is being checked holds up others: the time between a challenge and its
/// response. A later response is accepted, but needs a new reservation.
const HELD: Duration = Duration::from_secs(5);
/// The most tries that wait for the same account or place; the next one is refused.
const WAITING: usize = 100;

/// Whose try it is, and from where.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// The key by which the account is counted.
    pub account: &'a str,
    /// The network from which the try comes.
    pub network: Network,
    /// Whether the network is one of the operator's own, in which failures count for the account
    /// alone.
    pub is_own: bool,
    /// Whether the account has logged in from there lately; `None`: not looked up yet.
    pub is_known: Option<bool>,
}

/// The answer to a try.
#[derive(Debug)]
pub enum Begun {
    /// It may be checked.
    Reserved(Reservation),
    /// It may not, unless the account is known to log in from there: look that up, and ask again.
    UnlessKnown,
    /// So many are in flight that one more could be one too many. Ask again when the first future
    /// ends (one of them is resolved), or at the time given (the first of them stops counting).
    Wait(oneshot::Receiver<()>, Steady),
    /// It is refused without a check.
    Blocked(Blocked),
}

/// Why a try is refused without a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// This account is blocked for this network, or the whole network or its site is, until then.
    Until(Steady),
    /// Only networks from which this account has logged in before may try it.
    OnlyKnown,
    /// Too many tries wait already.
    Crowded,
}

/// A try that is being checked. If it is dropped unresolved, it does not count.
#[derive(Debug)]
pub struct Reservation {
    throttle: Arc<LoginThrottle>,
    account: String,
    network: Network,
    is_own: bool,
    /// Whether the account is known there and has not failed there: then others' failures do not
    /// count.
    is_exempt: bool,
    /// When it stops counting as in flight.
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
    places: HashMap<Place, PlaceCount>,
    /// Accounts that the administrator has blocked: since when, and until when.
    disabled: HashMap<String, (Steady, Steady)>,
    /// The number of pairs of an account and a network, in all of `accounts`.
    pairs: usize,
    /// The pairs that were dropped to make room and may be stored. Nothing else would delete them before
    /// they are old.
    dropped: Vec<(String, Network)>,
    /// How many places there may be before those are looked for that have expired.
    places_until_look: usize,
    names: RandomState,
}

/// The state that a try meets.
enum Admission {
    Free {
        is_exempt: bool,
    },
    UnlessKnown,
    /// Too many are in flight for the account, or from the place.
    Busy(Option<Place>),
    Blocked(Blocked),
}

impl LoginThrottle {
    // --- tries ---

    /// Admits a try, if it may be checked now.
    pub fn begin(self: &Arc<Self>, who: &Who<'_>, now: Steady) -> Begun {
        let mut tables = self.tables.lock();
        tables.make_room(now);
        match tables.judge(who, now) {
            Admission::UnlessKnown => Begun::UnlessKnown,
            Admission::Blocked(blocked) => Begun::Blocked(blocked),
            Admission::Busy(place) => {
                let (turn, wait) = oneshot::channel();
                let (waiting, until) = match place {
                    None => {
                        let count = tables.account(who.account);
                        let held = count.in_flight.iter().map(|(_, until)| *until);
                        let until = held.filter(|until| *until > now).min();
                        (&mut count.waiting, until)
                    }
                    Some(place) => {
                        let count = tables.places.entry(place).or_default();
                        let held = count.in_flight.iter().copied();
                        let until = held.filter(|until| *until > now).min();
                        (&mut count.waiting, until)
                    }
                };
                // Waiters whose clients have gone meanwhile wait no more.
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
                for place in places(who.network, who.is_own) {
                    tables.places.entry(place).or_default().in_flight.push(until);
                }
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

    /// Admits what continues a try that has failed already. That try is counted, so nothing more is
    /// reserved and it waits for nobody, but a block stops it.
    ///
    /// # Errors
    /// Why it is refused; `None`: unless the account is known to log in from there.
    pub fn may_go_on(&self, who: &Who<'_>, now: Steady) -> Result<(), Option<Blocked>> {
        let admission = self.tables.lock().judge(who, now);
        match admission {
            Admission::Free { .. } | Admission::Busy(_) => Ok(()),
            Admission::UnlessKnown => Err(None),
            Admission::Blocked(blocked) => Err(Some(blocked)),
        }
    }

    /// Notes a successful login. Lifts every block that wrong passwords have caused for the
    /// account, and takes back what it has added to the counts of where it comes from. Returns which
    /// of this may have been stored.
    pub fn succeeded(&self, account: &str, network: Network) -> Vec<Scope> {
        let mut tables = self.tables.lock();
        let mut gone = tables.forgive(account);
        let hash = tables.names.hash_one(account);
        for place in network.places() {
            let Some(count) = tables.places.get_mut(&place) else { continue };
            let (before, enough) = (count.recent.len(), most(PER_NETWORK, place));
            count.recent.retain(|(_, name)| *name != hash);
            // After a restart it is not known whose failures have blocked it.
            let was_enough = before >= enough && count.recent.len() < enough;
            if count.until.is_some() && was_enough {
                count.until = None;
                gone.push(Scope::Place(place));
            }
        }
        gone
    }

    /// Lifts every block that wrong passwords have caused for the account, with its growth, because
    /// it has a new password. Returns which of this may have been stored.
    pub fn forgive(&self, account: &str) -> Vec<Scope> {
        self.tables.lock().forgive(account)
    }

    // --- names and new accounts ---

    /// Counts a question whether a name exists, once for each name. Questions have a count of their
    /// own, since they must block neither an account nor anybody's login.
    ///
    /// # Errors
    /// When the next question may be asked.
    pub fn ask(&self, name: &str, network: Network, now: Steady) -> Result<(), Steady> {
        let mut tables = self.tables.lock();
        tables.make_room(now);
        let name = tables.names.hash_one(name);
        let asked = tables.places.get(&Place::Network(network)).map(|count| &count.questions);
        let mut asked = asked.into_iter().flatten().filter(|(at, _)| at.after(WINDOW) > now);
        if asked.any(|(_, asked)| *asked == name) {
            return Ok(());
        }
        tables.admit(network, |count| &mut count.questions, name, QUESTIONS, now)
    }

    /// Counts an account that is about to be made.
    ///
    /// # Errors
    /// When the next one may be made.
    pub fn make(&self, network: Network, now: Steady) -> Result<(), Steady> {
        let mut tables = self.tables.lock();
        tables.make_room(now);
        tables.admit(network, |count| &mut count.made, (), NEW_ACCOUNTS, now)
    }

    /// Notes that the account was made: whoever asked about its name had a reason to.
    pub fn made(&self, name: &str, network: Network) {
        let mut tables = self.tables.lock();
        let name = tables.names.hash_one(name);
        for place in network.places() {
            if let Some(count) = tables.places.get_mut(&place) {
                count.questions.retain(|(_, asked)| *asked != name);
            }
        }
    }

    /// Counts a proof of a former password.
    ///
    /// # Errors
    /// When the next one may be answered.
    pub fn former(&self, network: Network, now: Steady) -> Result<(), Steady> {
        let mut tables = self.tables.lock();
        tables.make_room(now);
        tables.admit(network, |count| &mut count.former, (), FORMER, now)
    }

    // --- the administrator ---

    /// Blocks an account everywhere until then, on an administrator's behalf.
    pub fn block(&self, account: &str, until: Steady, now: Steady) -> Vec<Scope> {
        self.tables.lock().disabled.insert(account.to_owned(), (now, until));
        vec![Scope::Account(account.to_owned())]
    }

    /// Lifts every block of an account, also an administrator's. Returns which of this may have
    /// been stored.
    pub fn unblock(&self, account: &str) -> Vec<Scope> {
        let mut tables = self.tables.lock();
        let mut gone = tables.forgive(account);
        if tables.disabled.remove(account).is_some() {
            gone.push(Scope::Account(account.to_owned()));
        }
        gone
    }

    /// Lifts the block of a site, of all networks of it, and of all accounts for them, on an
    /// administrator's behalf. Returns how many blocks that were, and which may have been stored.
    pub fn unblock_site(&self, site: Site, now: Steady) -> (usize, Vec<Scope>) {
        let mut tables = self.tables.lock();
        let (mut lifted, mut gone) = (0, Vec::new());
        tables.places.retain(|place, count| {
            if place.site() != site {
                return true;
            }
            lifted += usize::from(count.is_blocked(now));
            count.recent.clear();
            gone.extend(count.until.take().map(|_| Scope::Place(*place)));
            !count.is_empty()
        });
        let of_site = |(of, _): &(Network, Steady)| of.site() == site;
        tables.accounts.retain(|account, count| {
            lifted += count.blocks(now).filter(of_site).count();
            let networks = count.forgive_site(site);
            gone.extend(networks.into_iter().map(|one| Scope::Pair(account.clone(), one)));
            !count.is_empty()
        });
        tables.pairs = tables.accounts.values().map(AccountCount::pairs).sum();
        (lifted, gone)
    }

    // --- looks ---

    /// Returns how many blocks hold at this moment, including those by administrators.
    pub fn blocked(&self, now: Steady) -> usize {
        let tables = self.tables.lock();
        let pairs = tables.accounts.values().map(|count| count.blocks(now).count());
        let places = tables.places.values().filter(|count| count.is_blocked(now)).count();
        let disabled = tables.disabled.values().filter(|(_, until)| *until > now).count();
        pairs.sum::<usize>() + places + disabled
    }

    /// Whether the administrator has blocked an account.
    pub fn is_disabled(&self, account: &str, now: Steady) -> bool {
        self.tables.lock().disabled.get(account).is_some_and(|(_, until)| *until > now)
    }

    /// Returns until when an account is blocked, and for which network (`None`: everywhere).
    pub fn blocks_of(&self, account: &str, now: Steady) -> Vec<(Option<Network>, Steady)> {
        let tables = self.tables.lock();
        let disabled = tables.disabled.get(account).filter(|(_, until)| *until > now);
        let mut blocks: Vec<_> = disabled.map(|(_, until)| (None, *until)).into_iter().collect();
        let pairs = tables.accounts.get(account).into_iter().flat_map(|count| count.blocks(now));
        blocks.extend(pairs.map(|(network, until)| (Some(network), until)));
        blocks.sort();
        blocks
    }

    /// Returns the places that are blocked as a whole, and until when.
    pub fn blocked_places(&self, now: Steady) -> Vec<(Place, Steady)> {
        let tables = self.tables.lock();
        let blocked = tables
            .places
            .iter()
            .filter_map(|(place, count)| Some((*place, count.until.filter(|until| *until > now)?)));
        let mut blocked: Vec<_> = blocked.collect();
        blocked.sort();
        blocked
    }
}

impl Reservation {
    /// Whether this reservation no longer counts as in flight. Others may have been admitted in its
    /// place, so nothing may be checked under it.
    pub fn is_late(&self, now: Steady) -> bool {
        self.until <= now
    }

    /// Counts the try as failed. `block` is how long a first block lasts. Returns until when the
    /// account is blocked for the network, if this failure caused a block; and what is to be
    /// stored.
    pub fn fail(self, block: Duration, now: Steady) -> (Option<Steady>, Vec<Scope>) {
        let mut tables = self.throttle.tables.lock();
        let mut pairs = std::mem::take(&mut tables.dropped);
        pairs.push((self.account.clone(), self.network));
        let pairs = pairs.into_iter().map(|(account, network)| Scope::Pair(account, network));
        let mut changed: Vec<Scope> = pairs.collect();
        let name = tables.names.hash_one(&self.account);
        for place in places(self.network, self.is_own) {
            if let Some(count) = tables.places.get_mut(&place)
                && count.fail(name, most(PER_NETWORK, place), now)
            {
                changed.push(Scope::Place(place));
            }
        }
        let count = tables.account(&self.account);
        let before = count.pairs();
        let until = count.fail(self.network, self.is_exempt, block, now);
        // The count may be lower than before: a failure also drops expired failures of its site.
        let after = count.pairs();
        tables.pairs = tables.pairs.saturating_sub(before).saturating_add(after);
        drop(tables);
        (until.filter(|until| *until > now), changed)
        // Dropping `self` here, after the failure is counted, releases the reservation and wakes
        // the waiters.
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut tables = self.throttle.tables.lock();
        if let Some(count) = tables.accounts.get_mut(&self.account) {
            count.land(self.network, self.until);
            if count.is_empty() {
                tables.accounts.remove(&self.account);
            }
        }
        for place in places(self.network, self.is_own) {
            if let Some(count) = tables.places.get_mut(&place) {
                count.land(self.until);
                if count.is_empty() {
                    tables.places.remove(&place);
                }
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
            // The failures of others are not its own: only its own tries can be too many at once.
            let in_flight = account.in_flight(now, |network| network == who.network);
            return match in_flight >= IN_A_ROW as usize {
                true => Admission::Busy(None),
                false => Admission::Free { is_exempt: true },
            };
        }
        // Whatever follows may be the doing of others.
        let unless_known = |verdict: Admission| match who.is_known {
            None if !has_failed => Admission::UnlessKnown,
            _ => verdict,
        };
        let site = account.site(who.network.site(), now);
        if let Some(until) = site.until.filter(|until| *until > now) {
            return unless_known(Admission::Blocked(Blocked::Until(until)));
        }
        let places = || {
            places(who.network, who.is_own)
                .filter_map(|place| Some((place, self.places.get(&place)?)))
        };
        let blocked = places().filter_map(|(_, count)| count.until).max();
        if let Some(until) = blocked.filter(|until| *until > now) {
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
            return unless_known(Admission::Busy(None));
        }
        if at_most > PER_ACCOUNT && !is_known {
            return match who.is_known {
                None => Admission::UnlessKnown,
                Some(_) => Admission::Busy(None),
            };
        }
        let mut full =
            places().filter(|(place, count)| count.at_most(now) >= most(PER_NETWORK, *place));
        if let Some((place, _)) = full.next() {
            return unless_known(Admission::Busy(Some(place)));
        }
        Admission::Free { is_exempt: false }
    }

    /// Removes every pair of the account, and its failures over all networks. The waiters ask anew.
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
        // An account's entry lives for its pairs, or for what is in flight, which connections
        // bound.
        if self.pairs >= ENTRIES {
            self.pairs = thin_pairs(&mut self.accounts, &mut self.dropped, now);
        }
        if self.places.len() >= self.places_until_look.clamp(FEW_PLACES, ENTRIES) {
            thin(&mut self.places, now, PlaceCount::ends);
            // Again when there are twice as many, so that not every try looks at all of them.
            self.places_until_look = 2 * self.places.len();
        }
    }

    /// Adds to a window of all places of a network, or to none. `per_network` is what a network may.
    /// If one is full, returns when there is room again.
    fn admit<T: Copy>(
        &mut self,
        network: Network,
        window: fn(&mut PlaceCount) -> &mut Window<T>,
        entry: T,
        per_network: usize,
        now: Steady,
    ) -> Result<(), Steady> {
        for place in network.places() {
            let window = window(self.places.entry(place).or_default());
            counts::has_room(window, most(per_network, place), now)?;
        }
        for place in network.places() {
            window(self.places.entry(place).or_default()).push_back((now, entry));
        }
        Ok(())
    }
}

/// The places whose counts a try concerns: none, where failures count for the account alone.
fn places(network: Network, is_own: bool) -> impl Iterator<Item = Place> {
    let counted = (!is_own).then_some(network);
    counted.into_iter().flat_map(Network::places)
}

/// What a place may, where a network may so much.
fn most(per_network: usize, place: Place) -> usize {
    match place {
        Place::Network(_) => per_network,
        Place::Home(_) => per_network * OF_A_HOME,
        Place::Site(_) => per_network * OF_A_SITE,
    }
}

/// For tests, also those of other files.
#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    pub fn throttle() -> Arc<LoginThrottle> {
        Arc::default()
    }

    pub fn network(last: u8) -> Network {
        Network::of([192, 0, 2, last].into())
    }

    /// A try from a network in which the account is not known.
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
