//! RFC 6121, 2.1: a contact as an `<item/>`, and the roster push that tells devices of a change.

use std::sync::Arc;

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, Outgoing, ns};

use super::{AsItWas, Contact, Interested};
use crate::account::Account;
use crate::node::Node;
use crate::session::Session;

/// The group in which everybody is in the shared roster, until its owner moves somebody to another.
const EVERYONE: &str = "Everyone";

/// Returns a contact as its owner sees it. `exists`: it is an account of this server, which in the
/// shared roster is a contact of all.
pub fn item(node: &Node, jid: &BareJid, contact: &Contact, exists: bool) -> Element {
    let item = Element::new("item").attr("jid", jid.as_str());
    let shared = exists && node.contacts.are_shared();
    if shared && !contact.listed {
        return everybodys(jid);
    }
    if !contact.listed {
        return item.attr("subscription", "remove");
    }
    let state = contact.state;
    let item = item.attr_opt("name", Some(contact.name.as_str()).filter(|name| !name.is_empty()));
    let item = match (state.to, state.from) {
        _ if shared => item.attr("subscription", "both"),
        (true, true) => item.attr("subscription", "both"),
        (true, false) => item.attr("subscription", "to"),
        (false, true) => item.attr("subscription", "from"),
        (false, false) => item.attr("subscription", "none"),
    };
    let item = item
        .attr_opt("ask", (state.ask && !shared).then_some("subscribe"))
        .attr_opt("approved", (contact.looks_approved() && !shared).then_some("true"));
    contact.groups.iter().fold(item, |item, group| item.child(Element::new("group").text(group)))
}

/// Returns an account of this server as all see it in the shared roster who have not written
/// anything down about it.
pub(super) fn everybodys(jid: &BareJid) -> Element {
    Element::new("item")
        .attr("jid", jid.as_str())
        .attr("subscription", "both")
        .attr("name", jid.local().unwrap_or_default())
        .child(Element::new("group").text(EVERYONE))
}

/// Returns the `ver` of a roster version (RFC 6121, 2.6); `None` with the shared roster, which has
/// no versions.
pub fn version_name(node: &Node, last: i64) -> Option<String> {
    (!node.contacts.are_shared()).then(|| last.to_string())
}

/// RFC 6121, 2.1.6: tells the account's devices that have requested the roster how a contact stands
/// now, in the version that this change made. `exists`: as for [`item`].
pub fn push(node: &Node, account: &Account, jid: &BareJid, contact: &Contact, exists: bool) {
    let item = item(node, jid, contact, exists);
    let version = (!node.contacts.are_shared()).then_some(contact.version);
    for session in account.sessions() {
        if session.slots.has::<Interested>() {
            push_to(&session, item.clone(), version);
        }
    }
}

/// Pushes an item to one device, in the version that its change made; the shared roster has none.
pub fn push_to(session: &Session, item: Element, version: Option<i64>) {
    let push = push_of(session, item, version);
    let Some(version) = version else { return session.push(push) };
    let begins_to_miss = session.push_roster(push, version);
    if let Some(own) = session.account.as_ref().filter(|_| begins_to_miss) {
        session.slots.put(Arc::new(AsItWas(own.roster())));
    }
}

/// Returns the push of an item to one device.
pub(crate) fn push_of(session: &Session, item: Element, version: Option<i64>) -> Outgoing {
    let version = version.map(|version| version.to_string());
    let query = Element::new("query").xmlns(ns::ROSTER).attr_opt("ver", version.as_deref());
    let push = Element::new("iq")
        .attr("type", "set")
        .attr("id", &whoelse_stream::token::token())
        .attr("to", session.jid.as_str())
        .child(query.child(item));
    // Nobody waits for its answer, so nobody is told when it is lost with the session.
    push.outgoing(Class::IqAnswer)
}
