//! Peers: the other sides of an archive's messages, each with a number in that archive.
//!
//! A row of an archive and its entry in the index by peer name the other side. A number is a byte or
//! two where an address is a dozen or more. Each archive numbers its own peers, so that nothing of
//! another archive is needed to remove one: it goes with the last row that names it, in the same
//! transaction, and its number may be given again.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use sqlx::{AnyConnection, Row};

use crate::address::Adopted;
use crate::dialect::Dialect;
use crate::rows::ManyRows;
use crate::sequences::number_after;
use crate::{NewRow, Result};

/// One at a time: it is asked once for each peer that is not in memory.
const FIND: &str = "SELECT id FROM peers WHERE archive = $1 AND address = $2";

const NAMING: &str = "SELECT archive, id, address FROM peers WHERE address LIKE '%' || $1 || '%'";
const RENAME: &str = "UPDATE peers SET address = $3 WHERE archive = $1 AND id = $2";
const MERGE: &str = "UPDATE archive_rows SET peer = $3 WHERE archive = $1 AND peer = $2";
const DELETE: &str = "DELETE FROM peers WHERE archive = $1 AND id = $2";

pub(crate) const STATEMENTS: &[&str] = &[FIND, NAMING, RENAME, MERGE, DELETE];

static INSERT: LazyLock<ManyRows> =
    LazyLock::new(|| ManyRows::new("INSERT INTO peers (archive, id, address) VALUES", 3, ""));

/// Removes those that no row names any more.
static REMOVE: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "DELETE FROM peers WHERE (archive, id) IN (VALUES",
        2,
        ") AND NOT EXISTS (SELECT 1 FROM archive_rows r \
        WHERE r.archive = peers.archive AND r.peer = peers.id) RETURNING id",
    )
});

pub(crate) fn many() -> [&'static ManyRows; 2] {
    [&INSERT, &REMOVE]
}

/// Rewrites the peers that name an adopted domain by its text. In an archive that has the new key already, both
/// are one from now on. Nothing may be in the journal, and what is in memory is to be forgotten.
pub(crate) async fn adopt(conn: &mut AnyConnection, adopted: &Adopted<'_>) -> Result<()> {
    for row in sqlx::query(NAMING).bind(&adopted.domain.name).fetch_all(&mut *conn).await? {
        let (archive, id, address): (i64, i64, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let Some(key) = adopted.key(&address) else { continue };
        let known = sqlx::query(FIND).bind(archive).bind(&key).fetch_optional(&mut *conn).await?;
        let Some(known) = known else {
            sqlx::query(RENAME).bind(archive).bind(id).bind(key).execute(&mut *conn).await?;
            continue;
        };
        let known: i64 = known.try_get(0)?;
        sqlx::query(MERGE).bind(archive).bind(id).bind(known).execute(&mut *conn).await?;
        sqlx::query(DELETE).bind(archive).bind(id).execute(&mut *conn).await?;
    }
    Ok(())
}

/// The numbers of the peers of archives, as far as they are in memory.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    of: HashMap<i64, OfArchive>,
    count: usize,
}

#[derive(Debug, Default)]
struct OfArchive {
    numbers: HashMap<Box<str>, i64>,
    /// The highest number that was given, or a higher one.
    last: i64,
}

impl Peers {
    /// How many are in memory.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Notes the highest number of a peer of an archive.
    pub fn note_last(&mut self, archive: i64, last: i64) {
        self.of.entry(archive).or_default().last = last;
    }

    /// Forgets an archive.
    pub fn forget_archive(&mut self, archive: i64) {
        if let Some(gone) = self.of.remove(&archive) {
            self.count -= gone.numbers.len();
        }
    }

    /// Returns the number of the peer of each of these rows, in their order. Whoever has none gets
    /// one. The last number of each archive must be noted.
    pub async fn numbers<'a>(
        &mut self,
        conn: &mut AnyConnection,
        rows: impl Iterator<Item = &'a NewRow> + Clone,
    ) -> Result<Vec<i64>> {
        let unknown: BTreeSet<(i64, &str)> = rows
            .clone()
            .filter(|row| self.number(row.archive, &row.peer).is_none())
            .map(|row| (row.archive, row.peer.as_str()))
            .collect();
        if !unknown.is_empty() {
            let unknown: Vec<(i64, &str)> = unknown.into_iter().collect();
            self.find(conn, &unknown).await?;
            self.give(conn, &unknown).await?;
        }
        let number = |row: &NewRow| self.number(row.archive, &row.peer);
        let numbers: Option<Vec<i64>> = rows.map(number).collect();
        Ok(numbers.ok_or(sqlx::Error::RowNotFound)?)
    }

    fn number(&self, archive: i64, address: &str) -> Option<i64> {
        self.of.get(&archive)?.numbers.get(address).copied()
    }

    fn note(&mut self, archive: i64, address: &str, number: i64) {
        let of = self.of.entry(archive).or_default();
        if of.numbers.insert(address.into(), number).is_none() {
            self.count += 1;
        }
    }

    /// Reads the numbers of those that have one.
    async fn find(&mut self, conn: &mut AnyConnection, peers: &[(i64, &str)]) -> Result<()> {
        for (archive, address) in peers {
            let query = sqlx::query(FIND).bind(*archive).bind(*address);
            if let Some(row) = query.fetch_optional(&mut *conn).await? {
                self.note(*archive, address, row.try_get(0)?);
            }
        }
        Ok(())
    }

    /// Gives a number to those that have none.
    async fn give(&mut self, conn: &mut AnyConnection, peers: &[(i64, &str)]) -> Result<()> {
        let mut new = Vec::new();
        for (archive, address) in peers {
            if self.number(*archive, address).is_none() {
                let of = self.of.get_mut(archive).ok_or(sqlx::Error::RowNotFound)?;
                of.last = number_after(of.last, 1)?;
                let number = of.last;
                self.note(*archive, address, number);
                new.push((*archive, number, *address));
            }
        }
        for (text, piece) in INSERT.pieces(Dialect::of(conn), &new) {
            let mut query = sqlx::query(text);
            for (archive, number, address) in piece {
                query = query.bind(*archive).bind(*number).bind(*address);
            }
            query.execute(&mut *conn).await?;
        }
        Ok(())
    }

    /// Removes those of an archive's peers, of these numbers, that no row names any more.
    pub async fn remove(
        &mut self,
        conn: &mut AnyConnection,
        archive: i64,
        numbers: BTreeSet<i64>,
    ) -> Result<()> {
        let numbers: Vec<i64> = numbers.into_iter().collect();
        let mut gone: BTreeSet<i64> = BTreeSet::new();
        for (text, piece) in REMOVE.pieces(Dialect::of(conn), &numbers) {
            let mut query = sqlx::query(text);
            for number in piece {
                query = query.bind(archive).bind(*number);
            }
            for row in query.fetch_all(&mut *conn).await? {
                gone.insert(row.try_get(0)?);
            }
        }
        if let Some(of) = self.of.get_mut(&archive) {
            let before = of.numbers.len();
            of.numbers.retain(|_, number| !gone.contains(number));
            self.count -= before - of.numbers.len();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
