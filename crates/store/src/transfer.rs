//! Moves everything from one place to another: a copy between two databases, a backup into a file,
//! and a restore.
//!
//! What is read is one snapshot of the source, whatever is written there meanwhile. What is written
//! into a database is one transaction: it is there whole and counted, or nothing has changed. Only
//! a page of a table is in memory at a time.

mod aside;
mod copy;
mod file;
mod tables;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row};

use whoelse_xmpp::in_words;

use crate::dialect::Dialect;
use crate::rows::ManyRows;
use crate::schema;
use crate::{Error, OpenError, Store, archives, sequences};
pub use aside::Aside;
pub use copy::copy;
pub(crate) use tables::tables;
use tables::{Kind, Table};

/// The version of this program.
const PROGRAM: &str = env!("CARGO_PKG_VERSION");

impl Store {
    /// Writes a snapshot of everything into a new file, which only its owner can read. Returns how
    /// many rows that were. Writers are not held up.
    ///
    /// The file has the content of the database: messages, and the keys by which passwords are
    /// checked. It does not have the tokens of devices, which are keys in clear.
    ///
    /// # Errors
    /// When this fails there is no file. One that was there before is left alone.
    pub async fn backup(&self, path: &Path) -> Result<u64, TransferError> {
        let tables = tables(schema::KNOWN).await?;
        let mut source = Source::Database(self.snapshot(&tables).await?);
        let mut writer = file::Writer::create(path, schema::KNOWN, Some(PROGRAM))?;
        let written = write_all(&mut writer, &tables, &mut source).await;
        let written = written.and_then(|rows| writer.finish().map(|()| rows));
        if written.is_err() {
            // Nothing can be done about a file that cannot be removed.
            let _ = std::fs::remove_file(path);
        }
        source.close().await;
        written
    }

    /// Replaces everything in the store by what was put aside. Returns how many rows that were. No
    /// device has a token any more.
    ///
    /// The archives go on with numbers that they have not given since the backup was made.
    ///
    /// # Errors
    /// When this fails nothing has changed.
    pub async fn replace(&self, aside: &Aside) -> Result<u64, TransferError> {
        let tables = tables(schema::KNOWN).await?;
        let mut source = aside.source(&tables).await?;
        let mut tx = self.begin().await?;
        tx.clear_journal().await?;
        for table in tables.iter().rev() {
            clear(tx.conn()?, table).await?;
        }
        let rows = fill(tx.conn()?, &tables, &mut source).await?;
        for table in tables.iter().rev().filter(|table| !table.in_backups) {
            clear(tx.conn()?, table).await?;
        }
        archives::leap(tx.conn()?).await?;
        tx.forget_known();
        // This time belongs to the old content: even time is now that of the source. The next start
        // notes it anew.
        sequences::forget(tx.conn()?, sequences::UPGRADED).await?;
        tx.commit().await?;
        source.close().await;
        Ok(rows)
    }

    /// A connection that sees one snapshot of the database, until it is closed.
    async fn snapshot(&self, tables: &[Table]) -> Result<AnyConnection, TransferError> {
        let options = self.place().options()?;
        let mut conn = AnyConnection::connect_with(&options).await?;
        begin_snapshot(&mut conn, self.dialect(), tables).await?;
        Ok(conn)
    }
}

/// Makes the connection read-only, on one snapshot.
async fn begin_snapshot(
    conn: &mut AnyConnection,
    dialect: Dialect,
    tables: &[Table],
) -> Result<(), TransferError> {
    match dialect {
        Dialect::Sqlite => {
            crate::sqlite::prepare_reader(conn).await?;
            conn.execute(crate::sqlite::BEGIN_SNAPSHOT).await?;
        }
        Dialect::Postgres => {
            crate::postgres::prepare_reader(conn).await?;
            conn.execute(crate::postgres::BEGIN_SNAPSHOT).await?;
        }
    }
    // With SQLite the snapshot is taken at the first query.
    if let Some(table) = tables.first() {
        count(conn, table).await?;
    }
    Ok(())
}

/// For tests: writes a backup as another version of the program would have: the content of a
/// database, which has that version's schema, or nothing.
#[cfg(any(test, feature = "scratch"))]
pub(crate) async fn write_backup(
    path: &Path,
    from: Option<&crate::Location>,
    version: i64,
    maker: Option<&str>,
) -> Result<(), TransferError> {
    let mut writer = file::Writer::create(path, version, maker)?;
    if let Some(from) = from {
        let mut original = crate::look::Original::hold(from).await?;
        let tables = tables(version).await?;
        begin_snapshot(&mut original.conn, original.dialect, &tables).await?;
        let mut source = Source::Database(original.conn);
        write_all(&mut writer, &tables, &mut source).await?;
        source.close().await;
    }
    writer.finish()
}

/// Checks that a file is a whole backup of a schema that this program knows.
///
/// # Errors
/// Why it cannot be restored.
pub fn check_backup(path: &Path) -> Result<(), TransferError> {
    file::Reader::open(path).map(|_| ())
}

/// A value in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Number(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// The source of rows.
enum Source {
    /// A snapshot of a database.
    Database(AnyConnection),
    File(file::Reader),
}

impl Source {
    /// Returns the rows of a table after the last one read; none when there are no more.
    async fn page(
        &mut self,
        table: &Table,
        last: Option<&Vec<Value>>,
    ) -> Result<Vec<Vec<Value>>, TransferError> {
        let conn = match self {
            Source::File(reader) => return reader.rows(table),
            Source::Database(conn) => conn,
        };
        let text = AssertSqlSafe(table.read(last.is_none()));
        let mut query = sqlx::query(text);
        for value in last.into_iter().flatten().take(table.key) {
            query = match value {
                // No key contains NULL or bytes.
                Value::Null | Value::Blob(_) => query,
                Value::Number(number) => query.bind(*number),
                Value::Text(text) => query.bind(text.clone()),
            };
        }
        let rows = query.fetch_all(conn).await?;
        rows.iter().map(|row| values(table, row)).collect()
    }

    /// Checks that everything has been read.
    fn end(&mut self) -> Result<(), TransferError> {
        match self {
            Source::File(reader) => reader.end(),
            Source::Database(_) => Ok(()),
        }
    }

    /// Releases the source. Nothing was changed, so nothing is lost if the connection does not
    /// close cleanly.
    async fn close(self) {
        if let Source::Database(conn) = self {
            let _ = conn.close().await;
        }
    }
}

fn values(table: &Table, row: &AnyRow) -> Result<Vec<Value>, TransferError> {
    let columns = table.columns.iter().enumerate();
    let value = |(at, (_, kind)): (usize, &(String, Kind))| -> sqlx::Result<Value> {
        Ok(match kind {
            Kind::Number => row.try_get::<Option<i64>, _>(at)?.map(Value::Number),
            Kind::Text => row.try_get::<Option<String>, _>(at)?.map(Value::Text),
            Kind::Blob => row.try_get::<Option<Vec<u8>>, _>(at)?.map(Value::Blob),
        }
        .unwrap_or(Value::Null))
    };
    Ok(columns.map(value).collect::<sqlx::Result<_>>()?)
}

async fn write_all(
    writer: &mut file::Writer,
    tables: &[Table],
    source: &mut Source,
) -> Result<u64, TransferError> {
    let mut all = 0;
    for table in tables {
        writer.table(table)?;
        let (mut rows, mut last) = (0, None);
        loop {
            // The table is named all the same: the tables of a backup are those of its schema.
            let mut page = match table.in_backups {
                true => source.page(table, last.as_ref()).await?,
                false => Vec::new(),
            };
            for row in &page {
                writer.row(row)?;
            }
            rows += page.len() as u64;
            match page.pop() {
                Some(row) => last = Some(row),
                None => break,
            }
        }
        writer.table_ends(rows)?;
        all += rows;
    }
    Ok(all)
}

/// Fills tables that are empty, and counts what is in them.
async fn fill(
    conn: &mut AnyConnection,
    tables: &[Table],
    source: &mut Source,
) -> Result<u64, TransferError> {
    let mut all = 0;
    for table in tables {
        let insert = ManyRows::new(&table.insert(), table.columns.len(), "");
        let (mut rows, mut last) = (0, None);
        loop {
            let mut page = source.page(table, last.as_ref()).await?;
            for (text, piece) in insert.pieces(Dialect::of(conn), &page) {
                let mut query = sqlx::query(text);
                for (value, (_, kind)) in
                    piece.iter().flat_map(|row| row.iter().zip(&table.columns))
                {
                    query = match (value, kind) {
                        (Value::Number(number), _) => query.bind(*number),
                        (Value::Text(text), _) => query.bind(text.clone()),
                        (Value::Blob(bytes), _) => query.bind(bytes.clone()),
                        (Value::Null, Kind::Number) => query.bind(None::<i64>),
                        (Value::Null, Kind::Text) => query.bind(None::<String>),
                        (Value::Null, Kind::Blob) => query.bind(None::<Vec<u8>>),
                    };
                }
                query.execute(&mut *conn).await?;
            }
            rows += page.len() as u64;
            // A page of a file that is not full is the last one; reading on would begin the next
            // table.
            let full = page.len() >= table.page;
            match page.pop() {
                Some(row) if full => last = Some(row),
                _ => break,
            }
        }
        if count(conn, table).await? != i64::try_from(rows).unwrap_or(i64::MAX) {
            return Err(TransferError::Miscounted { table: table.name.clone() });
        }
        all += rows;
    }
    source.end()?;
    Ok(all)
}

async fn clear(conn: &mut AnyConnection, table: &Table) -> Result<(), TransferError> {
    sqlx::query(AssertSqlSafe(table.clear())).execute(conn).await?;
    Ok(())
}

async fn count(conn: &mut AnyConnection, table: &Table) -> Result<i64, TransferError> {
    Ok(sqlx::query(AssertSqlSafe(table.count())).fetch_one(conn).await?.try_get(0)?)
}

/// Why nothing was copied, backed up or restored. The text is a whole sentence for the operator.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransferError {
    /// A database cannot be opened.
    Open(OpenError),
    /// A database failed during the transfer.
    Store(Error),
    /// The target is not empty.
    NotEmpty {
        /// The target.
        place: String,
    },
    /// The file cannot be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// The message of the operating system.
        source: io::Error,
    },
    /// The file is damaged.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The backup was made by a newer version of this program.
    Newer {
        /// The version of its schema.
        found: i64,
        /// The newest version this program knows.
        known: i64,
        /// The version of the program that made it, if the file says so.
        maker: Option<String>,
    },
    /// The database has nothing to copy.
    Nothing {
        /// The source.
        place: String,
    },
    /// A table does not have as many rows as were written into it.
    Miscounted {
        /// The table.
        table: String,
    },
}

impl TransferError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

impl From<OpenError> for TransferError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<Error> for TransferError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for TransferError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::NotEmpty { place } => {
                write!(f, "{place} is not empty; name a database that nobody has used yet")
            }
            Self::File { path, source } if source.kind() == io::ErrorKind::AlreadyExists => {
                write!(f, "{} is there already and is not overwritten", path.display())
            }
            Self::File { path, source } if source.kind() == io::ErrorKind::NotFound => {
                write!(f, "there is no {}", path.display())
            }
            Self::File { path, source } => write!(f, "{}: {}", path.display(), in_words(source)),
            Self::Damaged { path, why } => {
                write!(f, "{} cannot be restored: {why}", path.display())
            }
            Self::Newer { found, known, maker } => {
                let maker = match maker {
                    Some(version) => format!("whoelse {version}"),
                    None => "the version of whoelse that made it".to_owned(),
                };
                write!(
                    f,
                    "the backup needs {maker} or newer: it is of schema {found}, and this program \
                     ({PROGRAM}) knows no newer one than {known}"
                )
            }
            Self::Nothing { place } => write!(f, "there is nothing in {place} to be copied"),
            Self::Miscounted { table } => {
                write!(f, "not everything arrived in the table {table}; nothing was changed")
            }
        }
    }
}

impl std::error::Error for TransferError {}

#[cfg(test)]
mod tests;
