//! The block lists: whom an account does not want to hear from, by address key.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::address::Adopted;
use crate::{Result, Store, Tx};

const INSERT: &str = "INSERT INTO blocks (account, jid) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const DELETE: &str = "DELETE FROM blocks WHERE account = $1 AND jid = $2";
const LIST: &str = "SELECT jid FROM blocks WHERE account = $1";
const NAMING: &str = "SELECT account, jid FROM blocks WHERE jid LIKE '%' || $1 || '%'";

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

    /// Blocks an address; returns whether it was not blocked before.
    pub async fn block(&mut self, account: i64, key: &str) -> Result<bool> {
        let done = sqlx::query(INSERT).bind(account).bind(key).execute(self.conn()?).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Unblocks an address; returns whether it was blocked.
    pub async fn unblock(&mut self, account: i64, key: &str) -> Result<bool> {
        let done = sqlx::query(DELETE).bind(account).bind(key).execute(self.conn()?).await?;
        Ok(done.rows_affected() > 0)
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

        assert!(tx.block(bob, "eve@#1").await.unwrap());
        assert!(!tx.block(bob, "eve@#1").await.unwrap());
        assert!(tx.block(bob, "adam@far.example").await.unwrap());
        assert!(tx.block(eve, "bob@#1").await.unwrap());
        assert_eq!(tx.blocks(bob).await.unwrap(), ["adam@far.example", "eve@#1"]);
        assert!(tx.unblock(bob, "eve@#1").await.unwrap());
        assert!(!tx.unblock(bob, "eve@#1").await.unwrap());
        tx.commit().await.unwrap();

        assert_eq!(store.blocks(bob).await.unwrap(), ["adam@far.example"]);
        assert_eq!(store.blocks(eve).await.unwrap(), ["bob@#1"]);
    }

    #[tokio::test]
    async fn an_account_that_is_not_there_blocks_nobody() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();

        assert!(matches!(tx.block(7, "eve@#1").await, Err(Error::Gone(_))));
    }
}
