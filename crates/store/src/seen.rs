//! When accounts were online, for `whoelsesince`.
//!
//! An interval is open while its account is online. An interval that is open when the server starts
//! was cut off by a crash, and is closed at the last heartbeat. Times are in even time (see
//! [`heartbeat`](crate::heartbeat)), so that setting the clock makes nobody's absence longer or
//! shorter.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::{Result, Store, Tx, heartbeat, pieces, sequences};

const OPEN: &str = "SELECT id FROM online WHERE account = $1 AND until_at IS NULL";
/// An account that is gone gets no row: none would remove it.
const INSERT: &str = "INSERT INTO online (id, account, from_at) \
    SELECT $1, a.id, $3 FROM accounts a WHERE a.id = $2";
const CLOSE: &str = "UPDATE online \
    SET until_at = CASE WHEN from_at > $2 THEN from_at ELSE $2 END \
    WHERE account = $1 AND until_at IS NULL";
const CLOSE_SOME: &str = "UPDATE online \
    SET until_at = CASE WHEN from_at > $1 THEN from_at ELSE $1 END WHERE id IN \
    (SELECT o.id FROM online o WHERE o.until_at IS NULL LIMIT $2)";
const GONE: &str = "SELECT o.account, a.localpart, MAX(o.until_at) \
    FROM online o JOIN accounts a ON a.id = o.account \
    WHERE a.domain = $1 AND o.until_at >= $2 AND o.until_at < $3 \
    GROUP BY o.account, a.localpart";
const PURGE: &str = "DELETE FROM online WHERE id IN \
    (SELECT o.id FROM online o WHERE o.until_at < $1 ORDER BY o.until_at LIMIT $2)";

pub(crate) const STATEMENTS: &[&str] = &[OPEN, INSERT, CLOSE, CLOSE_SOME, GONE, PURGE];

/// An account that went offline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoneAccount {
    /// Its number.
    pub account: i64,
    /// Its name.
    pub localpart: String,
    /// When it last went within the time that was asked about.
    pub at: i64,
}

impl Store {
    /// Returns the accounts of a domain that went offline at `from` or later, and before `to`.
    pub async fn gone_between(&self, domain: i64, from: i64, to: i64) -> Result<Vec<GoneAccount>> {
        let mut conn = self.long_reader().await?;
        let query = sqlx::query(GONE).bind(domain).bind(from).bind(to);
        let rows = query.fetch_all(&mut *conn).await?;
        let gone = |row: &AnyRow| {
            Ok(GoneAccount {
                account: row.try_get(0)?,
                localpart: row.try_get(1)?,
                at: row.try_get(2)?,
            })
        };
        rows.iter().map(gone).collect()
    }
}

impl Tx {
    /// Notes that an account came online, and returns the number of the interval. An open interval
    /// continues; an account that no longer exists is skipped.
    pub async fn came_online(&mut self, account: i64, at: i64) -> Result<i64> {
        let conn = self.conn()?;
        if let Some(id) = open(conn, account).await? {
            return Ok(id);
        }
        let id = sequences::next(conn, sequences::INTERVAL).await?;
        sqlx::query(INSERT).bind(id).bind(account).bind(at).execute(conn).await?;
        Ok(id)
    }

    /// Notes that an account went offline; nothing happens if it was not online.
    pub async fn went_offline(&mut self, account: i64, at: i64) -> Result<()> {
        sqlx::query(CLOSE).bind(account).bind(at).execute(self.conn()?).await?;
        Ok(())
    }

    /// Closes at most so many open intervals; returns how many.
    pub async fn close_open_intervals(&mut self, at: i64, most: u64) -> Result<u64> {
        pieces::change(self.conn()?, CLOSE_SOME, &[at], most).await
    }

    /// Deletes at most so many intervals that ended before this time; returns how many. None while
    /// times move ([`Tx::move_times`]).
    pub async fn purge_intervals(&mut self, before_at: i64, most: u64) -> Result<u64> {
        let conn = self.conn()?;
        if heartbeat::are_times_moving(conn).await? {
            return Ok(0);
        }
        pieces::change(conn, PURGE, &[before_at], most).await
    }
}

async fn open(conn: &mut AnyConnection, account: i64) -> Result<Option<i64>> {
    let row = sqlx::query(OPEN).bind(account).fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::testing::{account, fresh};
    use crate::{Heartbeat, Store};

    /// Who went offline in this time, and when.
    async fn gone(store: &Store, from: i64, to: i64) -> Vec<(String, i64)> {
        let domain = store.domains().await.unwrap()[0].id;
        let gone = store.gone_between(domain, from, to).await.unwrap();
        let mut gone: Vec<_> = gone.into_iter().map(|it| (it.localpart, it.at)).collect();
        gone.sort();
        gone
    }

    fn at(name: &str, at: i64) -> (String, i64) {
        (name.to_owned(), at)
    }

    #[tokio::test]
    async fn who_went_in_a_time_is_named_once_and_who_is_there_is_not() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        account(&mut tx, "never").await;
        for until in [20, 22, 30] {
            tx.came_online(eve, until - 1).await.unwrap();
            tx.went_offline(eve, until).await.unwrap();
        }
        tx.came_online(bob, 15).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(gone(&store, 20, 30).await, [at("eve", 22)]);
        assert_eq!(gone(&store, 22, 31).await, [at("eve", 30)]);
        assert!(gone(&store, 23, 30).await.is_empty());

        let elsewhere = {
            let mut tx = store.begin().await.unwrap();
            let id = tx.ensure_domain("elsewhere.example").await.unwrap();
            tx.commit().await.unwrap();
            id
        };
        assert!(store.gone_between(elsewhere, 0, 100).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn coming_online_twice_is_one_interval_and_going_twice_ends_it_once() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        let first = tx.came_online(bob, 10).await.unwrap();

        assert_eq!(tx.came_online(bob, 12).await.unwrap(), first);
        tx.went_offline(bob, 20).await.unwrap();
        tx.went_offline(bob, 30).await.unwrap();
        assert_ne!(tx.came_online(bob, 40).await.unwrap(), first);
        tx.went_offline(bob, 50).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(gone(&store, 0, 50).await, [at("bob", 20)]);
        assert_eq!(gone(&store, 21, 100).await, [at("bob", 50)]);
    }

    #[tokio::test]
    async fn an_interval_cut_off_by_a_crash_ends_at_the_last_heartbeat() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        tx.came_online(bob, 10).await.unwrap();
        for even in [30, 60] {
            tx.heartbeat(&Heartbeat { wall: 1000 + even, even, doubt: None }).await.unwrap();
        }
        tx.came_online(eve, 70).await.unwrap();
        tx.commit().await.unwrap();

        let last = store.last_heartbeat().await.unwrap().unwrap().even;
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.close_open_intervals(last, 1).await.unwrap(), 1);
        assert_eq!(tx.close_open_intervals(last, 9).await.unwrap(), 1);
        tx.commit().await.unwrap();

        assert_eq!(last, 60);
        // Eve came after the last heartbeat: she was seen when she came, not before.
        assert_eq!(gone(&store, 0, 100).await, [at("bob", 60), at("eve", 70)]);
    }

    #[tokio::test]
    async fn old_intervals_are_forgotten_and_open_ones_never() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        tx.came_online(bob, 10).await.unwrap();
        tx.went_offline(bob, 20).await.unwrap();
        tx.came_online(eve, 10).await.unwrap();

        assert_eq!(tx.purge_intervals(21, 9).await.unwrap(), 1);
        tx.commit().await.unwrap();

        assert!(gone(&store, 0, 100).await.is_empty());
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.close_open_intervals(30, 9).await.unwrap(), 1);
    }
}
