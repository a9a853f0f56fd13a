//! A node as it is found in the store.

use whoelse_core::kit::Cx;
use whoelse_store::PubsubNode;
use whoelse_xmpp::StanzaError;

use super::config::Config;
use super::owner::Visitor;
use crate::readable;

/// A node with its configuration.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub row: PubsubNode,
    pub config: Config,
}

impl Found {
    pub fn of(row: PubsubNode) -> Found {
        let config = Config::read(&row.config);
        Found { row, config }
    }
}

/// Finds a node of this name.
pub(super) async fn present(
    cx: &Cx,
    visitor: &Visitor,
    name: &str,
) -> Result<Option<Found>, StanzaError> {
    let owner = &visitor.owner;
    let found = cx.node.store.pubsub_node(owner.id(), name).await;
    let found = readable(&cx.node, "node_unreadable", Some(owner.address()), found)?;
    Ok(found.map(Found::of))
}

/// Finds a node for somebody, who is told if there is none.
pub(super) async fn found(cx: &Cx, visitor: &Visitor, name: &str) -> Result<Found, StanzaError> {
    present(cx, visitor, name).await?.ok_or_else(|| visitor.not_found())
}
