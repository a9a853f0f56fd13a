//! The data that features keep of an account: small values, each under a namespace and a name, in
//! one table that they share. Each write is checked against a bound on the number and the total size of
//! what the account has under the namespace.

use sqlx::{AnyConnection, Row};

use crate::{Result, Store, Tx};

const READ: &str =
    "SELECT value FROM account_data WHERE account = $1 AND namespace = $2 AND name = $3";
const LIST: &str = "SELECT name, value FROM account_data WHERE account = $1 AND namespace = $2 \
    AND SUBSTR(name, 1, LENGTH($3)) = $3 ORDER BY name";
const PUT: &str = "INSERT INTO account_data (account, namespace, name, value) \
    VALUES ($1, $2, $3, $4) ON CONFLICT (account, namespace, name) \
    DO UPDATE SET value = excluded.value";
const REMOVE: &str = "DELETE FROM account_data WHERE account = $1 AND namespace = $2 AND name = $3";
/// Counts all values of an account under a namespace except the one that is about to be replaced.
const COUNT_OTHERS: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(LENGTH(value)), 0) AS BIGINT) \
    FROM account_data WHERE account = $1 AND namespace = $2 AND name <> $3";

pub(crate) const STATEMENTS: &[&str] = &[READ, LIST, PUT, REMOVE, COUNT_OTHERS];

/// The name of a value: an XML namespace, and a name in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataKey<'a> {
    /// The namespace of the feature that keeps it.
    pub namespace: &'a str,
    /// Its name there.
    pub name: &'a str,
}

impl DataKey<'_> {
    /// The longest namespace or name, in bytes.
    pub const LONGEST: usize = 512;
}

/// The most that an account may keep under a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataLimit {
    /// How many values.
    pub values: u64,
    /// How many bytes they have together.
    pub bytes: u64,
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is kept.
    Done,
    /// The account has reached the limit there; nothing was changed.
    Full,
    /// The namespace or the name is longer than 512 bytes; nothing was changed.
    TooLong,
}

impl Store {
    /// Returns a value of an account, if there is one.
    pub async fn account_data(&self, account: i64, key: DataKey<'_>) -> Result<Option<Vec<u8>>> {
        read(&mut *self.own_reader().await?, account, key).await
    }

    /// Returns the values of an account in this namespace whose names begin with `prefix`, sorted
    /// by name. There are at most as many as the account may keep.
    pub async fn list_account_data(
        &self,
        account: i64,
        namespace: &str,
        prefix: &str,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        let mut conn = self.own_reader().await?;
        let query = sqlx::query(LIST).bind(account).bind(namespace).bind(prefix);
        let rows = query.fetch_all(&mut *conn).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }
}

impl Tx {
    /// Returns a value of an account, if there is one.
    pub async fn account_data(
        &mut self,
        account: i64,
        key: DataKey<'_>,
    ) -> Result<Option<Vec<u8>>> {
        read(self.conn()?, account, key).await
    }

    /// Keeps a value of an account, in place of the present one under this key, unless that would
    /// exceed `limit`.
    ///
    /// # Errors
    /// Also when the account does not exist.
    pub async fn put_account_data(
        &mut self,
        account: i64,
        key: DataKey<'_>,
        value: &[u8],
        limit: DataLimit,
    ) -> Result<Put> {
        let DataKey { namespace, name } = key;
        if namespace.len() > DataKey::LONGEST || name.len() > DataKey::LONGEST {
            return Ok(Put::TooLong);
        }
        let conn = self.conn()?;
        let others = sqlx::query(COUNT_OTHERS).bind(account).bind(namespace).bind(name);
        let others = others.fetch_one(&mut *conn).await?;
        let (values, bytes): (i64, i64) = (others.try_get(0)?, others.try_get(1)?);
        let bytes = bytes.unsigned_abs() + value.len() as u64;
        if values.unsigned_abs() >= limit.values || bytes > limit.bytes {
            return Ok(Put::Full);
        }
        let put = sqlx::query(PUT).bind(account).bind(namespace).bind(name).bind(value);
        put.execute(conn).await?;
        Ok(Put::Done)
    }

    /// Removes a value of an account; returns whether there was one.
    pub async fn remove_account_data(&mut self, account: i64, key: DataKey<'_>) -> Result<bool> {
        let query = sqlx::query(REMOVE).bind(account).bind(key.namespace).bind(key.name);
        Ok(query.execute(self.conn()?).await?.rows_affected() > 0)
    }
}

async fn read(conn: &mut AnyConnection, account: i64, key: DataKey<'_>) -> Result<Option<Vec<u8>>> {
    let query = sqlx::query(READ).bind(account).bind(key.namespace).bind(key.name);
    let row = query.fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Error;
    use crate::testing::{account, fresh};

    const ROOMY: DataLimit = DataLimit { values: 100, bytes: 1_000 };

    fn key<'a>(namespace: &'a str, name: &'a str) -> DataKey<'a> {
        DataKey { namespace, name }
    }

    #[tokio::test]
    async fn a_value_is_kept_replaced_and_removed_and_is_one_accounts_own() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);

        for value in [b"\0one".as_slice(), b"two"] {
            let put = tx.put_account_data(bob, key("a", "x"), value, ROOMY).await.unwrap();
            assert_eq!(put, Put::Done);
            assert_eq!(tx.account_data(bob, key("a", "x")).await.unwrap().unwrap(), value);
        }
        tx.put_account_data(eve, key("a", "x"), b"hers", ROOMY).await.unwrap();
        tx.put_account_data(bob, key("b", "x"), b"", ROOMY).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(store.account_data(bob, key("a", "x")).await.unwrap().unwrap(), b"two");
        assert_eq!(store.account_data(bob, key("b", "x")).await.unwrap().unwrap(), b"");
        assert_eq!(store.account_data(bob, key("a", "y")).await.unwrap(), None);
        let mut tx = store.begin().await.unwrap();
        assert!(tx.remove_account_data(bob, key("a", "x")).await.unwrap());
        assert!(!tx.remove_account_data(bob, key("a", "x")).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(store.account_data(eve, key("a", "x")).await.unwrap().unwrap(), b"hers");
    }

    #[tokio::test]
    async fn a_list_holds_the_names_that_begin_alike_and_is_sorted() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        for name in ["note%2", "note%", "nota", "Note%", "note%10", "é"] {
            let put = tx.put_account_data(bob, key("a", name), name.as_bytes(), ROOMY).await;
            assert_eq!(put.unwrap(), Put::Done);
        }
        tx.put_account_data(bob, key("b", "note%3"), b"", ROOMY).await.unwrap();
        tx.commit().await.unwrap();
        let names = async |prefix: &str| -> Vec<String> {
            let listed = store.list_account_data(bob, "a", prefix).await.unwrap();
            listed.into_iter().map(|(name, _)| name).collect()
        };

        assert_eq!(names("note%").await, ["note%", "note%10", "note%2"]);
        assert_eq!(names("é").await, ["é"]);
        assert_eq!(names("").await.len(), 6);
        assert!(names("note_").await.is_empty());
    }

    #[tokio::test]
    async fn an_account_keeps_no_more_than_it_may_and_a_smaller_value_always_fits() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        let limit = DataLimit { values: 2, bytes: 10 };
        let mut put = async |of, name, value: &[u8]| {
            tx.put_account_data(of, key("a", name), value, limit).await.unwrap()
        };

        assert_eq!(put(bob, "one", b"12345678901").await, Put::Full);
        assert_eq!(put(bob, "one", b"1234567890").await, Put::Done);
        assert_eq!(put(bob, "two", b"1").await, Put::Full);
        assert_eq!(put(bob, "one", b"123456789").await, Put::Done);
        assert_eq!(put(bob, "two", b"1").await, Put::Done);
        assert_eq!(put(bob, "three", b"").await, Put::Full);
        // The values of one account do not count for another, nor those of another namespace.
        let elsewhere = key("b", "three");
        let put = tx.put_account_data(bob, elsewhere, b"1234567890", limit).await.unwrap();
        assert_eq!(put, Put::Done);
        let mut put = async |of, name, value: &[u8]| {
            tx.put_account_data(of, key("a", name), value, limit).await.unwrap()
        };
        assert_eq!(put(eve, "three", b"1234567890").await, Put::Done);
        let long = "x".repeat(DataKey::LONGEST + 1);
        let name = tx.put_account_data(eve, key("a", &long), b"", ROOMY).await.unwrap();
        let namespace = tx.put_account_data(eve, key(&long, "a"), b"", ROOMY).await.unwrap();
        assert_eq!((name, namespace), (Put::TooLong, Put::TooLong));
        tx.commit().await.unwrap();

        let kept = store.list_account_data(bob, "a", "").await.unwrap();
        assert_eq!(kept, [("one".into(), b"123456789".to_vec()), ("two".into(), b"1".to_vec())]);
    }

    #[tokio::test]
    async fn an_account_that_is_not_there_keeps_nothing() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();

        let put = tx.put_account_data(7, key("a", "x"), b"", ROOMY).await;

        assert!(matches!(put, Err(Error::Gone(_))));
    }
}
