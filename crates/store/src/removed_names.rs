//! Removed names: the names of removed accounts, which nobody can take by registration for a while.
//! Others still know the name, and would take the next one who has it for the same person.

use sqlx::{AnyConnection, Row};

use crate::{Result, Store, Tx, pieces};

const KEEP: &str = "INSERT INTO removed_names (domain, localpart, at, lived) \
    SELECT domain, localpart, $2, $3 - created_at FROM accounts WHERE id = $1 \
    ON CONFLICT (domain, localpart) DO UPDATE SET at = excluded.at, lived = excluded.lived";
/// Skips those that lived longest.
const THIN: &str = "DELETE FROM removed_names WHERE domain = $1 AND localpart IN (SELECT localpart \
    FROM removed_names WHERE domain = $1 ORDER BY lived DESC, localpart LIMIT 100 OFFSET $2)";
const DOMAIN: &str = "SELECT domain FROM accounts WHERE id = $1";
const SINCE: &str = "SELECT 1 FROM removed_names WHERE domain = $1 AND localpart = $2 AND at >= $3";
const FORGET: &str = "DELETE FROM removed_names WHERE domain = $1 AND localpart = $2";
/// There are never many of them.
const PURGE: &str = "DELETE FROM removed_names WHERE (domain, localpart) IN \
    (SELECT n.domain, n.localpart FROM removed_names n WHERE n.at < $1 LIMIT $2)";

pub(crate) const STATEMENTS: &[&str] = &[KEEP, THIN, DOMAIN, SINCE, FORGET, PURGE];

impl Store {
    /// Returns whether an account of this name was removed at this time or later.
    pub async fn was_name_removed_since(
        &self,
        domain: i64,
        localpart: &str,
        at: i64,
    ) -> Result<bool> {
        is_kept(&mut *self.reader().await?, domain, localpart, at).await
    }
}

impl Tx {
    /// Returns whether an account of this name was removed at this time or later.
    pub async fn was_name_removed_since(
        &mut self,
        domain: i64,
        localpart: &str,
        at: i64,
    ) -> Result<bool> {
        is_kept(self.conn()?, domain, localpart, at).await
    }

    /// Keeps the name of an account that is about to be removed. `at` is in even time and `now` on
    /// the wall. If more than `most` names of the domain are kept, those whose accounts lived
    /// shortest are forgotten: whoever makes and removes many accounts frees nobody else's name.
    pub async fn keep_name(&mut self, account: i64, at: i64, now: i64, most: i64) -> Result<()> {
        let conn = self.conn()?;
        sqlx::query(KEEP).bind(account).bind(at).bind(now).execute(&mut *conn).await?;
        let row = sqlx::query(DOMAIN).bind(account).fetch_optional(&mut *conn).await?;
        if let Some(row) = row {
            let domain: i64 = row.try_get(0)?;
            sqlx::query(THIN).bind(domain).bind(most).execute(&mut *conn).await?;
        }
        Ok(())
    }

    /// Deletes at most so many of the names that were removed before this time; returns how many.
    pub async fn purge_removed_names(&mut self, before_at: i64, most: u64) -> Result<u64> {
        pieces::change(self.conn()?, PURGE, &[before_at], most).await
    }
}

/// Forgets that an account of this name was removed: there is one again.
pub(crate) async fn forget(conn: &mut AnyConnection, domain: i64, localpart: &str) -> Result<()> {
    sqlx::query(FORGET).bind(domain).bind(localpart).execute(conn).await?;
    Ok(())
}

async fn is_kept(conn: &mut AnyConnection, domain: i64, localpart: &str, at: i64) -> Result<bool> {
    let query = sqlx::query(SINCE).bind(domain).bind(localpart).bind(at);
    Ok(query.fetch_optional(conn).await?.is_some())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::testing::{fresh, remove_wholly};
    use crate::{Store, Tx};

    /// Makes an account at 0 and removes it at `now`.
    async fn come_and_go(tx: &mut Tx, name: &str, at: i64, now: i64, most: i64) {
        let account = tx.create_account(1, name, &[], 0).await.unwrap().unwrap();
        tx.keep_name(account, at, now, most).await.unwrap();
        remove_wholly(tx, account).await;
    }

    async fn kept(store: &Store, names: &[&'static str], at: i64) -> Vec<&'static str> {
        let mut kept = Vec::new();
        for name in names {
            if store.was_name_removed_since(1, name, at).await.unwrap() {
                kept.push(*name);
            }
        }
        kept
    }

    #[tokio::test]
    async fn a_removed_name_is_known_until_it_is_old_or_somebody_has_it_again() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        tx.ensure_domain("a.example").await.unwrap();
        come_and_go(&mut tx, "bob", 10, 5, 9).await;
        come_and_go(&mut tx, "eve", 20, 5, 9).await;
        come_and_go(&mut tx, "zoe", 30, 5, 9).await;
        tx.create_account(1, "zoe", &[], 0).await.unwrap();
        tx.commit().await.unwrap();
        let all = ["bob", "eve", "zoe"];

        assert_eq!(kept(&store, &all, 0).await, ["bob", "eve"]);
        assert_eq!(kept(&store, &all, 11).await, ["eve"]);
        assert!(!store.was_name_removed_since(2, "bob", 0).await.unwrap());
        let mut tx = store.begin().await.unwrap();
        assert!(tx.was_name_removed_since(1, "bob", 0).await.unwrap());
        assert_eq!(tx.purge_removed_names(20, 9).await.unwrap(), 1);
        tx.commit().await.unwrap();
        assert_eq!(kept(&store, &all, 0).await, ["eve"]);
    }

    #[tokio::test]
    async fn the_names_of_accounts_that_lived_shortest_are_forgotten_first() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        tx.ensure_domain("a.example").await.unwrap();
        let all = ["bob", "eve", "mal", "zoe"];
        for (name, lived) in all.into_iter().zip([100, 2, 1, 50]) {
            come_and_go(&mut tx, name, 1, lived, 2).await;
        }
        tx.commit().await.unwrap();

        assert_eq!(kept(&store, &all, 0).await, ["bob", "zoe"]);
    }

    #[tokio::test]
    async fn a_name_that_is_removed_again_is_kept_anew() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        tx.ensure_domain("a.example").await.unwrap();
        come_and_go(&mut tx, "bob", 10, 5, 9).await;
        come_and_go(&mut tx, "bob", 20, 5, 9).await;
        tx.commit().await.unwrap();

        assert_eq!(kept(&store, &["bob"], 20).await, ["bob"]);
    }
}
