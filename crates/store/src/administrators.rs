//! Administrators: the accounts to which the operator has given an administrator's right. The right
//! is the account's own: it goes with the account, and nobody else gets it by having the name later.

use sqlx::Row;

use crate::{Result, Store, Tx};

const ALL: &str = "SELECT g.account, a.domain, a.localpart, g.granted_at \
    FROM administrators g JOIN accounts a ON a.id = g.account ORDER BY a.domain, a.localpart";
const COUNT: &str = "SELECT COUNT(*) FROM administrators";
const HAS: &str = "SELECT 1 FROM administrators WHERE account = $1";
const GRANT: &str = "INSERT INTO administrators (account, granted_at) \
    SELECT id, $2 FROM accounts WHERE id = $1";
const REVOKE: &str = "DELETE FROM administrators WHERE account = $1";

pub(crate) const STATEMENTS: &[&str] = &[ALL, COUNT, HAS, GRANT, REVOKE];

/// A right that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedRight {
    /// The number of the account.
    pub account: i64,
    /// The number of its domain.
    pub domain: i64,
    /// Its name.
    pub localpart: String,
    /// When it was granted, in microseconds since 1970.
    pub granted_at: i64,
}

/// The result of granting a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// The account has it now.
    Done,
    /// It has it already; nothing was changed.
    Already,
    /// There is no such account any more.
    NoAccount,
    /// As many accounts as may have the right have it; nothing was changed.
    Full,
}

impl Store {
    /// Returns all rights that were granted, by name.
    pub async fn granted_rights(&self) -> Result<Vec<GrantedRight>> {
        let rows = sqlx::query(ALL).fetch_all(&mut *self.long_reader().await?).await?;
        let right = |row: &sqlx::any::AnyRow| {
            Ok(GrantedRight {
                account: row.try_get(0)?,
                domain: row.try_get(1)?,
                localpart: row.try_get(2)?,
                granted_at: row.try_get(3)?,
            })
        };
        rows.iter().map(right).collect()
    }
}

impl Tx {
    /// Gives an account an administrator's right, unless `most` accounts have it.
    pub async fn grant_right(&mut self, account: i64, at: i64, most: i64) -> Result<Grant> {
        let conn = self.conn()?;
        if sqlx::query(HAS).bind(account).fetch_optional(&mut *conn).await?.is_some() {
            return Ok(Grant::Already);
        }
        let all: i64 = sqlx::query(COUNT).fetch_one(&mut *conn).await?.try_get(0)?;
        if all >= most {
            return Ok(Grant::Full);
        }
        let granted = sqlx::query(GRANT).bind(account).bind(at).execute(conn).await?;
        Ok(if granted.rows_affected() > 0 { Grant::Done } else { Grant::NoAccount })
    }

    /// Takes the right back; returns whether the account had it.
    pub async fn revoke_right(&mut self, account: i64) -> Result<bool> {
        let revoked = sqlx::query(REVOKE).bind(account).execute(self.conn()?).await?;
        Ok(revoked.rows_affected() > 0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{account, fresh, remove_wholly};

    async fn names(store: &Store) -> Vec<String> {
        let all = store.granted_rights().await.unwrap();
        all.into_iter().map(|right| right.localpart).collect()
    }

    #[tokio::test]
    async fn a_right_is_granted_once_and_taken_back() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (eve, bob) = (account(&mut tx, "eve").await, account(&mut tx, "bob").await);

        assert_eq!(tx.grant_right(eve, 5, 9).await.unwrap(), Grant::Done);
        assert_eq!(tx.grant_right(bob, 6, 9).await.unwrap(), Grant::Done);
        assert_eq!(tx.grant_right(eve, 7, 9).await.unwrap(), Grant::Already);
        assert_eq!(tx.grant_right(999, 7, 9).await.unwrap(), Grant::NoAccount);
        tx.commit().await.unwrap();

        let all = store.granted_rights().await.unwrap();
        assert_eq!(
            all.iter().map(|it| (it.account, it.granted_at)).collect::<Vec<_>>(),
            [(bob, 6), (eve, 5)]
        );
        let mut tx = store.begin().await.unwrap();
        assert!(tx.revoke_right(bob).await.unwrap());
        assert!(!tx.revoke_right(bob).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(names(&store).await, ["eve"]);
    }

    #[tokio::test]
    async fn so_many_accounts_have_the_right_and_no_more() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (eve, bob) = (account(&mut tx, "eve").await, account(&mut tx, "bob").await);

        assert_eq!(tx.grant_right(eve, 5, 1).await.unwrap(), Grant::Done);
        assert_eq!(tx.grant_right(bob, 5, 1).await.unwrap(), Grant::Full);
        assert_eq!(tx.grant_right(eve, 5, 1).await.unwrap(), Grant::Already);
        tx.commit().await.unwrap();

        assert_eq!(names(&store).await, ["eve"]);
    }

    #[tokio::test]
    async fn who_gets_the_name_of_a_removed_administrator_does_not_get_the_right() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.grant_right(bob, 5, 9).await.unwrap();

        remove_wholly(&mut tx, bob).await;
        account(&mut tx, "bob").await;
        tx.commit().await.unwrap();

        assert_eq!(names(&store).await, Vec::<String>::new());
    }
}
