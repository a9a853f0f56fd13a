//! Connections without a login, by the prefixes of their networks: who goes when there is no room
//! (docs/design/admission.md).
//!
//! From all networks downwards, the most crowded part is taken, and there the connection that came
//! first. Whoever crowds puts out their own.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use whoelse_core::network::{Network, Prefix};

/// The number of a connection, in the order of arrival.
pub(super) type Nth = u64;

/// Connections, counted for each prefix.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// The connections of each prefix.
    members: BTreeSet<(Prefix, Nth)>,
    counts: HashMap<Prefix, usize>,
    /// The parts of each prefix (`None`: of everything) by how crowded they are; among equals, the
    /// one with the oldest connection is the last.
    ranks: BTreeSet<(Option<Prefix>, usize, Reverse<Nth>, Prefix)>,
    len: usize,
}

impl Crowd {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds a connection.
    pub fn add(&mut self, network: Network, nth: Nth) {
        self.change(network, |members, prefix| {
            members.insert((prefix, nth));
            1
        });
        self.len += 1;
    }

    /// Removes a connection that was added.
    pub fn remove(&mut self, network: Network, nth: Nth) {
        self.change(network, |members, prefix| {
            members.remove(&(prefix, nth));
            -1
        });
        self.len = self.len.saturating_sub(1);
    }

    /// Returns the connection whose turn it is to go.
    pub fn first_to_go(&self) -> Option<Nth> {
        let (mut within, mut found) = (None, None);
        while let Some(part) = self.most_crowded(within) {
            found = self.oldest(part);
            within = Some(part);
        }
        found
    }

    fn change(
        &mut self,
        network: Network,
        change: impl Fn(&mut BTreeSet<(Prefix, Nth)>, Prefix) -> isize,
    ) {
        let mut within = None;
        for prefix in network.prefixes() {
            let before = self.rank(within, prefix);
            self.ranks.remove(&before);
            let by = change(&mut self.members, prefix);
            let count = self.counts.entry(prefix).or_default();
            *count = count.saturating_add_signed(by);
            match *count {
                0 => drop(self.counts.remove(&prefix)),
                _ => drop(self.ranks.insert(self.rank(within, prefix))),
            }
            within = Some(prefix);
        }
    }

    fn rank(
        &self,
        within: Option<Prefix>,
        prefix: Prefix,
    ) -> (Option<Prefix>, usize, Reverse<Nth>, Prefix) {
        let count = self.counts.get(&prefix).copied().unwrap_or_default();
        let oldest = self.oldest(prefix).unwrap_or_default();
        (within, count, Reverse(oldest), prefix)
    }

    fn oldest(&self, prefix: Prefix) -> Option<Nth> {
        let mut members = self.members.range((prefix, 0)..=(prefix, Nth::MAX));
        members.next().map(|(_, nth)| *nth)
    }

    fn most_crowded(&self, within: Option<Prefix>) -> Option<Prefix> {
        let first = (within, 0, Reverse(Nth::MAX), Prefix::FIRST);
        let last = (within, usize::MAX, Reverse(0), Prefix::LAST);
        self.ranks.range(first..=last).next_back().map(|(.., prefix)| *prefix)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    /// Who goes, one after the other, of connections from these networks, by their place in the
    /// list.
    fn going(networks: &[&str]) -> Vec<Nth> {
        let mut crowd = Crowd::default();
        for (nth, one) in networks.iter().enumerate() {
            crowd.add(network(one), nth as Nth);
        }
        let mut gone = Vec::new();
        while let Some(nth) = crowd.first_to_go() {
            crowd.remove(network(networks[nth as usize]), nth);
            gone.push(nth);
        }
        assert_eq!((crowd.len(), crowd.members.len(), crowd.counts.len()), (0, 0, 0));
        assert!(crowd.ranks.is_empty());
        gone
    }

    #[test]
    fn the_oldest_of_the_most_crowded_part_goes_first() {
        for (what, networks, gone) in [
            ("nobody", &[][..], &[][..]),
            ("one", &["192.0.2.1"], &[0]),
            ("the oldest of one address", &["192.0.2.1", "192.0.2.1"], &[0, 1]),
            ("equals: the oldest", &["203.0.113.1", "192.0.2.1", "198.51.100.1"], &[0, 1, 2]),
            (
                "one who is alone goes last, though older",
                &["203.0.113.1", "192.0.2.1", "192.0.2.1", "192.0.2.1"],
                &[1, 2, 0, 3],
            ),
            (
                "a /24 is crowded where no address is",
                &["198.51.100.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"],
                &[1, 2, 0, 3],
            ),
            (
                "in a crowded /16, the crowded /24; in it, the crowded address",
                &["10.1.1.1", "10.1.2.1", "10.1.2.2", "10.1.2.2", "10.2.0.1", "10.2.0.1"],
                &[2, 1, 0, 4, 3, 5],
            ),
            (
                "a /48 of IPv6 is crowded where no /64 is",
                &["2001:db8:7::1", "2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1:100::1"],
                &[1, 2, 0, 3],
            ),
            (
                "the two families are compared by their numbers",
                &["192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3"],
                &[2, 0, 3, 1, 4],
            ),
        ] {
            assert_eq!(going(networks), gone, "{what}");
        }
    }

    #[test]
    fn five_hundred_networks_that_fill_everything_put_out_their_own_and_nobody_else() {
        let mut crowd = Crowd::default();
        let attacker = |n: u64| network(&format!("10.{}.{}.7", n / 250, n % 250));
        let mut nth = 0;
        let mut next = || {
            nth += 1;
            nth
        };
        let mut inside = HashMap::new();
        for n in 0..10_000 {
            let nth = next();
            inside.insert(nth, attacker(n % 500));
            crowd.add(attacker(n % 500), nth);
        }
        // Somebody comes once in a hundred, from anywhere, while the others go on.
        let mut people = Vec::new();
        for round in 0..20_000_u64 {
            let gone = crowd.first_to_go().unwrap();
            crowd.remove(inside.remove(&gone).unwrap(), gone);
            assert!(!people.contains(&gone), "somebody was put out in round {round}");
            let (nth, is_person) = (next(), round % 100 == 0);
            let from = match is_person {
                true => network(&format!("{}.{}.1.1", 11 + round / 100 % 200, round % 251)),
                false => attacker(round % 500),
            };
            inside.insert(nth, from);
            crowd.add(from, nth);
            if is_person {
                people.push(nth);
            }
        }
        assert_eq!(crowd.len(), 10_000);
    }

    /// The rule, without an index: by looking at everybody.
    fn slowly(inside: &[(Nth, Network)]) -> Option<Nth> {
        let mut all = inside.to_vec();
        for level in 0..4 {
            let part = |network: Network| network.prefixes().nth(level);
            let rank = |prefix: Prefix| {
                let of: Vec<Nth> = all
                    .iter()
                    .filter(|(_, network)| part(*network) == Some(prefix))
                    .map(|(nth, _)| *nth)
                    .collect();
                (of.len(), Reverse(of.iter().min().copied()))
            };
            let parts: BTreeSet<Prefix> =
                all.iter().filter_map(|(_, network)| part(*network)).collect();
            let Some(most) = parts.into_iter().max_by_key(|prefix| rank(*prefix)) else { break };
            all.retain(|(_, network)| part(*network) == Some(most));
        }
        all.iter().map(|(nth, _)| *nth).min()
    }

    #[test]
    fn the_index_finds_whom_the_rule_names_by_seed() {
        for seed in 1..=20_u64 {
            let mut state = seed;
            let mut below = |n: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) % n
            };
            let (mut crowd, mut inside) = (Crowd::default(), Vec::new());
            for nth in 0..300 {
                let from = match below(3) {
                    0 => network(&format!("2001:db8:{}:{}::1", below(3), below(600))),
                    _ => network(&format!("10.{}.{}.{}", below(2), below(3), below(4))),
                };
                crowd.add(from, nth);
                inside.push((nth, from));
                if below(3) == 0 {
                    let (nth, from) = inside.swap_remove(below(inside.len() as u64) as usize);
                    crowd.remove(from, nth);
                }
                assert_eq!(crowd.first_to_go(), slowly(&inside), "seed {seed}");
                assert_eq!(crowd.len(), inside.len());
            }
        }
    }
}
