//! XEP-0223, Persistent Storage of Private Data: items that only one's own devices read.

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, FullJid, Jid, Stanza, ns};

use crate::commands::form;
use crate::error::RequestError;
use crate::nested;
use crate::request::{Answer, Request};

/// Returns a request for items: for these, or for all.
pub(super) fn ask(node: &str, ids: &[&str]) -> Request {
    let items = Element::new("items").attr("node", node);
    let items =
        ids.iter().fold(items, |items, id| items.child(Element::new("item").attr("id", id)));
    Request::get(Element::new("pubsub").xmlns(ns::PUBSUB).child(items)).by_itself()
}

/// Reads its answer. `None`: nobody has made the node yet, or the server has none. Any other refusal
/// says nothing of what is there.
pub(super) fn items(answer: Result<Answer, RequestError>) -> Result<Option<Stanza>, RequestError> {
    match answer {
        Ok(answer) => {
            let pubsub = nested::find(&answer.iq, "pubsub", ns::PUBSUB);
            let items = pubsub.and_then(|it| nested::find(&it, "items", ns::PUBSUB));
            items.map(Some).ok_or(RequestError::Unreadable)
        }
        Err(RequestError::Refused(why))
            if matches!(
                why.condition,
                Condition::ItemNotFound
                    | Condition::FeatureNotImplemented
                    | Condition::ServiceUnavailable
            ) =>
        {
            Ok(None)
        }
        Err(why) => Err(why),
    }
}

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
