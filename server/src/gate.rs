//! How many connections may be half open: accepted, but without a session (architecture §7).
//!
//! A stranger costs a task and a TLS state until he has logged in, so their number is bounded, in
//! all and for each place. Who is over the limit is closed at once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use whoelse_core::guard::Place;

/// Counts half-open connections.
#[derive(Debug)]
pub struct Gate {
    in_all: AtomicUsize,
    per_place: AtomicUsize,
    /// Held for one look or change, never across an await.
    inside: Mutex<Inside>,
    refused: AtomicU64,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    places: HashMap<Place, usize>,
}

/// One half-open connection; dropping it makes room.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    place: Place,
}

impl Gate {
    /// A gate for so many in all, and so many from one place.
    pub fn new(in_all: usize, per_place: usize) -> Arc<Gate> {
        let (inside, refused) = (Mutex::default(), AtomicU64::new(0));
        let (in_all, per_place) = (AtomicUsize::new(in_all), AtomicUsize::new(per_place));
        Arc::new(Gate { in_all, per_place, inside, refused })
    }

    /// Sets other bounds; who is in stays.
    pub fn set(&self, in_all: usize, per_place: usize) {
        self.in_all.store(in_all, Ordering::Relaxed);
        self.per_place.store(per_place, Ordering::Relaxed);
    }

    /// Lets a connection in, or not.
    pub fn enter(self: &Arc<Gate>, place: &Place) -> Option<Permit> {
        let mut inside = self.lock();
        let here = inside.places.get(place).copied().unwrap_or(0);
        let in_all = self.in_all.load(Ordering::Relaxed);
        if inside.all >= in_all || here >= self.per_place.load(Ordering::Relaxed) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        inside.all += 1;
        inside.places.insert(place.clone(), here + 1);
        Some(Permit { gate: self.clone(), place: place.clone() })
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
        match inside.places.get_mut(&self.place) {
            Some(here) if *here > 1 => *here -= 1,
            _ => {
                inside.places.remove(&self.place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn place(n: u8) -> Place {
        Place::of([192, 0, 2, n].into())
    }

    #[test]
    fn one_place_gets_only_its_share() {
        let gate = Gate::new(10, 2);
        let _held = [gate.enter(&place(1)).unwrap(), gate.enter(&place(1)).unwrap()];

        assert!(gate.enter(&place(1)).is_none());
        assert!(gate.enter(&place(2)).is_some());
        assert_eq!(gate.refused(), 1);
    }

    #[test]
    fn all_together_get_only_so_many() {
        let gate = Gate::new(3, 2);
        let _held: Vec<Permit> = (1..=3).map(|n| gate.enter(&place(n)).unwrap()).collect();

        assert!(gate.enter(&place(4)).is_none());
    }

    #[test]
    fn bounds_can_be_changed_while_somebody_is_in() {
        let gate = Gate::new(3, 3);
        let _held = [gate.enter(&place(1)).unwrap(), gate.enter(&place(1)).unwrap()];

        gate.set(10, 2);
        assert!(gate.enter(&place(1)).is_none());
        gate.set(10, 3);
        assert!(gate.enter(&place(1)).is_some());
    }

    #[test]
    fn who_leaves_makes_room_and_leaves_nothing_behind() {
        let gate = Gate::new(3, 1);
        for _ in 0..100 {
            drop(gate.enter(&place(1)).unwrap());
        }

        assert_eq!(gate.half_open(), 0);
        assert!(gate.lock().places.is_empty());
    }
}
