//! The life of a session (XEP-0198): counted, lost, resumed, ended.

use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use whoelse_xmpp::{Class, Jid, StreamError};

use super::{Queued, Session, State, Superseded, Ticket};
use crate::principal::Principal;

/// Why a session cannot be resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResumeRefused {
    /// The session is over.
    Gone,
    /// Its old connection has read something that is not handled yet: wait again.
    Unsettled,
    /// The peer claims more stanzas than were sent.
    TooHigh {
        /// The count that it claims.
        h: u32,
        /// The count that was sent.
        sent: u32,
    },
}

/// What a session leaves behind.
#[derive(Debug)]
pub(crate) struct Leftovers {
    /// Whether it had sent presence and not taken it back.
    pub was_available: bool,
    /// The addresses of its directed presence.
    pub directed: Vec<Jid>,
    /// The stanzas that were never confirmed, oldest first.
    pub unconfirmed: Vec<Queued>,
}

impl Session {
    /// XEP-0198, 3: starts counting. `resume` is the token by which it can be resumed.
    ///
    /// Returns false if it was enabled already, or the session is over.
    pub(crate) fn enable(&self, resume: Option<String>) -> bool {
        let mut state = self.lock();
        !state.gone && state.counting.enable(resume)
    }

    /// The resumption token, if it can be resumed.
    pub fn resumption(&self) -> Option<String> {
        self.lock().counting.resumption().map(str::to_owned)
    }

    /// Makes the session impossible to resume; returns the token that it had.
    pub(crate) fn forget_resumption(&self) -> Option<String> {
        self.lock().counting.forget_resumption()
    }

    /// Notes that a stanza has been received; the ticket is used later to mark it as handled.
    ///
    /// Refuses if the connection that read it no longer holds the session: the stanza would be
    /// counted in a stream that it was never part of. `None` if the session is about to end: what
    /// its client says from then on is neither counted nor carried out.
    pub(crate) fn received(&self, epoch: u64) -> Result<Option<Ticket>, Superseded> {
        let mut state = self.holding(epoch)?;
        Ok((!state.ending).then(|| state.counting.received()))
    }

    /// Marks a received stanza as handled: committed, if it had to be.
    pub(crate) fn done(&self, ticket: Ticket) {
        let mut state = self.lock();
        if !state.counting.done(ticket) {
            return;
        }
        let settled = state.counting.all_done();
        let owes = state.counting.owes_ack();
        drop(state);
        if settled {
            self.settled.notify_waiters();
            if owes {
                self.wake.notify_one();
            }
        }
    }

    /// Returns the count to acknowledge now, in answer to `<r/>`. Stanzas that are still being
    /// committed are acknowledged later by an `<a/>` of their own.
    pub fn acknowledge(&self) -> u32 {
        self.lock().counting.acknowledge()
    }

    /// The count of stanzas handled so far.
    pub fn h(&self) -> u32 {
        self.lock().counting.h()
    }

    /// Waits until a look at the session gives something; it is looked at anew when something has changed
    /// for those who wait.
    pub(super) async fn until<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        loop {
            let settled = self.settled.notified();
            let seen = look(&self.lock());
            if let Some(seen) = seen {
                return seen;
            }
            settled.await;
        }
    }

    /// Waits until everything received is handled, or the session is over.
    pub async fn settled(&self) {
        self.until(|state| (state.gone || state.counting.all_done()).then_some(())).await;
    }

    /// Waits until the session is over.
    pub(crate) async fn over(&self) {
        self.until(|state| state.gone.then_some(())).await;
    }

    /// Notes that another connection waits to resume the session, until what this returns is dropped:
    /// nothing waits for the old one any more.
    pub(crate) fn await_for_another(&self) -> Awaited<'_> {
        self.awaited.fetch_add(1, Ordering::AcqRel);
        self.settled.notify_waiters();
        Awaited(self)
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Acquire) > 0
    }

    /// Notes that a message that it has left behind is to be stored once more.
    pub(crate) fn stores_again(&self) {
        self.unstored.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that one of them is stored, or nobody is there any more for whom to store it.
    pub(crate) fn stored_again(&self) {
        self.unstored.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether all of them are.
    pub(crate) fn has_stored_again(&self) -> bool {
        self.unstored.load(Ordering::Acquire) == 0
    }

    /// Whether stream management is enabled.
    pub fn is_managed(&self) -> bool {
        self.lock().counting.is_managed()
    }

    /// XEP-0198, 4: takes the peer's count `h`. Returns the highest number of the log among the
    /// stanzas that it acknowledges.
    ///
    /// Fails with `(h, sent)` if it claims more than was sent.
    pub(crate) fn acked(&self, h: u32) -> Result<i64, (u32, u32)> {
        let mut state = self.lock();
        let acked = state.counting.acknowledged(h).map_err(|bad| (bad.h, bad.sent))?;
        let (acked, more_to_ask) = acked;
        let ask_again = more_to_ask && state.queue.is_empty();
        state.release(&acked);
        let held_back = self.note_confirmed(&mut state, &acked);
        let highest = self.confirmed_to(&state, highest(&acked)).max(held_back);
        drop(state);
        self.settled.notify_waiters();
        if ask_again {
            self.wake.notify_one();
        }
        Ok(highest)
    }

    /// Notes what the client has confirmed: pages of its archive, and messages that count for
    /// themselves alone, or that are for it alone. Returns up to where the log is confirmed, as far as
    /// that was held back for one of these.
    pub(super) fn note_confirmed(&self, state: &mut State, acked: &[Queued]) -> i64 {
        if acked.is_empty() {
            return 0;
        }
        acked.iter().for_each(|item| state.page_confirmed(item.stanza.class));
        self.ahead_of_log(|early| {
            if early.is_empty() {
                return;
            }
            for item in acked {
                if let Class::AheadOfLog(seq) | Class::Kept(seq) = item.stanza.class {
                    early.confirm(seq as i64);
                }
            }
        });
        let open_in = |first, last| state.open().filter(|open| (first..=last).contains(open)).min();
        let held_back = self.waiting_alone(|waiting| {
            waiting.confirmed(self.id, open_in).then(|| waiting.held_back())
        });
        held_back.flatten().unwrap_or(0)
    }

    // --- connections come and go ---

    pub(super) fn holding(&self, epoch: u64) -> Result<MutexGuard<'_, State>, Superseded> {
        let state = self.lock();
        if state.epoch == epoch && !state.gone { Ok(state) } else { Err(Superseded) }
    }

    /// Whether the connection with this epoch still holds the session.
    pub fn is_held_by(&self, epoch: u64) -> bool {
        self.holding(epoch).is_ok()
    }

    /// Notes that the connection is lost. Returns whether the session waits for a resumption; if
    /// not, the caller ends it.
    pub(crate) fn detach(&self, epoch: u64) -> Result<bool, Superseded> {
        let mut state = self.holding(epoch)?;
        state.attached = false;
        state.reading.forget_asking();
        if let Some(late) = &mut state.late {
            late.forget_asking();
        }
        state.counting.forget_asking();
        let resumable = state.counting.resumption().is_some();
        let waits = resumable && !state.ending;
        drop(state);
        self.settled.notify_waiters();
        Ok(waits)
    }

    /// Notes that the connection is about to end the session: from now on it cannot be resumed, so
    /// no other connection can take it over while a last word is being written.
    pub fn begin_end(&self, epoch: u64) -> Result<(), Superseded> {
        self.holding(epoch)?.ending = true;
        self.settled.notify_waiters();
        Ok(())
    }

    /// XEP-0198, 5: resumes the session on a new connection. The peer has `h` of our stanzas; the
    /// others are queued again, in front. Returns the new epoch, the count that we handled, and the
    /// highest number of the log that `h` confirms.
    ///
    /// Everything received must be handled before, see [`Session::settled`].
    ///
    /// The owner and the token are checked again here: the password can have been changed while the
    /// new connection waited.
    pub(crate) fn resume(
        &self,
        principal: &Principal,
        token: &str,
        h: u32,
    ) -> Result<(u64, u32, i64), ResumeRefused> {
        let mut state = self.lock();
        let is_valid = state.counting.resumption() == Some(token) && self.is_of(principal);
        if state.gone || state.ending || !is_valid {
            return Err(ResumeRefused::Gone);
        }
        if !state.counting.all_done() {
            return Err(ResumeRefused::Unsettled);
        }
        let state = &mut *state;
        let (acked, _) = state
            .counting
            .acknowledged(h)
            .map_err(|bad| ResumeRefused::TooHigh { h: bad.h, sent: bad.sent })?;
        state.release(&acked);
        let held_back = self.note_confirmed(state, &acked);
        let confirmed = highest(&acked).max(held_back);
        state.queue.put_back(state.counting.resume());
        // A client that comes back gets everything that was held back.
        state.queue.let_go();
        state.queue.end_rest();
        state.epoch += 1;
        state.attached = true;
        self.settled.notify_waiters();
        self.wake.notify_one();
        let confirmed = self.confirmed_to(state, confirmed);
        Ok((state.epoch, state.counting.h(), confirmed))
    }

    /// Orders the connection to end with this error, after what is queued has been written. The
    /// session can then not be resumed. Returns whether there is a connection to obey.
    pub fn order_end(&self, error: StreamError) -> bool {
        let mut state = self.lock();
        state.end.get_or_insert_with(|| Box::new(error));
        state.ending = true;
        let attached = state.attached && !state.gone;
        drop(state);
        self.settled.notify_waiters();
        self.wake.notify_one();
        attached
    }

    /// The error with which it was ordered to end, if its connection has not obeyed yet.
    pub fn ordered_end(&self) -> Option<StreamError> {
        self.lock().end.as_deref().cloned()
    }

    /// Ends the session. `None` if it was over already.
    pub(crate) fn finish(&self) -> Option<Leftovers> {
        let mut state = self.lock();
        if std::mem::replace(&mut state.gone, true) {
            return None;
        }
        self.available.store(false, Ordering::Release);
        state.attached = false;
        state.epoch += 1;
        let was_available = state.person.presence.take().is_some();
        let directed = state.person.take_directed();
        let mut unconfirmed = state.counting.take_unconfirmed();
        unconfirmed.extend(state.queue.take_all());
        state.reading.end();
        state.late = None;
        state.questions = None;
        drop(state);
        self.settled.notify_waiters();
        self.wake.notify_one();
        Some(Leftovers { was_available, directed, unconfirmed })
    }
}

/// A connection that waits to resume a session.
pub(crate) struct Awaited<'a>(&'a Session);

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.0.awaited.fetch_sub(1, Ordering::AcqRel);
    }
}

impl State {
    /// Gives back the room of what was acknowledged.
    fn release(&mut self, acked: &[Queued]) {
        acked.iter().for_each(|item| self.room.release(item.due, item.len()));
    }

    /// Notes that the client has a page of its archive, if this is the class of one.
    fn page_confirmed(&mut self, class: Class) {
        if let (Class::ArchivePage(page), Some(left)) = (class, self.reading.left_mut()) {
            left.page_confirmed(page);
        }
    }
}

/// The highest number of the log among these, of those that confirm what is before them.
pub(super) fn highest(acked: &[Queued]) -> i64 {
    let kept = acked.iter().filter_map(|item| match item.stanza.class {
        Class::Kept(seq) => Some(seq as i64),
        _ => None,
    });
    kept.max().unwrap_or(0)
}
