//! The recipient's half where the server itself is meant, by its address with a resource: one of
//! the sessions in which an administrator acts as it. It has no mailbox and takes no request from
//! those from whom it is hidden who exists.

use std::sync::Arc;

use whoelse_xmpp::{Condition, Kind, StanzaError};

use super::in_flight::{Answer, InFlight, Taken};
use super::{Origin, Routed, answered};
use crate::kit::Target;
use crate::node::Node;
use crate::rewriting;
use crate::session::{Due, Queued, Sender};
use crate::storage_policy;

/// Hands a stanza to the session that its address names.
pub(super) fn to_server(node: &Arc<Node>, flight: InFlight, origin: Origin) -> Routed {
    let answer = if flight.is_request() && node.contacts.hide_who_exists() {
        Answer::Asked(Target::HiddenDevice)
    } else if !push(node, &flight) && comes_back(&flight) {
        Answer::Refused(StanzaError::new(Condition::ServiceUnavailable))
    } else {
        Answer::Taken(Taken::default())
    };
    answered(node, origin, &flight, answer)
}

/// Queues the stanza for the session, if it is there. Returns whether it was.
fn push(node: &Node, flight: &InFlight) -> bool {
    let session = flight.to.resource().and_then(|resource| node.sessions_of(None).find(resource));
    session.is_some_and(|session| {
        let stanza = flight.outgoing(rewriting::class(&flight.stanza));
        let sender = Sender { account: flight.sender.unwrap_or_default(), is_stranger: false };
        session.push_queued(Queued::new(stanza, Due::Passing(sender))).is_ok()
    })
}

/// RFC 6121, 8.5.3.2: whether a stanza comes back when there is no such session.
fn comes_back(flight: &InFlight) -> bool {
    match (flight.stanza.kind(), flight.stanza.type_()) {
        (Kind::Message, Some("chat")) => storage_policy::comes_back(&flight.stanza),
        (Kind::Message, type_) => !matches!(type_, Some("error" | "headline")),
        _ => flight.is_request(),
    }
}
