//! XEP-0045, 7.2.15 and 8.1: the subject of a room: which message sets it, and how it is told.

use whoelse_core::{Time, delivery};
use whoelse_store::RoomSubject;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, Kind, Outgoing, Stanza, ns};

use super::history::delay;

/// The subject of a room.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    /// The message that set it, with the id of who did and without addresses.
    pub message: Outgoing,
    /// The nickname of who did.
    pub by: String,
    /// When.
    pub at: Time,
}

impl Subject {
    /// Whether a message sets the subject: it has one, and says nothing else to people.
    pub fn is_set_by(stanza: &Stanza) -> bool {
        stanza.has("subject", ns::CLIENT)
            && !stanza.has("body", ns::CLIENT)
            && !stanza.has("thread", ns::CLIENT)
    }

    /// Reads what the store has.
    pub fn of(stored: RoomSubject) -> Subject {
        let RoomSubject { stanza, by, at } = stored;
        let message = Outgoing::from_encoded(Kind::Message, stanza.into(), Class::Groupchat);
        Subject { message, by, at: Time(at) }
    }

    /// The subject, in words; nothing if it was taken back.
    pub fn text(&self) -> Option<String> {
        let stanza = Stanza::parse(self.message.bytes.clone()).ok()?;
        let text = stanza.child_text("subject", ns::CLIENT)?;
        (!text.is_empty()).then(|| text.to_string())
    }

    /// What whoever enters is told: that there is none, too.
    pub fn to_tell(subject: Option<&Subject>, room: &BareJid) -> Outgoing {
        match subject {
            Some(subject) => {
                let from = format!("{room}/{}", subject.by);
                delivery::addressed(&subject.message, &from, &delay(room, subject.at))
            }
            None => Element::new("message")
                .attr("from", room.as_str())
                .attr("type", "groupchat")
                .child(Element::new("subject"))
                .outgoing(Class::Groupchat),
        }
    }
}
