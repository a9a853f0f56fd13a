//! XEP-0045, 7.4 and 7.5, 8.1: what an occupant says to all, what it is about, and what one occupant
//! says to another.

use std::sync::Arc;

use whoelse_core::Time;
use whoelse_xmpp::{Child, Class, Condition, FullJid, Jid, Outgoing, Stanza, StanzaError, ns};

use super::affiliation::Role;
use super::config::PrivateMessages;
use super::presence::{self, Said};
use super::room::{Occupant, Room, Told};
use super::seat::Seat;
use super::subject::Subject;

/// Something that is said to all.
pub(super) struct Speech {
    /// As everybody is told it, but for their addresses.
    pub message: Outgoing,
    /// The subject that it sets.
    pub subject: Option<Subject>,
}

/// Something that is said to one occupant.
pub(super) struct Whisper {
    /// As each seat is told it, but for their addresses.
    pub message: Outgoing,
    /// The seats.
    pub seats: Vec<Arc<Seat>>,
}

impl Room {
    /// Judges a message to all, and returns how it is told.
    pub(super) fn speak(
        &self,
        jid: &FullJid,
        said: Said<'_>,
        now: Time,
    ) -> Result<Speech, StanzaError> {
        let occupant = self.speaker(jid)?;
        let sets_subject = Subject::is_set_by(said.stanza);
        let role = occupant.standing.role;
        let may = match sets_subject && !self.config.change_subject {
            true => role >= Role::Moderator,
            false => role >= Role::Participant,
        };
        if !may {
            return Err(StanzaError::new(Condition::Forbidden).with_text(match sets_subject {
                true => "you may not change the subject of this room",
                false => "you have no voice in this room",
            }));
        }
        let content = said.content(Class::Groupchat, |child| self.is_ours(said.stanza, child));
        let from = self.address_of(&occupant.nick);
        let message = presence::from(&content, &from, &occupant.id, None);
        let by = occupant.nick.clone();
        let subject = sets_subject.then(|| Subject { message: content, by, at: now });
        Ok(Speech { message, subject })
    }

    /// Whoever has this seat, or what one hears who is not here.
    fn speaker(&self, jid: &FullJid) -> Result<&Occupant, StanzaError> {
        self.occupant(jid).ok_or_else(not_here)
    }

    /// Whether only the room may say this in a message: who an occupant is, when something was said, and
    /// under which number it is kept.
    fn is_ours(&self, stanza: &Stanza, child: &Child) -> bool {
        let is_ours = |attribute: &str| {
            let by = stanza.child_attr(child, attribute).unwrap_or_default();
            Jid::parse(&by).is_ok_and(|by| {
                by.bare() == self.address.as_str() || by.bare() == self.address.domain()
            })
        };
        match (child.name(), child.ns()) {
            ("occupant-id", ns::OCCUPANT_ID) | ("x", ns::MUC_USER | ns::MUC) => true,
            ("stanza-id", ns::STANZA_ID) => is_ours("by"),
            ("delay", ns::DELAY) => is_ours("from"),
            _ => false,
        }
    }

    /// Tells everybody what was said, and keeps it for who comes later.
    pub(super) fn tell_speech(&mut self, speech: Speech, now: Time) -> Told {
        match speech.subject {
            Some(subject) => self.subject = Some(subject),
            None => self.history.note(now, speech.message.clone()),
        }
        Told::All(speech.message)
    }

    /// Judges a message to one occupant, and returns how it is told.
    pub(super) fn whisper(
        &self,
        jid: &FullJid,
        nick: &str,
        said: Said<'_>,
    ) -> Result<Whisper, StanzaError> {
        let occupant = self.speaker(jid)?;
        let role = occupant.standing.role;
        let may = match self.config.private_messages {
            PrivateMessages::Anyone => true,
            PrivateMessages::Participants => role >= Role::Participant,
            PrivateMessages::Moderators => role >= Role::Moderator,
            PrivateMessages::Nobody => false,
        };
        if !may {
            return Err(StanzaError::new(Condition::Forbidden)
                .with_text("you may not write to one alone in this room"));
        }
        let (_, other) = self.named(nick).ok_or_else(|| {
            StanzaError::new(Condition::ItemNotFound).with_text("nobody is called this here")
        })?;
        let class = Class::Message;
        let content = said.content(class, |child| self.is_ours(said.stanza, child));
        let from = self.address_of(&occupant.nick);
        // 7.5: by this it is known as what one occupant says to another.
        let x = presence::user(None, &[]);
        let message = presence::from(&content, &from, &occupant.id, Some(x));
        let seats = other.seats.iter().map(|sitting| sitting.seat.clone()).collect();
        Ok(Whisper { message, seats })
    }
}

/// 7.4: what somebody hears who speaks in a room in which they are not.
pub(super) fn not_here() -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text("you are not in this room")
}
