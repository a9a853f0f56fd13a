//! The lists of nodes: who is what at them, and who is subscribed to them, by address key.

use std::ops::RangeInclusive;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::address::Adopted;
use crate::{Result, Store, Tx, pieces};

const AFFILIATION: &str =
    "SELECT affiliation FROM pubsub_affiliations WHERE node = $1 AND who = $2";
const AFFILIATIONS: &str =
    "SELECT who, affiliation FROM pubsub_affiliations WHERE node = $1 ORDER BY who";
const AFFILIATIONS_OF: &str = "SELECT n.name, a.affiliation FROM pubsub_affiliations a \
    JOIN pubsub_nodes n ON n.id = a.node WHERE a.owner = $1 AND a.who = $2 ORDER BY n.name";
const AFFILIATE: &str = "INSERT INTO pubsub_affiliations (node, who, owner, affiliation) \
    SELECT n.id, $2, n.owner, $3 FROM pubsub_nodes n WHERE n.id = $1 \
    ON CONFLICT (node, who) DO UPDATE SET affiliation = excluded.affiliation";
const DISMISS: &str = "DELETE FROM pubsub_affiliations WHERE node = $1 AND who = $2";

const SUBSCRIPTION: &str =
    "SELECT who, state, options FROM pubsub_subscriptions WHERE node = $1 AND who = $2";
const SUBSCRIPTIONS: &str =
    "SELECT who, state, options FROM pubsub_subscriptions WHERE node = $1 ORDER BY who";
/// Those of a bare address and of its devices: `/` is followed by `0`.
const SUBSCRIPTIONS_OF: &str = "SELECT s.who, s.state, s.options, n.name \
    FROM pubsub_subscriptions s JOIN pubsub_nodes n ON n.id = s.node \
    WHERE (s.owner = $1 AND s.who = $2) \
    OR (s.owner = $1 AND s.who > $2 || '/' AND s.who < $2 || '0') ORDER BY n.name, s.who";
const SUBSCRIBE: &str = "INSERT INTO pubsub_subscriptions (node, who, owner, state, options) \
    SELECT n.id, $2, n.owner, $3, $4 FROM pubsub_nodes n WHERE n.id = $1 \
    ON CONFLICT (node, who) DO UPDATE SET state = excluded.state, options = excluded.options";
const UNSUBSCRIBE: &str = "DELETE FROM pubsub_subscriptions WHERE node = $1 AND who = $2";

/// What names an address goes, a piece at a time.
const FORGET: [&str; 3] = [
    "DELETE FROM pubsub_affiliations WHERE (node, who) IN \
    (SELECT a.node, a.who FROM pubsub_affiliations a WHERE a.who = $1 LIMIT $2)",
    "DELETE FROM pubsub_subscriptions WHERE (node, who) IN \
    (SELECT s.node, s.who FROM pubsub_subscriptions s WHERE s.who = $1 LIMIT $2)",
    "DELETE FROM pubsub_subscriptions WHERE (node, who) IN \
    (SELECT s.node, s.who FROM pubsub_subscriptions s \
    WHERE s.who > $1 || '/' AND s.who < $1 || '0' LIMIT $2)",
];

/// What an address is at nodes, of these numbers, becomes so much higher.
const VOID: &str = "UPDATE pubsub_affiliations SET affiliation = affiliation + $4 \
    WHERE (node, who) IN (SELECT a.node, a.who FROM pubsub_affiliations a WHERE a.who = $1 \
    AND a.affiliation >= $2 AND a.affiliation <= $3 LIMIT $5)";

const NAMING: &str = "SELECT node, who FROM pubsub_affiliations WHERE who LIKE '%' || $1 || '%' \
    UNION SELECT node, who FROM pubsub_subscriptions WHERE who LIKE '%' || $1 || '%'";
/// A name that is there already stays as it is there.
const MOVE: [&str; 2] = [
    "UPDATE pubsub_affiliations SET who = $3 WHERE node = $1 AND who = $2 AND NOT EXISTS \
    (SELECT 1 FROM pubsub_affiliations a WHERE a.node = $1 AND a.who = $3)",
    "UPDATE pubsub_subscriptions SET who = $3 WHERE node = $1 AND who = $2 AND NOT EXISTS \
    (SELECT 1 FROM pubsub_subscriptions s WHERE s.node = $1 AND s.who = $3)",
];

pub(super) const STATEMENTS: &[&str] = &[
    AFFILIATION,
    AFFILIATIONS,
    AFFILIATIONS_OF,
    AFFILIATE,
    DISMISS,
    SUBSCRIPTION,
    SUBSCRIPTIONS,
    SUBSCRIPTIONS_OF,
    SUBSCRIBE,
    UNSUBSCRIBE,
    FORGET[0],
    FORGET[1],
    FORGET[2],
    VOID,
    NAMING,
    MOVE[0],
    MOVE[1],
];

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubsubSubscription {
    /// Who is subscribed, as a key ([`to_key`](crate::to_key)): a bare address, or one of a device.
    pub who: String,
    /// Its state, as the feature wrote it.
    pub state: i64,
    /// Its options, as the feature wrote them.
    pub options: Vec<u8>,
}

impl Store {
    /// Returns what somebody is at a node, as it was set.
    pub async fn pubsub_affiliation(&self, node: i64, who: &str) -> Result<Option<i64>> {
        affiliation(&mut *self.own_reader().await?, node, who).await
    }

    /// Returns who is what at a node, sorted by key.
    pub async fn pubsub_affiliations(&self, node: i64) -> Result<Vec<(String, i64)>> {
        affiliations(&mut *self.own_reader().await?, node).await
    }

    /// Returns what somebody is at which nodes of an owner, sorted by their names.
    pub async fn pubsub_affiliations_of(
        &self,
        owner: i64,
        who: &str,
    ) -> Result<Vec<(String, i64)>> {
        affiliations_of(&mut *self.own_reader().await?, owner, who).await
    }

    /// Returns the subscription of exactly this address to a node: its state and its options.
    pub async fn pubsub_subscription(
        &self,
        node: i64,
        who: &str,
    ) -> Result<Option<(i64, Vec<u8>)>> {
        subscription(&mut *self.own_reader().await?, node, who).await
    }

    /// Returns the subscriptions to a node, sorted by key.
    pub async fn pubsub_subscriptions(&self, node: i64) -> Result<Vec<PubsubSubscription>> {
        subscriptions(&mut *self.own_reader().await?, node).await
    }

    /// Returns the subscriptions of a bare address and of its devices to nodes of an owner, each with
    /// the name of the node, sorted by that.
    pub async fn pubsub_subscriptions_of(
        &self,
        owner: i64,
        bare: &str,
    ) -> Result<Vec<(String, PubsubSubscription)>> {
        subscriptions_of(&mut *self.own_reader().await?, owner, bare).await
    }
}

impl Tx {
    /// Returns what somebody is at a node, as it was set.
    pub async fn pubsub_affiliation(&mut self, node: i64, who: &str) -> Result<Option<i64>> {
        affiliation(self.conn()?, node, who).await
    }

    /// Returns who is what at a node, sorted by key.
    pub async fn pubsub_affiliations(&mut self, node: i64) -> Result<Vec<(String, i64)>> {
        affiliations(self.conn()?, node).await
    }

    /// Returns what somebody is at which nodes of an owner, sorted by their names.
    pub async fn pubsub_affiliations_of(
        &mut self,
        owner: i64,
        who: &str,
    ) -> Result<Vec<(String, i64)>> {
        affiliations_of(self.conn()?, owner, who).await
    }

    /// Returns the subscription of exactly this address to a node: its state and its options.
    pub async fn pubsub_subscription(
        &mut self,
        node: i64,
        who: &str,
    ) -> Result<Option<(i64, Vec<u8>)>> {
        subscription(self.conn()?, node, who).await
    }

    /// Returns the subscriptions to a node, sorted by key.
    pub async fn pubsub_subscriptions(&mut self, node: i64) -> Result<Vec<PubsubSubscription>> {
        subscriptions(self.conn()?, node).await
    }

    /// Returns the subscriptions of a bare address and of its devices to nodes of an owner, each with
    /// the name of the node, sorted by that.
    pub async fn pubsub_subscriptions_of(
        &mut self,
        owner: i64,
        bare: &str,
    ) -> Result<Vec<(String, PubsubSubscription)>> {
        subscriptions_of(self.conn()?, owner, bare).await
    }

    /// Sets what somebody is at a node; `None`: nothing any more. Nothing is set at a node that is
    /// gone.
    pub async fn set_pubsub_affiliation(
        &mut self,
        node: i64,
        who: &str,
        affiliation: Option<i64>,
    ) -> Result<()> {
        let query = match affiliation {
            Some(affiliation) => sqlx::query(AFFILIATE).bind(node).bind(who).bind(affiliation),
            None => sqlx::query(DISMISS).bind(node).bind(who),
        };
        query.execute(self.conn()?).await?;
        Ok(())
    }

    /// Sets the subscription of an address to a node, its state and its options; `None`: it has none
    /// any more. Nothing is set at a node that is gone.
    pub async fn set_pubsub_subscription(
        &mut self,
        node: i64,
        who: &str,
        subscription: Option<(i64, &[u8])>,
    ) -> Result<()> {
        let query = match subscription {
            Some((state, options)) => {
                sqlx::query(SUBSCRIBE).bind(node).bind(who).bind(state).bind(options)
            }
            None => sqlx::query(UNSUBSCRIBE).bind(node).bind(who),
        };
        query.execute(self.conn()?).await?;
        Ok(())
    }

    /// Removes at most so many affiliations and subscriptions of a bare address and of its devices,
    /// at the nodes of all; returns how many. When that is fewer than `most`, nothing is left.
    pub async fn forget_pubsub_name(&mut self, who: &str, most: u64) -> Result<u64> {
        let conn = self.conn()?;
        let mut forgotten = 0;
        for text in FORGET {
            let left = most.saturating_sub(forgotten);
            if left > 0 {
                forgotten += pieces::change_about(&mut *conn, text, who, &[], left).await?;
            }
        }
        Ok(forgotten)
    }

    /// Adds so much to what an address is at at most so many nodes, where that is one of `rights`;
    /// returns at how many. When those are fewer than `most`, it is none of these at any.
    pub async fn void_pubsub_affiliations(
        &mut self,
        who: &str,
        (rights, more): (RangeInclusive<i64>, i64),
        most: u64,
    ) -> Result<u64> {
        let which = [*rights.start(), *rights.end(), more];
        pieces::change_about(self.conn()?, VOID, who, &which, most).await
    }
}

/// Rewrites what names an adopted domain by its text. A list that has the new key already keeps that, and loses
/// the row of the other.
pub(crate) async fn adopt(conn: &mut AnyConnection, adopted: &Adopted<'_>) -> Result<()> {
    for row in sqlx::query(NAMING).bind(&adopted.domain.name).fetch_all(&mut *conn).await? {
        let (node, who): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        let Some(key) = adopted.key(&who) else { continue };
        for (moving, deleting) in MOVE.into_iter().zip([DISMISS, UNSUBSCRIBE]) {
            let query = sqlx::query(moving).bind(node).bind(&who).bind(&key);
            query.execute(&mut *conn).await?;
            sqlx::query(deleting).bind(node).bind(&who).execute(&mut *conn).await?;
        }
    }
    Ok(())
}

async fn affiliation(conn: &mut AnyConnection, node: i64, who: &str) -> Result<Option<i64>> {
    let row = sqlx::query(AFFILIATION).bind(node).bind(who).fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

async fn affiliations(conn: &mut AnyConnection, node: i64) -> Result<Vec<(String, i64)>> {
    let rows = sqlx::query(AFFILIATIONS).bind(node).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn affiliations_of(
    conn: &mut AnyConnection,
    owner: i64,
    who: &str,
) -> Result<Vec<(String, i64)>> {
    let rows = sqlx::query(AFFILIATIONS_OF).bind(owner).bind(who).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn subscription(
    conn: &mut AnyConnection,
    node: i64,
    who: &str,
) -> Result<Option<(i64, Vec<u8>)>> {
    let row = sqlx::query(SUBSCRIPTION).bind(node).bind(who).fetch_optional(conn).await?;
    let row = row.as_ref().map(read_subscription).transpose()?;
    Ok(row.map(|found| (found.state, found.options)))
}

async fn subscriptions(conn: &mut AnyConnection, node: i64) -> Result<Vec<PubsubSubscription>> {
    let rows = sqlx::query(SUBSCRIPTIONS).bind(node).fetch_all(conn).await?;
    rows.iter().map(read_subscription).collect()
}

async fn subscriptions_of(
    conn: &mut AnyConnection,
    owner: i64,
    bare: &str,
) -> Result<Vec<(String, PubsubSubscription)>> {
    let rows = sqlx::query(SUBSCRIPTIONS_OF).bind(owner).bind(bare).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.try_get(3)?, read_subscription(row)?))).collect()
}

fn read_subscription(row: &AnyRow) -> Result<PubsubSubscription> {
    Ok(PubsubSubscription {
        who: row.try_get(0)?,
        state: row.try_get(1)?,
        options: row.try_get(2)?,
    })
}
