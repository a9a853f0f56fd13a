//! What is said to a room and not in it: invitations (XEP-0045, 7.8.2), their decline, and requests for
//! a voice (7.13).

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::route::{Addressed, Origin, Routed};
use whoelse_core::session::Session;
use whoelse_xmpp::{Condition, StanzaError, ns};

use super::message::not_here;
use super::rooms::Live;
use super::{invitation, voice};

/// Takes a message to a room that is not for all who are in it.
pub(super) fn take(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    (session, here): (&Arc<Session>, Option<Arc<Live>>),
) -> Routed {
    let stanza = of.stanza();
    let inside = match stanza.child("x", ns::MUC_USER) {
        Some(x) => stanza.grandchildren(x),
        None => Vec::new(),
    };
    if inside.iter().any(invitation::is_decline) {
        return invitation::decline(node, origin, of, session.clone());
    }
    let Some(live) = here else {
        // Nobody is there, so its sender is not.
        return of.refuse(node, &origin, &not_here());
    };
    if inside.iter().any(|child| child.is("invite", ns::MUC_USER)) {
        return invitation::invite(node, origin, of, session.clone(), live);
    }
    match voice::take(node, &of, session, &live) {
        Some(Ok(())) => {
            origin.done();
            Routed::Done
        }
        Some(Err(error)) => of.refuse(node, &origin, &error),
        None => {
            let error = StanzaError::new(Condition::NotAcceptable)
                .with_text("messages to a room are of type groupchat");
            of.refuse(node, &origin, &error)
        }
    }
}
