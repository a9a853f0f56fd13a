//! XEP-0060, 6 to 8: what a request is refused with, each refusal by its own name.

use whoelse_xmpp::{Condition, ErrorType, StanzaError, ns};

/// A refusal with one of the conditions of publish-subscribe.
pub(crate) fn because(condition: Condition, app: &'static str) -> StanzaError {
    StanzaError::new(condition).with_app(app, ns::PUBSUB_ERRORS)
}

/// A request that is not as it has to be.
pub(crate) fn bad(app: &'static str) -> StanzaError {
    because(Condition::BadRequest, app)
}

/// A request that is not as it has to be, in a way that has no name.
pub(super) fn malformed(text: &'static str) -> StanzaError {
    StanzaError::new(Condition::BadRequest).with_text(text)
}

/// What the node or the service cannot do.
pub(super) fn unsupported(feature: &'static str) -> StanzaError {
    because(Condition::FeatureNotImplemented, "unsupported").with_feature(feature)
}

/// No such node or item, said to somebody who may know that.
pub(super) fn not_found() -> StanzaError {
    StanzaError::new(Condition::ItemNotFound)
}

/// The one answer to strangers: there is no such account or no such node, or they may not see it.
pub(super) fn stranger() -> StanzaError {
    because(Condition::NotAuthorized, "presence-subscription-required")
}

pub(super) fn forbidden() -> StanzaError {
    StanzaError::new(Condition::Forbidden)
}

/// 7.1.5: the node is not configured as the publisher takes for granted.
pub(super) fn precondition_not_met() -> StanzaError {
    because(Condition::Conflict, "precondition-not-met")
}

/// 7.1.3.4: what was there stays.
pub(crate) fn node_full() -> StanzaError {
    because(Condition::Conflict, "node-full")
}

/// The owner's nodes have reached a bound; what was there stays.
pub(crate) fn no_room(text: &'static str) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_text(text)
}

/// 6.2.3.2: nobody of this address is subscribed.
pub(super) fn not_subscribed() -> StanzaError {
    because(Condition::UnexpectedRequest, "not-subscribed").with_type(ErrorType::Cancel)
}

/// What somebody wants of a node cannot be.
pub(super) fn not_acceptable(text: impl Into<String>) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).with_text(text)
}
