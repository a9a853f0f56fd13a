//! The accounts: their rows, how they are made and removed.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::{
    Result, Store, StoredVerifier, Tx, archives, pubsub, removals, removed_names, sequences,
};

const FIND: &str = "SELECT a.id, a.domain, a.localpart, a.created_at, a.last_active, \
    a.generation, r.id, a.registered_at FROM accounts a JOIN archives r ON r.account = a.id \
    WHERE a.domain = $1 AND a.localpart = $2";
const LIST: &str = "SELECT a.id, a.domain, a.localpart, a.created_at, a.last_active, \
    a.generation, r.id, a.registered_at FROM accounts a JOIN archives r ON r.account = a.id \
    WHERE a.domain = $1 AND a.localpart > $2 ORDER BY a.localpart LIMIT $3";
const COUNT: &str = "SELECT COUNT(*) FROM accounts WHERE domain = $1";
const INSERT: &str = "INSERT INTO accounts (id, domain, localpart, created_at, last_active) \
    VALUES ($1, $2, $3, $4, $4)";
const REGISTERED: &str = "UPDATE accounts SET registered_at = $2 WHERE id = $1";
const TOUCH: &str = "UPDATE accounts SET last_active = $2 WHERE id = $1";
const DELETE: &str = "DELETE FROM accounts WHERE id = $1";

pub(crate) const STATEMENTS: &[&str] = &[FIND, LIST, COUNT, INSERT, REGISTERED, TOUCH, DELETE];

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
    /// How often its password was set; see [`Tx::set_credentials`].
    pub generation: i64,
    /// The number of its archive, which no other archive has had or will have.
    pub archive: i64,
    /// When somebody registered it, in even time; `None`: the operator made it.
    pub registered_at: Option<i64>,
}

impl Store {
    /// Returns an account by name.
    pub async fn find_account(&self, domain: i64, localpart: &str) -> Result<Option<AccountRow>> {
        find(&mut *self.reader().await?, domain, localpart).await
    }

    /// Returns the accounts of a domain whose names sort after this one, by name.
    pub async fn list_accounts(
        &self,
        domain: i64,
        after_localpart: &str,
        limit: i64,
    ) -> Result<Vec<AccountRow>> {
        let mut conn = self.own_reader().await?;
        let query = sqlx::query(LIST).bind(domain).bind(after_localpart).bind(limit.max(0));
        query.fetch_all(&mut *conn).await?.iter().map(account).collect()
    }

    /// Returns how many accounts a domain has.
    pub async fn count_accounts(&self, domain: i64) -> Result<i64> {
        let mut conn = self.long_reader().await?;
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

    /// Makes an account and returns its number, or `None` if the name is taken: by an account, or by
    /// one that is removed and that others may still have in their rosters.
    pub async fn create_account(
        &mut self,
        domain: i64,
        localpart: &str,
        verifiers: &[StoredVerifier],
        now: i64,
    ) -> Result<Option<i64>> {
        let conn = self.conn()?;
        if find(conn, domain, localpart).await?.is_some()
            || removals::is_name_left(conn, domain, localpart).await?
        {
            return Ok(None);
        }
        let id = sequences::next(conn, sequences::ACCOUNT).await?;
        let query = sqlx::query(INSERT).bind(id).bind(domain).bind(localpart).bind(now);
        query.execute(&mut *conn).await?;
        archives::make(conn, archives::Owner::Account(id)).await?;
        removed_names::forget(conn, domain, localpart).await?;
        self.set_credentials(id, verifiers).await?;
        Ok(Some(id))
    }

    /// Removes an account; returns whether it existed. With it goes what it has little of; the rest
    /// is left to [`Tx::next_removal`], and nobody sees it any more.
    pub async fn remove_account(&mut self, id: i64) -> Result<bool> {
        let archive = archives::of_account(self.conn()?, id).await?;
        if let Some(archive) = archive {
            self.fold_if_it_has(archive).await?;
        }
        let (conn, numbering, _) = self.conn_and_known()?;
        if let Some(archive) = archive {
            numbering.forget(archive);
        }
        removals::begin(conn, id).await?;
        pubsub::leave_nodes_of(conn, id).await?;
        // The other rows of which it has few refer to this one, and are removed with it.
        let done = sqlx::query(DELETE).bind(id).execute(conn).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Notes that somebody has registered an account at this even time, from which it is counted how
    /// old it is.
    pub async fn note_registered(&mut self, id: i64, at: i64) -> Result<()> {
        sqlx::query(REGISTERED).bind(id).bind(at).execute(self.conn()?).await?;
        Ok(())
    }

    /// Notes when an account was last active: the latest call counts, not the largest time, since
    /// the clock may have been set back.
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
        generation: row.try_get(5)?,
        archive: row.try_get(6)?,
        registered_at: row.try_get(7)?,
    })
}

#[cfg(test)]
mod removal;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::Query;
    use crate::testing::{
        account, for_recipient_alone, fresh, message, remove_wholly, verifier, with_origin,
    };

    #[tokio::test]
    async fn a_name_is_given_once_in_a_domain() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let here = tx.ensure_domain("a.example").await.unwrap();
        let there = tx.ensure_domain("b.example").await.unwrap();
        let verifiers = [verifier("SCRAM-SHA-1", 1)];

        let bob = tx.create_account(here, "bob", &verifiers, 50).await.unwrap().unwrap();
        assert_eq!(tx.create_account(here, "bob", &[], 60).await.unwrap(), None);
        let other = tx.create_account(there, "bob", &[], 60).await.unwrap().unwrap();
        tx.commit().await.unwrap();

        let row = store.find_account(here, "bob").await.unwrap().unwrap();
        assert_eq!((row.id, row.domain, row.localpart.as_str()), (bob, here, "bob"));
        assert_eq!((row.created_at, row.last_active), (50, 50));
        assert_eq!(store.find_account(there, "bob").await.unwrap().unwrap().id, other);
        assert_eq!(store.find_account(here, "eve").await.unwrap(), None);
        // The refused call has not changed the password of the first.
        assert_eq!(store.credentials(bob).await.unwrap()[0].salt, [1; 16]);
    }

    #[tokio::test]
    async fn an_account_in_a_domain_that_is_not_there_is_refused() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();

        assert!(tx.create_account(9, "bob", &[], 1).await.is_err());
    }

    #[tokio::test]
    async fn accounts_are_listed_by_name_in_pages() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        for name in ["mona", "bob", "zoe", "eve"] {
            account(&mut tx, name).await;
        }
        tx.commit().await.unwrap();
        let names = async |after: &str, limit| -> Vec<String> {
            let rows = store.list_accounts(1, after, limit).await.unwrap();
            rows.into_iter().map(|row| row.localpart).collect()
        };

        assert_eq!(names("", 3).await, ["bob", "eve", "mona"]);
        assert_eq!(names("mona", 3).await, ["zoe"]);
        assert!(names("zoe", 3).await.is_empty());
        assert!(names("", 0).await.is_empty());
        assert!(names("", -1).await.is_empty());
        assert_eq!(store.count_accounts(1).await.unwrap(), 4);
        assert_eq!(store.count_accounts(2).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_latest_activity_counts_also_when_the_clock_was_set_back() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.touch_account(bob, 500).await.unwrap();
        tx.touch_account(bob, 400).await.unwrap();
        tx.touch_account(999, 400).await.unwrap();

        assert_eq!(tx.find_account(1, "bob").await.unwrap().unwrap().last_active, 400);
    }

    #[tokio::test]
    async fn everything_of_a_removed_account_goes_and_what_is_others_stays() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        tx.set_credentials(bob, &[verifier("SCRAM-SHA-1", 1)]).await.unwrap();
        tx.block(bob, &["eve@#1"]).await.unwrap();
        tx.block(eve, &["bob@#1"]).await.unwrap();
        tx.remember_place(bob, "127.0.0.1", 5).await.unwrap();
        tx.came_online(bob, 5).await.unwrap();
        let shared = message(1, ("eve", eve), ("bob", bob));
        let of_bob_alone = for_recipient_alone(message(2, ("eve", eve), ("bob", bob)));
        let to_himself = message(3, ("bob", bob), ("bob", bob));
        let answer = with_origin(message(4, ("bob", bob), ("eve", eve)), bob, "o");
        tx.append(&[shared, of_bob_alone, to_himself, answer]).await.unwrap();
        tx.advance_cursors(&[(bob, 2)]).await.unwrap();

        assert!(remove_wholly(&mut tx, bob).await);
        assert!(!remove_wholly(&mut tx, bob).await);
        tx.commit().await.unwrap();

        assert_eq!(store.find_account(1, "bob").await.unwrap(), None);
        assert!(store.credentials(bob).await.unwrap().is_empty());
        assert!(store.blocks(bob).await.unwrap().is_empty());
        assert!(store.known_networks_since(bob, 0).await.unwrap().is_empty());
        assert!(store.gone_between(1, 0, i64::MAX).await.unwrap().is_empty());
        assert_eq!(store.cursor(bob).await.unwrap(), 0);
        assert!(store.undelivered(bob, 0, 10).await.unwrap().is_empty());
        assert_eq!(store.blocks(eve).await.unwrap(), ["bob@#1"]);
        let all = Query { limit: 10, ..Query::default() };
        let of_eve = store.query(eve, &all).await.unwrap().rows;
        assert_eq!(of_eve.iter().map(|row| row.at).collect::<Vec<_>>(), [1_000, 4_000]);
        assert_eq!(store.count_rows("bodies").await, 2);
        assert_eq!(store.count_rows("archive_rows").await, 2);
        assert_eq!(store.count_rows("archives").await, 1);
    }

    #[tokio::test]
    async fn a_number_is_not_given_again_after_its_account_was_removed() {
        let (dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let first = account(&mut tx, "bob").await;
        remove_wholly(&mut tx, first).await;
        tx.commit().await.unwrap();
        store.close().await.unwrap();

        let store = crate::Store::open(&crate::testing::place(&dir)).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let second = account(&mut tx, "bob").await;

        assert!(second > first);
    }
}
