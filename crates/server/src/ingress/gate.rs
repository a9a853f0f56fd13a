//! How many connections may be half open: accepted, but without a session (architecture §7).
//!
//! A connection costs a task and a TLS state until it has logged in, so their number is bounded, in
//! all and for each network. If a network is at its bound, its next connection waits in order of
//! arrival, because a class behind one address is no attack. A connection that waits costs a socket,
//! so waiting is bounded too; a connection over that bound is closed at once.
//!
//! If there is no room in all, one that is inside goes for the next one, the oldest where it is most
//! crowded: a stranger before one of a known network, and nobody of the operator's own networks for
//! anybody else (docs/design/admission.md).

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use whoelse_core::Steady;
use whoelse_core::network::Network;

use super::admission_pace::Pace;
use super::crowd::{Crowd, Nth};

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
    /// Connections of strangers of one network that are let in each second.
    pub per_second: u32,
}

impl Bounds {
    /// How many of those inside may be strangers: the rest of the room is for the others.
    fn strangers(&self) -> usize {
        self.in_all.saturating_sub(self.kept())
    }

    /// How many of one standing nobody of another one puts out.
    fn kept(&self) -> usize {
        self.in_all / 10
    }

    /// How many of a standing may wait. Whoever else waits leaves a fifth to the operator's own.
    fn waiting_of(&self, standing: Standing) -> usize {
        match standing {
            Standing::Stranger | Standing::Known => self.waiting.saturating_mul(2).div_ceil(5),
            Standing::Own => self.waiting,
        }
    }
}

/// What a network is to the server: who goes first when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has logged in from there lately.
    Stranger,
    /// Somebody has.
    Known,
    /// The operator has named it as one of its own (`limits.own_networks`).
    Own,
}

/// Something for each standing.
#[derive(Debug, Default)]
struct Each<T> {
    strangers: T,
    known: T,
    own: T,
}

impl<T> Each<T> {
    fn of(&self, standing: Standing) -> &T {
        match standing {
            Standing::Stranger => &self.strangers,
            Standing::Known => &self.known,
            Standing::Own => &self.own,
        }
    }

    fn of_mut(&mut self, standing: Standing) -> &mut T {
        match standing {
            Standing::Stranger => &mut self.strangers,
            Standing::Known => &mut self.known,
            Standing::Own => &mut self.own,
        }
    }
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
    /// Those inside, each with what tells it that it is put out.
    all: HashMap<Nth, Member>,
    crowds: Each<Crowd>,
    pace: Pace,
    arrived: Nth,
    waiting: Each<usize>,
    networks: HashMap<Network, Here>,
}

#[derive(Debug)]
struct Member {
    network: Network,
    standing: Standing,
    put_out: oneshot::Sender<()>,
}

/// The connections of one network.
#[derive(Debug, Default)]
struct Here {
    inside: usize,
    /// Those that wait, in order of arrival.
    queue: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    call: oneshot::Sender<Inner>,
    standing: Standing,
}

/// A permit without its gate.
#[derive(Debug)]
struct Inner {
    nth: Nth,
    put_out: oneshot::Receiver<()>,
}

/// What becomes of a connection.
#[derive(Debug)]
pub enum Entry {
    /// It is half open.
    In(Permit),
    /// It waits, and nothing may be read from it before its turn.
    Waits(Turn),
    /// It waits until its time: too many have come from where it comes from.
    Later(Pause),
    /// Too many are half open, or wait.
    Full,
}

/// One half-open connection; dropping it makes room for the next one that waits.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    network: Network,
    nth: Nth,
    put_out: Option<oneshot::Receiver<()>>,
}

/// A connection that waits until its time. Dropping it leaves no trace.
#[derive(Debug)]
pub struct Pause {
    gate: Arc<Gate>,
    network: Network,
    standing: Standing,
    /// When it may come again.
    pub until: Steady,
}

/// A connection that waits for its turn. Dropping it leaves the queue.
#[derive(Debug)]
pub struct Turn {
    gate: Arc<Gate>,
    network: Network,
    called: oneshot::Receiver<Inner>,
    is_over: bool,
}

impl Gate {
    /// A gate with these bounds.
    pub fn new(bounds: Bounds) -> Arc<Gate> {
        let inside = Inside {
            bounds,
            all: HashMap::new(),
            crowds: Each::default(),
            pace: Pace::default(),
            arrived: 0,
            waiting: Each::default(),
            networks: HashMap::new(),
        };
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
    pub fn arrive(self: &Arc<Gate>, network: Network, standing: Standing, now: Steady) -> Entry {
        let mut inside = self.inside.lock();
        let is_crowded = inside.all.len() >= inside.bounds.in_all / 4;
        let Inside { bounds, pace, .. } = &mut *inside;
        let from = match standing {
            Standing::Known | Standing::Own => Some(now),
            Standing::Stranger => pace.arrive(network, bounds.per_second, is_crowded, now),
        };
        match from {
            Some(from) if from <= now => {}
            Some(until) if inside.may_wait(standing) => {
                *inside.waiting.of_mut(standing) += 1;
                return Entry::Later(Pause { gate: self.clone(), network, standing, until });
            }
            _ => {
                drop(inside);
                return self.refuse();
            }
        }
        self.come_in(inside, network, standing)
    }

    fn come_in(
        self: &Arc<Gate>,
        mut inside: MutexGuard<'_, Inside>,
        network: Network,
        standing: Standing,
    ) -> Entry {
        if inside.has_share(network) {
            return match inside.take(network, standing) {
                Some(inner) => Entry::In(self.permit(network, inner)),
                None => {
                    drop(inside);
                    self.refuse()
                }
            };
        }
        let may_wait = inside.may_wait(standing);
        let Inside { bounds, waiting, networks, .. } = &mut *inside;
        let here = networks.get_mut(&network);
        if let Some(here) = here
            && may_wait
            && here.queue.len() < bounds.waiting_per_network
        {
            let (call, called) = oneshot::channel();
            here.queue.push_back(Waiter { call, standing });
            *waiting.of_mut(standing) += 1;
            return Entry::Waits(Turn { gate: self.clone(), network, called, is_over: false });
        }
        drop(inside);
        self.refuse()
    }

    fn permit(self: &Arc<Gate>, network: Network, inner: Inner) -> Permit {
        let Inner { nth, put_out } = inner;
        Permit { gate: self.clone(), network, nth, put_out: Some(put_out) }
    }

    fn refuse(&self) -> Entry {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Entry::Full
    }

    /// How many are half open now.
    pub fn half_open(&self) -> usize {
        self.inside.lock().all.len()
    }

    /// How many wait for their turn or their time.
    pub fn waiting(&self) -> usize {
        self.inside.lock().waiting()
    }

    /// How many were refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Inside {
    fn waiting(&self) -> usize {
        let Each { strangers, known, own } = self.waiting;
        strangers.saturating_add(known).saturating_add(own)
    }

    /// Whether another one of this standing may wait.
    fn may_wait(&self, standing: Standing) -> bool {
        *self.waiting.of(standing) < self.bounds.waiting_of(standing)
            && self.waiting() < self.bounds.waiting
    }

    fn waits_no_more(&mut self, standing: Standing) {
        let waiting = self.waiting.of_mut(standing);
        *waiting = waiting.saturating_sub(1);
    }

    /// Whether the network may have another connection inside.
    fn has_share(&self, network: Network) -> bool {
        self.networks.get(&network).map_or(0, |here| here.inside) < self.bounds.per_network
    }

    /// Returns who goes for one more of this standing: a stranger if there would be more of them
    /// than are kept, or else one of a known network, likewise, or else one of its own standing.
    fn first_to_go_for(&self, standing: Standing) -> Option<Nth> {
        let would_have_more = |of: &Standing| {
            let more = usize::from(*of == standing);
            self.crowds.of(*of).len().saturating_add(more) > self.bounds.kept()
        };
        let goes = [Standing::Stranger, Standing::Known].into_iter().find(would_have_more);
        self.crowds.of(goes.unwrap_or(standing)).first_to_go()
    }

    /// Lets a connection in; `None` if there is no room for it. If others have all of it, one of
    /// them goes.
    fn take(&mut self, network: Network, standing: Standing) -> Option<Inner> {
        let has_room = match standing {
            Standing::Known | Standing::Own => true,
            Standing::Stranger => self.crowds.strangers.len() < self.bounds.strangers(),
        };
        if !has_room || self.all.len() >= self.bounds.in_all {
            let first = self.first_to_go_for(standing)?;
            if let Some(gone) = self.remove(first) {
                // Fails if its task has ended already.
                let _ = gone.put_out.send(());
            }
        }
        self.arrived += 1;
        let (nth, (put_out, is_put_out)) = (self.arrived, oneshot::channel());
        self.all.insert(nth, Member { network, standing, put_out });
        self.crowds.of_mut(standing).add(network, nth);
        self.networks.entry(network).or_default().inside += 1;
        Some(Inner { nth, put_out: is_put_out })
    }

    /// Counts a connection no more, if it is inside still.
    fn remove(&mut self, nth: Nth) -> Option<Member> {
        let gone = self.all.remove(&nth)?;
        self.crowds.of_mut(gone.standing).remove(gone.network, nth);
        if let Some(here) = self.networks.get_mut(&gone.network) {
            here.inside = here.inside.saturating_sub(1);
        }
        Some(gone)
    }

    /// Gives free places to the connections of the network that wait. Those for which there is no
    /// room wait no longer, since nobody of their network would make any.
    fn call(&mut self, network: Network) {
        while self.has_share(network)
            && let Some(here) = self.networks.get_mut(&network)
            && let Some(next) = here.queue.pop_front()
        {
            self.waits_no_more(next.standing);
            // A connection that has gone meanwhile is skipped.
            if next.call.is_closed() {
                continue;
            }
            let Some(inner) = self.take(network, next.standing) else { continue };
            if let Err(inner) = next.call.send(inner) {
                self.remove(inner.nth);
            }
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

impl Permit {
    /// Returns what waits until this connection is put out to make room for another one. It waits
    /// for ever if that does not happen.
    pub fn put_out(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let put_out = self.put_out.take();
        async move {
            let is_put_out = match put_out {
                Some(put_out) => put_out.await.is_ok(),
                None => false,
            };
            if !is_put_out {
                std::future::pending().await
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inside = self.gate.inside.lock();
        inside.remove(self.nth);
        inside.call(self.network);
    }
}

impl Pause {
    /// Lets the connection in, queues it, or refuses it, after it has waited for its time.
    pub fn over(self) -> Entry {
        let (gate, network, standing) = (self.gate.clone(), self.network, self.standing);
        drop(self);
        gate.come_in(gate.inside.lock(), network, standing)
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.gate.inside.lock().waits_no_more(self.standing);
    }
}

impl Future for Turn {
    /// `None`: there will be no room.
    type Output = Option<Permit>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Permit>> {
        let called = std::task::ready!(Pin::new(&mut self.called).poll(cx));
        self.is_over = true;
        Poll::Ready(called.ok().map(|inner| self.gate.permit(self.network, inner)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        self.called.close();
        // It was called, and dropped before it was polled: its place goes to the next one.
        if let Ok(inner) = self.called.try_recv() {
            drop(self.gate.permit(self.network, inner));
            return;
        }
        let mut inside = self.gate.inside.lock();
        if let Some(here) = inside.networks.get_mut(&self.network) {
            let mut gone = Vec::new();
            here.queue.retain(|waiter| {
                let is_gone = waiter.call.is_closed();
                gone.extend(is_gone.then_some(waiter.standing));
                !is_gone
            });
            gone.into_iter().for_each(|standing| inside.waits_no_more(standing));
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
        Gate::new(bounds(in_all, per_network))
    }

    fn bounds(in_all: usize, per_network: usize) -> Bounds {
        Bounds { in_all, per_network, waiting: 7, waiting_per_network: 2, per_second: 1_000 }
    }

    const NOW: Steady = Steady(1_000_000_000);

    /// A stranger of this network comes.
    fn comes(gate: &Arc<Gate>, n: u8) -> Entry {
        gate.arrive(network(n), Standing::Stranger, NOW)
    }

    /// Somebody of one of the operator's own networks comes.
    fn enter(gate: &Arc<Gate>, n: u8) -> Option<Permit> {
        match gate.arrive(network(n), Standing::Own, NOW) {
            Entry::In(permit) => Some(permit),
            _ => None,
        }
    }

    fn is_in(entry: Entry) -> Permit {
        match entry {
            Entry::In(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    fn is_put_out(permit: &mut Permit) -> bool {
        permit.put_out.as_mut().unwrap().try_recv().is_ok()
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
        let _held = [enter(&gate, 1).unwrap(), enter(&gate, 1).unwrap()];

        assert!(matches!(comes(&gate, 1), Entry::Waits(_)));
        assert!(enter(&gate, 2).is_some());
    }

    #[test]
    fn who_is_over_the_share_waits_for_the_first_that_leaves_and_is_called_in_order() {
        let gate = gate(10, 1);
        let held = enter(&gate, 1).unwrap();
        let mut first = waits(comes(&gate, 1));
        let mut second = waits(comes(&gate, 1));
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
        let _held: Vec<Permit> = (1..=2).map(|n| enter(&gate, n).unwrap()).collect();
        let _waiting = [waits(comes(&gate, 1)), waits(comes(&gate, 1))];

        assert!(matches!(comes(&gate, 1), Entry::Full));
        let _third = waits(comes(&gate, 2));
        assert!(matches!(comes(&gate, 2), Entry::Full));
        assert!(matches!(comes(&gate, 3), Entry::In(_)));
        assert_eq!((gate.waiting(), gate.refused()), (3, 2));
    }

    #[test]
    fn nobody_waits_for_room_that_others_take() {
        let gate = gate(1, 5);
        let _held = enter(&gate, 1).unwrap();

        assert!(matches!(comes(&gate, 2), Entry::Full));
        assert!(matches!(comes(&gate, 1), Entry::Full));
    }

    #[test]
    fn who_goes_while_waiting_holds_up_nobody() {
        let gate = gate(10, 1);
        let held = enter(&gate, 1).unwrap();
        let gone = waits(comes(&gate, 1));
        let called_and_gone = waits(comes(&gate, 1));
        drop(gone);
        assert_eq!(gate.waiting(), 1);
        let mut last = waits(comes(&gate, 1));

        drop(held);
        assert_eq!((gate.half_open(), gate.waiting()), (1, 1));
        drop(called_and_gone);

        drop(come(&mut last).unwrap());
        assert_eq!((gate.half_open(), gate.waiting()), (0, 0));
        assert!(gate.inside.lock().networks.is_empty());
    }

    #[test]
    fn bounds_can_be_changed_while_somebody_is_in_or_waits() {
        let gate = gate(3, 3);
        let _held = [enter(&gate, 1).unwrap(), enter(&gate, 1).unwrap()];
        gate.set(bounds(10, 2));
        assert!(enter(&gate, 1).is_none());
        let mut turn = waits(comes(&gate, 1));
        gate.set(bounds(10, 3));
        let _third = come(&mut turn).unwrap();
        assert!(enter(&gate, 1).is_none());
        gate.set(bounds(10, 4));
        assert!(enter(&gate, 1).is_some());
    }

    #[test]
    fn who_waits_is_let_go_of_when_others_have_all_the_room() {
        let gate = gate(10, 1);
        let held = enter(&gate, 1).unwrap();
        let _other = enter(&gate, 2).unwrap();
        let turn = waits(comes(&gate, 1));

        gate.set(bounds(1, 1));
        drop(held);

        let over = std::pin::pin!(turn).poll(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(matches!(over, Poll::Ready(None)));
        assert_eq!((gate.half_open(), gate.waiting()), (1, 0));
    }

    #[test]
    fn who_leaves_makes_room_and_leaves_nothing_behind() {
        let gate = gate(3, 1);
        for _ in 0..100 {
            drop(enter(&gate, 1).unwrap());
        }

        assert_eq!(gate.half_open(), 0);
        assert!(gate.inside.lock().networks.is_empty());
    }

    #[test]
    fn when_there_is_no_room_the_oldest_of_the_most_crowded_goes_for_whoever_comes() {
        let gate = gate(3, 5);
        let mut alone = is_in(comes(&gate, 9));
        let mut crowd = [is_in(comes(&gate, 1)), is_in(comes(&gate, 1))];

        let mut comes_now = is_in(comes(&gate, 2));

        assert!(is_put_out(&mut crowd[0]) && !is_put_out(&mut crowd[1]));
        assert!(!is_put_out(&mut alone) && !is_put_out(&mut comes_now));
        // Its end, later, makes no room twice.
        assert_eq!(gate.half_open(), 3);
        drop(crowd);
        assert_eq!(gate.half_open(), 2);
    }

    #[test]
    fn a_tenth_is_kept_for_known_networks_and_no_stranger_puts_one_of_them_out() {
        let gate = gate(10, 10);
        let known = || gate.arrive(network(200), Standing::Known, NOW);
        let mut strangers: Vec<Permit> = (1..=9).map(|n| is_in(comes(&gate, n))).collect();
        let mut tenth = is_in(comes(&gate, 10));
        assert_eq!(gate.half_open(), 9);
        assert!(is_put_out(&mut strangers[0]));

        let mut inside = vec![is_in(known())];
        assert!(!strangers[1..].iter_mut().any(is_put_out));
        inside.extend((0..8).map(|_| is_in(known())));

        assert!(strangers[1..].iter_mut().all(is_put_out) && !is_put_out(&mut tenth));
        assert!(!inside.iter_mut().any(is_put_out));
        // A stranger puts out the stranger.
        let mut next = is_in(comes(&gate, 11));
        assert!(is_put_out(&mut tenth) && !inside.iter_mut().any(is_put_out));
        // And the known put out their own.
        let mut other = is_in(gate.arrive(network(201), Standing::Known, NOW));
        assert!(is_put_out(&mut inside[0]) && !inside[1..].iter_mut().any(is_put_out));
        assert!(!is_put_out(&mut next) && !is_put_out(&mut other));
        assert_eq!(gate.half_open(), 10);
    }

    #[test]
    fn one_account_with_hundreds_of_networks_keeps_nobody_out_known_own_or_stranger() {
        let gate = gate(1_000, 20);
        let of_account = |n: u16| Network::V6([0x2001, 0xdb8, 7, n]);
        let mut crowd: Vec<Permit> = (0..1_000)
            .map(|n| is_in(gate.arrive(of_account(n % 50), Standing::Known, NOW)))
            .collect();
        let mut others = Vec::new();

        for n in 0..100 {
            others.push(is_in(gate.arrive(network(n), Standing::Known, NOW)));
            others.push(is_in(gate.arrive(network(100 + n), Standing::Own, NOW)));
            others.push(is_in(comes(&gate, n)));
            crowd.push(is_in(gate.arrive(of_account(50 + u16::from(n)), Standing::Known, NOW)));
        }

        assert!(!others.iter_mut().any(is_put_out));
        assert_eq!(crowd.iter_mut().filter_map(|it| is_put_out(it).then_some(())).count(), 400);
        assert_eq!(gate.half_open(), 1_000);
    }

    #[test]
    fn whoever_fills_everything_puts_out_nobody_of_the_operators_own_networks() {
        let gate = gate(10, 10);
        let own = |n| gate.arrive(network(n), Standing::Own, NOW);
        let mut inside: Vec<Permit> = (0..10).map(|_| is_in(own(1))).collect();

        assert!(matches!(comes(&gate, 2), Entry::Full));
        assert!(matches!(gate.arrive(network(3), Standing::Known, NOW), Entry::Full));
        assert!(!inside.iter_mut().any(is_put_out));
        // They make room for one another.
        let _other = is_in(own(4));
        assert!(is_put_out(&mut inside[0]) && !inside[1..].iter_mut().any(is_put_out));
    }

    #[test]
    fn strangers_who_wait_leave_places_to_the_known_and_these_to_the_operators_own() {
        let slow = Bounds { per_second: 1, waiting: 10, waiting_per_network: 10, ..bounds(100, 7) };
        let gate = Gate::new(slow);
        let arrive = |n, standing| gate.arrive(network(n), standing, NOW);
        let _held: Vec<Entry> = (0..7).map(|_| comes(&gate, 1)).collect();
        let _also: Vec<Entry> = (0..7).map(|_| arrive(2, Standing::Known)).collect();
        let _own: Vec<Entry> = (0..7).map(|_| arrive(3, Standing::Own)).collect();

        let strangers: Vec<Entry> = (0..4).map(|_| comes(&gate, 1)).collect();
        assert!(strangers.iter().all(|it| matches!(it, Entry::Later(_))));
        assert!(matches!(comes(&gate, 1), Entry::Full));
        let mut known: Vec<Turn> = (0..4).map(|_| waits(arrive(2, Standing::Known))).collect();
        assert!(matches!(arrive(2, Standing::Known), Entry::Full));
        let _own_too = [waits(arrive(3, Standing::Own)), waits(arrive(3, Standing::Own))];
        assert!(matches!(arrive(3, Standing::Own), Entry::Full));
        assert_eq!(gate.waiting(), 10);

        // A place that becomes free is for those who had it.
        drop(strangers);
        known.pop();
        let later = NOW.after(std::time::Duration::from_secs(10));
        assert!(matches!(gate.arrive(network(1), Standing::Stranger, later), Entry::Waits(_)));
        known.push(waits(arrive(2, Standing::Known)));
        assert!(matches!(arrive(2, Standing::Known), Entry::Full));
    }

    #[test]
    fn who_comes_too_fast_waits_for_its_time_unless_its_network_is_known() {
        let gate = Gate::new(Bounds { per_second: 1, ..bounds(100, 50) });
        let _held: Vec<Permit> = (0..7).map(|_| is_in(comes(&gate, 1))).collect();

        let pause = match comes(&gate, 1) {
            Entry::Later(pause) => pause,
            other => panic!("{other:?}"),
        };
        assert_eq!(pause.until, NOW.after(std::time::Duration::from_secs(1)));
        assert_eq!(gate.waiting(), 1);
        let _known = is_in(gate.arrive(network(1), Standing::Known, NOW));
        let gone = comes(&gate, 1);
        assert_eq!(gate.waiting(), 2);
        drop(gone);
        let _in = is_in(pause.over());
        assert_eq!((gate.half_open(), gate.waiting(), gate.refused()), (9, 0, 0));

        let waiting: Vec<Entry> = (0..3).map(|_| comes(&gate, 1)).collect();
        assert!(waiting.iter().all(|it| matches!(it, Entry::Later(_))));
        assert!(matches!(comes(&gate, 1), Entry::Full));
    }

    #[test]
    fn whoever_waits_for_a_turn_comes_in_where_another_network_is_more_crowded() {
        let gate = gate(4, 1);
        let held = is_in(comes(&gate, 1));
        let mut turn = waits(comes(&gate, 1));
        let mut others: Vec<Permit> = (2..=4).map(|n| is_in(comes(&gate, n))).collect();
        gate.set(bounds(3, 1));

        drop(held);

        assert!(come(&mut turn).is_some());
        assert!(is_put_out(&mut others[0]));
        assert_eq!(gate.waiting(), 0);
    }
}
