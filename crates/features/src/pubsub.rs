//! XEP-0060, Publish-Subscribe, and XEP-0163, Personal Eventing Protocol: people leave small items
//! with their accounts, or at a service, and those who may hear it, and want to, are told
//! (docs/design/pubsub.md).

mod access;
mod affiliations;
mod authorization;
mod change;
mod config;
mod discovery;
mod events;
mod form;
mod found;
mod last_items;
mod limits;
mod nodes;
mod owner;
mod publish;
mod refusal;
mod request;
mod retract;
mod retrieve;
mod service;
mod standing;
mod subscriptions;
mod to_tell;
pub(crate) mod views;

use std::time::Duration;

use whoelse_core::kit::service::Identity;
use whoelse_core::kit::{Answer, At, Cx, Feature, Service, Target, Verb, When};
use whoelse_xmpp::{Child, Condition, Stanza, StanzaError, ns};

use crate::capabilities::wants;
pub(crate) use access::AccessModel;
pub(crate) use change::{Nodes, Stop, change};
pub(crate) use config::{Config, MaxItems};
pub(crate) use events::{Item, What, pay_for};
pub(crate) use found::Found;
pub(crate) use limits::{LONGEST_NAME, fits_an_item};
pub(crate) use owner::{Owner, Visitor};
pub(crate) use refusal::{bad, no_room, node_full};
use request::Request;
pub(crate) use request::{Draft, Publication};
use retract::Retraction;
pub(crate) use standing::readable_node;

/// XEP-0060 and XEP-0163.
pub const FEATURE: Feature = Feature {
    name: "pubsub",
    // The last three are ways to use it.
    xeps: &[(60, "1.30.0"), (163, "1.2.2"), (172, "1.1"), (222, "1.0"), (223, "1.1.1")],
    settings: &[limits::SETTINGS, service::SETTINGS],
    wire: |w| {
        for of in [ns::PUBSUB, ns::PUBSUB_OWNER] {
            w.on(Verb::Get, OWNERS, (of, "pubsub"), get);
            w.on(Verb::Set, OWNERS, (of, "pubsub"), set);
        }
        w.incoming(When::Guard, authorization::take_from_owner);
        w.service(&SERVICE);
        w.name_gone(|_, tx, who, most| Box::pin(tx.forget_pubsub_name(who, most)));
        w.name_taken(|_, tx, who, most| Box::pin(affiliations::void(tx, who, most)));
        w.about_accounts(&discovery::OF_ACCOUNTS);
        last_items::wire(w);
        w.every(SWEEP, |server| Box::pin(async move { nodes::remove_gone(&server).await }));
    },
    ..Feature::PLAIN
};

/// The service `pubsub.DOMAIN` (docs/design/services.md).
static SERVICE: Service = Service {
    key: service::KEY,
    label: service::label_of,
    identity: Identity { category: "pubsub", type_: "service", name: "Nodes" },
    features: |_| discovery::OF_SERVICE.to_vec(),
    info: Some(|cx, query| Box::pin(discovery::info(cx, query))),
    items: Some(|cx, query| Box::pin(discovery::items(cx, query))),
    take: Some(authorization::take),
};

/// Whose nodes there can be. A device has none.
const OWNERS: At = &[Target::Own, Target::Other, Target::Hidden, Target::Service(service::KEY)];
/// How often what is left of removed accounts is looked for; what a deletion leaves goes at once.
const SWEEP: Duration = Duration::from_secs(3600);

async fn get(cx: Cx, stanza: Stanza, pubsub: Child) -> Answer {
    answer(cx, Verb::Get, stanza, pubsub).await
}

async fn set(cx: Cx, stanza: Stanza, pubsub: Child) -> Answer {
    answer(cx, Verb::Set, stanza, pubsub).await
}

async fn answer(cx: Cx, verb: Verb, stanza: Stanza, pubsub: Child) -> Answer {
    let request = Request::read(verb, &stanza, &pubsub)?;
    let visitor = Visitor::of(&cx, &stanza, request.node()).await?;
    if let (Some(account), Some(node)) = (visitor.owner.account(), request.node()) {
        views::ready(&cx.node, account, node).await;
        if request.changes_items() {
            views::pay(&cx, &visitor, node).await?;
        }
    }
    let is_own = visitor.is_oneself();
    let answer = dispatch(cx, visitor, request).await;
    answer.map_err(|error| if is_own { repeating(error, &stanza, &pubsub) } else { error })
}

/// Whoever asks for a node of theirs that is not there hears what they have asked for: clients make
/// their first list of devices only then.
fn repeating(error: StanzaError, stanza: &Stanza, pubsub: &Child) -> StanzaError {
    if error.condition != Condition::ItemNotFound {
        return error;
    }
    // It is not longer than the stanza.
    match stanza.alone(std::slice::from_ref(pubsub), usize::MAX) {
        Some(asked) => error.with_payload(asked),
        None => error,
    }
}

async fn dispatch(cx: Cx, visitor: Visitor, request: Request) -> Answer {
    match request {
        Request::Subscriptions(node) => subscriptions::own(cx, visitor, node).await,
        Request::Affiliations(node) => affiliations::own(cx, visitor, node).await,
        Request::Subscribe { node, jid } => subscriptions::subscribe(cx, visitor, node, jid).await,
        Request::Unsubscribe { node, jid } => {
            subscriptions::unsubscribe(cx, visitor, node, jid).await
        }
        Request::Items { node, which } => retrieve::items(cx, visitor, node, which).await,
        Request::Publish(publication) => publish::publish(cx, visitor, publication).await,
        Request::Retract { node, id, notify } => {
            retract::retract(cx, visitor, Retraction { node, id, notify }).await
        }
        Request::Create { node, configure } => nodes::create(cx, visitor, node, configure).await,
        Request::Configuration { node } => nodes::configuration(cx, visitor, node).await,
        Request::Configure { node, form } => nodes::configure(cx, visitor, node, form).await,
        Request::DefaultConfiguration => nodes::default_configuration(&visitor),
        Request::Delete { node, redirect } => nodes::delete(cx, visitor, node, redirect).await,
        Request::Purge { node } => nodes::purge(cx, visitor, node).await,
        Request::SubscriptionsOf { node } => subscriptions::of_node(cx, visitor, node).await,
        Request::SetSubscriptions { node, entries } => {
            subscriptions::set(cx, visitor, node, entries).await
        }
        Request::AffiliationsOf { node } => affiliations::of_node(cx, visitor, node).await,
        Request::SetAffiliations { node, entries } => {
            affiliations::set(cx, visitor, node, entries).await
        }
    }
}
