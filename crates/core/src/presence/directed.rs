//! RFC 6121, 4.6: presence that a session sends to somebody directly, and its end.
//!
//! The session remembers to whom, so that they hear when it goes. That the recipient is subscribed
//! as well does not matter here: who has heard of the end by the broadcast does not hear it twice.

use std::sync::Arc;

use whoelse_xmpp::{Condition, Jid, Outgoing, Stanza, StanzaError};

use super::passes;
use crate::account::Account;
use crate::node::Node;
use crate::session::Session;

/// A presence is about to be delivered to `to`: remembered if it is available, forgotten if it is
/// not. Refused when the session remembers as many as it may.
pub(crate) fn note(
    node: &Node,
    session: &Session,
    stanza: &Stanza,
    to: &Jid,
) -> Result<(), StanzaError> {
    match stanza.type_() {
        None => {
            session.note_directed(to, node.settings().limits.directed_presences).map_err(|_| {
                StanzaError::new(Condition::ResourceConstraint)
                    .with_text("this session has sent its presence to too many already")
            })
        }
        Some("unavailable") => {
            session.forget_directed(to);
            Ok(())
        }
        Some(_) => Ok(()),
    }
}

/// The session is gone, and says so to those to whom it has sent its presence.
pub(super) fn say_unavailable(
    node: &Arc<Node>,
    account: &Account,
    was_available: bool,
    directed: &[Jid],
    presence: &Outgoing,
) {
    for to in directed {
        let Some(viewer) = node.here(&to.to_bare()) else { continue };
        if viewer.id != account.id && !node.is_open_between(account, &viewer) {
            continue;
        }
        let told = was_available && passes(node, account, &viewer);
        match to.resource() {
            None if !told => viewer.push_to_available(presence),
            None => {}
            Some(resource) => {
                if let Some(session) = viewer.session(resource)
                    && !(told && session.is_available())
                {
                    let mut address = b" to='".to_vec();
                    whoelse_xmpp::write::escape(&mut address, to.as_str());
                    address.push(b'\'');
                    session.push_addressed(presence, &address.into());
                }
            }
        }
    }
}
