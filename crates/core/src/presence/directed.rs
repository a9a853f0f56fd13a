//! RFC 6121, 4.6: directed presence, which a session sends to one address, and its end.
//!
//! The session remembers the addresses, whether or not they exist, so that they are told when it
//! goes. Whether the recipient is subscribed as well does not matter here: a recipient that was
//! told by the broadcast is not told twice.

use std::sync::Arc;

use whoelse_xmpp::{BareJid, Condition, Jid, Kind, Outgoing, Stanza, StanzaError};

use crate::audience;
use crate::hosts::Host;
use crate::node::Node;
use crate::rewriting;
use crate::route::{Origin, to_service};
use crate::session::Session;

/// Remembers an available presence to `to`, or forgets it after an unavailable one, before the
/// recipient's account is asked. Refuses when the session remembers as many addresses as it may,
/// alike for every address.
pub(crate) fn note(
    node: &Node,
    session: &Session,
    stanza: &Stanza,
    to: &Jid,
) -> Result<(), StanzaError> {
    if stanza.kind() != Kind::Presence {
        return Ok(());
    }
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
        _ => Ok(()),
    }
}

/// Tells those to whom the session had sent directed presence that it is gone.
pub(super) fn say_unavailable(
    node: &Arc<Node>,
    origin: &Origin,
    was_available: bool,
    directed: &[Jid],
    presence: &Outgoing,
) {
    let (own, from) = (origin.account(), origin.address().to_bare());
    let session = match origin {
        Origin::Session { session, .. } | Origin::Ended(session) => Some(session),
        Origin::Account(_) | Origin::Server(_) | Origin::Entity(_) => None,
    };
    let shows =
        |bare: &BareJid| own.is_none_or(|own| bare == own.jid() || node.wiring.shows(own, bare));
    for to in directed {
        if let (Host::Service(key), Some(session)) = (node.host_of(to), session) {
            // Also one that is blocked: it would count the session among those that are there.
            to_service::tell_gone(node, key, session, (to, presence));
            continue;
        }
        let bare = to.to_bare();
        if shows(&bare) {
            // A subscriber has got it by the broadcast, on each available device.
            let sees = own.is_some_and(|own| audience::sees(node, own, &bare));
            hear(node, &from, to, was_available && sees, presence);
        }
    }
}

/// Handles the recipient's half. `told`: the available devices have been told already.
fn hear(node: &Node, from: &BareJid, to: &Jid, told: bool, presence: &Outgoing) {
    let Some(listener) = node.here(&to.to_bare()) else { return };
    if !audience::hears(node, &listener, from) {
        return;
    }
    match to.resource() {
        None if told => {}
        None => {
            listener.push_to_available(presence);
        }
        Some(resource) => {
            if let Some(device) = listener.session(resource)
                && !(told && device.is_available())
            {
                let address = rewriting::attribute("to", to.as_str());
                device.push_presence(presence, &address.into());
            }
        }
    }
}
