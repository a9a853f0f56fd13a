//! XEP-0060, 7.2: taking an item back.

use whoelse_core::kit::{Answer, Cx, Reply};

use super::change::{Nodes, Stop, change};
use super::events::{self, What};
use super::found::Found;
use super::found::found;
use super::owner::Visitor;
use super::refusal::unsupported;

/// Which item is to be taken back.
pub(crate) struct Retraction {
    pub node: String,
    pub id: String,
    /// Whether others are to be told, whatever the node is configured to do.
    pub notify: bool,
}

/// Answers a request to retract.
pub(super) async fn retract(cx: Cx, visitor: Visitor, retraction: Retraction) -> Answer {
    let found = found(&cx, &visitor, &retraction.node).await?;
    events::turn(&cx, &visitor, (Some(&found), &found.config), 0).await?;
    let owner = visitor.owner.clone();
    let retracted = change(&cx.node, &owner, 2, move |nodes| {
        Box::pin(async move { nodes.retract(&visitor, retraction).await })
    });
    retracted.await?;
    Ok(Reply::empty())
}

impl Nodes<'_> {
    /// Takes an item back for somebody, as far as they may.
    pub async fn retract(&mut self, by: &Visitor, retraction: Retraction) -> Result<(), Stop> {
        let found = self.expect(&retraction.node, by).await?;
        let asker = self.asker(&found, &by.from).await?;
        let models = found.config.models();
        // Nobody learns which items there are who may retract none.
        asker.changes(models, true).map_err(|refusal| by.refused(refusal))?;
        if !found.config.persist_items {
            return Err(unsupported("persistent-items").into());
        }
        let there = self.tx.pubsub_items_by_id(found.row.id, &[&retraction.id]).await?;
        let there = there.first().ok_or_else(|| by.not_found())?;
        let account = self.account_of(by).await?;
        let is_own = there.is_of(account, &self.server.key_of(by.from.bare()));
        asker.changes(models, is_own).map_err(|refusal| by.refused(refusal))?;
        self.tx.retract_pubsub_item(found.row.id, &retraction.id).await?;
        let is_told = retraction.notify || found.config.notify_retract;
        self.happened(&found, What::Retracted(retraction.id), is_told).await
    }

    /// Takes an item from a node as part of what somebody may do, and tells of it: for the views of
    /// another node, which do not follow it.
    pub async fn take(&mut self, found: &Found, id: String) -> Result<(), Stop> {
        let was_there = self.tx.retract_pubsub_item(found.row.id, &id).await?;
        if was_there && found.config.notify_retract {
            self.tell(found, What::Retracted(id)).await?;
        }
        Ok(())
    }
}
