//! A service: an address of this server below its domain that is neither the server nor an account,
//! such as `chat.DOMAIN` (docs/design/services.md).

use std::sync::Arc;

use whoelse_xmpp::payload::xmpp_parsers::disco::{DiscoInfoQuery, DiscoItemsQuery};

use super::{Answer, BoxFuture, Cx};
use crate::node::Node;
use crate::route::{Addressed, Origin, Routed};
use crate::settings::{Label, Settings};

/// What takes a stanza that is no request to the service itself, on its sender's task.
pub type Take = fn(&Arc<Node>, Origin, Addressed) -> Routed;
/// What answers a question of service discovery.
pub type About<Q> = fn(Cx, Q) -> BoxFuture<'static, Answer>;

/// A service. Declared as `SERVICE` in the file of the feature that has it.
#[derive(Clone, Copy)]
pub struct Service {
    /// The key by which handlers name it ([`Target::Service`](super::Target)).
    pub key: &'static str,
    /// Its label before the domain: a setting of the feature, which only a start changes.
    pub label: fn(&Settings) -> Label,
    /// What it says that it is, in discovery.
    pub identity: Identity,
    /// The namespaces that discovery names for it, beside those of discovery itself.
    pub features: fn(&Node) -> Vec<&'static str>,
    /// Answers what a node of its is (`disco#info` with a node). Without it there are none.
    pub info: Option<About<DiscoInfoQuery>>,
    /// Answers what is there (`disco#items`). Without it nothing is.
    pub items: Option<About<DiscoItemsQuery>>,
    /// Takes everything that is no request to the service itself: messages, presence, and whatever is
    /// for an address at it. Without it what could be answered is refused.
    pub take: Option<Take>,
}

/// What a service says that it is: one identity of service discovery.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The category.
    pub category: &'static str,
    /// The type within it.
    pub type_: &'static str,
    /// The name for people.
    pub name: &'static str,
}
