//! XEP-0060, 7.1: publishing an item.

use whoelse_core::keeper::PIECE;
use whoelse_core::kit::{Answer, Cx, Reply};
use whoelse_store::NewPubsubItem;
use whoelse_stream::token::token;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Condition, StanzaError, ns};

use super::change::{Nodes, Stop, change};
use super::config::{Config, MaxItems, WhenFull};
use super::events::{self, Item, What};
use super::found::{Found, present};
use super::limits::Limits;
use super::owner::Visitor;
use super::refusal::{bad, because, node_full};
use super::request::{Draft, Publication};
use super::views;

/// Answers a request to publish.
pub(super) async fn publish(cx: Cx, visitor: Visitor, mut publication: Publication) -> Answer {
    if let Some(draft) = &mut publication.item {
        views::check(&cx.node, &publication.node, draft)?;
    }
    let (owner, bytes) = (visitor.owner.clone(), publication.item.as_ref());
    let bytes = bytes.map_or(0, |item| item.payload.len());
    let found = present(&cx, &visitor, &publication.node).await?;
    match &found {
        Some(found) => events::turn(&cx, &visitor, (Some(found), &found.config), bytes).await?,
        None => {
            let config = begun(&visitor, &publication);
            let config = config.unwrap_or_else(|_| owner.begins(&publication.node));
            events::turn(&cx, &visitor, (None, &config), bytes).await?;
        }
    }
    let name = publication.node.clone();
    let at = cx.now.0;
    let draft = publication.item.as_ref();
    let rows = draft.map_or(0, |draft| views::rows(&cx.node, &publication.node, draft));
    let session = visitor.session(&cx.node).filter(|_| rows > 0);
    let id = change(&cx.node, &owner, ROWS + rows, move |nodes| {
        Box::pin(async move { nodes.publish(&visitor, publication, at).await })
    });
    let id = match session {
        Some(session) => cx.node.large_change(&session, rows, id).await?,
        None => id.await?,
    };
    let mut publish = Element::new("publish").attr("node", &name);
    if let Some(id) = id {
        publish = publish.child(Element::new("item").attr("id", &id));
    }
    Ok(Reply::encoded(Element::new("pubsub").xmlns(ns::PUBSUB).child(publish).finish()))
}

/// The node, an item, and those that give way to it.
const ROWS: u64 = PIECE + 3;

/// 7.1.4, 7.1.5: the configuration with which a node begins by this publication.
fn begun(visitor: &Visitor, publication: &Publication) -> Result<Config, StanzaError> {
    let mut config = visitor.owner.begins(&publication.node);
    if let Some(options) = &publication.options {
        config.begin_with(options)?;
    }
    visitor.owner.takes(&config)?;
    Ok(config)
}

impl Nodes<'_> {
    /// Publishes for somebody, as far as they may. Returns the id of the item, if there is one.
    pub async fn publish(
        &mut self,
        by: &Visitor,
        publication: Publication,
        at: i64,
    ) -> Result<Option<String>, Stop> {
        let found = match self.find(&publication.node).await? {
            Some(found) => {
                let asker = self.asker(&found, &by.from).await?;
                asker.publishes(found.config.models()).map_err(|refusal| by.refused(refusal))?;
                if let Some(options) = &publication.options {
                    found.config.meets(options)?;
                }
                found
            }
            None => {
                by.creates(self.server).map_err(|_| by.not_found())?;
                let config = begun(by, &publication)?;
                let made = self.make(&publication.node, config, by).await?;
                made.ok_or_else(|| by.not_found())?
            }
        };
        fits(&found.config, publication.item.as_ref())?;
        let Some(Draft { id, payload }) = publication.item else {
            self.happened(&found, What::Happened, true).await?;
            return Ok(None);
        };
        let limits = self.server.settings().of::<Limits>().clone();
        if payload.len() as u64 > limits.pubsub_item_bytes {
            return Err(because(Condition::NotAcceptable, "payload-too-big").into());
        }
        let item = Item { id: id.unwrap_or_else(token), publisher: by.from.bare().into(), payload };
        let mut gave_way = Vec::new();
        if found.config.persist_items {
            gave_way = self.store(&found, by, &item, at).await?;
        }
        let id = item.id.clone();
        self.happened(&found, What::Published(item), true).await?;
        self.gave_way(&found, gave_way).await?;
        Ok(Some(id))
    }

    /// Stores an item, in place of the one of its id or of the oldest ones. Returns the ids of those.
    async fn store(
        &mut self,
        found: &Found,
        by: &Visitor,
        item: &Item,
        at: i64,
    ) -> Result<Vec<String>, Stop> {
        let there = self.tx.pubsub_items_by_id(found.row.id, &[&item.id]).await?;
        let (account, publisher) = (self.account_of(by).await?, self.server.key_of(by.from.bare()));
        match there.first() {
            Some(there) => {
                let asker = self.asker(found, &by.from).await?;
                let may = asker.changes(found.config.models(), there.is_of(account, &publisher));
                may.map_err(|refusal| by.refused(refusal))?;
            }
            None => self.has_room(found)?,
        }
        self.keep(found, item, account, at).await?;
        self.trim(found).await
    }

    /// Keeps an item at a node, in place of the one of its id.
    async fn keep(
        &mut self,
        found: &Found,
        item: &Item,
        account: i64,
        at: i64,
    ) -> Result<(), Stop> {
        let publisher = self.server.key_of(&item.publisher);
        let (id, publisher, payload) = (&item.id, &publisher, &item.payload);
        let new = NewPubsubItem { id, publisher, account, at, payload };
        self.tx.put_pubsub_item(found.row.id, new).await?;
        self.note_growth();
        Ok(())
    }

    /// Puts an item at a node as part of what somebody may do, and tells of it: for the views of
    /// another node, which do not follow it.
    pub async fn put(&mut self, found: &Found, id: String, payload: Vec<u8>) -> Result<(), Stop> {
        let at = self.server.clock.now().0;
        let item = Item { id, publisher: self.owner.address().to_string(), payload };
        self.keep(found, &item, self.owner.id(), at).await?;
        self.tell(found, What::Published(item)).await
    }

    /// 7.1.3.4: whether a node takes one more item.
    fn has_room(&self, found: &Found) -> Result<(), Stop> {
        let most = self.server.settings().of::<Limits>().pubsub_items;
        let (most, is_reject) = match found.config.max_items {
            MaxItems::Max => (most, true),
            MaxItems::Number(number) => {
                (most.min(number.into()), found.config.when_full == WhenFull::Reject)
            }
        };
        match is_reject && found.row.items >= most {
            true => Err(node_full().into()),
            false => Ok(()),
        }
    }

    /// Takes the oldest items away that are too many for the node. Many go with the publications that
    /// follow: everybody waits for one.
    /// Returns their ids.
    pub async fn trim(&mut self, found: &Found) -> Result<Vec<String>, Stop> {
        let MaxItems::Number(number) = found.config.max_items else { return Ok(Vec::new()) };
        let most = self.server.settings().of::<Limits>().pubsub_items;
        let keep = most.min(number.into()).max((found.row.items + 1).saturating_sub(PIECE));
        Ok(self.tx.retract_oldest_pubsub_items(found.row.id, keep).await?)
    }

    /// Notes that these items have given way to others. Nobody is told of that.
    pub async fn gave_way(&mut self, found: &Found, ids: Vec<String>) -> Result<(), Stop> {
        for id in ids {
            self.happened(found, What::Retracted(id), false).await?;
        }
        Ok(())
    }
}

/// 7.1.3.6: whether something can be published to a node that is configured so.
fn fits(config: &Config, item: Option<&Draft>) -> Result<(), StanzaError> {
    match item {
        None if config.persist_items || config.deliver_payloads => Err(bad("item-required")),
        Some(_) if !config.persist_items && !config.deliver_payloads => Err(bad("item-forbidden")),
        Some(item) if config.deliver_payloads && item.payload.is_empty() => {
            Err(bad("payload-required"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_fits_the_node() {
        let draft = |payload: &str| Some(Draft { id: None, payload: payload.into() });
        for (persists, tells, item, expected) in [
            (true, true, None, Some("item-required")),
            (true, true, draft(""), Some("payload-required")),
            (true, true, draft("<a/>"), None),
            (true, false, None, Some("item-required")),
            (true, false, draft(""), None),
            (true, false, draft("<a/>"), None),
            (false, true, None, Some("item-required")),
            (false, true, draft(""), Some("payload-required")),
            (false, true, draft("<a/>"), None),
            (false, false, None, None),
            (false, false, draft(""), Some("item-forbidden")),
            (false, false, draft("<a/>"), Some("item-forbidden")),
        ] {
            let mut config = Config::of_account("n");
            (config.persist_items, config.deliver_payloads) = (persists, tells);
            let refused = fits(&config, item.as_ref()).err();
            let app = refused.and_then(|error| error.app).map(|(name, _)| name);
            assert_eq!(app, expected, "{persists} {tells} {item:?}");
        }
    }
}
