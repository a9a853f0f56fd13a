//! Publish-subscribe (XEP-0060, XEP-0163): nodes, their items, who is what at them and who is
//! subscribed.
//!
//! What a configuration, an affiliation, a state or an option means, the feature knows; here they are
//! bytes and numbers. A node is of an account, or of the service of the domain, which has the number
//! [`SERVICE`]. Whatever a node has much of stands under a number that is given once, so a node that
//! goes leaves its rows under a number that nobody asks for, and they go in pieces.
//! See `docs/design/pubsub.md`.

mod gone;
mod items;
mod last_items;
mod lists;
mod nodes;

pub use items::{NewPubsubItem, PubsubItem, PubsubPage};
pub use lists::PubsubSubscription;
pub use nodes::{PubsubNode, PubsubUsage};

use crate::rows::ManyRows;

pub(crate) use gone::leave_nodes_of;
pub(crate) use lists::adopt;

/// The number of the owner that is no account: the service of the domain.
pub const SERVICE: i64 = 0;

pub(crate) const STATEMENTS: [&[&str]; 4] =
    [gone::STATEMENTS, items::STATEMENTS, lists::STATEMENTS, nodes::STATEMENTS];

/// Counts rows that do not fit together, of a backup: nodes of no account; numbers that two have, or one
/// that has gone; nodes that do not say what they hold; items that do not say how long they are; and
/// items and lists of no node, if it has not gone.
pub(crate) const MISFITS: &str = "SELECT \
    (SELECT COUNT(*) FROM pubsub_nodes n WHERE n.owner <> 0 \
        AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = n.owner)) \
    + (SELECT COUNT(*) - COUNT(DISTINCT number) FROM (SELECT id AS number FROM pubsub_nodes \
        UNION ALL SELECT contents FROM pubsub_nodes UNION ALL SELECT id FROM pubsub_gone)) \
    + (SELECT COUNT(*) FROM pubsub_nodes n LEFT JOIN \
        (SELECT contents, COUNT(*) AS items, SUM(bytes) AS bytes FROM pubsub_items \
        GROUP BY contents) AS held ON held.contents = n.contents \
        WHERE n.items <> COALESCE(held.items, 0) OR n.bytes <> COALESCE(held.bytes, 0)) \
    + (SELECT COUNT(*) FROM pubsub_items WHERE bytes <> octet_length(id) + LENGTH(payload)) \
    + (SELECT COUNT(*) FROM pubsub_items WHERE contents NOT IN \
        (SELECT contents FROM pubsub_nodes UNION SELECT id FROM pubsub_gone)) \
    + (SELECT COUNT(*) FROM (SELECT node, owner FROM pubsub_affiliations \
        UNION ALL SELECT node, owner FROM pubsub_subscriptions) AS l \
        WHERE l.node NOT IN (SELECT id FROM pubsub_gone) AND NOT EXISTS \
        (SELECT 1 FROM pubsub_nodes n WHERE n.id = l.node AND n.owner = l.owner))";

pub(crate) fn many() -> [&'static ManyRows; 3] {
    [items::by_id(), last_items::of(), last_items::owners()]
}

#[cfg(test)]
mod tests;
