//! The room of a session: what may wait for its client, and how much of that is whose
//! (`docs/design/shares.md`).

use smallvec::SmallVec;

/// What a stanza is to the session that gets it. It says what becomes of the stanza when there is no
/// room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The server's own word: an answer to a request of the session, a push. It is never dropped;
    /// when its reserve is full, the session ends.
    Own,
    /// News of the owner's roster, which others can make. It has a quarter of that reserve, and is
    /// told later from the roster when there is no room.
    News,
    /// A message of the log, which is read from there when there is room.
    Logged,
    /// Presence of somebody whom the owner knows: the newest counts.
    Presence,
    /// What is said where the session has a seat: at a service that tells all who are there the same.
    /// It is refused, and the seat is lost, so that nothing is missed without a word.
    Seat,
    /// The word that a seat is lost or left. It has a small part of its own.
    LastWord,
    /// What passes, from this sender. It is refused, and whoever pushes it answers for it.
    Passing(Sender),
    /// What passes and is told anew when there is room: an event of this speaker.
    Event(Sender),
}

/// Whoever sends what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    /// The number of their account; 0: they have none here, or none any more.
    pub account: i64,
    /// Whether the recipient does not know them.
    pub is_stranger: bool,
}

impl Sender {
    /// Who asks to see somebody: all of them together are one.
    pub(crate) const ASKERS: Sender = Sender { account: -1, is_stranger: true };
}

/// The bytes that a session holds, waiting or unacknowledged.
pub(super) struct Room {
    budget: usize,
    own: usize,
    news: usize,
    logged: usize,
    presence: usize,
    seats: usize,
    last_words: usize,
    passing: Shares,
}

impl Room {
    pub fn new(budget: usize) -> Room {
        let passing = Shares::of(budget);
        Room { budget, own: 0, news: 0, logged: 0, presence: 0, seats: 0, last_words: 0, passing }
    }

    /// The bytes of everything that is held.
    pub fn bytes(&self) -> usize {
        self.own
            + self.news
            + self.logged
            + self.presence
            + self.seats
            + self.last_words
            + self.passing.bytes
    }

    /// Whether there is room for so many bytes more. `aside`: bytes that count as held and are not
    /// here.
    pub fn has_room_for(&self, due: Due, bytes: usize, aside: usize) -> bool {
        let fits = self.bytes() + aside + bytes <= self.budget;
        match due {
            Due::Own => fits || self.own + self.news + bytes <= self.budget / 2,
            Due::News => {
                let reserve = fits || self.own + self.news + bytes <= self.budget / 2;
                reserve && (self.news == 0 || self.news + bytes <= self.budget / 8)
            }
            Due::Logged => fits,
            Due::Presence => {
                let presence = self.presence + bytes;
                presence <= self.budget / 4 || fits && presence <= self.budget / 2
            }
            // Whoever takes a seat is told of all who are there.
            Due::Seat => {
                let seats = self.seats + bytes;
                seats <= self.budget / 4 || fits && seats <= self.budget / 2
            }
            Due::LastWord => self.last_words + bytes <= self.budget / 16,
            Due::Passing(sender) | Due::Event(sender) => self.passing.have_room_for(sender, bytes),
        }
    }

    /// Whether there is room for all that somebody is told who takes a seat: so many bytes, of which no
    /// more than a seat always has room for is waited for.
    pub fn has_room_to_enter(&self, bytes: usize) -> bool {
        self.has_room_for(Due::Seat, bytes.min(self.budget / 4), 0)
    }

    /// Whether there is room for a page of the log, of which so many bytes are not even written.
    /// Unacknowledged bytes count too: a client that reads and does not acknowledge gets no more of
    /// the log. What others say does not count: it must not keep the log from being read.
    pub fn has_room_for_page(&self, to_write: usize, aside: usize) -> bool {
        to_write < self.budget / 8 && self.logged + aside < self.budget / 2
    }

    /// Whether there is room for more answers in pages, of which so many bytes are not even written.
    pub fn has_room_for_answers(&self, to_write: usize) -> bool {
        to_write < self.budget / 8 && self.own < self.budget / 4
    }

    /// Whether presence that is late may follow: it fits then.
    pub fn has_room_for_late(&self) -> bool {
        self.presence <= self.late_most()
    }

    /// Whether events that were missed may be told anew: no sender's share is full then.
    pub fn has_room_for_events(&self) -> bool {
        self.passing.bytes <= self.passing.most / 4
    }

    /// The bytes of late presence that are kept.
    pub fn late_most(&self) -> usize {
        self.budget / 8
    }

    /// Takes room for so many bytes.
    pub fn take(&mut self, due: Due, bytes: usize) {
        match due {
            Due::Own => self.own += bytes,
            Due::News => self.news += bytes,
            Due::Logged => self.logged += bytes,
            Due::Presence => self.presence += bytes,
            Due::Seat => self.seats += bytes,
            Due::LastWord => self.last_words += bytes,
            Due::Passing(sender) | Due::Event(sender) => self.passing.take(sender, bytes),
        }
    }

    /// Gives it back.
    pub fn release(&mut self, due: Due, bytes: usize) {
        let held = match due {
            Due::Own => &mut self.own,
            Due::News => &mut self.news,
            Due::Logged => &mut self.logged,
            Due::Presence => &mut self.presence,
            Due::Seat => &mut self.seats,
            Due::LastWord => &mut self.last_words,
            Due::Passing(sender) | Due::Event(sender) => {
                return self.passing.release(sender, bytes);
            }
        };
        *held = held.saturating_sub(bytes);
    }
}

/// What passes, and how much of it is whose. A sender has half of it, strangers together have half,
/// and one stranger has half of that. If there is nothing of anybody, any sender may have one
/// stanza, since a stanza can be larger than a share.
#[derive(Debug)]
pub(crate) struct Shares {
    most: usize,
    bytes: usize,
    of_strangers: usize,
    /// Those of whom there is something: few at one moment.
    senders: SmallVec<[(i64, usize); 2]>,
}

impl Shares {
    /// Of a quarter of this budget.
    pub fn of(budget: usize) -> Shares {
        Shares { most: budget / 4, bytes: 0, of_strangers: 0, senders: SmallVec::new() }
    }

    pub fn have_room_for(&self, sender: Sender, bytes: usize) -> bool {
        if self.bytes == 0 {
            return true;
        }
        let share = if sender.is_stranger { self.most / 4 } else { self.most / 2 };
        let strangers = if sender.is_stranger { self.of_strangers + bytes } else { 0 };
        self.bytes + bytes <= self.most
            && strangers <= self.most / 2
            && self.of_sender(sender) + bytes <= share
    }

    pub fn are_empty(&self) -> bool {
        self.bytes == 0
    }

    fn of_sender(&self, sender: Sender) -> usize {
        let found = self.senders.iter().find(|(account, _)| *account == sender.account);
        found.map_or(0, |(_, bytes)| *bytes)
    }

    pub fn take(&mut self, sender: Sender, bytes: usize) {
        self.bytes += bytes;
        if sender.is_stranger {
            self.of_strangers += bytes;
        }
        match self.senders.iter_mut().find(|(account, _)| *account == sender.account) {
            Some((_, held)) => *held += bytes,
            None => self.senders.push((sender.account, bytes)),
        }
    }

    pub fn release(&mut self, sender: Sender, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        if sender.is_stranger {
            self.of_strangers = self.of_strangers.saturating_sub(bytes);
        }
        let Some(at) = self.senders.iter().position(|(account, _)| *account == sender.account)
        else {
            return;
        };
        let held = &mut self.senders[at].1;
        *held = held.saturating_sub(bytes);
        if *held == 0 {
            self.senders.swap_remove(at);
        }
    }
}
