//! Known networks: where an account logged in from, so that guesses from elsewhere cannot lock its
//! owner out.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Result, Store, Tx};

const SAVE: &str = "INSERT INTO places (account, place, at) VALUES ($1, $2, $3) \
    ON CONFLICT (account, place) DO UPDATE SET at = excluded.at WHERE places.at < excluded.at";
const SINCE: &str = "SELECT place FROM places WHERE account = $1 AND at >= $2";
const ALL_SINCE: &str = "SELECT place FROM places WHERE at >= $1 GROUP BY place \
    ORDER BY MAX(at) DESC LIMIT $2";
const PURGE: &str = "DELETE FROM places WHERE at < $1";

pub(crate) const STATEMENTS: &[&str] = &[SAVE, SINCE, ALL_SINCE, PURGE];

impl Store {
    /// Returns the networks from which an account logged in at this time or later, sorted.
    pub async fn known_networks_since(&self, account: i64, at: i64) -> Result<Vec<String>> {
        let mut conn = self.reader().await?;
        let rows = sqlx::query(SINCE).bind(account).bind(at).fetch_all(&mut *conn).await?;
        let place = |row: &AnyRow| Ok(row.try_get(0)?);
        let mut places: Vec<String> = rows.iter().map(place).collect::<Result<_>>()?;
        places.sort_unstable();
        Ok(places)
    }
}

impl Store {
    /// Returns the networks from which anybody logged in at this time or later, the latest login
    /// first, so many at most.
    pub async fn networks_since(&self, at: i64, most: u32) -> Result<Vec<String>> {
        let mut conn = self.reader().await?;
        let rows =
            sqlx::query(ALL_SINCE).bind(at).bind(i64::from(most)).fetch_all(&mut *conn).await?;
        rows.iter().map(|row: &AnyRow| Ok(row.try_get(0)?)).collect()
    }
}

impl Tx {
    /// Notes that an account logged in from a network.
    pub async fn remember_place(&mut self, account: i64, place: &str, at: i64) -> Result<()> {
        sqlx::query(SAVE).bind(account).bind(place).bind(at).execute(self.conn()?).await?;
        Ok(())
    }

    /// Deletes the networks without a login since this time; returns how many.
    pub async fn purge_places(&mut self, before_at: i64) -> Result<u64> {
        Ok(sqlx::query(PURGE).bind(before_at).execute(self.conn()?).await?.rows_affected())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::testing::{account, fresh};

    #[tokio::test]
    async fn a_place_is_known_from_the_last_login_on() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.remember_place(bob, "192.0.2.1", 10).await.unwrap();
        tx.remember_place(bob, "192.0.2.1", 30).await.unwrap();
        tx.remember_place(bob, "192.0.2.1", 20).await.unwrap();
        tx.remember_place(bob, "127.0.0.1", 10).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(store.known_networks_since(bob, 10).await.unwrap(), ["127.0.0.1", "192.0.2.1"]);
        assert_eq!(store.known_networks_since(bob, 30).await.unwrap(), ["192.0.2.1"]);
        assert_eq!(store.known_networks_since(bob, 31).await.unwrap(), Vec::<String>::new());
        assert_eq!(store.networks_since(10, 9).await.unwrap(), ["192.0.2.1", "127.0.0.1"]);
        assert_eq!(store.networks_since(10, 1).await.unwrap(), ["192.0.2.1"]);
        assert_eq!(store.networks_since(11, 9).await.unwrap(), ["192.0.2.1"]);

        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.purge_places(30).await.unwrap(), 1);
        tx.commit().await.unwrap();
        assert_eq!(store.known_networks_since(bob, 0).await.unwrap(), ["192.0.2.1"]);
    }
}
