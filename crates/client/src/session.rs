//! RFC 6121 and XEP-0198 for a client: what a session knows, apart from any connection.
//!
//! Sans-IO: stanzas, wishes and the time go in; bytes and events come out. A session outlives its
//! connection. What was sent and not acknowledged is sent again when the connection is back: in
//! the same session the server drops what it has already; in a new one it recognises messages by
//! their `origin-id`, so none appears twice. Looks are repeated, changes are not: nobody knows
//! whether they were made, and the user is told so.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use whoelse_stream::client::Resumption;
use whoelse_stream::sm::{BadAck, Element as Sm, Handled, Sent};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, FullJid, Jid, Kind, Outgoing, Stanza, StanzaError, ns};

mod verdicts;

use crate::answer;
use crate::blocking;
use crate::config::Config;
use crate::disco::Capabilities;
use crate::error::RequestError;
use crate::events::Event;
use crate::history;
use crate::message::{self, Incoming, Seen};
use crate::order::{Mine, Reply};
use crate::presence::{Change, PresenceMap};
use crate::refusal::Refusal;
use crate::renamed::Renamed;
use crate::request::{Answer, Ask, Pending, Request};
use crate::roster::{Contact, Roster};
use crate::subscription::SubscriptionType;
use verdicts::Verdicts;

/// Lines that are kept while there is no connection.
pub(crate) const MAX_WAITING: usize = 100;
/// Messages that may be on their way; more wait in the caller.
pub(crate) const MAX_UNACKNOWLEDGED: usize = 1_000;
/// Sent messages whose refusal can still be understood.
const MAX_RECENT: usize = 1_000;
/// Results of one query; no page is larger.
const MAX_RESULTS: usize = 1_000;
/// After so long without a byte from the server it is asked for a sign of life.
const SILENCE: Duration = Duration::from_secs(60);
/// The sign must come within this time, or the connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is not acknowledged at once is asked for again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    me: FullJid,
    /// The id to resume with, if the server counts stanzas and lets us come back.
    resumption: Option<String>,
    /// Whether stanzas are counted.
    counted: bool,
    connected: bool,
    sent: Sent<Unacknowledged>,
    handled: Handled,
    /// Typed while there was no connection.
    waiting: VecDeque<Line>,
    pending: Pending<Then>,
    /// Barriers that the server has reached, while it is still storing what came before.
    reached: Vec<oneshot::Sender<()>>,
    /// The last messages that were sent: id and recipient.
    recent: VecDeque<(String, BareJid)>,
    verdicts: Verdicts,
    able: Capabilities,
    /// What the face answers itself.
    extensions: &'static [&'static str],
    book: PresenceMap,
    /// My contacts, where the server keeps them.
    roster: Option<Roster>,
    seen: Seen,
    /// The server says that it understands `<by-hand/>`.
    activity: bool,
    events: VecDeque<(Event, Option<u32>)>,
    /// Nobody reads the events, so taking them does not count.
    unread: bool,
    /// The server was told a count that has grown since.
    owed: bool,
    output: Vec<u8>,
    rhythm: Keepalive,
}

/// What was sent and may have to be sent again.
#[derive(Debug)]
struct Unacknowledged {
    bytes: Bytes,
    /// A message is sent again in a new session; anything else belongs to the old one.
    message: Option<Mine>,
}

impl Unacknowledged {
    /// The same to whoever is called something else now.
    fn renamed(self, renamed: Option<&Renamed>) -> Unacknowledged {
        let Some(renamed) = renamed else { return self };
        let message = self.message.map(|mine| Mine { to: renamed.person(&mine.to), ..mine });
        Unacknowledged { bytes: renamed.stanza(self.bytes), message }
    }
}

/// A wish that waits for a connection.
#[derive(Debug)]
enum Line {
    Message(Mine, String),
    /// Who may see whom.
    Subscription(SubscriptionType, Mine),
    /// Anything else, and what its refusal is about.
    Stanza(Bytes, Option<Mine>),
    Request(Request, Reply),
    Barrier(oneshot::Sender<()>),
}

impl Line {
    /// The same under the new name of the domain. A request that names somebody by the old one is
    /// given back: whoever asks makes it anew.
    fn renamed(self, renamed: &Renamed) -> Option<Line> {
        let called = |mine: Mine| Mine { to: renamed.person(&mine.to), ..mine };
        Some(match self {
            Line::Message(mine, text) => Line::Message(called(mine), text),
            Line::Subscription(word, mine) => Line::Subscription(word, called(mine)),
            Line::Stanza(bytes, mine) => Line::Stanza(renamed.stanza(bytes), mine.map(called)),
            Line::Request(request, reply) if renamed.is_in(&request.payload) => {
                let _ = reply.send(Err(RequestError::Renamed));
                return None;
            }
            Line::Request(mut request, reply) => {
                request.rename(renamed);
                Line::Request(request, reply)
            }
            Line::Barrier(done) => Line::Barrier(done),
        })
    }
}

/// What is to be done with an answer.
#[derive(Debug)]
enum Then {
    /// Somebody waits for it.
    Reply { request: Request, reply: Reply, results: Vec<Stanza> },
    /// The server has told who is online.
    Settled,
    /// The roster, or that the copy is good.
    Roster,
    /// Everything before it has been dealt with.
    Barrier(oneshot::Sender<()>),
    /// The server has these messages; refusals come before the answer.
    Verdict(Vec<Mine>),
    /// A sign of life.
    Alive,
}

/// When the server is asked how much it has, and when it last said anything.
#[derive(Debug)]
struct Keepalive {
    heard: Instant,
    /// Since when an answer to `<r/>` is awaited.
    asked: Option<Instant>,
    /// Something was sent since the server was asked.
    news: bool,
    again: Option<Instant>,
}

impl Session {
    /// Begins, when a connection has been logged in for the first time. The face is told what it
    /// has asked for in its settings.
    pub(crate) fn new(me: FullJid, granted: Granted, config: &Config, now: Instant) -> Session {
        let mut session = Session {
            book: PresenceMap::new(me.to_bare()),
            me,
            resumption: None,
            counted: false,
            connected: false,
            sent: Sent::new(),
            handled: Handled::new(),
            waiting: VecDeque::new(),
            pending: Pending::default(),
            reached: Vec::new(),
            recent: VecDeque::new(),
            verdicts: Verdicts::new(config.verdicts),
            able: Capabilities::new(config.extensions),
            extensions: config.extensions,
            roster: None,
            seen: Seen::default(),
            activity: false,
            events: VecDeque::new(),
            unread: config.unread,
            owed: false,
            output: Vec::new(),
            rhythm: Keepalive { heard: now, asked: None, news: false, again: None },
        };
        session.begin(granted, now);
        let me = session.me.clone();
        session.event(Event::LoggedIn { me });
        session
    }

    /// What to resume with: the id, and how many stanzas were handled.
    pub(crate) fn resumption(&self) -> Option<Resumption> {
        let previd = self.resumption.clone()?;
        Some(Resumption { previd, h: self.handled.h() })
    }

    /// The server's counts make no sense, so there is nothing to resume.
    pub(crate) fn forget_resumption(&mut self) {
        self.resumption = None;
    }

    /// The connection is gone. Nothing is given up yet.
    pub(crate) fn handle_loss(&mut self) {
        self.connected = false;
        self.output.clear();
        self.pending.pause();
        self.rhythm.asked = None;
        self.rhythm.again = None;
        self.event(Event::ConnectionLost);
    }

    /// The session goes on over a new connection; the server has handled `h` of our stanzas.
    pub(crate) fn handle_resumed(&mut self, h: u32, now: Instant) -> Result<(), BadAck> {
        let acknowledged = self.sent.ack(h)?;
        self.connected = true;
        self.rhythm =
            Keepalive { heard: now, asked: None, news: !self.sent.is_empty(), again: None };
        for stanza in self.sent.resend() {
            self.output.extend_from_slice(&stanza.bytes);
        }
        self.pending.resume(now);
        self.event(Event::Resumed);
        self.ask_for_verdict(acknowledged, now);
        self.send_waiting(now);
        Ok(())
    }

    /// There was nothing to resume: a new session begins. `h` is how many of the old one's
    /// stanzas the server remembers to have handled.
    pub(crate) fn handle_renewed(
        &mut self,
        me: FullJid,
        granted: Granted,
        h: Option<u32>,
        now: Instant,
    ) {
        // A count that cannot be true is no reason to lose the new session.
        let acknowledged = h.and_then(|h| self.sent.ack(h).ok()).unwrap_or_default();
        let unacknowledged = std::mem::take(&mut self.sent).into_unacknowledged();
        let unanswered = self.pending.take_all();
        let was_counted = self.counted;
        let renamed = Renamed::between(self.me.domain(), me.domain());
        self.me = me;
        self.handled = Handled::new();
        self.events.iter_mut().for_each(|(_, ticket)| *ticket = None);
        self.book.restart();
        if let Some(renamed) = &renamed {
            self.rename(renamed);
        }
        self.begin(granted, now);
        self.event(Event::Reconnected);
        self.ask_for_verdict(acknowledged, now);
        for stanza in unacknowledged {
            if stanza.message.is_some() {
                let stanza = stanza.renamed(renamed.as_ref());
                self.transmit(stanza.bytes, stanza.message, now);
            }
        }
        for then in unanswered {
            match then {
                Then::Reply { request, reply, .. } if request.ask == Ask::Get => {
                    let again = Line::Request(request, reply);
                    let again = match &renamed {
                        Some(renamed) => again.renamed(renamed),
                        None => Some(again),
                    };
                    again.into_iter().for_each(|line| self.take(line, now));
                }
                Then::Reply { reply, .. } => {
                    let _ = reply.send(Err(RequestError::ConnectionLost));
                }
                Then::Barrier(done) => self.ask_barrier(done, now),
                Then::Verdict(mine) if was_counted => self.ping(Then::Verdict(mine), now),
                Then::Verdict(mine) => self.give_up(mine),
                Then::Settled | Then::Roster | Then::Alive => {}
            }
        }
        self.send_waiting(now);
    }

    /// The domain has another name, and with it everybody in it.
    fn rename(&mut self, renamed: &Renamed) {
        let called = |who: &BareJid| renamed.person(who);
        self.book.rename(called);
        self.verdicts.rename(called);
        self.recent.iter_mut().for_each(|(_, to)| *to = called(to));
        // The copy calls people by their old names, and its version may still be good.
        self.roster = None;
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter_map(|line| line.renamed(renamed)).collect();
    }

    /// The session is over: whoever waits for an answer is told, and so is whoever sent what the
    /// server never acknowledged. After a polite end (`closed`) what was sent has arrived, and only
    /// who wants a verdict has none.
    pub(crate) fn end(&mut self, closed: bool) {
        let sent = std::mem::take(&mut self.sent).into_unacknowledged();
        let mut open: Vec<Mine> = sent.into_iter().filter_map(|stanza| stanza.message).collect();
        if closed && !self.verdicts.are_wanted() {
            open.clear();
        }
        for then in self.pending.take_all() {
            match then {
                Then::Reply { reply, .. } => {
                    let _ = reply.send(Err(RequestError::ConnectionLost));
                }
                Then::Verdict(mine) => open.extend(mine),
                Then::Settled | Then::Roster | Then::Barrier(_) | Then::Alive => {}
            }
        }
        let mut unsent = Vec::new();
        for line in std::mem::take(&mut self.waiting) {
            match line {
                Line::Message(mine, _) => unsent.push((mine, None)),
                Line::Subscription(word, mine) => unsent.push((mine, Some(word))),
                Line::Stanza(..) => {}
                Line::Request(_, reply) => {
                    let _ = reply.send(Err(RequestError::NotLoggedIn));
                }
                Line::Barrier(_) => {}
            }
        }
        self.give_up(open);
        for (Mine { id, to }, word) in unsent {
            self.verdicts.refused(&id);
            self.event(Event::NotSent { id, to, word });
        }
    }

    fn give_up(&mut self, mine: Vec<Mine>) {
        for mine in mine {
            if let Some(event) = self.verdicts.unknown(mine) {
                self.event(event);
            }
        }
    }

    /// The first words on a new stream: the roster comes before presence (RFC 6121, 2.2); who is there is told after our presence, so the answer to
    /// a request behind it says that everything has been told.
    fn begin(&mut self, granted: Granted, now: Instant) {
        self.owed = false;
        self.counted = granted.is_counted;
        self.resumption = granted.resumption;
        self.activity = granted.activity;
        self.connected = true;
        self.rhythm = Keepalive { heard: now, asked: None, news: false, again: None };
        self.roster = granted.roster.then(|| self.roster.take().unwrap_or_default());
        if let Some(roster) = &self.roster {
            let ask = roster.ask();
            self.request(ask, Then::Roster, now);
        }
        let presence = Element::new("presence").child(self.able.element());
        let presence = presence.outgoing(Class::Presence);
        self.transmit(presence.bytes, None, now);
        self.ping(Then::Settled, now);
    }

    // ---- wishes ----

    /// Whether a wish would be refused for want of room: while there is no connection, lines are
    /// kept up to a bound.
    pub(crate) fn is_full(&self) -> bool {
        !self.connected && self.waiting.len() >= MAX_WAITING
    }

    /// Whether so much is on its way that new wishes had better wait.
    pub(crate) fn is_busy(&self) -> bool {
        self.sent.len() >= MAX_UNACKNOWLEDGED
            || self.verdicts.open() >= MAX_UNACKNOWLEDGED
            || self.pending.is_full()
    }

    /// Sends a message under this id, or keeps it until there is a connection.
    pub(crate) fn message(&mut self, id: String, to: BareJid, text: String, now: Instant) {
        let mine = Mine { id, to };
        if let Some(event) = self.verdicts.begin(&mine) {
            self.event(event);
        }
        self.take(Line::Message(mine, text), now);
    }

    /// Says who may see whom, or keeps it until there is a connection.
    pub(crate) fn word(&mut self, word: SubscriptionType, to: BareJid, now: Instant) {
        if let Some(roster) = &mut self.roster {
            roster.handle_said(word, &to);
        }
        let mine = Mine { id: whoelse_stream::token(), to };
        self.take(Line::Subscription(word, mine), now);
    }

    /// Sends a stanza of the face's own, or keeps it until there is a connection. If `mine` says
    /// to whom it goes, and under which id, a refusal will be understood.
    pub(crate) fn stanza(&mut self, bytes: Bytes, mine: Option<Mine>, now: Instant) {
        self.take(Line::Stanza(bytes, mine), now);
    }

    /// The devices of somebody that are online, as far as is known.
    pub(crate) fn devices(&self, who: &BareJid) -> Vec<FullJid> {
        self.book.devices(who)
    }

    /// Sends presence to somebody's device who does not see this one anyway.
    pub(crate) fn show_to(&mut self, whom: &FullJid, now: Instant) {
        let Some(contacts) = self.contacts() else { return };
        if contacts.iter().any(|it| it.jid == whom.to_bare() && it.sees_me) {
            return;
        }
        let presence =
            Element::new("presence").attr("to", whom.as_str()).child(self.able.element());
        self.transmit(presence.outgoing(Class::Presence).bytes, None, now);
    }

    /// My contacts; `None` where everybody sees everybody.
    pub(crate) fn contacts(&self) -> Option<Vec<Contact>> {
        Some(self.roster.as_ref()?.contacts(|who| self.book.is_online(who)))
    }

    /// Asks something, or keeps the question until there is a connection.
    pub(crate) fn ask(&mut self, request: Request, reply: Reply, now: Instant) {
        self.take(Line::Request(request, reply), now);
    }

    /// Tells when everything that was sent before has been dealt with, refusals included.
    pub(crate) fn ask_barrier(&mut self, done: oneshot::Sender<()>, now: Instant) {
        self.take(Line::Barrier(done), now);
    }

    fn ping(&mut self, then: Then, now: Instant) {
        let ping = Request::get(Element::new("ping").xmlns(ns::PING)).by_itself();
        let server = Jid::parse(self.me.domain()).ok();
        self.request(Request { to: server, ..ping }, then, now);
    }

    fn take(&mut self, line: Line, now: Instant) {
        if !self.connected {
            return self.waiting.push_back(line);
        }
        match line {
            Line::Message(mine, text) => {
                let written = message::write(&mine.to, &mine.id, &text);
                self.note(&mine);
                self.transmit(written.bytes, Some(mine), now);
            }
            Line::Subscription(word, mine) => {
                let bytes = word.write(&mine.to, &mine.id).bytes;
                self.note(&mine);
                self.transmit(bytes, None, now);
            }
            Line::Stanza(bytes, mine) => {
                mine.iter().for_each(|mine| self.note(mine));
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

    /// A refusal of this will be understood.
    fn note(&mut self, mine: &Mine) {
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((mine.id.clone(), mine.to.clone()));
    }

    fn send_waiting(&mut self, now: Instant) {
        for line in std::mem::take(&mut self.waiting) {
            self.take(line, now);
        }
    }

    fn request(&mut self, request: Request, then: Then, now: Instant) {
        let id = whoelse_stream::token();
        let written = request.encode(&id, self.activity);
        self.pending.insert(id, request.to, now, then);
        self.transmit(written.bytes, None, now);
    }

    fn transmit(&mut self, bytes: Bytes, message: Option<Mine>, now: Instant) {
        self.output.extend_from_slice(&bytes);
        let stanza = Unacknowledged { bytes, message };
        if self.counted {
            let size = stanza.bytes.len();
            self.sent.push(stanza, size);
            self.rhythm.news = true;
        } else {
            // Nothing better is to be had than an answer to what was asked behind it.
            self.ask_for_verdict(vec![stanza], now);
        }
    }

    /// The server has handled these. Whether it took them, its next answer tells.
    fn ask_for_verdict(&mut self, handled: Vec<Unacknowledged>, now: Instant) {
        if !self.verdicts.are_wanted() {
            return;
        }
        let mine: Vec<Mine> = handled.into_iter().filter_map(|stanza| stanza.message).collect();
        if !mine.is_empty() {
            self.ping(Then::Verdict(mine), now);
        }
    }

    // ---- what arrives ----

    /// Bytes arrived, whatever they were.
    pub(crate) fn handle_sign_of_life(&mut self, now: Instant) {
        self.rhythm.heard = now;
    }

    /// A stanza arrived.
    pub(crate) fn handle_stanza(&mut self, stanza: &Stanza, now: Instant) {
        let ticket = self.handled.received();
        match self.read(stanza, now) {
            Some(event) => self.events.push_back((event, Some(ticket))),
            None => self.handled.done(ticket),
        }
    }

    /// An element of stream management arrived. The error is for a count that cannot be true.
    pub(crate) fn handle_counting(&mut self, element: &Sm, now: Instant) -> Result<(), BadAck> {
        match *element {
            Sm::Request => {
                self.tell_count();
                self.owed = !self.handled.all_done();
            }
            Sm::Ack { h } => {
                let acknowledged = self.sent.ack(h)?;
                self.ask_for_verdict(acknowledged, now);
                // A refusal may come behind the acknowledgement, but not behind what is asked
                // after that.
                if self.is_stored() {
                    for done in std::mem::take(&mut self.reached) {
                        self.ask_barrier(done, now);
                    }
                }
                self.rhythm.asked = None;
                self.rhythm.again = (!self.sent.is_empty()).then(|| now + ASK_AGAIN);
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the event that the stanza is, if it is one.
    fn read(&mut self, stanza: &Stanza, now: Instant) -> Option<Event> {
        match stanza.kind() {
            Kind::Message => self.handle_message(stanza),
            Kind::Presence => self.handle_presence(stanza),
            Kind::Iq => self.handle_iq(stanza, now),
            Kind::Other => None,
        }
    }

    fn handle_presence(&mut self, stanza: &Stanza) -> Option<Event> {
        if stanza.type_() == Some("error") {
            let why = StanzaError::read(stanza).map_or(Refusal::Unreachable, |it| Refusal::of(&it));
            let from = Jid::parse(stanza.from()?).ok()?;
            return self.handle_refusal(stanza.id()?, Some(from), why);
        }
        let me = self.me.to_bare();
        if let Some(roster) = &mut self.roster
            && let Some(event) = roster.handle_presence(stanza, &me)
        {
            return Some(event);
        }
        self.book.handle(stanza).map(Event::from)
    }

    /// Whether the face wants to see this itself.
    fn is_extension(&self, stanza: &Stanza) -> bool {
        let wanted = |ns: &str| self.extensions.contains(&ns);
        stanza.children().iter().any(|child| wanted(child.ns()))
    }

    fn handle_message(&mut self, stanza: &Stanza) -> Option<Event> {
        if stanza.type_() != Some("error") && self.is_extension(stanza) {
            return Some(Event::Extension(stanza.clone()));
        }
        if let Some(query) = history::result_of(stanza, &self.me) {
            self.collect(&query, stanza);
            return None;
        }
        match message::read(stanza, &self.me) {
            Incoming::Message(message) => {
                let new = message.id.as_deref().is_none_or(|id| self.seen.is_new(id));
                new.then_some(Event::Message(message))
            }
            Incoming::Refused { id, from, why } => self.handle_refusal(&id, from, why),
            Incoming::Nothing => None,
        }
    }

    /// Something of mine came back.
    fn handle_refusal(&mut self, id: &str, from: Option<Jid>, why: Refusal) -> Option<Event> {
        let place = self.recent.iter().position(|(sent, _)| *sent == id)?;
        let (_, to) = self.recent.get(place)?;
        // Only the recipient, their server or mine can know that it was not delivered.
        let speaks = from.is_none_or(|from| {
            from.to_bare() == *to
                || from.as_str() == to.domain()
                || from.as_str() == self.me.domain()
                || from.to_bare() == self.me.to_bare()
        });
        if !speaks {
            return None;
        }
        let (id, to) = self.recent.remove(place)?;
        self.verdicts.refused(&id);
        Some(Event::NotDelivered { id, to, why })
    }

    fn collect(&mut self, query: &str, stanza: &Stanza) {
        for then in self.pending.iter_mut() {
            if let Then::Reply { request, results, .. } = then
                && request.collect.as_deref() == Some(query)
                && results.len() < MAX_RESULTS
            {
                results.push(stanza.clone());
            }
        }
    }

    fn handle_iq(&mut self, stanza: &Stanza, now: Instant) -> Option<Event> {
        if let Some(roster) = &mut self.roster
            && roster.handle_push(stanza, &self.me)
        {
            self.transmit(answer::result(stanza, None).bytes, None, now);
            return None;
        }
        if matches!(stanza.type_(), Some("get" | "set")) && self.is_extension(stanza) {
            return Some(Event::Extension(stanza.clone()));
        }
        if let Some(Outgoing { bytes, .. }) = answer::answer(stanza, &self.me, &self.able) {
            self.transmit(bytes, None, now);
            return blocking::pushed(stanza, &self.me).map(Event::Blocked);
        }
        let (then, answer) = self.pending.answered(stanza, &self.me)?;
        match then {
            Then::Reply { reply, results, .. } => {
                let _ = reply.send(answer.map(|iq| Answer { iq, results }));
            }
            Then::Roster => {
                if let (Some(roster), Ok(answer)) = (&mut self.roster, &answer) {
                    roster.handle_answer(answer);
                }
            }
            Then::Settled => {
                for change in self.book.settled() {
                    self.event(change.into());
                }
            }
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

    /// Whether every message is acknowledged, as far as the server says such things.
    fn is_stored(&self) -> bool {
        !self.sent.resend().any(|stanza| stanza.message.is_some())
    }

    fn tell_count(&mut self) {
        let h = self.handled.h();
        self.output.extend_from_slice(&Sm::Ack { h }.encode());
    }

    // ---- what comes out ----

    fn event(&mut self, event: Event) {
        self.events.push_back((event, None));
    }

    /// The stream said something that is an event.
    pub(crate) fn handle_event(&mut self, event: Event) {
        self.event(event);
    }

    /// How many events wait to be taken. Whoever reads for this session stops above some number.
    pub(crate) fn events_waiting(&self) -> usize {
        self.events.len()
    }

    /// From now on whatever is taken is not read.
    pub(crate) fn leave_unread(&mut self) {
        self.unread = true;
    }

    /// The next event. Only what has been taken, and is read, counts as handled.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let (event, ticket) = self.events.pop_front()?;
        if let Some(ticket) = ticket.filter(|_| !self.unread) {
            self.handled.done(ticket);
        }
        // The server asked while this was still waiting, and may not ask again.
        if self.owed && self.connected && self.handled.all_done() {
            self.owed = false;
            self.tell_count();
        }
        Some(event)
    }

    /// The last words before a goodbye: what was handled need not be sent again.
    pub(crate) fn poll_last_words(&mut self, now: Instant) -> Vec<u8> {
        if self.connected && self.counted {
            self.tell_count();
        }
        self.poll_output(now)
    }

    /// What is to be written now. If stanzas are among it, the server is asked for its count.
    pub(crate) fn poll_output(&mut self, now: Instant) -> Vec<u8> {
        if self.connected && self.counted && self.rhythm.news && self.rhythm.asked.is_none() {
            self.ask_for_count(now);
        }
        std::mem::take(&mut self.output)
    }

    fn ask_for_count(&mut self, now: Instant) {
        self.output.extend_from_slice(&Sm::Request.encode());
        self.rhythm.asked = Some(now);
        self.rhythm.news = false;
        self.rhythm.again = None;
    }

    /// When [`Session::handle_time`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if !self.connected {
            return None;
        }
        let alive = match self.rhythm.asked {
            Some(asked) => asked.max(self.rhythm.heard) + PATIENCE,
            None => self.rhythm.heard + SILENCE,
        };
        [Some(alive), self.rhythm.again, self.pending.next_deadline()].into_iter().flatten().min()
    }

    /// Does what is due.
    pub(crate) fn handle_time(&mut self, now: Instant) -> Pulse {
        for then in self.pending.expired(now) {
            match then {
                Then::Reply { reply, .. } => {
                    let _ = reply.send(Err(RequestError::TimedOut));
                }
                Then::Alive => return Pulse::Dead,
                Then::Settled => {
                    self.book.settled().into_iter().for_each(|it| self.event(it.into()))
                }
                Then::Verdict(mine) => self.give_up(mine),
                Then::Roster | Then::Barrier(_) => {}
            }
        }
        if !self.connected {
            return Pulse::Alive;
        }
        match self.rhythm.asked {
            Some(asked) if asked.max(self.rhythm.heard) + PATIENCE <= now => return Pulse::Dead,
            Some(_) => {}
            None if self.rhythm.again.is_some_and(|again| again <= now) => self.ask_for_count(now),
            None if self.rhythm.heard + SILENCE <= now && self.counted => self.ask_for_count(now),
            None if self.rhythm.heard + SILENCE <= now => {
                self.rhythm.heard = now;
                self.ping(Then::Alive, now);
            }
            None => {}
        }
        Pulse::Alive
    }
}

/// Whether the server is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// As far as is known.
    Alive,
    /// It did not answer in time: the connection counts as lost.
    Dead,
}

/// What the server grants a new session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Stanzas are counted.
    pub(crate) is_counted: bool,
    /// The id to resume with.
    pub(crate) resumption: Option<String>,
    /// The server keeps a roster with subscriptions.
    pub(crate) roster: bool,
    /// The mark of a request typed by hand is understood.
    pub(crate) activity: bool,
}

impl From<Change> for Event {
    fn from(change: Change) -> Event {
        match change {
            Change::Came(who) => Event::CameOnline(who),
            Change::Went(who) => Event::WentOffline(who),
        }
    }
}

#[cfg(test)]
mod tests;
