//! XEP-0486: by which photos a room is recognised.
//!
//! Their hashes are in what the room says of itself, and, for clients that look there, in a presence of
//! the room itself, which XEP-0486 does not ask for and much of the field reads. It is told to who
//! enters and to all when it changes; of a room that has never had a photo, never.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, Outgoing, ns};

/// The hashes of the photos that a room shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Photos(pub Vec<String>);

impl Photos {
    /// Reads what [`Photos::stored`] has written.
    pub fn of(stored: Option<&str>) -> Photos {
        let hashes = stored.unwrap_or_default().split(' ').filter(|hash| !hash.is_empty());
        Photos(hashes.map(str::to_owned).collect())
    }

    /// As they are kept.
    pub fn stored(&self) -> String {
        self.0.join(" ")
    }

    /// XEP-0153: the room itself says which photo it shows: the first one, or that there is none.
    pub fn presence(&self, room: &BareJid) -> Outgoing {
        let photo = Element::new("photo").text(self.0.first().map_or("", String::as_str));
        Element::new("presence")
            .attr("from", room.as_str())
            .child(Element::new("x").xmlns(ns::VCARD_UPDATE).child(photo))
            .outgoing(Class::Presence)
    }

    /// What somebody is told who enters.
    pub fn to_tell(&self, room: &BareJid) -> Option<Outgoing> {
        (!self.0.is_empty()).then(|| self.presence(room))
    }
}
