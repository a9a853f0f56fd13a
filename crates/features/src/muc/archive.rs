//! XEP-0313, 6.1.2: who may read the archive of a room, and how it is shown to them.

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::kit::{Answer, Reply};
use whoelse_store::LoggedMessage;
use whoelse_xmpp::payload::xmpp_parsers::mam;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, FullJid, Jid, Outgoing, StanzaError, nickname, ns};

use super::asked::Asked;
use super::logged::{must_be_logged, shown};
use super::presence::user;
use super::room::Room;
use super::rooms::Live;
use crate::archive::{self, Reader, Shelf, With};

/// What a room that is archived announces of that.
pub(super) const FEATURES: [&str; 7] = [
    ns::MAM,
    ns::MAM_EXTENDED,
    ns::STANZA_ID,
    ns::MODERATE_OLD,
    ns::MODERATE,
    ns::RETRACT,
    ns::RETRACT_TOMBSTONE,
];

impl Room {
    /// 5.1.2: who could enter now may read what was said; where a password is asked for, who is in the
    /// room or belongs to it.
    fn may_read_archive(&self, who: &BareJid, device: &FullJid) -> Result<(), StanzaError> {
        if self.has(device) {
            return Ok(());
        }
        let affiliation = self.affiliation(who);
        let password = affiliation.belongs().then_some(self.config.password.as_str());
        self.may_enter(who, password).map(drop)
    }

    /// Whether somebody sees who is behind a nickname now.
    fn shows_addresses_to(&self, who: &BareJid, device: &FullJid) -> bool {
        let occupant = self.occupant(device);
        self.config.is_non_anonymous()
            || self.affiliation(who).governs()
            || occupant.is_some_and(|it| it.sees_addresses(&self.config))
    }
}

/// Answers whoever asks for the archive: by what it can be searched, where it begins and ends, or a
/// page of it.
pub(super) async fn answer(asked: Asked) -> Answer {
    let Asked { node, live, .. } = &asked;
    let sees = live.look(|room| {
        room.may_read_archive(&asked.who, &asked.from)?;
        must_be_logged(node, &room.config)?;
        Ok(room.shows_addresses_to(&asked.who, &asked.from))
    })?;
    if asked.stanza.type_() == Some("get") {
        if asked.payload.name() == "query" {
            return Ok(archive::queries());
        }
        live.has_said(node).await;
        let ends = archive::ends(node, live.archive, live.address()).await?;
        return Ok(Reply::encoded(archive::of_ends(node, live.archive, ends).finish()));
    }
    let request = asked.stanza.payload::<mam::Query>(&asked.payload)?;
    let shelf = RoomShelf {
        node: node.clone(),
        live: live.clone(),
        reader: (asked.who.clone(), asked.from.clone()),
        sees,
    };
    let reader = Reader::new(node.clone(), Arc::new(shelf), asked.from.clone().into());
    // Who has just said something finds it.
    live.has_said(node).await;
    let page = archive::page(reader, &asked.session, request).await;
    // They may have lost that right while they waited for their turn.
    live.look(|room| room.may_read_archive(&asked.who, &asked.from))?;
    page
}

/// The archive of a room, for somebody who may read it.
struct RoomShelf {
    node: Arc<Node>,
    live: Arc<Live>,
    /// Who reads it.
    reader: (BareJid, FullJid),
    /// Whether they see the addresses behind nicknames, as long as the room still shows them.
    sees: bool,
}

impl Shelf for RoomShelf {
    fn archive(&self) -> i64 {
        self.live.archive
    }

    fn address(&self) -> &BareJid {
        self.live.address()
    }

    /// 4.1.1: somebody is searched for by their address, by who may see that; by a nickname, by
    /// everybody.
    fn with(&self, address: &Jid) -> Option<With> {
        let bare = address.to_bare();
        if bare == *self.live.address() {
            return Some(With { peer: None, look: address.resource().is_some() });
        }
        let peer = self.node.key_of(bare.as_str());
        self.sees.then_some(With { peer: Some(peer), look: false })
    }

    fn is_with(&self, row: &LoggedMessage, address: &Jid) -> bool {
        match (row.resource.as_deref(), address.resource()) {
            (Some(by), Some(nick)) => {
                let is_alike = |by| nickname::comparable(nick) == Some(by);
                by == nick || nickname::comparable(by).is_some_and(is_alike)
            }
            (by, nick) => by == nick,
        }
    }

    fn message(&self, row: &LoggedMessage) -> Outgoing {
        let (who, from) = &self.reader;
        let sees = self.sees && self.live.look(|room| room.shows_addresses_to(who, from));
        let x = (sees && row.resource.is_some()).then(|| {
            let jid = self.node.address_of(&row.peer, "");
            user(Some(Element::new("item").attr("jid", &jid)), &[]).finish()
        });
        shown(self.live.address(), row, x.as_deref().unwrap_or_default())
    }
}
