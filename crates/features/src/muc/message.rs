//! XEP-0045, 7.4 and 8.1: what an occupant says to all, and what it is about.

use whoelse_core::{Time, delivery};
use whoelse_xmpp::{Child, Class, Condition, FullJid, Jid, Outgoing, Stanza, StanzaError, ns};

use super::affiliation::Role;
use super::limits::LONGEST_SUBJECT;
use super::logged::stanza_id;
use super::occupant_id;
use super::presence::Said;
use super::room::{Occupant, Room, Told};
use super::subject::Subject;

/// Something that is said to all.
#[derive(Debug)]
pub(super) struct Speech {
    /// What is said, with the id of who says it and without addresses.
    pub content: Outgoing,
    /// The address of who says it.
    from: String,
    /// The nickname of who says it, and the device.
    pub by: String,
    pub device: FullJid,
    /// Whether it sets the subject.
    pub sets_subject: bool,
    /// XEP-0424: what it takes back.
    pub retraction: Option<Retraction>,
}

/// The retraction of a message by who said it.
#[derive(Debug, Clone)]
pub(super) struct Retraction {
    /// The id of the message in the room's archive.
    pub of: String,
    /// The id of the retraction itself, as its sender has named it.
    pub id: Option<String>,
    /// The occupant id of who retracts.
    pub by: String,
}

impl Room {
    /// Judges a message to all, and returns how it is told.
    pub(super) fn speak(&self, jid: &FullJid, said: Said<'_>) -> Result<Speech, StanzaError> {
        let sets_subject = Subject::is_set_by(said.stanza);
        let occupant = self.may_speak(jid, sets_subject)?;
        if sets_subject && said.stanza.bytes().len() > LONGEST_SUBJECT {
            // `not-acceptable` says that one is not here (7.4), and clients enter again.
            return Err(StanzaError::new(Condition::PolicyViolation)
                .with_text(format!("a subject has {LONGEST_SUBJECT} bytes at most")));
        }
        let content = said.content(Class::Groupchat, |child| self.is_ours(said.stanza, child));
        Ok(Speech {
            content: content.with_children(&occupant_id::element(&occupant.id).finish()),
            from: self.address_of(&occupant.nick),
            by: occupant.nick.clone(),
            device: jid.clone(),
            sets_subject,
            retraction: said.stanza.child("retract", ns::RETRACT).and_then(|retract| {
                Some(Retraction {
                    of: said.stanza.child_attr(retract, "id")?.to_string(),
                    id: said.stanza.id().map(str::to_owned),
                    by: occupant.id.clone(),
                })
            }),
        })
    }

    /// Whether somebody may say something to all, or set the subject.
    pub(super) fn may_speak(
        &self,
        jid: &FullJid,
        sets_subject: bool,
    ) -> Result<&Occupant, StanzaError> {
        let occupant = self.speaker(jid)?;
        let role = occupant.standing.role;
        let may = match sets_subject && !self.config.change_subject {
            true => role >= Role::Moderator,
            false => role >= Role::Participant,
        };
        match may {
            true => Ok(occupant),
            false => Err(StanzaError::new(Condition::Forbidden).with_text(match sets_subject {
                true => "you may not change the subject of this room",
                false => "you have no voice in this room",
            })),
        }
    }

    /// Whoever has this seat, or what one hears who is not here.
    pub(super) fn speaker(&self, jid: &FullJid) -> Result<&Occupant, StanzaError> {
        self.occupant(jid).ok_or_else(not_here)
    }

    /// Whether only the room may say this in a message: who an occupant is, when something was said, and
    /// under which number it is kept.
    pub(super) fn is_ours(&self, stanza: &Stanza, child: &Child) -> bool {
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

    /// Tells everybody what was said. `number`: the id under which the room's archive has it.
    /// `is_kept`: whoever comes later hears it too.
    pub(super) fn tell_speech(
        &mut self,
        speech: Speech,
        at: Time,
        number: Option<&str>,
        is_kept: bool,
    ) -> Told {
        let id = number.map_or_else(Vec::new, |number| stanza_id(&self.address, number));
        let message = delivery::addressed(&speech.content, &speech.from, &id);
        if speech.sets_subject {
            self.subject = Some(Subject { message: speech.content, by: speech.by, at });
        } else if is_kept {
            self.history.note(at, message.clone(), number.map(str::to_owned));
        }
        Told::All(message)
    }
}

/// 7.4: what somebody hears who speaks in a room in which they are not.
pub(super) fn not_here() -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text("you are not in this room")
}
