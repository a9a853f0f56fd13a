//! XEP-0060, 5.7 and 8.9: who is what at a node: what somebody is themselves, and the list for those
//! who own it.

use std::collections::HashMap;

use whoelse_core::kit::{Answer, Cx, Reply};
use whoelse_store::{Error, Tx};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Condition, Jid, StanzaError, ns};

use super::access::{Affiliation, Subscription};
use super::change::{Nodes, Stop, change};
use super::found::{Found, found};
use super::limits::{Limits, MOST_ENTRIES};
use super::owner::Visitor;
use super::refusal::no_room;
use super::standing::Standing;
use crate::nobodys::{self, NOBODYS};
use crate::readable;

/// Answers 5.7: what the asker is, at one node or at all.
pub(super) async fn own(cx: Cx, visitor: Visitor, name: Option<String>) -> Answer {
    let (server, owner) = (&cx.node, &visitor.owner);
    if let Some(name) = &name {
        found(&cx, &visitor, name).await?;
    }
    let key = server.key_of(visitor.from.bare());
    let mut rows = match visitor.is_oneself() {
        true => all(&cx, &visitor).await?,
        false => {
            let rows = server.store.pubsub_affiliations_of(owner.id(), &key).await;
            let rows = readable(server, "node_unreadable", Some(owner.address()), rows)?;
            let of = |(node, number)| Some((node, Affiliation::of_number(number)?));
            rows.into_iter().filter_map(of).collect()
        }
    };
    rows.retain(|(node, _)| name.as_ref().is_none_or(|name| name == node));
    let list = Element::new("affiliations").attr_opt("node", name.as_deref());
    let list = rows.iter().fold(list, |list, (node, affiliation)| {
        let affiliation = affiliation.word();
        list.child(Element::new("affiliation").attr("node", node).attr("affiliation", affiliation))
    });
    Ok(Reply::encoded(Element::new("pubsub").xmlns(ns::PUBSUB).child(list).finish()))
}

/// An account owns all its nodes.
async fn all(cx: &Cx, visitor: &Visitor) -> Result<Vec<(String, Affiliation)>, StanzaError> {
    let most = cx.node.settings().of::<Limits>().pubsub_nodes;
    let rows = cx.node.store.pubsub_nodes(visitor.owner.id(), None, most).await;
    let rows = readable(&cx.node, "node_unreadable", Some(visitor.owner.address()), rows)?;
    Ok(rows.into_iter().map(|row| (row.name, Affiliation::Owner)).collect())
}

/// Answers 8.9.1.
pub(super) async fn of_node(cx: Cx, visitor: Visitor, name: String) -> Answer {
    let (server, owner) = (&cx.node, &visitor.owner);
    let found = found(&cx, &visitor, &name).await?;
    let asker = Standing::of(&cx.node, &visitor).await?.at(&found);
    asker.owns().map_err(|refusal| visitor.refused(refusal))?;
    let rows = server.store.pubsub_affiliations(found.row.id).await;
    let rows = readable(server, "node_unreadable", Some(owner.address()), rows)?;
    let rows = rows.into_iter().filter_map(|(who, number)| {
        let who = BareJid::parse(&server.address_of(&who, "")).ok()?;
        Some((who, Affiliation::of_number(nobodys::shown(number))?))
    });
    let account = owner.account().map(|account| (account.jid().clone(), Affiliation::Owner));
    let list = list(&name, account.into_iter().chain(rows));
    Ok(Reply::encoded(Element::new("pubsub").xmlns(ns::PUBSUB_OWNER).child(list).finish()))
}

fn list(name: &str, rows: impl Iterator<Item = (BareJid, Affiliation)>) -> Element {
    rows.fold(Element::new("affiliations").attr("node", name), |list, (who, affiliation)| {
        list.child(
            Element::new("affiliation")
                .attr("jid", who.as_str())
                .attr("affiliation", affiliation.word()),
        )
    })
}

/// Answers 8.9.2. What cannot be comes back as it is, and the rest is done.
pub(super) async fn set(
    cx: Cx,
    visitor: Visitor,
    name: String,
    entries: Vec<(Jid, Affiliation)>,
) -> Answer {
    let (owner, node) = (visitor.owner.clone(), name.clone());
    let refused = change(&cx.node, &owner, 2 * MOST_ENTRIES as u64, move |nodes| {
        Box::pin(async move {
            let found = nodes.owned(&visitor, &node).await?;
            let mut list = nodes.list(&found).await?;
            let mut refused = Vec::new();
            for (who, affiliation) in entries {
                let who = who.to_bare();
                if affiliation != Affiliation::Owner && list.has_to_own(nodes, &who) {
                    refused.push((who, Affiliation::Owner));
                } else if !nodes.is_account(&who) {
                    list.take(nodes, &who, affiliation)?;
                    nodes.set_affiliation(&found, &who, affiliation).await?;
                }
            }
            Ok(refused)
        })
    });
    let refused = refused.await?;
    if refused.is_empty() {
        return Ok(Reply::empty());
    }
    let list = list(&name, refused.into_iter());
    let payload = Element::new("pubsub").xmlns(ns::PUBSUB_OWNER).child(list).finish();
    Err(StanzaError::new(Condition::NotAcceptable).with_payload(payload))
}

/// Takes from a name what it was given at nodes while nobody had it, in at most so many rows; returns how
/// many. Whoever was put out stays so.
pub(super) async fn void(tx: &mut Tx, who: &str, most: u64) -> Result<u64, Error> {
    let rights = Affiliation::Owner.number()..=Affiliation::Member.number();
    tx.void_pubsub_affiliations(who, (rights, NOBODYS), most).await
}

/// Who is what at a node while that is changed, by their keys, as the list shows it.
struct List(HashMap<String, Affiliation>);

impl List {
    /// Whether somebody owns the node whatever is said: an account owns its nodes, and a node has an
    /// owner.
    fn has_to_own(&self, nodes: &Nodes<'_>, who: &BareJid) -> bool {
        let owners = self.0.values().filter(|it| **it == Affiliation::Owner).count();
        let is_owner =
            || self.0.get(&nodes.server.key_of(who.as_str())) == Some(&Affiliation::Owner);
        match nodes.owner.account() {
            Some(_) => nodes.is_account(who),
            None => owners == 1 && is_owner(),
        }
    }

    /// Takes a change, if there is room.
    fn take(
        &mut self,
        nodes: &Nodes<'_>,
        who: &BareJid,
        affiliation: Affiliation,
    ) -> Result<(), StanzaError> {
        let key = nodes.server.key_of(who.as_str());
        if affiliation == Affiliation::None {
            self.0.remove(&key);
            return Ok(());
        }
        let most = nodes.server.settings().of::<Limits>().pubsub_affiliations;
        if !self.0.contains_key(&key) && self.0.len() >= most {
            return Err(no_room("there are too many people on the list of this node"));
        }
        self.0.insert(key, affiliation);
        Ok(())
    }
}

impl Nodes<'_> {
    async fn list(&mut self, found: &Found) -> Result<List, Stop> {
        let rows = self.tx.pubsub_affiliations(found.row.id).await?.into_iter();
        let of = |(who, it)| Some((who, Affiliation::of_number(nobodys::shown(it))?));
        Ok(List(rows.filter_map(of).collect()))
    }

    /// Whether this is the account whose nodes these are. It owns them without a list.
    fn is_account(&self, who: &BareJid) -> bool {
        self.owner.account().is_some_and(|account| account.jid() == who)
    }

    /// Sets what somebody is at a node.
    async fn set_affiliation(
        &mut self,
        found: &Found,
        who: &BareJid,
        affiliation: Affiliation,
    ) -> Result<(), Stop> {
        let key = self.server.key_of(who.as_str());
        self.put_affiliation(found, &key, affiliation).await?;
        self.follow(found, &key, affiliation).await
    }

    /// 8.7.4: whoever becomes somebody at a node need not wait for a subscription any more, and an
    /// outcast has none.
    async fn follow(
        &mut self,
        found: &Found,
        key: &str,
        affiliation: Affiliation,
    ) -> Result<(), Stop> {
        let rows = self.tx.pubsub_subscriptions_of(self.owner.id(), key).await?;
        for (_, row) in rows.iter().filter(|(name, _)| *name == found.row.name) {
            let Ok(who) = Jid::parse(&self.server.address_of(&row.who, "")) else { continue };
            let state = match (affiliation, Subscription::of_number(row.state)) {
                (Affiliation::Outcast | Affiliation::PublishOnly, _) => Subscription::None,
                (
                    Affiliation::Owner | Affiliation::Publisher | Affiliation::Member,
                    Some(Subscription::Pending),
                ) => Subscription::Subscribed,
                _ => continue,
            };
            self.set_subscription(found, &who, state).await?;
            self.tell_subscription(found, &who, state).await?;
        }
        Ok(())
    }
}
