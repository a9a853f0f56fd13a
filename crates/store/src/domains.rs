//! The own domains. They have numbers, by which everything else refers to them.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::address::Adopted;
use crate::journal::Folded;
use crate::{Error, Result, Store, Tx, blocks, peers, pubsub, rooms, roster, sequences};

const LIST: &str = "SELECT id, name FROM domains ORDER BY id";
const FIND: &str = "SELECT id FROM domains WHERE name = $1";
const INSERT: &str = "INSERT INTO domains (id, name) VALUES ($1, $2)";
const RENAME: &str = "UPDATE domains SET name = $2 WHERE id = $1";

pub(crate) const STATEMENTS: &[&str] = &[LIST, FIND, INSERT, RENAME];

/// The key under which the former names of own domains are stored.
const FORMER: &str = "domains.former";
/// The key under which the labels of services are stored, one in each line.
const SERVICES: &str = "domains.services";
/// The most former names that are remembered; the oldest is dropped first.
const MAX_FORMER: usize = 100;

/// A domain of ours. It is never removed, and its number never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// The number by which everything stored refers to it.
    pub id: i64,
    /// Its present name.
    pub name: String,
}

impl Store {
    /// Returns the own domains, oldest first.
    pub async fn domains(&self) -> Result<Vec<Domain>> {
        domains(&mut *self.reader().await?).await
    }

    /// Returns the former names of own domains, each with the number of its domain, oldest first. A
    /// name that is in use again is not among them.
    pub async fn former_names(&self) -> Result<Vec<Domain>> {
        Ok(read_former(self.setting(FORMER).await?))
    }
}

impl Tx {
    /// Returns the own domains, oldest first.
    pub async fn domains(&mut self) -> Result<Vec<Domain>> {
        domains(self.conn()?).await
    }

    /// Returns the number of an own domain, and makes it one if it is not.
    pub async fn ensure_domain(&mut self, name: &str) -> Result<i64> {
        let conn = self.conn()?;
        if let Some(id) = find(conn, name).await? {
            return Ok(id);
        }
        let id = sequences::next(conn, sequences::DOMAIN).await?;
        sqlx::query(INSERT).bind(id).bind(name).execute(&mut *conn).await?;
        self.adopt(&Domain { id, name: name.to_owned() }).await?;
        self.remember(None, name).await?;
        Ok(id)
    }

    /// Notes the labels that services have before an own domain: an address there moves with the
    /// domain when that is renamed. Returns all labels that were ever noted, for
    /// [`to_key`](crate::to_key): a label may have been changed since an address was stored.
    ///
    /// With a new label everything that names an address is looked at.
    pub async fn name_services(&mut self, labels: &[&str]) -> Result<Vec<String>> {
        let mut known = self.services().await?;
        let before = known.len();
        for label in labels {
            if known.iter().all(|it| it != label) {
                known.push((*label).to_owned());
            }
        }
        if known.len() > before {
            self.set_setting(SERVICES, known.join("\n").as_bytes()).await?;
            for domain in self.domains().await? {
                self.adopt(&domain).await?;
            }
        }
        Ok(known)
    }

    /// Returns the labels of services that were noted.
    async fn services(&mut self) -> Result<Vec<String>> {
        let kept = self.setting(SERVICES).await?.unwrap_or_default();
        let text = String::from_utf8(kept).unwrap_or_default();
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Renames an own domain; everything stored under it, and under its services, stays. Blocks,
    /// contacts, the other sides of archives, and who is listed at nodes and in rooms under the new
    /// name, who were strangers so far, now refer to accounts of that domain.
    ///
    /// Stanzas in the log keep the addresses with which they were written. A [`LoggedMessage`] has
    /// the keys of both sides beside the bytes; whoever shows it writes `from` and `to` anew from
    /// these.
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
        self.adopt(&Domain { id, name: new.to_owned() }).await?;
        self.remember(Some(Domain { id, name: old.to_owned() }), new).await
    }

    /// Returns the former names of own domains, as [`Store::former_names`] does.
    pub async fn former_names(&mut self) -> Result<Vec<Domain>> {
        Ok(read_former(self.setting(FORMER).await?))
    }

    /// Addresses of this domain and of its services, which were strangers', are local from now on.
    async fn adopt(&mut self, domain: &Domain) -> Result<()> {
        let services = self.services().await?;
        let adopted = Adopted { domain, services: &services };
        // The journal names peers by number.
        self.fold(Folded::Everything).await?;
        let conn = self.conn()?;
        blocks::adopt(conn, &adopted).await?;
        roster::adopt(conn, &adopted).await?;
        pubsub::adopt(conn, &adopted).await?;
        rooms::adopt(conn, &adopted).await?;
        peers::adopt(conn, &adopted).await?;
        self.forget_known();
        Ok(())
    }

    /// Notes that a domain gives up one name and takes another.
    async fn remember(&mut self, given_up: Option<Domain>, taken: &str) -> Result<()> {
        let before = self.former_names().await?;
        let mut names = before.clone();
        names.extend(given_up);
        names.retain(|former| former.name != taken);
        if names == before {
            return Ok(());
        }
        let skip = names.len().saturating_sub(MAX_FORMER);
        let lines = names.iter().skip(skip).map(|it| format!("{} {}\n", it.id, it.name));
        self.set_setting(FORMER, lines.collect::<String>().as_bytes()).await
    }
}

/// One line each: the number of the domain, a space, its former name.
fn read_former(kept: Option<Vec<u8>>) -> Vec<Domain> {
    let text = String::from_utf8(kept.unwrap_or_default()).unwrap_or_default();
    let line = |line: &str| {
        let (id, name) = line.split_once(' ')?;
        Some(Domain { id: id.parse().ok()?, name: name.to_owned() })
    };
    text.lines().filter_map(line).collect()
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

    use super::MAX_FORMER;
    use crate::testing::{account, fresh, message};
    use crate::{Direction, Domain, Error, NewMessage, NewRow, Query, from_key, to_key};

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
        let services = tx.name_services(&["rooms"]).await.unwrap();
        for jid in ["eve@localhost", "loud@rooms.localhost", "far@else.localhost"] {
            tx.block(bob, &[to_key(jid, &domains, &services)]).await.unwrap();
        }

        tx.rename_domain("localhost", "chat.example").await.unwrap();
        tx.commit().await.unwrap();

        let domains = store.domains().await.unwrap();
        assert_eq!(domains[0].name, "chat.example");
        let found = store.find_account(domains[0].id, "bob").await.unwrap().unwrap();
        assert_eq!(found.id, bob);
        let blocks = store.blocks(bob).await.unwrap();
        let blocks: Vec<_> = blocks.iter().filter_map(|key| from_key(key, &domains)).collect();
        assert_eq!(blocks, ["eve@chat.example", "far@else.localhost", "loud@rooms.chat.example"]);
    }

    #[tokio::test]
    async fn what_was_noted_before_a_service_had_its_label_moves_with_the_domain_too() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        for key in ["loud@rooms.localhost", "loud@rooms.new.example", "rooms.localhost/x"] {
            tx.block(bob, &[key]).await.unwrap();
        }

        let first = tx.name_services(&["pubsub"]).await.unwrap();
        assert_eq!(first, ["pubsub"]);
        assert_eq!(tx.name_services(&["rooms"]).await.unwrap(), ["pubsub", "rooms"]);
        assert_eq!(tx.name_services(&["rooms", "pubsub"]).await.unwrap(), ["pubsub", "rooms"]);
        let known = ["loud@rooms.#1", "loud@rooms.new.example", "rooms.#1/x"];
        assert_eq!(tx.blocks(bob).await.unwrap(), known);

        tx.rename_domain("localhost", "new.example").await.unwrap();
        assert_eq!(tx.blocks(bob).await.unwrap(), ["loud@rooms.#1", "rooms.#1/x"]);
    }

    #[tokio::test]
    async fn the_other_side_of_an_archive_is_one_whatever_its_domain_was_called() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        tx.name_services(&["rooms"]).await.unwrap();
        let from = |peer: &str, n| NewMessage {
            first: NewRow { archive: bob, peer: peer.to_owned(), direction: Direction::In },
            second: None,
            ..message(n, ("x", 0), ("y", 0))
        };
        let peers = ["eve@new.example", "eve@#1", "zoe@new.example", "lunch@rooms.new.example"];
        let all: Vec<_> = (1..).zip(peers).map(|(n, peer)| from(peer, n)).collect();
        tx.append(&all).await.unwrap();

        tx.rename_domain("localhost", "new.example").await.unwrap();
        tx.append(&[from("zoe@#1", 5), from("eve@#1", 6)]).await.unwrap();
        tx.commit().await.unwrap();

        let with = async |peer: &str| {
            let query = Query { limit: 9, with: Some(peer.to_owned()), ..Query::default() };
            let rows = store.query(bob, &query).await.unwrap().rows;
            rows.iter().map(|row| row.seq).collect::<Vec<_>>()
        };
        assert_eq!(with("eve@#1").await, [1, 2, 6]);
        assert_eq!(with("zoe@#1").await, [3, 5]);
        assert_eq!(with("lunch@rooms.#1").await, [4]);
        assert_eq!(store.count_rows("peers").await, 3);
    }

    #[tokio::test]
    async fn who_was_blocked_as_a_stranger_is_blocked_as_a_neighbour() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        for key in ["eve@#1", "eve@new.example", "new.example/x", "mal@anew.example", "new.example"]
        {
            tx.block(bob, &[key]).await.unwrap();
        }

        tx.rename_domain("localhost", "new.example").await.unwrap();
        tx.commit().await.unwrap();

        let blocks = store.blocks(bob).await.unwrap();
        assert_eq!(blocks, ["#1", "#1/x", "eve@#1", "mal@anew.example"]);
    }

    #[tokio::test]
    async fn former_names_are_remembered_until_they_are_taken_again() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let id = tx.ensure_domain("a.example").await.unwrap();
        assert!(tx.former_names().await.unwrap().is_empty());
        let former = |names: &[&str]| {
            let domain = |name: &&str| Domain { id, name: (*name).to_owned() };
            names.iter().map(domain).collect::<Vec<_>>()
        };

        tx.rename_domain("a.example", "b.example").await.unwrap();
        tx.rename_domain("b.example", "c.example").await.unwrap();
        assert_eq!(tx.former_names().await.unwrap(), former(&["a.example", "b.example"]));
        tx.rename_domain("c.example", "a.example").await.unwrap();
        assert_eq!(tx.former_names().await.unwrap(), former(&["b.example", "c.example"]));
        tx.ensure_domain("b.example").await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(store.former_names().await.unwrap(), former(&["c.example"]));
    }

    #[tokio::test]
    async fn the_oldest_former_names_are_forgotten_first() {
        let (_dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        tx.ensure_domain("0.example").await.unwrap();
        for n in 0..=MAX_FORMER {
            let (old, new) = (format!("{n}.example"), format!("{}.example", n + 1));
            tx.rename_domain(&old, &new).await.unwrap();
        }

        let names = tx.former_names().await.unwrap();

        assert_eq!((names.len(), names[0].name.as_str()), (MAX_FORMER, "1.example"));
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
