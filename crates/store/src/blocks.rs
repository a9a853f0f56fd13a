//! The block lists: whom an account does not want to hear from, by address key.

use std::sync::LazyLock;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::address::Adopted;
use crate::dialect::Dialect;
use crate::rows::ManyRows;
use crate::{Result, Store, Tx};

const INSERT: &str = "INSERT INTO blocks (account, jid) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const DELETE: &str = "DELETE FROM blocks WHERE account = $1 AND jid = $2";
const LIST: &str = "SELECT jid FROM blocks WHERE account = $1";
const NAMING: &str = "SELECT account, jid FROM blocks WHERE jid LIKE '%' || $1 || '%'";

static INSERT_MANY: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new("INSERT INTO blocks (account, jid) VALUES", 2, "ON CONFLICT DO NOTHING")
});
/// PostgreSQL takes what is not of one type in `VALUES` for text.
static DELETE_MANY: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "DELETE FROM blocks WHERE (account, jid) IN \
        (SELECT CAST(v.column1 AS BIGINT), CAST(v.column2 AS TEXT) FROM (VALUES",
        2,
        ") AS v)",
    )
});

pub(crate) fn many() -> [&'static ManyRows; 2] {
    [&INSERT_MANY, &DELETE_MANY]
}

pub(crate) const STATEMENTS: &[&str] = &[INSERT, DELETE, LIST, NAMING];

impl Store {
    /// Returns the keys an account blocks, sorted.
    pub async fn blocks(&self, account: i64) -> Result<Vec<String>> {
        blocks(&mut *self.reader().await?, account).await
    }
}

impl Tx {
    /// Returns the keys an account blocks, sorted.
    pub async fn blocks(&mut self, account: i64) -> Result<Vec<String>> {
        blocks(self.conn()?, account).await
    }

    /// Blocks addresses; returns how many were not blocked before.
    pub async fn block(&mut self, account: i64, keys: &[impl AsRef<str> + Sync]) -> Result<u64> {
        of_many(self.conn()?, &INSERT_MANY, account, keys).await
    }

    /// Unblocks addresses; returns how many were blocked.
    pub async fn unblock(&mut self, account: i64, keys: &[impl AsRef<str> + Sync]) -> Result<u64> {
        of_many(self.conn()?, &DELETE_MANY, account, keys).await
    }
}

/// Rewrites the blocks that name an adopted domain by its text.
pub(crate) async fn adopt(conn: &mut AnyConnection, adopted: &Adopted<'_>) -> Result<()> {
    for row in sqlx::query(NAMING).bind(&adopted.domain.name).fetch_all(&mut *conn).await? {
        let (account, jid): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(key) = adopted.key(&jid) {
            sqlx::query(DELETE).bind(account).bind(jid).execute(&mut *conn).await?;
            sqlx::query(INSERT).bind(account).bind(key).execute(&mut *conn).await?;
        }
    }
    Ok(())
}

async fn of_many(
    conn: &mut AnyConnection,
    statement: &'static ManyRows,
    account: i64,
    keys: &[impl AsRef<str> + Sync],
) -> Result<u64> {
    let mut touched = 0;
    for (text, piece) in statement.pieces(Dialect::of(conn), keys) {
        let query = piece
            .iter()
            .fold(sqlx::query(text), |query, key| query.bind(account).bind(key.as_ref()));
        touched += query.execute(&mut *conn).await?.rows_affected();
    }
    Ok(touched)
}

async fn blocks(conn: &mut AnyConnection, account: i64) -> Result<Vec<String>> {
    let rows = sqlx::query(LIST).bind(account).fetch_all(conn).await?;
    let key = |row: &AnyRow| Ok(row.try_get(0)?);
    let mut keys: Vec<String> = rows.iter().map(key).collect::<Result<_>>()?;
    keys.sort_unstable();
    Ok(keys)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::Error;
    use crate::testing::{account, fresh};

    #[tokio::test]
    async fn a_block_says_whether_it_is_new_and_an_unblock_whether_there_was_one() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);

        assert_eq!(tx.block(bob, &["eve@#1"]).await.unwrap(), 1);
        assert_eq!(tx.block(bob, &["eve@#1"]).await.unwrap(), 0);
        assert_eq!(tx.block(bob, &["adam@far.example"]).await.unwrap(), 1);
        assert_eq!(tx.block(eve, &["bob@#1"]).await.unwrap(), 1);
        assert_eq!(tx.blocks(bob).await.unwrap(), ["adam@far.example", "eve@#1"]);
        assert_eq!(tx.unblock(bob, &["eve@#1"]).await.unwrap(), 1);
        assert_eq!(tx.unblock(bob, &["eve@#1"]).await.unwrap(), 0);
        tx.commit().await.unwrap();

        assert_eq!(store.blocks(bob).await.unwrap(), ["adam@far.example"]);
        assert_eq!(store.blocks(eve).await.unwrap(), ["bob@#1"]);
    }

    #[tokio::test]
    async fn an_account_that_is_not_there_blocks_nobody() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();

        assert!(matches!(tx.block(7, &["eve@#1"]).await, Err(Error::Gone(_))));
    }

    #[tokio::test]
    async fn many_are_blocked_and_unblocked_together_whether_or_not_some_were_so_before() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        let keys: Vec<String> = (0..1_000).map(|n| format!("n{n:03}@far.example")).collect();

        assert_eq!(tx.block(bob, &keys[..300]).await.unwrap(), 300);
        assert_eq!(tx.block(bob, &keys).await.unwrap(), 700);
        assert_eq!(tx.blocks(bob).await.unwrap(), keys);
        assert_eq!(tx.unblock(bob, &keys[..999]).await.unwrap(), 999);
        assert_eq!(tx.unblock(bob, &keys).await.unwrap(), 1);
        assert_eq!(tx.unblock(bob, &[""; 0]).await.unwrap(), 0);
    }
}
