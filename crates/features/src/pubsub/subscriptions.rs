//! XEP-0060, 6.1, 6.2, 5.6 and 8.8: subscribing, unsubscribing, and the lists of subscriptions: one's
//! own, and those of a node for its owners.

use whoelse_core::kit::{Answer, Cx, Reply};
use whoelse_store::PubsubPage;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, ErrorType, Jid, StanzaError, ns};

use super::access::Subscription;
use super::change::{Nodes, Stop, change};
use super::config::SendLast;
use super::events::{last_item, of_subscription};
use super::found::{Found, found};
use super::limits::{Limits, MOST_ENTRIES, MOST_OF_ONE};
use super::owner::Visitor;
use super::refusal::{bad, because, forbidden, not_subscribed, unsupported};
use super::standing::Standing;
use crate::readable;

/// Answers 6.1.
pub(super) async fn subscribe(cx: Cx, visitor: Visitor, name: String, jid: Jid) -> Answer {
    if jid.bare() != visitor.from.bare() {
        return Err(bad("invalid-jid"));
    }
    let (owner, node, who) = (visitor.owner.clone(), name.clone(), jid.clone());
    let state = change(&cx.node, &owner, 1, move |nodes| {
        Box::pin(async move { nodes.subscribe(&visitor, &node, &who).await })
    });
    let subscription = entry(&jid, state.await?).attr("node", &name);
    Ok(Reply::encoded(Element::new("pubsub").xmlns(ns::PUBSUB).child(subscription).finish()))
}

/// Answers 6.2.
pub(super) async fn unsubscribe(cx: Cx, visitor: Visitor, name: String, jid: Jid) -> Answer {
    if jid.bare() != visitor.from.bare() {
        return Err(forbidden());
    }
    let owner = visitor.owner.clone();
    let done = change(&cx.node, &owner, 1, move |nodes| {
        Box::pin(async move {
            let found = nodes.expect(&name, &visitor).await?;
            match nodes.subscription(&found, &jid).await? {
                Subscription::None => Err(not_subscribed().into()),
                Subscription::Pending | Subscription::Subscribed => {
                    nodes.set_subscription(&found, &jid, Subscription::None).await
                }
            }
        })
    });
    done.await?;
    Ok(Reply::empty())
}

/// Answers 5.6: the subscriptions of the asker, at one node or at all.
pub(super) async fn own(cx: Cx, visitor: Visitor, name: Option<String>) -> Answer {
    let (server, owner) = (&cx.node, &visitor.owner);
    if let Some(name) = &name {
        found(&cx, &visitor, name).await?;
    }
    let key = server.key_of(visitor.from.bare());
    let rows = server.store.pubsub_subscriptions_of(owner.id(), &key).await;
    let rows = readable(server, "node_unreadable", Some(owner.address()), rows)?;
    let mut list = Element::new("subscriptions").attr_opt("node", name.as_deref());
    for (node, row) in rows {
        let is_asked = name.as_ref().is_none_or(|name| *name == node);
        let who = Jid::parse(&server.address_of(&row.who, "")).ok();
        let state = Subscription::of_number(row.state);
        if let (true, Some(who), Some(state)) = (is_asked, who, state) {
            list = list.child(entry(&who, state).attr("node", &node));
        }
    }
    Ok(Reply::encoded(Element::new("pubsub").xmlns(ns::PUBSUB).child(list).finish()))
}

/// Answers 8.8.1. Those who wait are listed, too: their owner may have missed that they asked.
pub(super) async fn of_node(cx: Cx, visitor: Visitor, name: String) -> Answer {
    let (server, owner) = (&cx.node, &visitor.owner);
    let found = found(&cx, &visitor, &name).await?;
    let asker = Standing::of(&cx.node, &visitor).await?.at(&found);
    asker.owns().map_err(|refusal| visitor.refused(refusal))?;
    let rows = server.store.pubsub_subscriptions(found.row.id).await;
    let rows = readable(server, "node_unreadable", Some(owner.address()), rows)?;
    let list = Element::new("subscriptions").attr("node", &name);
    let list = rows.into_iter().fold(list, |list, row| {
        let who = Jid::parse(&server.address_of(&row.who, ""));
        match (who, Subscription::of_number(row.state)) {
            (Ok(who), Some(state)) => list.child(entry(&who, state)),
            _ => list,
        }
    });
    Ok(Reply::encoded(Element::new("pubsub").xmlns(ns::PUBSUB_OWNER).child(list).finish()))
}

/// Answers 8.8.2: an owner agrees to subscriptions, or ends them. Nobody is subscribed who has not
/// asked for it: the entry comes back as it is.
pub(super) async fn set(
    cx: Cx,
    visitor: Visitor,
    name: String,
    entries: Vec<(Jid, Subscription)>,
) -> Answer {
    let (owner, node) = (visitor.owner.clone(), name.clone());
    let refused = change(&cx.node, &owner, MOST_ENTRIES as u64, move |nodes| {
        Box::pin(async move {
            let found = nodes.owned(&visitor, &node).await?;
            let mut refused = Vec::new();
            for (who, state) in entries {
                let present = nodes.subscription(&found, &who).await?;
                match (present, state) {
                    (present, state) if present == state => {}
                    (Subscription::None, _) | (_, Subscription::Pending) => {
                        refused.push((who, present));
                    }
                    (_, state) => {
                        nodes.set_subscription(&found, &who, state).await?;
                        nodes.tell_subscription(&found, &who, state).await?;
                    }
                }
            }
            Ok(refused)
        })
    });
    let refused = refused.await?;
    if refused.is_empty() {
        return Ok(Reply::empty());
    }
    let list = Element::new("subscriptions").attr("node", &name);
    let list = refused.iter().fold(list, |list, (who, state)| list.child(entry(who, *state)));
    let payload = Element::new("pubsub").xmlns(ns::PUBSUB_OWNER).child(list).finish();
    Err(StanzaError::new(Condition::NotAcceptable).with_payload(payload))
}

fn entry(who: &Jid, state: Subscription) -> Element {
    Element::new("subscription").attr("jid", who.as_str()).attr("subscription", state.word())
}

impl Nodes<'_> {
    /// Subscribes an address of somebody's, as far as they may.
    pub async fn subscribe(
        &mut self,
        by: &Visitor,
        name: &str,
        who: &Jid,
    ) -> Result<Subscription, Stop> {
        let found = self.expect(name, by).await?;
        let mut asker = self.asker(&found, who).await?;
        // Another address of the same person counts for nothing here.
        asker.subscription = self.subscription(&found, who).await?;
        let state = asker.subscribes(found.config.access_model);
        let state = state.map_err(|refusal| by.refused(refusal))?;
        if !found.config.subscribe {
            return Err(unsupported("subscribe").into());
        }
        if asker.subscription == state {
            return Ok(state);
        }
        if asker.subscription == Subscription::None {
            self.has_room_for(&found, who).await?;
        }
        self.account_of(by).await?;
        self.set_subscription(&found, who, state).await?;
        match state {
            Subscription::Pending => self.ask_owners(&found, who).await?,
            Subscription::Subscribed | Subscription::None => {
                self.tell_last_item(&found, who).await?;
            }
        }
        Ok(state)
    }

    /// 6.1.3.9: whether somebody may subscribe, as many as there are, of them and of all.
    async fn has_room_for(&mut self, found: &Found, who: &Jid) -> Result<(), Stop> {
        let rows = self.tx.pubsub_subscriptions(found.row.id).await?;
        let bare = self.server.key_of(who.bare());
        let is_theirs = |key: &str| key.split('/').next() == Some(bare.as_str());
        let own = rows.iter().filter(|row| is_theirs(&row.who)).count();
        let most = self.server.settings().of::<Limits>().pubsub_subscriptions;
        if rows.len() < most && own < MOST_OF_ONE {
            return Ok(());
        }
        let too_many = because(Condition::PolicyViolation, "too-many-subscriptions");
        Err(too_many.with_type(ErrorType::Wait).into())
    }

    /// Sets the state of a subscription.
    pub async fn set_subscription(
        &mut self,
        found: &Found,
        who: &Jid,
        state: Subscription,
    ) -> Result<(), Stop> {
        let key = self.server.key_of(who.as_str());
        let row = (state != Subscription::None).then(|| (state.number(), [].as_slice()));
        self.forget_audience(found.row.id);
        Ok(self.tx.set_pubsub_subscription(found.row.id, &key, row).await?)
    }

    /// 12.11: tells somebody that the state of their subscription has changed; and the last item, if
    /// they hear it from now on.
    pub async fn tell_subscription(
        &mut self,
        found: &Found,
        who: &Jid,
        state: Subscription,
    ) -> Result<(), Stop> {
        let message = of_subscription(self.owner.address(), &found.row.name, who, state);
        self.say(who.clone(), message);
        match state {
            Subscription::Subscribed => self.tell_last_item(found, who).await,
            Subscription::None | Subscription::Pending => Ok(()),
        }
    }

    /// 6.1.7: tells somebody the last item who is subscribed from now on.
    async fn tell_last_item(&mut self, found: &Found, who: &Jid) -> Result<(), Stop> {
        let config = &found.config;
        if config.send_last == SendLast::Never || !config.deliver_notifications {
            return Ok(());
        }
        let page = PubsubPage { from_end: true, most: 1, ..PubsubPage::default() };
        if let Some(row) = self.tx.pubsub_page(found.row.id, &page).await?.pop() {
            let about = (found.row.name.as_str(), config);
            let message = last_item(self.server, self.owner.address(), about, row);
            self.say(who.clone(), message);
        }
        Ok(())
    }
}
