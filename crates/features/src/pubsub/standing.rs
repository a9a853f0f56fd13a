//! What somebody is at the nodes of an owner, as it is stored now.

use whoelse_core::Node;
use whoelse_core::kit::Cx;
use whoelse_store::PubsubSubscription;
use whoelse_xmpp::{BareJid, StanzaError};

use super::access::{Affiliation, Asker, Subscription};
use super::found::{Found, present};
use super::owner::Visitor;
use crate::readable;

/// What somebody is at all nodes of an owner.
pub(super) struct Standing<'a> {
    server: &'a Node,
    visitor: &'a Visitor,
    /// By the names of the nodes.
    affiliations: Vec<(String, i64)>,
    /// Those that count for the address that asks: its own, or its account's.
    subscriptions: Vec<(String, PubsubSubscription)>,
}

impl<'a> Standing<'a> {
    /// Reads it.
    pub async fn of(server: &'a Node, visitor: &'a Visitor) -> Result<Standing<'a>, StanzaError> {
        let owner = &visitor.owner;
        let bare = server.key_of(visitor.from.bare());
        let full = server.key_of(visitor.from.as_str());
        let unreadable = "node_unreadable";
        let affiliations = server.store.pubsub_affiliations_of(owner.id(), &bare).await;
        let affiliations = readable(server, unreadable, Some(owner.address()), affiliations)?;
        let subscriptions = server.store.pubsub_subscriptions_of(owner.id(), &bare).await;
        let mut subscriptions = readable(server, unreadable, Some(owner.address()), subscriptions)?;
        subscriptions.retain(|(_, row)| row.who == bare || row.who == full);
        Ok(Standing { server, visitor, affiliations, subscriptions })
    }

    /// What they are at one of them.
    pub fn at(&self, found: &Found) -> Asker {
        let who: BareJid = self.visitor.from.to_bare();
        let groups = &found.config.roster_groups_allowed;
        let is_here = |name: &String| *name == found.row.name;
        let affiliation = self.affiliations.iter().find(|(name, _)| is_here(name));
        let affiliation = affiliation.and_then(|(_, number)| Affiliation::of_number(*number));
        let subscriptions = self.subscriptions.iter().filter(|(name, _)| is_here(name));
        let states = subscriptions.filter_map(|(_, row)| Subscription::of_number(row.state));
        Asker {
            affiliation: affiliation.unwrap_or(Affiliation::None),
            subscription: states.max_by_key(|it| it.number()).unwrap_or(Subscription::None),
            relation: self.visitor.owner.relation(self.server, &who, groups),
        }
    }
}

/// Finds a node of this name that somebody may read.
pub(crate) async fn readable_node(
    cx: &Cx,
    visitor: &Visitor,
    name: &str,
) -> Result<Option<Found>, StanzaError> {
    let Some(found) = present(cx, visitor, name).await? else { return Ok(None) };
    let asker = Standing::of(&cx.node, visitor).await?.at(&found);
    Ok(asker.reads(found.config.access_model).is_ok().then_some(found))
}
