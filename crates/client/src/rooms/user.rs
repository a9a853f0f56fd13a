//! XEP-0045, 15.5 and 15.6: reads `<x/>` of `muc#user`: what a room says about an occupant, and the
//! status codes.

use whoelse_xmpp::{BareJid, Jid, Stanza, ns};

use super::occupant::{Affiliation, Role};
use crate::nested;

/// Status codes that are read.
const MAX_CODES: usize = 16;

/// What a room says beside a presence or a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub codes: Vec<u16>,
    pub item: Item,
    /// The room is no more.
    pub destroyed: Option<Destroyed>,
}

/// What it says about an occupant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub affiliation: Affiliation,
    pub role: Role,
    pub who: Option<BareJid>,
    /// The new nickname.
    pub nick: Option<String>,
    /// The nickname of who has done it.
    pub by: Option<String>,
    pub reason: Option<String>,
}

/// Where to go instead of a room that is no more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Destroyed {
    pub venue: Option<BareJid>,
    pub reason: Option<String>,
}

impl Said {
    /// Reads it; a stanza without it says nothing.
    pub fn read(stanza: &Stanza) -> Said {
        let Some(x) = nested::find(stanza, "x", ns::MUC_USER) else { return Said::default() };
        let code = |status: Stanza| status.attr("code")?.parse().ok();
        let codes = nested::each(&x, "status").filter_map(code).take(MAX_CODES).collect();
        let item = nested::find(&x, "item", ns::MUC_USER).map(|item| Item::read(&item));
        let destroyed = nested::find(&x, "destroy", ns::MUC_USER).map(|it| Destroyed {
            venue: it.attr("jid").and_then(|jid| BareJid::parse(&jid).ok()),
            reason: reason(&it),
        });
        Said { codes, item: item.unwrap_or_default(), destroyed }
    }

    /// Returns whether this status code is there.
    pub fn has(&self, code: u16) -> bool {
        self.codes.contains(&code)
    }
}

impl Item {
    pub fn read(item: &Stanza) -> Item {
        let word = |name| item.attr(name);
        let actor = nested::each(item, "actor").next();
        Item {
            affiliation: word("affiliation")
                .and_then(|it| Affiliation::of(&it))
                .unwrap_or_default(),
            role: word("role").and_then(|it| Role::of(&it)).unwrap_or_default(),
            who: word("jid").and_then(|jid| Some(Jid::parse(&jid).ok()?.to_bare())),
            nick: word("nick").map(String::from),
            by: actor.and_then(|actor| actor.attr("nick")).map(String::from),
            reason: reason(item),
        }
    }
}

/// Returns the reason in an element, if one is given.
pub(super) fn reason(element: &Stanza) -> Option<String> {
    let text = nested::each(element, "reason").next()?.text();
    (!text.trim().is_empty()).then(|| text.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(x: &str) -> Said {
        let xml = format!(
            "<presence from='r@x/n'><x xmlns='http://jabber.org/protocol/muc#user'>{x}</x></presence>"
        );
        Said::read(&Stanza::parse(xml.into_bytes()).unwrap())
    }

    // XEP-0045, example 104.
    #[test]
    fn a_ban_says_who_has_done_it_and_why() {
        let said = read(
            "<item affiliation='outcast' role='none' jid='earl@a.example/pda' nick='x'>\
             <actor nick='Kinghenry5'/><reason>Treason</reason></item><status code='301'/>",
        );

        assert!(said.has(301) && !said.has(110));
        assert_eq!(said.item.affiliation, Affiliation::Outcast);
        assert_eq!(said.item.role, Role::None);
        assert_eq!(said.item.who.unwrap().as_str(), "earl@a.example");
        assert_eq!(said.item.by.as_deref(), Some("Kinghenry5"));
        assert_eq!(said.item.reason.as_deref(), Some("Treason"));
    }

    #[test]
    fn a_room_that_is_destroyed_may_say_where_to_go() {
        let said = read(
            "<item affiliation='none' role='none'/>\
             <destroy jid='coven@rooms.a.example'><reason>Macbeth</reason></destroy>",
        );

        let destroyed = said.destroyed.unwrap();
        assert_eq!(destroyed.venue.unwrap().as_str(), "coven@rooms.a.example");
        assert_eq!(destroyed.reason.as_deref(), Some("Macbeth"));
        assert_eq!(read("<destroy/>").destroyed, Some(Destroyed::default()));
    }

    #[test]
    fn what_makes_no_sense_says_nothing() {
        let said =
            read("<item affiliation='king' role='fool' jid='@'/><status code='x'/><status/>");

        assert_eq!(said, Said::default());
        assert_eq!(Said::read(&Stanza::parse("<presence/>").unwrap()), Said::default());
    }
}
