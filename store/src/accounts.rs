//! Who has an account here.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::{Result, Store, StoredVerifier, Tx, history, numbers};

const FIND: &str = "SELECT id, domain, localpart, created_at, last_active FROM accounts \
    WHERE domain = $1 AND localpart = $2";
const LIST: &str = "SELECT id, domain, localpart, created_at, last_active FROM accounts \
    WHERE domain = $1 AND localpart > $2 ORDER BY localpart LIMIT $3";
const COUNT: &str = "SELECT COUNT(*) FROM accounts WHERE domain = $1";
const INSERT: &str = "INSERT INTO accounts (id, domain, localpart, created_at, last_active) \
    VALUES ($1, $2, $3, $4, $4)";
const TOUCH: &str = "UPDATE accounts SET last_active = $2 WHERE id = $1 AND last_active < $2";
const DELETE: &str = "DELETE FROM accounts WHERE id = $1";

pub(crate) const STATEMENTS: &[&str] = &[FIND, LIST, COUNT, INSERT, TOUCH, DELETE];

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// Its number, which no other account has had or will have.
    pub id: i64,
    /// The number of its domain.
    pub domain: i64,
    /// The name, in its normal form.
    pub localpart: String,
    /// When it was made, in microseconds since 1970.
    pub created_at: i64,
    /// When it was last active, in microseconds since 1970.
    pub last_active: i64,
}

impl Store {
    /// Returns an account by name.
    pub async fn find_account(&self, domain: i64, localpart: &str) -> Result<Option<AccountRow>> {
        find(&mut *self.reader().await?, domain, localpart).await
    }

    /// Returns the accounts of a domain whose names come after this one, sorted by name.
    pub async fn list_accounts(
        &self,
        domain: i64,
        after_localpart: &str,
        limit: i64,
    ) -> Result<Vec<AccountRow>> {
        let mut conn = self.reader().await?;
        let query = sqlx::query(LIST).bind(domain).bind(after_localpart).bind(limit.max(0));
        query.fetch_all(&mut *conn).await?.iter().map(account).collect()
    }

    /// Returns how many accounts a domain has.
    pub async fn count_accounts(&self, domain: i64) -> Result<i64> {
        let mut conn = self.reader().await?;
        Ok(sqlx::query(COUNT).bind(domain).fetch_one(&mut *conn).await?.try_get(0)?)
    }
}

impl Tx {
    /// Returns an account by name.
    pub async fn find_account(
        &mut self,
        domain: i64,
        localpart: &str,
    ) -> Result<Option<AccountRow>> {
        find(self.conn()?, domain, localpart).await
    }

    /// Makes an account and returns its number, or `None` if the name is taken.
    pub async fn create_account(
        &mut self,
        domain: i64,
        localpart: &str,
        verifiers: &[StoredVerifier],
        now: i64,
    ) -> Result<Option<i64>> {
        let conn = self.conn()?;
        if find(conn, domain, localpart).await?.is_some() {
            return Ok(None);
        }
        let id = numbers::next(conn, numbers::ACCOUNT).await?;
        let query = sqlx::query(INSERT).bind(id).bind(domain).bind(localpart).bind(now);
        query.execute(conn).await?;
        self.set_credentials(id, verifiers).await?;
        Ok(Some(id))
    }

    /// Removes an account and everything that is only its own: its blocks, credentials, places,
    /// intervals, cursor and mailbox, and the messages that are in nobody else's. Returns whether
    /// there was one.
    pub async fn remove_account(&mut self, id: i64) -> Result<bool> {
        let conn = self.conn()?;
        history::remove_archive(conn, id).await?;
        // The rest refers to the row by foreign keys and goes with it.
        let done = sqlx::query(DELETE).bind(id).execute(conn).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes when an account was active; an earlier time than the one known is ignored.
    pub async fn touch_account(&mut self, id: i64, last_active: i64) -> Result<()> {
        sqlx::query(TOUCH).bind(id).bind(last_active).execute(self.conn()?).await?;
        Ok(())
    }
}

async fn find(
    conn: &mut AnyConnection,
    domain: i64,
    localpart: &str,
) -> Result<Option<AccountRow>> {
    let row = sqlx::query(FIND).bind(domain).bind(localpart).fetch_optional(conn).await?;
    row.as_ref().map(account).transpose()
}

fn account(row: &AnyRow) -> Result<AccountRow> {
    Ok(AccountRow {
        id: row.try_get(0)?,
        domain: row.try_get(1)?,
        localpart: row.try_get(2)?,
        created_at: row.try_get(3)?,
        last_active: row.try_get(4)?,
    })
}
