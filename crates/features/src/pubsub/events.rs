//! What is told of a change, and to whom: those who see an account's presence and whose clients want
//! to hear it (XEP-0163, 4.3), and those who are subscribed (XEP-0060, 7.1.2), as far as they may read
//! the node.
//!
//! An event is encoded once. It is told on the finisher, so events have the order of the commits.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use whoelse_core::keeper::Then;
use whoelse_core::kit::Cx;
use whoelse_core::route::fan_out::{Listeners, fan_out_to};
use whoelse_core::route::{Entity, Origin, Routed, speak};
use whoelse_core::session::{Session, Whose};
use whoelse_core::{Node, Time, audience};
use whoelse_store::PubsubItem;
use whoelse_xmpp::write::{Element, escape};
use whoelse_xmpp::{BareJid, Class, FullJid, Jid, Outgoing, Stanza, StanzaError, ns};

use super::access::{AccessModel, Affiliation, Asker, Subscription};
use super::config::{Config, ItemReply, NotificationType};
use super::form;
use super::found::{Found, present};
use super::owner::{Owner, Visitor};
use super::to_tell::{MissedAt, ToTell};
use crate::readable;

/// What has happened at a node.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// An item was published.
    Published(Item),
    /// The node keeps no items and tells no content: something has happened.
    Happened,
    /// The item of this id was taken back.
    Retracted(String),
    /// All items were taken away.
    Purged,
    /// It is deleted, and perhaps there is another instead.
    Deleted(Option<String>),
    /// It is configured anew.
    Configured,
}

impl What {
    /// What a session misses that is not told this; `None` if it is not told later either.
    fn missed(&self) -> Option<MissedAt> {
        match self {
            What::Published(item) => Some(MissedAt::item(&item.id, false)),
            What::Retracted(id) => Some(MissedAt::item(id, true)),
            What::Purged | What::Deleted(_) => Some(MissedAt::All),
            What::Happened | What::Configured => None,
        }
    }
}

/// An item as it is told.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub id: String,
    /// The address of who published it.
    pub publisher: String,
    pub payload: Vec<u8>,
}

impl Item {
    /// The item of a row.
    pub fn of(server: &Node, row: PubsubItem) -> Item {
        let publisher = server.address_of(&row.publisher, "");
        Item { id: row.id, publisher, payload: row.payload }
    }

    /// Encodes it, with its publisher if the node is configured so.
    pub fn encode(&self, config: &Config, with_payload: bool) -> Element {
        let publisher =
            (config.item_reply == ItemReply::Publisher).then_some(self.publisher.as_str());
        let item = Element::new("item").attr("id", &self.id).attr_opt("publisher", publisher);
        if with_payload { item.raw(&self.payload) } else { item }
    }
}

/// Those who are on the lists of a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audience {
    pub affiliations: HashMap<BareJid, Affiliation>,
    pub subscriptions: Vec<(Jid, Subscription)>,
}

impl Audience {
    /// The bare addresses of those who are subscribed.
    fn subscribed(&self) -> HashSet<BareJid> {
        let subscribed = |it: &&(Jid, _)| it.1 == Subscription::Subscribed;
        self.subscriptions.iter().filter(subscribed).map(|(who, _)| who.to_bare()).collect()
    }
}

/// The sessions that were told something by their own wish.
#[derive(Default)]
struct Told {
    sessions: HashSet<FullJid>,
    accounts: HashSet<BareJid>,
}

impl Told {
    fn note(&mut self, session: &FullJid) {
        self.sessions.insert(session.clone());
        self.accounts.insert(session.to_bare());
    }

    /// Whether an address of a subscription means one of them.
    fn has(&self, who: &Jid) -> bool {
        match who.is_bare() {
            true => self.accounts.contains(who.as_str()),
            false => self.sessions.contains(who.as_str()),
        }
    }
}

/// What is told after a change.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something happened at a node: for all who hear it.
    AtNode(Box<AtNode>),
    /// A word to somebody alone.
    Word {
        /// To whom.
        to: Jid,
        /// The message, without `to`.
        message: Outgoing,
        /// Whether it waits for whoever is not there.
        waits: bool,
    },
}

/// Something that happened at a node.
#[derive(Debug)]
pub(crate) struct AtNode {
    pub name: String,
    pub config: Config,
    pub what: What,
    pub audience: Arc<Audience>,
}

/// In the slot of the server: how often something was told. It is counted before it is told.
#[derive(Default)]
struct Tellings(AtomicU64);

/// How often something was told so far. Whoever has read the store and tells what was there asks
/// before and after it, whether something newer may have been told in between.
pub(super) fn told_so_far(server: &Node) -> u64 {
    server.slots.get_or_default::<Tellings>().0.load(Ordering::SeqCst)
}

/// What is done after the commit.
pub(super) fn tell(owner: &Owner, events: Vec<Event>) -> Then {
    let owner = owner.clone();
    Box::new(move |server| {
        server.slots.get_or_default::<Tellings>().0.fetch_add(1, Ordering::SeqCst);
        for event in events {
            match event {
                Event::AtNode(event) => event.tell(server, &owner),
                Event::Word { to, message, waits } => say(server, &owner, (&to, waits), &message),
            }
        }
    })
}

impl AtNode {
    fn tell(&self, server: &Arc<Node>, owner: &Owner) {
        let message = event(owner.address(), (&self.name, &self.config), &self.what);
        let (told, subscribed) = (RefCell::new(Told::default()), self.audience.subscribed());
        let may = |who: &BareJid| self.may_hear(server, owner, (who, subscribed.contains(who)));
        if let Some(account) = owner.account() {
            let missed = self.what.missed();
            let wants = |session: &Session| {
                let wants = super::wants(session, &self.name);
                if wants && !self.audience.subscriptions.is_empty() {
                    told.borrow_mut().note(&session.jid);
                }
                if let Some(missed) = missed.as_ref().filter(|_| wants) {
                    let note = |it: &ToTell| it.note_while_told(account.jid(), &self.name, missed);
                    session.slots.look(note);
                }
                wants
            };
            let misses = |session: &Session| {
                if let Some(missed) = missed.clone() {
                    let to_tell = session.slots.get_or_default::<ToTell>();
                    to_tell.note(account.jid(), &self.name, missed);
                    // It may have been asked for what it had missed before this was noted.
                    session.miss_events(Whose::These([account.jid().clone()].into()));
                }
            };
            let audience = audience::Audience::Viewers;
            let listeners = Listeners { audience, may: &may, wants: &wants, misses: &misses };
            fan_out_to(server, &Origin::Account(account.clone()), &listeners, &message);
        }
        let told = told.into_inner();
        for (who, state) in &self.audience.subscriptions {
            let hears = match (&self.what, state) {
                (_, Subscription::Subscribed) => may(&who.to_bare()),
                // 8.4.2: whoever waits is told that there is nothing to wait for.
                (What::Deleted(_), Subscription::Pending) => true,
                (_, Subscription::Pending | Subscription::None) => false,
            };
            if hears && !told.has(who) {
                say(server, owner, (who, false), &message);
            }
        }
    }

    /// Whether somebody may hear it who is subscribed or not.
    fn may_hear(&self, server: &Node, owner: &Owner, (who, subscribed): (&BareJid, bool)) -> bool {
        let affiliation = self.audience.affiliations.get(who).copied();
        let asker = Asker {
            affiliation: affiliation.unwrap_or(Affiliation::None),
            subscription: match subscribed {
                true => Subscription::Subscribed,
                false => Subscription::None,
            },
            relation: owner.relation(server, who, &self.config.roster_groups_allowed),
        };
        asker.reads(self.config.access_model).is_ok()
    }
}

/// What has happened at a node, as it is told, without `to`.
pub(super) fn event(owner: &BareJid, (name, config): (&str, &Config), what: &What) -> Outgoing {
    let payloads = config.deliver_payloads;
    let items = || Element::new("items").attr("node", name);
    let event = match what {
        What::Published(item) => items().child(item.encode(config, payloads)),
        What::Happened => items(),
        What::Retracted(id) => items().child(Element::new("retract").attr("id", id)),
        What::Purged => Element::new("purge").attr("node", name),
        What::Deleted(instead) => {
            let delete = Element::new("delete").attr("node", name);
            match instead {
                Some(uri) => delete.child(Element::new("redirect").attr("uri", uri)),
                None => delete,
            }
        }
        What::Configured => {
            let configuration = Element::new("configuration").attr("node", name);
            match payloads {
                true => configuration.child(form::of_config(config)),
                false => configuration,
            }
        }
    };
    event_message(owner, config.notification_type, event, &[])
}

/// A message with an event, without `to`.
fn event_message(
    from: &BareJid,
    type_: NotificationType,
    event: Element,
    beside: &[u8],
) -> Outgoing {
    let type_ = (type_ == NotificationType::Headline).then(|| type_.word());
    Element::new("message")
        .attr("from", from.as_str())
        .attr_opt("type", type_)
        .attr("id", &whoelse_stream::token::token())
        .child(Element::new("event").xmlns(ns::PUBSUB_EVENT).child(event))
        .raw(beside)
        .outgoing(Class::Message)
}

/// The last item of a node for somebody who begins to hear it, without `to`: with the time at which
/// it was published.
pub(crate) fn last_item(
    server: &Node,
    owner: &BareJid,
    (name, config): (&str, &Config),
    row: PubsubItem,
) -> Outgoing {
    let delay = Element::new("delay").xmlns(ns::DELAY).attr("stamp", &Time(row.at).stamp());
    let item = Item::of(server, row).encode(config, config.deliver_payloads);
    let items = Element::new("items").attr("node", name).child(item);
    event_message(owner, config.notification_type, items, &delay.finish())
}

/// 12.11: tells somebody the state of their subscription, without `to`.
pub(super) fn of_subscription(
    owner: &BareJid,
    name: &str,
    who: &Jid,
    state: Subscription,
) -> Outgoing {
    let subscription = Element::new("subscription")
        .attr("node", name)
        .attr("jid", who.as_str())
        .attr("subscription", state.word());
    event_message(owner, NotificationType::Headline, subscription, &[])
}

/// Sends a message of the owner's to one address, if its owner lets them hear it. Whoever is not in
/// memory has no device that could get what does not wait.
fn say(server: &Arc<Node>, owner: &Owner, (to, waits): (&Jid, bool), message: &Outgoing) {
    let is_here = || server.here(&to.to_bare()).is_some();
    let is_blocked = || owner.account().is_some_and(|account| !server.wiring.shows(account, to));
    if !(waits || is_here()) || is_blocked() {
        return;
    }
    let mut attribute = b" to='".to_vec();
    escape(&mut attribute, to.as_str());
    attribute.push(b'\'');
    // What is written here can be read.
    let Ok(stanza) = Stanza::parse(message.with_attributes(&attribute).bytes) else { return };
    let address = owner.address().clone().into();
    let entity = Entity { address, payer: owner.account().cloned() };
    if let Routed::Waits(rest) = speak(server, entity, stanza) {
        tokio::spawn(rest);
    }
}

/// Pays for what is told to others of a change by somebody, and waits for their turn. What only the
/// owner hears is paid for with the request.
pub(super) async fn turn(
    cx: &Cx,
    visitor: &Visitor,
    (found, config): (Option<&Found>, &Config),
    bytes: usize,
) -> Result<(), StanzaError> {
    let is_told = match config.access_model {
        _ if !config.deliver_notifications => false,
        AccessModel::Whitelist => match found {
            Some(found) => is_shared(cx, visitor, found).await?,
            None => false,
        },
        _ => true,
    };
    if let Some(session) = visitor.session(&cx.node).filter(|_| is_told) {
        let bytes = if config.deliver_payloads { bytes } else { 0 };
        cx.node.fan_out_turn(&session, bytes).await;
    }
    Ok(())
}

/// Pays for what is told to others of a node that changes along with another, and waits for its turn.
pub(crate) async fn pay_for(cx: &Cx, visitor: &Visitor, name: &str) -> Result<(), StanzaError> {
    match present(cx, visitor, name).await? {
        Some(found) => {
            let bytes = usize::try_from(found.row.bytes).unwrap_or(usize::MAX);
            turn(cx, visitor, (Some(&found), &found.config), bytes).await
        }
        None => Ok(()),
    }
}

/// Whether there is anybody on the lists of a node.
async fn is_shared(cx: &Cx, visitor: &Visitor, found: &Found) -> Result<bool, StanzaError> {
    let (store, owner) = (&cx.node.store, visitor.owner.address());
    let affiliations = store.pubsub_affiliations(found.row.id).await;
    let affiliations = readable(&cx.node, "node_unreadable", Some(owner), affiliations)?;
    let subscriptions = store.pubsub_subscriptions(found.row.id).await;
    let subscriptions = readable(&cx.node, "node_unreadable", Some(owner), subscriptions)?;
    Ok(!affiliations.is_empty() || !subscriptions.is_empty())
}
