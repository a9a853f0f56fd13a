//! The domains that are our own. They have numbers, by which everything else refers to them.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::{Error, Result, Store, Tx, blocks, numbers, roster};

const LIST: &str = "SELECT id, name FROM domains ORDER BY id";
const FIND: &str = "SELECT id FROM domains WHERE name = $1";
const INSERT: &str = "INSERT INTO domains (id, name) VALUES ($1, $2)";
const RENAME: &str = "UPDATE domains SET name = $2 WHERE id = $1";

pub(crate) const STATEMENTS: &[&str] = &[LIST, FIND, INSERT, RENAME];

/// A domain of ours. It is never removed, and its number never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// What everything stored calls it.
    pub id: i64,
    /// What people call it.
    pub name: String,
}

impl Store {
    /// Returns the own domains, oldest first.
    pub async fn domains(&self) -> Result<Vec<Domain>> {
        domains(&mut *self.reader().await?).await
    }
}

impl Tx {
    /// Returns the own domains, oldest first.
    pub async fn domains(&mut self) -> Result<Vec<Domain>> {
        domains(self.conn()?).await
    }

    /// Returns the number of a domain, making it our own if it is not.
    pub async fn ensure_domain(&mut self, name: &str) -> Result<i64> {
        let conn = self.conn()?;
        if let Some(id) = find(conn, name).await? {
            return Ok(id);
        }
        let id = numbers::next(conn, numbers::DOMAIN).await?;
        sqlx::query(INSERT).bind(id).bind(name).execute(&mut *conn).await?;
        adopt(conn, &Domain { id, name: name.to_owned() }).await?;
        Ok(id)
    }

    /// Gives an own domain another name; everything kept under it stays. Blocks and
    /// contacts under the new name, which were strangers' until now, are the neighbours of that name.
    ///
    /// Stanzas in the log keep the addresses they were written with. A [`LoggedMessage`] has the
    /// keys of both sides beside the bytes, from which whoever shows it writes `from` and `to`
    /// anew.
    ///
    /// [`LoggedMessage`]: crate::LoggedMessage
    pub async fn rename_domain(&mut self, old: &str, new: &str) -> Result<()> {
        let conn = self.conn()?;
        let Some(id) = find(conn, old).await? else {
            return Err(Error::NoSuchDomain(old.to_owned()));
        };
        if find(conn, new).await?.is_some() {
            return Err(Error::DomainExists(new.to_owned()));
        }
        sqlx::query(RENAME).bind(id).bind(new).execute(&mut *conn).await?;
        adopt(conn, &Domain { id, name: new.to_owned() }).await
    }
}

/// Whoever was known as a stranger of this domain is a neighbour from now on.
async fn adopt(conn: &mut AnyConnection, domain: &Domain) -> Result<()> {
    blocks::adopt(conn, domain).await?;
    roster::adopt(conn, domain).await
}

pub(crate) async fn domains(conn: &mut AnyConnection) -> Result<Vec<Domain>> {
    let row = |row: &AnyRow| Ok(Domain { id: row.try_get(0)?, name: row.try_get(1)? });
    sqlx::query(LIST).fetch_all(conn).await?.iter().map(row).collect()
}

async fn find(conn: &mut AnyConnection, name: &str) -> Result<Option<i64>> {
    let row = sqlx::query(FIND).bind(name).fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::testing::{account, fresh};
    use crate::{Domain, Error, from_key, to_key};

    #[tokio::test]
    async fn a_domain_is_made_once() {
        let (_dir, store) = fresh().await;

        let mut tx = store.begin().await.unwrap();
        let first = tx.ensure_domain("a.example").await.unwrap();
        let second = tx.ensure_domain("b.example").await.unwrap();
        assert_eq!(tx.ensure_domain("a.example").await.unwrap(), first);
        tx.commit().await.unwrap();

        let names = store.domains().await.unwrap();
        assert_eq!(
            names,
            [
                Domain { id: first, name: "a.example".into() },
                Domain { id: second, name: "b.example".into() }
            ]
        );
    }

    #[tokio::test]
    async fn a_renamed_domain_keeps_its_accounts_and_what_they_said_of_each_other() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        let domains = tx.domains().await.unwrap();
        tx.block(bob, &to_key("eve@localhost", &domains)).await.unwrap();

        tx.rename_domain("localhost", "chat.example").await.unwrap();
        tx.commit().await.unwrap();

        let domains = store.domains().await.unwrap();
        assert_eq!(domains[0].name, "chat.example");
        let found = store.find_account(domains[0].id, "bob").await.unwrap().unwrap();
        assert_eq!(found.id, bob);
        let blocks = store.blocks(bob).await.unwrap();
        assert_eq!(from_key(&blocks[0], &domains).as_deref(), Some("eve@chat.example"));
    }

    #[tokio::test]
    async fn who_was_blocked_as_a_stranger_is_blocked_as_a_neighbour() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        for key in ["eve@#1", "eve@new.example", "new.example/x", "mal@anew.example", "new.example"]
        {
            tx.block(bob, key).await.unwrap();
        }

        tx.rename_domain("localhost", "new.example").await.unwrap();
        tx.commit().await.unwrap();

        let blocks = store.blocks(bob).await.unwrap();
        assert_eq!(blocks, ["#1", "#1/x", "eve@#1", "mal@anew.example"]);
    }

    #[tokio::test]
    async fn a_domain_is_not_renamed_to_one_that_is_there_nor_from_one_that_is_not() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        tx.ensure_domain("a.example").await.unwrap();
        tx.ensure_domain("b.example").await.unwrap();

        let taken = tx.rename_domain("a.example", "b.example").await;
        assert!(matches!(taken, Err(Error::DomainExists(name)) if name == "b.example"));
        let unknown = tx.rename_domain("c.example", "d.example").await;
        assert!(matches!(unknown, Err(Error::NoSuchDomain(name)) if name == "c.example"));
        let itself = tx.rename_domain("a.example", "a.example").await;
        assert!(matches!(itself, Err(Error::DomainExists(_))));
    }
}
