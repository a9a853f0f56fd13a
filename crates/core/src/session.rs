//! A session: one live login. It outlives its connection for a while (XEP-0198, resumption).
//!
//! A connection holds the session by its *epoch*. Attaching raises the epoch; a connection that
//! acts with an old epoch gets [`Superseded`] and must end. Nothing here waits: a push appends
//! if there is room, and the connection is woken.
//!
//! Types of which none knows the others hold what waits to be written ([`send_queue`]), what room
//! that has ([`room`]), the presence that is late ([`late`]), the position in the log ([`reading`])
//! with what the archive has of it ([`left_to_archive`]), the counts ([`counting`]), and what the
//! client was asked ([`questions`]). This file, [`output`] and [`life`] keep them consistent under
//! one lock.

mod counting;
mod held_room;
mod late;
mod left_to_archive;
mod life;
mod output;
mod person;
mod questions;
mod reading;
mod room;
mod send_queue;
mod seq_ranges;

pub use held_room::HeldRoom;
pub(crate) use late::Anew;
pub use late::Whose;
pub use life::ResumeRefused;
pub(crate) use output::{Had, LogPage, Pushed, too_much_waits};
pub use output::{PushRefused, Taken};
pub(crate) use reading::Drain;
pub(crate) use room::Shares;
pub use room::{Due, Sender};
pub use send_queue::{Queued, Waits, WaitsAs};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};
use whoelse_stream::sasl2::UserAgentId;
use whoelse_xmpp::{BareJid, FullJid, Jid, Outgoing, Stanza, StreamError};

use crate::account::Account;
use crate::ahead_of_log::AheadOfLog;
use crate::clock::{Moment, Steady, Time};
use crate::ledger::Payer;
use crate::network::Network;
use crate::principal::{Principal, Proof, Rights};
use crate::rewriting;
use crate::settings::Limits;
use crate::slots::Slots;
use crate::waiting_alone::WaitingAlone;
use counting::Counting;
use late::Late;
use person::Person;
use questions::Questions;
use reading::Reading;
use room::Room;
use send_queue::SendQueue;

/// The place of a received stanza in the count of its session. The count starts anew when stream
/// management is enabled; a ticket from before then no longer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    managed: bool,
    number: u32,
}

/// The error that a newer connection holds the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded;

/// The error that as much is remembered as may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMany;

/// One live login of an account, or of the server itself (a bound resource).
pub struct Session {
    /// Unique on this node.
    pub id: u64,
    /// The full JID.
    pub jid: FullJid,
    /// The account; none if it is the server's own session, which has no roster, no log and no
    /// presence.
    pub account: Option<Arc<Account>>,
    /// The generation of the password that it stands for: the one with which it began, or which it
    /// has set since.
    generation: AtomicI64,
    rights: Rights,
    /// When it began.
    pub begun: Time,
    /// Whether presence was sent; read on every delivery, so kept outside the lock.
    available: AtomicBool,
    /// When the user was last active (behaviour.md, TIMEOUT); a [`Steady`].
    last_activity: AtomicI64,
    /// When the last byte was read; a [`Steady`].
    last_heard: AtomicI64,
    /// When the password was last proved, by a login or in the session; a [`Steady`], far in the past
    /// if it never was.
    proved_at: AtomicI64,
    /// How often bytes were read.
    reads: AtomicU64,
    /// Whether somebody waits for the next byte.
    probed: AtomicBool,
    /// What features remember of this login.
    pub slots: Slots,
    /// Everything else that changes. Held for a push or a take, never across an await; taken after
    /// an account's list of sessions, never before.
    state: Mutex<State>,
    /// Wakes the connection: something to write, or an order to end.
    wake: Notify,
    /// Wakes those who wait for a change: handled, room in the queue, a byte read, over.
    settled: Notify,
    /// How many connections wait until everything is settled, to resume it.
    awaited: AtomicUsize,
    /// How many messages that it has left behind are to be stored once more, and are not yet.
    unstored: AtomicUsize,
}

/// The mutable state of a session: its connection, its queue, its position in the log and its
/// counts change together, so one lock guards them.
struct State {
    epoch: u64,
    /// The address of its present or last connection.
    address: Box<str>,
    network: Network,
    attached: bool,
    gone: bool,
    /// The error with which its connection is to end it. In a box, since most sessions never have one.
    end: Option<Box<StreamError>>,
    /// Whether it is about to end, so it cannot be resumed.
    ending: bool,
    /// What waits to be written.
    queue: SendQueue,
    /// The room of what waits or is not acknowledged.
    room: Room,
    /// The presence for which there was no room.
    late: Option<Box<Late>>,
    /// Its position in the log.
    reading: Reading,
    /// The counts of XEP-0198.
    counting: Counting,
    /// The state that belongs to the user.
    person: Person,
    /// What its client was asked and has not answered. In a box, since it is hardly ever asked.
    questions: Option<Box<Questions>>,
    /// Who pays for what it does; nobody, if it is the server's or came over the admin socket.
    payer: Option<Payer>,
    /// The client's installation, if it has said which one it is. In a box, since many sessions have none.
    device: Option<Box<UserAgentId>>,
}

impl Session {
    pub(crate) fn new(
        id: u64,
        jid: FullJid,
        account: Option<Arc<Account>>,
        principal: &Principal,
        budget: usize,
        now: Moment,
    ) -> Session {
        Session {
            id,
            jid,
            account,
            generation: AtomicI64::new(principal.account().map_or(0, |it| it.generation)),
            rights: principal.rights,
            begun: now.wall,
            available: AtomicBool::new(false),
            last_activity: AtomicI64::new(now.steady.0),
            last_heard: AtomicI64::new(now.steady.0),
            proved_at: AtomicI64::new(match principal.proof {
                Proof::Password => now.steady.0,
                Proof::Token { .. } => i64::MIN,
            }),
            reads: AtomicU64::new(0),
            probed: AtomicBool::new(false),
            slots: Slots::default(),
            state: Mutex::new(State {
                epoch: 1,
                address: Box::default(),
                network: Network::Local,
                attached: true,
                gone: false,
                end: None,
                ending: false,
                queue: SendQueue::default(),
                room: Room::new(budget),
                late: None,
                reading: Reading::new(now.steady),
                counting: Counting::default(),
                person: Person::default(),
                questions: None,
                payer: None,
                device: principal.device.map(Box::new),
            }),
            wake: Notify::new(),
            settled: Notify::new(),
            awaited: AtomicUsize::new(0),
            unstored: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// ` to='bob@host'`, the address of its owner, for what is shared with others.
    pub(crate) fn to_attribute(&self) -> Bytes {
        match &self.account {
            Some(account) => account.to_attribute.clone(),
            None => rewriting::attribute("to", self.jid.bare()).into(),
        }
    }

    /// The account of a session that is somebody's.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub(crate) fn own(&self) -> &Arc<Account> {
        self.account.as_ref().unwrap()
    }

    /// Looks at what sessions of the account got ahead of the log, or changes it. The server itself
    /// has no log.
    fn ahead_of_log<R>(&self, look: impl FnOnce(&mut AheadOfLog) -> R) -> Option<R> {
        Some(look(&mut self.account.as_ref()?.ahead_of_log()))
    }

    /// Looks at what waits for one session of the account alone, or changes it.
    fn waiting_alone<R>(&self, look: impl FnOnce(&mut WaitingAlone) -> R) -> Option<R> {
        Some(look(&mut self.account.as_ref()?.waiting_alone()))
    }

    /// The resource.
    pub fn resource(&self) -> &str {
        self.jid.resource()
    }

    /// The rights of the way in; see [`Node::rights`](crate::Node::rights).
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// Whether it came over the admin socket.
    pub fn is_trusted(&self) -> bool {
        self.rights == Rights::Operator
    }

    /// Whether it is a session of this principal: of the same account, which still is what was
    /// proved, and with the same password.
    pub(crate) fn is_of(&self, principal: &Principal) -> bool {
        match (&self.account, principal.account()) {
            (Some(account), Some(proved)) => {
                account.is_as(proved) && self.generation() == proved.generation
            }
            _ => false,
        }
    }

    /// Notes that its password was proved just now.
    pub(crate) fn note_proved(&self, now: Steady) {
        self.proved_at.store(now.0, Ordering::Release);
    }

    /// Notes who has resumed it. Whoever came by a token has not proved the password, whatever was
    /// proved before.
    pub(crate) fn note_principal(&self, principal: &Principal, now: Steady) {
        self.lock().device = principal.device.map(Box::new);
        match principal.proof {
            Proof::Password => self.note_proved(now),
            Proof::Token { .. } => self.note_proved(Steady(i64::MIN)),
        }
    }

    /// The client's installation, if it has said which one it is.
    pub fn device(&self) -> Option<UserAgentId> {
        self.lock().device.as_deref().copied()
    }

    /// When its password was last proved.
    pub(crate) fn proved_at(&self) -> Steady {
        Steady(self.proved_at.load(Ordering::Acquire))
    }

    /// The generation of the password that it stands for.
    pub fn generation(&self) -> i64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Notes that it has set a new password, and stands for that one now.
    pub(crate) fn note_generation(&self, generation: i64) {
        self.generation.store(generation, Ordering::Release);
    }

    /// Notes that a connection from this address holds it now; see [`Node::note_peer`].
    ///
    /// [`Node::note_peer`]: crate::Node::note_peer
    pub(crate) fn note_peer(&self, address: &str, network: Network, payer: Option<Payer>) {
        let mut state = self.lock();
        state.address = address.into();
        state.network = network;
        state.payer = payer;
    }

    /// Who pays for what it does; nobody, if it is the server's or came over the admin socket.
    pub fn payer(&self) -> Option<Payer> {
        self.lock().payer.clone()
    }

    /// Runs a request of the session when those of its account before it are answered
    /// ([`Account::one_by_one`]). The server itself does not wait for its own.
    pub async fn one_by_one<T>(&self, request: impl Future<Output = T>) -> T {
        match &self.account {
            Some(account) => account.one_by_one(request).await,
            None => request.await,
        }
    }

    /// Runs a request that may read much when it is its turn: one of an account at a time, and one of
    /// all new accounts of a site.
    pub async fn in_reading_turn<T>(&self, now: Steady, reading: impl Future<Output = T>) -> T {
        let payer = self.payer();
        let site = payer.as_ref().and_then(|payer| payer.reading_turn(now));
        let reading = async {
            match site {
                Some(site) => site.one_by_one(reading).await,
                None => reading.await,
            }
        };
        self.one_by_one(reading).await
    }

    /// As whom it says what passes, to somebody who knows its owner or does not.
    pub fn sender(&self, is_stranger: bool) -> Sender {
        let account = self.account.as_ref().map_or(0, |account| account.id);
        Sender { account, is_stranger }
    }

    /// The network of its present or last connection.
    pub(crate) fn network(&self) -> Network {
        self.lock().network
    }

    /// The address of its present or last connection; empty before there was one.
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

    /// Whether it has ended.
    pub fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// The priority of an available session (RFC 6121, 4.7.2.3).
    pub fn priority(&self) -> Option<i8> {
        self.lock().person.presence.as_ref().map(|(_, priority)| *priority)
    }

    /// Whether it gets messages to the account: with a negative priority it gets none of any type
    /// (RFC 6121, 8.5.2.1.1).
    pub fn takes_messages(&self) -> bool {
        self.priority().is_some_and(|priority| priority >= 0)
    }

    /// The presence that it last broadcast, without an address, as it is sent from now on: with the
    /// time at which it was said (XEP-0203).
    pub fn presence(&self) -> Option<Outgoing> {
        self.lock().person.presence.as_ref().map(|(stanza, _)| stanza.clone())
    }

    /// Makes the session available with this presence and priority, or unavailable.
    ///
    /// In the same step, what waits in the log and what is committed from now on becomes due to the
    /// session (RFC 6121, 8.5.2.2.1: with a priority of zero or more). In two steps, a message
    /// committed in between would overtake everything that waits.
    ///
    /// Returns false, and changes nothing, if the session is over: a presence can wait for its turn
    /// until then, and nobody would ever take it back.
    pub(crate) fn set_presence(&self, presence: Option<(Outgoing, i8)>) -> bool {
        let mut state = self.lock();
        if state.gone {
            return false;
        }
        let reads_log = presence.as_ref().is_some_and(|(_, priority)| *priority >= 0);
        match self.account.as_ref().filter(|_| reads_log) {
            Some(account) => {
                let confirmed = account.confirmed.load(Ordering::Acquire);
                let held_back = self.waiting_alone(|waiting| waiting.held_back_for(self.id));
                let held_back = held_back.unwrap_or_default();
                state.reading.begin(confirmed.max(held_back), self.last_heard());
            }
            None => state.reading.pause(),
        }
        if presence.is_none() {
            // All presence is told when it is available again.
            state.late.iter_mut().for_each(|late| late.forget_presence());
        }
        self.available.store(presence.is_some(), Ordering::Release);
        state.person.presence = presence;
        drop(state);
        self.wake.notify_one();
        true
    }

    /// Puts a presence in the place of the last one, if that is still this one. Returns whether it was.
    pub(crate) fn replace_presence(&self, before: &Outgoing, now: Outgoing) -> bool {
        match &mut self.lock().person.presence {
            Some((present, _)) if present.bytes == before.bytes => {
                *present = now;
                true
            }
            _ => false,
        }
    }

    /// Remembers a directed presence to this address. Fails when `most` addresses are remembered
    /// already.
    pub(crate) fn note_directed(&self, to: &Jid, most: usize) -> Result<(), TooMany> {
        let mut state = self.lock();
        // The session is over, so nobody would take the presence back.
        if state.gone {
            return Ok(());
        }
        state.person.note_directed(to, most)
    }

    /// Whether it sent directed presence to this device or its account.
    pub fn has_shown_itself_to(&self, jid: &Jid) -> bool {
        self.lock().person.has_shown_itself_to(jid)
    }

    /// Forgets the directed presence to this address, which was taken back.
    pub(crate) fn forget_directed(&self, to: &Jid) {
        self.lock().person.forget_directed(to);
    }

    /// Forgets the directed presence to an account or its devices. Returns whether there was any.
    pub(crate) fn forget_directed_to(&self, to: &BareJid) -> bool {
        self.lock().person.forget_directed_to(to)
    }

    /// Takes the addresses of all directed presence, and forgets them.
    pub(crate) fn take_directed(&self) -> Vec<Jid> {
        self.lock().person.take_directed()
    }

    // --- questions ---

    /// Notes that the client is asked something, under this id, by an account or the server; returns
    /// where its answer comes. `None` if the session is over or as many questions are open as may be.
    pub(crate) fn open_question(
        &self,
        id: &str,
        asker: Option<i64>,
    ) -> Option<oneshot::Receiver<Stanza>> {
        let mut state = self.lock();
        if state.gone {
            return None;
        }
        state.questions.get_or_insert_default().open(id, asker)
    }

    /// Gives the client's answer to whoever has asked, if anybody has.
    pub fn answers(&self, answer: &Stanza) {
        self.lock().with_questions(|questions| questions.answer(answer));
    }

    /// Takes a question back.
    pub(crate) fn close_question(&self, id: &str) {
        self.lock().with_questions(|questions| questions.close(id));
    }

    /// Whether it got a copy of this message of the log.
    pub(crate) fn has_copy(&self, seq: i64) -> bool {
        self.lock().reading.has_copy(seq)
    }

    // --- time ---

    /// Notes that the user was active.
    pub fn touch(&self, now: Moment) {
        self.last_activity.fetch_max(now.steady.0, Ordering::AcqRel);
        if let Some(account) = &self.account {
            account.note_active(now.wall);
        }
    }

    /// Notes that a byte was read.
    pub fn heard(&self, now: Steady) {
        self.last_heard.store(now.0, Ordering::Release);
        self.count_as_heard();
    }

    /// Notes that the client is there as far as anybody can know: bytes were read, or it is the server
    /// that reads nothing for now, so an answer would not be heard.
    pub fn count_as_heard(&self) {
        self.reads.fetch_add(1, Ordering::AcqRel);
        if self.probed.swap(false, Ordering::AcqRel) {
            self.settled.notify_waiters();
        }
    }

    /// Returns how often bytes were read. Remember it before you ask for a sign of life. The time
    /// would not do: an answer can come within the same tick of the clock.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Acquire)
    }

    /// Waits until bytes were read after this count. Returns false if the session ends or its
    /// connection is lost before.
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

    /// Waits until the session is over or to end, or another connection than this epoch's holds it.
    pub(crate) async fn left_by(&self, epoch: u64) {
        let is_left = |state: &State| state.gone || state.ending || state.epoch != epoch;
        self.until(|state| is_left(state).then_some(())).await;
    }

    /// When the last byte was read.
    pub fn last_heard(&self) -> Steady {
        Steady(self.last_heard.load(Ordering::Acquire))
    }

    /// When the user was last active.
    pub fn last_activity(&self) -> Steady {
        Steady(self.last_activity.load(Ordering::Acquire))
    }

    /// When an acknowledgement is overdue; `None` if none was asked for.
    pub fn ack_deadline(&self, limits: &Limits) -> Option<Steady> {
        let state = self.lock();
        Some(state.counting.asked_at()?.after(limits.ack_wait))
    }
}

impl State {
    fn held_bytes(&self) -> usize {
        let late = self.late.as_ref().map_or(0, |late| late.bytes());
        self.room.bytes() + self.reading.aside_bytes() + late
    }

    /// Changes what questions are open, if any are. Those that are not keep no memory.
    fn with_questions(&mut self, change: impl FnOnce(&mut Questions)) {
        if let Some(questions) = &mut self.questions {
            change(questions);
        }
        self.questions.take_if(|questions| questions.is_empty());
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({}, {})", self.id, self.jid)
    }
}

#[cfg(test)]
mod tests;
