//! XEP-0045, 7 to 10: what presence in a room looks like: what its occupant has said, and what the room
//! says about them.

use whoelse_core::delivery;
use whoelse_core::route::Addressed;
use whoelse_xmpp::write::{Element, Rewrite, rewrite};
use whoelse_xmpp::{BareJid, Child, Class, Outgoing, Stanza, ns};

use super::affiliation::Standing;
use super::occupant_id;

/// The longest presence that is told as it is, in bytes. Everybody who enters is told of everybody, and has
/// to have room for that.
const LONGEST: usize = 2048;
/// What `<show/>` may say (RFC 6121, 4.7.2.1).
const SHOWS: [&str; 4] = ["away", "chat", "dnd", "xa"];

/// What somebody sends to a room.
#[derive(Clone, Copy)]
pub(super) struct Said<'a> {
    /// The stanza as it arrived.
    pub stanza: &'a Stanza,
    /// The children that are left out whatever the room says, by index.
    pub strip: &'a [usize],
    /// The language of the stream, if the stanza has none.
    pub lang: Option<&'a str>,
}

impl<'a> Said<'a> {
    /// What was sent to a room, or an address in it.
    pub fn of(of: &'a Addressed) -> Said<'a> {
        Said { stanza: of.stanza(), strip: of.strip(), lang: of.lang() }
    }

    /// Returns what others get of it, without addresses: without what only the room says.
    pub fn content(&self, class: Class, is_rooms: impl Fn(&Child) -> bool) -> Outgoing {
        let children = self.stanza.children().iter().enumerate();
        let rooms = children.filter(|(_, child)| is_rooms(child));
        let drop: Vec<usize> =
            rooms.map(|(place, _)| place).chain(self.strip.iter().copied()).collect();
        let how = Rewrite { lang: self.lang, drop: &drop, drop_to: true, ..Rewrite::default() };
        rewrite(self.stanza, &how, class)
    }

    /// Returns what others get of a presence: all but what is between its sender and the room, and what
    /// only the room says. Of one that is too long, only whether its sender is there, and how.
    pub fn presence(&self) -> Outgoing {
        let whole = self.content(Class::Presence, |child| {
            child.is("x", ns::MUC)
                || child.is("x", ns::MUC_USER)
                || child.is("occupant-id", ns::OCCUPANT_ID)
        });
        if whole.bytes.len() <= LONGEST {
            return whole;
        }
        let type_ = self.stanza.type_().filter(|it| *it == "unavailable");
        let show = self.stanza.child_text("show", ns::CLIENT).filter(|it| SHOWS.contains(&&**it));
        let presence = Element::new("presence").attr_opt("type", type_);
        let presence = show.iter().fold(presence, |it, show| it.text_child("show", show));
        presence.outgoing(Class::Presence)
    }
}

/// What the room says about an occupant.
#[derive(Clone, Copy, Default)]
pub(super) struct About<'a> {
    /// The real address, for those who may see it.
    pub jid: Option<&'a str>,
    /// The new nickname.
    pub nick: Option<&'a str>,
    /// The nickname of who has done it.
    pub actor: Option<&'a str>,
    /// Why.
    pub reason: Option<&'a str>,
}

/// Writes `<item/>`.
pub(super) fn item(standing: Standing, about: About<'_>) -> Element {
    let item = Element::new("item")
        .attr("affiliation", standing.affiliation.word())
        .attr_opt("jid", about.jid)
        .attr_opt("nick", about.nick)
        .attr("role", standing.role.word());
    let item = match about.actor {
        Some(actor) => item.child(Element::new("actor").attr("nick", actor)),
        None => item,
    };
    match about.reason {
        Some(reason) => item.text_child("reason", reason),
        None => item,
    }
}

/// Writes `<x/>`, with these status codes (15.6).
pub(super) fn user(content: Option<Element>, codes: &[u16]) -> Element {
    let x = Element::new("x").xmlns(ns::MUC_USER);
    let x = content.into_iter().fold(x, Element::child);
    codes.iter().fold(x, |x, code| x.child(Element::new("status").attr("code", &code.to_string())))
}

/// What all are told when something of the room itself is different (10.2.1).
pub(super) fn configured(room: &BareJid, codes: &[u16]) -> Outgoing {
    Element::new("message")
        .attr("from", room.as_str())
        .attr("type", "groupchat")
        .child(user(None, codes))
        .outgoing(Class::Groupchat)
}

/// Addresses content that has no address, and adds the occupant's id and the room's words.
pub(super) fn from(content: &Outgoing, from: &str, occupant: &str, x: Option<Element>) -> Outgoing {
    let mut words = occupant_id::element(occupant).finish().to_vec();
    if let Some(x) = x {
        words.extend_from_slice(&x.finish());
    }
    delivery::addressed(content, from, &words)
}

/// What is said for somebody who has not said it: that they are gone.
pub(super) fn unavailable() -> Outgoing {
    Element::new("presence").attr("type", "unavailable").outgoing(Class::Presence)
}
