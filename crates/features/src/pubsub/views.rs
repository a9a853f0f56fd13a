//! Nodes that somebody else has a view of: another feature follows what happens at them, in the same
//! transaction, and keeps what it shows in agreement.
//!
//! Nothing here knows which features these are. Each says so when the server starts, so one that is
//! switched off follows nothing.

use std::sync::Arc;

use parking_lot::RwLock;
use whoelse_core::Node;
use whoelse_core::account::Account;
use whoelse_core::kit::{BoxFuture, Cx};
use whoelse_xmpp::StanzaError;

use super::change::{Nodes, Stop};
use super::events::What;
use super::found::Found;
use super::owner::Visitor;
use super::request::Draft;

/// What a feature does about a node of accounts.
pub(crate) struct View {
    /// The name of the node.
    pub node: &'static str,
    /// Makes ready whatever the view shows, before anybody asks for something at the node.
    pub ready: fn(Arc<Node>, Arc<Account>) -> BoxFuture<'static, ()>,
    /// Pays for what others are told when something changes at the node, beside what happens there, and
    /// waits for its turn.
    pub pay: for<'a> fn(&'a Cx, &'a Visitor) -> BoxFuture<'a, Result<(), StanzaError>>,
    /// How many rows change with an item that somebody publishes at the node, beside the item.
    pub rows: fn(&Draft) -> u64,
    /// Looks at an item that somebody wants to publish, and completes it.
    pub check: fn(&Node, &mut Draft) -> Result<(), StanzaError>,
    /// Follows what has happened at the node. If it refuses that, nothing has.
    pub follow:
        for<'a> fn(&'a mut Nodes<'_>, &'a Found, &'a What) -> BoxFuture<'a, Result<(), Stop>>,
}

impl View {
    /// The defaults of a declaration: it follows nothing.
    pub const PLAIN: View = View {
        node: "",
        ready: |_, _| Box::pin(async {}),
        pay: |_, _| Box::pin(async { Ok(()) }),
        rows: |_| 0,
        check: |_, _| Ok(()),
        follow: |_, _, _| Box::pin(async { Ok(()) }),
    };
}

/// The slot of the server with all views. Held for a look or a change.
#[derive(Default)]
struct Views(RwLock<Vec<&'static View>>);

/// Adds a view; called when the server starts.
pub(crate) fn add(server: &Node, view: &'static View) {
    server.slots.get_or_default::<Views>().0.write().push(view);
}

/// The views of the node of this name.
fn of(server: &Node, node: &str) -> Vec<&'static View> {
    let views = |views: &Views| -> Vec<&'static View> {
        views.0.read().iter().filter(|view| view.node == node).copied().collect()
    };
    server.slots.look(views).unwrap_or_default()
}

/// Makes ready what the views of a node show.
pub(super) async fn ready(server: &Arc<Node>, account: &Arc<Account>, node: &str) {
    for view in of(server, node) {
        (view.ready)(server.clone(), account.clone()).await;
    }
}

/// Pays for what the views of a node tell others when something changes there.
pub(super) async fn pay(cx: &Cx, visitor: &Visitor, node: &str) -> Result<(), StanzaError> {
    for view in of(&cx.node, node) {
        (view.pay)(cx, visitor).await?;
    }
    Ok(())
}

/// Looks at an item that somebody wants to publish at a node.
pub(super) fn check(server: &Node, node: &str, draft: &mut Draft) -> Result<(), StanzaError> {
    of(server, node).iter().try_for_each(|view| (view.check)(server, draft))
}

/// How many rows change with an item that somebody publishes at a node, beside the item.
pub(super) fn rows(server: &Node, node: &str, draft: &Draft) -> u64 {
    of(server, node).iter().map(|view| (view.rows)(draft)).sum()
}

impl Nodes<'_> {
    /// Tells of what has happened at a node, if it is to be told, and lets its views follow.
    pub async fn happened(&mut self, found: &Found, what: What, is_told: bool) -> Result<(), Stop> {
        let views = match self.owner.account() {
            Some(_) => of(self.server, &found.row.name),
            None => Vec::new(),
        };
        if views.is_empty() {
            return if is_told { self.tell(found, what).await } else { Ok(()) };
        }
        if is_told {
            self.tell(found, what.clone()).await?;
        }
        for view in views {
            (view.follow)(self, found, &what).await?;
        }
        Ok(())
    }
}
