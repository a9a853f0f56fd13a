//! When accounts last went offline, and with which status text (XEP-0012).
//!
//! The intervals of [`seen`](crate::seen) have a time as well, and also cover crashes. The later of
//! the two times is right, and a text belongs only to the departure with which it was sent.

use sqlx::Row;

use crate::{Result, Store, Tx};

const SET: &str = "INSERT INTO departures (account, at, status) \
    SELECT a.id, $2, $3 FROM accounts a WHERE a.id = $1 \
    ON CONFLICT (account) DO UPDATE SET at = excluded.at, status = excluded.status";
const GET: &str = "SELECT at, status FROM departures WHERE account = $1";
const INTERVAL: &str = "SELECT CAST(MAX(until_at) AS BIGINT) FROM online WHERE account = $1";

pub(crate) const STATEMENTS: &[&str] = &[SET, GET, INTERVAL];

/// The last departure of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastAvailable {
    /// The time, in even time (see [`Heartbeat`](crate::Heartbeat)).
    pub at: i64,
    /// The status text of its user's unavailable presence; empty for none.
    pub status: String,
}

impl Store {
    /// Returns an account's last departure; `None` if it has never been online.
    pub async fn departure(&self, account: i64) -> Result<Option<LastAvailable>> {
        let mut conn = self.own_reader().await?;
        let noted = sqlx::query(GET).bind(account).fetch_optional(&mut *conn).await?;
        let noted = match noted {
            Some(row) => Some(LastAvailable { at: row.try_get(0)?, status: row.try_get(1)? }),
            None => None,
        };
        let row = sqlx::query(INTERVAL).bind(account).fetch_one(&mut *conn).await?;
        let until: Option<i64> = row.try_get(0)?;
        Ok(match (noted, until) {
            (Some(noted), Some(until)) if noted.at < until => {
                Some(LastAvailable { at: until, status: String::new() })
            }
            (None, Some(at)) => Some(LastAvailable { at, status: String::new() }),
            (noted, _) => noted,
        })
    }
}

impl Tx {
    /// Notes an account's departure and its status text; an account that no longer exists is
    /// skipped.
    pub async fn departed(&mut self, account: i64, at: i64, status: &str) -> Result<()> {
        let query = sqlx::query(SET).bind(account).bind(at).bind(status);
        query.execute(self.conn()?).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{account, fresh};

    fn departure(at: i64, status: &str) -> Option<LastAvailable> {
        Some(LastAvailable { at, status: status.to_owned() })
    }

    #[tokio::test]
    async fn the_last_departure_is_known_with_its_words() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.departed(bob, 10, "gone fishing").await.unwrap();
        tx.departed(bob, 20, "").await.unwrap();
        tx.departed(bob + 1, 20, "nobody").await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(store.departure(bob).await.unwrap(), departure(20, ""));
        assert_eq!(store.departure(bob + 1).await.unwrap(), None);
    }

    #[tokio::test]
    async fn words_from_before_a_later_stay_are_not_its_end() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.came_online(bob, 1).await.unwrap();
        tx.went_offline(bob, 10).await.unwrap();
        tx.departed(bob, 10, "gone fishing").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.departure(bob).await.unwrap(), departure(10, "gone fishing"));

        let mut tx = store.begin().await.unwrap();
        tx.came_online(bob, 20).await.unwrap();
        tx.close_open_intervals(30, 9).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.departure(bob).await.unwrap(), departure(30, ""));
    }
}
