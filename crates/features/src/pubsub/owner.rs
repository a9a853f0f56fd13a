//! Whose nodes these are: an account's or the service's; and what somebody is to the owner who asks
//! for something there.

use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::kit::{Cx, Target};
use whoelse_core::session::Session;
use whoelse_core::{Node, audience};
use whoelse_xmpp::{BareJid, Condition, Jid, Stanza, StanzaError};

use super::access::{Affiliation, Asker, Refusal, Relation, Subscription};
use super::config::Config;
use super::refusal;
use crate::readable;

/// The owner of nodes.
#[derive(Clone)]
pub(crate) struct Owner {
    account: Arc<Account>,
}

impl Owner {
    /// The owner of an account's nodes.
    pub fn of(account: &Arc<Account>) -> Owner {
        Owner { account: account.clone() }
    }

    /// Its number in the store.
    pub fn id(&self) -> i64 {
        self.account.id
    }

    /// The address of its nodes, from which its events come.
    pub fn address(&self) -> &BareJid {
        self.account.jid()
    }

    /// The account, if it is one.
    pub fn account(&self) -> Option<&Arc<Account>> {
        Some(&self.account)
    }

    /// Returns the configuration with which a node of this name begins.
    pub fn begins(&self, name: &str) -> Config {
        Config::of_account(name)
    }

    /// Whether one of its nodes can be configured so.
    pub fn takes(&self, _: &Config) -> Result<(), StanzaError> {
        Ok(())
    }

    /// Whether somebody may make nodes.
    pub fn lets_create(&self, _: &Node, by: &Visitor) -> Result<(), StanzaError> {
        if by.is_oneself() { Ok(()) } else { Err(by.refused(Refusal::Forbidden)) }
    }

    /// What somebody is to it. `groups` are those of its roster that a node names.
    pub fn relation(&self, server: &Node, who: &BareJid, groups: &[String]) -> Relation {
        if who == self.address() {
            return Relation::Oneself;
        }
        if !audience::sees(server, &self.account, who) {
            return Relation::Stranger;
        }
        let roster = self.account.roster();
        let contact = roster.get(who).filter(|contact| contact.listed);
        let is_in = |group: &String| contact.is_some_and(|contact| contact.groups.contains(group));
        Relation::Contact { in_group: groups.iter().any(is_in) }
    }
}

/// Somebody who asks for something at the nodes of an owner.
#[derive(Clone)]
pub(crate) struct Visitor {
    pub owner: Owner,
    /// The address that asks.
    pub from: Jid,
    /// Whether whoever asks must not learn whether there is such an owner or such a node.
    is_hidden: bool,
}

impl Visitor {
    /// Finds out whose nodes a request is about. The one answer to strangers, unless they may see the
    /// node that it names.
    pub async fn of(cx: &Cx, stanza: &Stanza, name: Option<&str>) -> Result<Visitor, StanzaError> {
        match cx.target {
            Target::Own | Target::Other => Visitor::of_seen(cx),
            Target::Hidden => match name {
                Some(name) => stranger(cx, stanza, name).await,
                None => Err(refusal::stranger()),
            },
            _ => Err(StanzaError::new(Condition::ServiceUnavailable)),
        }
    }

    /// Somebody who may see the owner.
    pub fn of_seen(cx: &Cx) -> Result<Visitor, StanzaError> {
        let owner = Owner::of(cx.subject()?);
        Ok(Visitor { owner, from: cx.from.clone(), is_hidden: false })
    }

    /// Whether it is the owner's own account.
    pub fn is_oneself(&self) -> bool {
        self.from.bare() == self.owner.address().as_str()
    }

    /// Returns the error for a refusal, which tells a stranger nothing.
    pub fn refused(&self, refusal: Refusal) -> StanzaError {
        match self.is_hidden {
            true => refusal::stranger(),
            false => refusal.error(),
        }
    }

    /// Returns the error for a node that is not there.
    pub fn not_found(&self) -> StanzaError {
        match self.is_hidden {
            true => refusal::stranger(),
            false => refusal::not_found(),
        }
    }

    /// The session that asks, if it is one of this server.
    pub fn session(&self, server: &Node) -> Option<Arc<Session>> {
        server.here(&self.from.to_bare())?.session(self.from.resource()?)
    }
}

/// Somebody who does not see the owner, if there is any. They may see a node that is open, or where
/// they are on the list.
///
/// The store is asked the same questions whether there is anybody or not, and the account is looked at
/// only when there is such a node.
async fn stranger(cx: &Cx, stanza: &Stanza, name: &str) -> Result<Visitor, StanzaError> {
    let hidden = refusal::stranger;
    let to = stanza.to().and_then(|to| Jid::parse(to).ok()).ok_or_else(hidden)?.to_bare();
    let (domain, localpart) = cx.node.stored_at(&to).ok_or_else(hidden)?;
    let found = cx.node.store.pubsub_node_at(domain, localpart, name).await;
    let found = readable(&cx.node, "node_unreadable", Some(&to), found)?;
    let id = found.as_ref().map_or(NOBODYS, |found| found.id);
    let who = cx.node.key_of(cx.from.bare());
    let affiliation = cx.node.store.pubsub_affiliation(id, &who).await;
    let affiliation = readable(&cx.node, "node_unreadable", Some(&to), affiliation)?;
    let affiliation = affiliation.and_then(Affiliation::of_number).unwrap_or(Affiliation::None);
    let found = found.ok_or_else(hidden)?;
    let asker =
        Asker { affiliation, subscription: Subscription::None, relation: Relation::Stranger };
    let config = Config::read(&found.config);
    if asker.reads(config.access_model).is_err() && asker.publishes(config.models()).is_err() {
        return Err(hidden());
    }
    let account = cx.node.look_up(&to).await?.ok_or_else(hidden)?;
    if !cx.node.wiring.shows(&account, &cx.from) {
        return Err(hidden());
    }
    Ok(Visitor { owner: Owner::of(&account), from: cx.from.clone(), is_hidden: true })
}

/// The number of no node.
const NOBODYS: i64 = -1;
