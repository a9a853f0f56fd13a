//! How a session handles arriving messages, presences, requests, answers and acknowledgements.
//!
//! A stanza under a listener's namespace goes to the listener; the rest goes to the interface or
//! is dropped.

use std::time::Instant;

use whoelse_stream::sm::{BadAck, Element as Sm};
use whoelse_xmpp::{Jid, Kind, Outgoing, Stanza, StanzaError, ns};

use super::{Session, Then};
use crate::answer;
use crate::blocking;
use crate::events::Event;
use crate::history;
use crate::kit::{Heard, ListenerId, Mark};
use crate::message::{self, Incoming};
use crate::order::Mine;
use crate::outlets::Telling;
use crate::refusal::Refusal;
use crate::request::Answer;

/// Results that are kept for one query; no page is larger.
const MAX_RESULTS: usize = 1_000;

impl Session {
    /// Takes note that bytes arrived.
    pub(crate) fn handle_sign_of_life(&mut self, now: Instant) {
        self.keepalive.handle_sign_of_life(now);
    }

    /// Handles a stanza.
    pub(crate) fn handle_stanza(&mut self, stanza: &Stanza, now: Instant) {
        let ticket = self.outbox.received();
        let telling = self.read(stanza, now);
        self.outbox.tell_of(ticket, telling);
    }

    /// Handles an element of stream management. Fails if the count cannot be true.
    pub(crate) fn handle_counting(&mut self, element: &Sm, now: Instant) -> Result<(), BadAck> {
        match *element {
            Sm::Request => {
                let h = self.outbox.count_for_server();
                self.write_count(h);
            }
            Sm::Ack { h } => {
                let acknowledged = self.sent.ack(h)?;
                self.ask_for_verdict(acknowledged, now);
                // A refusal may come after the acknowledgement, but not after the answer to a
                // request that is sent now.
                if self.is_stored() {
                    for done in std::mem::take(&mut self.reached) {
                        self.ask_barrier(done, now);
                    }
                }
                self.keepalive.handle_count(!self.sent.is_empty(), now);
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the event of a stanza, with its receiver.
    fn read(&mut self, stanza: &Stanza, now: Instant) -> Option<Telling> {
        // Results of a query come from the room, too, whose messages a listener has claimed.
        if let Some(query) = history::result_of(stanza) {
            self.collect(&query, stanza);
            return None;
        }
        if let Some(listener) = self.claims.listener_of(stanza) {
            return Some(Telling::Listener(listener, Heard::Stanza(stanza.clone())));
        }
        match stanza.kind() {
            Kind::Message => self.handle_message(stanza),
            Kind::Presence => self.handle_presence(stanza),
            Kind::Iq => self.handle_iq(stanza, now),
            Kind::Other => None,
        }
    }

    fn handle_presence(&mut self, stanza: &Stanza) -> Option<Telling> {
        if stanza.type_() == Some("error") {
            let why = StanzaError::read(stanza).map_or(Refusal::Unreachable, |it| Refusal::of(&it));
            let from = Jid::parse(stanza.from()?).ok()?;
            return self.handle_refusal(stanza.id()?, Some(&from), why);
        }
        // A room that is nobody's is no person.
        if stanza.has("x", ns::MUC_USER) {
            return None;
        }
        let me = self.me.to_bare();
        if let Some(roster) = &mut self.roster
            && let Some(event) = roster.handle_presence(stanza, &me)
        {
            return Some(Telling::Face(event));
        }
        self.presence.handle(stanza).map(Event::from).map(Telling::Face)
    }

    fn handle_message(&mut self, stanza: &Stanza) -> Option<Telling> {
        if stanza.type_() != Some("error")
            && let Some(listener) = self.routing.listener_of(stanza)
        {
            return Some(Telling::Listener(listener, Heard::Stanza(stanza.clone())));
        }
        match message::read(stanza, &self.me) {
            Incoming::Message(message) => {
                let new = message.id.as_deref().is_none_or(|id| self.seen.is_new(id));
                new.then_some(Telling::Face(Event::Message(message)))
            }
            Incoming::Refused { id, from, why } => self.handle_refusal(&id, from.as_ref(), why),
            Incoming::Nothing => None,
        }
    }

    /// Handles a refusal of a stanza of mine: its sender is told.
    fn handle_refusal(&mut self, id: &str, from: Option<&Jid>, why: Refusal) -> Option<Telling> {
        let Mine { id, to, listener } = self.recent.take_refused(id, from, &self.me)?;
        self.verdicts.refused(&id);
        Some(match listener {
            Some(listener) => Telling::Listener(listener, Heard::NotDelivered { id, to, why }),
            None => Telling::Face(Event::NotDelivered { id, to, why }),
        })
    }

    fn collect(&mut self, query: &str, stanza: &Stanza) {
        for then in self.pending.iter_mut() {
            if let Then::Reply { request, results, .. } = then
                && request.collect.as_deref() == Some(query)
                && history::is_from(stanza, request.to.as_ref(), &self.me)
                && results.len() < MAX_RESULTS
            {
                results.push(stanza.clone());
            }
        }
    }

    fn handle_iq(&mut self, stanza: &Stanza, now: Instant) -> Option<Telling> {
        if let Some(roster) = &mut self.roster
            && roster.handle_push(stanza, &self.me)
        {
            self.transmit(answer::result(stanza, None).bytes, None, now);
            return None;
        }
        if let Some(listener) = self.listener_asked(stanza) {
            return Some(Telling::Listener(listener, Heard::Stanza(stanza.clone())));
        }
        if let Some(Outgoing { bytes, .. }) = answer::answer(stanza, &self.me, &self.able) {
            self.transmit(bytes, None, now);
            if let Some(blocked) = blocking::pushed(stanza, &self.me, "block") {
                self.tell_listeners(&Heard::Blocked(blocked));
            }
            if let Some(unblocked) = blocking::pushed(stanza, &self.me, "unblock") {
                self.tell_listeners(&Heard::Unblocked(unblocked));
            }
            return None;
        }
        let (then, answer) = self.pending.answered(stanza, &self.me)?;
        match then {
            Then::Reply { request, reply, results } => {
                if let Some(Mark { listener, number }) = request.mark {
                    self.outbox.tell(Telling::Listener(listener, Heard::Answered(number)));
                }
                let answer = match request.asks_back {
                    Some(recognise) if recognise(stanza) => Ok(stanza.clone()),
                    _ => answer,
                };
                let _ = reply.send(answer.map(|iq| Answer { iq, results }));
            }
            Then::Roster => {
                if let (Some(roster), Ok(answer)) = (&mut self.roster, &answer) {
                    roster.handle_answer(answer);
                }
            }
            Then::Settled => self.settle_presence(),
            Then::Barrier(done) if self.is_stored() => {
                let _ = done.send(());
            }
            Then::Barrier(done) => self.reached.push(done),
            Then::Verdict(mine) => {
                for event in self.verdicts.confirmed(mine) {
                    self.event(event);
                }
            }
            Then::Alive => {}
        }
        None
    }

    /// Returns the listener that must answer this, if it is a request under one of its namespaces.
    fn listener_asked(&self, stanza: &Stanza) -> Option<ListenerId> {
        matches!(stanza.type_(), Some("get" | "set")).then(|| self.routing.listener_of(stanza))?
    }

    /// Ends the initial presences: changes since the last session become events.
    pub(super) fn settle_presence(&mut self) {
        for change in self.presence.settled() {
            self.event(change.into());
        }
    }

    /// Returns whether every message is acknowledged, as far as the server acknowledges.
    fn is_stored(&self) -> bool {
        !self.sent.resend().any(|stanza| stanza.message.is_some())
    }
}
