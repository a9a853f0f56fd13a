//! What waits to be written to one peer, in memory. Its bounds are the session's (`room`). It knows no
//! log and no count.

use std::collections::VecDeque;

use bytes::Bytes;
use whoelse_xmpp::{Class, Outgoing};

use super::room::{Due, Room};

/// A stanza that waits to be written, and the address to insert, if it has none.
#[derive(Debug, Clone)]
pub struct Queued {
    /// The stanza.
    pub stanza: Outgoing,
    /// ` to='…'` for a shared stanza, else empty.
    pub to: Bytes,
    /// What it is to the session.
    pub due: Due,
}

impl Queued {
    /// A stanza that carries its own address.
    pub(crate) fn new(stanza: Outgoing, due: Due) -> Queued {
        Queued { stanza, to: Bytes::new(), due }
    }

    pub(crate) fn len(&self) -> usize {
        self.stanza.bytes.len() + self.to.len()
    }
}

/// How a stanza may be held back. `None`: it may not wait.
pub type WaitsAs = fn(&Outgoing) -> Option<Waits>;

/// As what a stanza is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// A later stanza of the same key takes its place.
    pub key: String,
    /// What waits under a key that begins so is over by this stanza, and goes, too.
    pub ends: Option<String>,
}

impl Waits {
    /// As what a later stanza of the same key replaces, and nothing else.
    pub fn under(key: String) -> Waits {
        Waits { key, ends: None }
    }

    /// Whether a stanza that waits under this key goes when this one comes.
    fn replaces(&self, key: &str) -> bool {
        self.key == key || self.ends.as_ref().is_some_and(|ends| key.starts_with(ends))
    }
}

/// The most stanzas that are held back (a presence of each contact), and their bytes. When full,
/// all are written.
const HELD_BACK: usize = 1_000;
const HELD_BACK_BYTES: usize = 256 << 10;

/// The most bytes of a stanza that is held back. The key is read from the stanza again for each
/// recipient, by the sender's worker; a longer stanza is written at once and never read.
const HELD_BACK_LONGEST: usize = 8 << 10;

/// The capacity, in stanzas, that an empty queue keeps.
const IDLE: usize = 8;

/// A send queue.
#[derive(Default)]
pub(super) struct SendQueue {
    items: VecDeque<Queued>,
    /// The bytes of it whose readers wait for room.
    waiting: Waiting,
    /// The stanzas that are held back until something has to be written, if any may be.
    held_back: Option<Box<HeldBack>>,
    /// Whether presence alone is to wait for more.
    resting: bool,
    /// Whether something is to be written that is no presence.
    pressing: bool,
}

/// The bytes of what waits and is made in pages, as there is room.
#[derive(Default)]
struct Waiting {
    /// Of messages of the log.
    logged: usize,
    /// Of the server's own words.
    own: usize,
}

impl Waiting {
    fn count(&mut self, item: &Queued, is_in: bool) {
        let bytes = match item.due {
            Due::Logged => &mut self.logged,
            Due::Own => &mut self.own,
            Due::News
            | Due::Presence
            | Due::Seat
            | Due::LastWord
            | Due::Passing(_)
            | Due::Event(_) => return,
        };
        *bytes = if is_in { *bytes + item.len() } else { bytes.saturating_sub(item.len()) };
    }
}

/// The stanzas that are held back until something has to be written.
struct HeldBack {
    waits_as: WaitsAs,
    /// The stanzas by their keys, in the order in which they came.
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
    /// The bytes of the messages of the log that wait.
    pub fn logged_bytes(&self) -> usize {
        self.waiting.logged
    }

    /// The bytes of the server's own words that wait.
    pub fn own_bytes(&self) -> usize {
        self.waiting.own
    }

    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() || self.resting && !self.pressing
    }

    /// Lets presence wait from now on until something else is to be written, too, or
    /// [`SendQueue::end_rest`] is called.
    pub fn rest(&mut self) {
        self.resting = true;
    }

    /// Presence is written again as it comes.
    pub fn end_rest(&mut self) {
        self.resting = false;
    }

    /// What waits, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Queued> {
        let held_back = self.held_back.iter().flat_map(|held| &held.items);
        self.items.iter().chain(held_back.map(|(_, item)| item))
    }

    /// Appends a stanza, or holds it back, and takes the room for it. Returns whether there is
    /// something to write.
    pub fn push(&mut self, item: Queued, room: &mut Room) -> bool {
        room.take(item.due, item.len());
        self.waiting.count(&item, true);
        if let Some(held) = &mut self.held_back {
            let may_wait = item.len() <= HELD_BACK_LONGEST;
            if let Some(waits) = may_wait.then(|| (held.waits_as)(&item.stanza)).flatten() {
                for (_, before) in held.items.extract_if(.., |(key, _)| waits.replaces(key)) {
                    held.bytes -= before.len();
                    self.waiting.count(&before, false);
                    room.release(before.due, before.len());
                }
                held.bytes += item.len();
                held.items.push((waits.key, item));
                if held.items.len() <= HELD_BACK && held.bytes <= HELD_BACK_BYTES {
                    return false;
                }
                self.items.extend(held.take());
                self.pressing = true;
                return true;
            }
            // A stanza that cannot wait takes along all that came before it.
            self.items.extend(held.take());
        }
        self.pressing |= item.stanza.class != Class::Presence;
        self.items.push_back(item);
        !self.is_empty()
    }

    /// Puts stanzas that were taken before back in front, in their order. They still have their room.
    pub fn put_back(&mut self, items: Vec<Queued>) {
        self.pressing |= !items.is_empty();
        for item in items.into_iter().rev() {
            self.waiting.count(&item, true);
            self.items.push_front(item);
        }
    }

    /// Takes the next stanza, which keeps its room.
    pub fn pop(&mut self) -> Option<Queued> {
        if self.is_empty() {
            return None;
        }
        let item = self.items.pop_front()?;
        self.waiting.count(&item, false);
        self.pressing &= !self.items.is_empty();
        Some(item)
    }

    /// Gives back the memory that an empty queue does not need.
    pub fn shrink(&mut self) {
        self.items.shrink_to(IDLE);
    }

    /// Holds back from now on what can wait.
    pub fn hold_back(&mut self, waits_as: WaitsAs) {
        if self.held_back.is_none() {
            self.held_back = Some(Box::new(HeldBack { waits_as, items: Vec::new(), bytes: 0 }));
        }
    }

    /// Holds nothing back any more.
    pub fn let_go(&mut self) {
        if let Some(mut held) = self.held_back.take() {
            self.items.extend(held.take());
            self.pressing = !self.items.is_empty();
        }
    }

    /// Ends the queue. Returns what was never written, in order.
    pub fn take_all(&mut self) -> VecDeque<Queued> {
        self.let_go();
        self.waiting = Waiting::default();
        std::mem::take(&mut self.items)
    }
}
