//! RFC 6121, 3, said by a client: who may see whom.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, Outgoing};

/// What can be said about who sees whom (RFC 6121, 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionType {
    /// I ask to see when they are online.
    Subscribe,
    /// They may see when I am online; said before they ask, it is an answer in advance.
    Subscribed,
    /// They may not, or not any more.
    Unsubscribed,
}

impl SubscriptionType {
    /// The stanza that says it.
    pub(crate) fn write(self, to: &BareJid, id: &str) -> Outgoing {
        let type_ = match self {
            SubscriptionType::Subscribe => "subscribe",
            SubscriptionType::Subscribed => "subscribed",
            SubscriptionType::Unsubscribed => "unsubscribed",
        };
        Element::new("presence")
            .attr("to", to.as_str())
            .attr("id", id)
            .attr("type", type_)
            .outgoing(Class::Presence)
    }
}
