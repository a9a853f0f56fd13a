//! How many connections of strangers are let in each second, for each prefix
//! (docs/design/admission.md).
//!
//! The generic cell rate algorithm (ITU-T I.371): for each prefix, the time at which the next
//! connection would come if they came evenly. That time may run ahead by [`AT_ONCE`]; a connection
//! that is earlier waits until it does not.
//!
//! The prefixes around a network make it wait only while the server is busy, so that nobody waits
//! for neighbours on a server that has room and time for all of them.

use std::collections::HashMap;
use std::time::Duration;

use whoelse_core::Steady;
use whoelse_core::network::{Network, Prefix};

/// So much time's worth of connections may come at once: a class that logs in together.
const AT_ONCE: Duration = Duration::from_secs(6);
/// The longest wait. Clients give up soon after that, and connect again.
const LONGEST: Duration = Duration::from_secs(5);
/// How many times more a wider prefix may than the one within it.
const WIDER: u32 = 4;
/// How many times as much as one network may all strangers before the server counts as busy: as
/// much as the widest prefix.
const ALL: u32 = WIDER.pow(3);
/// The most prefixes that are counted.
const PREFIXES: usize = 50_000;

/// The pace of every prefix that is not idle.
#[derive(Debug)]
pub(super) struct Pace {
    next: HashMap<Prefix, Steady>,
    /// The same of all strangers together.
    next_of_all: Steady,
    /// When those that are idle are forgotten.
    tidy_at: Steady,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { next: HashMap::new(), next_of_all: Steady(0), tidy_at: Steady(0) }
    }
}

impl Pace {
    /// Counts a connection. Returns when it may go on, perhaps now; `None` if that is too late to
    /// wait for, and then it counts for nothing. The prefixes around its network count if
    /// `is_crowded`, or strangers come too fast in all.
    pub fn arrive(
        &mut self,
        network: Network,
        per_second: u32,
        is_crowded: bool,
        now: Steady,
    ) -> Option<Steady> {
        if now >= self.tidy_at {
            self.next.retain(|_, next| *next > now);
            self.next.shrink_to(64);
            self.tidy_at = now.after(Duration::from_secs(1));
        }
        // From the network outwards.
        let mut prefixes: Vec<Prefix> = network.prefixes().collect();
        prefixes.reverse();
        let mut rate = per_second.max(1);
        let next_of_all = self.next_of_all.max(now);
        let is_busy = is_crowded || next_of_all.since(now) > AT_ONCE;
        // Whatever was let in meanwhile, nobody is closed for long after.
        let latest = now.after(AT_ONCE + LONGEST);
        let step = |next: Steady, rate: u32| next.after(Duration::from_secs(1) / rate);
        let next_of_all = step(next_of_all.min(latest), rate.saturating_mul(ALL));
        let mut counted = Vec::with_capacity(prefixes.len());
        let mut from = now;
        for prefix in prefixes {
            let next = self.next.get(&prefix).copied().unwrap_or(now).max(now);
            if counted.is_empty() || is_busy {
                from = from.max(now.after(next.since(now).saturating_sub(AT_ONCE)));
            }
            counted.push((prefix, step(next.min(latest), rate)));
            rate = rate.saturating_mul(WIDER);
        }
        if from > now.after(LONGEST) {
            return None;
        }
        self.next_of_all = next_of_all;
        for (prefix, next) in counted {
            if self.next.len() < PREFIXES || self.next.contains_key(&prefix) {
                self.next.insert(prefix, next);
            }
        }
        Some(from)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: Steady = Steady(1_000_000_000);

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    /// How many of so many that come now, on a crowded server, go on at once, wait, and are closed.
    fn fates(pace: &mut Pace, from: impl Fn(u32) -> Network, count: u32) -> (u32, u32, u32) {
        fates_where(true, pace, from, count)
    }

    fn fates_where(
        is_crowded: bool,
        pace: &mut Pace,
        from: impl Fn(u32) -> Network,
        count: u32,
    ) -> (u32, u32, u32) {
        let mut fates = (0, 0, 0);
        for n in 0..count {
            match pace.arrive(from(n), 10, is_crowded, NOW) {
                Some(at) if at <= NOW => fates.0 += 1,
                Some(_) => fates.1 += 1,
                None => fates.2 += 1,
            }
        }
        fates
    }

    #[test]
    fn a_class_comes_at_once_then_some_wait_and_the_rest_is_closed() {
        let mut pace = Pace::default();
        let one = |_| network("192.0.2.1");

        assert_eq!(fates(&mut pace, one, 1_000), (61, 50, 889));
        // Whoever comes from elsewhere does not notice.
        assert_eq!(fates(&mut pace, |_| network("198.51.100.1"), 10), (10, 0, 0));
    }

    #[test]
    fn a_wider_prefix_may_four_times_as_much_as_the_one_within_it() {
        let mut pace = Pace::default();
        let of_24 = |n: u32| network(&format!("192.0.2.{}", n % 256));
        assert_eq!(fates(&mut pace, of_24, 2_000), (241, 200, 1_559));

        let mut pace = Pace::default();
        let of_48 = |n: u32| network(&format!("2001:db8:1:{n:x}::1"));
        let (at_once, waiting, _) = fates(&mut pace, of_48, 20_000);
        assert_eq!(at_once + waiting, 1_761);
    }

    #[test]
    fn nobody_waits_for_neighbours_on_a_server_that_has_room() {
        // Sixteen addresses in four /24 of one /16, each as fast as it may.
        let crowd = |n: u32| network(&format!("10.1.{}.{}", n % 4, n / 4 % 4));
        let neighbour = |n: u32| network(&format!("10.1.9.{}", n % 250));
        let mut pace = Pace::default();
        assert_eq!(fates_where(false, &mut pace, crowd, 16 * 100), (16 * 61, 16 * 39, 0));
        assert_eq!(fates_where(false, &mut pace, neighbour, 100), (100, 0, 0));

        // Where there is none the neighbours are slowed down with them.
        let (at_once, waiting, closed) = fates(&mut pace, neighbour, 1_000);
        assert!(at_once == 0 && waiting > 0 && closed > 0, "{at_once} {waiting} {closed}");
    }

    #[test]
    fn wider_prefixes_count_on_an_empty_server_too_when_strangers_come_too_fast_in_all() {
        let mut pace = Pace::default();
        let of_48 = |n: u32| network(&format!("2001:db8:1:{n:x}::1"));
        let (at_once, waiting, closed) = fates_where(false, &mut pace, of_48, 60_000);
        assert_eq!((at_once, waiting), (3_842, 0));
        assert_eq!(closed, 60_000 - at_once);
        // Whoever comes from elsewhere does not notice.
        let elsewhere = |_| network("198.51.100.1");
        assert_eq!(fates_where(false, &mut pace, elsewhere, 10), (10, 0, 0));
        // And they are heard again as soon as those before them have waited.
        let later = NOW.after(LONGEST + Duration::from_secs(1));
        assert!(pace.arrive(of_48(60_000), 10, true, later).is_some());
    }

    #[test]
    fn whoever_waits_goes_on_evenly_and_an_idle_network_begins_anew() {
        let mut pace = Pace::default();
        let one = network("192.0.2.1");
        let times: Vec<Steady> =
            (0..80).map(|_| pace.arrive(one, 10, true, NOW).unwrap()).collect();
        assert_eq!(times[60], NOW);
        assert_eq!(times[61], NOW.after(Duration::from_millis(100)));
        assert_eq!(times[79], NOW.after(Duration::from_millis(1_900)));

        let later = NOW.after(Duration::from_secs(60));
        assert_eq!(pace.arrive(one, 10, true, later), Some(later));
    }

    #[test]
    fn however_many_prefixes_there_are_only_so_many_are_counted() {
        let mut pace = Pace::default();
        for n in 0..200_000_u32 {
            let from =
                Network::of(std::net::Ipv4Addr::from_bits(n.wrapping_mul(40_503) << 7).into());
            pace.arrive(from, 1, false, NOW);
        }
        assert!(pace.next.len() <= PREFIXES);
        let later = NOW.after(Duration::from_secs(60));
        pace.arrive(network("192.0.2.1"), 1, false, later);
        assert_eq!(pace.next.len(), 3);
    }
}
