//! XEP-0060, 8.1 to 8.5: making, configuring, emptying and deleting nodes.

use whoelse_core::Node;
use whoelse_core::keeper::PIECE;
use whoelse_core::kit::command::Values;
use whoelse_core::kit::{Answer, Cx, Reply};
use whoelse_stream::token::token;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, StanzaError, ns};

use super::change::{Nodes, Stop, change};
use super::events::{self, What};
use super::form;
use super::found::{Found, found};
use super::owner::Visitor;
use super::refusal::unsupported;
use super::standing::Standing;

/// The rows of a node that is made, configured or left: its own, and notes of what is left of it.
const ROWS: u64 = 5;

/// Answers 8.1. A node without a name gets one.
pub(super) async fn create(
    cx: Cx,
    visitor: Visitor,
    name: Option<String>,
    configure: Values,
) -> Answer {
    let owner = visitor.owner.clone();
    visitor.creates(&cx.node)?;
    let (is_instant, name) = (name.is_none(), name.unwrap_or_else(token));
    let mut config = owner.begins(&name);
    config.change(&configure)?;
    owner.takes(&config)?;
    let created = name.clone();
    let made = change(&cx.node, &owner, ROWS, move |nodes| {
        Box::pin(async move { Ok(nodes.make(&name, config, &visitor).await?.is_some()) })
    });
    match (made.await?, is_instant) {
        (false, _) => Err(StanzaError::new(Condition::Conflict)),
        (true, false) => Ok(Reply::empty()),
        (true, true) => {
            let create = Element::new("create").attr("node", &created);
            let answer = Element::new("pubsub").xmlns(ns::PUBSUB).child(create);
            Ok(Reply::encoded(answer.finish()))
        }
    }
}

/// Answers 8.2.1: the form of a node's configuration, for those who own it.
pub(super) async fn configuration(cx: Cx, visitor: Visitor, name: String) -> Answer {
    let found = found(&cx, &visitor, &name).await?;
    let asker = Standing::of(&cx.node, &visitor).await?.at(&found);
    asker.owns().map_err(|refusal| visitor.refused(refusal))?;
    let configure = Element::new("configure").attr("node", &name);
    Ok(owned(configure.child(form::to_configure(&found.config))))
}

/// Answers 8.3: the form of a configuration as it is where nobody has said anything.
pub(super) fn default_configuration(visitor: &Visitor) -> Answer {
    let config = visitor.owner.begins("");
    Ok(owned(Element::new("default").child(form::to_configure(&config))))
}

fn owned(child: Element) -> Reply {
    Reply::encoded(Element::new("pubsub").xmlns(ns::PUBSUB_OWNER).child(child).finish())
}

/// Answers 8.2.4; without a form nothing changes.
pub(super) async fn configure(
    cx: Cx,
    visitor: Visitor,
    name: String,
    form: Option<Values>,
) -> Answer {
    let found = found(&cx, &visitor, &name).await?;
    events::turn(&cx, &visitor, (Some(&found), &found.config), 0).await?;
    let owner = visitor.owner.clone();
    let configured = change(&cx.node, &owner, ROWS + PIECE, move |nodes| {
        Box::pin(async move { nodes.configure(&visitor, &name, form).await })
    });
    if configured.await? {
        remove_gone(&cx.node).await;
    }
    Ok(Reply::empty())
}

/// Answers 8.4.
pub(super) async fn delete(
    cx: Cx,
    visitor: Visitor,
    name: String,
    redirect: Option<String>,
) -> Answer {
    let found = found(&cx, &visitor, &name).await?;
    events::turn(&cx, &visitor, (Some(&found), &found.config), 0).await?;
    let owner = visitor.owner.clone();
    let deleted = change(&cx.node, &owner, ROWS, move |nodes| {
        Box::pin(async move { nodes.delete(&visitor, &name, redirect).await })
    });
    deleted.await?;
    remove_gone(&cx.node).await;
    Ok(Reply::empty())
}

/// Answers 8.5.
pub(super) async fn purge(cx: Cx, visitor: Visitor, name: String) -> Answer {
    let found = found(&cx, &visitor, &name).await?;
    events::turn(&cx, &visitor, (Some(&found), &found.config), 0).await?;
    let owner = visitor.owner.clone();
    let purged = change(&cx.node, &owner, ROWS, move |nodes| {
        Box::pin(async move { nodes.purge(&visitor, &name).await })
    });
    purged.await?;
    remove_gone(&cx.node).await;
    Ok(Reply::empty())
}

/// Removes in pieces what is left of nodes that are gone. What a failure leaves goes the next time.
pub(super) async fn remove_gone(server: &Node) {
    let removed = server.keeper.in_pieces(|tx, most| Box::pin(tx.remove_gone_pubsub(most)));
    // The keeper has logged it.
    let _ = removed.await;
}

impl Nodes<'_> {
    /// Finds a node that somebody owns.
    pub async fn owned(&mut self, by: &Visitor, name: &str) -> Result<Found, Stop> {
        let found = self.expect(name, by).await?;
        let asker = self.asker(&found, &by.from).await?;
        asker.owns().map_err(|refusal| by.refused(refusal))?;
        Ok(found)
    }

    /// Configures a node for somebody who owns it. Returns whether its items went.
    pub async fn configure(
        &mut self,
        by: &Visitor,
        name: &str,
        form: Option<Values>,
    ) -> Result<bool, Stop> {
        let mut found = self.owned(by, name).await?;
        let Some(form) = form else { return Ok(false) };
        found.config.change(&form)?;
        by.owner.takes(&found.config)?;
        self.tx.set_pubsub_config(found.row.id, &found.config.written()).await?;
        // What is not kept any more would come back with the next configuration.
        let drops_items = !found.config.persist_items && found.row.items > 0;
        let is_told = found.config.notify_config;
        self.happened(&found, What::Configured, is_told).await?;
        if drops_items {
            self.tx.purge_pubsub_node(found.row.id).await?;
            self.happened(&found, What::Purged, false).await?;
        } else {
            let gave_way = self.trim(&found).await?;
            self.gave_way(&found, gave_way).await?;
        }
        Ok(drops_items)
    }

    /// Deletes a node for somebody who owns it.
    pub async fn delete(
        &mut self,
        by: &Visitor,
        name: &str,
        redirect: Option<String>,
    ) -> Result<(), Stop> {
        let found = self.owned(by, name).await?;
        // Those who are told are on its lists.
        let is_told = found.config.notify_delete;
        self.happened(&found, What::Deleted(redirect), is_told).await?;
        self.tx.delete_pubsub_node(found.row.id).await?;
        Ok(())
    }

    /// Takes all items from a node for somebody who owns it.
    pub async fn purge(&mut self, by: &Visitor, name: &str) -> Result<(), Stop> {
        let found = self.owned(by, name).await?;
        if !found.config.persist_items {
            return Err(unsupported("persistent-items").into());
        }
        self.tx.purge_pubsub_node(found.row.id).await?;
        self.happened(&found, What::Purged, found.config.notify_retract).await
    }
}
