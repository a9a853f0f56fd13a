//! XEP-0045: the stanzas of somebody who is in a room, or wants to be.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, FullJid, Outgoing, ns};

/// What is wanted by a presence. Of two that wait, leaving comes before entering again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    Leave,
    Enter,
    Rename,
}

/// Presence to an address in a room.
#[derive(Debug, Clone)]
pub(super) struct Presence {
    pub wish: Wish,
    pub place: FullJid,
    pub stanza: Outgoing,
}

impl Presence {
    fn new(wish: Wish, place: &FullJid, more: impl FnOnce(Element) -> Element) -> Presence {
        let stanza = more(Element::new("presence").attr("to", place.as_str()));
        Presence { wish, place: place.clone(), stanza: stanza.outgoing(Class::Presence) }
    }
}

/// 7.2.2: enters a room, by this address in it.
pub(super) fn enter(place: &FullJid, password: Option<&str>) -> Presence {
    let mut x = Element::new("x").xmlns(ns::MUC);
    if let Some(password) = password {
        x = x.text_child("password", password);
    }
    Presence::new(Wish::Enter, place, |presence| presence.child(x))
}

/// 7.6: takes another nickname.
pub(super) fn rename(place: &FullJid) -> Presence {
    Presence::new(Wish::Rename, place, |presence| presence)
}

/// 7.14: leaves a room.
pub(super) fn leave(place: &FullJid) -> Presence {
    Presence::new(Wish::Leave, place, |presence| presence.attr("type", "unavailable"))
}

/// 7.4: says something to all.
pub(super) fn say(room: &BareJid, id: &str, text: &str) -> Outgoing {
    message(room, "groupchat", id)
        .child(Element::new("body").text(text))
        .child(Element::new("origin-id").xmlns(ns::STANZA_ID).attr("id", id))
        .outgoing(Class::Message)
}

/// 8.1: says what the room is about.
pub(super) fn topic(room: &BareJid, id: &str, text: &str) -> Outgoing {
    message(room, "groupchat", id)
        .child(Element::new("subject").text(text))
        .outgoing(Class::Message)
}

/// 7.8.2: asks the room to invite somebody.
pub(super) fn invite(room: &BareJid, id: &str, whom: &BareJid) -> Outgoing {
    let invite = Element::new("invite").attr("to", whom.as_str());
    message(room, "normal", id)
        .child(Element::new("x").xmlns(ns::MUC_USER).child(invite))
        .outgoing(Class::Message)
}

fn message(room: &BareJid, type_: &str, id: &str) -> Element {
    Element::new("message").attr("to", room.as_str()).attr("type", type_).attr("id", id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn text(out: Outgoing) -> String {
        String::from_utf8(out.bytes.to_vec()).unwrap()
    }

    #[test]
    fn a_room_is_entered_with_its_password_and_left() {
        let place = FullJid::parse("lunch@rooms.a.example/al'ice").unwrap();

        assert_eq!(
            text(enter(&place, Some("a<b")).stanza),
            "<presence to='lunch@rooms.a.example/al&apos;ice'>\
             <x xmlns='http://jabber.org/protocol/muc'><password>a&lt;b</password></x></presence>"
        );
        assert!(text(enter(&place, None).stanza).contains("muc'/>"));
        assert!(text(leave(&place).stanza).contains(" type='unavailable'"));
    }

    #[test]
    fn what_is_said_carries_its_id_twice_and_a_topic_has_no_body() {
        let room = BareJid::parse("lunch@rooms.a.example").unwrap();

        let said = text(say(&room, "m1", "a & b"));
        assert!(
            said.contains("type='groupchat' id='m1'") && said.contains("<body>a &amp; b</body>")
        );
        assert!(said.contains("<origin-id xmlns='urn:xmpp:sid:0' id='m1'/>"));
        assert!(!text(topic(&room, "t1", "pizza")).contains("<body"));
    }
}
