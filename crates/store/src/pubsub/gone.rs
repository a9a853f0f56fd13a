//! What is left of nodes that are gone: rows under their numbers, which nobody asks for any more.
//!
//! A node goes in one transaction with a few rows, however much it has. `pubsub_gone` says under which
//! numbers there is something left, so a server that was killed goes on with it.

use sqlx::{AnyConnection, Row};

use crate::{Result, Store, Tx, pieces};

const LEAVE_CONTENTS: &str =
    "INSERT INTO pubsub_gone (id) SELECT n.contents FROM pubsub_nodes n WHERE n.id = $1";
const LEAVE_NODE: &str = "INSERT INTO pubsub_gone (id) \
    SELECT n.contents FROM pubsub_nodes n WHERE n.id = $1 \
    UNION ALL SELECT n.id FROM pubsub_nodes n WHERE n.id = $1";
const LEAVE_ALL: &str = "INSERT INTO pubsub_gone (id) \
    SELECT n.contents FROM pubsub_nodes n WHERE n.owner = $1 \
    UNION ALL SELECT n.id FROM pubsub_nodes n WHERE n.owner = $1";
const DELETE_ALL: &str = "DELETE FROM pubsub_nodes WHERE owner = $1";
const NEXT: &str = "SELECT id FROM pubsub_gone ORDER BY id LIMIT 1";
const END: &str = "DELETE FROM pubsub_gone WHERE id = $1";

/// The first so many rows under a number, whether it was that of a node or of contents.
const PIECES: [&str; 3] = [
    "DELETE FROM pubsub_items WHERE contents = $1 AND seq IN \
    (SELECT i.seq FROM pubsub_items i WHERE i.contents = $1 ORDER BY i.seq LIMIT $2)",
    "DELETE FROM pubsub_affiliations WHERE node = $1 AND who IN \
    (SELECT a.who FROM pubsub_affiliations a WHERE a.node = $1 ORDER BY a.who LIMIT $2)",
    "DELETE FROM pubsub_subscriptions WHERE node = $1 AND who IN \
    (SELECT s.who FROM pubsub_subscriptions s WHERE s.node = $1 ORDER BY s.who LIMIT $2)",
];

pub(super) const STATEMENTS: &[&str] = &[
    LEAVE_CONTENTS,
    LEAVE_NODE,
    LEAVE_ALL,
    DELETE_ALL,
    NEXT,
    END,
    PIECES[0],
    PIECES[1],
    PIECES[2],
];

impl Store {
    /// Returns whether anything is left of nodes that are gone.
    pub async fn is_pubsub_gone_left(&self) -> Result<bool> {
        Ok(sqlx::query(NEXT).fetch_optional(&mut *self.long_reader().await?).await?.is_some())
    }
}

impl Tx {
    /// Removes at most so many rows of what is left of nodes that are gone; returns how many. When
    /// that is fewer than `most`, nothing is left.
    pub async fn remove_gone_pubsub(&mut self, most: u64) -> Result<u64> {
        let conn = self.conn()?;
        let mut removed = 0;
        while removed < most {
            let Some(row) = sqlx::query(NEXT).fetch_optional(&mut *conn).await? else { break };
            let gone: i64 = row.try_get(0)?;
            for text in PIECES {
                if removed < most {
                    removed += pieces::change(conn, text, &[gone], most - removed).await?;
                }
            }
            if removed < most {
                sqlx::query(END).bind(gone).execute(&mut *conn).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// Notes that the items of a node are about to have no node.
pub(super) async fn leave_contents(conn: &mut AnyConnection, node: i64) -> Result<()> {
    sqlx::query(LEAVE_CONTENTS).bind(node).execute(conn).await?;
    Ok(())
}

/// Notes that a node is about to go.
pub(super) async fn leave_node(conn: &mut AnyConnection, node: i64) -> Result<()> {
    sqlx::query(LEAVE_NODE).bind(node).execute(conn).await?;
    Ok(())
}

/// Removes the nodes of an account, which are few; what they had is left to
/// [`Tx::remove_gone_pubsub`].
pub(crate) async fn leave_nodes_of(conn: &mut AnyConnection, account: i64) -> Result<()> {
    sqlx::query(LEAVE_ALL).bind(account).execute(&mut *conn).await?;
    sqlx::query(DELETE_ALL).bind(account).execute(conn).await?;
    Ok(())
}
