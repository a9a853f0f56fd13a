//! How many connections may be half open: accepted, but without a session (architecture §7).
//!
//! A stranger costs a task and a TLS state until he has logged in, so their number is bounded, in
//! all and for each network. Who is over the limit is closed at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use whoelse_core::network::Network;

/// Counts half-open connections.
#[derive(Debug)]
pub struct Gate {
    in_all: AtomicUsize,
    per_network: AtomicUsize,
    /// Held for one look or change, never across an await.
    inside: Mutex<Inside>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    networks: HashMap<Network, usize>,
}

/// One half-open connection; dropping it makes room.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    network: Network,
}

impl Gate {
    /// A gate for so many in all, and so many from one network.
    pub fn new(in_all: usize, per_network: usize) -> Arc<Gate> {
        let (inside, refused) = (Mutex::default(), AtomicU64::new(0));
        let (in_all, per_network) = (AtomicUsize::new(in_all), AtomicUsize::new(per_network));
        Arc::new(Gate { in_all, per_network, inside, refused })
    }

    /// Sets other bounds; who is in stays.
    pub fn set(&self, in_all: usize, per_network: usize) {
        self.in_all.store(in_all, Ordering::Relaxed);
        self.per_network.store(per_network, Ordering::Relaxed);
    }

    /// Lets a connection in, or not.
    pub fn enter(self: &Arc<Gate>, network: &Network) -> Option<Permit> {
        let mut inside = self.lock();
        let here = inside.networks.get(network).copied().unwrap_or(0);
        let in_all = self.in_all.load(Ordering::Relaxed);
        if inside.all >= in_all || here >= self.per_network.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        inside.all += 1;
        inside.networks.insert(network.clone(), here + 1);
        Some(Permit { gate: self.clone(), network: network.clone() })
    }

    /// How many are half open now.
    pub fn half_open(&self) -> usize {
        self.lock().all
    }

    /// How many were refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inside = self.gate.lock();
        inside.all = inside.all.saturating_sub(1);
        match inside.networks.get_mut(&self.network) {
            Some(here) if *here > 1 => *here -= 1,
            _ => {
                inside.networks.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn network(n: u8) -> Network {
        Network::of([192, 0, 2, n].into())
    }

    #[test]
    fn one_network_gets_only_its_share() {
        let gate = Gate::new(10, 2);
        let _held = [gate.enter(&network(1)).unwrap(), gate.enter(&network(1)).unwrap()];

        assert!(gate.enter(&network(1)).is_none());
        assert!(gate.enter(&network(2)).is_some());
        assert_eq!(gate.refused(), 1);
    }

    #[test]
    fn all_together_get_only_so_many() {
        let gate = Gate::new(3, 2);
        let _held: Vec<Permit> = (1..=3).map(|n| gate.enter(&network(n)).unwrap()).collect();

        assert!(gate.enter(&network(4)).is_none());
    }

    #[test]
    fn bounds_can_be_changed_while_somebody_is_in() {
        let gate = Gate::new(3, 3);
        let _held = [gate.enter(&network(1)).unwrap(), gate.enter(&network(1)).unwrap()];

        gate.set(10, 2);
        assert!(gate.enter(&network(1)).is_none());
        gate.set(10, 3);
        assert!(gate.enter(&network(1)).is_some());
    }

    #[test]
    fn who_leaves_makes_room_and_leaves_nothing_behind() {
        let gate = Gate::new(3, 1);
        for _ in 0..100 {
            drop(gate.enter(&network(1)).unwrap());
        }

        assert_eq!(gate.half_open(), 0);
        assert!(gate.lock().networks.is_empty());
    }
}
