//! XEP-0424, 4, and XEP-0425, 4: what is left in the archive of a message that was retracted: that there
//! was one, and that it was retracted.

use std::sync::Arc;

use whoelse_core::keeper::{After, Touches};
use whoelse_core::{Node, Time};
use whoelse_store::LoggedMessage;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Stanza, ns};

use super::message::Retraction;
use super::occupant_id;
use super::rooms::Live;
use crate::retraction::retracted;

/// What takes the place of a message in the archive. `None`: what is there cannot be read.
pub(super) fn of(row: &LoggedMessage, retracted: Element) -> Option<Vec<u8>> {
    let stanza = Stanza::parse(row.stanza.clone()).ok()?;
    let message = Element::new("message").attr("type", "groupchat").attr_opt("id", stanza.id());
    let author = author(&stanza);
    let message = author.iter().fold(message, |it, author| it.child(occupant_id::element(author)));
    Some(message.child(retracted).outgoing(Class::Groupchat).bytes.to_vec())
}

/// Whether it is a tombstone already.
fn is_one(stanza: &Stanza) -> bool {
    stanza.has("retracted", ns::RETRACT)
}

/// The occupant id of who said a message. What users wrote of that was taken out.
fn author(stanza: &Stanza) -> Option<String> {
    let child = stanza.child("occupant-id", ns::OCCUPANT_ID)?;
    Some(stanza.child_attr(child, "id")?.to_string())
}

/// XEP-0424, 5: leaves a tombstone of what its author takes back. Nobody else's is touched: a retraction
/// of it is archived as the message that it is.
pub(super) fn retract(node: &Arc<Node>, live: Arc<Live>, retraction: Retraction, at: Time) {
    let Some(seq) = node.archive_seq(live.archive, &retraction.of) else { return };
    node.keeper.submit(Touches::AtMost(2), move |tx| {
        Box::pin(async move {
            let nothing = Ok(((), After::new()));
            let Some(row) = tx.archived(live.archive, seq).await? else { return nothing };
            let Ok(there) = Stanza::parse(row.stanza.clone()) else { return nothing };
            let is_own = author(&there).as_deref() == Some(retraction.by.as_str());
            if row.resource.is_none() || !is_own || is_one(&there) {
                return nothing;
            }
            let left = of(&row, retracted(at, retraction.id.as_deref()));
            let Some(left) = left else { return nothing };
            tx.replace_archived(live.archive, seq, &left).await?;
            let then: After = vec![Box::new(move |node| {
                let _ = live.act(node, |room| {
                    room.history.forget(&retraction.of);
                    ((), Vec::new())
                });
            })];
            Ok(((), then))
        })
    });
}
