//! XEP-0124: the requests of a BOSH session, in order, and which of them is answered when.
//!
//! [`Session`] is sans-IO: its owner gives it requests, with something by which each is answered,
//! takes their bodies in the order of their numbers, and gives it what is to be said. It keeps the
//! last answers, since a client may ask again.
//!
//! Left out: keys (section 15), which protect sessions without TLS; several streams in one session
//! (19); pauses (10) and scripts (16), which are optional. The server has TLS, sids of 128 bits, and
//! stream management for clients that pause.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use whoelse_xmpp::{Body, Frame, Limits, ScanError, Scanner, ns, write::escape};

use crate::Framing;

/// What a body may have beside its stanza: its own tag.
const WRAPPER: usize = 4 << 10;
/// The longest that a request is held.
const WAIT: u32 = 300;
/// How long a client may be without a request.
const INACTIVITY: u32 = 60;
/// The most requests that are held.
const HOLD: u32 = 1;
/// How often a client may ask that does not let its requests be held, in seconds.
const POLLING: u64 = 2;
/// The version of BOSH that is spoken.
const VERSION: &str = "1.11";

/// Reads the start tag of a request's body, in whatever pieces it comes.
#[derive(Debug)]
pub struct Head(Scanner);

impl Default for Head {
    fn default() -> Head {
        Head(Scanner::in_bodies(Limits { bytes: WRAPPER, ..Limits::BEFORE_LOGIN }))
    }
}

impl Head {
    /// Reads on. Returns the start tag when all of it has come; nothing is to be read after that.
    ///
    /// # Errors
    /// What begins there is no body.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<Body>, ScanError> {
        self.0.push(bytes);
        match self.0.next()? {
            Some(Frame::Body(body)) => Ok(Some(*body)),
            None => Ok(None),
            Some(_) => Err(ScanError::NotWellFormed),
        }
    }
}

/// Reads the start tag of a whole body.
///
/// # Errors
/// What begins there is no body.
pub fn head(body: &[u8]) -> Result<Body, ScanError> {
    let begins = body.get(..WRAPPER).unwrap_or(body);
    Head::default().read(begins)?.ok_or(ScanError::NotWellFormed)
}

/// How many bytes a request may have, by the limits of an element: one stanza of any size, its
/// wrapper, and as much more as may wait unread on a stream.
pub fn most_bytes(limits: &Limits, logged_in: bool) -> usize {
    let more = if logged_in { crate::c2s::ONE_READ } else { 0 };
    limits.bytes.saturating_add(WRAPPER).saturating_add(more)
}

/// Why a request is not taken (XEP-0124, 17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// What came is no request.
    BadRequest,
    /// There is no such session, or none in which this number may come.
    ItemNotFound,
    /// Too many requests, or too often.
    PolicyViolation,
    /// The server has no room, or goes away.
    SystemShutdown,
}

impl Refusal {
    /// Its condition.
    pub fn condition(self) -> &'static str {
        match self {
            Refusal::BadRequest => "bad-request",
            Refusal::ItemNotFound => "item-not-found",
            Refusal::PolicyViolation => "policy-violation",
            Refusal::SystemShutdown => "system-shutdown",
        }
    }

    /// The status of HTTP by which clients without bodies for errors are told (17.1).
    pub fn status(self) -> u16 {
        match self {
            Refusal::BadRequest => 400,
            Refusal::PolicyViolation => 403,
            Refusal::ItemNotFound => 404,
            Refusal::SystemShutdown => 503,
        }
    }

    /// The body that says so.
    pub fn body(self) -> Bytes {
        let condition = self.condition();
        format!("<body type='terminate' condition='{condition}' xmlns='{}'/>", ns::BOSH).into()
    }
}

/// By what a request is answered.
pub trait By {
    /// Whether its client has gone, so that an answer would reach nobody.
    fn is_gone(&self) -> bool;
}

/// What a client and the server have agreed on.
#[derive(Debug, Clone)]
struct Terms {
    sid: String,
    /// The domain asked for.
    to: String,
    wait: Duration,
    hold: usize,
    /// How many requests may be under way at once.
    requests: usize,
    /// Whether the client says which answers have arrived.
    acknowledges: bool,
}

/// A request that is not answered.
struct Held<R> {
    rid: u64,
    by: R,
    /// Whether nothing is in it that the stream has to know.
    says_nothing: bool,
}

/// What arrived before its turn.
struct Early<R> {
    body: Bytes,
    by: R,
    says_nothing: bool,
}

/// An answer that is due: it goes to the request by which it was asked for.
#[derive(Debug)]
pub struct Due<R> {
    /// By what it is answered.
    pub by: R,
    /// The whole answer.
    pub answer: Bytes,
}

/// The requests of one session.
pub struct Session<R> {
    terms: Terms,
    /// The number of the next request in order.
    next: u64,
    early: BTreeMap<u64, Early<R>>,
    held: VecDeque<Held<R>>,
    /// Bodies that wait to be taken, with the numbers of their requests.
    bodies: VecDeque<(u64, Bytes)>,
    answered: VecDeque<(u64, Bytes)>,
    /// Whether the answer to the first request has been given.
    is_begun: bool,
    /// Whether the client has asked for the end.
    terminates: bool,
    /// What was said while nothing but the request that asks for the end could be answered: that one
    /// brings the end, too.
    last_words: Vec<u8>,
    is_over: bool,
}

impl<R> fmt::Debug for Session<R> {
    /// Shows neither its id nor what is said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("next", &self.next).finish_non_exhaustive()
    }
}

impl<R: By> Session<R> {
    /// Begins a session with its first request. `sid` is its id, which nobody can guess.
    pub fn new(sid: String, first: &Body, rid: u64) -> Session<R> {
        let hold = first.hold.unwrap_or(HOLD).min(HOLD);
        let terms = Terms {
            sid,
            to: first.to.as_deref().unwrap_or_default().to_owned(),
            wait: Duration::from_secs(first.wait.unwrap_or(WAIT / 5).min(WAIT).into()),
            hold: hold as usize,
            requests: hold as usize + 1,
            acknowledges: first.ack == Some(1),
        };
        Session {
            terms,
            next: rid,
            early: BTreeMap::new(),
            held: VecDeque::new(),
            bodies: VecDeque::new(),
            answered: VecDeque::new(),
            is_begun: false,
            terminates: false,
            last_words: Vec::new(),
            is_over: false,
        }
    }

    /// For how long a request is held.
    pub fn wait(&self) -> Duration {
        self.terms.wait
    }

    /// How long a client may be without a request.
    pub fn inactivity(&self) -> Duration {
        Duration::from_secs(INACTIVITY.into())
    }

    /// How often a client may ask that does not let its requests be held.
    pub fn polling(&self) -> Option<Duration> {
        let polls = self.terms.hold == 0 || self.terms.wait.is_zero();
        polls.then_some(Duration::from_secs(POLLING))
    }

    /// Whether no request is under way whose client is there.
    pub fn is_idle(&self) -> bool {
        let held = self.held.iter().map(|held| &held.by);
        held.chain(self.early.values().map(|early| &early.by)).all(By::is_gone)
    }

    /// Whether something can be said now. A request whose body was not read yet can be answered, too:
    /// who waits to say something may not read before. But few bodies wait to be read.
    pub fn can_say(&self) -> bool {
        let few = self.is_begun && self.bodies.len() <= self.terms.requests;
        let front = self.held.front();
        front.is_some_and(|held| (few || self.can_answer(held)) && !held.by.is_gone())
    }

    /// Whether nothing is in a request, or all of it has been taken.
    fn can_answer(&self, held: &Held<R>) -> bool {
        held.says_nothing || self.is_read(held)
    }

    /// Whether all that was asked up to a request has been taken.
    fn is_read(&self, held: &Held<R>) -> bool {
        self.bodies.front().is_none_or(|(unread, _)| held.rid < *unread)
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes a request. Returns what is answered by that; or the refusal, which ends the session.
    pub fn request(
        &mut self,
        head: &Body,
        rid: u64,
        body: Bytes,
        by: R,
    ) -> Result<Vec<Due<R>>, (R, Refusal)> {
        if self.is_over {
            return Err((by, Refusal::ItemNotFound));
        }
        if let Some(ack) = head.ack.filter(|_| self.terms.acknowledges && self.is_begun) {
            self.answered.retain(|(rid, _)| *rid > ack);
        }
        let ends = head.type_.as_deref() == Some("terminate");
        let window = self.terms.requests as u64 + u64::from(ends);
        if rid < self.next || self.early.contains_key(&rid) {
            return self.again(rid, by);
        }
        if rid >= self.next.saturating_add(window) {
            return Err((by, Refusal::ItemNotFound));
        }
        if self.held.len() + self.early.len() >= window as usize {
            return Err((by, Refusal::PolicyViolation));
        }
        self.terminates |= ends;
        let says_nothing = head.is_empty && !head.restart && !ends && head.sid.is_some();
        self.early.insert(rid, Early { body, by, says_nothing });
        while let Some(Early { body, by, says_nothing }) = self.early.remove(&self.next) {
            self.held.push_back(Held { rid: self.next, by, says_nothing });
            // One in which nothing is makes work, too, for which its sender pays. But who is told much
            // before more is read asks as often, and what waits to be read is bounded.
            if !says_nothing || self.bodies.len() <= self.terms.requests {
                self.bodies.push_back((self.next, body));
            }
            self.next += 1;
        }
        Ok(Vec::new())
    }

    /// Answers a request that came before, or lets it be answered by this one.
    fn again(&mut self, rid: u64, by: R) -> Result<Vec<Due<R>>, (R, Refusal)> {
        if let Some((_, answer)) = self.answered.iter().find(|(answered, _)| *answered == rid) {
            return Ok(vec![Due { by, answer: answer.clone() }]);
        }
        let held = self.held.iter_mut().find(|held| held.rid == rid).map(|held| &mut held.by);
        let early = self.early.get_mut(&rid).map(|early| &mut early.by);
        let Some(place) = held.or(early) else { return Err((by, Refusal::ItemNotFound)) };
        // XEP-0124, 14.3: the one before is told that it failed, and may be tried again.
        let answer = format!("<body type='error' xmlns='{}'/>", ns::BOSH).into();
        Ok(vec![Due { by: std::mem::replace(place, by), answer }])
    }

    /// Takes bytes of the bodies, in order. Returns how many.
    pub fn read(&mut self, into: &mut [u8]) -> usize {
        let Some((_, body)) = self.bodies.front_mut() else { return 0 };
        let length = body.len().min(into.len());
        let now = body.split_to(length);
        if let Some(into) = into.get_mut(..length) {
            into.copy_from_slice(&now);
        }
        if body.is_empty() {
            self.bodies.pop_front();
        }
        length
    }

    /// Returns answers without content that are due: to requests beyond those that may be held.
    pub fn release(&mut self) -> Vec<Due<R>> {
        let mut due = Vec::new();
        while self.held.len() > self.terms.hold
            && self.is_begun
            && !self.terminates
            && self.held.front().is_some_and(|held| self.is_read(held))
        {
            due.extend(self.answer("", b""));
        }
        due
    }

    /// Answers a request whose wait is over.
    pub fn expire(&mut self, rid: u64) -> Option<Due<R>> {
        let front = self.held.front();
        let first = front.is_some_and(|held| held.rid == rid && self.can_answer(held));
        if !first || !self.is_begun {
            return None;
        }
        let words = std::mem::take(&mut self.last_words);
        self.answer("", &words)
    }

    /// Says something: whole elements, and perhaps the end, as [`crate::Output`] has them. `None` if
    /// there is no request that it could answer.
    pub fn say(&mut self, said: &[u8]) -> Option<Vec<Due<R>>> {
        if !self.can_say() {
            return None;
        }
        let (said, end) = match said.split_last() {
            Some((end @ (&Framing::END | &Framing::FAULT), said)) => (said, Some(*end)),
            _ => (said, None),
        };
        if self.terminates && self.early.is_empty() && self.held.len() == 1 {
            self.last_words.extend_from_slice(said);
            if end.is_none() {
                return Some(Vec::new());
            }
        }
        let Some(end) = end else { return self.answer("", said).map(|due| vec![due]) };
        let words = std::mem::take(&mut self.last_words);
        let said = if words.is_empty() { said } else { &words };
        let condition = match end {
            Framing::FAULT => " condition='remote-stream-error'",
            _ => "",
        };
        self.is_over = true;
        let attributes = format!(" type='terminate'{condition}");
        let mut due: Vec<Due<R>> = self.answer(&attributes, said).into_iter().collect();
        // XEP-0124, 13: all others are answered, with nothing.
        while let Some(held) = self.held.pop_front() {
            due.push(Due { by: held.by, answer: self.body("", b"") });
        }
        Some(due)
    }

    /// Ends it without a word of the stream: returns who is still to be answered, and with what.
    pub fn end(&mut self, refusal: Refusal) -> Vec<Due<R>> {
        self.is_over = true;
        self.bodies.clear();
        let held = std::mem::take(&mut self.held).into_iter().map(|held| held.by);
        let early = std::mem::take(&mut self.early).into_values().map(|early| early.by);
        held.chain(early).map(|by| Due { by, answer: refusal.body() }).collect()
    }

    /// Answers the oldest request.
    fn answer(&mut self, attributes: &str, said: &[u8]) -> Option<Due<R>> {
        let held = self.held.pop_front()?;
        let mut attributes = attributes.to_owned();
        if !std::mem::replace(&mut self.is_begun, true) {
            attributes += &self.first();
        } else if self.terms.acknowledges && self.next - 1 != held.rid {
            // XEP-0124, 9.2: the last in order that has come, if that is not this one.
            attributes += &format!(" ack='{}'", self.next - 1);
        }
        let answer = self.body(&attributes, said);
        self.answered.push_back((held.rid, answer.clone()));
        while self.answered.len() > self.terms.requests {
            self.answered.pop_front();
        }
        Some(Due { by: held.by, answer })
    }

    /// XEP-0124, 7.2, and XEP-0206, 3: what the answer to the first request says.
    fn first(&self) -> String {
        let Terms { sid, wait, hold, requests, .. } = &self.terms;
        let mut from = Vec::new();
        escape(&mut from, &self.terms.to);
        let from = String::from_utf8_lossy(&from);
        let ack = if self.terms.acknowledges {
            format!(" ack='{}'", self.next - 1)
        } else {
            String::new()
        };
        let polling = match self.polling() {
            Some(polling) => format!(" polling='{}'", polling.as_secs()),
            None => String::new(),
        };
        format!(
            " sid='{sid}' from='{from}' wait='{}' hold='{hold}' requests='{requests}' \
             inactivity='{INACTIVITY}'{polling} ver='{VERSION}'{ack} xmpp:version='1.0' \
             xmpp:restartlogic='true' xmlns:xmpp='{}'",
            wait.as_secs(),
            ns::XBOSH
        )
    }

    fn body(&self, attributes: &str, said: &[u8]) -> Bytes {
        let namespace = ns::BOSH;
        let stream = ns::STREAM;
        let mut bytes = format!("<body xmlns='{namespace}'{attributes}").into_bytes();
        if said.is_empty() {
            bytes.extend_from_slice(b"/>");
        } else {
            bytes.extend_from_slice(format!(" xmlns:stream='{stream}'>").as_bytes());
            bytes.extend_from_slice(said);
            bytes.extend_from_slice(b"</body>");
        }
        bytes.into()
    }
}

#[cfg(test)]
mod tests;
