//! XEP-0045, 7.8, and XEP-0249: invitations, by a room or directly, and their decline.

use whoelse_xmpp::{BareJid, Jid, Stanza, ns};

use super::event::RoomEvent;
use super::user::reason;
use crate::nested;

/// Returns the room and what is said about it, if a message is an invitation or its decline.
pub(super) fn read(stanza: &Stanza) -> Option<(BareJid, RoomEvent)> {
    let from = Jid::parse(stanza.from()?).ok()?.to_bare();
    by_room(stanza, &from).or_else(|| directly(stanza, from))
}

/// XEP-0045, 7.8.2: the room passes it on.
fn by_room(stanza: &Stanza, room: &BareJid) -> Option<(BareJid, RoomEvent)> {
    let x = nested::find(stanza, "x", ns::MUC_USER)?;
    let who = |it: &Stanza| Some(Jid::parse(&it.attr("from")?).ok()?.to_bare());
    if let Some(invite) = nested::find(&x, "invite", ns::MUC_USER) {
        let event = RoomEvent::Invited { by: who(&invite), reason: reason(&invite) };
        return Some((room.clone(), event));
    }
    let decline = nested::find(&x, "decline", ns::MUC_USER)?;
    Some((room.clone(), RoomEvent::Declined { by: who(&decline)?, reason: reason(&decline) }))
}

/// XEP-0249: the inviter writes by themselves.
fn directly(stanza: &Stanza, by: BareJid) -> Option<(BareJid, RoomEvent)> {
    let x = nested::find(stanza, "x", ns::CONFERENCE)?;
    let room = BareJid::parse(&x.attr("jid")?).ok().filter(|room| room.local().is_some())?;
    let reason = x.attr("reason").filter(|it| !it.trim().is_empty()).map(String::from);
    Some((room, RoomEvent::Invited { by: Some(by), reason }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(xml: &str) -> Option<(String, RoomEvent)> {
        let read = read(&Stanza::parse(xml.as_bytes().to_vec()).unwrap());
        read.map(|(room, event)| (room.to_string(), event))
    }

    fn bob() -> BareJid {
        BareJid::parse("bob@a.example").unwrap()
    }

    #[test]
    fn an_invitation_is_read_however_it_comes() {
        let room = "lunch@rooms.a.example".to_owned();
        let invited = RoomEvent::Invited { by: Some(bob()), reason: Some("food".to_owned()) };

        assert_eq!(
            of(
                "<message from='lunch@rooms.a.example'><x xmlns='http://jabber.org/protocol/muc#user'>\
                <invite from='bob@a.example/x'><reason>food</reason></invite></x></message>"
            ),
            Some((room.clone(), invited.clone()))
        );
        assert_eq!(
            of("<message from='bob@a.example/x'><x xmlns='jabber:x:conference' \
                jid='lunch@rooms.a.example' reason='food'/></message>"),
            Some((room.clone(), invited))
        );
        assert_eq!(
            of(
                "<message from='lunch@rooms.a.example'><x xmlns='http://jabber.org/protocol/muc#user'>\
                <decline from='bob@a.example'/></x></message>"
            ),
            Some((room, RoomEvent::Declined { by: bob(), reason: None }))
        );
    }

    #[test]
    fn what_names_no_room_invites_nobody() {
        for xml in [
            "<message from='bob@a.example/x'><x xmlns='jabber:x:conference'/></message>",
            "<message from='bob@a.example/x'><x xmlns='jabber:x:conference' jid='a.example'/></message>",
            "<message from='bob@a.example/x'><x xmlns='jabber:x:conference' jid='r@x/y'/></message>",
            "<message from='r@x/bob'><x xmlns='http://jabber.org/protocol/muc#user'/></message>",
            "<message><x xmlns='jabber:x:conference' jid='r@x'/></message>",
        ] {
            assert_eq!(of(xml), None, "{xml}");
        }
    }
}
