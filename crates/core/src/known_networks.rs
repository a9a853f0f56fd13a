//! The networks from which somebody has logged in lately, whoever it was: looked up for every
//! connection that is accepted, so they are in memory (docs/design/admission.md).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use parking_lot::Mutex;
use whoelse_store::Store;

use crate::Steady;
use crate::clock::{Moment, Time};
use crate::network::Network;

/// How long a network counts as known after a login.
pub(crate) const KNOWN_NETWORK: Duration = Duration::from_secs(30 * 86_400);
/// The most logins that are remembered, one for each account and network; the oldest makes room.
const MOST: u32 = 50_000;
/// The most of one account, so that nobody makes the others' networks unknown.
const MOST_OF_ACCOUNT: u32 = 32;

/// The networks.
#[derive(Debug, Default)]
pub(crate) struct KnownNetworks {
    /// Held for a look or a change, never across an await.
    known: Mutex<Known>,
}

/// The number of a login, in their order.
type Nth = u64;

#[derive(Debug, Default)]
struct Known {
    /// The number of the last login of each account from each network.
    logins: HashMap<(i64, Network), Nth>,
    in_order: BTreeMap<Nth, Login>,
    /// The same for each account.
    of_accounts: BTreeSet<(i64, Nth)>,
    /// How many accounts have logged in from each network.
    networks: HashMap<Network, usize>,
    last: Nth,
}

#[derive(Debug, Clone, Copy)]
struct Login {
    account: i64,
    network: Network,
    /// When it is forgotten.
    until: Steady,
}

impl KnownNetworks {
    /// Reads who has logged in from where lately.
    pub async fn load(store: &Store, now: Moment) -> Result<KnownNetworks, whoelse_store::Error> {
        let lately = now.wall.before(KNOWN_NETWORK);
        let logins = store.network_logins_since(lately.0, MOST_OF_ACCOUNT, MOST).await?;
        let known = KnownNetworks::default();
        // The latest comes first there, and last here.
        for login in logins.into_iter().rev() {
            if let Ok(network) = login.network.parse() {
                let until = now.steady_at(Time(login.at).after(KNOWN_NETWORK), KNOWN_NETWORK);
                known.note(login.account, network, until);
            }
        }
        Ok(known)
    }

    /// Notes a login that counts until then. Later logins count no shorter.
    pub fn note(&self, account: i64, network: Network, until: Steady) {
        let mut known = self.known.lock();
        if let Some(before) = known.logins.get(&(account, network)).copied() {
            known.forget(before);
        }
        known.last += 1;
        let last = known.last;
        known.logins.insert((account, network), last);
        known.in_order.insert(last, Login { account, network, until });
        known.of_accounts.insert((account, last));
        *known.networks.entry(network).or_default() += 1;

        let mut own = known.of_accounts.range((account, 0)..=(account, Nth::MAX));
        let oldest_own = own.next().copied();
        if own.count() >= MOST_OF_ACCOUNT as usize
            && let Some((_, oldest)) = oldest_own
        {
            known.forget(oldest);
        }
        if known.in_order.len() > MOST as usize
            && let Some((oldest, _)) = known.in_order.first_key_value()
        {
            let oldest = *oldest;
            known.forget(oldest);
        }
    }

    /// Whether somebody has logged in from there lately.
    pub fn contains(&self, network: Network, now: Steady) -> bool {
        let mut known = self.known.lock();
        while let Some((oldest, login)) = known.in_order.first_key_value()
            && login.until <= now
        {
            let oldest = *oldest;
            known.forget(oldest);
        }
        known.networks.contains_key(&network)
    }
}

impl KnownNetworks {
    /// Whether an account has logged in from there lately, as far as that is remembered here: the
    /// latest logins, which may not be stored yet, are.
    pub fn is_of(&self, account: i64, network: Network, now: Steady) -> bool {
        let known = self.known.lock();
        let login = known.logins.get(&(account, network)).and_then(|nth| known.in_order.get(nth));
        login.is_some_and(|login| login.until > now)
    }
}

impl Known {
    fn forget(&mut self, nth: Nth) {
        let Some(Login { account, network, .. }) = self.in_order.remove(&nth) else { return };
        self.logins.remove(&(account, network));
        self.of_accounts.remove(&(account, nth));
        if let Some(count) = self.networks.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.networks.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from_bits(n).into())
    }

    const NOW: Steady = Steady(1);
    const LATER: Steady = Steady(1_000);

    fn sizes(known: &KnownNetworks) -> [usize; 4] {
        let known = known.known.lock();
        let (in_order, networks) = (known.in_order.len(), known.networks.len());
        [known.logins.len(), in_order, known.of_accounts.len(), networks]
    }

    #[test]
    fn the_oldest_login_makes_room() {
        let known = KnownNetworks::default();
        (0..MOST).for_each(|n| known.note(i64::from(n), network(n), LATER));
        known.note(0, network(0), LATER);
        known.note(-1, network(MOST), LATER);

        assert!(known.contains(network(0), NOW) && known.contains(network(MOST), NOW));
        assert!(!known.contains(network(1), NOW) && known.contains(network(2), NOW));
        assert_eq!(sizes(&known), [MOST as usize; 4]);
    }

    #[test]
    fn one_account_with_any_number_of_networks_makes_none_of_the_others_unknown() {
        let known = KnownNetworks::default();
        known.note(1, network(1), LATER);
        known.note(1, network(2), LATER);
        for n in 2..MOST + 10 {
            known.note(2, network(n), LATER);
        }

        // One of them has been theirs too, and is still the other one's.
        assert!(known.contains(network(1), NOW) && known.contains(network(2), NOW));
        assert!(!known.contains(network(3), NOW) && known.contains(network(MOST + 9), NOW));
        let in_all = MOST_OF_ACCOUNT as usize + 2;
        assert_eq!(sizes(&known), [in_all; 4]);
    }

    #[test]
    fn a_network_without_a_login_for_as_long_as_logins_count_is_forgotten() {
        let known = KnownNetworks::default();
        known.note(1, network(1), Steady(10));
        known.note(1, network(2), Steady(11));
        known.note(1, network(3), Steady(12));
        known.note(2, network(1), Steady(13));

        assert!(known.contains(network(1), Steady(9)) && known.contains(network(2), Steady(10)));
        assert!(known.contains(network(1), Steady(12)) && !known.contains(network(2), Steady(12)));
        assert!(!known.contains(network(1), Steady(13)));
        assert_eq!(sizes(&known), [0; 4]);
    }
}
