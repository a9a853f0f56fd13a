//! RFC 6121 and XEP-0198 for a client: the state of a session, without any connection.
//!
//! Sans-IO: stanzas, orders and the time go in; bytes and events come out. A session outlives its
//! connection. Unacknowledged stanzas are sent again after reconnecting. In a resumed session the
//! server drops what it has already; in a new one it recognises messages by their `origin-id`, so
//! none appears twice. Read requests are repeated; changes are not, since it is unknown whether
//! they were made, and the user is told so.
//!
//! This file has the beginning, the continuation and the end of a session. Orders are in `wishes`,
//! arriving stanzas in `arrivals`, events and the count of handled stanzas in `outbox`.

use std::collections::VecDeque;
use std::time::Instant;

use tokio::sync::oneshot;
use whoelse_stream::client::Resumption;
use whoelse_stream::sm::{BadAck, Element as Sm, Sent};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, FullJid, Stanza};

mod arrivals;
mod claims;
mod keepalive;
mod line;
mod outbox;
mod recent;
mod verdicts;
mod wishes;

use crate::config::Config;
use crate::disco::Capabilities;
use crate::error::RequestError;
use crate::events::{Ending, Event};
use crate::kit::{Heard, Routing};
use crate::message::Seen;
use crate::order::{Mine, Reply};
use crate::outlets::{Telling, Whom};
use crate::presence::PresenceMap;
use crate::renamed::Renamed;
use crate::request::{Ask, Pending, Request};
use crate::roster::Roster;
use claims::Claims;
use keepalive::{Due, Keepalive};
use line::{Line, Unacknowledged};
use outbox::Outbox;
use recent::Recent;
use verdicts::Verdicts;

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    me: FullJid,
    /// The id to resume with, if the server allows it.
    resumption: Option<String>,
    /// Whether stanzas are counted.
    counted: bool,
    connected: bool,
    sent: Sent<Unacknowledged>,
    /// Lines that were typed while there was no connection.
    waiting: VecDeque<Line>,
    pending: Pending<Then>,
    /// Barriers that the server has answered while it is still storing what came before.
    reached: Vec<oneshot::Sender<()>>,
    recent: Recent,
    verdicts: Verdicts,
    able: Capabilities,
    /// The listeners and their namespaces.
    routing: Routing,
    /// The addresses that listeners have claimed.
    claims: Claims,
    presence: PresenceMap,
    /// The roster, if the server keeps one.
    roster: Option<Roster>,
    seen: Seen,
    /// Whether the server understands `<by-hand/>`.
    activity: bool,
    outbox: Outbox,
    output: Vec<u8>,
    keepalive: Keepalive,
}

/// What to do with an answer.
#[derive(Debug)]
enum Then {
    /// Passes it to a caller.
    Reply { request: Request, reply: Reply, results: Vec<Stanza> },
    /// The initial presences have arrived.
    Settled,
    /// Updates the roster.
    Roster,
    /// Everything before it has been processed.
    Barrier(oneshot::Sender<()>),
    /// The server has handled these messages; refusals come before this answer.
    Verdict(Vec<Mine>),
    /// Only a sign of life.
    Alive,
}

impl Session {
    /// Begins a session after the first login. The interface gets the events that its
    /// configuration asks for, and each listener its own.
    pub(crate) fn new(
        me: FullJid,
        granted: Granted,
        config: &Config,
        routing: Routing,
        now: Instant,
    ) -> Session {
        let mut session = Session {
            presence: PresenceMap::new(me.to_bare()),
            me,
            resumption: None,
            counted: false,
            connected: false,
            sent: Sent::new(),
            waiting: VecDeque::new(),
            pending: Pending::default(),
            reached: Vec::new(),
            recent: Recent::default(),
            verdicts: Verdicts::new(config.verdicts),
            able: Capabilities::new(routing.features()),
            routing,
            claims: Claims::default(),
            roster: None,
            seen: Seen::default(),
            activity: false,
            outbox: Outbox::new(config.unread),
            output: Vec::new(),
            keepalive: Keepalive::new(now, false),
        };
        session.begin(granted, now);
        let me = session.me.clone();
        session.tell_listeners(&Heard::LoggedIn { me: me.clone() });
        session.event(Event::LoggedIn { me });
        session
    }

    /// Returns what to resume with: the id, and how many stanzas were handled.
    pub(crate) fn resumption(&self) -> Option<Resumption> {
        let previd = self.resumption.clone()?;
        Some(Resumption { previd, h: self.outbox.h() })
    }

    /// Gives up resumption, since the server's count is wrong.
    pub(crate) fn forget_resumption(&mut self) {
        self.resumption = None;
    }

    /// Takes note that the connection is gone. Nothing is given up yet.
    pub(crate) fn handle_loss(&mut self) {
        self.connected = false;
        self.output.clear();
        self.pending.pause();
        self.keepalive.handle_loss();
        self.event(Event::ConnectionLost);
        self.tell_listeners(&Heard::ConnectionLost);
    }

    /// Resumes over a new connection; the server has handled `h` of our stanzas.
    pub(crate) fn handle_resumed(&mut self, h: u32, now: Instant) -> Result<(), BadAck> {
        let acknowledged = self.sent.ack(h)?;
        self.connected = true;
        self.keepalive = Keepalive::new(now, !self.sent.is_empty());
        for stanza in self.sent.resend() {
            self.output.extend_from_slice(&stanza.bytes);
        }
        self.pending.resume(now);
        self.tell_listeners(&Heard::Resumed);
        self.event(Event::Resumed);
        self.ask_for_verdict(acknowledged, now);
        self.send_waiting(now);
        Ok(())
    }

    /// Begins a new session because the old one could not be resumed. `h` is how many of the old
    /// one's stanzas the server has handled, if it still knows.
    pub(crate) fn handle_renewed(
        &mut self,
        me: FullJid,
        granted: Granted,
        h: Option<u32>,
        now: Instant,
    ) {
        // A wrong count is no reason to lose the new session.
        let acknowledged = h.and_then(|h| self.sent.ack(h).ok()).unwrap_or_default();
        let unacknowledged = std::mem::take(&mut self.sent).into_unacknowledged();
        let unanswered = self.pending.take_all();
        let was_counted = self.counted;
        let renamed = Renamed::between(self.me.domain(), me.domain());
        self.me = me;
        self.outbox.restart();
        self.presence.restart();
        if let Some(renamed) = &renamed {
            self.rename(renamed);
        }
        self.begin(granted, now);
        self.tell_listeners(&Heard::Reconnected { me: self.me.clone() });
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

    /// Applies a rename of the domain to all addresses in it.
    fn rename(&mut self, renamed: &Renamed) {
        let called = |who: &BareJid| renamed.person(who);
        self.presence.rename(called);
        self.verdicts.rename(called);
        self.recent.rename(called);
        // Rooms have new addresses, too, which their listener claims.
        self.claims = Claims::default();
        // The copy has the old addresses, but its version may still be current on the server.
        self.roster = None;
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter_map(|line| line.renamed(renamed)).collect();
    }

    /// Ends the session: pending requests fail, and unacknowledged messages are reported. After a
    /// clean end (`closed`) what was sent has arrived, and only missing verdicts are reported.
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
        for (Mine { id, to, .. }, word) in unsent {
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

    /// Sends the first stanzas of a new stream: the roster comes before presence (RFC 6121, 2.2).
    /// The initial presences follow our presence, so the answer to a request after it marks their
    /// end.
    fn begin(&mut self, granted: Granted, now: Instant) {
        self.counted = granted.is_counted;
        self.resumption = granted.resumption;
        self.activity = granted.activity;
        self.connected = true;
        self.keepalive = Keepalive::new(now, false);
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

    // ---- what comes out ----

    fn event(&mut self, event: Event) {
        self.outbox.tell(Telling::Face(event));
    }

    fn tell_listeners(&mut self, heard: &Heard) {
        for id in self.routing.all() {
            self.outbox.tell(Telling::Listener(id, heard.clone()));
        }
    }

    /// Reports an event of the stream.
    pub(crate) fn handle_event(&mut self, event: Event) {
        self.event(event);
    }

    /// Reports the end of the session, as the last event.
    pub(crate) fn handle_logged_out(&mut self, ending: Ending) {
        self.event(Event::LoggedOut(ending));
        self.tell_listeners(&Heard::LoggedOut);
    }

    /// Returns how many events wait. Above some number the caller stops reading.
    pub(crate) fn untold(&self) -> usize {
        self.outbox.len()
    }

    /// Returns the receiver of the next event, if there is one.
    pub(crate) fn whom_to_tell(&self) -> Option<Whom> {
        self.outbox.whom()
    }

    /// Marks events from now on as unread when taken.
    pub(crate) fn leave_unread(&mut self) {
        self.outbox.leave_unread();
    }

    /// Returns the next event. A stanza counts as handled only after its event has been taken and
    /// read.
    pub(crate) fn poll_telling(&mut self) -> Option<Telling> {
        let telling = self.outbox.poll()?;
        // The server asked while this was still waiting, and may not ask again.
        if self.connected
            && let Some(h) = self.outbox.take_owed()
        {
            self.write_count(h);
        }
        Some(telling)
    }

    /// Returns the last bytes before closing: the count, so that handled stanzas are not sent
    /// again.
    pub(crate) fn poll_last_words(&mut self, now: Instant) -> Vec<u8> {
        if self.connected && self.counted {
            self.write_count(self.outbox.h());
        }
        self.poll_output(now)
    }

    /// Returns the bytes to write now. If stanzas are among them, the server is asked for its
    /// count.
    pub(crate) fn poll_output(&mut self, now: Instant) -> Vec<u8> {
        if self.connected && self.counted && self.keepalive.wants_count() {
            self.ask_for_count(now);
        }
        std::mem::take(&mut self.output)
    }

    fn write_count(&mut self, h: u32) {
        self.output.extend_from_slice(&Sm::Ack { h }.encode());
    }

    fn ask_for_count(&mut self, now: Instant) {
        self.output.extend_from_slice(&Sm::Request.encode());
        self.keepalive.handle_asked(now);
    }

    // ---- the time ----

    /// Returns when [`Session::handle_time`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let keepalive = self.connected.then(|| self.keepalive.next_deadline())?;
        Some(self.pending.next_deadline().map_or(keepalive, |it| it.min(keepalive)))
    }

    /// Does what is due.
    pub(crate) fn handle_time(&mut self, now: Instant) -> Pulse {
        for then in self.pending.expired(now) {
            match then {
                Then::Reply { reply, .. } => {
                    let _ = reply.send(Err(RequestError::TimedOut));
                }
                Then::Alive => return Pulse::Dead,
                Then::Settled => self.settle_presence(),
                Then::Verdict(mine) => self.give_up(mine),
                Then::Roster | Then::Barrier(_) => {}
            }
        }
        if !self.connected {
            return Pulse::Alive;
        }
        match self.keepalive.due(now) {
            Due::Nothing => {}
            Due::Dead => return Pulse::Dead,
            Due::Count => self.ask_for_count(now),
            Due::SignOfLife if self.counted => self.ask_for_count(now),
            Due::SignOfLife => {
                self.keepalive.handle_sign_of_life(now);
                self.ping(Then::Alive, now);
            }
        }
        Pulse::Alive
    }
}

/// Whether the server is still alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// As far as is known.
    Alive,
    /// It did not answer in time: the connection counts as lost.
    Dead,
}

/// What the server grants to a new session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Whether stanzas are counted.
    pub(crate) is_counted: bool,
    /// The id to resume with.
    pub(crate) resumption: Option<String>,
    /// Whether the server keeps a roster with subscriptions.
    pub(crate) roster: bool,
    /// Whether it understands the mark of a request that was typed.
    pub(crate) activity: bool,
}

#[cfg(test)]
mod tests;
