//! RFC 6121, 4.6: presence that a session sends to somebody directly, and its end.
//!
//! The session remembers to whom, whoever that is and whether they are there or not, so that they
//! hear when it goes. That the recipient is subscribed as well does not matter here: who has heard
//! of the end by the broadcast does not hear it twice.

use whoelse_xmpp::{BareJid, Condition, Jid, Kind, Outgoing, Stanza, StanzaError};

use crate::account::Account;
use crate::audience;
use crate::node::Node;
use crate::rewriting;
use crate::session::Session;

/// A stanza is about to go to `to`, and nobody there has been asked yet: an available presence is
/// remembered, an unavailable one is the end of it. Refused when the session remembers as many as
/// it may, alike for every address.
pub(crate) fn note(
    node: &Node,
    session: &Session,
    stanza: &Stanza,
    to: &Jid,
) -> Result<(), StanzaError> {
    match (stanza.kind(), stanza.type_()) {
        (Kind::Presence, None) => {
            session.note_directed(to, node.settings().limits.directed_presences).map_err(|_| {
                StanzaError::new(Condition::ResourceConstraint)
                    .with_text("this session has sent its presence to too many already")
            })
        }
        (Kind::Presence, Some("unavailable")) => {
            session.forget_directed(to);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The session is gone, and says so to those to whom it has sent its presence.
pub(super) fn say_unavailable(
    node: &Node,
    account: &Account,
    was_available: bool,
    directed: &[Jid],
    presence: &Outgoing,
) {
    for to in directed {
        let bare = to.to_bare();
        if bare == *account.jid() || node.wiring.shows(account, &bare) {
            // Whoever is subscribed has heard it by the broadcast, on each available device.
            let told = was_available && audience::sees(node, account, &bare);
            hear(node, account.jid(), to, told, presence);
        }
    }
}

/// The recipient's half. `told`: the available devices have heard it already.
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
                device.push_addressed(presence, &address.into());
            }
        }
    }
}
