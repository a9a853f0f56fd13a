//! What waits to be written to a session: appended within its budget, taken by its connection.

use std::time::Duration;

use bytes::Bytes;
use whoelse_stream::{Output, sm};
use whoelse_xmpp::{Class, Outgoing, StreamError};

use super::{COPIED, Drain, Session, State, Superseded};
use crate::clock::Steady;
use crate::counters::Kinds;
use crate::settings::Limits;

/// Bytes of kept messages that one session may have on their way to the log before its reading
/// pauses: four of the largest, or thousands of ordinary ones. A fast sender waits for the disk,
/// and not in our memory.
const POSTED: usize = 1 << 20;

/// How long after it was said a message is not delayed.
const MOMENT: Duration = Duration::from_secs(5);

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

/// What waits until something has to be written. Its bytes count as queued.
pub(super) struct HeldBack {
    waits_as: WaitsAs,
    /// By their keys, in the order in which they came.
    items: Vec<(String, Queued)>,
    bytes: usize,
}

/// What [`Session::take`] found.
#[derive(Debug, Default)]
pub struct Taken {
    /// What was taken.
    pub kinds: Kinds,
    /// The queue is not empty yet.
    pub more: bool,
    /// The connection must end with this error; what was taken before is still written.
    pub end: Option<StreamError>,
    /// There is room for the next page of the log: ask for it.
    pub wants_page: bool,
}

/// Why a stanza could not be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushRefused {
    /// The session is over.
    Gone,
    /// Over the budget: the session was detached or ended.
    OverBudget,
}

/// Whether a message has come to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Had {
    /// As far as is remembered, not.
    Not,
    /// It waits there, or is under way to the client.
    Unconfirmed,
    /// The client has it.
    Yes,
}

/// Messages of the log that came live since a fence went through the keeper, set aside until what
/// was committed before it has been read.
#[derive(Debug)]
pub(super) struct Fence {
    /// Which fence of the session this is.
    number: u32,
    aside: Vec<Aside>,
    bytes: usize,
}

#[derive(Debug)]
struct Aside {
    /// Its number in the log.
    number: i64,
    item: Queued,
    /// It is a copy, and confirms nothing.
    copy: bool,
}

/// A page of the log, for one session.
pub(crate) struct LogPage {
    /// The number after which it was read.
    pub after: i64,
    /// The fence before it was read, if there was one.
    pub fence: Option<u32>,
    /// What is in it, oldest first.
    pub stanzas: Vec<Outgoing>,
    /// The last number that was looked at.
    pub last: i64,
    /// Whether more was to be read.
    pub more: bool,
}

impl HeldBack {
    fn take(&mut self) -> impl Iterator<Item = Queued> {
        self.bytes = 0;
        std::mem::take(&mut self.items).into_iter().map(|(_, item)| item)
    }
}

impl State {
    /// Appends to what is to be written, or lets it wait. Returns whether the connection has
    /// something to write.
    fn enqueue(&mut self, item: Queued) -> bool {
        self.queued_bytes += item.len();
        if let Some(held) = &mut self.held_back {
            if let Some(key) = (held.waits_as)(&item.stanza) {
                if let Some(at) = held.items.iter().position(|(known, _)| *known == key) {
                    let (_, before) = held.items.remove(at);
                    held.bytes -= before.len();
                    self.queued_bytes -= before.len();
                }
                held.bytes += item.len();
                held.items.push((key, item));
                if held.items.len() <= HELD_BACK && held.bytes <= HELD_BACK_BYTES {
                    return false;
                }
                self.queue.extend(held.take());
                return true;
            }
            // What matters takes along all that came before it.
            self.queue.extend(held.take());
        }
        self.queue.push_back(item);
        true
    }

    /// Nothing waits any more.
    pub(super) fn let_go(&mut self) {
        if let Some(mut held) = self.held_back.take() {
            self.queue.extend(held.take());
        }
    }

    /// Sets aside what comes live while the last page is read. False: it is left to the log.
    fn set_aside(&mut self, number: i64, item: Queued, copy: bool, budget: usize) -> bool {
        let room = self.held_bytes() + item.len() <= budget;
        match &mut self.fence {
            Some(fence) if room => {
                fence.bytes += item.len();
                fence.aside.push(Aside { number, item, copy });
                true
            }
            _ => {
                self.fence = None;
                false
            }
        }
    }

    /// Bytes that are set aside.
    pub(super) fn aside_bytes(&self) -> usize {
        self.fence.as_ref().map_or(0, |fence| fence.bytes)
    }

    fn note_copied(&mut self, number: i64) {
        if self.copied.len() >= COPIED {
            self.copied.pop_front();
        }
        self.copied.push_back(number);
    }

    /// The numbers of the log that are queued, or sent and not confirmed.
    fn open(&self) -> impl Iterator<Item = i64> {
        let sent = self.managed.iter().flat_map(|managed| managed.sent.resend());
        sent.chain(&self.queue).filter_map(|item| match item.stanza.class {
            Class::Kept(seq) if seq != 0 => Some(seq as i64),
            Class::AheadOfLog(seq) => Some(seq as i64),
            _ => None,
        })
    }
}

impl Session {
    /// Queues a stanza that carries its own address. Never blocks, keeps order.
    pub fn push(&self, stanza: Outgoing) {
        let _ = self.push_queued(Queued { stanza, to: Bytes::new() });
    }

    /// Queues a stanza that is shared with others; ` to='…'` is inserted as it is written.
    pub fn push_addressed(&self, stanza: &Outgoing, to: &Bytes) {
        let _ = self.push_queued(Queued { stanza: stanza.clone(), to: to.clone() });
    }

    /// Queues within the budget. A message that the log will hand out anyway is left to it.
    ///
    /// Over the budget the connection is cut: what is in the log is read from there again when
    /// somebody reads, everything else is refused here and is the caller's to answer for.
    pub(crate) fn push_queued(&self, mut item: Queued) -> Result<(), PushRefused> {
        let mut state = self.lock();
        if state.gone {
            return Err(PushRefused::Gone);
        }
        let logged = match item.stanza.class {
            Class::Kept(seq) if seq != 0 => Some(seq as i64),
            _ => None,
        };
        if let (Some(number), Drain::After { seq, .. }) = (logged, state.drain)
            && number > seq
        {
            state.set_aside(number, item, false, self.budget);
            return Ok(());
        }
        // To a session that does not read the log a confirmation would mean more than it says:
        // messages before this one still wait.
        let early = logged.filter(|_| matches!(state.drain, Drain::Paused(_)));
        if let Some(seq) = early {
            item.stanza.class = Class::AheadOfLog(seq as u64);
        }
        if state.held_bytes() + item.len() > self.budget {
            state.cut = state.attached;
            if let (Some(seq), Drain::Live) = (logged, state.drain) {
                state.live.end(seq - 1);
                state.drain = Drain::After { seq: seq - 1, asked: false, more: false };
            }
            drop(state);
            self.wake.notify_one();
            return if logged.is_some() { Ok(()) } else { Err(PushRefused::OverBudget) };
        }
        if state.drain == Drain::Live {
            state.highest = state.highest.max(logged.unwrap_or(0));
        }
        if let Some(seq) = early {
            self.account.ahead_of_log().note(seq, self.id);
        }
        let wakes = state.enqueue(item);
        drop(state);
        if wakes {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Queues a copy of a message that another session gets or sent, within the budget. `logged` is
    /// its number in the log of this account: a session that still reads there finds it by itself,
    /// and one that is over its budget will.
    ///
    /// A copy confirms nothing: the cursor is moved by who got the message.
    pub(crate) fn push_copy(&self, item: Queued, logged: Option<i64>) {
        let mut state = self.lock();
        if state.gone {
            return;
        }
        if let (Some(number), Drain::After { seq, .. }) = (logged, state.drain)
            && number > seq
        {
            state.set_aside(number, item, true, self.budget);
            return;
        }
        if state.held_bytes() + item.len() > self.budget {
            state.cut = state.attached;
            if let (Some(number), Drain::Live) = (logged, state.drain) {
                state.live.end(number - 1);
                state.drain = Drain::After { seq: number - 1, asked: false, more: false };
            }
            drop(state);
            self.wake.notify_one();
            return;
        }
        if let Some(number) = logged {
            state.note_copied(number);
        }
        let wakes = state.enqueue(item);
        drop(state);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// From now on what can wait is held back, until something has to be written that cannot, or
    /// [`Session::let_go`] is called, or another connection resumes the session. `waits_as` is asked
    /// of each stanza, under the lock.
    pub fn hold_back(&self, waits_as: WaitsAs) {
        let mut state = self.lock();
        if state.held_back.is_none() && !state.gone {
            state.held_back = Some(Box::new(HeldBack { waits_as, items: Vec::new(), bytes: 0 }));
        }
    }

    /// What was held back is written, and nothing more waits.
    pub fn let_go(&self) {
        self.lock().let_go();
        self.wake.notify_one();
    }

    /// Bytes that are unsent or unacknowledged.
    pub fn held_bytes(&self) -> usize {
        self.lock().held_bytes()
    }

    /// Waits until the queue has room for `bytes` more, or the session is over or detached.
    ///
    /// For answers made in pages: the producer waits here, the client's reading sets the pace.
    pub async fn room(&self, limits: &Limits) {
        loop {
            let settled = self.settled.notified();
            {
                let state = self.lock();
                if state.gone || !state.attached || state.queued_bytes < limits.session_bytes / 8 {
                    return;
                }
            }
            settled.await;
        }
    }

    /// Moves what is queued into `out`, until about `max` bytes are there.
    pub fn take(
        &self,
        epoch: u64,
        now: Steady,
        limits: &Limits,
        out: &mut Output,
        max: usize,
    ) -> Result<Taken, Superseded> {
        let mut state = self.holding(epoch)?;
        let state = &mut *state;
        let mut taken = Taken::default();
        while out.len() < max
            && let Some(item) = state.queue.pop_front()
        {
            state.queued_bytes -= item.len();
            out.stanza(&item.stanza, &item.to);
            taken.kinds.inc(item.stanza.class);
            let counted = item.stanza.class != Class::Nonza;
            match &mut state.managed {
                Some(managed) if counted => {
                    let bytes = item.len();
                    managed.sent.push(item, bytes);
                    managed.since_request += 1;
                }
                _ => match item.stanza.class {
                    Class::Kept(0) => state.unflushed.push(item),
                    Class::Kept(seq) => state.writing = state.writing.max(seq as i64),
                    Class::AheadOfLog(seq) => self.account.ahead_of_log().confirm(seq as i64),
                    _ => {}
                },
            }
        }
        taken.more = !state.queue.is_empty();
        // Behind the queue: an error stands in it before what it answers counts as handled.
        if state.owes_ack && state.handled.all_done() && !taken.more {
            state.owes_ack = false;
            out.element(&sm::Element::Ack { h: state.handled.h() }.encode());
        }
        if let Some(managed) = &mut state.managed {
            let due = managed.since_request >= limits.ack_every
                || (managed.since_request > 0 && !taken.more);
            if due && managed.asked_at.is_none() {
                out.element(&sm::Element::Request.encode());
                managed.since_request = 0;
                managed.asked_at = Some(now);
            }
        }
        if !taken.more {
            state.queue.shrink_to(8);
            taken.end = state.end.take();
        }
        // What is unacknowledged counts too: who reads and does not say so gets no more of the log.
        let room = state.queued_bytes < self.budget / 8 && state.held_bytes() < self.budget / 2;
        if let Drain::After { asked, .. } = &mut state.drain
            && !*asked
            && room
        {
            *asked = true;
            taken.wants_page = true;
        }
        self.settled.notify_waiters();
        Ok(taken)
    }

    /// What was taken is flushed. Returns the number up to which the log is confirmed by it,
    /// for a session without stream management.
    pub fn flushed(&self, epoch: u64) -> Result<i64, Superseded> {
        let mut state = self.holding(epoch)?;
        state.unflushed = Vec::new();
        let written = std::mem::take(&mut state.writing);
        Ok(self.confirmed_to(&state, written))
    }

    /// Whether the connection is to be dropped: its peer does not read.
    pub fn is_cut(&self) -> bool {
        self.lock().cut
    }

    /// Waits until there is something to write or an order to end.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    // --- the log ---

    /// Whether a message of this age only happens to come by the log: it was said while the session
    /// was reading there, a moment ago, and nobody would call it delayed (XEP-0203).
    pub(crate) fn is_live(&self, age: Duration, now: Steady) -> bool {
        age < MOMENT && age < now.since(self.lock().reading_since)
    }

    pub(crate) fn drain_state(&self) -> Drain {
        self.lock().drain
    }

    /// A fence has gone through the keeper: what was committed before it can be read, and what comes
    /// live from now on is set aside. Returns its number, if the session reads the log.
    pub(crate) fn fence(&self) -> Option<u32> {
        let mut state = self.lock();
        if !matches!(state.drain, Drain::After { .. }) {
            return None;
        }
        state.fences = state.fences.wrapping_add(1);
        let number = state.fences;
        state.fence = Some(Box::new(Fence { number, aside: Vec::new(), bytes: 0 }));
        Some(number)
    }

    /// Queues a page of the log, and what has been set aside meanwhile if it is the last one: from
    /// then on everything comes live. Without a fence, or when that was lifted, more has to be read.
    ///
    /// The session can have become unavailable while the page was read. Then nothing of it is
    /// queued: what is due to it is decided anew when it is back.
    ///
    /// Returns the number up to which the log is confirmed by what the client had early.
    pub(crate) fn push_page(&self, page: LogPage) -> i64 {
        let mut state = self.lock();
        if state.gone || !state.drain.is_at(page.after) {
            return 0;
        }
        for stanza in page.stanzas {
            self.enqueue_logged(&mut state, Queued { stanza, to: Bytes::new() });
        }
        if page.after < page.last {
            state.read.add(page.after, page.last);
        }
        let fence = state.fence.take();
        match fence.filter(|fence| !page.more && Some(fence.number) == page.fence) {
            Some(fence) => {
                state.live.begin(page.last);
                state.drain = Drain::Live;
                for Aside { number, item, copy } in fence.aside {
                    match (number > page.last, copy) {
                        (false, _) => {}
                        (true, true) => {
                            state.note_copied(number);
                            state.enqueue(item);
                        }
                        (true, false) => self.enqueue_logged(&mut state, item),
                    }
                }
            }
            None => {
                let (seq, more) = (page.last, page.more);
                state.drain = Drain::After { seq, asked: false, more };
            }
        }
        let confirmed = self.confirmed_to(&state, 0);
        drop(state);
        self.wake.notify_one();
        confirmed
    }

    /// Queues a message that comes from the log, unless the client has had it early.
    fn enqueue_logged(&self, state: &mut State, item: Queued) {
        if let Class::Kept(seq) = item.stanza.class {
            state.highest = state.highest.max(seq as i64);
            if self.account.ahead_of_log().is_had(seq as i64, self.id) {
                return;
            }
        }
        state.enqueue(item);
    }

    /// How far the log is confirmed when the client has confirmed it up to `seq`: perhaps further,
    /// by what it had early.
    pub(super) fn confirmed_to(&self, state: &State, seq: i64) -> i64 {
        let early = self.account.ahead_of_log();
        if early.is_empty() {
            return seq;
        }
        let read = match state.drain {
            Drain::Live => i64::MAX,
            Drain::After { seq, .. } | Drain::Paused(seq) => seq,
        };
        let read = state.open().min().map_or(read, |first| read.min(first - 1));
        early.confirmed_up_to(read).map_or(seq, |early| seq.max(early))
    }

    /// Whether this message of the log, which is for one resource alone, has come to this session:
    /// because it is the one, or from the log, or early.
    pub(crate) fn has_had(&self, number: i64, alone: &str) -> Had {
        let state = self.lock();
        let had = state.read.contains(number)
            || alone == self.resource() && state.live.contains(number)
            || self.account.ahead_of_log().is_had(number, self.id);
        match had {
            false => Had::Not,
            true if state.open().any(|open| open == number) => Had::Unconfirmed,
            true => Had::Yes,
        }
    }

    /// Whether a later message of the log has come to it that it has not confirmed.
    pub(crate) fn will_confirm_past(&self, number: i64) -> bool {
        let state = self.lock();
        let sent = state.managed.iter().flat_map(|managed| managed.sent.resend());
        let past =
            |item: &Queued| matches!(item.stanza.class, Class::Kept(seq) if seq as i64 > number);
        sent.chain(&state.queue).any(past)
    }

    /// Queues a message of the log that another session was due and never had. It comes ahead of
    /// what this one has not read yet, and so its confirmation counts for itself alone.
    pub(crate) fn push_ahead_of_log(
        &self,
        mut item: Queued,
        number: i64,
    ) -> Result<(), PushRefused> {
        item.stanza.class = Class::AheadOfLog(number as u64);
        self.account.ahead_of_log().note(number, self.id);
        self.push_queued(item)
    }

    /// Remembers that a kept message of so many bytes is on its way to the log. Returns whether more
    /// should wait until some have arrived.
    pub(crate) fn posted(&self, bytes: usize) -> bool {
        let mut state = self.lock();
        state.posted_bytes += bytes;
        state.posted_bytes > POSTED
    }

    /// One of them is committed or failed.
    pub(crate) fn arrived(&self, bytes: usize) {
        let mut state = self.lock();
        state.posted_bytes = state.posted_bytes.saturating_sub(bytes);
    }
}
