//! A replacement for everything, put aside first: in a database of its own, migrated to today's
//! schema, with every rule of the schema checked. So the replacement is known to be possible before
//! it begins.

use std::path::{Path, PathBuf};

use sqlx::{AnyConnection, Connection, Executor, Row};

use super::file::Reader;
use super::{Source, Table, TransferError, begin_snapshot, fill, tables};
use crate::dialect::Dialect;
use crate::error::Error;
use crate::schema::{self, Refusal};
use crate::{Domain, domains, journal, pubsub, rooms, sequences, sqlite};

/// Counts rows that do not fit together, as far as the schema does not see to it: accounts without
/// an archive; rows without an archive, without a peer or without a body of their length; peers
/// without a row; bodies whose `holders` is not the number of their rows; and other rows without an
/// account; and archives that do not say how many bytes their rows have. A removal that is under way stands for the account or
/// room, and the archive, that are gone.
const MISFITS: &str = "SELECT \
    (SELECT COUNT(*) FROM accounts a WHERE NOT EXISTS \
        (SELECT 1 FROM archives t WHERE t.account = a.id)) \
    + (SELECT COUNT(*) FROM archive_rows r WHERE NOT EXISTS \
        (SELECT 1 FROM archives t WHERE t.id = r.archive) \
        AND NOT EXISTS (SELECT 1 FROM removals g WHERE g.archive = r.archive) \
        AND NOT EXISTS (SELECT 1 FROM rooms_gone g WHERE g.archive = r.archive)) \
    + (SELECT COUNT(*) FROM archive_rows r WHERE NOT EXISTS \
        (SELECT 1 FROM peers p WHERE p.archive = r.archive AND p.id = r.peer)) \
    + (SELECT COUNT(*) FROM peers p WHERE NOT EXISTS \
        (SELECT 1 FROM archive_rows r WHERE r.archive = p.archive AND r.peer = p.id)) \
    + (SELECT COUNT(*) FROM (SELECT account FROM roster UNION ALL SELECT account FROM online \
        UNION ALL SELECT account FROM places) AS o \
        WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = o.account) \
        AND NOT EXISTS (SELECT 1 FROM removals g WHERE g.account = o.account)) \
    + (SELECT COUNT(*) FROM archive_rows r WHERE NOT EXISTS \
        (SELECT 1 FROM bodies b WHERE b.id = r.body AND LENGTH(b.stanza) = r.bytes)) \
    + (SELECT COUNT(*) FROM bodies b LEFT JOIN \
        (SELECT body, COUNT(*) AS number FROM archive_rows GROUP BY body) AS held \
        ON held.body = b.id WHERE held.number IS NULL OR held.number <> b.holders) \
    + (SELECT COUNT(*) FROM archives t WHERE t.bytes <> (SELECT COALESCE(SUM(r.bytes), 0) \
        FROM archive_rows r WHERE r.archive = t.id))";

/// The content of a backup, or of another database, in a file that is removed when this is dropped.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    domains: Vec<Domain>,
}

impl Aside {
    /// Puts the content of a backup into a file at `path`, which is overwritten.
    ///
    /// # Errors
    /// The backup is damaged, of a future schema, or breaks its own rules; or there is no room for
    /// it. Then there is no file.
    pub async fn of_backup(backup: &Path, path: &Path) -> Result<Self, TransferError> {
        let reader = Reader::open(backup)?;
        let version = reader.schema();
        let aside = Self::of(&mut Source::File(reader), version, path).await;
        aside.map_err(|error| match error {
            TransferError::Store(Error::Database(cause) | Error::Gone(cause)) => {
                tracing::warn!(error = %cause, "backup_refused");
                let why = "what is in it does not fit together";
                TransferError::Damaged { path: backup.to_owned(), why }
            }
            // This holds wherever the fault was found.
            TransferError::Damaged { why, .. } => {
                TransferError::Damaged { path: backup.to_owned(), why }
            }
            error => error,
        })
    }

    /// Removes the file that a killed process has left at `path`.
    pub fn remove_left_over(path: &Path) {
        sqlite::remove_file(path);
    }

    pub(super) async fn of(
        source: &mut Source,
        version: i64,
        path: &Path,
    ) -> Result<Self, TransferError> {
        sqlx::any::install_default_drivers();
        let unwritable = |error| TransferError::file(path, error);
        let path = std::path::absolute(path).map_err(unwritable)?;
        sqlite::remove_file(&path);
        sqlite::ensure_file(&path).map_err(unwritable)?;
        // From here on the file is removed, however this ends.
        let mut aside = Self { path, domains: Vec::new() };
        let mut conn = sqlite::connect_aside(&sqlite::options(&aside.path)?).await?;
        let filled = load(&mut conn, source, version, &aside.path).await;
        let closed = conn.close().await;
        aside.domains = filled?;
        closed?;
        Ok(aside)
    }

    /// The domains in it, oldest first.
    #[must_use]
    pub fn domains(&self) -> &[Domain] {
        &self.domains
    }

    pub(super) async fn source(&self, tables: &[Table]) -> Result<Source, TransferError> {
        let mut conn = AnyConnection::connect_with(&sqlite::options(&self.path)?).await?;
        begin_snapshot(&mut conn, Dialect::Sqlite, tables).await?;
        Ok(Source::Database(conn))
    }
}

async fn load(
    conn: &mut AnyConnection,
    source: &mut Source,
    version: i64,
    path: &Path,
) -> Result<Vec<Domain>, TransferError> {
    let refused = |refusal: Refusal| refusal.at(path.display());
    schema::make(conn, Dialect::Sqlite, version).await.map_err(refused)?;
    let tables = tables(version).await?;
    conn.execute(sqlite::BEGIN).await?;
    fill(conn, &tables, source).await?;
    conn.execute("COMMIT").await?;
    schema::migrate(conn, Dialect::Sqlite).await.map_err(refused)?;
    // A backup is of a moment, at which something can be in the journal.
    conn.execute(sqlite::BEGIN).await?;
    journal::fold_everything(conn).await?;
    conn.execute("COMMIT").await?;
    if !sequences::are_possible(conn).await? {
        let why = "a server cannot go on from the numbers in it";
        return Err(TransferError::Damaged { path: path.to_owned(), why });
    }
    for text in [MISFITS, pubsub::MISFITS, rooms::MISFITS] {
        let misfits: i64 = sqlx::query(text).fetch_one(&mut *conn).await?.try_get(0)?;
        if misfits > 0 {
            let why = "what is in it does not fit together";
            return Err(TransferError::Damaged { path: path.to_owned(), why });
        }
    }
    Ok(domains::domains(conn).await?)
}

impl Drop for Aside {
    fn drop(&mut self) {
        sqlite::remove_file(&self.path);
    }
}
