//! RFC 6121, 2: the roster, where everybody is everybody's contact: one shared group of all
//! accounts of the server, kept up to date by pushes.

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::account::Account;
use whoelse_core::kit::{Answer, Cx, Feature, OWN, Reply, Verb};
use whoelse_core::session::Session;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Child, Class, Condition, Stanza, StanzaError, ns};

/// RFC 6121, 2.
pub const FEATURE: Feature = Feature {
    name: "roster",
    xeps: &[],
    disco: &[],
    wire: |w| {
        w.on(Verb::Get, OWN, (ns::ROSTER, "query"), get);
        w.on(Verb::Set, OWN, (ns::ROSTER, "query"), set);
        w.accounts(push);
    },
};

/// The mark of a session that has asked for the roster and so hears of changes (RFC 6121, 2.1.6).
const INTERESTED: &str = "roster";
/// Accounts in one roster: about a megabyte, a fifth of what a session may hold.
const MOST: usize = 10_000;
/// Accounts read at once.
const PAGE: i64 = 500;

async fn get(cx: Cx, _: Stanza, _: Child) -> Answer {
    cx.session.mark(INTERESTED);
    let domain = cx.node.domain();
    let mut roster = Element::new("query").xmlns(ns::ROSTER);
    let (mut after, mut count) = (String::new(), 0);
    while count < MOST {
        let page = cx.node.store.list_accounts(domain.id, &after, PAGE).await;
        let page = page.map_err(|error| {
            tracing::error!(%error, "accounts_unreadable");
            StanzaError::new(Condition::InternalServerError)
        })?;
        let Some(last) = page.last() else { break };
        after = last.localpart.clone();
        count += page.len();
        for row in &page {
            if row.id != cx.account.id {
                let jid = format!("{}@{}", row.localpart, domain.name);
                roster = roster.child(item(&jid, &row.localpart, "both"));
            }
        }
    }
    Ok(Reply::encoded(roster.finish()))
}

async fn set(_: Cx, _: Stanza, _: Child) -> Answer {
    Err(StanzaError::new(Condition::NotAllowed)
        .with_text("everyone on this server is in the roster; it cannot be changed"))
}

fn item(jid: &str, name: &str, subscription: &str) -> Element {
    let item = Element::new("item").attr("jid", jid).attr("subscription", subscription);
    match subscription {
        "remove" => item,
        _ => item.attr("name", name).child(Element::new("group").text("Everyone")),
    }
}

/// An account was made or removed: every client that has asked for its roster hears of it.
fn push(node: &Arc<Node>, account: &Arc<Account>, exists: bool) {
    let subscription = if exists { "both" } else { "remove" };
    let item = item(account.jid().as_str(), account.name(), subscription);
    for session in node.sessions() {
        if session.is_marked(INTERESTED) && session.account.id != account.id {
            push_to(&session, item.clone());
        }
    }
}

fn push_to(session: &Session, item: Element) {
    let push = Element::new("iq")
        .attr("type", "set")
        .attr("id", &whoelse_stream::token::token())
        .attr("to", session.jid.as_str())
        .child(Element::new("query").xmlns(ns::ROSTER).child(item));
    // Nobody waits for its answer, so nobody is told when it is lost with the session.
    session.push(push.outgoing(Class::IqAnswer));
}
