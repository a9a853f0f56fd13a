//! Upgrades of a database with an older schema: a copy is kept beside it, so that the previous
//! program can continue with the copy; then the database is migrated to today's schema, completely
//! or not at all.
//!
//! Only a file is copied. PostgreSQL has its own tools for this, which its operator uses; the log
//! says so before anything is changed.

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

/// How often progress is reported.
const EVERY: Duration = Duration::from_secs(5);

/// Copies a snapshot of everything into another file, which is empty, including what is still in
/// the write-ahead log.
const COPY: &str = "VACUUM INTO $1";
/// Returns how many bytes that takes: the used pages of the database.
const SIZE: &str = "SELECT CAST((pages.page_count - free.freelist_count) * size.page_size AS BIGINT) \
    FROM pragma_page_count() AS pages, pragma_freelist_count() AS free, \
    pragma_page_size() AS size";

/// How to open a store whose database has an older schema.
pub struct Opening<'a> {
    /// Whether to keep a copy of the old database in a file beside it. Without it, whoever opens
    /// the store must have a backup.
    pub keep_copy: bool,
    /// Called with the progress, at once and every few seconds.
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

/// The progress of an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The database is being copied.
    Copying {
        /// Bytes written so far.
        done: u64,
        /// Bytes in total, at most.
        all: u64,
    },
    /// The schema is being migrated.
    Migrating {
        /// The old version.
        from: i64,
        /// The new version.
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
    /// The old version.
    pub from: i64,
    /// The new version.
    pub to: i64,
    /// Where the copy is.
    pub copy: Option<PathBuf>,
}

/// Formats a sentence for the operator.
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

/// Migrates the schema. Returns what was done, if the database was older.
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

/// Runs something slow, and reports its progress now and then.
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

/// Returns where the copy of a database file is kept when it is migrated from this schema to
/// another.
#[must_use]
pub fn copy_of(database: &Path, version: i64) -> PathBuf {
    database.with_extension(format!("schema-{version}.db"))
}

/// Copies a database beside itself. When this returns, the copy is complete on the disk. When it
/// fails or is interrupted, there is no copy, or the earlier one remains.
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

/// Formats a number of bytes: in KiB while MiB would be too coarse to compare.
#[must_use]
pub fn amount(bytes: u64) -> String {
    match bytes {
        0..0x100_0000 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

/// Returns the most bytes that the copy and the migration of a database of this size and version
/// take. The step to version 3 writes every message anew: into the write-ahead log, at twice the
/// size, and into the file.
pub(crate) fn room(size: u64, version: i64) -> u64 {
    match version {
        ..3 => size.saturating_mul(4),
        3.. => size,
    }
}

/// Returns the most bytes that a copy of the database takes.
pub(crate) async fn size(conn: &mut AnyConnection) -> sqlx::Result<u64> {
    let size: i64 = sqlx::query(SIZE).fetch_one(conn).await?.try_get(0)?;
    Ok(u64::try_from(size).unwrap_or_default())
}

fn free(path: &Path) -> io::Result<u64> {
    let about = rustix::fs::statvfs(path)?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

/// A copy in progress; removed when it is dropped.
struct Half(PathBuf);

impl Half {
    /// Begins a new copy, readable by its owner alone. Removes the rest of an interrupted one.
    fn beside(copy: &Path) -> io::Result<Self> {
        let mut path = OsString::from(copy);
        path.push(".new");
        let half = Self(path.into());
        sqlite::remove_file(&half.0);
        sqlite::ensure_file(&half.0)?;
        Ok(half)
    }

    /// Completes the copy: gives it its final name, in place of an earlier copy, and makes sure
    /// that it is on the disk.
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
    /// Returns what was done to the database when it was opened, if it had an older schema.
    #[must_use]
    pub fn upgraded(&self) -> Option<&Upgraded> {
        self.inner.upgraded.as_ref()
    }

    /// Returns when the first start after the last upgrade succeeded, if one has.
    pub async fn first_good_start(&self) -> Result<Option<i64>> {
        sequences::read(&mut *self.reader().await?, sequences::UPGRADED).await
    }

    /// Returns the copies of the database from before its upgrades.
    #[must_use]
    pub fn kept_copies(&self) -> Vec<PathBuf> {
        kept_copies(self.place())
    }

    /// Removes these copies; returns which they were.
    ///
    /// # Errors
    /// The first copy that cannot be removed, and why.
    pub fn remove_kept_copies(&self) -> io::Result<Vec<PathBuf>> {
        let copies = self.kept_copies();
        copies.iter().try_for_each(fs::remove_file)?;
        Ok(copies)
    }
}

impl Tx {
    /// Notes that a start has succeeded. If it is the first after an upgrade, stores the time.
    pub async fn started_well(&mut self, at: i64) -> Result<()> {
        sequences::write_once(self.conn()?, sequences::UPGRADED, at).await
    }
}

/// Returns [`Store::kept_copies`] for a location that is not open.
#[must_use]
pub fn kept_copies(place: &Location) -> Vec<PathBuf> {
    let Location::Sqlite(path) = place else { return Vec::new() };
    let copies = (1..schema::KNOWN).map(|version| copy_of(path, version));
    copies.filter(|copy| copy.exists()).collect()
}

#[cfg(test)]
mod tests;
