//! When accounts were online, for `whoelsesince`.
//!
//! An interval is open while its account is online. An interval that is open when the server starts
//! was cut off by a crash, and is closed at the last heartbeat. Times are in even time (see
//! [`heartbeat`](crate::heartbeat)), so that setting the clock makes nobody's absence longer or
//! shorter.

use sqlx::{AnyConnection, Row};

use crate::{Result, Store, Tx, sequences};

const OPEN: &str = "SELECT id FROM online WHERE account = $1 AND until_at IS NULL";
const INSERT: &str = "INSERT INTO online (id, account, from_at) VALUES ($1, $2, $3)";
const CLOSE: &str = "UPDATE online \
    SET until_at = CASE WHEN from_at > $2 THEN from_at ELSE $2 END \
    WHERE account = $1 AND until_at IS NULL";
const CLOSE_ALL: &str = "UPDATE online \
    SET until_at = CASE WHEN from_at > $1 THEN from_at ELSE $1 END WHERE until_at IS NULL";
const SINCE: &str = "SELECT a.id, a.localpart FROM accounts a WHERE a.domain = $1 AND a.id IN \
    (SELECT account FROM online WHERE until_at >= $2 \
    UNION SELECT account FROM online WHERE until_at IS NULL)";
const PURGE: &str = "DELETE FROM online WHERE until_at < $1";

pub(crate) const STATEMENTS: &[&str] = &[OPEN, INSERT, CLOSE, CLOSE_ALL, SINCE, PURGE];

impl Store {
    /// Returns the accounts of a domain, number and name, that were online at this time or later,
    /// sorted by name.
    pub async fn online_since(&self, domain: i64, at: i64) -> Result<Vec<(i64, String)>> {
        let mut conn = self.reader().await?;
        let rows = sqlx::query(SINCE).bind(domain).bind(at).fetch_all(&mut *conn).await?;
        let mut accounts = Vec::with_capacity(rows.len());
        for row in rows {
            accounts.push((row.try_get(0)?, row.try_get(1)?));
        }
        accounts.sort_unstable_by(|(_, a): &(i64, String), (_, b)| a.cmp(b));
        Ok(accounts)
    }
}

impl Tx {
    /// Notes that an account came online, and returns the number of the interval. An open interval
    /// continues.
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

    /// Closes every open interval; returns how many there were.
    pub async fn close_open_intervals(&mut self, at: i64) -> Result<u64> {
        Ok(sqlx::query(CLOSE_ALL).bind(at).execute(self.conn()?).await?.rows_affected())
    }

    /// Deletes the intervals that ended before this time; returns how many.
    pub async fn purge_intervals(&mut self, before_at: i64) -> Result<u64> {
        Ok(sqlx::query(PURGE).bind(before_at).execute(self.conn()?).await?.rows_affected())
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

    async fn names_since(store: &Store, at: i64) -> Vec<String> {
        let domain = store.domains().await.unwrap()[0].id;
        let seen = store.online_since(domain, at).await.unwrap();
        seen.into_iter().map(|(_, name)| name).collect()
    }

    #[tokio::test]
    async fn whoever_was_online_at_the_time_or_later_was_seen_since() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        account(&mut tx, "never").await;
        tx.came_online(eve, 10).await.unwrap();
        tx.went_offline(eve, 20).await.unwrap();
        tx.came_online(bob, 15).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(names_since(&store, 20).await, ["bob", "eve"]);
        assert_eq!(names_since(&store, 21).await, ["bob"]);

        let elsewhere = {
            let mut tx = store.begin().await.unwrap();
            let id = tx.ensure_domain("elsewhere.example").await.unwrap();
            tx.commit().await.unwrap();
            id
        };
        assert!(store.online_since(elsewhere, 0).await.unwrap().is_empty());
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

        assert_eq!(names_since(&store, 50).await, ["bob"]);
        assert!(names_since(&store, 51).await.is_empty());
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
        assert_eq!(tx.close_open_intervals(last).await.unwrap(), 2);
        tx.commit().await.unwrap();

        assert_eq!(last, 60);
        assert_eq!(names_since(&store, 60).await, ["bob", "eve"]);
        // Eve came after the last heartbeat: she was seen when she came, not before.
        assert_eq!(names_since(&store, 61).await, ["eve"]);
        assert!(names_since(&store, 71).await.is_empty());
    }

    #[tokio::test]
    async fn old_intervals_are_forgotten_and_open_ones_never() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        tx.came_online(bob, 10).await.unwrap();
        tx.went_offline(bob, 20).await.unwrap();
        tx.came_online(eve, 10).await.unwrap();

        assert_eq!(tx.purge_intervals(21).await.unwrap(), 1);
        tx.commit().await.unwrap();

        assert_eq!(names_since(&store, 0).await, ["eve"]);
    }
}
