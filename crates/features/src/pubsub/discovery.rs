//! XEP-0060, 5, and XEP-0163, 6: what an account says of its nodes to those who may see it: that it
//! has some, which of them they may read, and what one is.

use whoelse_core::kit::{AboutAccounts, Answer, Cx, Reply};
use whoelse_xmpp::payload::xmpp_parsers::disco::{DiscoInfoQuery, DiscoItemsQuery};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{StanzaError, ns};

use super::access::Affiliation;
use super::form;
use super::found::{Found, found};
use super::owner::Visitor;
use super::retrieve::ids;
use super::standing::Standing;
use crate::readable;

/// Declares what can be done by the names of XEP-0060, 10: what all nodes can, and more.
macro_rules! features {
    ($($more:literal)+) => {
        features! { all $($more)+
            "auto-create"
            "config-node"
            "config-node-max"
            "create-and-configure"
            "create-nodes"
            "delete-items"
            "delete-nodes"
            "instant-nodes"
            "item-ids"
            "manage-subscriptions"
            "member-affiliation"
            "meta-data"
            "modify-affiliations"
            "multi-items"
            "outcast-affiliation"
            "persistent-items"
            "publish"
            "publish-node-full"
            "publish-only-affiliation"
            "publish-options"
            "publisher-affiliation"
            "purge-nodes"
            "retract-items"
            "retrieve-affiliations"
            "retrieve-default"
            "retrieve-items"
            "retrieve-subscriptions"
            "rsm"
            "subscribe"
            "subscription-notifications"
        }
    };
    (all $($name:literal)+) => {
        &[ns::PUBSUB, $(concat!("http://jabber.org/protocol/pubsub#", $name)),+]
    };
}

/// What is said of an account.
pub(super) const OF_ACCOUNTS: AboutAccounts = AboutAccounts {
    identity: ("pubsub", "pep"),
    features: features! {
        "access-presence"
        "auto-subscribe"
        "filtered-notifications"
        "last-published"
        "presence-subscribe"
        "pubsub-on-a-jid"
    },
    info: |cx, query| Box::pin(info(cx, query)),
    items: |cx, query| Box::pin(items(cx, query)),
};

/// What the service can do.
pub(super) const OF_SERVICE: &[&str] = features! { "access-open" };

/// Answers what a node is: 5.3 and 5.4.
pub(super) async fn info(cx: Cx, query: DiscoInfoQuery) -> Answer {
    let (visitor, name) = (Visitor::of_seen(&cx)?, query.node.unwrap_or_default());
    let found = readable_node(&cx, &visitor, &name).await?;
    let owner = &visitor.owner;
    let rows = cx.node.store.pubsub_affiliations(found.row.id).await;
    let rows = readable(&cx.node, "node_unreadable", Some(owner.address()), rows)?;
    let owners = rows.iter().filter(|(_, number)| *number == Affiliation::Owner.number());
    let owners = owners.map(|(who, _)| cx.node.address_of(who, ""));
    let account = owner.account().map(|account| account.jid().to_string());
    let owners: Vec<String> = account.into_iter().chain(owners).collect();
    let answer = Element::new("query")
        .xmlns(ns::DISCO_INFO)
        .attr("node", &name)
        .child(Element::new("identity").attr("category", "pubsub").attr("type", "leaf"))
        .child(Element::new("feature").attr("var", ns::PUBSUB))
        .child(form::of_node(&found.config, &owners));
    Ok(Reply::encoded(answer.finish()))
}

/// Answers which nodes there are for the asker, or which items are at one: 5.2 and 5.5.
pub(super) async fn items(cx: Cx, query: DiscoItemsQuery) -> Answer {
    let visitor = Visitor::of_seen(&cx)?;
    let address = visitor.owner.address().clone();
    let answer =
        Element::new("query").xmlns(ns::DISCO_ITEMS).attr_opt("node", query.node.as_deref());
    let answer = match query.node {
        Some(name) => {
            let found = readable_node(&cx, &visitor, &name).await?;
            let ids = ids(cx, visitor, found).await?;
            ids.iter().fold(answer, |answer, id| {
                answer.child(Element::new("item").attr("jid", address.as_str()).attr("name", id))
            })
        }
        None => {
            let nodes = cx.in_reading_turn(nodes(&cx, &visitor)).await?;
            nodes.iter().fold(answer, |answer, found| {
                let title = Some(found.config.title.as_str()).filter(|title| !title.is_empty());
                let item = Element::new("item")
                    .attr("jid", address.as_str())
                    .attr("node", &found.row.name)
                    .attr_opt("name", title);
                answer.child(item)
            })
        }
    };
    Ok(Reply::encoded(answer.finish()))
}

/// A node that the asker may read.
async fn readable_node(cx: &Cx, visitor: &Visitor, name: &str) -> Result<Found, StanzaError> {
    let found = found(cx, visitor, name).await?;
    let asker = Standing::of(&cx.node, visitor).await?.at(&found);
    asker.reads(found.config.access_model).map_err(|refusal| visitor.refused(refusal))?;
    Ok(found)
}

/// Nodes that are read at once.
const STEP: u64 = 50;

/// The nodes that the asker may read.
async fn nodes(cx: &Cx, visitor: &Visitor) -> Result<Vec<Found>, StanzaError> {
    let (owner, standing) = (&visitor.owner, Standing::of(&cx.node, visitor).await?);
    let (mut nodes, mut after) = (Vec::new(), None);
    loop {
        let rows = cx.node.store.pubsub_nodes(owner.id(), after.as_deref(), STEP).await;
        let rows = readable(&cx.node, "node_unreadable", Some(owner.address()), rows)?;
        let is_last = (rows.len() as u64) < STEP;
        after = rows.last().map(|row| row.name.clone());
        let reads = |found: &Found| standing.at(found).reads(found.config.access_model).is_ok();
        nodes.extend(rows.into_iter().map(Found::of).filter(reads));
        if is_last {
            return Ok(nodes);
        }
    }
}
