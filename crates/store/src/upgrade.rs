//! What happens to a database of an older schema: a copy of it is kept beside it, so that the
//! program before this one can go on with that; then it is brought to today's schema, whole or not
//! at all.
//!
//! Only a file is copied. PostgreSQL has tools of its own for that, and its operator uses them; the
//! log says so before anything is changed.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use sqlx::{AnyConnection, Row};

use whoelse_xmpp::in_words;

use crate::dialect::Dialect;
use crate::schema::{self, Refusal};
use crate::{Location, OpenError, Result, Store, Tx, sequences, sqlite};

/// How often it is said how far it is.
const EVERY: Duration = Duration::from_secs(5);

/// Copies everything, as it is at one moment, into another file, which is empty. What is still in
/// the write-ahead log comes along.
const COPY: &str = "VACUUM INTO $1";
/// How many bytes that takes: the pages of the database without those that nothing is on.
const SIZE: &str = "SELECT CAST((pages.page_count - free.freelist_count) * size.page_size AS BIGINT) \
    FROM pragma_page_count() AS pages, pragma_freelist_count() AS free, \
    pragma_page_size() AS size";

/// How a store is opened whose database is of an older schema.
pub struct Opening<'a> {
    /// Whether the database is kept as it was, in a file beside it. Without, whoever opens it has
    /// a backup.
    pub keep_copy: bool,
    /// Is told how far it is, at once and every few seconds.
    pub tell: &'a (dyn Fn(Progress) + Sync),
}

impl Default for Opening<'_> {
    fn default() -> Self {
        Self { keep_copy: true, tell: &|_| {} }
    }
}

impl fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").field("keep_copy", &self.keep_copy).finish_non_exhaustive()
    }
}

/// How far an older database is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is being copied.
    Copying {
        /// Bytes that are written.
        done: u64,
        /// Bytes that there are, at most.
        all: u64,
    },
    /// It is being brought to today's schema.
    Migrating {
        /// The version it has.
        from: i64,
        /// The version it will have.
        to: i64,
    },
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copying { done, all } => {
                write!(f, "copying the database, {} of {}", amount(*done), amount(*all))
            }
            Self::Migrating { from, to } => {
                write!(f, "bringing the database from schema {from} to {to}")
            }
        }
    }
}

/// What was done to an older database when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgraded {
    /// The version it had.
    pub from: i64,
    /// The version it has.
    pub to: i64,
    /// Where it is kept as it was.
    pub copy: Option<PathBuf>,
}

/// A sentence for the operator.
impl fmt::Display for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "brought the database from schema {} to {}", self.from, self.to)?;
        match &self.copy {
            Some(copy) => write!(
                f,
                "; it is kept as it was in {}, for 14 days of good service",
                copy.display()
            ),
            None => f.write_str("; no copy of it is kept as it was"),
        }
    }
}

/// Brings the schema up to date. Says what was done, if the database was an older one.
pub(crate) async fn upgrade(
    conn: &mut AnyConnection,
    place: &Location,
    dialect: Dialect,
    opening: &Opening<'_>,
) -> Result<Option<Upgraded>, OpenError> {
    let failed = |refusal: Refusal| refusal.at(place);
    let (from, to) = (schema::version(conn, dialect).await.map_err(failed)?, schema::KNOWN);
    if from == to {
        return Ok(None);
    }
    if from == 0 {
        return schema::migrate(conn, dialect).await.map_err(failed).map(|()| None);
    }
    let copy = match place {
        Location::Sqlite(path) if opening.keep_copy => {
            let copied = keep_copy(conn, path, from, opening).await;
            Some(copied.map_err(|why| OpenError::NoCopy {
                copy: copy_of(path, from),
                from,
                why,
            })?)
        }
        Location::Sqlite(_) | Location::Memory => None,
        Location::Postgres(_) => {
            let advice = "no copy is kept of a database on PostgreSQL: to go back, a dump is \
                needed, which is yours to make (pg_dump)";
            tracing::warn!(from, to, advice, "migration_begins");
            None
        }
    };
    let progress = || Progress::Migrating { from, to };
    let migrated = while_telling(schema::migrate(conn, dialect), opening, progress).await;
    migrated.map_err(failed)?;
    tracing::info!(from, to, "migrated");
    Ok(Some(Upgraded { from, to, copy }))
}

/// Does something that takes its time, and says now and then how far it is.
async fn while_telling<T>(
    work: impl Future<Output = T>,
    opening: &Opening<'_>,
    progress: impl Fn() -> Progress,
) -> T {
    let mut work = pin!(work);
    loop {
        let progress = progress();
        tracing::info!(%progress, "upgrading");
        (opening.tell)(progress);
        if let Ok(done) = tokio::time::timeout(EVERY, &mut work).await {
            return done;
        }
    }
}

/// Where a database in a file is kept as it was before it was brought from this schema to another.
#[must_use]
pub fn copy_of(database: &Path, version: i64) -> PathBuf {
    database.with_extension(format!("schema-{version}.db"))
}

/// Copies a database beside itself. When this returns the copy is on the disk, whole; when it fails
/// or is interrupted there is none, or the one that was there before.
async fn keep_copy(
    conn: &mut AnyConnection,
    database: &Path,
    version: i64,
    opening: &Opening<'_>,
) -> std::result::Result<PathBuf, String> {
    let copy = copy_of(database, version);
    let half = Half::beside(&copy).map_err(|error| in_words(&error))?;
    let all = size(conn).await.map_err(|error| crate::Error::from(error).to_string())?;
    let free = free(&half.0).map_err(|error| in_words(&error))?;
    has_room(room(all, version), free)?;
    let target = half.0.to_str().ok_or("its path is not UTF-8 text")?.to_owned();
    let written = || fs::metadata(&half.0).map_or(0, |about| about.len());
    let progress = || Progress::Copying { done: written().min(all), all };
    let copying = sqlx::query(COPY).bind(target).execute(conn);
    let copied = while_telling(copying, opening, progress).await;
    copied.map_err(|error| crate::Error::from(error).to_string())?;
    half.keep_as(&copy).map_err(|error| in_words(&error))?;
    Ok(copy)
}

fn has_room(needed: u64, free: u64) -> Result<(), String> {
    if needed <= free {
        return Ok(());
    }
    Err(format!("it takes {} and {} are free", amount(needed), amount(free)))
}

/// So many bytes, in words: KiB as long as MiB would be too coarse to compare.
#[must_use]
pub fn amount(bytes: u64) -> String {
    match bytes {
        0..0x100_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

/// How many bytes it takes to keep a database of this size and version as it was and to bring it to
/// today's schema, at most. The step to version 3 writes every message anew: into the write-ahead
/// log, which is twice as much, and into the file.
pub(crate) fn room(size: u64, version: i64) -> u64 {
    match version {
        ..3 => size.saturating_mul(4),
        3.. => size,
    }
}

/// How many bytes a copy of the database takes, at most.
pub(crate) async fn size(conn: &mut AnyConnection) -> sqlx::Result<u64> {
    let size: i64 = sqlx::query(SIZE).fetch_one(conn).await?.try_get(0)?;
    Ok(u64::try_from(size).unwrap_or_default())
}

fn free(path: &Path) -> io::Result<u64> {
    let about = rustix::fs::statvfs(path)?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

/// A copy under way; gone when it is dropped.
struct Half(PathBuf);

impl Half {
    /// Begins a new one, for its owner alone. What is left of one that was cut off goes.
    fn beside(copy: &Path) -> io::Result<Self> {
        let mut path = OsString::from(copy);
        path.push(".new");
        let half = Self(path.into());
        sqlite::remove_file(&half.0);
        sqlite::ensure_file(&half.0)?;
        Ok(half)
    }

    /// It is whole: it gets its name, in place of one that has it, and is on the disk.
    fn keep_as(self, name: &Path) -> io::Result<()> {
        File::open(&self.0)?.sync_all()?;
        fs::rename(&self.0, name)?;
        match name.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        sqlite::remove_file(&self.0);
    }
}

impl Store {
    /// What was done to the database when it was opened, if it was of an older schema.
    #[must_use]
    pub fn upgraded(&self) -> Option<&Upgraded> {
        self.inner.upgraded.as_ref()
    }

    /// When the first start after the last upgrade succeeded, if one has.
    pub async fn first_good_start(&self) -> Result<Option<i64>> {
        sequences::read(&mut *self.reader().await?, sequences::UPGRADED).await
    }

    /// The databases that are kept as they were before they were brought up to date.
    #[must_use]
    pub fn kept_copies(&self) -> Vec<PathBuf> {
        kept_copies(self.place())
    }

    /// Removes them; returns which that were.
    ///
    /// # Errors
    /// The first that stays, and why.
    pub fn remove_kept_copies(&self) -> io::Result<Vec<PathBuf>> {
        let copies = self.kept_copies();
        copies.iter().try_for_each(fs::remove_file)?;
        Ok(copies)
    }
}

impl Tx {
    /// A start has succeeded. If it is the first after an upgrade, this was when.
    pub async fn started_well(&mut self, at: i64) -> Result<()> {
        sequences::write_once(self.conn()?, sequences::UPGRADED, at).await
    }
}

/// The same as [`Store::kept_copies`] for a place that nobody has opened.
#[must_use]
pub fn kept_copies(place: &Location) -> Vec<PathBuf> {
    let Location::Sqlite(path) = place else { return Vec::new() };
    let copies = (1..schema::KNOWN).map(|version| copy_of(path, version));
    copies.filter(|copy| copy.exists()).collect()
}

#[cfg(test)]
mod tests;
