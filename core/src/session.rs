//! A session: one live login. It outlives its connection for a while (XEP-0198, resumption).
//!
//! A connection holds the session by its *epoch*. Attaching raises the epoch; whoever acts with an
//! old one is told [`Superseded`] and must end. Nothing here waits: a push appends within the
//! budget or detaches, and the connection is woken.

use crate::account::Account;
use crate::clock::{Clock, Time};
use crate::settings::Limits;
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use whoelse_stream::sm::{self, Handled, Sent};
use whoelse_xmpp::{Class, FullJid, Outgoing, StreamError};

/// The place of a received stanza in the count of its session. The count starts anew when stream
/// management is enabled; a ticket from before counts for nothing then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    managed: bool,
    number: u32,
}

/// A newer connection holds the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded;

/// One live login of an account.
pub struct Session {
    /// Unique on this node.
    pub id: u64,
    /// The full address.
    pub jid: FullJid,
    /// Whose login it is.
    pub account: Arc<Account>,
    trusted: bool,
    /// Bytes it may hold, unsent and unacknowledged.
    budget: usize,
    /// Whether presence was sent; read on every delivery, so kept outside the lock.
    available: AtomicBool,
    /// When the user last did something, in microseconds (behaviour.md, TIMEOUT).
    last_activity: AtomicI64,
    /// When the last byte was read, in microseconds.
    last_heard: AtomicI64,
    /// How often something was read.
    reads: AtomicU64,
    /// Somebody waits for the next byte.
    probed: AtomicBool,
    /// Everything that changes. Held for a push or a take, never across an await; taken after an
    /// account's list of sessions, never before.
    state: Mutex<State>,
    /// Wakes the connection: something to write, or an order to end.
    wake: Notify,
    /// Wakes whoever waits for a change of state: handled, room in the queue, heard of, over.
    settled: Notify,
}

/// What waits to be written: the stanza and the address to insert, if it has none.
#[derive(Debug, Clone)]
pub struct Queued {
    /// The stanza.
    pub stanza: Outgoing,
    /// ` to='…'` for a shared stanza, else empty.
    pub to: Bytes,
}

impl Queued {
    fn len(&self) -> usize {
        self.stanza.bytes.len() + self.to.len()
    }

    fn write(&self, out: &mut Vec<u8>) {
        let (head, tail) = self.stanza.bytes.split_at(self.stanza.after_name as usize);
        out.extend_from_slice(head);
        out.extend_from_slice(&self.to);
        out.extend_from_slice(tail);
    }
}

/// Whether the log's waiting messages have been handed to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drain {
    /// It is not available. Once it is, it gets what is behind this number.
    Paused(i64),
    /// What is behind this number is still in the log and will come from there, page by page.
    After {
        /// The number.
        seq: i64,
        /// The next page has been asked for.
        asked: bool,
    },
    /// Everything new comes live.
    Live,
}

/// Stream management of one session, once it was enabled.
struct Managed {
    sent: Sent<Queued>,
    resume: Option<String>,
    since_request: u32,
    /// An `<r/>` is out since then.
    asked_at: Option<Time>,
}

struct State {
    epoch: u64,
    attached: bool,
    gone: bool,
    end: Option<StreamError>,
    /// It is about to be over, so it cannot be resumed.
    ending: bool,
    /// Over the budget: the connection is to be dropped without another word.
    cut: bool,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    managed: Option<Managed>,
    handled: Handled,
    /// The last `<r/>` was answered with less than what had been received.
    owes_ack: bool,
    /// Handed to a connection without stream management, not yet flushed: the highest number.
    writing: i64,
    presence: Option<(Outgoing, i8)>,
    drain: Drain,
    /// The highest number of the log that was queued here.
    highest: i64,
    /// Kept messages this session has posted that are not committed yet, by recipient.
    posted: Vec<(i64, u32)>,
    fanout: Bucket,
    /// What features remember of this login.
    marks: BTreeSet<String>,
}

/// A budget that refills with time (security row 44).
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Time,
}

/// Fan-outs a session may make at once, and how many more each second: a change of presence is
/// an append for everybody online, so a flood of them is slowed down, not delivered.
const FANOUT_BURST: f64 = 30.0;
const FANOUT_PER_SECOND: f64 = 2.0;

/// Marks of one session; some are made by its requests.
const MARKS: usize = 64;

/// What [`Session::take`] found.
#[derive(Debug, Default)]
pub struct Taken {
    /// Stanzas taken.
    pub stanzas: usize,
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

impl Session {
    pub(crate) fn new(
        id: u64,
        jid: FullJid,
        account: Arc<Account>,
        trusted: bool,
        budget: usize,
        now: Time,
    ) -> Session {
        Session {
            id,
            jid,
            account,
            trusted,
            budget,
            available: AtomicBool::new(false),
            last_activity: AtomicI64::new(now.0),
            last_heard: AtomicI64::new(now.0),
            reads: AtomicU64::new(0),
            probed: AtomicBool::new(false),
            state: Mutex::new(State {
                epoch: 1,
                attached: true,
                gone: false,
                end: None,
                ending: false,
                cut: false,
                queue: VecDeque::new(),
                queued_bytes: 0,
                managed: None,
                handled: Handled::default(),
                owes_ack: false,
                writing: 0,
                presence: None,
                drain: Drain::Paused(0),
                highest: 0,
                posted: Vec::new(),
                fanout: Bucket { tokens: FANOUT_BURST, at: now },
                marks: BTreeSet::new(),
            }),
            wake: Notify::new(),
            settled: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The resource.
    pub fn resource(&self) -> &str {
        self.jid.resource()
    }

    /// Whether it came over the admin socket.
    pub fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// Whether it has sent presence and not taken it back.
    pub fn is_available(&self) -> bool {
        self.available.load(Ordering::Acquire)
    }

    /// Whether a connection holds it.
    pub fn is_attached(&self) -> bool {
        self.lock().attached
    }

    /// Whether it is over.
    pub fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// The priority of an available session (RFC 6121, 4.7.2.3).
    pub fn priority(&self) -> Option<i8> {
        self.lock().presence.as_ref().map(|(_, priority)| *priority)
    }

    /// The presence last broadcast, without an address.
    pub fn presence(&self) -> Option<Outgoing> {
        self.lock().presence.as_ref().map(|(stanza, _)| stanza.clone())
    }

    pub(crate) fn set_presence(&self, presence: Option<(Outgoing, i8)>) {
        let mut state = self.lock();
        let available = presence.is_some() && !state.gone;
        state.presence = presence.filter(|_| available);
        self.available.store(available, Ordering::Release);
    }

    /// Remembers something for a feature until the session ends: that the client has asked for
    /// its roster, say. Returns false when the session remembers too much already.
    pub fn mark(&self, mark: impl Into<String>) -> bool {
        let mut state = self.lock();
        let room = state.marks.len() < MARKS;
        if room {
            state.marks.insert(mark.into());
        }
        room
    }

    /// Whether this is remembered.
    pub fn is_marked(&self, mark: &str) -> bool {
        self.lock().marks.contains(mark)
    }

    /// Forgets it. Returns whether it was remembered.
    pub fn unmark(&self, mark: &str) -> bool {
        self.lock().marks.remove(mark)
    }

    // --- the outgoing queue ---

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
        if logged.is_some() && matches!(state.drain, Drain::After { .. }) {
            return Ok(());
        }
        // To a session that has not read the log a confirmation would mean more than it says:
        // messages before this one still wait. It may come again, it must not take them along.
        if logged.is_some() && matches!(state.drain, Drain::Paused(_)) {
            item.stanza.class = Class::Message;
        }
        if state.held_bytes() + item.len() > self.budget {
            state.cut = state.attached;
            if let (Some(seq), Drain::Live) = (logged, state.drain) {
                state.drain = Drain::After { seq: seq - 1, asked: false };
            }
            drop(state);
            self.wake.notify_one();
            return if logged.is_some() { Ok(()) } else { Err(PushRefused::OverBudget) };
        }
        if state.drain == Drain::Live {
            state.highest = state.highest.max(logged.unwrap_or(0));
        }
        state.queued_bytes += item.len();
        state.queue.push_back(item);
        drop(state);
        self.wake.notify_one();
        Ok(())
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

    /// Moves what is queued into `out`, up to about `max` bytes.
    pub fn take(
        &self,
        epoch: u64,
        now: Time,
        limits: &Limits,
        out: &mut Vec<u8>,
        max: usize,
    ) -> Result<Taken, Superseded> {
        let mut state = self.holding(epoch)?;
        let state = &mut *state;
        let mut taken = Taken::default();
        if state.owes_ack && state.handled.all_done() {
            state.owes_ack = false;
            out.extend(sm::Element::Ack { h: state.handled.h() }.encode());
        }
        while out.len() < max
            && let Some(item) = state.queue.pop_front()
        {
            state.queued_bytes -= item.len();
            item.write(out);
            taken.stanzas += 1;
            let counted = item.stanza.class != Class::Nonza;
            match &mut state.managed {
                Some(managed) if counted => {
                    let bytes = item.len();
                    managed.sent.push(item, bytes);
                    managed.since_request += 1;
                }
                _ => {
                    if let Class::Kept(seq) = item.stanza.class {
                        state.writing = state.writing.max(seq as i64);
                    }
                }
            }
        }
        taken.more = !state.queue.is_empty();
        if let Some(managed) = &mut state.managed {
            let due = managed.since_request >= limits.ack_every
                || (managed.since_request > 0 && !taken.more);
            if due && managed.asked_at.is_none() {
                out.extend(sm::Element::Request.encode());
                managed.since_request = 0;
                managed.asked_at = Some(now);
            }
        }
        if !taken.more {
            state.queue.shrink_to(8);
            taken.end = state.end.take();
        }
        if let Drain::After { asked, .. } = &mut state.drain
            && !*asked
            && state.queued_bytes < self.budget / 8
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
        Ok(std::mem::take(&mut self.holding(epoch)?.writing))
    }

    /// Whether the connection is to be dropped: its peer does not read.
    pub fn is_cut(&self) -> bool {
        self.lock().cut
    }

    /// Waits until there is something to write or an order to end.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    // --- stream management ---

    /// XEP-0198, 3: starts counting. `resume` is the token by which it can be resumed.
    ///
    /// Returns false if it was enabled already.
    pub(crate) fn enable(&self, resume: Option<String>) -> bool {
        let mut state = self.lock();
        if state.managed.is_some() {
            return false;
        }
        state.handled = Handled::default();
        state.managed =
            Some(Managed { sent: Sent::default(), resume, since_request: 0, asked_at: None });
        true
    }

    /// The resumption token, if it can be resumed.
    pub fn resumption(&self) -> Option<String> {
        self.lock().managed.as_ref().and_then(|managed| managed.resume.clone())
    }

    /// Makes the session impossible to resume; gives back the token it had.
    pub(crate) fn forget_resumption(&self) -> Option<String> {
        self.lock().managed.as_mut().and_then(|managed| managed.resume.take())
    }

    /// A stanza has been received; the ticket says later that it is handled.
    ///
    /// Refused if the connection that read it holds the session no more: it would be counted in
    /// a stream it was never part of.
    pub(crate) fn received(&self, epoch: u64) -> Result<Ticket, Superseded> {
        let mut state = self.holding(epoch)?;
        Ok(Ticket { managed: state.managed.is_some(), number: state.handled.received() })
    }

    /// A received stanza is handled: committed, if it had to be.
    pub(crate) fn done(&self, ticket: Ticket) {
        let mut state = self.lock();
        if ticket.managed != state.managed.is_some() {
            return;
        }
        state.handled.done(ticket.number);
        let settled = state.handled.all_done();
        let owes = state.owes_ack;
        drop(state);
        if settled {
            self.settled.notify_waiters();
            if owes {
                self.wake.notify_one();
            }
        }
    }

    /// The count to acknowledge now, in answer to `<r/>`. What is still being committed follows
    /// in an `<a/>` of its own.
    pub fn acknowledge(&self) -> u32 {
        let mut state = self.lock();
        state.owes_ack = !state.handled.all_done();
        state.handled.h()
    }

    /// The count handled so far.
    pub fn h(&self) -> u32 {
        self.lock().handled.h()
    }

    /// Waits until the keeper holds nothing of this session, or it is over.
    pub async fn settled(&self) {
        loop {
            let settled = self.settled.notified();
            {
                let state = self.lock();
                if state.gone || state.handled.all_done() {
                    return;
                }
            }
            settled.await;
        }
    }

    /// Whether stream management is on.
    pub fn is_managed(&self) -> bool {
        self.lock().managed.is_some()
    }

    /// XEP-0198, 4: the peer has `h` stanzas. Returns the highest number of the log among them.
    ///
    /// Fails with `(h, sent)` if it claims more than was sent.
    pub(crate) fn acked(&self, h: u32) -> Result<i64, (u32, u32)> {
        let mut state = self.lock();
        let queue_empty = state.queue.is_empty();
        let Some(managed) = &mut state.managed else { return Ok(0) };
        managed.asked_at = None;
        let highest = highest(managed.sent.ack(h).map_err(|bad| (bad.h, bad.sent))?);
        let ask_again = managed.since_request > 0 && queue_empty;
        drop(state);
        self.settled.notify_waiters();
        if ask_again {
            self.wake.notify_one();
        }
        Ok(highest)
    }

    // --- connections come and go ---

    fn holding(&self, epoch: u64) -> Result<MutexGuard<'_, State>, Superseded> {
        let state = self.lock();
        if state.epoch == epoch && !state.gone { Ok(state) } else { Err(Superseded) }
    }

    /// Whether the connection with this epoch still holds the session.
    pub fn is_held_by(&self, epoch: u64) -> bool {
        self.holding(epoch).is_ok()
    }

    /// The connection is lost. Returns whether the session waits for a resumption; if not, the
    /// caller ends it.
    pub(crate) fn detach(&self, epoch: u64) -> Result<bool, Superseded> {
        let mut state = self.holding(epoch)?;
        state.attached = false;
        state.cut = false;
        if let Drain::After { asked, .. } = &mut state.drain {
            *asked = false;
        }
        let resumable = state.managed.as_ref().is_some_and(|m| m.resume.is_some());
        if let Some(managed) = &mut state.managed {
            managed.asked_at = None;
        }
        let waits = resumable && !state.ending;
        drop(state);
        self.settled.notify_waiters();
        Ok(waits)
    }

    /// The connection is about to end the session: from now on it cannot be resumed, so nobody
    /// can lose it to a last word that takes its time.
    pub fn begin_end(&self, epoch: u64) -> Result<(), Superseded> {
        self.holding(epoch)?.ending = true;
        Ok(())
    }

    /// XEP-0198, 5: a new connection takes the session over. The peer has `h` of our stanzas; the
    /// others are queued again, in front. Returns the new epoch, the count we handled, and the
    /// highest number of the log that `h` confirms.
    ///
    /// Everything received must be handled, see [`Session::settled`].
    pub(crate) fn resume(&self, h: u32) -> Result<(u64, u32, i64), ResumeRefused> {
        let mut state = self.lock();
        if state.gone || state.ending {
            return Err(ResumeRefused::Gone);
        }
        if !state.handled.all_done() {
            return Err(ResumeRefused::Unsettled);
        }
        let state = &mut *state;
        let Some(managed) = &mut state.managed else { return Err(ResumeRefused::Gone) };
        let acked = managed
            .sent
            .ack(h)
            .map_err(|bad| ResumeRefused::TooHigh { h: bad.h, sent: bad.sent })?;
        let confirmed = highest(acked);
        for item in managed.sent.take_back().into_iter().rev() {
            state.queued_bytes += item.len();
            state.queue.push_front(item);
        }
        managed.since_request = 0;
        managed.asked_at = None;
        state.epoch += 1;
        state.attached = true;
        state.cut = false;
        state.owes_ack = false;
        self.wake.notify_one();
        Ok((state.epoch, state.handled.h(), confirmed))
    }

    /// Orders the connection to end with this error, after what is queued has been written.
    /// A session ended so cannot be resumed. Returns whether a connection is there to obey.
    pub fn order_end(&self, error: StreamError) -> bool {
        let mut state = self.lock();
        state.end.get_or_insert(error);
        state.ending = true;
        let attached = state.attached && !state.gone;
        drop(state);
        self.wake.notify_one();
        attached
    }

    /// The error it was ordered to end with, if its connection has not obeyed yet.
    pub fn ordered_end(&self) -> Option<StreamError> {
        self.lock().end.clone()
    }

    /// The end. Returns what was never confirmed, oldest first; `None` if it was over already.
    pub(crate) fn finish(&self) -> Option<Vec<Queued>> {
        let mut state = self.lock();
        if std::mem::replace(&mut state.gone, true) {
            return None;
        }
        self.available.store(false, Ordering::Release);
        state.attached = false;
        state.epoch += 1;
        state.presence = None;
        let mut left = match state.managed.take() {
            Some(managed) => managed.sent.into_unacknowledged(),
            None => Vec::new(),
        };
        left.extend(std::mem::take(&mut state.queue));
        state.queued_bytes = 0;
        drop(state);
        self.settled.notify_waiters();
        self.wake.notify_one();
        Some(left)
    }

    // --- the log ---

    pub(crate) fn drain_state(&self) -> Drain {
        self.lock().drain
    }

    pub(crate) fn set_drain(&self, drain: Drain) {
        self.lock().drain = drain;
        self.wake.notify_one();
    }

    /// The session has become available: the log from `confirmed` on is due to it.
    pub(crate) fn start_drain(&self, confirmed: i64) {
        let mut state = self.lock();
        if let Drain::Paused(seq) = state.drain {
            state.drain = Drain::After { seq: seq.max(confirmed), asked: false };
            drop(state);
            self.wake.notify_one();
        }
    }

    /// The session is no longer available: what comes now waits in the log.
    pub(crate) fn pause_drain(&self) {
        let mut state = self.lock();
        state.drain = match state.drain {
            Drain::Live => Drain::Paused(state.highest),
            Drain::After { seq, .. } => Drain::Paused(seq),
            paused @ Drain::Paused(_) => paused,
        };
    }

    /// Queues a message that comes from the log.
    pub(crate) fn push_logged(&self, stanza: Outgoing) {
        let mut state = self.lock();
        if state.gone {
            return;
        }
        if let Class::Kept(seq) = stanza.class {
            state.highest = state.highest.max(seq as i64);
        }
        let item = Queued { stanza, to: Bytes::new() };
        state.queued_bytes += item.len();
        state.queue.push_back(item);
        drop(state);
        self.wake.notify_one();
    }

    /// Remembers that a kept message to `recipient` is on its way to the log.
    pub(crate) fn posted(&self, recipient: i64) {
        let mut state = self.lock();
        match state.posted.iter_mut().find(|(to, _)| *to == recipient) {
            Some((_, count)) => *count += 1,
            None => state.posted.push((recipient, 1)),
        }
    }

    /// One of them is committed or failed.
    pub(crate) fn arrived(&self, recipient: i64) {
        let mut state = self.lock();
        if let Some(i) = state.posted.iter().position(|(to, _)| *to == recipient) {
            state.posted[i].1 -= 1;
            if state.posted[i].1 == 0 {
                state.posted.swap_remove(i);
            }
        }
    }

    /// Whether something to `recipient` must ride behind a kept message.
    pub(crate) fn must_ride(&self, recipient: i64) -> bool {
        self.lock().posted.iter().any(|(to, _)| *to == recipient)
    }

    // --- time ---

    /// The user did something.
    pub fn touch(&self, now: Time) {
        self.last_activity.fetch_max(now.0, Ordering::AcqRel);
        self.account.last_active.fetch_max(now.0, Ordering::AcqRel);
    }

    /// A byte was read.
    pub fn heard(&self, now: Time) {
        self.last_heard.store(now.0, Ordering::Release);
        self.reads.fetch_add(1, Ordering::AcqRel);
        if self.probed.swap(false, Ordering::AcqRel) {
            self.settled.notify_waiters();
        }
    }

    /// How often something was read: whoever asks for a sign of life remembers it first. The time
    /// would not do, an answer can come within the same tick of the clock.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Acquire)
    }

    /// Waits until something was read after so many reads, or the session is over.
    pub(crate) async fn heard_after(&self, reads: u64) {
        loop {
            let news = self.settled.notified();
            self.probed.store(true, Ordering::Release);
            if self.reads() > reads || self.is_gone() {
                return;
            }
            news.await;
        }
    }

    /// Waits until the session is over.
    pub(crate) async fn over(&self) {
        loop {
            let news = self.settled.notified();
            if self.is_gone() {
                return;
            }
            news.await;
        }
    }

    /// When the last byte was read.
    pub fn last_heard(&self) -> Time {
        Time(self.last_heard.load(Ordering::Acquire))
    }

    /// When the user last did something.
    pub fn last_activity(&self) -> Time {
        Time(self.last_activity.load(Ordering::Acquire))
    }

    /// When an acknowledgement is overdue; `None` if none was asked for.
    pub fn ack_deadline(&self, limits: &Limits) -> Option<Time> {
        let state = self.lock();
        Some(state.managed.as_ref()?.asked_at?.after(limits.ack_wait))
    }

    /// Takes one fan-out from the budget, waiting for it if need be.
    pub async fn fan_out(&self, clock: &Clock) {
        while let Err(at) = self.spend_fanout(clock.now()) {
            clock.sleep_until(at).await;
        }
    }

    /// Takes one fan-out from the budget, or says when there will be one.
    pub(crate) fn spend_fanout(&self, now: Time) -> Result<(), Time> {
        let mut state = self.lock();
        let bucket = &mut state.fanout;
        let refill = now.since(bucket.at).as_secs_f64() * FANOUT_PER_SECOND;
        bucket.tokens = (bucket.tokens + refill).min(FANOUT_BURST);
        bucket.at = bucket.at.max(now);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - bucket.tokens) / FANOUT_PER_SECOND;
        Err(now.after(std::time::Duration::from_secs_f64(wait)))
    }
}

impl State {
    fn held_bytes(&self) -> usize {
        self.queued_bytes + self.managed.as_ref().map_or(0, |managed| managed.sent.bytes())
    }
}

fn highest(acked: Vec<Queued>) -> i64 {
    let kept = acked.iter().filter_map(|item| match item.stanza.class {
        Class::Kept(seq) => Some(seq as i64),
        _ => None,
    });
    kept.max().unwrap_or(0)
}

/// Why a session cannot be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeRefused {
    /// It is over.
    Gone,
    /// Its old connection has brought something that is not handled yet: wait again.
    Unsettled,
    /// The peer claims more stanzas than were sent.
    TooHigh {
        /// What it claims.
        h: u32,
        /// What was sent.
        sent: u32,
    },
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({}, {})", self.id, self.jid)
    }
}

#[cfg(test)]
mod tests;
