//! RFC 6121, 3, for a client: subscription stanzas.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, Outgoing};

/// The type of a subscription stanza (RFC 6121, 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionType {
    /// Asks to see when they are online.
    Subscribe,
    /// Allows them to see when I am online; before they ask, it is a pre-approval.
    Subscribed,
    /// Denies or revokes that.
    Unsubscribed,
}

impl SubscriptionType {
    /// Returns the stanza.
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
