//! A session: one live login. It outlives its connection for a while (XEP-0198, resumption).
//!
//! A connection holds the session by its *epoch*. Attaching raises the epoch; whoever acts with an
//! old one is told [`Superseded`] and must end. Nothing here waits: a push appends within the
//! budget or detaches, and the connection is woken.

mod life;
mod queue;
mod seq_ranges;

pub use life::ResumeRefused;
pub(crate) use queue::Had;
use queue::HeldBack;
pub(crate) use queue::LogPage;
pub use queue::{PushRefused, Queued, Taken, WaitsAs};

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use whoelse_stream::sm::{Handled, Sent};
use whoelse_xmpp::{BareJid, FullJid, Jid, Outgoing, StreamError};

use crate::account::Account;
use crate::clock::{Clock, Moment, Steady, Time};
use crate::principal::{Principal, Rights};
use crate::settings::Limits;
use crate::slots::Slots;
use seq_ranges::SeqRanges;

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

/// As much is remembered as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// One live login of an account.
pub struct Session {
    /// Unique on this node.
    pub id: u64,
    /// The full address.
    pub jid: FullJid,
    /// Whose login it is.
    pub account: Arc<Account>,
    /// The generation of the password by which it began.
    generation: i64,
    rights: Rights,
    /// Bytes it may hold, unsent and unacknowledged.
    budget: usize,
    /// When it began.
    pub begun: Time,
    /// Whether presence was sent; read on every delivery, so kept outside the lock.
    available: AtomicBool,
    /// When the user last did something (behaviour.md, TIMEOUT); a [`Steady`].
    last_activity: AtomicI64,
    /// When the last byte was read; a [`Steady`].
    last_heard: AtomicI64,
    /// How often something was read.
    reads: AtomicU64,
    /// Somebody waits for the next byte.
    probed: AtomicBool,
    /// What features remember of this login.
    pub slots: Slots,
    /// Everything that changes. Held for a push or a take, never across an await; taken after an
    /// account's list of sessions, never before.
    state: Mutex<State>,
    /// Wakes the connection: something to write, or an order to end.
    wake: Notify,
    /// Wakes whoever waits for a change of state: handled, room in the queue, heard of, over.
    settled: Notify,
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
        /// The page before was not the last.
        more: bool,
    },
    /// Everything new comes live.
    Live,
}

impl Drain {
    /// Whether it stands at this place in the log, as far as the log has been read.
    fn is_at(self, after: i64) -> bool {
        matches!(self, Drain::After { seq, .. } if seq == after)
    }
}

/// Stream management of one session, once it was enabled.
struct Managed {
    sent: Sent<Queued>,
    resume: Option<String>,
    since_request: u32,
    /// An `<r/>` is out since then.
    asked_at: Option<Steady>,
}

struct State {
    epoch: u64,
    /// Where its connection comes from, or came from.
    address: Box<str>,
    attached: bool,
    gone: bool,
    end: Option<StreamError>,
    /// It is about to be over, so it cannot be resumed.
    ending: bool,
    /// Over the budget: the connection is to be dropped without another word.
    cut: bool,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// What waits until something has to be written, if anything may.
    held_back: Option<Box<HeldBack>>,
    managed: Option<Managed>,
    handled: Handled,
    /// The last `<r/>` was answered with less than what had been received.
    owes_ack: bool,
    /// Handed to a connection without stream management, not yet flushed: the highest number.
    writing: i64,
    /// And the messages among it that are in no log.
    unflushed: Vec<Queued>,
    presence: Option<(Outgoing, i8)>,
    drain: Drain,
    /// What is set aside while it reads the last page of the log.
    fence: Option<Box<queue::Fence>>,
    /// How many fences there were.
    fences: u32,
    /// What it has read in the log lately.
    read: SeqRanges,
    /// When everything new came live, lately.
    live: SeqRanges,
    /// When it last began to read the log.
    reading_since: Steady,
    /// The highest number of the log that was queued here.
    highest: i64,
    /// The bytes of the kept messages it has posted that are not committed yet.
    posted_bytes: usize,
    fanout: Bucket,
    /// The last numbers of the log of which it got a copy, oldest first.
    copied: VecDeque<i64>,
    /// To whom presence was sent directly, and not taken back (RFC 6121, 4.6).
    directed: BTreeSet<Jid>,
}

/// A budget that refills with time (security row 44).
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Steady,
}

/// Fan-outs a session may make at once, and how many more each second: a change of presence is
/// an append for everybody online, so a flood of them is slowed down, not delivered.
const FANOUT_BURST: f64 = 30.0;
const FANOUT_PER_SECOND: f64 = 2.0;
/// Bytes that count as one more fan-out. Large ones would fill the queues of everybody who reads
/// slowly, and cut them off.
const FANOUT_BYTES: f64 = 4096.0;

/// Copies of messages in the log that a session remembers to have got: enough for what another
/// session may hold unacknowledged, a conversation and not an archive.
const COPIED: usize = 256;

impl Session {
    pub(crate) fn new(
        id: u64,
        jid: FullJid,
        account: Arc<Account>,
        principal: &Principal,
        budget: usize,
        now: Moment,
    ) -> Session {
        Session {
            id,
            jid,
            account,
            generation: principal.account().map_or(0, |proved| proved.generation),
            rights: principal.rights,
            budget,
            begun: now.wall,
            available: AtomicBool::new(false),
            last_activity: AtomicI64::new(now.steady.0),
            last_heard: AtomicI64::new(now.steady.0),
            reads: AtomicU64::new(0),
            probed: AtomicBool::new(false),
            slots: Slots::default(),
            state: Mutex::new(State {
                epoch: 1,
                address: Box::default(),
                attached: true,
                gone: false,
                end: None,
                ending: false,
                cut: false,
                queue: VecDeque::new(),
                queued_bytes: 0,
                held_back: None,
                managed: None,
                handled: Handled::default(),
                owes_ack: false,
                writing: 0,
                unflushed: Vec::new(),
                presence: None,
                drain: Drain::Paused(0),
                fence: None,
                fences: 0,
                read: SeqRanges::default(),
                live: SeqRanges::default(),
                reading_since: now.steady,
                highest: 0,
                posted_bytes: 0,
                fanout: Bucket { tokens: FANOUT_BURST, at: now.steady },
                copied: VecDeque::new(),
                directed: BTreeSet::new(),
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

    /// What the way gives by which its user came in; see [`Node::rights`](crate::Node::rights).
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// Whether it came over the admin socket.
    pub fn is_trusted(&self) -> bool {
        self.rights == Rights::Operator
    }

    /// Whether it is a session of this principal: of the same account, which still is what was
    /// proved, and begun by the same password.
    pub(crate) fn is_of(&self, principal: &Principal) -> bool {
        principal.account().is_some_and(|proved| {
            self.account.is_as(proved) && self.generation == proved.generation
        })
    }

    /// A connection from this address holds it now.
    pub fn note_address(&self, address: &str) {
        self.lock().address = address.into();
    }

    /// Where its connection comes from, or came from last; empty before there was one.
    pub fn address(&self) -> String {
        self.lock().address.to_string()
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

    /// Whether messages to the account reach it: a negative priority means that none of any type
    /// does (RFC 6121, 8.5.2.1.1).
    pub fn takes_messages(&self) -> bool {
        self.priority().is_some_and(|priority| priority >= 0)
    }

    /// The presence last broadcast, without an address, as it is told from then on: with the time
    /// at which it was said (XEP-0203).
    pub fn presence(&self) -> Option<Outgoing> {
        self.lock().presence.as_ref().map(|(stanza, _)| stanza.clone())
    }

    /// The session becomes available with this presence and priority, or unavailable.
    ///
    /// What waits in the log is due to it in the same moment as what is committed from now on
    /// (RFC 6121, 8.5.2.2.1 and XEP-0160: with a priority of zero or more). One after the other, a
    /// message committed in between would overtake everything that waits.
    ///
    /// Returns false, and changes nothing, if the session is over: a presence can have waited for
    /// its turn until then, and nobody would ever take it back.
    pub(crate) fn set_presence(&self, presence: Option<(Outgoing, i8)>) -> bool {
        let mut state = self.lock();
        if state.gone {
            return false;
        }
        let reads_log = presence.as_ref().is_some_and(|(_, priority)| *priority >= 0)
            && !self.account.is_server();
        state.drain = match state.drain {
            Drain::Paused(seq) if reads_log => {
                let confirmed = self.account.confirmed.load(Ordering::Acquire);
                state.reading_since = self.last_heard();
                Drain::After { seq: seq.max(confirmed), asked: false, more: false }
            }
            Drain::Live if !reads_log => {
                let highest = state.highest;
                state.live.end(highest);
                Drain::Paused(highest)
            }
            Drain::After { seq, .. } if !reads_log => Drain::Paused(seq),
            unchanged => unchanged,
        };
        if !reads_log {
            state.fence = None;
        }
        self.available.store(presence.is_some(), Ordering::Release);
        state.presence = presence;
        drop(state);
        self.wake.notify_one();
        true
    }

    /// Remembers that presence was sent to this address directly. Fails when `most` addresses are
    /// remembered already.
    pub(crate) fn note_directed(&self, to: &Jid, most: usize) -> Result<(), TooMany> {
        let mut state = self.lock();
        if state.directed.contains(to) {
            return Ok(());
        }
        if state.directed.len() >= most {
            return Err(TooMany);
        }
        if !state.gone {
            state.directed.insert(to.clone());
        }
        Ok(())
    }

    /// Whether presence was sent directly to this device or its account.
    pub(crate) fn has_shown_itself_to(&self, jid: &Jid) -> bool {
        let state = self.lock();
        state.directed.contains(jid) || state.directed.contains(&Jid::from(jid.to_bare()))
    }

    /// Presence sent to this address was taken back.
    pub(crate) fn forget_directed(&self, to: &Jid) {
        self.lock().directed.remove(to);
    }

    /// Forgets the presence that was sent to an account or its devices. Returns whether any was.
    pub(crate) fn forget_directed_to(&self, to: &BareJid) -> bool {
        let mut state = self.lock();
        let before = state.directed.len();
        state.directed.retain(|directed| directed.bare() != to.as_str());
        state.directed.len() != before
    }

    /// Forgets to whom presence was sent directly, and says who they were.
    pub(crate) fn take_directed(&self) -> Vec<Jid> {
        std::mem::take(&mut self.lock().directed).into_iter().collect()
    }

    /// Whether it got a copy of this message of the log.
    pub(crate) fn has_copy(&self, seq: i64) -> bool {
        self.lock().copied.contains(&seq)
    }

    // --- time ---

    /// The user did something.
    pub fn touch(&self, now: Moment) {
        self.last_activity.fetch_max(now.steady.0, Ordering::AcqRel);
        self.account.note_active(now.wall);
    }

    /// A byte was read.
    pub fn heard(&self, now: Steady) {
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

    /// Waits until something was read after so many reads. False if the session is over or its
    /// connection lost before.
    pub(crate) async fn heard_after(&self, reads: u64) -> bool {
        loop {
            let news = self.settled.notified();
            self.probed.store(true, Ordering::Release);
            if self.is_gone() || !self.is_attached() {
                return false;
            }
            if self.reads() > reads {
                return true;
            }
            news.await;
        }
    }

    /// Waits until the session is over, or somebody else's than this epoch's.
    pub(crate) async fn left_by(&self, epoch: u64) {
        loop {
            let news = self.settled.notified();
            if !self.is_held_by(epoch) {
                return;
            }
            news.await;
        }
    }

    /// When the last byte was read.
    pub fn last_heard(&self) -> Steady {
        Steady(self.last_heard.load(Ordering::Acquire))
    }

    /// When the user last did something.
    pub fn last_activity(&self) -> Steady {
        Steady(self.last_activity.load(Ordering::Acquire))
    }

    /// When an acknowledgement is overdue; `None` if none was asked for.
    pub fn ack_deadline(&self, limits: &Limits) -> Option<Steady> {
        let state = self.lock();
        Some(state.managed.as_ref()?.asked_at?.after(limits.ack_wait))
    }

    /// Takes one fan-out of so many bytes from the budget, waiting for it if need be.
    pub async fn fan_out(&self, bytes: usize, clock: &Clock) {
        while let Err(at) = self.spend_fanout(bytes, clock.steady()) {
            clock.sleep_until(at).await;
        }
    }

    /// Takes one fan-out of so many bytes from the budget, or says when there will be one.
    pub(crate) fn spend_fanout(&self, bytes: usize, now: Steady) -> Result<(), Steady> {
        // The largest waits until nothing else has been spent, and not for ever.
        let cost = (1.0 + (bytes as f64 / FANOUT_BYTES).floor()).min(FANOUT_BURST);
        let mut state = self.lock();
        let bucket = &mut state.fanout;
        let refill = now.since(bucket.at).as_secs_f64() * FANOUT_PER_SECOND;
        bucket.tokens = (bucket.tokens + refill).min(FANOUT_BURST);
        bucket.at = bucket.at.max(now);
        // Less than what rounding to microseconds leaves, or one would wait for nothing again.
        if bucket.tokens + 1e-5 >= cost {
            bucket.tokens -= cost;
            return Ok(());
        }
        let wait = (cost - bucket.tokens) / FANOUT_PER_SECOND;
        Err(now.after(std::time::Duration::from_secs_f64(wait)))
    }
}

impl State {
    fn held_bytes(&self) -> usize {
        self.queued_bytes
            + self.aside_bytes()
            + self.managed.as_ref().map_or(0, |managed| managed.sent.bytes())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({}, {})", self.id, self.jid)
    }
}

#[cfg(test)]
mod tests;
