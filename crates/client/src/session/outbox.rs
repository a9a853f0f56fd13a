//! XEP-0198, 4, for what comes in: what is to be told, in order, and how much of what the server has
//! sent counts as handled.
//!
//! A stanza counts once whoever it is for has taken what it tells. So the server keeps what nobody
//! has seen for the next login.

use std::collections::VecDeque;

use whoelse_stream::sm::Handled;

use crate::outlets::{Telling, Whom};

/// What a session has to tell, and the count of what came in.
#[derive(Debug)]
pub(super) struct Outbox {
    /// With the ticket of the stanza that told it.
    queue: VecDeque<(Telling, Option<u32>)>,
    handled: Handled,
    /// Nobody reads what is told, so taking it does not count.
    unread: bool,
    /// The server was told a count that has grown since, or will.
    owed: bool,
}

impl Outbox {
    pub(super) fn new(unread: bool) -> Outbox {
        Outbox { queue: VecDeque::new(), handled: Handled::new(), unread, owed: false }
    }

    /// A new session counts from zero. What the old one had to tell is still told.
    pub(super) fn restart(&mut self) {
        self.handled = Handled::new();
        self.owed = false;
        self.queue.iter_mut().for_each(|(_, ticket)| *ticket = None);
    }

    /// From now on whatever is taken is not read.
    pub(super) fn leave_unread(&mut self) {
        self.unread = true;
    }

    /// A stanza came in; the ticket is for what it tells.
    pub(super) fn received(&mut self) -> u32 {
        self.handled.received()
    }

    /// A stanza tells this to one, or nothing to anybody.
    pub(super) fn tell_of(&mut self, ticket: u32, telling: Option<Telling>) {
        match telling {
            Some(telling) => self.queue.push_back((telling, Some(ticket))),
            None => self.handled.done(ticket),
        }
    }

    /// This is to be told, whatever came in.
    pub(super) fn tell(&mut self, telling: Telling) {
        self.queue.push_back((telling, None));
    }

    /// How many things wait to be taken.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Who is to be told the next thing.
    pub(super) fn whom(&self) -> Option<Whom> {
        self.queue.front().map(|(telling, _)| telling.whom())
    }

    /// The next thing. Only what has been taken, and is read, counts as handled.
    pub(super) fn poll(&mut self) -> Option<Telling> {
        let (telling, ticket) = self.queue.pop_front()?;
        if let Some(ticket) = ticket.filter(|_| !self.unread) {
            self.handled.done(ticket);
        }
        Some(telling)
    }

    /// How many stanzas are handled, for a server that asks. It may not ask again.
    pub(super) fn count_for_server(&mut self) -> u32 {
        self.owed = !self.handled.all_done();
        self.h()
    }

    /// The same, if the server is owed it and everything is handled.
    pub(super) fn take_owed(&mut self) -> Option<u32> {
        let due = self.owed && self.handled.all_done();
        due.then(|| {
            self.owed = false;
            self.h()
        })
    }

    /// How many stanzas are handled.
    pub(super) fn h(&self) -> u32 {
        self.handled.h()
    }
}
