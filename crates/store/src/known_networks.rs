//! Known networks: where an account logged in from, so that guesses from elsewhere cannot lock its
//! owner out.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::{Result, Store, Tx, pieces};

/// An account that is gone gets no row: none would remove it.
const SAVE: &str = "INSERT INTO places (account, place, at) \
    SELECT a.id, $2, $3 FROM accounts a WHERE a.id = $1 \
    ON CONFLICT (account, place) DO UPDATE SET at = excluded.at WHERE places.at < excluded.at";
const SINCE: &str = "SELECT place FROM places WHERE account = $1 AND at >= $2";
const ALL_SINCE: &str = "SELECT account, place, at FROM places \
    WHERE at >= $1 AND (at, account, place) < ($2, $3, $4) \
    ORDER BY at DESC, account DESC, place DESC LIMIT $5";
const PURGE: &str = "DELETE FROM places WHERE (account, place) IN \
    (SELECT p.account, p.place FROM places p WHERE p.at < $1 ORDER BY p.at LIMIT $2)";

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

/// The last login of an account from a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkLogin {
    /// The account's number.
    pub account: i64,
    /// The network, as it is stored.
    pub network: String,
    /// When, in seconds.
    pub at: i64,
}

impl Store {
    /// Returns the last logins of everybody from each network, at this time or later, the latest
    /// first: so many of one account at most, and so many in all. It reads in pages of
    /// as many rows, and more than one only if an account has more than its share.
    pub async fn network_logins_since(
        &self,
        at: i64,
        of_account: u32,
        most: u32,
    ) -> Result<Vec<NetworkLogin>> {
        let mut conn = self.long_reader().await?;
        let mut of_accounts: HashMap<i64, u32> = HashMap::new();
        let mut latest = Vec::new();
        let mut before = NetworkLogin { at: i64::MAX, account: 0, network: String::new() };
        loop {
            let query = sqlx::query(ALL_SINCE).bind(at).bind(before.at).bind(before.account);
            let query = query.bind(before.network).bind(i64::from(most));
            let rows = query.fetch_all(&mut *conn).await?;
            let page: Vec<NetworkLogin> = rows.iter().map(login).collect::<Result<_>>()?;
            let Some(last) = page.last().cloned() else { return Ok(latest) };
            before = last;
            for login in page {
                let own = of_accounts.entry(login.account).or_default();
                if *own < of_account {
                    *own += 1;
                    latest.push(login);
                }
                if latest.len() >= most as usize {
                    return Ok(latest);
                }
            }
        }
    }
}

fn login(row: &AnyRow) -> Result<NetworkLogin> {
    Ok(NetworkLogin { account: row.try_get(0)?, network: row.try_get(1)?, at: row.try_get(2)? })
}

impl Tx {
    /// Notes that an account logged in from a network; an account that no longer exists is skipped.
    pub async fn remember_place(&mut self, account: i64, place: &str, at: i64) -> Result<()> {
        sqlx::query(SAVE).bind(account).bind(place).bind(at).execute(self.conn()?).await?;
        Ok(())
    }

    /// Deletes at most so many of the networks without a login since this time; returns how many.
    pub async fn purge_places(&mut self, before_at: i64, most: u64) -> Result<u64> {
        pieces::change(self.conn()?, PURGE, &[before_at], most).await
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

        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.purge_places(30, 9).await.unwrap(), 1);
        tx.commit().await.unwrap();
        assert_eq!(store.known_networks_since(bob, 0).await.unwrap(), ["192.0.2.1"]);
    }

    #[tokio::test]
    async fn the_latest_logins_of_everybody_are_so_many_of_each_and_so_many_in_all() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        tx.remember_place(bob, "192.0.2.1", 10).await.unwrap();
        tx.remember_place(bob, "127.0.0.1", 20).await.unwrap();
        for n in 1..=5 {
            tx.remember_place(eve, &format!("192.0.2.{n}"), 20 + n).await.unwrap();
        }
        tx.commit().await.unwrap();
        let latest = async |at, of_account, most| -> Vec<(i64, String, i64)> {
            let logins = store.network_logins_since(at, of_account, most).await.unwrap();
            logins.into_iter().map(|it| (it.account, it.network, it.at)).collect()
        };
        let one = |account, network: &str, at| (account, network.to_owned(), at);

        let expected = [
            one(eve, "192.0.2.5", 25),
            one(eve, "192.0.2.4", 24),
            one(bob, "127.0.0.1", 20),
            one(bob, "192.0.2.1", 10),
        ];
        assert_eq!(latest(10, 2, 9).await, expected);
        assert_eq!(latest(11, 2, 9).await, expected[..3]);
        assert_eq!(latest(10, 2, 1).await, expected[..1]);
        // A page of three rows is all Eve's.
        assert_eq!(latest(10, 2, 3).await, expected[..3]);
    }

    #[tokio::test]
    async fn none_of_the_logins_of_one_second_is_lost_between_two_pages() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        tx.remember_place(bob, "192.0.2.3", 10).await.unwrap();
        for n in 1..=5 {
            tx.remember_place(eve, &format!("192.0.2.{n}"), 10).await.unwrap();
        }
        tx.commit().await.unwrap();

        let logins = store.network_logins_since(10, 1, 2).await.unwrap();

        let accounts: Vec<i64> = logins.iter().map(|it| it.account).collect();
        assert_eq!(accounts, [eve, bob]);
    }
}
