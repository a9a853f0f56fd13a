//! XEP-0198, 4, for arriving stanzas: events in order, and how many stanzas of the server count as
//! handled.
//!
//! A stanza counts after the receiver of its event has taken it. So the server keeps what nobody
//! has seen for the next login.

use std::collections::VecDeque;

use whoelse_stream::sm::Handled;

use crate::outlets::{Telling, Whom};

/// The events of a session, and the count of arriving stanzas.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Each with the ticket of the stanza that caused it.
    queue: VecDeque<(Telling, Option<u32>)>,
    handled: Handled,
    /// Whether events are unread, so that taking them does not count.
    unread: bool,
    /// Whether the server must be told a new count.
    owed: bool,
}

impl Outbox {
    pub(super) fn new(unread: bool) -> Outbox {
        Outbox { queue: VecDeque::new(), handled: Handled::new(), unread, owed: false }
    }

    /// Restarts the count for a new session. Events of the old one stay.
    pub(super) fn restart(&mut self) {
        self.handled = Handled::new();
        self.owed = false;
        self.queue.iter_mut().for_each(|(_, ticket)| *ticket = None);
    }

    /// Marks events from now on as unread when taken.
    pub(super) fn leave_unread(&mut self) {
        self.unread = true;
    }

    /// Takes note of a stanza; returns the ticket for its event.
    pub(super) fn received(&mut self) -> u32 {
        self.handled.received()
    }

    /// Queues the event of a stanza, or takes note that it has none.
    pub(super) fn tell_of(&mut self, ticket: u32, telling: Option<Telling>) {
        match telling {
            Some(telling) => self.queue.push_back((telling, Some(ticket))),
            None => self.handled.done(ticket),
        }
    }

    /// Queues an event that no stanza caused.
    pub(super) fn tell(&mut self, telling: Telling) {
        self.queue.push_back((telling, None));
    }

    /// Returns how many events wait.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Returns the receiver of the next event.
    pub(super) fn whom(&self) -> Option<Whom> {
        self.queue.front().map(|(telling, _)| telling.whom())
    }

    /// Returns the next event. A stanza counts as handled only after its event has been taken and
    /// read.
    pub(super) fn poll(&mut self) -> Option<Telling> {
        let (telling, ticket) = self.queue.pop_front()?;
        if let Some(ticket) = ticket.filter(|_| !self.unread) {
            self.handled.done(ticket);
        }
        Some(telling)
    }

    /// Returns the count for a server that asks. It may not ask again.
    pub(super) fn count_for_server(&mut self) -> u32 {
        self.owed = !self.handled.all_done();
        self.h()
    }

    /// Returns the count if the server must be told and everything is handled.
    pub(super) fn take_owed(&mut self) -> Option<u32> {
        let due = self.owed && self.handled.all_done();
        due.then(|| {
            self.owed = false;
            self.h()
        })
    }

    /// Returns how many stanzas are handled.
    pub(super) fn h(&self) -> u32 {
        self.handled.h()
    }
}
