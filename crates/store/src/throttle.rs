//! Failed logins, by key: an account from a network, an account, or a network. Times are in even
//! time (see `heartbeat`), in microseconds.
//!
//! `core` decides what a key stands for and when it is blocked; this file stores what survives a
//! restart.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Result, Store, Tx, heartbeat, pieces};

/// How long failures are remembered after the last of them and after the end of the block: a day,
/// in microseconds. This is far longer than any window in which they are counted.
pub const THROTTLE_MEMORY: i64 = 24 * 60 * 60 * 1_000_000;

/// The most rows that are loaded, those that matter longest first. An attacker who makes more
/// networks than this fail within a day uses no more of our memory.
const MOST: i64 = 100_000;

const LOAD: &str = "SELECT scope, failures, since, blocked_until FROM throttle \
    WHERE since >= $1 OR blocked_until > $2 ORDER BY blocked_until DESC, since DESC LIMIT $3";
const SAVE: &str = "INSERT INTO throttle (scope, failures, since, blocked_until) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (scope) DO UPDATE SET failures = excluded.failures, \
    since = excluded.since, blocked_until = excluded.blocked_until";
const REMOVE: &str = "DELETE FROM throttle WHERE scope = $1";
const PURGE: &str = "DELETE FROM throttle WHERE scope IN (SELECT t.scope FROM throttle t \
    WHERE t.since < $1 AND t.blocked_until <= $2 ORDER BY t.since LIMIT $3)";

pub(crate) const STATEMENTS: &[&str] = &[LOAD, SAVE, REMOVE, PURGE];

/// The failures of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// The number of failures.
    pub failures: i64,
    /// When the last of them was, or when the administrator set the block.
    pub since: i64,
    /// Until when the key is blocked; 0 if it is not.
    pub blocked_until: i64,
}

impl Store {
    /// Returns the rows that are still relevant at this time, to be loaded at start.
    pub async fn throttle_load_all(&self, now: i64) -> Result<Vec<(String, Throttle)>> {
        let row = |row: &AnyRow| {
            let throttle = Throttle {
                failures: row.try_get(1)?,
                since: row.try_get(2)?,
                blocked_until: row.try_get(3)?,
            };
            Ok((row.try_get(0)?, throttle))
        };
        let mut conn = self.long_reader().await?;
        let query =
            sqlx::query(LOAD).bind(now.saturating_sub(THROTTLE_MEMORY)).bind(now).bind(MOST);
        query.fetch_all(&mut *conn).await?.iter().map(row).collect()
    }
}

impl Tx {
    /// Saves the failures of a key.
    pub async fn throttle_save(&mut self, key: &str, throttle: Throttle) -> Result<()> {
        sqlx::query(SAVE)
            .bind(key)
            .bind(throttle.failures)
            .bind(throttle.since)
            .bind(throttle.blocked_until)
            .execute(self.conn()?)
            .await?;
        Ok(())
    }

    /// Deletes the failures of a key.
    pub async fn throttle_remove(&mut self, key: &str) -> Result<()> {
        sqlx::query(REMOVE).bind(key).execute(self.conn()?).await?;
        Ok(())
    }

    /// Deletes at most so many of the rows that are no longer relevant at this time; returns how
    /// many keys that were.
    pub async fn throttle_purge(&mut self, now: i64, most: u64) -> Result<u64> {
        let conn = self.conn()?;
        if heartbeat::are_times_moving(conn).await? {
            return Ok(0);
        }
        let parameters = [now.saturating_sub(THROTTLE_MEMORY), now];
        pieces::change(conn, PURGE, &parameters, most).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::fresh;

    const DAY: i64 = THROTTLE_MEMORY;

    #[tokio::test]
    async fn failures_survive_until_they_are_removed() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let one = Throttle { failures: 1, since: 10, blocked_until: 0 };
        let three = Throttle { failures: 3, since: 10, blocked_until: 99 };
        tx.throttle_save("bob 127.0.0.1", one).await.unwrap();
        tx.throttle_save("bob 127.0.0.1", three).await.unwrap();
        tx.throttle_save("eve 127.0.0.1", one).await.unwrap();
        tx.throttle_remove("eve 127.0.0.1").await.unwrap();
        tx.throttle_remove("nobody").await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(
            store.throttle_load_all(20).await.unwrap(),
            [("bob 127.0.0.1".to_owned(), three)]
        );
    }

    #[tokio::test]
    async fn what_is_old_and_not_blocked_is_forgotten() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let old = Throttle { failures: 2, since: 10, blocked_until: 20 };
        let blocked = Throttle { failures: 3, since: 10, blocked_until: 2 * DAY };
        tx.throttle_save("old", old).await.unwrap();
        tx.throttle_save("blocked", blocked).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.throttle_load_all(DAY).await.unwrap().len(), 2);

        assert_eq!(
            store.throttle_load_all(DAY + 11).await.unwrap(),
            [("blocked".to_owned(), blocked)]
        );
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.throttle_purge(DAY, 9).await.unwrap(), 0);
        assert_eq!(tx.throttle_purge(DAY + 11, 9).await.unwrap(), 1);
        assert_eq!(tx.throttle_purge(2 * DAY, 9).await.unwrap(), 1);
    }
}
