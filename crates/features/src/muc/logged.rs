//! What of a room is kept in its archive, and how a row of that is shown.
//!
//! A row is the message as all were told it, without addresses. Its peer is who said it, by the key of
//! their address; its resource is the nickname.

use whoelse_core::{Node, Time, delivery};
use whoelse_store::{LoggedMessage, Query};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, Condition, Kind, Outgoing, Stanza, StanzaError, ns};

use super::config::{Config, MOST_HISTORY};
use super::history::History;
use super::readable;
use super::subject::Subject;

/// Whether what is said in a room that is configured so is kept in its archive.
pub(super) fn is_logged(node: &Node, config: &Config) -> bool {
    config.logging && node.settings().history.is_some()
}

/// Refuses what is asked of an archive that such a room does not have.
pub(super) fn must_be_logged(node: &Node, config: &Config) -> Result<(), StanzaError> {
    match is_logged(node, config) {
        true => Ok(()),
        false => Err(StanzaError::new(Condition::ServiceUnavailable)
            .with_text("what is said in this room is not kept")),
    }
}

/// XEP-0359: the id of a message in a room's archive.
pub(super) fn stanza_id(room: &BareJid, id: &str) -> Vec<u8> {
    let element = Element::new("stanza-id").xmlns(ns::STANZA_ID);
    element.attr("id", id).attr("by", room.as_str()).finish().to_vec()
}

/// Reads what was said lately, for who enters a room that was not in memory.
pub(super) async fn lately(
    node: &Node,
    address: &BareJid,
    archive: i64,
) -> Result<History, StanzaError> {
    node.store.settle(archive).await;
    let newest = Query { limit: i64::from(MOST_HISTORY), backwards: true, ..Query::default() };
    let page = readable(node, address, node.store.query(archive, &newest).await)?;
    let mut history = History::default();
    for row in page.rows {
        let stanza = Stanza::parse(row.stanza.clone());
        let is_sent =
            |stanza: &Stanza| !Subject::is_set_by(stanza) && !stanza.has("retracted", ns::RETRACT);
        // What the room itself has said was for who was there.
        if row.resource.is_some() && stanza.as_ref().is_ok_and(is_sent) {
            let id = node.archive_id(archive, row.seq);
            let message = shown(address, &row, &stanza_id(address, &id));
            history.note(Time(row.at), message, Some(id));
        }
    }
    Ok(history)
}

/// A message of the archive, as all were told it.
pub(super) fn shown(room: &BareJid, row: &LoggedMessage, more: &[u8]) -> Outgoing {
    let kept = Outgoing::from_encoded(Kind::Message, row.stanza.clone(), Class::Groupchat);
    let nick = row.resource.as_deref().unwrap_or_default();
    delivery::addressed(&kept, &delivery::full(room.as_str(), nick), more)
}
