//! What is written to a session: appended within its budget, taken by its connection.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::MutexGuard;
use whoelse_stream::{Output, sm};
use whoelse_xmpp::{BareJid, Class, Outgoing, StreamCondition, StreamError};

use super::late::{Anew, Late, Whose};
use super::left_to_archive::LeftToArchive;
use super::life::highest;
use super::reading::Aside;
use super::room::{Due, Sender};
use super::{Drain, Queued, Session, State, Superseded, WaitsAs};
use crate::clock::Steady;
use crate::counters::Kinds;
use crate::settings::Limits;
use crate::waiting_alone::{Next, WaitingAlone};

/// The relation of a stanza to the log of the session's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InLog {
    /// None, or it is the message of the log that its class names.
    AsItSays,
    /// It is the message that its class names, for this session alone.
    Alone,
    /// It is a copy of this message of the log, which another session gets or has sent.
    CopyOf(i64),
}

/// The result of [`Session::take`].
#[derive(Debug, Default)]
pub struct Taken {
    /// Whether something was taken.
    pub kinds: Kinds,
    /// Whether the queue is not empty yet.
    pub more: bool,
    /// The error with which the connection must end; what was taken before is still written.
    pub end: Option<StreamError>,
    /// Whether there is room for the next page of the log: then ask for it.
    pub wants_page: bool,
    /// Whether there is room for what is to be told anew: then ask for it.
    pub wants_anew: bool,
}

/// Why a stanza could not be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushRefused {
    /// The session is over.
    Gone,
    /// There is no room for it.
    NoRoom,
}

/// Whether a message has reached a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Had {
    /// It has not, as far as is remembered.
    Not,
    /// It waits in the queue, or is on its way to the client.
    Unconfirmed,
    /// The client has confirmed it.
    Yes,
}

/// What became of a page of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is queued. The log is confirmed up to this number: by messages that the client had ahead of
    /// it, or by other devices, for which the page was waited for; 0 if there are none.
    Queued(i64),
    /// Nothing is queued: the session is over, or reads from another place by now.
    TooLate,
    /// Nothing is queued, and everything set aside is left to the log: a sender of the page may have
    /// been blocked since it was made, so it has to be made anew.
    Outdated,
}

/// A page of the log, for one session.
pub(crate) struct LogPage {
    /// The number after which the page begins.
    pub after: i64,
    /// The fence before the page was read, if there was one.
    pub fence: Option<u32>,
    /// The messages, oldest first.
    pub stanzas: Vec<Outgoing>,
    /// The last number that was read.
    pub last: i64,
    /// Whether there is more to read.
    pub more: bool,
    /// The first and the last number of what is left to the archive.
    pub left_out: Option<(i64, i64)>,
    /// The account's [`swaps`](crate::account::Account::swaps) before it was decided what of it is
    /// heard.
    pub swaps: u64,
}

/// The error of a session for which more waits than may.
pub(crate) fn too_much_waits() -> StreamError {
    StreamError::new(StreamCondition::ResourceConstraint)
        .with_text("more waits for this session than it may leave unread")
}

impl State {
    /// Whether there is room for a stanza, as what it is.
    fn has_room_for(&self, item: &Queued) -> bool {
        self.room.has_room_for(item.due, item.len(), self.reading.aside_bytes())
    }

    /// Appends to the queue. Returns whether there is something to write.
    fn enqueue(&mut self, item: Queued) -> bool {
        self.queue.push(item, &mut self.room)
    }

    /// Whether a detached session takes more answers. Nobody sets a pace then, and its reserve must
    /// not become full of them.
    fn has_room_for_answers_while_detached(&self) -> bool {
        !self.gone && !self.attached && self.room.has_room_for_answers(0)
    }

    fn late_mut(&mut self) -> &mut Late {
        let most = self.room.late_most();
        self.late.get_or_insert_with(|| Box::new(Late::new(most)))
    }

    fn has_late_presence(&self) -> bool {
        self.late.as_ref().is_some_and(|late| late.has_presence())
    }

    /// Queues the presence that is late, if most of the queue's is acknowledged by now. Returns
    /// whether something is to be told anew and nobody was asked.
    fn catch_up_with_presence(&mut self) -> bool {
        let Some(mut late) = self.late.take_if(|_| self.room.has_room_for_late()) else {
            return false;
        };
        for item in late.take_presence() {
            self.enqueue(item);
        }
        let asks = late.ask(self.room.has_room_for_events());
        self.late = Some(late).filter(|late| !late.is_empty());
        asks
    }

    /// Returns what waits, or was written and is not acknowledged, in order.
    fn held(&self) -> impl Iterator<Item = &Queued> {
        self.counting.unacknowledged().chain(self.queue.iter())
    }

    /// Whether a copy of a message may still wait, or be on its way to the client.
    fn holds_copies(&self) -> bool {
        self.held().any(|item| item.stanza.class == Class::Message)
    }

    /// Whether the session is there, available, and takes messages to the account.
    fn reads_log(&self) -> bool {
        !self.gone && !self.reading.is_paused()
    }

    /// Returns the numbers of the log that are queued, or sent and not confirmed.
    pub(super) fn open(&self) -> impl Iterator<Item = i64> {
        self.held().filter_map(|item| match item.stanza.class {
            Class::Kept(seq) if seq != 0 => Some(seq as i64),
            Class::AheadOfLog(seq) => Some(seq as i64),
            _ => None,
        })
    }
}

impl Session {
    /// Queues the server's own word to the session: an answer, a push. Never
    /// blocks, keeps order. It has a reserve; when that is full, the session ends.
    pub fn push(&self, stanza: Outgoing) {
        let _ = self.push_queued(Queued::new(stanza, Due::Own));
    }

    /// Queues presence that is shared with others; ` to='…'` is inserted when it is written. The
    /// newest counts: if there is no room, it comes late.
    pub fn push_presence(&self, presence: &Outgoing, to: &Bytes) {
        let (stanza, to) = (presence.clone(), to.clone());
        let _ = self.push_queued(Queued { stanza, to, due: Due::Presence });
    }

    /// Queues what is said where the session has a seat ([`Due::Seat`]); ` to='…'` is inserted when it
    /// is written. If there is no room, the caller must take the seat, and say so.
    pub fn push_to_seat(&self, stanza: &Outgoing, to: &Bytes) -> Result<(), PushRefused> {
        self.push_queued(Queued { stanza: stanza.clone(), to: to.clone(), due: Due::Seat })
    }

    /// Queues the word that the session has lost a seat, or left it. It has room of its own; where that
    /// is full, it is the server's own word: only who takes many seats and reads nothing comes so far.
    pub fn push_last_word(&self, stanza: &Outgoing, to: &Bytes) {
        let word = |due| Queued { stanza: stanza.clone(), to: to.clone(), due };
        if self.push_queued(word(Due::LastWord)) == Err(PushRefused::NoRoom) {
            let _ = self.push_queued(word(Due::Own));
        }
    }

    /// Queues something that passes, from this sender; ` to='…'` is inserted when it is written. Whoever
    /// pushes it answers for it when there is no room.
    pub fn push_from(
        &self,
        stanza: &Outgoing,
        to: &Bytes,
        sender: Sender,
    ) -> Result<(), PushRefused> {
        let due = Due::Passing(sender);
        self.push_queued(Queued { stanza: stanza.clone(), to: to.clone(), due })
    }

    /// Queues a request to see the owner. It is in the roster, so if there is no room it is told
    /// later, with all after it. Returns whether there was.
    pub(crate) fn push_request(&self, request: Outgoing, from: &BareJid) -> bool {
        let asked = Queued::new(request, Due::Passing(Sender::ASKERS));
        let refused = self.push_queued(asked) == Err(PushRefused::NoRoom);
        if refused {
            self.lock().late_mut().note_request(from.clone());
        }
        !refused
    }

    /// Queues what a contact says about a subscription. The roster has it too, and a push of that
    /// comes in any case, so it is dropped if there is no room.
    pub(crate) fn push_word(&self, word: Outgoing) {
        let _ = self.push_queued(Queued::new(word, Due::News));
    }

    /// Queues the word by which somebody no longer asks. A roster does not show who asks, so if
    /// there is no room it is told later, if it is still so.
    pub(crate) fn push_withdrawal(&self, word: Outgoing, from: &BareJid) {
        if self.push_queued(Queued::new(word, Due::News)) == Err(PushRefused::NoRoom) {
            self.lock().late_mut().note_withdrawal(from.clone());
        }
    }

    /// Queues a push of the roster that makes this version. If there is no room, or one before it
    /// had none, it is told later, as the roster is then. Returns whether it is the first that is
    /// missed.
    pub(crate) fn push_roster(&self, push: Outgoing, version: i64) -> bool {
        let mut state = self.lock();
        if state.gone {
            return false;
        }
        let item = Queued::new(push, Due::News);
        let misses = state.late.as_ref().is_some_and(|late| late.roster_after().is_some());
        if misses || !state.has_room_for(&item) {
            return state.late_mut().miss_roster(version - 1);
        }
        self.append(state, item);
        false
    }

    /// The version after which the session misses the roster, if it does and nobody else tells it.
    /// Whoever gets one calls [`Session::leave_roster`] in the end.
    pub(crate) fn begin_roster(&self) -> Option<i64> {
        let mut state = self.lock();
        let late = state.late.as_mut()?;
        if late.begin_roster() { late.roster_after() } else { None }
    }

    /// Queues a push that was missed, when there is room. Returns false if the session is over or
    /// detached before.
    pub(crate) async fn push_missed(&self, push: Outgoing, version: i64) -> bool {
        let item = Queued::new(push, Due::News);
        let bytes = item.len();
        if !self.wait_for(|state| state.room.has_room_for(Due::News, bytes, 0)).await {
            return false;
        }
        let mut state = self.lock();
        state.late_mut().has_roster(Some(version));
        self.append(state, item);
        true
    }

    /// Notes that the session has this version of the roster, and that changes are pushed again.
    pub(crate) fn has_roster(&self) {
        self.lock().late.iter_mut().for_each(|late| late.has_roster(None));
    }

    /// Notes that nobody tells the roster any more; what is missed of it is asked for again.
    pub(crate) fn leave_roster(&self) {
        self.lock().late.iter_mut().for_each(|late| late.leave_roster());
    }

    /// Notes that changes of the roster after this version were not pushed.
    pub(crate) fn miss_roster(&self, after: i64) {
        self.lock().late_mut().miss_roster(after);
    }

    /// Queues a stanza, if there is room for what it is ([`Due`]). A message that will be read from
    /// the log anyway is left to it, and so is one for which there is no room. Presence is late then,
    /// it is noted whose event was missed, and the server's own word ends the session. Any other
    /// stanza is refused, and the caller must answer for it.
    pub(crate) fn push_queued(&self, item: Queued) -> Result<(), PushRefused> {
        self.push_item(item, InLog::AsItSays)
    }

    /// Queues a message of the log that was just kept. One that is for this session alone is waited for:
    /// nobody else's confirmation passes it. Fails if the session is over, or has no room and does not
    /// read the log.
    pub(crate) fn push_kept(&self, item: Queued, is_alone: bool) -> Result<(), PushRefused> {
        self.push_item(item, if is_alone { InLog::Alone } else { InLog::AsItSays })
    }

    /// Queues a copy of a message that another session gets or has sent, if there is room. `logged`
    /// is its number in the log of this account: a session that still reads there, or that has no
    /// room, finds it there by itself.
    ///
    /// A copy confirms nothing: only the sessions that got the message itself move the cursor.
    pub(crate) fn push_copy(&self, item: Queued, logged: Option<i64>) {
        let _ = self.push_item(item, logged.map_or(InLog::AsItSays, InLog::CopyOf));
    }

    fn push_item(&self, mut item: Queued, in_log: InLog) -> Result<(), PushRefused> {
        let mut state = self.lock();
        if state.gone {
            return Err(PushRefused::Gone);
        }
        let number = match (in_log, item.stanza.class) {
            (InLog::CopyOf(number), _) => Some(number),
            (_, Class::Kept(seq)) if seq != 0 => Some(seq as i64),
            (InLog::AsItSays | InLog::Alone, _) => None,
        };
        if let Some(number) = number.filter(|number| state.reading.has_brought(*number)) {
            if in_log == InLog::Alone && state.open().any(|open| open == number) {
                self.waiting_alone(|waiting| waiting.note_open(self.id, number));
            }
            return Ok(());
        }
        if item.stanza.class == Class::Kept(0) && state.reading.is_behind() {
            // It would overtake what still has to be read. It goes to the log, and comes in its turn.
            return Err(PushRefused::NoRoom);
        }
        let has_room = state.has_room_for(&item);
        let is_left = |number: &i64| !has_room || state.reading.will_bring(*number);
        if in_log == InLog::Alone
            && let Some(number) = number.filter(is_left)
        {
            if state.reading.is_paused() {
                // It may not read the log for a long time.
                return Err(PushRefused::NoRoom);
            }
            self.waiting_alone(|waiting| waiting.note_in_log(self.id, number));
        }
        if let Some(number) = number.filter(|number| state.reading.will_bring(*number)) {
            let is_copy = matches!(in_log, InLog::CopyOf(_));
            state.reading.set_aside(Aside { number, item, is_copy }, has_room);
            return Ok(());
        }
        if let Some(number) = number.filter(|_| !has_room) {
            state.reading.fall_behind(number);
            // Whoever wrote all that waits asks for the next page.
            drop(state);
            self.wake.notify_one();
            return Ok(());
        }
        if item.due == Due::Presence && (!has_room || state.has_late_presence()) {
            state.late_mut().put(item);
            return Ok(());
        }
        if !has_room {
            if matches!(item.due, Due::Event(_)) {
                state.late_mut().miss_event(&item.stanza);
            }
            let is_own = item.due == Due::Own;
            drop(state);
            if is_own {
                self.order_end(too_much_waits());
            }
            return Err(PushRefused::NoRoom);
        }
        let alone = match item.stanza.class {
            Class::AheadOfLog(number) => Some(number as i64),
            _ => number.filter(|_| in_log == InLog::Alone),
        };
        if let Some(number) = alone {
            self.waiting_alone(|waiting| waiting.note_open(self.id, number));
        }
        match (in_log, number) {
            (InLog::CopyOf(_), Some(number)) => state.reading.had_copy(number),
            (InLog::AsItSays | InLog::Alone, Some(number)) => {
                state.reading.had_live(number);
                self.count_alone_if_ahead(&state, &mut item, number);
            }
            (_, None) => {}
        }
        self.append(state, item);
        Ok(())
    }

    /// Appends to the queue, and wakes the connection if there is something to write.
    pub(super) fn append(&self, mut state: MutexGuard<'_, State>, item: Queued) {
        let wakes = state.enqueue(item);
        drop(state);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Holds back from now on what can wait, until something has to be written that cannot, or
    /// [`Session::let_go`] is called, or another connection resumes the session. `waits_as` is
    /// called for each stanza that is not long, under the lock.
    pub fn hold_back(&self, waits_as: WaitsAs) {
        let mut state = self.lock();
        if !state.gone {
            state.queue.hold_back(waits_as);
        }
    }

    /// Writes what was held back, and holds nothing back any more.
    pub fn let_go(&self) {
        self.lock().queue.let_go();
        self.wake.notify_one();
    }

    /// Lets presence wait from now on: it neither wakes the connection nor is taken, until something
    /// else is queued or [`Session::end_rest`] is called, or another connection resumes the session.
    pub fn rest(&self, epoch: u64) -> Result<(), Superseded> {
        self.holding(epoch)?.queue.rest();
        Ok(())
    }

    /// Presence is written again as it comes.
    pub fn end_rest(&self) {
        self.lock().queue.end_rest();
    }

    /// The bytes that are unsent or unacknowledged, or late.
    pub fn held_bytes(&self) -> usize {
        self.lock().held_bytes()
    }

    /// Waits until there is room for more of an answer. Returns false if there will be none: the
    /// session is over, or detached and full of answers.
    ///
    /// For answers made in pages: the producer waits here, so the client's reading sets the pace.
    pub async fn room(&self) -> bool {
        let has_room = |state: &State| state.room.has_room_for_answers(state.queue.own_bytes());
        self.wait_for(has_room).await || self.lock().has_room_for_answers_while_detached()
    }

    /// Waits until presence that is told anew has room. Returns false if the session is over or
    /// detached before.
    pub(crate) async fn room_for_presence(&self) -> bool {
        self.wait_for(|state| state.room.has_room_for_late()).await
    }

    /// Waits until so much that passes, as what it is, has room. Returns false if the session is over
    /// or detached before.
    pub(crate) async fn room_for(&self, due: Due, bytes: usize) -> bool {
        self.wait_for(|state| state.room.has_room_for(due, bytes, 0)).await
    }

    /// Whether there is room for all that the session is told when it takes a seat, of so many bytes.
    pub fn has_room_to_enter(&self, bytes: usize) -> bool {
        self.lock().room.has_room_to_enter(bytes)
    }

    /// Waits until there is that room, unless the session is about to end, or another connection waits to
    /// resume it: its own confirms nothing any more. Returns false if the session is over or detached before.
    pub async fn room_to_enter(&self, bytes: usize) -> bool {
        let may = |state: &State| {
            state.ending || self.is_awaited() || state.room.has_room_to_enter(bytes)
        };
        self.wait_for(may).await
    }

    /// Waits until a request to see the owner, of so many bytes, has room. Returns false if the
    /// session is over or detached before.
    pub(crate) async fn room_for_request(&self, bytes: usize) -> bool {
        self.room_for(Due::Passing(Sender::ASKERS), bytes).await
    }

    /// Waits until something is true of the session. Returns false if it is over or detached before.
    async fn wait_for(&self, is_so: impl Fn(&State) -> bool) -> bool {
        let look = |state: &State| match state.gone || !state.attached {
            true => Some(false),
            false => is_so(state).then_some(true),
        };
        self.until(look).await
    }

    /// Moves queued stanzas into `out`, until about `max` bytes are there.
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
        if state.end.is_some() {
            state.queue.end_rest();
        }
        if state.late.is_some() {
            taken.wants_anew = state.catch_up_with_presence();
        }
        while out.len() < max
            && let Some(item) = state.queue.pop()
        {
            out.stanza(&item.stanza, &item.to);
            taken.kinds.inc(item.stanza.class);
            if !state.counting.holds(item.stanza.class) {
                state.room.release(item.due, item.len());
            }
            state.counting.writes(item);
        }
        taken.more = !state.queue.is_empty();
        // After the queue: an error in it must go out before the stanza that it answers counts as
        // handled.
        if !taken.more
            && let Some(h) = state.counting.take_owed_ack()
        {
            out.element(&sm::Element::Ack { h }.encode());
        }
        if state.counting.asks(limits, taken.more, now) {
            out.element(&sm::Element::Request.encode());
        }
        if !taken.more {
            state.queue.shrink();
            taken.end = state.end.take().map(|error| *error);
        }
        let aside = state.reading.aside_bytes();
        let room = state.room.has_room_for_page(state.queue.logged_bytes(), aside);
        taken.wants_page = room && state.reading.ask();
        self.settled.notify_waiters();
        Ok(taken)
    }

    /// Notes that what was taken is flushed. Returns the number up to which this confirms the log,
    /// for a session without stream management.
    pub fn flushed(&self, epoch: u64) -> Result<i64, Superseded> {
        let mut state = self.holding(epoch)?;
        let flushed = state.counting.flushed();
        let held_back = self.note_confirmed(&mut state, &flushed);
        Ok(self.confirmed_to(&state, highest(&flushed)).max(held_back))
    }

    /// Waits until there is something to write or an order to end.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    // --- the log ---

    /// Whether a message of this age counts as live although it comes from the log: it was said a
    /// moment ago while the session was reading there, so it is not marked as delayed (XEP-0203).
    pub(crate) fn is_live(&self, age: Duration, now: Steady) -> bool {
        self.lock().reading.is_live(age, now)
    }

    pub(crate) fn drain_state(&self) -> Drain {
        self.lock().reading.drain()
    }

    /// Notes that a fence has gone through the keeper: what was committed before it can be read,
    /// and what comes live from now on is set aside. Returns the fence's number, if the session
    /// reads the log.
    pub(crate) fn fence(&self) -> Option<u32> {
        self.lock().reading.raise_fence()
    }

    /// Queues a page of the log. After the last page, also queues what was set aside meanwhile;
    /// from then on everything comes live. Without a fence, or if the fence was lifted, more has to
    /// be read.
    ///
    /// If the session became unavailable while the page was read, nothing is queued: what is due to
    /// it is decided anew when it is available again.
    pub(crate) fn push_page(&self, page: LogPage) -> Pushed {
        let mut state = self.lock();
        if state.gone || !state.reading.is_at(page.after) {
            return Pushed::TooLate;
        }
        if self.account.as_ref().is_some_and(|own| own.swaps() != page.swaps) {
            state.reading.lift_fence();
            return Pushed::Outdated;
        }
        if let Some(out) = page.left_out {
            state.reading.leave_out(out);
        }
        for stanza in page.stanzas {
            self.enqueue_logged(&mut state, Queued::new(stanza, Due::Logged));
        }
        let aside = state.reading.page_read((page.after, page.last), page.fence, page.more);
        for Aside { number, item, is_copy } in aside {
            match is_copy {
                true => {
                    state.reading.had_copy(number);
                    state.enqueue(item);
                }
                false => self.enqueue_logged(&mut state, item),
            }
        }
        let confirmed = self.confirmed_to(&state, 0);
        let held_back = self.no_longer_waits(state.reading.has_all_to());
        drop(state);
        self.wake.notify_one();
        Pushed::Queued(confirmed.max(held_back))
    }

    /// Lets the confirmation of a message of the log count for itself alone, if messages before it are
    /// missing: it would mean too much.
    fn count_alone_if_ahead(&self, state: &State, item: &mut Queued, number: i64) {
        if state.reading.is_ahead(number, self.confirmed()) {
            item.stanza.class = Class::AheadOfLog(number as u64);
            self.ahead_of_log(|early| early.note(number, self.id));
        }
    }

    /// Up to where a device of the account has confirmed the log.
    fn confirmed(&self) -> i64 {
        self.account.as_ref().map_or(0, |own| own.confirmed.load(Ordering::Acquire))
    }

    /// Queues a message from the log, unless the client has had it ahead of the log, or has a copy.
    fn enqueue_logged(&self, state: &mut State, mut item: Queued) {
        if let Class::Kept(seq) = item.stanza.class {
            state.reading.had_logged(seq as i64);
            let has_copy = state.reading.has_copy(seq as i64) && !state.holds_copies();
            if has_copy || self.got_ahead_of_log(seq as i64) {
                return;
            }
            self.count_alone_if_ahead(state, &mut item, seq as i64);
            self.waiting_alone(|waiting| waiting.note_logged(self.id, seq as i64));
        }
        state.enqueue(item);
    }

    /// Whether the client has had this message of the log ahead of it.
    fn got_ahead_of_log(&self, number: i64) -> bool {
        self.ahead_of_log(|early| early.is_had(number, self.id)).unwrap_or_default()
    }

    /// Returns how far the log is confirmed when the client has confirmed it up to `seq`: perhaps
    /// further, by messages that it had ahead of the log, and by pages of its archive.
    pub(super) fn confirmed_to(&self, state: &State, seq: i64) -> i64 {
        let has_all_to = || {
            let read = state.reading.has_all_to();
            state.open().min().map_or(read, |first| read.min(first - 1))
        };
        let (in_archive, bound) = match state.reading.left() {
            None => (0, i64::MAX),
            Some(left) => {
                let confirmed = self.confirmed();
                (left.read_to(confirmed).min(has_all_to()), left.bound(confirmed))
            }
        };
        let early = self.ahead_of_log(|early| match early.is_empty() {
            true => None,
            false => early.confirmed_up_to(has_all_to().min(bound)),
        });
        seq.max(in_archive).max(early.flatten().unwrap_or(0))
    }

    // --- what is left to the archive ---

    /// XEP-0386: from now on, what the account's archive shows up to this number is not sent to the
    /// session: its client reads it there. What is confirmed is not sent anyway.
    pub fn leave_to_archive(&self, up_to: i64) {
        if up_to > self.confirmed() {
            self.lock().reading.leave_to_archive(up_to);
        }
    }

    /// Takes that back, before the session is available: all that waits is sent, as to a session that was
    /// bound by itself.
    pub fn send_what_waits(&self) {
        self.lock().reading.leave_nothing();
    }

    /// Whether something is left to the archive, or may be, that nobody has confirmed.
    pub fn waits_in_archive(&self) -> bool {
        let state = self.lock();
        let last = |left: &LeftToArchive| left.last_out(state.reading.has_all_to());
        state.reading.left().is_some_and(|left| last(left) > self.confirmed())
    }

    /// The number up to which what the archive shows is left to it; `None` if all is sent.
    pub(crate) fn left_to_archive(&self) -> Option<i64> {
        self.lock().reading.left().map(|left| left.last())
    }

    /// The number after which something before this number is missing that was left to the archive, and
    /// that nobody has confirmed. What has not been read in the log yet may be left to it.
    pub fn missing_before(&self, number: i64) -> Option<i64> {
        let state = self.lock();
        let left = state.reading.left()?;
        left.missing_before(number, self.confirmed(), state.reading.has_all_to())
    }

    /// Returns the class of the end of a page that shows everything of the archive after the first
    /// number, up to the second. When the client confirms it, it has that.
    pub(crate) fn archive_page(&self, shows: (i64, i64)) -> Class {
        match self.lock().reading.left_mut() {
            Some(left) => Class::ArchivePage(left.shows(shows)),
            None => Class::IqAnswer,
        }
    }

    /// Whether this message of the log, which is for one resource alone, has reached this session: as that
    /// resource, from the log, or ahead of it. If its client has not confirmed it yet, this session is
    /// responsible for it from now on.
    pub(crate) fn takes_over(&self, number: i64, alone: &str) -> Had {
        let state = self.lock();
        if state.gone {
            return Had::Not;
        }
        let has_read = state.reading.has(number, alone == self.resource());
        let had = has_read && !state.reading.has_copy(number) || self.got_ahead_of_log(number);
        match had {
            false => Had::Not,
            true if state.open().any(|open| open == number) => {
                self.ahead_of_log(|early| early.note(number, self.id));
                self.waiting_alone(|waiting| waiting.note_open(self.id, number));
                Had::Unconfirmed
            }
            true => Had::Yes,
        }
    }

    /// Whether the session has got a later message of the log that it has not confirmed.
    pub(crate) fn will_confirm_past(&self, number: i64) -> bool {
        let state = self.lock();
        let past =
            |item: &Queued| matches!(item.stanza.class, Class::Kept(seq) if seq as i64 > number);
        state.held().any(past)
    }

    /// Queues a message of the log that was due to another session, which never had it. It comes
    /// ahead of what this session has not read yet, so its confirmation counts for itself alone.
    pub(crate) fn push_ahead_of_log(
        &self,
        mut item: Queued,
        number: i64,
    ) -> Result<(), PushRefused> {
        item.stanza.class = Class::AheadOfLog(number as u64);
        // Before it can be confirmed.
        self.ahead_of_log(|early| early.note(number, self.id));
        let pushed = self.push_queued(item);
        if pushed.is_err() {
            self.ahead_of_log(|early| early.take_back(number, self.id));
        }
        pushed
    }

    /// Whether the session reads the log: it is there, available, and takes messages to the account.
    pub(crate) fn reads_log(&self) -> bool {
        self.lock().reads_log()
    }

    /// Whether anything waits for this session alone.
    pub(crate) fn waits_alone(&self) -> bool {
        self.waiting_alone(|waiting| waiting.is_for(self.id)).unwrap_or_default()
    }

    /// Begins to hand on what waits for this session alone. Returns false if nothing is to be done, or
    /// somebody does it already.
    pub(crate) fn begin_to_hand_on(&self) -> bool {
        self.waiting_alone(|waiting| waiting.begin(self.id)).unwrap_or_default()
    }

    /// What whoever has begun does next. If there is nothing, this was the end.
    pub(crate) fn next_to_hand_on(&self) -> Next {
        // What it reads must not change before it is asked.
        let state = self.lock();
        let next = self.waiting_alone(|waiting| waiting.next(self.id, state.reads_log()));
        next.unwrap_or(Next::Nothing)
    }

    /// Notes that nothing waits in the log for this session alone up to this number. Returns up to where
    /// the log is confirmed, as far as that was held back.
    pub(crate) fn no_longer_waits(&self, up_to: i64) -> i64 {
        self.less_waits(|waiting| waiting.came(self.id, up_to))
    }

    /// Notes that nothing waits for this session any more, which has ended. Returns the same.
    pub(crate) fn nothing_waits(&self) -> i64 {
        self.less_waits(|waiting| waiting.end(self.id))
    }

    /// Notes that what the session has not confirmed is handed on, since it has ended.
    pub(crate) fn note_left(&self) {
        self.waiting_alone(|waiting| waiting.leave(self.id));
    }

    fn less_waits(&self, change: impl FnOnce(&mut WaitingAlone)) -> i64 {
        let held_back = self.waiting_alone(|waiting| {
            change(waiting);
            waiting.held_back()
        });
        held_back.unwrap_or(0)
    }

    /// Whether the session has still to read this message of the log there.
    pub(crate) fn will_read(&self, number: i64) -> bool {
        self.lock().reading.will_bring(number)
    }

    // --- what is told anew ---

    /// Takes what is to be told anew.
    pub(crate) fn take_anew(&self) -> Anew {
        self.lock().late.as_mut().map(|late| late.take_anew()).unwrap_or_default()
    }

    /// Wakes the connection, to look whether there is room for what is to be told anew.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Notes whose events were missed: they are told anew when the session has room, and has written
    /// something or is woken.
    pub fn miss_events(&self, events_of: Whose) {
        if !self.is_gone() {
            self.put_anew_back(Anew { events_of, ..Anew::default() });
        }
    }

    /// Gives back what could not be told: it is asked for again when there is room.
    pub(crate) fn put_anew_back(&self, anew: Anew) {
        let mut state = self.lock();
        // What is told when it is available again is not needed before.
        let is_available = state.person.presence.is_some();
        state.late_mut().add(anew);
        if !is_available {
            state.late_mut().forget_presence();
        }
    }

    /// Notes that a stanza of this many bytes is on its way through the keeper. Returns whether
    /// reading should pause until some are delivered or refused.
    pub(crate) fn posted(&self, bytes: usize) -> bool {
        self.lock().counting.posted(bytes)
    }

    /// Notes that one of them is delivered or refused.
    pub(crate) fn arrived(&self, bytes: usize) {
        let mut state = self.lock();
        let was_too_much = state.counting.has_posted_too_much();
        state.counting.arrived(bytes);
        let is_over = was_too_much && !state.counting.has_posted_too_much();
        drop(state);
        if is_over {
            self.settled.notify_waiters();
        }
    }

    /// Waits until so much of what was posted is delivered or refused that reading may go on. It waits for
    /// nothing else of the session: that may have to wait for what is read next.
    pub(crate) async fn has_posted(&self) {
        let may = |state: &State| state.gone || !state.counting.has_posted_too_much();
        self.until(|state| may(state).then_some(())).await;
    }
}
