//! The protocol of a line: an XML stream between two clients as in XEP-0174, with messages and
//! receipts (XEP-0184).
//!
//! Sans-IO: bytes, orders and the time go in; bytes and events come out. While the connection
//! below lasts it keeps order and loses nothing. A receipt says that the other end has shown a
//! message to its user. Messages without a receipt when the line ends are returned, never dropped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use whoelse_client::message::MAX_TEXT;
use whoelse_xmpp::write::{self, Element};
use whoelse_xmpp::{BareJid, Frame, Limits, Scanner, Stanza, ns};

/// Limits of one stanza: the longest text fits twice when escaped.
const LIMITS: Limits = Limits { bytes: 128 << 10, elements: 256, depth: 16 };
/// Messages that may wait for a receipt; further ones are refused.
const MAX_UNCONFIRMED: usize = 100;
/// Bytes that the connection has not taken; above it no message is accepted and nothing is read.
const MAX_BACKLOG: usize = 256 << 10;
/// Events that nobody has taken; above it nothing is read.
const MAX_EVENTS: usize = 64;
/// Ids that are remembered, so that a repetition is shown once.
const MAX_SEEN: usize = 256;
/// Longest id that gets a receipt.
const MAX_ID: usize = 256;
/// The user is told after this long without a receipt.
const SILENCE: Duration = Duration::from_secs(20);
/// Messages that may arrive at once, and the interval of further ones; a faster peer has to wait.
const BURST: u32 = 100;
const PACE: Duration = Duration::from_millis(50);

/// The two ends of a line.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    pub(crate) sid: String,
    pub(crate) me: BareJid,
    pub(crate) them: BareJid,
}

/// One end of a line.
#[derive(Debug)]
pub(crate) struct Line {
    ends: Ends,
    scanner: Scanner,
    /// Whether I have sent my header.
    said_hello: bool,
    /// Whether the peer has sent its header.
    greeted: bool,
    /// Whether I have closed my stream.
    closing: bool,
    /// Whether the peer has.
    closed: bool,
    out: BytesMut,
    unconfirmed: VecDeque<Unconfirmed>,
    /// Whether the user was told that nothing is confirmed.
    told_silent: bool,
    seen: VecDeque<String>,
    events: VecDeque<Event>,
    budget: Budget,
}

/// A message of mine without a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unconfirmed {
    pub(crate) id: String,
    pub(crate) text: String,
    since: Instant,
}

/// An event of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The peer has identified itself.
    Greeted,
    /// A message arrived.
    Message(String),
    /// The peer has shown a message of mine.
    Arrived(String),
    /// The peer confirms nothing.
    Silent,
    /// The peer has closed its stream.
    Closed,
}

/// The peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Violation;

/// How many messages are accepted from the peer.
#[derive(Debug)]
struct Budget {
    left: u32,
    since: Instant,
}

impl Line {
    /// Makes a line. The end that made the request speaks first.
    pub(crate) fn new(ends: Ends, initiator: bool, now: Instant) -> Line {
        let mut line = Line {
            ends,
            scanner: Scanner::new(ns::CLIENT, LIMITS),
            said_hello: false,
            greeted: false,
            closing: false,
            closed: false,
            out: BytesMut::new(),
            unconfirmed: VecDeque::new(),
            told_silent: false,
            seen: VecDeque::new(),
            events: VecDeque::new(),
            budget: Budget { left: BURST, since: now },
        };
        if initiator {
            line.greet();
        }
        line
    }

    /// Sends my header, once.
    fn greet(&mut self) {
        if std::mem::replace(&mut self.said_hello, true) {
            return;
        }
        let mut header = Vec::with_capacity(256);
        header.extend_from_slice(b"<stream:stream xmlns='jabber:client' xmlns:stream='");
        header.extend_from_slice(ns::STREAM.as_bytes());
        let Ends { sid, me, them } = &self.ends;
        for (name, value) in [("from", me.as_str()), ("to", them.as_str()), ("id", sid)] {
            header.extend_from_slice(format!("' {name}='").as_bytes());
            write::escape(&mut header, value);
        }
        header.extend_from_slice(b"' version='1.0'>");
        self.out.extend_from_slice(&header);
    }

    /// Returns whether the peer has identified itself.
    pub(crate) fn is_greeted(&self) -> bool {
        self.greeted
    }

    // ---- wishes ----

    /// Sends a message. Returns whether there was room for it.
    pub(crate) fn send(&mut self, id: String, text: String, now: Instant) -> bool {
        let full = self.unconfirmed.len() >= MAX_UNCONFIRMED || self.out.len() >= MAX_BACKLOG;
        if full || !self.greeted || self.closing || self.closed {
            return false;
        }
        let message = Element::new("message")
            .attr("type", "chat")
            .attr("id", &id)
            .child(Element::new("body").text(&text))
            .child(Element::new("request").xmlns(ns::RECEIPTS));
        self.out.extend_from_slice(&message.finish());
        self.unconfirmed.push_back(Unconfirmed { id, text, since: now });
        true
    }

    /// Closes my stream. What was sent before still arrives.
    pub(crate) fn close(&mut self) {
        if !self.closing {
            self.greet();
            self.closing = true;
            self.out.extend_from_slice(b"</stream:stream>");
        }
    }

    /// Returns whether everything is sent, received and confirmed, so that the connection can end.
    pub(crate) fn is_done(&self) -> bool {
        let said = self.closing && self.out.is_empty();
        said && (self.closed || self.unconfirmed.is_empty())
    }

    /// Returns the unconfirmed messages in order, since the line is gone.
    pub(crate) fn into_unconfirmed(self) -> Vec<Unconfirmed> {
        self.unconfirmed.into()
    }

    // ---- what arrives ----

    /// Returns whether input can be handled now.
    pub(crate) fn wants_input(&self, now: Instant) -> bool {
        self.events.len() < MAX_EVENTS
            && self.out.len() < MAX_BACKLOG
            && !self.closed
            && self.budget.has_any(now)
    }

    /// Takes bytes that arrived.
    pub(crate) fn push(&mut self, bytes: &[u8], now: Instant) -> Result<(), Violation> {
        self.scanner.push(bytes);
        while let Some(frame) = self.scanner.next().map_err(|_| Violation)? {
            match frame {
                Frame::Open(header) if !self.greeted => {
                    let is =
                        |said: &Option<_>, who: &str| said.as_ref().is_some_and(|it| *it == who);
                    let Ends { sid, me, them } = &self.ends;
                    let fits = is(&header.from, them.as_str())
                        && is(&header.to, me.as_str())
                        && is(&header.id, sid);
                    if !fits {
                        return Err(Violation);
                    }
                    self.greeted = true;
                    self.greet();
                    self.events.push_back(Event::Greeted);
                }
                Frame::Open(_) | Frame::Body(_) => return Err(Violation),
                Frame::Element(stanza) => self.handle_stanza(&stanza, now)?,
                Frame::Close => {
                    self.closed = true;
                    self.events.push_back(Event::Closed);
                }
            }
        }
        Ok(())
    }

    fn handle_stanza(&mut self, stanza: &Stanza, now: Instant) -> Result<(), Violation> {
        if stanza.name() == "error" && stanza.ns() == ns::STREAM {
            return Err(Violation);
        }
        if stanza.name() != "message" || stanza.ns() != ns::CLIENT {
            return Ok(());
        }
        if let Some(received) = stanza.child("received", ns::RECEIPTS) {
            if let Some(id) = stanza.child_attr(received, "id") {
                self.confirm(&id, now);
            }
            return Ok(());
        }
        let Some(text) = stanza.child_text("body", ns::CLIENT).filter(|it| !it.is_empty()) else {
            return Ok(());
        };
        if text.chars().count() > MAX_TEXT {
            return Err(Violation);
        }
        self.budget.spend(now);
        let id = stanza.id().filter(|id| id.len() <= MAX_ID);
        if id.is_none_or(|id| self.is_new(id)) {
            self.events.push_back(Event::Message(text.to_string()));
        }
        if let (Some(id), true) = (id, stanza.has("request", ns::RECEIPTS) && !self.closing) {
            let receipt = Element::new("message")
                .child(Element::new("received").xmlns(ns::RECEIPTS).attr("id", id));
            self.out.extend_from_slice(&receipt.finish());
        }
        Ok(())
    }

    fn is_new(&mut self, id: &str) -> bool {
        if self.seen.iter().any(|known| known == id) {
            return false;
        }
        if self.seen.len() == MAX_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(id.to_owned());
        true
    }

    fn confirm(&mut self, id: &str, now: Instant) {
        let Some(place) = self.unconfirmed.iter().position(|it| it.id == id) else { return };
        if let Some(it) = self.unconfirmed.remove(place) {
            self.events.push_back(Event::Arrived(it.id));
        }
        self.told_silent = false;
        // The later messages could not be confirmed before this one.
        self.unconfirmed.iter_mut().for_each(|it| it.since = now);
    }

    // ---- what comes out ----

    /// Returns the next event.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns the bytes to write.
    pub(crate) fn output(&self) -> &[u8] {
        &self.out
    }

    /// Takes note that this many of them were written.
    pub(crate) fn written(&mut self, bytes: usize) {
        self.out.advance(bytes.min(self.out.len()));
    }

    /// Returns when [`Line::handle_time`] has something to do, or input can be handled again.
    pub(crate) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let silence = self.unconfirmed.front().filter(|_| !self.told_silent);
        let budget = (!self.budget.has_any(now)).then(|| self.budget.since + PACE);
        silence.map(|it| it.since + SILENCE).into_iter().chain(budget).min()
    }

    /// Does what is due.
    pub(crate) fn handle_time(&mut self, now: Instant) {
        let silent = self.unconfirmed.front().is_some_and(|it| it.since + SILENCE <= now);
        if silent && !self.told_silent {
            self.told_silent = true;
            self.events.push_back(Event::Silent);
        }
    }
}

impl Budget {
    fn has_any(&self, now: Instant) -> bool {
        self.left > 0 || now.duration_since(self.since) >= PACE
    }

    fn spend(&mut self, now: Instant) {
        let steps = now.duration_since(self.since).as_millis() / PACE.as_millis();
        let more = u32::try_from(steps).unwrap_or(u32::MAX);
        if more > 0 {
            self.left = self.left.saturating_add(more).min(BURST);
            self.since = now;
        }
        self.left = self.left.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests;
