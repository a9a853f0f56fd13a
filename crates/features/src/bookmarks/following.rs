//! Both forms of the bookmarks agree: when one was changed, the other follows, in the transaction of the
//! change.
//!
//! What follows is never seen by more people than what was changed: the node is made as closed as a node
//! of bookmarks begins, unless both are open to the same.

use std::collections::{HashMap, HashSet};

use whoelse_store::{PubsubItem, PubsubPage};
use whoelse_xmpp::{Condition, Jid, Stanza, StanzaError, ns};

use super::list::List;
use super::room::{NAME, Words, address};
use super::{CURRENT, Limits, fits};
use crate::pubsub::{
    AccessModel, Config, Found, Item, MaxItems, Nodes, Stop, What, bad, node_full,
};

/// Something has happened at the node with an item for each room.
pub(super) async fn rooms_changed(
    nodes: &mut Nodes<'_>,
    rooms: &Found,
    what: &What,
) -> Result<(), Stop> {
    match what {
        What::Published(item) => published(nodes, rooms, item).await,
        What::Retracted(id) => match address(id) {
            Some(room) => forget(nodes, |it| *it == room).await,
            None => Ok(()),
        },
        What::Purged | What::Deleted(_) => forget(nodes, |_| true).await,
        What::Happened | What::Configured => Ok(()),
    }
}

/// A bookmark was published: the list says the same of its room.
async fn published(nodes: &mut Nodes<'_>, rooms: &Found, item: &Item) -> Result<(), Stop> {
    if !rooms.config.persist_items {
        return Ok(());
    }
    let limits = nodes.server.settings().of::<Limits>().clone();
    let items = nodes.find(ns::BOOKMARKS).await?.map_or(0, |now| now.row.items);
    if items > limits.bookmarks && items > rooms.row.items {
        return Err(node_full().into());
    }
    let Some(room) = address(&item.id) else { return Ok(()) };
    let node = node(nodes, ns::BOOKMARKS_LIST, &rooms.config).await?;
    let Some((id, list)) = kept(nodes, &node).await? else {
        let list = all(nodes, rooms, List::empty()).await?.ok_or_else(node_full)?;
        return keep(nodes, &node, CURRENT.to_owned(), &list).await;
    };
    let changed = match read(&item.payload) {
        Some(bookmark) => list.with(&room, &Words::of(&bookmark)),
        None => list.without(|it| *it == room),
    };
    let Some(changed) = changed else { return Ok(()) };
    let is_longer = changed.bytes().len() > list.bytes().len();
    if changed.bytes().len() as u64 > limits.bookmarks_bytes && is_longer {
        return Err(node_full().into());
    }
    keep(nodes, &node, id, &changed).await
}

/// Takes rooms out of the list.
async fn forget(nodes: &mut Nodes<'_>, is_gone: impl Fn(&Jid) -> bool) -> Result<(), Stop> {
    let Some(node) = nodes.find(ns::BOOKMARKS_LIST).await? else { return Ok(()) };
    let Some((id, list)) = kept(nodes, &node).await? else { return Ok(()) };
    match list.without(is_gone) {
        Some(changed) => keep(nodes, &node, id, &changed).await,
        None => Ok(()),
    }
}

/// Something has happened at the node with the list.
pub(super) async fn list_changed(
    nodes: &mut Nodes<'_>,
    node: &Found,
    what: &What,
) -> Result<(), Stop> {
    match what {
        What::Published(item) => {
            let list = List::read(&item.payload).ok_or_else(|| bad("invalid-payload"))?;
            for other in items(nodes, node).await? {
                if other.id != item.id {
                    nodes.tx.retract_pubsub_item(node.row.id, &other.id).await?;
                }
            }
            agree(nodes, &node.config, &list).await
        }
        // Another list has taken its place.
        What::Retracted(_) if kept(nodes, node).await?.is_some() => Ok(()),
        // Who does this has perhaps brought the bookmarks elsewhere, to where they are already.
        What::Retracted(_) | What::Purged | What::Deleted(_) => {
            Err(StanzaError::new(Condition::NotAllowed)
                .with_text("publish a list without bookmarks instead")
                .into())
        }
        What::Happened | What::Configured => Ok(()),
    }
}

/// Puts a list in the place of the present one, as its owner alone sees it.
pub(super) async fn replace(nodes: &mut Nodes<'_>, list: &List) -> Result<(), Stop> {
    let private = nodes.owner.begins(ns::BOOKMARKS_LIST);
    let node = node(nodes, ns::BOOKMARKS_LIST, &private).await?;
    let present = kept(nodes, &node).await?;
    let is_new = present.as_ref().is_none_or(|(_, present)| present.bytes() != list.bytes());
    let id = present.map_or_else(|| CURRENT.to_owned(), |(id, _)| id);
    if is_new {
        keep(nodes, &node, id, list).await?;
    }
    agree(nodes, &private, list).await
}

/// Returns a list with all rooms that have an item, and with what these say; `None` if it would be
/// longer than it may be.
pub(super) async fn with_rooms(nodes: &mut Nodes<'_>, list: List) -> Result<Option<List>, Stop> {
    match nodes.find(ns::BOOKMARKS).await? {
        Some(rooms) => all(nodes, &rooms, list).await,
        None => Ok(fits(nodes.server, &list).is_ok().then_some(list)),
    }
}

/// Gives rooms another address, in both forms. A bookmark that is there already stays as it is.
pub(super) async fn move_rooms(
    nodes: &mut Nodes<'_>,
    moved: impl Fn(&Jid) -> Option<Jid>,
) -> Result<(), Stop> {
    if let Some(rooms) = nodes.find(ns::BOOKMARKS).await? {
        let all = items(nodes, &rooms).await?;
        let mut there: HashSet<String> = all.iter().map(|item| item.id.clone()).collect();
        for item in all {
            let Some(room) = address(&item.id).and_then(|room| moved(&room)) else { continue };
            nodes.take(&rooms, item.id).await?;
            if there.insert(room.to_string()) {
                nodes.put(&rooms, room.to_string(), item.payload).await?;
            }
        }
    }
    let Some(node) = nodes.find(ns::BOOKMARKS_LIST).await? else { return Ok(()) };
    let Some((id, list)) = kept(nodes, &node).await? else { return Ok(()) };
    match list.moved(moved) {
        Some(changed) => keep(nodes, &node, id, &changed).await,
        None => Ok(()),
    }
}

/// Items that are read at once.
const STEP: u64 = 50;

/// A node can have far more items than a list, and longer ones, so no more are read than fit.
async fn all(nodes: &mut Nodes<'_>, rooms: &Found, list: List) -> Result<Option<List>, Stop> {
    let most = nodes.server.settings().of::<Limits>().bookmarks_bytes;
    let (mut found, mut bytes, mut after) = (Vec::new(), 0, None);
    loop {
        let page = PubsubPage { after, most: STEP, ..PubsubPage::default() };
        let items = nodes.tx.pubsub_page(rooms.row.id, &page).await?;
        let Some(last) = items.last() else { break };
        after = Some(last.seq);
        for (room, bookmark) in items.iter().filter_map(bookmark) {
            let words = Words::of(&bookmark);
            bytes += words.write(ns::BOOKMARKS_LIST, Some(room.as_str())).len() as u64;
            found.push((room, words));
        }
        if bytes > most {
            return Ok(None);
        }
    }
    let list = match list.with_all(&found) {
        Some(list) => list,
        None if list.has_all(found.iter().map(|(room, _)| room)) => list,
        // What cannot be a list must not be taken for one that lacks them.
        None => return Ok(None),
    };
    Ok(fits(nodes.server, &list).is_ok().then_some(list))
}

/// Lets the items say what a list says. What no list shows stays: items of no room, and whatever else
/// there is in the items.
async fn agree(nodes: &mut Nodes<'_>, source: &Config, list: &List) -> Result<(), Stop> {
    let wanted = list.all();
    if wanted.is_empty() && nodes.find(ns::BOOKMARKS).await?.is_none() {
        return Ok(());
    }
    let mut rooms = node(nodes, ns::BOOKMARKS, source).await?;
    if let MaxItems::Number(most) = rooms.config.max_items
        && u64::from(most) < wanted.len() as u64
    {
        rooms.config.max_items = MaxItems::Max;
        configure(nodes, &rooms).await?;
    }
    let mut left: HashMap<&Jid, &Words> = wanted.iter().map(|(room, it)| (*room, it)).collect();
    for item in items(nodes, &rooms).await? {
        let Some((room, bookmark)) = bookmark(&item) else { continue };
        match left.remove(&room) {
            Some(words) => {
                if let Some(payload) = words.put_into(&bookmark) {
                    nodes.put(&rooms, item.id, payload).await?;
                }
            }
            None => nodes.take(&rooms, item.id).await?,
        }
    }
    for (room, words) in wanted.iter().filter(|(room, _)| left.contains_key(room)) {
        nodes.put(&rooms, room.to_string(), words.write(ns::BOOKMARKS, None)).await?;
    }
    Ok(())
}

/// Finds a node that is to follow one of this configuration, or makes it. It keeps its items, and shows
/// them to nobody else.
async fn node(nodes: &mut Nodes<'_>, name: &str, source: &Config) -> Result<Found, Stop> {
    let Some(mut found) = nodes.find(name).await? else {
        let config = nodes.owner.begins(name);
        let made = nodes.make_own(name, config).await?;
        return made.ok_or_else(|| StanzaError::new(Condition::ItemNotFound).into());
    };
    let is_alike = found.config.access_model == source.access_model
        && found.config.roster_groups_allowed == source.roster_groups_allowed;
    let is_closed = is_alike || found.config.access_model == AccessModel::Whitelist;
    if !is_closed {
        found.config.access_model = AccessModel::Whitelist;
    }
    if !is_closed || !found.config.persist_items {
        found.config.persist_items = true;
        configure(nodes, &found).await?;
    }
    Ok(found)
}

async fn configure(nodes: &mut Nodes<'_>, found: &Found) -> Result<(), Stop> {
    nodes.tx.set_pubsub_config(found.row.id, &found.config.written()).await?;
    match found.config.notify_config {
        true => nodes.tell(found, What::Configured).await,
        false => Ok(()),
    }
}

/// The list that is kept at its node, with the id of its item.
async fn kept(nodes: &mut Nodes<'_>, node: &Found) -> Result<Option<(String, List)>, Stop> {
    let last = PubsubPage { from_end: true, most: 1, ..PubsubPage::default() };
    let items = nodes.tx.pubsub_page(node.row.id, &last).await?;
    let mut items = items.into_iter();
    Ok(items.next().and_then(|item| Some((item.id, List::read(&item.payload)?))))
}

async fn keep(nodes: &mut Nodes<'_>, node: &Found, id: String, list: &List) -> Result<(), Stop> {
    nodes.put(node, id, list.bytes().to_vec()).await
}

/// The items of a node, of which there are few.
async fn items(nodes: &mut Nodes<'_>, node: &Found) -> Result<Vec<PubsubItem>, Stop> {
    let every = PubsubPage { most: u64::MAX, ..PubsubPage::default() };
    Ok(nodes.tx.pubsub_page(node.row.id, &every).await?)
}

/// The room and the bookmark of an item, if it is one.
fn bookmark(item: &PubsubItem) -> Option<(Jid, Stanza)> {
    Some((address(&item.id)?, read(&item.payload)?))
}

fn read(payload: &[u8]) -> Option<Stanza> {
    let bookmark = Stanza::parse(payload.to_vec()).ok()?;
    (bookmark.name() == NAME && bookmark.ns() == ns::BOOKMARKS).then_some(bookmark)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_core::settings::Settings;
    use whoelse_core::{Clock, Node, Time};
    use whoelse_store::{Location, Store};
    use whoelse_xmpp::BareJid;

    use super::*;
    use crate::pubsub::{self, Owner, change};

    fn item(n: usize, name: &str) -> Item {
        let payload = format!("<conference xmlns='urn:xmpp:bookmarks:1' name='{name}'/>");
        Item { id: format!("r{n}@x"), publisher: String::new(), payload: payload.into_bytes() }
    }

    /// Of rooms that were bookmarked before there was a list, all are in it, or there is none.
    #[tokio::test]
    async fn a_list_that_is_made_of_all_rooms_is_as_long_as_it_may_be_at_most() {
        for (name, fits) in [(100, true), (400, false)] {
            let name = "x".repeat(name);
            let store = Store::open(&Location::Memory).await.unwrap();
            let mut tx = store.begin().await.unwrap();
            let domain = tx.ensure_domain("localhost").await.unwrap();
            tx.create_account(domain, "alice", &[], 1).await.unwrap().unwrap();
            tx.commit().await.unwrap();
            let (settings, clock) = (Settings::default(), Clock::manual(Time(1)));
            let features = &[pubsub::FEATURE];
            let server =
                Node::start(settings, clock, store, features, Some("localhost")).await.unwrap();
            let alice = BareJid::parse("alice@localhost").unwrap();
            let owner = Owner::Account(server.account(&alice).await.unwrap().unwrap());

            let made = change(&server, &owner, 300, move |nodes| {
                Box::pin(async move {
                    let config = nodes.owner.begins(ns::BOOKMARKS);
                    let rooms = nodes.make_own(ns::BOOKMARKS, config).await?.unwrap();
                    for n in 0..200 {
                        let Item { id, payload, .. } = item(n, &name);
                        nodes.put(&rooms, id, payload).await?;
                    }
                    rooms_changed(nodes, &rooms, &What::Published(item(199, &name))).await?;
                    let list = nodes.find(ns::BOOKMARKS_LIST).await?.unwrap();
                    Ok(kept(nodes, &list).await?.unwrap().1.rooms())
                })
            });

            let expected = if fits { Ok(200) } else { Err(node_full()) };
            assert_eq!(made.await, expected);
        }
    }
}
