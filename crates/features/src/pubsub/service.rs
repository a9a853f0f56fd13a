//! The service `pubsub.DOMAIN`: nodes that are nobody's account's (docs/design/services.md).

use whoelse_core::Node;
use whoelse_core::kit::Service;
use whoelse_core::kit::service::Identity;
use whoelse_core::settings;
use whoelse_core::settings::{Choice, Label, Settings, choice, count, label, size};
use whoelse_store::PubsubUsage;
use whoelse_xmpp::BareJid;

use super::{authorization, discovery};

/// The key of the service.
pub(super) const KEY: &str = "pubsub";

/// The service.
pub(super) static SERVICE: Service = Service {
    key: KEY,
    label: |settings| settings.of::<Nodes>().label.clone(),
    identity: Identity { category: "pubsub", type_: "service", name: "Nodes" },
    features: |_| discovery::OF_SERVICE.to_vec(),
    info: Some(|cx, query| Box::pin(discovery::info(cx, query))),
    items: Some(|cx, query| Box::pin(discovery::items(cx, query))),
    take: Some(authorization::take),
};

/// Who may make nodes at the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creators {
    /// Every account.
    Everyone,
    /// Administrators only.
    Administrators,
}

impl Choice for Creators {
    const WORDS: &'static [(&'static str, Creators)] =
        &[("everyone", Creators::Everyone), ("administrators", Creators::Administrators)];
}

settings! {
    /// Nodes that are nobody's account's, at an address of their own: news, feeds, what programs tell
    /// each other.
    pub(super) struct Nodes in "pubsub" {
        /// What the address of the service has before the domain.
        label: Label = Label::fixed("pubsub"), label().at_start();
        /// Who may make nodes there: "administrators", or "everyone".
        create: Creators = Creators::Everyone,
            choice().in_a_file(|| Creators::Administrators);
        /// Nodes of the service: as many as a list shows in one answer.
        nodes: u64 = 1_000, count().from(1);
        /// Bytes of all items of the service: a hundred people who use up what one may keep.
        bytes: u64 = 1 << 30, size();
    }
}

/// How much the service may have. Each of its nodes has a bound for its items.
pub(super) fn bounds(settings: &Settings) -> PubsubUsage {
    let nodes = settings.of::<Nodes>();
    PubsubUsage { nodes: nodes.nodes, items: u64::MAX, bytes: nodes.bytes }
}

/// Whether somebody may make nodes at the service.
pub(super) fn lets_create(server: &Node, who: &BareJid) -> bool {
    match server.settings().of::<Nodes>().create {
        Creators::Everyone => true,
        Creators::Administrators => is_administrator(server, who),
    }
}

/// Whether somebody is an administrator: they own all nodes of the service.
pub(super) fn is_administrator(server: &Node, who: &BareJid) -> bool {
    server.here(who).is_some_and(|account| server.is_administrator(&account))
}
