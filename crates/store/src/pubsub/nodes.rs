//! The nodes: their names, their configurations, and how much they hold.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::gone;
use crate::{Result, Store, Tx, sequences};

/// The columns of a node, of `pubsub_nodes n`.
macro_rules! columns {
    () => {
        "n.id, n.owner, n.name, n.config, n.items, n.bytes"
    };
}
pub(super) use columns;

const FIND: &str =
    concat!("SELECT ", columns!(), " FROM pubsub_nodes n WHERE n.owner = $1 AND n.name = $2");
/// Looks for the node even where there is no account, under a number that no account has.
const FIND_AT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM pubsub_nodes n WHERE n.owner = \
    COALESCE((SELECT a.id FROM accounts a WHERE a.domain = $1 AND a.localpart = $2), -1) \
    AND n.name = $3"
);
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM pubsub_nodes n WHERE n.owner = $1 AND n.name > $2 ORDER BY n.name LIMIT $3"
);
const USAGE: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(items), 0) AS BIGINT), \
    CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM pubsub_nodes WHERE owner = $1";
/// An account that is gone gets no node: nobody would remove it.
const CREATE: &str = "INSERT INTO pubsub_nodes (id, owner, name, config, contents, items, bytes, \
    last) SELECT $1, $2, $3, $4, $5, 0, 0, 0 \
    WHERE CAST($2 AS BIGINT) = 0 OR EXISTS (SELECT 1 FROM accounts a WHERE a.id = $2) \
    ON CONFLICT (owner, name) DO NOTHING";
const SET_CONFIG: &str = "UPDATE pubsub_nodes SET config = $2 WHERE id = $1";
const EMPTY: &str = "UPDATE pubsub_nodes SET contents = $2, items = 0, bytes = 0 WHERE id = $1";
const DELETE: &str = "DELETE FROM pubsub_nodes WHERE id = $1";

pub(super) const STATEMENTS: &[&str] =
    &[FIND, FIND_AT, LIST, USAGE, CREATE, SET_CONFIG, EMPTY, DELETE];

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PubsubNode {
    /// Its number, which no other node has had or will have.
    pub id: i64,
    /// The number of the account that it is of; [`SERVICE`](super::SERVICE): of none.
    pub owner: i64,
    /// Its name, which no other node of this owner has.
    pub name: String,
    /// Its configuration, as the feature wrote it.
    pub config: Vec<u8>,
    /// How many items it has.
    pub items: u64,
    /// How many bytes their ids and payloads have together.
    pub bytes: u64,
}

/// What an owner has of all that is bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PubsubUsage {
    /// How many nodes.
    pub nodes: u64,
    /// How many items all of them have.
    pub items: u64,
    /// How many bytes the ids and payloads of these have together.
    pub bytes: u64,
}

impl Store {
    /// Returns a node by its name.
    pub async fn pubsub_node(&self, owner: i64, name: &str) -> Result<Option<PubsubNode>> {
        find(&mut *self.own_reader().await?, owner, name).await
    }

    /// Returns a node of the account with this address. It is one question, and the same work whether
    /// or not there is such an account, so the time that it takes tells no stranger.
    pub async fn pubsub_node_at(
        &self,
        domain: i64,
        localpart: &str,
        name: &str,
    ) -> Result<Option<PubsubNode>> {
        let query = sqlx::query(FIND_AT).bind(domain).bind(localpart).bind(name);
        let row = query.fetch_optional(&mut *self.long_reader().await?).await?;
        row.as_ref().map(node).transpose()
    }

    /// Returns the first so many nodes of an owner whose names sort after this one, by name.
    pub async fn pubsub_nodes(
        &self,
        owner: i64,
        after: Option<&str>,
        most: u64,
    ) -> Result<Vec<PubsubNode>> {
        list(&mut *self.own_reader().await?, owner, after, most).await
    }

    /// Returns what an owner has. It is counted over the nodes, of which an owner has few.
    pub async fn pubsub_usage(&self, owner: i64) -> Result<PubsubUsage> {
        usage(&mut *self.own_reader().await?, owner).await
    }
}

impl Tx {
    /// Returns a node by its name.
    pub async fn pubsub_node(&mut self, owner: i64, name: &str) -> Result<Option<PubsubNode>> {
        find(self.conn()?, owner, name).await
    }

    /// Returns the first so many nodes of an owner whose names sort after this one, by name.
    pub async fn pubsub_nodes(
        &mut self,
        owner: i64,
        after: Option<&str>,
        most: u64,
    ) -> Result<Vec<PubsubNode>> {
        list(self.conn()?, owner, after, most).await
    }

    /// Returns what an owner has. It is counted over the nodes, of which an owner has few.
    pub async fn pubsub_usage(&mut self, owner: i64) -> Result<PubsubUsage> {
        usage(self.conn()?, owner).await
    }

    /// Makes a node and returns its number; `None` if the owner has one of this name, or is an
    /// account that is gone.
    pub async fn create_pubsub_node(
        &mut self,
        owner: i64,
        name: &str,
        config: &[u8],
    ) -> Result<Option<i64>> {
        let conn = self.conn()?;
        let id = sequences::next(conn, sequences::PUBSUB).await?;
        let contents = sequences::next(conn, sequences::PUBSUB).await?;
        let query = sqlx::query(CREATE).bind(id).bind(owner).bind(name).bind(config);
        let made = query.bind(contents).execute(conn).await?.rows_affected() > 0;
        Ok(made.then_some(id))
    }

    /// Sets the configuration of a node.
    pub async fn set_pubsub_config(&mut self, node: i64, config: &[u8]) -> Result<()> {
        sqlx::query(SET_CONFIG).bind(node).bind(config).execute(self.conn()?).await?;
        Ok(())
    }

    /// Removes a node; returns whether there was one. What it had is left to
    /// [`Tx::remove_gone_pubsub`], and nobody sees it any more.
    pub async fn delete_pubsub_node(&mut self, node: i64) -> Result<bool> {
        let conn = self.conn()?;
        gone::leave_node(conn, node).await?;
        Ok(sqlx::query(DELETE).bind(node).execute(conn).await?.rows_affected() > 0)
    }

    /// Takes all items from a node; affiliations and subscriptions stay. The rows of the items are
    /// left to [`Tx::remove_gone_pubsub`], and nobody sees them any more.
    pub async fn purge_pubsub_node(&mut self, node: i64) -> Result<()> {
        let conn = self.conn()?;
        gone::leave_contents(conn, node).await?;
        let contents = sequences::next(conn, sequences::PUBSUB).await?;
        sqlx::query(EMPTY).bind(node).bind(contents).execute(conn).await?;
        Ok(())
    }
}

async fn find(conn: &mut AnyConnection, owner: i64, name: &str) -> Result<Option<PubsubNode>> {
    let row = sqlx::query(FIND).bind(owner).bind(name).fetch_optional(conn).await?;
    row.as_ref().map(node).transpose()
}

/// No name is empty, so all of them sort after nothing.
async fn list(
    conn: &mut AnyConnection,
    owner: i64,
    after: Option<&str>,
    most: u64,
) -> Result<Vec<PubsubNode>> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let query = sqlx::query(LIST).bind(owner).bind(after.unwrap_or_default()).bind(most);
    query.fetch_all(conn).await?.iter().map(node).collect()
}

async fn usage(conn: &mut AnyConnection, owner: i64) -> Result<PubsubUsage> {
    let row = sqlx::query(USAGE).bind(owner).fetch_one(conn).await?;
    Ok(PubsubUsage { nodes: count(&row, 0)?, items: count(&row, 1)?, bytes: count(&row, 2)? })
}

/// Reads the [`columns`] of a node.
pub(super) fn node(row: &AnyRow) -> Result<PubsubNode> {
    Ok(PubsubNode {
        id: row.try_get(0)?,
        owner: row.try_get(1)?,
        name: row.try_get(2)?,
        config: row.try_get(3)?,
        items: count(row, 4)?,
        bytes: count(row, 5)?,
    })
}

/// Reads a number that is never below zero.
pub(super) fn count(row: &AnyRow, at: usize) -> Result<u64> {
    Ok(row.try_get::<i64, _>(at)?.unsigned_abs())
}
