//! Handles what others send about an introduction.

use std::time::Instant;

use whoelse_client::Refusal;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, Condition, FullJid, Jid, Kind, Stanza, StanzaError, ns};

use super::{ANSWER_WITHIN, Action, Introductions, Judge, MAX_REQUESTS, Meeting, New, Stage};
use crate::device::KeyStatus;
use crate::events::{Failure, Happening};
use crate::jingle::{self, Act, Said, Transport, Why, Word};

impl Introductions {
    /// Handles a message.
    pub(crate) fn handle_said(&mut self, said: &Said, now: Instant) {
        let from = said.from.to_bare();
        if from == self.me.to_bare() {
            return self.handle_own(said);
        }
        match said.word {
            Word::Propose => self.handle_proposal(said, &from, now),
            Word::Proceed => self.handle_proceed(said, &from, now),
            Word::Reject(Why::TieBreak) | Word::Retract(Why::TieBreak) => {
                // Either their other request counts or mine; it arrives by itself.
                if self
                    .request_of(&from)
                    .is_some_and(|(sid, by)| sid == said.sid && by == said.from)
                {
                    self.end(&from);
                }
            }
            Word::Reject(_) => {
                if matches!(self.found(&from, &said.sid), Some(Stage::Asking)) {
                    self.end(&from);
                    self.tell(Happening::Declined(from));
                }
            }
            Word::Retract(_) | Word::Finish(_) => self.handle_taken_back(said, from),
        }
    }

    /// Handles the answer of another device of mine.
    fn handle_own(&mut self, said: &Said) {
        if said.from == self.me || !matches!(said.word, Word::Proceed | Word::Reject(_)) {
            return;
        }
        let answered = self
            .under_way
            .iter()
            .find(|(_, it)| it.sid == said.sid && matches!(it.stage, Stage::Asked { .. }));
        let Some(whom) = answered.map(|(whom, _)| whom.clone()) else { return };
        self.end(&whom);
        // A tie-break answered no person.
        if said.word != Word::Reject(Why::TieBreak) {
            self.tell(Happening::AnsweredElsewhere(whom));
        }
    }

    fn handle_proposal(&mut self, said: &Said, from: &BareJid, now: Instant) {
        let by = said.from.clone();
        let known = self.under_way.get(from).map(|it| (&it.stage, it.sid.clone()));
        match known {
            // XEP-0353, tie breaking: the lower id counts. Both have asked, so both have agreed.
            Some((Stage::Asking, mine)) if said.sid < mine => {
                let to = Jid::from(from.clone());
                self.say(&to, &mine, Word::Retract(Why::TieBreak));
                self.begin(from, said.sid.clone(), Stage::Asked { by }, now + ANSWER_WITHIN);
                let _ = self.accept(from, now);
            }
            Some((Stage::Asking, mine)) if said.sid > mine => {
                let no = Word::Reject(Why::TieBreak);
                self.say(&Jid::from(by), &said.sid, no);
                self.tell_own_devices(&said.sid, no);
            }
            Some((Stage::Asking, _)) => {}
            Some((Stage::Meeting(_) | Stage::Connecting { .. }, _)) => {
                self.say(&Jid::from(by), &said.sid, Word::Reject(Why::Busy));
            }
            // A newer request of the same person replaces the older one.
            Some((Stage::Asked { .. }, sid)) if sid == said.sid => {}
            Some((Stage::Asked { .. }, _)) => {
                self.begin(from, said.sid.clone(), Stage::Asked { by }, now + ANSWER_WITHIN);
                if self.rings.may_ring(from, now) {
                    self.tell(Happening::Asks(from.clone()));
                }
            }
            None if self.requests() >= MAX_REQUESTS => {
                self.say(&Jid::from(by), &said.sid, Word::Reject(Why::Busy));
            }
            None => {
                if self.rings.may_ring(from, now) {
                    self.begin(from, said.sid.clone(), Stage::Asked { by }, now + ANSWER_WITHIN);
                    self.tell(Happening::Asks(from.clone()));
                }
            }
        }
    }

    fn handle_proceed(&mut self, said: &Said, from: &BareJid, now: Instant) {
        let to = Jid::from(said.from.clone());
        match self.found(from, &said.sid) {
            Some(Stage::Asking) => {
                self.actions.push_back(Action::Show(said.from.clone()));
                self.meet(from, said.sid.clone(), said.from.clone(), true, now);
            }
            // A second device of theirs was a moment too late.
            Some(Stage::Meeting(Meeting { with, .. }) | Stage::Connecting { with, .. })
                if *with != said.from =>
            {
                self.say(&to, &said.sid, Word::Retract(Why::Expired));
            }
            Some(_) => {}
            None => {
                // Only a device that was asked a moment ago is told that it was too late. Anybody
                // else would learn from an answer that this device is online.
                if self.ended.iter().any(|(whom, sid)| whom == from && *sid == said.sid) {
                    self.say(&to, &said.sid, Word::Finish(Why::Expired));
                }
            }
        }
    }

    fn handle_taken_back(&mut self, said: &Said, from: BareJid) {
        match self.found(&from, &said.sid) {
            Some(Stage::Asked { by }) if *by == said.from => {
                self.end(&from);
                self.tell(Happening::TookBack(from));
            }
            Some(Stage::Meeting(meeting)) if meeting.with == said.from => {
                let too_late = said.word == Word::Retract(Why::Expired);
                self.end(&from);
                self.tell(match too_late {
                    true => Happening::AnsweredElsewhere(from),
                    false => Happening::NotOpened { whom: from, why: Failure::GivenUp },
                });
            }
            _ => {}
        }
    }

    /// Handles the refusal of a request of mine, which may have been withdrawn already.
    pub(crate) fn handle_refused(&mut self, id: &str, to: &BareJid, why: Refusal) {
        if matches!(self.found(to, id), Some(Stage::Asking)) {
            self.end(to);
            self.tell(Happening::NotAsked { whom: to.clone(), why });
        }
    }

    /// Handles the refusal of a session request by a device, or its missing answer.
    pub(crate) fn handle_unanswered(&mut self, of: &FullJid, sid: &str) {
        let whom = of.to_bare();
        match self.found(&whom, sid) {
            Some(Stage::Meeting(Meeting { with, .. }) | Stage::Connecting { with, .. })
                if with == of =>
            {
                self.end(&whom);
                self.tell(Happening::NotOpened { whom, why: Failure::Gone });
            }
            _ => {}
        }
    }

    /// Handles anything else of these namespaces; a request gets an error.
    pub(crate) fn handle_other(&mut self, stanza: &Stanza) {
        if stanza.kind() == Kind::Iq {
            self.refuse(stanza, StanzaError::new(Condition::ServiceUnavailable));
        }
    }

    /// Handles a Jingle request. Every request is answered.
    pub(crate) fn handle_request(&mut self, iq: &Stanza, judge: Judge<'_>, now: Instant) {
        let Some(asked) = jingle::read_request(iq) else {
            return self.refuse(iq, StanzaError::new(Condition::BadRequest));
        };
        let whom = asked.from.to_bare();
        let ours = match self.found(&whom, &asked.sid) {
            Some(Stage::Meeting(Meeting { with, .. }) | Stage::Connecting { with, .. }) => {
                *with == asked.from
            }
            _ => false,
        };
        if !ours {
            let unknown = StanzaError::new(Condition::ItemNotFound);
            return self.refuse(iq, unknown.with_app("unknown-session", ns::JINGLE_ERRORS));
        }
        match asked.act {
            Act::Initiate(theirs) => {
                self.handle_transport(iq, &asked.from, false, theirs, judge, now)
            }
            Act::Accept(theirs) => self.handle_transport(iq, &asked.from, true, theirs, judge, now),
            Act::Terminate(why) => {
                self.agree(iq);
                self.end(&whom);
                let why = match why {
                    Why::Security => Failure::NotTrusted,
                    Why::Connectivity => Failure::NoWay,
                    Why::Timeout => Failure::TimedOut,
                    _ => Failure::GivenUp,
                };
                self.tell(Happening::NotOpened { whom, why });
            }
            Act::Ping => self.agree(iq),
            Act::Unknown => self.refuse(iq, StanzaError::new(Condition::FeatureNotImplemented)),
        }
    }

    /// Handles the transport of the peer. `accepting`: it answers mine.
    fn handle_transport(
        &mut self,
        iq: &Stanza,
        from: &FullJid,
        accepting: bool,
        theirs: Result<Transport, jingle::Bad>,
        judge: Judge<'_>,
        now: Instant,
    ) {
        let whom = from.to_bare();
        let meeting = match self.under_way.get_mut(&whom).map(|it| &mut it.stage) {
            // Each end sends its transport once, the initiator first.
            Some(Stage::Meeting(it))
                if it.initiator == accepting && it.said == accepting && it.theirs.is_none() =>
            {
                it
            }
            _ => {
                let error = StanzaError::new(Condition::UnexpectedRequest);
                return self.refuse(iq, error.with_app("out-of-order", ns::JINGLE_ERRORS));
            }
        };
        let Ok(theirs) = theirs else {
            self.refuse(iq, StanzaError::new(Condition::BadRequest));
            self.end(&whom);
            return self.tell(Happening::NotOpened { whom, why: Failure::Nonsense });
        };
        let (status, code) = judge(&whom, &theirs);
        meeting.theirs = Some(theirs.clone());
        if let KeyStatus::New { first } = status {
            meeting.new = Some(New { theirs: theirs.clone(), first, code: code.clone() });
        }
        self.agree(iq);
        if status == KeyStatus::Changed {
            self.give_up(&whom, Why::Security);
            self.actions.push_back(Action::Distrust { whom: whom.clone(), theirs });
            let why = Failure::KeyChanged { code };
            return self.tell(Happening::NotOpened { whom, why });
        }
        self.advance(&whom, now);
    }

    fn agree(&mut self, iq: &Stanza) {
        let result = Element::new("iq")
            .attr("type", "result")
            .attr_opt("to", iq.from())
            .attr_opt("id", iq.id());
        let stanza = result.outgoing(Class::IqAnswer);
        self.actions.push_back(Action::Send { stanza, mine: None });
    }

    fn refuse(&mut self, iq: &Stanza, error: StanzaError) {
        if let Some(stanza) = error.answer(iq, None, iq.from()) {
            self.actions.push_back(Action::Send { stanza, mine: None });
        }
    }
}
