//! Archives: each has a number of its own and gives its rows numbers (`seq`) that only grow.
//!
//! Today each account has one. The highest number that an archive ever gave outlives its rows: the
//! transaction that removes rows stores it, so that no number is given twice. The cursor, up to
//! which the owner's devices have confirmed, is stored with the archive, and so is how many bytes its
//! rows have: a fold adds what it moves, and who removes rows takes off what these had.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use sqlx::{AnyConnection, Row};

use crate::dialect::Dialect;
use crate::journal::NotInJournal;
use crate::peers::Peers;
use crate::rows::ManyRows;
use crate::{Result, Store, Tx, sequences};

const INSERT: &str = "INSERT INTO archives (id, account, room, highest, confirmed, bytes) VALUES ($1, $2, $3, 0, 0, 0)";
const OF_ACCOUNT: &str = "SELECT id FROM archives WHERE account = $1";
const OF_ROOM: &str = "SELECT id FROM archives WHERE room = $1";
const CURSOR: &str = "SELECT confirmed FROM archives WHERE id = $1";
const SHRINK: &str = "UPDATE archives SET bytes = bytes - $2 WHERE id = $1";

/// Stores the highest number before rows are removed, one of which may have it.
const KEEP_HIGHEST: &str = "UPDATE archives \
    SET highest = (SELECT MAX(r.seq) FROM archive_rows r WHERE r.archive = archives.id) \
    WHERE id = $1 \
    AND highest < (SELECT MAX(r.seq) FROM archive_rows r WHERE r.archive = archives.id)";

/// Raises every archive to the highest number that its rows and its cursor show.
const RAISE: &str = "UPDATE archives SET highest = shown.seq FROM \
    (SELECT a.id, MAX(CASE WHEN r.seq > a.confirmed THEN r.seq ELSE a.confirmed END) AS seq \
    FROM archives a JOIN archive_rows r ON r.archive = a.id GROUP BY a.id) AS shown \
    WHERE archives.id = shown.id AND archives.highest < shown.seq";
const RAISE_TO_CURSOR: &str = "UPDATE archives SET highest = confirmed WHERE highest < confirmed";
/// Goes on 2^32 numbers later.
const LEAP: &str = "UPDATE archives SET highest = highest + 4294967296";

pub(crate) const STATEMENTS: &[&str] = &[INSERT, OF_ACCOUNT, OF_ROOM, CURSOR, SHRINK, KEEP_HIGHEST];
/// A restore runs these, and nothing else: they read every archive.
pub(crate) const OF_A_RESTORE: &[&str] = &[RAISE, RAISE_TO_CURSOR, LEAP];

/// Cursors are saved late, so an archive that is gone by then is skipped.
static ADVANCE: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "UPDATE archives SET confirmed = v.column2 FROM (VALUES",
        2,
        ") AS v WHERE archives.id = v.column1 AND archives.confirmed < v.column2",
    )
});

/// Reads what determines the highest number of an archive, and the highest of its peers.
static HIGHEST: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "SELECT a.id, a.highest, a.confirmed, CAST(COALESCE((SELECT MAX(r.seq) \
        FROM archive_rows r WHERE r.archive = a.id), 0) AS BIGINT), \
        CAST(COALESCE((SELECT MAX(p.id) FROM peers p WHERE p.archive = a.id), 0) AS BIGINT) \
        FROM archives a WHERE a.id IN (VALUES",
        1,
        ")",
    )
});

pub(crate) fn many() -> [&'static ManyRows; 2] {
    [&ADVANCE, &HIGHEST]
}

/// How many archives, and how many peers in all, [`Numbering`] knows before it forgets them all and
/// begins anew. A peer takes some 60 bytes.
const KNOWN: usize = 100_000;
const KNOWN_PEERS: usize = 500_000;

/// The highest number that each recently used archive has given, the numbers of its peers, and the
/// highest number of the bodies.
///
/// The numbers are read from the database, and forgotten when a transaction is not committed. There
/// is one writer, so nobody else gives numbers meanwhile.
#[derive(Debug)]
pub(crate) struct Numbering {
    highest: HashMap<i64, i64>,
    pub(crate) peers: Peers,
    pub(crate) last_body: Option<i64>,
    most: usize,
    most_peers: usize,
}

impl Default for Numbering {
    fn default() -> Self {
        Self {
            highest: HashMap::new(),
            peers: Peers::default(),
            last_body: None,
            most: KNOWN,
            most_peers: KNOWN_PEERS,
        }
    }
}

impl Numbering {
    /// The same with room for so many archives and peers.
    #[cfg(test)]
    pub(crate) fn of_most(most: usize, most_peers: usize) -> Self {
        Self { most, most_peers, ..Self::default() }
    }

    /// Whether this archive exists.
    pub(crate) fn is_known(&self, archive: i64) -> bool {
        self.highest.contains_key(&archive)
    }

    /// Gives the next number of an archive, which must be known.
    pub(crate) fn next(&mut self, archive: i64) -> Result<i64> {
        let highest = self.highest.get_mut(&archive).ok_or(sqlx::Error::RowNotFound)?;
        *highest = sequences::number_after(*highest, 1)?;
        Ok(*highest)
    }

    /// Forgets an archive that is removed.
    pub(crate) fn forget(&mut self, archive: i64) {
        self.highest.remove(&archive);
        self.peers.forget_archive(archive);
    }

    /// Returns which of these archives have to be read before they are used, each once.
    pub(crate) fn unread(&mut self, archives: impl Iterator<Item = i64>) -> Vec<i64> {
        if self.highest.len() > self.most || self.peers.len() > self.most_peers {
            self.highest.clear();
            self.peers = Peers::default();
        }
        let mut unread: Vec<i64> = archives.filter(|archive| !self.is_known(*archive)).collect();
        unread.sort_unstable();
        unread.dedup();
        unread
    }

    /// Reads the numbers of archives, from their rows: so none of these may be in the journal. An
    /// archive that does not exist stays unknown.
    pub(crate) async fn read(
        &mut self,
        conn: &mut AnyConnection,
        unread: NotInJournal,
    ) -> Result<()> {
        for (text, piece) in HIGHEST.pieces(Dialect::of(conn), unread.archives()) {
            let mut query = sqlx::query(text);
            for archive in piece {
                query = query.bind(*archive);
            }
            for row in query.fetch_all(&mut *conn).await? {
                let archive = row.try_get(0)?;
                let (written, confirmed): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
                let highest = written.max(confirmed).max(row.try_get(3)?);
                self.highest.insert(archive, highest);
                self.peers.note_last(archive, row.try_get(4)?);
            }
        }
        Ok(())
    }
}

impl Store {
    /// Returns up to which number an archive is confirmed; 0: nothing is.
    pub async fn cursor(&self, archive: i64) -> Result<i64> {
        cursor(&mut *self.reader().await?, archive).await
    }
}

impl Tx {
    /// Returns up to which number an archive is confirmed; 0: nothing is.
    pub async fn cursor(&mut self, archive: i64) -> Result<i64> {
        cursor(self.conn()?, archive).await
    }

    /// Moves the cursors of archives forward, never back; archives that no longer exist are
    /// skipped.
    pub async fn advance_cursors(&mut self, cursors: &[(i64, i64)]) -> Result<()> {
        let conn = self.conn()?;
        // If an archive were named twice, only one of its rows would count.
        let mut highest = BTreeMap::new();
        for (archive, seq) in cursors {
            let entry = highest.entry(*archive).or_insert(*seq);
            *entry = (*entry).max(*seq);
        }
        let highest: Vec<(i64, i64)> = highest.into_iter().collect();
        for (text, piece) in ADVANCE.pieces(Dialect::of(conn), &highest) {
            let mut query = sqlx::query(text);
            for (archive, seq) in piece {
                query = query.bind(*archive).bind(*seq);
            }
            query.execute(&mut *conn).await?;
        }
        Ok(())
    }
}

/// Whose an archive is, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owner {
    /// An account's.
    Account(i64),
    /// A room's.
    Room(i64),
}

/// Makes the archive of somebody new; returns its number.
pub(crate) async fn make(conn: &mut AnyConnection, owner: Owner) -> Result<i64> {
    let id = sequences::next(conn, sequences::ARCHIVE).await?;
    let (account, room) = match owner {
        Owner::Account(account) => (Some(account), None),
        Owner::Room(room) => (None, Some(room)),
    };
    sqlx::query(INSERT).bind(id).bind(account).bind(room).execute(conn).await?;
    Ok(id)
}

/// Returns the number of a room's archive, if it has one.
pub(crate) async fn of_room(conn: &mut AnyConnection, room: i64) -> Result<Option<i64>> {
    let row = sqlx::query(OF_ROOM).bind(room).fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Returns the number of an account's archive, if it has one.
pub(crate) async fn of_account(conn: &mut AnyConnection, account: i64) -> Result<Option<i64>> {
    let row = sqlx::query(OF_ACCOUNT).bind(account).fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Stores the highest number of an archive, some of whose rows are about to be removed.
pub(crate) async fn keep_highest(conn: &mut AnyConnection, archive: i64) -> Result<()> {
    sqlx::query(KEEP_HIGHEST).bind(archive).execute(conn).await?;
    Ok(())
}

/// Notes that rows of so many bytes in sum are removed from an archive.
pub(crate) async fn shrink(conn: &mut AnyConnection, archive: i64, bytes: i64) -> Result<()> {
    sqlx::query(SHRINK).bind(archive).bind(bytes).execute(conn).await?;
    Ok(())
}

/// Leaves out the numbers that archives may have given after a backup of them was made. Clients
/// remember ids that are made of these numbers, and would take a new message for a repeat.
pub(crate) async fn leap(conn: &mut AnyConnection) -> Result<()> {
    for text in OF_A_RESTORE {
        sqlx::query(*text).execute(&mut *conn).await?;
    }
    Ok(())
}

async fn cursor(conn: &mut AnyConnection, archive: i64) -> Result<i64> {
    let row = sqlx::query(CURSOR).bind(archive).fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
}

#[cfg(test)]
mod tests;
