//! A session: one live login. It outlives its connection for a while (XEP-0198, resumption).
//!
//! A connection holds the session by its *epoch*. Attaching raises the epoch; whoever acts with an
//! old one is told [`Superseded`] and must end. Nothing here waits: a push appends within the
//! budget or detaches, and the connection is woken.
//!
//! Three types, each of which knows nothing of the others: what waits to be written ([`send_queue`]),
//! where it stands in the log ([`reading`]) and what is counted ([`counting`]). Here and in
//! [`output`] and [`life`] they are one invariant, under one lock.

mod counting;
mod life;
mod output;
mod person;
mod reading;
mod send_queue;
mod seq_ranges;

pub use life::ResumeRefused;
pub(crate) use output::{Had, LogPage};
pub use output::{PushRefused, Taken};
pub(crate) use reading::Drain;
pub use send_queue::{Queued, WaitsAs};

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use whoelse_xmpp::{BareJid, FullJid, Jid, Outgoing, StreamError};

use crate::account::Account;
use crate::clock::{Clock, Moment, Steady, Time};
use crate::principal::{Principal, Rights};
use crate::settings::Limits;
use crate::slots::Slots;
use counting::Counting;
use person::Person;
use reading::Reading;
use send_queue::SendQueue;

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

/// Which connection holds the session, what waits for it, what it has read and what is counted change
/// together, so one lock guards them.
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
    /// What waits to be written.
    queue: SendQueue,
    /// Where it stands in the log.
    reading: Reading,
    /// XEP-0198.
    counting: Counting,
    /// What is the user's.
    person: Person,
}

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
                queue: SendQueue::new(budget),
                reading: Reading::new(now.steady),
                counting: Counting::default(),
                person: Person::new(now.steady),
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
        self.lock().person.presence.as_ref().map(|(_, priority)| *priority)
    }

    /// Whether messages to the account reach it: a negative priority means that none of any type
    /// does (RFC 6121, 8.5.2.1.1).
    pub fn takes_messages(&self) -> bool {
        self.priority().is_some_and(|priority| priority >= 0)
    }

    /// The presence last broadcast, without an address, as it is told from then on: with the time
    /// at which it was said (XEP-0203).
    pub fn presence(&self) -> Option<Outgoing> {
        self.lock().person.presence.as_ref().map(|(stanza, _)| stanza.clone())
    }

    /// The session becomes available with this presence and priority, or unavailable.
    ///
    /// What waits in the log is due to it in the same moment as what is committed from now on
    /// (RFC 6121, 8.5.2.2.1: with a priority of zero or more). One after the other, a
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
        match reads_log {
            true => {
                let confirmed = self.account.confirmed.load(Ordering::Acquire);
                state.reading.begin(confirmed, self.last_heard());
            }
            false => state.reading.pause(),
        }
        self.available.store(presence.is_some(), Ordering::Release);
        state.person.presence = presence;
        drop(state);
        self.wake.notify_one();
        true
    }

    /// Remembers that presence was sent to this address directly. Fails when `most` addresses are
    /// remembered already.
    pub(crate) fn note_directed(&self, to: &Jid, most: usize) -> Result<(), TooMany> {
        let mut state = self.lock();
        // What nobody will take back is not remembered.
        if state.gone {
            return Ok(());
        }
        state.person.note_directed(to, most)
    }

    /// Whether presence was sent directly to this device or its account.
    pub(crate) fn has_shown_itself_to(&self, jid: &Jid) -> bool {
        self.lock().person.has_shown_itself_to(jid)
    }

    /// Presence sent to this address was taken back.
    pub(crate) fn forget_directed(&self, to: &Jid) {
        self.lock().person.forget_directed(to);
    }

    /// Forgets the presence that was sent to an account or its devices. Returns whether any was.
    pub(crate) fn forget_directed_to(&self, to: &BareJid) -> bool {
        self.lock().person.forget_directed_to(to)
    }

    /// Forgets to whom presence was sent directly, and says who they were.
    pub(crate) fn take_directed(&self) -> Vec<Jid> {
        self.lock().person.take_directed()
    }

    /// Whether it got a copy of this message of the log.
    pub(crate) fn has_copy(&self, seq: i64) -> bool {
        self.lock().reading.has_copy(seq)
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
        Some(state.counting.asked_at()?.after(limits.ack_wait))
    }

    /// Takes one fan-out of so many bytes from the budget, waiting for it if need be.
    pub async fn fan_out(&self, bytes: usize, clock: &Clock) {
        while let Err(at) = self.spend_fanout(bytes, clock.steady()) {
            clock.sleep_until(at).await;
        }
    }

    /// Takes one fan-out of so many bytes from the budget, or says when there will be one.
    pub(crate) fn spend_fanout(&self, bytes: usize, now: Steady) -> Result<(), Steady> {
        self.lock().person.spend_fanout(bytes, now)
    }
}

impl State {
    fn held_bytes(&self) -> usize {
        self.queue.bytes() + self.elsewhere_bytes()
    }

    /// Bytes that count as held and are not in the queue.
    fn elsewhere_bytes(&self) -> usize {
        self.reading.aside_bytes() + self.counting.unacknowledged_bytes()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({}, {})", self.id, self.jid)
    }
}

#[cfg(test)]
mod tests;
