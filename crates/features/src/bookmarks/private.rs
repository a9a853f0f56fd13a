//! XEP-0411, and XEP-0049: the list of bookmarks in private XML is the list at its node.
//!
//! A list that was stored before the server knew of these nodes is moved when its owner first asks for
//! any form of the bookmarks: there and away in one transaction.

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::account::Account;
use whoelse_core::kit::{BoxFuture, SessionCx};
use whoelse_store::{DataKey, PubsubPage};
use whoelse_xmpp::{Condition, StanzaError, ns};

use super::list::List;
use super::{fits, following, ready, rows, rows_of};
use crate::private_storage;
use crate::pubsub::{Nodes, Owner, Stop, change};
use crate::readable;

const KEY: DataKey<'_> = private_storage::key(ns::BOOKMARKS_LIST);

/// Moves the bookmarks of an account out of private XML, if there are any. Lists that are longer than
/// they may be stay, and are read where they are. Returns whether nothing is left that could be moved.
pub(super) async fn moved(server: &Arc<Node>, account: &Arc<Account>) -> bool {
    let there = server.store.account_data(account.id, KEY).await;
    let there = readable(server, "bookmarks_unreadable", Some(account.jid()), there);
    match there {
        Ok(Some(_)) => {
            let owner = Owner::Account(account.clone());
            let moved = change(server, &owner, rows(server), |nodes| Box::pin(take_over(nodes)));
            moved.await.is_ok()
        }
        Ok(None) => true,
        // It is logged, and looked at again.
        Err(_) => false,
    }
}

/// Moves a list, which is perhaps no longer there. The rooms that are bookmarked otherwise stay.
async fn take_over(nodes: &mut Nodes<'_>) -> Result<(), Stop> {
    let account = nodes.owner.id();
    let there = nodes.tx.account_data(account, KEY).await?;
    let Some(list) = there.and_then(|there| List::read(&there)) else { return Ok(()) };
    let Some(list) = following::with_rooms(nodes, list).await? else { return Ok(()) };
    following::replace(nodes, &list).await?;
    nodes.tx.remove_account_data(account, KEY).await?;
    Ok(())
}

/// Returns the list for a client that asks for it in private XML.
pub(super) fn get(cx: SessionCx) -> BoxFuture<'static, Result<Option<Vec<u8>>, StanzaError>> {
    Box::pin(async move {
        let account = cx.account()?;
        ready(cx.node.clone(), account.clone()).await;
        let list = read(&cx.node, account.id).await;
        readable(&cx.node, "bookmarks_unreadable", Some(account.jid()), list)
    })
}

async fn read(server: &Node, account: i64) -> Result<Option<Vec<u8>>, whoelse_store::Error> {
    let last = PubsubPage { from_end: true, most: 1, ..PubsubPage::default() };
    let items = match server.store.pubsub_node(account, ns::BOOKMARKS_LIST).await? {
        Some(node) => server.store.pubsub_page(node.id, &last).await?,
        None => Vec::new(),
    };
    match items.into_iter().next() {
        Some(item) => Ok(Some(item.payload)),
        None => server.store.account_data(account, KEY).await,
    }
}

/// Takes the list of a client that stores it in private XML: nothing, or elements.
pub(super) fn set(cx: SessionCx, elements: Vec<u8>) -> BoxFuture<'static, Result<(), StanzaError>> {
    Box::pin(async move {
        let list = match elements.is_empty() {
            true => List::empty(),
            false => List::read(&elements).ok_or_else(|| {
                StanzaError::new(Condition::NotAcceptable)
                    .with_text("store one element with all bookmarks")
            })?,
        };
        fits(&cx.node, &list)?;
        let account = cx.account()?;
        ready(cx.node.clone(), account.clone()).await;
        let (id, owner) = (account.id, Owner::Account(account.clone()));
        let written = rows_of(&list);
        let replaced = change(&cx.node, &owner, rows(&cx.node), move |nodes| {
            Box::pin(async move {
                following::replace(nodes, &list).await?;
                // One that was too long to be moved.
                nodes.tx.remove_account_data(id, KEY).await?;
                Ok(())
            })
        });
        cx.node.large_change(&cx.session, written, replaced).await
    })
}
