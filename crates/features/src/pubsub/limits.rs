//! The bounds of publish-subscribe. Whoever reaches one is refused, and loses nothing.

use whoelse_core::settings::{Setting, Settings, count, size};
use whoelse_core::{Node, settings};
use whoelse_store::PubsubUsage;

/// The longest name of a node and the longest id of an item, in bytes: as long as a part of an
/// address (RFC 7622).
pub(crate) const LONGEST_NAME: usize = 1023;
/// The most items that one request asks for by their ids. More are a page.
pub(super) const MOST_IDS: usize = 250;
/// The most entries of a list that one request changes: each is a row, and everybody waits for them.
pub(super) const MOST_ENTRIES: usize = 100;

/// The most subscriptions of one person to one node: one for each device, so that nobody takes the
/// places of others.
pub(super) const MOST_OF_ONE: usize = 10;

settings! {
    /// Bounds of what people publish.
    pub(crate) struct Limits in "limits" {
        /// Nodes of one account, and as many that it has made at the service: one for each kind of thing that its clients tell or keep, and one for
        /// each device whose messages are encrypted.
        pubsub_nodes: u64 = 200, count().from(1);
        /// Items of one account in all its nodes, and of one node of the service: a few thousand
        /// bookmarks and read marks.
        pubsub_items: u64 = 10_000, count().from(1);
        /// Bytes of all items of one account: enough for some avatars and whatever else is small;
        /// files belong elsewhere.
        pubsub_bytes: u64 = 10 << 20, size();
        /// Bytes of one item: an avatar with room to spare. Each is sent whole to whoever wants it.
        pubsub_item_bytes: u64 = 192 << 10, size();
        /// People who are something at one node: all are read whenever something happens there.
        pubsub_affiliations: usize = 500, count().from(1);
        /// People who are subscribed to one node, besides those who see its owner's presence: each is
        /// told whatever happens there.
        pubsub_subscriptions: usize = 500, count().from(1);
    }
}

/// The settings.
pub(super) const SETTINGS: &[Setting] = Limits::SETTINGS;

/// Whether an item may be so long.
pub(crate) fn fits_an_item(server: &Node, bytes: usize) -> bool {
    bytes as u64 <= server.settings().of::<Limits>().pubsub_item_bytes
}

/// How much an account may have.
pub(super) fn of_account(settings: &Settings) -> PubsubUsage {
    let limits = settings.of::<Limits>();
    PubsubUsage {
        nodes: limits.pubsub_nodes,
        items: limits.pubsub_items,
        bytes: limits.pubsub_bytes,
    }
}
