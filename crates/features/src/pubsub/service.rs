//! What is peculiar to the nodes of the service `pubsub.DOMAIN`, which are nobody's account's: who makes
//! them, who owns all of them, and how many there may be.

use whoelse_core::Node;
use whoelse_core::settings;
use whoelse_core::settings::{Choice, Label, Setting, Settings, choice, count, label, size};
use whoelse_store::PubsubUsage;
use whoelse_xmpp::BareJid;

/// The key of the service.
pub(super) const KEY: &str = "pubsub";

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
    struct Nodes in "pubsub" {
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

/// The settings.
pub(super) const SETTINGS: &[Setting] = Nodes::SETTINGS;

/// What the address of the service has before the domain.
pub(super) fn label_of(settings: &Settings) -> Label {
    settings.of::<Nodes>().label.clone()
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
