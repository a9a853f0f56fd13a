//! The networks from which somebody has logged in lately, whoever it was: looked up for every
//! connection that is accepted, so they are in memory (docs/design/admission.md).

use std::collections::{BTreeMap, HashMap};

use parking_lot::Mutex;

use crate::network::Network;

/// The most networks that are remembered; the one with the oldest login makes room.
pub(crate) const MOST: u32 = 50_000;

/// The networks.
#[derive(Debug, Default)]
pub(crate) struct KnownNetworks {
    /// Held for a look or a change, never across an await.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Each with the number of its last login.
    logins: HashMap<Network, u64>,
    in_order: BTreeMap<u64, Network>,
    last: u64,
}

impl KnownNetworks {
    /// Remembers these, the one with the oldest login first.
    pub fn of(networks: impl IntoIterator<Item = Network>) -> KnownNetworks {
        let known = KnownNetworks::default();
        networks.into_iter().for_each(|network| known.note(network));
        known
    }

    /// Notes a login.
    pub fn note(&self, network: Network) {
        let mut known = self.known.lock();
        known.last += 1;
        let last = known.last;
        if let Some(before) = known.logins.insert(network, last) {
            known.in_order.remove(&before);
        }
        known.in_order.insert(last, network);
        if known.logins.len() > MOST as usize
            && let Some((_, oldest)) = known.in_order.pop_first()
        {
            known.logins.remove(&oldest);
        }
    }

    /// Whether somebody has logged in from there lately.
    pub fn contains(&self, network: Network) -> bool {
        self.known.lock().logins.contains_key(&network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(n: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from_bits(n).into())
    }

    #[test]
    fn the_network_with_the_oldest_login_makes_room() {
        let known = KnownNetworks::of((0..MOST).map(network));
        known.note(network(0));
        known.note(network(MOST));

        assert!(known.contains(network(0)) && known.contains(network(MOST)));
        assert!(!known.contains(network(1)) && known.contains(network(2)));
        assert_eq!(known.known.lock().in_order.len(), MOST as usize);
    }
}
