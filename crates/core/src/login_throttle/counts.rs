//! The counts for one account and for one place: failures, tries in flight, waiters.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use tokio::sync::oneshot;

use super::{ENTRIES, FORGET, IN_A_ROW, LONGEST, OF_ONE_ACCOUNT, PER_ACCOUNT, PER_SITE, WINDOW};
use crate::clock::Steady;
use crate::network::{Network, Site};

/// An account and a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    /// Failures since the last success. Every third one in a row blocks, for longer each time.
    pub failures: u32,
    /// When the last failure was.
    pub last: Steady,
    /// Until when the pair is blocked.
    pub until: Option<Steady>,
}

impl Pair {
    fn ends(&self) -> Steady {
        self.last.after(FORGET).max(self.until.unwrap_or(self.last))
    }
}

/// What is counted for one account.
#[derive(Debug, Default)]
pub(super) struct AccountCount {
    /// The networks it has failed from, by their sites.
    sites: HashMap<Site, BTreeMap<Network, Pair>>,
    /// Failures within [`WINDOW`]: the last few of each site.
    recent: Window<Site>,
    /// The tries that are being checked: until when each of them counts.
    pub in_flight: Vec<(Network, Steady)>,
    /// The tries that wait for one of them.
    pub waiting: Vec<oneshot::Sender<()>>,
}

/// The sum over a site.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SiteCount {
    pub failures: u32,
    pub in_flight: u32,
    pub until: Option<Steady>,
}

impl AccountCount {
    /// The sum over a site.
    pub fn site(&self, site: Site, now: Steady) -> SiteCount {
        let pairs = self.sites.get(&site).into_iter().flat_map(BTreeMap::values);
        let held = pairs.filter(|pair| pair.ends() > now);
        let (failures, until) = held.fold((0_u32, None), |(failures, until), pair| {
            (failures.saturating_add(pair.failures), pair.until.max(until))
        });
        let in_flight = self.in_flight(now, |network| network.site() == site);
        SiteCount { failures, until, in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX) }
    }

    /// Whether it has failed from this network and not succeeded since.
    pub fn has_failed(&self, network: Network, now: Steady) -> bool {
        let pair = self.sites.get(&network.site()).and_then(|pairs| pairs.get(&network));
        pair.is_some_and(|pair| pair.ends() > now)
    }

    /// Returns how many tries from these networks are being checked.
    pub fn in_flight(&self, now: Steady, of: impl Fn(Network) -> bool) -> usize {
        let held = self.in_flight.iter().filter(|(_, until)| *until > now);
        held.filter(|(network, _)| of(*network)).count()
    }

    /// Returns the failures over all networks, and how many there would be if everything in flight
    /// failed and one more from this site. Each site adds only so many.
    pub fn over_all(&self, next: Site, now: Steady) -> (usize, usize) {
        let mut sites: BTreeMap<Site, usize> = BTreeMap::new();
        let recent = self.recent.iter().filter(|(at, _)| at.after(WINDOW) > now);
        recent.for_each(|(_, site)| *sites.entry(*site).or_default() += 1);
        let sum = |sites: &BTreeMap<Site, usize>| -> usize {
            sites.values().map(|tries| (*tries).min(PER_SITE)).sum()
        };
        let failed = sum(&sites);
        for (network, _) in self.in_flight.iter().filter(|(_, until)| *until > now) {
            *sites.entry(network.site()).or_default() += 1;
        }
        *sites.entry(next).or_default() += 1;
        (failed, sum(&sites))
    }

    /// Counts a failure. Returns until when the account is now blocked for the network, if this
    /// failure caused a block. It counts failures from the whole site, or from the network alone if
    /// the account is exempt from what others do.
    pub fn fail(
        &mut self,
        network: Network,
        is_exempt: bool,
        block: Duration,
        now: Steady,
    ) -> Option<Steady> {
        let site = network.site();
        let of_site = self.recent.iter().filter(|(_, of)| *of == site).count();
        if of_site >= PER_SITE
            && let Some(oldest) = self.recent.iter().position(|(_, of)| *of == site)
        {
            self.recent.remove(oldest);
        }
        note(&mut self.recent, (now, site), PER_ACCOUNT, now);
        let pairs = self.sites.entry(site).or_default();
        pairs.retain(|_, pair| pair.ends() > now);
        let pair = pairs.entry(network).or_insert(Pair { failures: 0, last: now, until: None });
        pair.failures = pair.failures.saturating_add(1);
        pair.last = now;
        let own = pair.failures;
        let in_a_row = match is_exempt {
            true => own,
            false => pairs.values().fold(0, |sum: u32, pair| sum.saturating_add(pair.failures)),
        };
        if in_a_row % IN_A_ROW != 0 {
            return None;
        }
        let until = now.after(block_after(in_a_row, block));
        pairs.entry(network).and_modify(|pair| pair.until = Some(until));
        Some(until)
    }

    /// Adds a pair that a former run has stored.
    pub fn restore(&mut self, network: Network, pair: Pair) {
        self.sites.entry(network.site()).or_default().insert(network, pair);
    }

    /// Returns a pair, as it is to be stored.
    pub fn pair(&self, network: Network) -> Option<Pair> {
        self.sites.get(&network.site())?.get(&network).copied()
    }

    /// Removes a try that is over. Dropping their senders wakes the waiters, which ask anew.
    pub fn land(&mut self, network: Network, until: Steady) {
        if let Some(nth) = self.in_flight.iter().position(|of| *of == (network, until)) {
            self.in_flight.swap_remove(nth);
        }
        self.waiting.clear();
    }

    /// Forgets every failure; returns where there were some.
    pub fn forgive(&mut self) -> Vec<Network> {
        self.recent.clear();
        let sites = std::mem::take(&mut self.sites);
        sites.into_values().flat_map(BTreeMap::into_keys).collect()
    }

    /// Forgets every failure of one site.
    pub fn forgive_site(&mut self, site: Site) -> Vec<Network> {
        self.recent.retain(|(_, of)| *of != site);
        let pairs = self.sites.remove(&site).unwrap_or_default();
        pairs.into_keys().collect()
    }

    /// Keeps only these pairs. If none is left, the recent failures are forgotten as well.
    fn retain(&mut self, mut keep: impl FnMut(Network, &Pair) -> bool) {
        self.sites.retain(|_, pairs| {
            pairs.retain(|network, pair| keep(*network, pair));
            !pairs.is_empty()
        });
        if self.sites.is_empty() {
            self.recent.clear();
        }
    }

    /// Returns the networks for which it is blocked, and until when.
    pub fn blocks(&self, now: Steady) -> impl Iterator<Item = (Network, Steady)> {
        let pairs = self.sites.values().flatten();
        pairs.filter_map(move |(network, pair)| {
            Some((*network, pair.until.filter(|until| *until > now)?))
        })
    }

    /// Returns how many networks it has failed from.
    pub fn pairs(&self) -> usize {
        self.sites.values().map(BTreeMap::len).sum()
    }

    pub fn is_empty(&self) -> bool {
        let has_failed = !self.sites.is_empty() || !self.recent.is_empty();
        !has_failed && self.in_flight.is_empty() && self.waiting.is_empty()
    }
}

/// Returns how long a block lasts after so many failures in a row.
pub(super) fn block_after(in_a_row: u32, block: Duration) -> Duration {
    let doublings = (in_a_row / IN_A_ROW).saturating_sub(1).min(31);
    block.saturating_mul(1 << doublings).min(block.max(LONGEST))
}

/// Stands for a name that somebody has tried, which may be a kilobyte long: a hash under a key of this run.
pub(super) type NameHash = u64;

/// What was within [`WINDOW`], and when.
pub(super) type Window<T> = VecDeque<(Steady, T)>;

/// What is counted for one place, over all accounts.
#[derive(Debug, Default)]
pub(super) struct PlaceCount {
    /// Failures within [`WINDOW`] with their accounts, the last few of each.
    pub recent: Window<NameHash>,
    /// Until when the place is blocked as a whole.
    pub until: Option<Steady>,
    /// The tries that are being checked: until when each of them counts.
    pub in_flight: Vec<Steady>,
    /// The tries that wait for one of them.
    pub waiting: Vec<oneshot::Sender<()>>,
    /// Names that were asked about within [`WINDOW`].
    pub questions: Window<NameHash>,
    /// Accounts that were made within [`WINDOW`].
    pub made: Window<()>,
    /// Former passwords that were proved within [`WINDOW`].
    pub former: Window<()>,
}

impl PlaceCount {
    /// Counts a failure for an account; so many block the place. Returns whether it is blocked by it.
    pub fn fail(&mut self, account: NameHash, enough: usize, now: Steady) -> bool {
        let of_account = self.recent.iter().filter(|(_, name)| *name == account).count();
        if of_account >= OF_ONE_ACCOUNT
            && let Some(oldest) = self.recent.iter().position(|(_, name)| *name == account)
        {
            self.recent.remove(oldest);
        }
        note(&mut self.recent, (now, account), enough, now);
        let is_blocked = self.recent.len() >= enough;
        if is_blocked {
            self.until = Some(now.after(WINDOW));
        }
        is_blocked
    }

    /// Returns how many failures there are if everything in flight fails.
    pub fn at_most(&self, now: Steady) -> usize {
        let failed = self.recent.iter().filter(|(at, _)| at.after(WINDOW) > now).count();
        failed + self.in_flight.iter().filter(|until| **until > now).count()
    }

    /// Removes a try that is over. Dropping their senders wakes the waiters, which ask anew.
    pub fn land(&mut self, until: Steady) {
        if let Some(nth) = self.in_flight.iter().position(|of| *of == until) {
            self.in_flight.swap_remove(nth);
        }
        self.waiting.clear();
    }

    pub fn is_blocked(&self, now: Steady) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    pub fn is_empty(&self) -> bool {
        let tries = self.recent.is_empty() && self.former.is_empty();
        let counts = tries && self.questions.is_empty() && self.made.is_empty();
        counts && self.until.is_none() && self.in_flight.is_empty() && self.waiting.is_empty()
    }

    /// When all of it will have expired.
    pub fn ends(&self) -> Steady {
        if !self.in_flight.is_empty() {
            return Steady::NEVER;
        }
        let tries = [end_of(&self.recent), end_of(&self.former)];
        let windows = tries.into_iter().chain([end_of(&self.questions), end_of(&self.made)]);
        windows.flatten().chain(self.until).max().unwrap_or(Steady(i64::MIN))
    }
}

/// Looks whether a window has room for one more. If not, returns when its oldest entry leaves it.
pub(super) fn has_room<T>(window: &mut Window<T>, most: usize, now: Steady) -> Result<(), Steady> {
    window.retain(|(at, _)| at.after(WINDOW) > now);
    match window.front() {
        Some((oldest, _)) if window.len() >= most => Err(oldest.after(WINDOW)),
        _ => Ok(()),
    }
}

/// Adds to a window, which holds no more than `most` entries and none older than [`WINDOW`].
fn note<T>(window: &mut Window<T>, entry: (Steady, T), most: usize, now: Steady) {
    while window.front().is_some_and(|(at, _)| at.after(WINDOW) <= now) || window.len() >= most {
        window.pop_front();
    }
    window.push_back(entry);
}

fn end_of<T>(window: &Window<T>) -> Option<Steady> {
    window.back().map(|(at, _)| at.after(WINDOW))
}

/// Drops expired entries, and if that makes no room, those that expire soonest.
pub(super) fn thin<K: Eq + Hash, V>(
    table: &mut HashMap<K, V>,
    now: Steady,
    ends: impl Fn(&V) -> Steady,
) {
    table.retain(|_, entry| ends(entry) > now);
    let mut goes = soonest(table.values().map(&ends).collect());
    table.retain(|_, entry| !goes(ends(entry)));
}

/// Drops entries in the same way for the pairs of all accounts together. Returns how many are left, and adds
/// those that go to `dropped`.
pub(super) fn thin_pairs(
    accounts: &mut HashMap<String, AccountCount>,
    dropped: &mut Vec<(String, Network)>,
    now: Steady,
) -> usize {
    let mut retain = |mut keep: Box<dyn FnMut(&Pair) -> bool>| {
        accounts.retain(|account, count| {
            count.retain(|network, pair| {
                let stays = keep(pair);
                dropped.extend((!stays).then(|| (account.clone(), network)));
                stays
            });
            !count.is_empty()
        });
        let sites = accounts.values().flat_map(|count| count.sites.values());
        sites.flat_map(BTreeMap::values).map(Pair::ends).collect::<Vec<_>>()
    };
    let mut goes = soonest(retain(Box::new(move |pair| pair.ends() > now)));
    retain(Box::new(move |pair| !goes(pair.ends()))).len()
}

/// Returns a test for the entries that must go, given when each ends. Many go at once, so that not
/// every try looks at all of them.
fn soonest(mut ends: Vec<Steady>) -> impl FnMut(Steady) -> bool {
    let mut room = ends.len().saturating_sub(ENTRIES - ENTRIES / 16);
    let last = match room.checked_sub(1) {
        Some(nth) => *ends.select_nth_unstable(nth).1,
        None => Steady(i64::MIN),
    };
    move |end| {
        let goes = room > 0 && end <= last && end != Steady::NEVER;
        room -= usize::from(goes);
        goes
    }
}
