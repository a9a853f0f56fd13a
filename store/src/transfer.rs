//! Everything from one place to another: a copy between two databases, a backup into a file, and
//! back.
//!
//! What is read is one moment of its source, whatever is written there meanwhile. What is written
//! into a database is one transaction: it is there whole and counted, or nothing has changed. Only
//! a page of a table is in memory at a time.

mod file;
mod tables;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row};

use crate::dialect::Dialect;
use crate::rows::ManyRows;
use crate::{Error, OpenError, Place, Store, Tx};
pub(crate) use tables::statements;
use tables::{Kind, TABLES, Table};

/// Copies everything from one database into another, which has to be empty. Returns how many rows
/// that were. No server may be running on either.
///
/// # Errors
/// When this fails the target is empty, or not there if it was not there before.
pub async fn copy(from: &Place, to: &Place) -> Result<u64, TransferError> {
    let new = matches!(to, Place::Sqlite(path) if !path.exists());
    if let Place::Sqlite(path) = from
        && !path.exists()
    {
        return Err(TransferError::file(path, io::ErrorKind::NotFound.into()));
    }
    let source = Store::open(from).await?;
    let target = match Store::open(to).await {
        Ok(target) => target,
        Err(error) => {
            let _ = source.close().await;
            return Err(error.into());
        }
    };
    let copied = copy_between(&source, &target).await;
    let closed = (source.close().await, target.close().await);
    let copied = copied.and_then(|rows| {
        closed.0?;
        closed.1?;
        Ok(rows)
    });
    if let (true, Err(_), Place::Sqlite(path)) = (new, &copied, to) {
        crate::sqlite::remove_file(path);
    }
    copied
}

async fn copy_between(source: &Store, target: &Store) -> Result<u64, TransferError> {
    let mut tx = target.begin().await?;
    for table in TABLES {
        if count(tx.conn()?, table).await? > 0 {
            return Err(TransferError::NotEmpty { place: target.place().to_string() });
        }
    }
    let rows = fill(&mut tx, Source::Database(source.snapshot().await?)).await?;
    tx.commit().await?;
    Ok(rows)
}

impl Store {
    /// Writes everything as it is at this moment into a new file, which only its owner can read.
    /// Returns how many rows that were. Whoever writes is not held up.
    ///
    /// The file holds what the database holds: messages, and the keys by which passwords are
    /// checked.
    ///
    /// # Errors
    /// When this fails there is no file. One that was there before is left alone.
    pub async fn backup(&self, path: &Path) -> Result<u64, TransferError> {
        let source = Source::Database(self.snapshot().await?);
        let mut writer = file::Writer::create(path)?;
        let written = write_all(&mut writer, source).await;
        let written = written.and_then(|rows| writer.finish().map(|()| rows));
        if written.is_err() {
            // Nothing can be done about one that stays.
            let _ = std::fs::remove_file(path);
        }
        written
    }

    /// Puts what is in a backup in place of everything that is here. Returns how many rows that
    /// were.
    ///
    /// # Errors
    /// When this fails nothing has changed: a file that is damaged is refused before anything is
    /// touched.
    pub async fn restore(&self, path: &Path) -> Result<u64, TransferError> {
        let source = Source::File(file::Reader::open(path)?);
        let mut tx = self.begin().await?;
        for table in TABLES.iter().rev() {
            tx.conn()?.execute(sqlx::query(AssertSqlSafe(table.clear()))).await?;
        }
        let rows = fill(&mut tx, source).await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// A connection that sees one moment of the database, until it is closed.
    async fn snapshot(&self) -> Result<AnyConnection, TransferError> {
        let (options, begin) = self.snapshot_options()?;
        let mut conn = AnyConnection::connect_with(&options).await?;
        match self.dialect() {
            Dialect::Sqlite => crate::sqlite::prepare_reader(&mut conn).await?,
            Dialect::Postgres => crate::postgres::prepare_reader(&mut conn).await?,
        }
        conn.execute(begin).await?;
        // With SQLite the moment is that of the first question.
        count(&mut conn, &TABLES[0]).await?;
        Ok(conn)
    }
}

/// Looks whether a file is a whole backup that can be restored.
///
/// # Errors
/// Why it cannot.
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

/// Where rows come from.
enum Source {
    Database(AnyConnection),
    File(file::Reader),
}

impl Source {
    /// The rows of a table behind the last one read, none when there are no more.
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
                // No key holds NULL or bytes.
                Value::Null | Value::Blob(_) => query,
                Value::Number(number) => query.bind(*number),
                Value::Text(text) => query.bind(text.clone()),
            };
        }
        let rows = query.fetch_all(conn).await?;
        rows.iter().map(|row| values(table, row)).collect()
    }
}

fn values(table: &Table, row: &AnyRow) -> Result<Vec<Value>, TransferError> {
    let columns = table.columns.iter().enumerate();
    let value = |(at, (_, kind)): (usize, &(&str, Kind))| -> sqlx::Result<Value> {
        Ok(match kind {
            Kind::Number => row.try_get::<Option<i64>, _>(at)?.map(Value::Number),
            Kind::Text => row.try_get::<Option<String>, _>(at)?.map(Value::Text),
            Kind::Blob => row.try_get::<Option<Vec<u8>>, _>(at)?.map(Value::Blob),
        }
        .unwrap_or(Value::Null))
    };
    Ok(columns.map(value).collect::<sqlx::Result<_>>()?)
}

async fn write_all(writer: &mut file::Writer, mut source: Source) -> Result<u64, TransferError> {
    let mut all = 0;
    for table in TABLES {
        writer.table(table)?;
        let (mut rows, mut last) = (0, None);
        loop {
            let mut page = source.page(table, last.as_ref()).await?;
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
async fn fill(tx: &mut Tx, mut source: Source) -> Result<u64, TransferError> {
    let mut all = 0;
    for table in TABLES {
        let insert = ManyRows::new(&table.insert(), table.columns.len(), "");
        let (mut rows, mut last) = (0, None);
        loop {
            let mut page = source.page(table, last.as_ref()).await?;
            for (text, piece) in insert.pieces(&page) {
                let mut query = sqlx::query(text);
                for (value, (_, kind)) in piece.iter().flat_map(|row| row.iter().zip(table.columns))
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
                query.execute(tx.conn()?).await?;
            }
            rows += page.len() as u64;
            // A page of a file that is not full is the last one; asking for more would begin the
            // next table.
            let full = page.len() >= table.page;
            match page.pop() {
                Some(row) if full => last = Some(row),
                _ => break,
            }
        }
        if count(tx.conn()?, table).await? != i64::try_from(rows).unwrap_or(i64::MAX) {
            return Err(TransferError::Miscounted { table: table.name });
        }
        all += rows;
    }
    Ok(all)
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
    /// A database failed.
    Store(Error),
    /// The target holds something already.
    NotEmpty {
        /// The target.
        place: String,
    },
    /// The file cannot be read or written.
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not what was once written.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// The backup is of another version.
    Schema {
        /// Of which schema it is.
        found: i64,
        /// Which one this program has.
        known: i64,
    },
    /// There is not as much in a table as was written into it.
    Miscounted {
        /// The table.
        table: &'static str,
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
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Damaged { path, why } => {
                write!(f, "{} cannot be restored: {why}", path.display())
            }
            Self::Schema { found, known } => write!(
                f,
                "the backup is of schema {found}, this program has {known}; restore it with the \
                 version of whoelse that made it"
            ),
            Self::Miscounted { table } => {
                write!(f, "not everything arrived in the table {table}; nothing was changed")
            }
        }
    }
}

impl std::error::Error for TransferError {}

#[cfg(test)]
mod tests;
