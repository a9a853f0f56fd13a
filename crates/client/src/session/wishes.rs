//! The orders of a session: messages, subscriptions, requests, and those that wait for a
//! connection.

use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, FullJid, Jid, ns};

use super::line::{Line, Unacknowledged};
use super::{Session, Then};
use crate::kit::ListenerId;
use crate::message;
use crate::order::{Mine, Reply};
use crate::request::Request;
use crate::roster::Contact;
use crate::subscription::SubscriptionType;

/// Lines that are kept while there is no connection.
pub(super) const MAX_WAITING: usize = 100;
/// Messages that may be in flight; further callers wait.
const MAX_UNACKNOWLEDGED: usize = 1_000;

impl Session {
    /// Returns whether an order would be refused: while there is no connection, the queue of lines
    /// is bounded.
    pub(crate) fn is_full(&self) -> bool {
        !self.connected && self.waiting.len() >= MAX_WAITING
    }

    /// Returns whether so much is in flight that new orders should wait.
    pub(crate) fn is_busy(&self) -> bool {
        self.sent.len() >= MAX_UNACKNOWLEDGED
            || self.verdicts.open() >= MAX_UNACKNOWLEDGED
            || self.pending.is_full()
    }

    /// Sends a message under this id, or keeps it until there is a connection.
    pub(crate) fn message(&mut self, id: String, to: BareJid, text: String, now: Instant) {
        let mine = Mine { id, to, listener: None };
        if let Some(event) = self.verdicts.begin(&mine) {
            self.event(event);
        }
        self.take(Line::Message(mine, text), now);
    }

    /// Sends a subscription stanza, or keeps it until there is a connection.
    pub(crate) fn subscription(&mut self, type_: SubscriptionType, to: BareJid, now: Instant) {
        if let Some(roster) = &mut self.roster {
            roster.handle_said(type_, &to);
        }
        let mine = Mine { id: whoelse_stream::token(), to, listener: None };
        self.take(Line::Subscription(type_, mine), now);
    }

    /// Sends the caller's own stanza, or keeps it until there is a connection. If `mine` has its
    /// id and recipient, a refusal is reported.
    pub(crate) fn stanza(&mut self, bytes: Bytes, mine: Option<Mine>, now: Instant) {
        self.take(Line::Stanza(bytes, mine), now);
    }

    /// From now on messages and presence from this address are this listener's.
    pub(crate) fn claim(&mut self, listener: ListenerId, address: BareJid) {
        self.claims.add(address, listener);
    }

    /// Ends a claim.
    pub(crate) fn release(&mut self, address: &BareJid) {
        self.claims.end(address);
    }

    /// Returns the devices of somebody that are online, as far as is known.
    pub(crate) fn devices(&self, who: &BareJid) -> Vec<FullJid> {
        self.presence.devices(who)
    }

    /// Sends presence to a device that does not get it anyway.
    pub(crate) fn show_to(&mut self, whom: &FullJid, now: Instant) {
        let Some(contacts) = self.contacts() else { return };
        if contacts.iter().any(|it| it.jid == whom.to_bare() && it.sees_me) {
            return;
        }
        let presence =
            Element::new("presence").attr("to", whom.as_str()).child(self.able.element());
        self.transmit(presence.outgoing(Class::Presence).bytes, None, now);
    }

    /// Returns my contacts; `None` if everybody sees everybody.
    pub(crate) fn contacts(&self) -> Option<Vec<Contact>> {
        Some(self.roster.as_ref()?.contacts(|who| self.presence.is_online(who)))
    }

    /// Sends a request, or keeps it until there is a connection.
    pub(crate) fn ask(&mut self, request: Request, reply: Reply, now: Instant) {
        self.take(Line::Request(request, reply), now);
    }

    /// Reports when everything sent before has been processed, including refusals.
    pub(crate) fn ask_barrier(&mut self, done: oneshot::Sender<()>, now: Instant) {
        self.take(Line::Barrier(done), now);
    }

    pub(super) fn ping(&mut self, then: Then, now: Instant) {
        let ping = Request::get(Element::new("ping").xmlns(ns::PING)).by_itself();
        let server = Jid::parse(self.me.domain()).ok();
        self.request(Request { to: server, ..ping }, then, now);
    }

    pub(super) fn take(&mut self, line: Line, now: Instant) {
        if !self.connected {
            return self.waiting.push_back(line);
        }
        match line {
            Line::Message(mine, text) => {
                let written = message::write(&mine.to, &mine.id, &text);
                self.recent.note(&mine);
                self.transmit(written.bytes, Some(mine), now);
            }
            Line::Subscription(type_, mine) => {
                let bytes = type_.write(&mine.to, &mine.id).bytes;
                self.recent.note(&mine);
                self.transmit(bytes, None, now);
            }
            Line::Stanza(bytes, mine) => {
                mine.iter().for_each(|mine| self.recent.note(mine));
                self.transmit(bytes, None, now);
            }
            Line::Barrier(done) => self.ping(Then::Barrier(done), now),
            Line::Request(_, reply) if reply.is_closed() => {}
            Line::Request(request, reply) => {
                let then = Then::Reply { request: request.clone(), reply, results: Vec::new() };
                self.request(request, then, now);
            }
        }
    }

    pub(super) fn send_waiting(&mut self, now: Instant) {
        for line in std::mem::take(&mut self.waiting) {
            self.take(line, now);
        }
    }

    pub(super) fn request(&mut self, request: Request, then: Then, now: Instant) {
        let id = whoelse_stream::token();
        let written = request.encode(&id, self.activity);
        self.pending.insert(id, request.to, now, then);
        self.transmit(written.bytes, None, now);
    }

    pub(super) fn transmit(&mut self, bytes: Bytes, message: Option<Mine>, now: Instant) {
        self.output.extend_from_slice(&bytes);
        let stanza = Unacknowledged { bytes, message };
        if self.counted {
            let size = stanza.bytes.len();
            self.sent.push(stanza, size);
            self.keepalive.handle_sent();
        } else {
            // Without acknowledgements, the answer to a later request is the best evidence.
            self.ask_for_verdict(vec![stanza], now);
        }
    }

    /// Sends a request after the server has handled these; its answer tells whether they were
    /// accepted.
    pub(super) fn ask_for_verdict(&mut self, handled: Vec<Unacknowledged>, now: Instant) {
        if !self.verdicts.are_wanted() {
            return;
        }
        let mine: Vec<Mine> = handled.into_iter().filter_map(|stanza| stanza.message).collect();
        if !mine.is_empty() {
            self.ping(Then::Verdict(mine), now);
        }
    }
}
