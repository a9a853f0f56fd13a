//! XEP-0223, Persistent Storage of Private Data: items that only one's own devices read.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{FullJid, Jid, Stanza, ns};

use crate::commands::form;
use crate::nested;
use crate::request::Request;

/// Returns a request that publishes an item, and says what its node has to be.
pub(super) fn publish(node: &str, item: Element) -> Request {
    let options = form(
        Some(ns::PUBSUB_PUBLISH_OPTIONS),
        &[
            ("pubsub#persist_items", "true"),
            ("pubsub#max_items", "max"),
            ("pubsub#send_last_published_item", "never"),
            ("pubsub#access_model", "whitelist"),
        ],
    );
    let pubsub = Element::new("pubsub")
        .xmlns(ns::PUBSUB)
        .child(Element::new("publish").attr("node", node).child(item))
        .child(Element::new("publish-options").child(options));
    Request::set(pubsub)
}

/// Reads what the own account tells of its nodes. Others' are nobody's business.
pub(super) fn event(stanza: &Stanza, me: &FullJid) -> Option<Stanza> {
    let own = Jid::from(me.to_bare());
    if !stanza.from().is_none_or(|from| Jid::parse(from).is_ok_and(|from| from == own)) {
        return None;
    }
    nested::find(stanza, "event", ns::PUBSUB_EVENT)
}
