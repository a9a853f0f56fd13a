//! How many connections may be half open: accepted, but without a session (architecture §7).
//!
//! A stranger costs a task and a TLS state until it has logged in, so the number of strangers is
//! bounded, in all and for each network. If a network is at its bound, its next connection waits
//! in order of arrival, because a class behind one address is no attack. A connection that waits
//! costs a socket, so waiting is bounded too. A connection over that bound, or over the bound for
//! all, is closed at once.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::oneshot;
use whoelse_core::network::Network;

/// The bounds of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Half open, in all.
    pub in_all: usize,
    /// Half open, of one network.
    pub per_network: usize,
    /// Those that wait for their turn, in all.
    pub waiting: usize,
    /// Those that wait, of one network.
    pub waiting_per_network: usize,
}

/// Counts half-open connections.
#[derive(Debug)]
pub struct Gate {
    /// Held for one look or change, never across an await.
    inside: Mutex<Inside>,
    refused: AtomicU64,
}

#[derive(Debug)]
struct Inside {
    bounds: Bounds,
    all: usize,
    waiting: usize,
    networks: HashMap<Network, Here>,
}

/// The connections of one network.
#[derive(Debug, Default)]
struct Here {
    inside: usize,
    /// Those that wait, in order of arrival.
    queue: VecDeque<oneshot::Sender<()>>,
}

/// What becomes of a connection.
#[derive(Debug)]
pub enum Entry {
    /// It is half open.
    In(Permit),
    /// It waits, and nothing may be read from it before its turn.
    Waits(Turn),
    /// Too many are half open, or wait.
    Full,
}

/// One half-open connection; dropping it makes room for the next one that waits.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    network: Network,
}

/// A connection that waits for its turn. Dropping it leaves the queue.
#[derive(Debug)]
pub struct Turn {
    gate: Arc<Gate>,
    network: Network,
    called: oneshot::Receiver<()>,
    is_over: bool,
}

impl Gate {
    /// A gate with these bounds.
    pub fn new(bounds: Bounds) -> Arc<Gate> {
        let inside = Inside { bounds, all: 0, waiting: 0, networks: HashMap::new() };
        Arc::new(Gate { inside: Mutex::new(inside), refused: AtomicU64::new(0) })
    }

    /// Sets other bounds. Connections that are in stay, and those that wait are let in if there is
    /// room now.
    pub fn set(&self, bounds: Bounds) {
        let mut inside = self.inside.lock();
        inside.bounds = bounds;
        let networks: Vec<Network> = inside.networks.keys().copied().collect();
        networks.into_iter().for_each(|network| inside.call(network));
    }

    /// Lets a connection in, queues it, or refuses it.
    pub fn arrive(self: &Arc<Gate>, network: Network) -> Entry {
        let mut inside = self.inside.lock();
        if inside.has_room(network) {
            inside.take(network);
            return Entry::In(Permit { gate: self.clone(), network });
        }
        let Inside { bounds, waiting, networks, .. } = &mut *inside;
        let here = networks.get_mut(&network);
        // If nobody of the same network is in, nobody's leaving could make room for it.
        if let Some(here) = here.filter(|here| here.inside >= bounds.per_network)
            && *waiting < bounds.waiting
            && here.queue.len() < bounds.waiting_per_network
        {
            let (call, called) = oneshot::channel();
            here.queue.push_back(call);
            *waiting += 1;
            return Entry::Waits(Turn { gate: self.clone(), network, called, is_over: false });
        }
        drop(inside);
        self.refused.fetch_add(1, Ordering::Relaxed);
        Entry::Full
    }

    /// Lets a connection in at once, or returns `None`.
    pub fn enter(self: &Arc<Gate>, network: Network) -> Option<Permit> {
        let mut inside = self.inside.lock();
        if inside.has_room(network) {
            inside.take(network);
            return Some(Permit { gate: self.clone(), network });
        }
        drop(inside);
        self.refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// How many are half open now.
    pub fn half_open(&self) -> usize {
        self.inside.lock().all
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
        self.inside.lock().waiting
    }

    /// How many were refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Inside {
    fn has_room(&self, network: Network) -> bool {
        let here = self.networks.get(&network).map_or(0, |here| here.inside);
        self.all < self.bounds.in_all && here < self.bounds.per_network
    }

    fn take(&mut self, network: Network) {
        self.all += 1;
        self.networks.entry(network).or_default().inside += 1;
    }

    /// Gives free places to the connections of the network that wait.
    fn call(&mut self, network: Network) {
        while self.has_room(network)
            && let Some(here) = self.networks.get_mut(&network)
            && let Some(next) = here.queue.pop_front()
        {
            self.waiting = self.waiting.saturating_sub(1);
            // A connection that has gone meanwhile is skipped.
            if next.send(()).is_ok() {
                self.take(network);
            }
        }
        // After the bound for all was lowered, others hold the room: see `arrive`.
        let per_network = self.bounds.per_network;
        if let Some(here) = self.networks.get_mut(&network).filter(|here| here.inside < per_network)
        {
            self.waiting = self.waiting.saturating_sub(here.queue.len());
            here.queue.clear();
        }
        self.forget(network);
    }

    fn forget(&mut self, network: Network) {
        let here = self.networks.get(&network);
        if here.is_some_and(|here| here.inside == 0 && here.queue.is_empty()) {
            self.networks.remove(&network);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inside = self.gate.inside.lock();
        inside.all = inside.all.saturating_sub(1);
        if let Some(here) = inside.networks.get_mut(&self.network) {
            here.inside = here.inside.saturating_sub(1);
        }
        inside.call(self.network);
    }
}

impl Future for Turn {
    /// `None`: there will be no room.
    type Output = Option<Permit>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Permit>> {
        let called = std::task::ready!(Pin::new(&mut self.called).poll(cx));
        self.is_over = true;
        let permit = || Permit { gate: self.gate.clone(), network: self.network };
        Poll::Ready(called.ok().map(|()| permit()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.called.close();
        // It was called, and dropped before it was polled: its place goes to the next one.
        if self.called.try_recv().is_ok() {
            drop(Permit { gate: self.gate.clone(), network: self.network });
            return;
        }
        let mut inside = self.gate.inside.lock();
        if let Some(here) = inside.networks.get_mut(&self.network) {
            let before = here.queue.len();
            here.queue.retain(|call| !call.is_closed());
            let gone = before - here.queue.len();
            inside.waiting = inside.waiting.saturating_sub(gone);
        }
        inside.forget(self.network);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn network(n: u8) -> Network {
        Network::of([192, 0, 2, n].into())
    }

    fn gate(in_all: usize, per_network: usize) -> Arc<Gate> {
        Gate::new(Bounds { in_all, per_network, waiting: 3, waiting_per_network: 2 })
    }

    fn waits(entry: Entry) -> Turn {
        match entry {
            Entry::Waits(turn) => turn,
            other => panic!("{other:?}"),
        }
    }

    /// Returns the permit if its turn has come.
    fn come(turn: &mut Turn) -> Option<Permit> {
        match Pin::new(turn).poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(permit) => permit,
            Poll::Pending => None,
        }
    }

    #[test]
    fn one_network_gets_only_its_share() {
        let gate = gate(10, 2);
        let _held = [gate.enter(network(1)).unwrap(), gate.enter(network(1)).unwrap()];

        assert!(gate.enter(network(1)).is_none());
        assert!(gate.enter(network(2)).is_some());
        assert_eq!(gate.refused(), 1);
    }

    #[test]
    fn who_is_over_the_share_waits_for_the_first_that_leaves_and_is_called_in_order() {
        let gate = gate(10, 1);
        let held = gate.enter(network(1)).unwrap();
        let mut first = waits(gate.arrive(network(1)));
        let mut second = waits(gate.arrive(network(1)));
        assert!(come(&mut first).is_none());
        assert_eq!((gate.half_open(), gate.waiting()), (1, 2));

        drop(held);

        assert!(come(&mut second).is_none());
        let held = come(&mut first).unwrap();
        assert_eq!((gate.half_open(), gate.waiting()), (1, 1));
        drop(held);
        assert!(come(&mut second).is_some());
        assert_eq!((gate.half_open(), gate.waiting(), gate.refused()), (0, 0, 0));
    }

    #[test]
    fn only_so_many_wait_for_one_network_and_in_all() {
        let gate = gate(10, 1);
        let _held: Vec<Permit> = (1..=2).map(|n| gate.enter(network(n)).unwrap()).collect();
        let _waiting = [waits(gate.arrive(network(1))), waits(gate.arrive(network(1)))];

        assert!(matches!(gate.arrive(network(1)), Entry::Full));
        let _third = waits(gate.arrive(network(2)));
        assert!(matches!(gate.arrive(network(2)), Entry::Full));
        assert!(matches!(gate.arrive(network(3)), Entry::In(_)));
        assert_eq!((gate.waiting(), gate.refused()), (3, 2));
    }

    #[test]
    fn nobody_waits_for_room_that_others_take() {
        let gate = gate(1, 5);
        let _held = gate.enter(network(1)).unwrap();

        assert!(matches!(gate.arrive(network(2)), Entry::Full));
        assert!(matches!(gate.arrive(network(1)), Entry::Full));
    }

    #[test]
    fn who_goes_while_waiting_holds_up_nobody() {
        let gate = gate(10, 1);
        let held = gate.enter(network(1)).unwrap();
        let gone = waits(gate.arrive(network(1)));
        let called_and_gone = waits(gate.arrive(network(1)));
        drop(gone);
        assert_eq!(gate.waiting(), 1);
        let mut last = waits(gate.arrive(network(1)));

        drop(held);
        assert_eq!((gate.half_open(), gate.waiting()), (1, 1));
        drop(called_and_gone);

        drop(come(&mut last).unwrap());
        assert_eq!((gate.half_open(), gate.waiting()), (0, 0));
        assert!(gate.inside.lock().networks.is_empty());
    }

    #[test]
    fn all_together_get_only_so_many() {
        let gate = gate(3, 2);
        let _held: Vec<Permit> = (1..=3).map(|n| gate.enter(network(n)).unwrap()).collect();

        assert!(gate.enter(network(4)).is_none());
    }

    #[test]
    fn bounds_can_be_changed_while_somebody_is_in_or_waits() {
        let gate = gate(3, 3);
        let _held = [gate.enter(network(1)).unwrap(), gate.enter(network(1)).unwrap()];
        let bounds =
            |per_network| Bounds { in_all: 10, per_network, waiting: 3, waiting_per_network: 2 };

        gate.set(bounds(2));
        assert!(gate.enter(network(1)).is_none());
        let mut turn = waits(gate.arrive(network(1)));
        gate.set(bounds(3));
        let _third = come(&mut turn).unwrap();
        assert!(gate.enter(network(1)).is_none());
        gate.set(bounds(4));
        assert!(gate.enter(network(1)).is_some());
    }

    #[test]
    fn who_waits_is_let_go_of_when_others_have_all_the_room() {
        let gate = gate(10, 1);
        let held = gate.enter(network(1)).unwrap();
        let _other = gate.enter(network(2)).unwrap();
        let turn = waits(gate.arrive(network(1)));

        gate.set(Bounds { in_all: 1, per_network: 1, waiting: 3, waiting_per_network: 2 });
        drop(held);

        let over = std::pin::pin!(turn).poll(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(matches!(over, Poll::Ready(None)));
        assert_eq!((gate.half_open(), gate.waiting()), (1, 0));
    }

    #[test]
    fn who_leaves_makes_room_and_leaves_nothing_behind() {
        let gate = gate(3, 1);
        for _ in 0..100 {
            drop(gate.enter(network(1)).unwrap());
        }

        assert_eq!(gate.half_open(), 0);
        assert!(gate.inside.lock().networks.is_empty());
    }
}
