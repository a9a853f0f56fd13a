//! What waits to be written to one peer: bounded, in memory. It knows no log and no count.

use std::collections::VecDeque;

use bytes::Bytes;
use whoelse_xmpp::Outgoing;

/// What waits to be written: the stanza and the address to insert, if it has none.
#[derive(Debug, Clone)]
pub struct Queued {
    /// The stanza.
    pub stanza: Outgoing,
    /// ` to='…'` for a shared stanza, else empty.
    pub to: Bytes,
}

impl Queued {
    pub(super) fn len(&self) -> usize {
        self.stanza.bytes.len() + self.to.len()
    }
}

/// As what a stanza may wait: a later one of the same key takes its place. `None`: it may not wait.
pub type WaitsAs = fn(&Outgoing) -> Option<String>;

/// Stanzas that wait at most, a presence of each contact, and their bytes. Full: all are written.
const HELD_BACK: usize = 1_000;
const HELD_BACK_BYTES: usize = 256 << 10;

/// Slots for stanzas that an empty queue keeps.
const IDLE: usize = 8;

/// The queue, within a budget of bytes.
pub(super) struct SendQueue {
    items: VecDeque<Queued>,
    /// The bytes of all, those held back among them.
    bytes: usize,
    /// Bytes it may hold, with what was written and is not acknowledged.
    budget: usize,
    /// What waits until something has to be written, if anything may.
    held_back: Option<Box<HeldBack>>,
}

/// What waits until something has to be written.
struct HeldBack {
    waits_as: WaitsAs,
    /// By their keys, in the order in which they came.
    items: Vec<(String, Queued)>,
    bytes: usize,
}

impl HeldBack {
    fn take(&mut self) -> impl Iterator<Item = Queued> {
        self.bytes = 0;
        std::mem::take(&mut self.items).into_iter().map(|(_, item)| item)
    }
}

impl SendQueue {
    pub fn new(budget: usize) -> SendQueue {
        SendQueue { items: VecDeque::new(), bytes: 0, budget, held_back: None }
    }

    /// The bytes of what waits.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What waits, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Queued> {
        let held_back = self.held_back.iter().flat_map(|held| &held.items);
        self.items.iter().chain(held_back.map(|(_, item)| item))
    }

    /// Whether a stanza fits beside so many bytes that were written and are not acknowledged.
    pub fn has_room_for(&self, item: &Queued, unacknowledged: usize) -> bool {
        self.bytes + unacknowledged + item.len() <= self.budget
    }

    /// Whether there is room for more than single stanzas: for a page of them.
    pub fn has_room_for_many(&self, unacknowledged: usize) -> bool {
        self.bytes < self.budget / 8 && self.bytes + unacknowledged < self.budget / 2
    }

    /// Appends a stanza, or lets it wait. Returns whether there is something to write.
    pub fn push(&mut self, item: Queued) -> bool {
        self.bytes += item.len();
        if let Some(held) = &mut self.held_back {
            if let Some(key) = (held.waits_as)(&item.stanza) {
                if let Some(at) = held.items.iter().position(|(known, _)| *known == key) {
                    let (_, before) = held.items.remove(at);
                    held.bytes -= before.len();
                    self.bytes -= before.len();
                }
                held.bytes += item.len();
                held.items.push((key, item));
                if held.items.len() <= HELD_BACK && held.bytes <= HELD_BACK_BYTES {
                    return false;
                }
                self.items.extend(held.take());
                return true;
            }
            // What matters takes along all that came before it.
            self.items.extend(held.take());
        }
        self.items.push_back(item);
        true
    }

    /// Puts stanzas in front that were taken before, in their order.
    pub fn put_back(&mut self, items: Vec<Queued>) {
        for item in items.into_iter().rev() {
            self.bytes += item.len();
            self.items.push_front(item);
        }
    }

    /// Takes the next one.
    pub fn pop(&mut self) -> Option<Queued> {
        let item = self.items.pop_front()?;
        self.bytes -= item.len();
        Some(item)
    }

    /// Gives back the memory that an empty queue does not need.
    pub fn shrink(&mut self) {
        self.items.shrink_to(IDLE);
    }

    /// From now on what can wait is held back.
    pub fn hold_back(&mut self, waits_as: WaitsAs) {
        if self.held_back.is_none() {
            self.held_back = Some(Box::new(HeldBack { waits_as, items: Vec::new(), bytes: 0 }));
        }
    }

    /// Nothing is held back any more.
    pub fn let_go(&mut self) {
        if let Some(mut held) = self.held_back.take() {
            self.items.extend(held.take());
        }
    }

    /// The end: what was never written, in order.
    pub fn take_all(&mut self) -> VecDeque<Queued> {
        self.let_go();
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }
}
