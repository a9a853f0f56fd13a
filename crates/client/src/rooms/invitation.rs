//! XEP-0045, 7.8, and XEP-0249: invitations, by a room or directly, and their decline.

use whoelse_xmpp::{BareJid, Jid, Kind, Stanza, ns};

use super::event::RoomEvent;
use super::user::reason;
use crate::nested;

/// Returns the room and what is said about it, if a message is an invitation or its decline.
pub(super) fn read(stanza: &Stanza) -> Option<(BareJid, RoomEvent)> {
    if stanza.kind() != Kind::Message {
        return None;
    }
    let from = Jid::parse(stanza.from()?).ok()?;
    by_room(stanza, &from).or_else(|| directly(stanza, from.to_bare()))
}

/// XEP-0045, 7.8.2: the room passes it on. It does so in its own name: what an occupant or anybody else
/// writes comes from a full address, and would name whom they like as the inviter.
fn by_room(stanza: &Stanza, from: &Jid) -> Option<(BareJid, RoomEvent)> {
    let room = from.to_bare();
    if from.resource().is_some() || room.local().is_none() {
        return None;
    }
    let x = nested::find(stanza, "x", ns::MUC_USER)?;
    let who = |it: &Stanza| Some(Jid::parse(&it.attr("from")?).ok()?.to_bare());
    if let Some(invite) = nested::find(&x, "invite", ns::MUC_USER) {
        let event = RoomEvent::Invited { by: who(&invite), reason: reason(&invite) };
        return Some((room, event));
    }
    let decline = nested::find(&x, "decline", ns::MUC_USER)?;
    Some((room, RoomEvent::Declined { by: who(&decline)?, reason: reason(&decline) }))
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
    fn nobody_but_the_room_invites_in_its_name() {
        let invite = "<x xmlns='http://jabber.org/protocol/muc#user'>\
            <invite from='bob@a.example'/></x>";
        let decline = "<x xmlns='http://jabber.org/protocol/muc#user'>\
            <decline from='bob@a.example'/></x>";
        for x in [invite, decline] {
            for from in ["lunch@rooms.a.example/eve", "eve@a.example/x", "rooms.a.example"] {
                assert_eq!(of(&format!("<message from='{from}'>{x}</message>")), None, "{from}");
            }
            assert_eq!(of(&format!("<presence from='lunch@rooms.a.example'>{x}</presence>")), None);
            assert!(of(&format!("<message from='lunch@rooms.a.example'>{x}</message>")).is_some());
        }
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
