//! Credentials: the verifiers of an account's password. The password itself is stored nowhere.

use std::fmt;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::{Result, Store, Tx, pieces};

const LIST: &str = "SELECT mechanism, salt, iterations, stored_key, server_key \
    FROM credentials WHERE account = $1";
const CLEAR: &str = "DELETE FROM credentials WHERE account = $1";
const INSERT: &str = "INSERT INTO credentials \
    (account, mechanism, salt, iterations, stored_key, server_key) \
    VALUES ($1, $2, $3, $4, $5, $6)";

const LACKING: &str = "SELECT 1 FROM credentials a WHERE a.mechanism = $1 AND NOT EXISTS \
    (SELECT 1 FROM credentials b WHERE b.account = a.account AND b.mechanism = $2) LIMIT 1";

const RAISE: &str =
    "UPDATE accounts SET generation = generation + 1 WHERE id = $1 RETURNING generation";
const GENERATION: &str = "SELECT generation FROM accounts WHERE id = $1";

/// A row for each former password, or one without.
const OF_NAME: &str = "SELECT a.id, a.generation, c.salt, c.iterations, c.stored_key, \
    c.server_key, f.stored_key, f.changed_at FROM accounts a \
    LEFT JOIN credentials c ON c.account = a.id AND c.mechanism = $3 \
    LEFT JOIN former_credentials f ON f.account = a.id AND f.mechanism = $3 AND f.at >= $4 \
    WHERE a.domain = $1 AND a.localpart = $2 ORDER BY f.generation DESC";

const KEEP: &str = "INSERT INTO former_credentials \
    (account, mechanism, generation, stored_key, changed_at, at) \
    SELECT c.account, c.mechanism, a.generation, c.stored_key, $2, $3 \
    FROM credentials c JOIN accounts a ON a.id = c.account WHERE c.account = $1";
const USED_AGAIN: &str = "DELETE FROM former_credentials \
    WHERE account = $1 AND mechanism = $2 AND stored_key = $3";
/// Keeps the last two.
const THIN: &str = "DELETE FROM former_credentials WHERE account = $1 AND generation NOT IN \
    (SELECT DISTINCT generation FROM former_credentials WHERE account = $1 \
    ORDER BY generation DESC LIMIT 2)";
const PURGE: &str = "DELETE FROM former_credentials WHERE (account, mechanism, generation) IN \
    (SELECT f.account, f.mechanism, f.generation FROM former_credentials f WHERE f.at < $1 \
    ORDER BY f.at LIMIT $2)";

pub(crate) const STATEMENTS: &[&str] =
    &[OF_NAME, LIST, CLEAR, INSERT, LACKING, RAISE, GENERATION, KEEP, USED_AGAIN, THIN, PURGE];

/// What a SCRAM server stores of a password (RFC 5802, 3).
///
/// The password cannot be derived from it, but whoever has it can pretend to be the server, so it
/// is never printed.
#[derive(Clone)]
pub struct StoredVerifier {
    /// `SCRAM-SHA-1`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// The salt.
    pub salt: Vec<u8>,
    /// The iteration count.
    pub iterations: i64,
    /// The key that checks the client's proof.
    pub stored_key: Vec<u8>,
    /// The key that proves the server's identity.
    pub server_key: Vec<u8>,
}

impl fmt::Debug for StoredVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredVerifier")
            .field("mechanism", &self.mechanism)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// What the store knows of a name that somebody claims in a login.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The number of the account.
    pub account: i64,
    /// How often its password was set so far.
    pub generation: i64,
    /// Its verifier for the mechanism that was asked for, if it has one.
    pub verifier: Option<StoredVerifier>,
    /// What is kept of its last two former passwords, the newer first.
    pub former: Vec<FormerKey>,
}

/// What is kept of a former password: enough to recognise a proof of it, and not to prove anything.
#[derive(Clone)]
pub struct FormerKey {
    /// The key that checks a client's proof.
    pub stored_key: Vec<u8>,
    /// When the password was changed, in microseconds since 1970.
    pub changed_at: i64,
}

impl fmt::Debug for FormerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormerKey").field("changed_at", &self.changed_at).finish_non_exhaustive()
    }
}

/// When a password is changed.
#[derive(Clone, Copy, Debug)]
pub struct ChangedAt {
    /// On the wall, which people are told.
    pub wall: i64,
    /// In even time, by which the former password is forgotten.
    pub even: i64,
}

impl Store {
    /// Returns the verifiers of an account, one for each mechanism.
    pub async fn credentials(&self, account: i64) -> Result<Vec<StoredVerifier>> {
        credentials(&mut *self.reader().await?, account).await
    }

    /// Returns the account of a name, the generation of its password, its verifier for one
    /// mechanism, and what is kept of passwords that were changed since `former_since` (even time).
    /// All is read by one query, as of one moment, even if some of it does not exist.
    pub async fn verifier(
        &self,
        domain: i64,
        localpart: &str,
        mechanism: &str,
        former_since: i64,
    ) -> Result<Option<Claimed>> {
        let query = sqlx::query(OF_NAME).bind(domain).bind(localpart).bind(mechanism);
        let rows = query.bind(former_since).fetch_all(&mut *self.reader().await?).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut former = Vec::new();
        for row in &rows {
            if let Some(stored_key) = row.try_get(6)? {
                former.push(FormerKey { stored_key, changed_at: row.try_get(7)? });
            }
        }
        let verifier = match row.try_get::<Option<Vec<u8>>, _>(2)? {
            None => None,
            Some(salt) => Some(StoredVerifier {
                mechanism: mechanism.to_owned(),
                salt,
                iterations: row.try_get(3)?,
                stored_key: row.try_get(4)?,
                server_key: row.try_get(5)?,
            }),
        };
        let (account, generation) = (row.try_get(0)?, row.try_get(1)?);
        Ok(Some(Claimed { account, generation, verifier, former }))
    }

    /// Returns whether an account that has a verifier of one mechanism lacks one of another.
    pub async fn is_verifier_lacking(&self, has: &str, lacks: &str) -> Result<bool> {
        let query = sqlx::query(LACKING).bind(has).bind(lacks);
        Ok(query.fetch_optional(&mut *self.long_reader().await?).await?.is_some())
    }
}

impl Tx {
    /// Returns the verifiers of an account, one for each mechanism.
    pub async fn credentials(&mut self, account: i64) -> Result<Vec<StoredVerifier>> {
        credentials(self.conn()?, account).await
    }

    /// Replaces the verifiers of an account. Returns the new generation of its password: one more
    /// than before.
    pub async fn set_credentials(
        &mut self,
        account: i64,
        verifiers: &[StoredVerifier],
    ) -> Result<i64> {
        let raised = sqlx::query(RAISE).bind(account).fetch_one(self.conn()?).await?;
        sqlx::query(CLEAR).bind(account).execute(self.conn()?).await?;
        self.add_credentials(account, verifiers).await?;
        Ok(raised.try_get(0)?)
    }

    /// Replaces the verifiers of an account, as [`Tx::set_credentials`] does, and keeps what
    /// recognises the last two former passwords. That works as far as the new verifiers have the
    /// salts of the old ones.
    pub async fn change_credentials(
        &mut self,
        account: i64,
        verifiers: &[StoredVerifier],
        at: ChangedAt,
    ) -> Result<i64> {
        let keep = sqlx::query(KEEP).bind(account).bind(at.wall).bind(at.even);
        keep.execute(self.conn()?).await?;
        // A password that is used again is no former one.
        for verifier in verifiers {
            let query = sqlx::query(USED_AGAIN).bind(account).bind(verifier.mechanism.as_str());
            query.bind(verifier.stored_key.as_slice()).execute(self.conn()?).await?;
        }
        sqlx::query(THIN).bind(account).execute(self.conn()?).await?;
        self.set_credentials(account, verifiers).await
    }

    /// Forgets passwords that were changed before this even time: at most so many rows; returns how
    /// many.
    pub async fn purge_former_credentials(&mut self, before: i64, most: u64) -> Result<u64> {
        pieces::change(self.conn()?, PURGE, &[before], most).await
    }

    /// Returns the generation of an account's password, if the account exists.
    pub async fn generation(&mut self, account: i64) -> Result<Option<i64>> {
        let row = sqlx::query(GENERATION).bind(account).fetch_optional(self.conn()?).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Adds these verifiers to those of an account. They are of the same password, so its
    /// generation stays.
    pub async fn add_credentials(
        &mut self,
        account: i64,
        verifiers: &[StoredVerifier],
    ) -> Result<()> {
        let conn = self.conn()?;
        for verifier in verifiers {
            sqlx::query(INSERT)
                .bind(account)
                .bind(verifier.mechanism.as_str())
                .bind(verifier.salt.as_slice())
                .bind(verifier.iterations)
                .bind(verifier.stored_key.as_slice())
                .bind(verifier.server_key.as_slice())
                .execute(&mut *conn)
                .await?;
        }
        Ok(())
    }
}

async fn credentials(conn: &mut AnyConnection, account: i64) -> Result<Vec<StoredVerifier>> {
    let verifier = |row: &AnyRow| {
        Ok(StoredVerifier {
            mechanism: row.try_get(0)?,
            salt: row.try_get(1)?,
            iterations: row.try_get(2)?,
            stored_key: row.try_get(3)?,
            server_key: row.try_get(4)?,
        })
    };
    sqlx::query(LIST).bind(account).fetch_all(conn).await?.iter().map(verifier).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::ChangedAt;
    use crate::testing::{account, fresh, verifier};

    #[tokio::test]
    async fn new_credentials_take_the_place_of_the_old() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        tx.set_credentials(bob, &[verifier("SCRAM-SHA-1", 1), verifier("SCRAM-SHA-256", 2)])
            .await
            .unwrap();
        tx.set_credentials(eve, &[verifier("SCRAM-SHA-1", 3)]).await.unwrap();
        assert_eq!(tx.credentials(bob).await.unwrap().len(), 2);

        tx.set_credentials(bob, &[verifier("SCRAM-SHA-256", 4)]).await.unwrap();
        tx.commit().await.unwrap();

        let [of_bob] = &store.credentials(bob).await.unwrap()[..] else { panic!() };
        assert_eq!(of_bob.mechanism, "SCRAM-SHA-256");
        assert_eq!(of_bob.salt, [4; 16]);
        assert_eq!(of_bob.iterations, 10_000);
        assert_eq!(of_bob.stored_key, [4; 20]);
        assert_eq!(of_bob.server_key, [5; 20]);
        assert_eq!(store.credentials(eve).await.unwrap()[0].salt, [3; 16]);
    }

    #[tokio::test]
    async fn a_verifier_is_found_by_name_and_mechanism() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        let both = [verifier("SCRAM-SHA-1", 1), verifier("SCRAM-SHA-256", 2)];
        tx.set_credentials(bob, &both).await.unwrap();
        tx.commit().await.unwrap();
        let find = async |name, mechanism| {
            let found = store.verifier(1, name, mechanism, 0).await.unwrap();
            found.map(|it| (it.account, it.verifier.map(|it| (it.salt, it.stored_key))))
        };

        assert_eq!(
            find("bob", "SCRAM-SHA-256").await,
            Some((bob, Some((vec![2; 16], vec![2; 20]))))
        );
        assert_eq!(find("bob", "SCRAM-SHA-512").await, Some((bob, None)));
        assert_eq!(find("eve", "SCRAM-SHA-256").await, None);
    }

    #[tokio::test]
    async fn each_new_password_raises_the_generation_and_a_further_verifier_does_not() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        let first = tx.generation(bob).await.unwrap().unwrap();

        tx.add_credentials(bob, &[verifier("SCRAM-SHA-1", 1)]).await.unwrap();
        assert_eq!(tx.generation(bob).await.unwrap(), Some(first));
        let raised = tx.set_credentials(bob, &[verifier("SCRAM-SHA-1", 2)]).await.unwrap();
        assert_eq!(raised, first + 1);
        tx.commit().await.unwrap();

        let found = store.verifier(1, "bob", "SCRAM-SHA-1", 0).await.unwrap().unwrap();
        assert_eq!(found.generation, raised);
        assert_eq!(store.find_account(1, "bob").await.unwrap().unwrap().generation, raised);
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.generation(bob + 1).await.unwrap(), None);
        assert!(tx.set_credentials(bob + 1, &[]).await.is_err(), "nobody has a password");
    }

    #[tokio::test]
    async fn the_last_two_former_passwords_are_known_for_a_while_and_one_used_again_is_none() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.set_credentials(bob, &[verifier("SCRAM-SHA-1", 0)]).await.unwrap();
        let mut change = async |to: u8, at: i64| {
            let at = ChangedAt { wall: 100 + at, even: at };
            tx.change_credentials(bob, &[verifier("SCRAM-SHA-1", to)], at).await.unwrap();
        };
        for (to, at) in [(1, 1), (2, 2), (3, 3), (2, 4), (2, 5)] {
            change(to, at).await;
        }
        tx.commit().await.unwrap();
        let former = async |since| {
            let found = store.verifier(1, "bob", "SCRAM-SHA-1", since).await.unwrap().unwrap();
            assert_eq!(found.verifier.unwrap().stored_key, [2; 20]);
            let known = found.former.into_iter().map(|it| (it.stored_key[0], it.changed_at));
            known.collect::<Vec<_>>()
        };

        assert_eq!(former(0).await, [(3, 104), (1, 102)]);
        assert_eq!(former(5).await, []);
        let mut tx = store.begin().await.unwrap();
        let at = ChangedAt { wall: 106, even: 6 };
        tx.change_credentials(bob, &[verifier("SCRAM-SHA-1", 9)], at).await.unwrap();
        tx.change_credentials(bob, &[verifier("SCRAM-SHA-1", 2)], at).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(former(0).await, [(9, 106), (3, 104)]);
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.purge_former_credentials(6, 9).await.unwrap(), 1);
        tx.commit().await.unwrap();
        assert_eq!(former(0).await, [(9, 106)]);
    }

    #[tokio::test]
    async fn one_mechanism_has_one_verifier() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;

        let twice = [verifier("SCRAM-SHA-1", 1), verifier("SCRAM-SHA-1", 2)];

        assert!(tx.set_credentials(bob, &twice).await.is_err());
    }

    #[tokio::test]
    async fn a_verifier_that_an_account_lacks_is_noticed_until_it_is_added() {
        let (_dir, store) = fresh().await;
        let lacking =
            async || store.is_verifier_lacking("SCRAM-SHA-256", "SCRAM-SHA-512").await.unwrap();
        assert!(!lacking().await);
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        tx.set_credentials(bob, &[verifier("SCRAM-SHA-256", 1)]).await.unwrap();
        let both = [verifier("SCRAM-SHA-256", 2), verifier("SCRAM-SHA-512", 3)];
        tx.set_credentials(eve, &both).await.unwrap();
        tx.commit().await.unwrap();
        assert!(lacking().await);

        let mut tx = store.begin().await.unwrap();
        tx.add_credentials(bob, &[verifier("SCRAM-SHA-512", 4)]).await.unwrap();
        tx.commit().await.unwrap();

        assert!(!lacking().await);
        assert_eq!(store.credentials(bob).await.unwrap().len(), 2);
    }

    #[test]
    fn a_verifier_does_not_print_its_keys() {
        let printed = format!("{:?}", verifier("SCRAM-SHA-1", 77));

        assert!(printed.contains("SCRAM-SHA-1"));
        assert!(!printed.contains("77") && !printed.contains("78"), "{printed}");
    }
}
