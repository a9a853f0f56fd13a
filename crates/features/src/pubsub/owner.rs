//! Whose nodes these are: an account's or the service's; and what somebody is to the owner who asks
//! for something there.

use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::hosts::Host;
use whoelse_core::kit::{Cx, Target};
use whoelse_core::session::Session;
use whoelse_core::{Node, audience};
use whoelse_store::{PUBSUB_SERVICE, PubsubUsage};
use whoelse_xmpp::{BareJid, Condition, Jid, Stanza, StanzaError};

use super::access::{AccessModel, Affiliation, Asker, Refusal, Relation, Subscription};
use super::config::{Config, unsupported_access_model};
use super::{limits, refusal, service};
use crate::readable;

/// The owner of nodes.
#[derive(Clone)]
pub(crate) enum Owner {
    /// An account.
    Account(Arc<Account>),
    /// The service of the domain, by its address.
    Service(BareJid),
}

impl Owner {
    /// Its number in the store.
    pub fn id(&self) -> i64 {
        match self {
            Owner::Account(account) => account.id,
            Owner::Service(_) => PUBSUB_SERVICE,
        }
    }

    /// The address of its nodes, from which its events come.
    pub fn address(&self) -> &BareJid {
        match self {
            Owner::Account(account) => account.jid(),
            Owner::Service(address) => address,
        }
    }

    /// The account, if it is one.
    pub fn account(&self) -> Option<&Arc<Account>> {
        match self {
            Owner::Account(account) => Some(account),
            Owner::Service(_) => None,
        }
    }

    /// Returns the configuration with which a node of this name begins.
    pub fn begins(&self, name: &str) -> Config {
        match self {
            Owner::Account(_) => Config::of_account(name),
            Owner::Service(_) => Config::of_service(),
        }
    }

    /// Whether one of its nodes can be configured so. The service has no contacts.
    pub fn takes(&self, config: &Config) -> Result<(), StanzaError> {
        match (self, config.access_model) {
            (Owner::Service(_), AccessModel::Presence | AccessModel::Roster) => {
                Err(unsupported_access_model())
            }
            _ => Ok(()),
        }
    }

    /// How much it may have.
    pub fn bounds(&self, server: &Node) -> PubsubUsage {
        match self {
            Owner::Account(_) => limits::of_account(&server.settings()),
            Owner::Service(_) => service::bounds(&server.settings()),
        }
    }

    /// What somebody is to it. `groups` are those of its roster that a node names.
    pub fn relation(&self, server: &Node, who: &BareJid, groups: &[String]) -> Relation {
        match self {
            Owner::Account(account) if who == account.jid() => Relation::Oneself,
            Owner::Account(account) if audience::sees(server, account, who) => {
                let roster = account.roster();
                let contact = roster.get(who).filter(|contact| contact.listed);
                let is_in =
                    |group: &String| contact.is_some_and(|contact| contact.groups.contains(group));
                Relation::Contact { in_group: groups.iter().any(is_in) }
            }
            Owner::Service(_) if service::is_administrator(server, who) => Relation::Oneself,
            Owner::Account(_) | Owner::Service(_) => Relation::Stranger,
        }
    }
}

/// Somebody who asks for something at the nodes of an owner.
#[derive(Clone)]
pub(crate) struct Visitor {
    pub owner: Owner,
    /// The address that asks.
    pub from: Jid,
    /// The number of the account that asks; `None`: it is none of this server's.
    pub account: Option<i64>,
    /// Whether whoever asks must not learn whether there is such an owner or such a node.
    is_hidden: bool,
}

impl Visitor {
    /// Finds out whose nodes a request is about. The one answer to strangers, unless they may see the
    /// node that it names.
    pub async fn of(cx: &Cx, stanza: &Stanza, name: Option<&str>) -> Result<Visitor, StanzaError> {
        match cx.target {
            // Where everybody is a contact, a stranger is who speaks by an address in a room.
            Target::Hidden
                if !cx.node.contacts.hide_who_exists() && !is_in_a_room(&cx.node, &cx.from) =>
            {
                Err(cx.hidden())
            }
            Target::Hidden => match name {
                Some(name) => stranger(cx, stanza, name).await,
                None => Err(refusal::stranger()),
            },
            _ => Visitor::of_seen(cx),
        }
    }

    /// Somebody who sees this owner.
    pub fn seeing(owner: Owner, from: Jid, account: Option<i64>) -> Visitor {
        Visitor { owner, from, account, is_hidden: false }
    }

    /// Finds out whose nodes a request of somebody is about who may see them.
    pub fn of_seen(cx: &Cx) -> Result<Visitor, StanzaError> {
        let owner = match cx.target {
            Target::Service(key) => {
                let address = cx.node.service_address(key);
                let gone = || StanzaError::new(Condition::ServiceUnavailable);
                Owner::Service(address.ok_or_else(gone)?)
            }
            _ => Owner::Account(cx.subject()?.clone()),
        };
        Ok(Visitor::seeing(owner, cx.from.clone(), cx.asker))
    }

    /// Whether they may learn addresses of people: who knows an account by a nickname in a room must not.
    pub fn learns_addresses(&self, server: &Node) -> bool {
        !is_in_a_room(server, &self.from)
    }

    /// Whether it is the owner's own account.
    pub fn is_oneself(&self) -> bool {
        self.from.bare() == self.owner.address().as_str()
    }

    /// Whether they may make nodes.
    pub fn creates(&self, server: &Node) -> Result<(), StanzaError> {
        let may = match &self.owner {
            Owner::Account(_) => self.is_oneself(),
            Owner::Service(_) => service::lets_create(server, &self.from.to_bare()),
        };
        if may { Ok(()) } else { Err(self.refused(Refusal::Forbidden)) }
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
        server.session_at(&self.from)
    }
}

fn is_in_a_room(server: &Node, who: &Jid) -> bool {
    matches!(server.host_of(who), Host::Service(_))
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
    let (owner, from) = (Owner::Account(account), cx.from.clone());
    Ok(Visitor { owner, from, account: cx.asker, is_hidden: true })
}

/// The number of no node.
const NOBODYS: i64 = -1;
