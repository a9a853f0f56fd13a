//! What a session is told anew that has missed events: each item as it is now, and a node that was
//! emptied or deleted from its beginning.

use std::collections::HashMap;

use whoelse_core::route::fan_out::Speaker;
use whoelse_store::PubsubPage;
use whoelse_xmpp::{BareJid, Outgoing, StanzaError};

use super::super::access::Relation;
use super::super::config::Config;
use super::super::events::{What, event, last_item, told_so_far};
use super::super::found::Found;
use super::super::owner::Visitor;
use super::super::standing::Standing;
use super::super::to_tell::MissedAt;
use super::{PubsubItem, Telling};

/// Items that are held at once while a session has no room for them.
const PAGE: u64 = 5;

/// What a session was told of an item last: its number, or that it was taken back.
type Told = HashMap<String, Option<i64>>;

/// An owner's nodes, told to a session.
struct Anew<'a> {
    telling: &'a Telling<'a>,
    owner: &'a BareJid,
    visitor: Visitor,
    speaker: Speaker,
}

impl Telling<'_> {
    /// Tells what was missed at some nodes of an owner. Returns false if the session has no
    /// connection.
    pub(super) async fn missed(
        &self,
        owner: &BareJid,
        nodes: &[(&str, &MissedAt)],
    ) -> Result<bool, StanzaError> {
        // That there is no such account any more says its presence.
        let Some(visitor) = self.visitor_at(owner).await? else { return Ok(true) };
        let speaker = Speaker { address: owner.clone(), account: Some(visitor.owner.id()) };
        let anew = Anew { telling: self, owner, visitor, speaker };
        for (name, missed) in nodes.iter().filter(|(name, _)| self.names.contains(name)) {
            let is_told = match missed {
                MissedAt::Items(items) => anew.items(name, items.iter()).await?,
                MissedAt::All => anew.all(name).await?,
            };
            if !is_told || !self.session.is_available() {
                return Ok(is_told);
            }
        }
        Ok(true)
    }
}

impl Anew<'_> {
    /// Tells these items of a node as they are, some at a time. What is told last is so, for clients that
    /// look at the last event alone: after one that is not there any more comes the last of the node,
    /// and after several pages, which have the order of their ids, the newest of them once more.
    async fn items(
        &self,
        name: &str,
        items: impl Iterator<Item = (&String, &bool)>,
    ) -> Result<bool, StanzaError> {
        let items: Vec<(&str, bool)> = items.map(|(id, back)| (id.as_str(), *back)).collect();
        let (mut told, mut takes_back) = (Told::new(), false);
        loop {
            let before = told_so_far(self.telling.server);
            let Some(found) = self.told_node(name).await? else { return Ok(true) };
            let (mut newest, mut told_last) = (None, None);
            for page in items.chunks(PAGE as usize) {
                let ids: Vec<&str> = page.iter().map(|(id, _)| *id).collect();
                let rows = self.by_id(&found, &ids).await?;
                newest = newest.max(rows.last().map(|row| (row.seq, row.id.clone())));
                let mut events = Vec::new();
                for (id, _) in page.iter().filter(|(_, taken_back)| *taken_back) {
                    let is_there = rows.iter().any(|row| row.id == *id);
                    if !is_there && told.get(*id) != Some(&None) {
                        events.push(self.event(&found, What::Retracted((*id).to_owned())));
                        told.insert((*id).to_owned(), None);
                        (takes_back, told_last) = (true, Some(None));
                    }
                }
                for row in rows {
                    if told.get(&row.id) != Some(&Some(row.seq)) {
                        told.insert(row.id.clone(), Some(row.seq));
                        told_last = Some(Some(row.seq));
                        events.push(self.item(&found, row));
                    }
                }
                if !self.tell(&events).await {
                    return Ok(false);
                }
            }
            let is_done = told_last.is_none();
            let last = match (newest, takes_back) {
                _ if is_done => Vec::new(),
                (_, true) => {
                    let last = PubsubPage { from_end: true, most: 1, ..PubsubPage::default() };
                    self.page(&found, &last).await?
                }
                (Some((_, id)), false) => self.by_id(&found, &[id.as_str()]).await?,
                (None, false) => Vec::new(),
            };
            for row in last.into_iter().filter(|row| told_last != Some(Some(row.seq))) {
                told.insert(row.id.clone(), Some(row.seq));
                if !self.tell(&[self.item(&found, row)]).await {
                    return Ok(false);
                }
            }
            if is_done || told_so_far(self.telling.server) == before {
                return Ok(true);
            }
        }
    }

    /// Tells that a node is empty, and then all its items; or that there is none.
    async fn all(&self, name: &str) -> Result<bool, StanzaError> {
        loop {
            let before = told_so_far(self.telling.server);
            if let Some(found) = self.node(name).await? {
                return match self.hears(&found).await? {
                    true => self.begin_anew(&found).await,
                    false => Ok(true),
                };
            }
            let config = Config::of_account(name);
            if matches!(self.relation(), Relation::Stranger) {
                return Ok(true);
            }
            if !self.tell(&[event(self.owner, (name, &config), &What::Deleted(None))]).await {
                return Ok(false);
            }
            // It may have been made meanwhile, and that was told before this.
            if told_so_far(self.telling.server) == before {
                return Ok(true);
            }
        }
    }

    /// What is published while this is told comes as an event, and once more on a later page.
    async fn begin_anew(&self, found: &Found) -> Result<bool, StanzaError> {
        if !self.tell(&[self.event(found, What::Purged)]).await {
            return Ok(false);
        }
        let mut after = None;
        while self.telling.session.is_available() {
            let page = PubsubPage { after, most: PAGE, ..PubsubPage::default() };
            let rows = self.page(found, &page).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.seq);
            let events: Vec<_> = rows.into_iter().map(|row| self.item(found, row)).collect();
            if !self.tell(&events).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns false if the session has no connection.
    async fn tell(&self, events: &[Outgoing]) -> bool {
        for event in events {
            if !self.telling.tell(&self.speaker, event).await {
                return false;
            }
        }
        true
    }

    fn event(&self, found: &Found, what: What) -> Outgoing {
        event(self.owner, (&found.row.name, &found.config), &what)
    }

    fn item(&self, found: &Found, row: PubsubItem) -> Outgoing {
        last_item(self.telling.server, self.owner, (&found.row.name, &found.config), row)
    }

    fn relation(&self) -> Relation {
        self.visitor.owner.relation(self.telling.server, self.telling.viewer.jid(), &[])
    }

    /// Finds a node whose items the session hears of.
    async fn told_node(&self, name: &str) -> Result<Option<Found>, StanzaError> {
        let Some(found) = self.node(name).await? else { return Ok(None) };
        Ok(self.hears(&found).await?.then_some(found))
    }

    async fn node(&self, name: &str) -> Result<Option<Found>, StanzaError> {
        let store = &self.telling.server.store;
        let found = self.telling.read(store.pubsub_node(self.visitor.owner.id(), name)).await;
        Ok(self.telling.readable(found)?.map(Found::of))
    }

    /// Whether the session may hear of a node, and the node tells what it has.
    async fn hears(&self, found: &Found) -> Result<bool, StanzaError> {
        let standing = Standing::of(self.telling.server, &self.visitor);
        let asker = self.telling.read(standing).await?.at(found);
        let config = &found.config;
        let is_told = config.deliver_notifications && config.persist_items;
        Ok(is_told && asker.reads(config.access_model).is_ok())
    }

    async fn by_id(&self, found: &Found, ids: &[&str]) -> Result<Vec<PubsubItem>, StanzaError> {
        let store = &self.telling.server.store;
        let rows = self.telling.read(store.pubsub_items_by_id(found.row.id, ids)).await;
        self.telling.readable(rows)
    }

    async fn page(&self, found: &Found, page: &PubsubPage) -> Result<Vec<PubsubItem>, StanzaError> {
        let store = &self.telling.server.store;
        let rows = self.telling.read(store.pubsub_page(found.row.id, page)).await;
        self.telling.readable(rows)
    }
}
