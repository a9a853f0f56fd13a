//! What is specific to SQLite: how its file is addressed, how each connection is set up, and what
//! its result codes mean.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};

use sqlx::any::AnyConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Connection, Executor, Row};

use crate::trouble::Trouble;

/// Settings of every connection: wait rather than fail when a backup holds the file, and remove
/// with an account the rows that refer to it.
const EVERY_CONNECTION: &str = "PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON;";

/// Pages of a new file: less is left over of them behind bodies than of those of 4 KiB, a thirtieth
/// of the file. An older file keeps its pages.
const NEW_FILE: &str = "PRAGMA page_size = 8192";
const PAGES: &str = "SELECT page_count FROM pragma_page_count()";

/// Settings of the writer. With FULL a commit is on the disk when it returns; for grouped commits
/// this costs no more than NORMAL. The cache holds the inner pages of the indexes that appends
/// touch. The limit returns the space that a burst took in the write-ahead log. What a statement over
/// many rows would need to undo itself alone is in memory: for a group a temporary file of it would
/// be twice as large as what the log takes. The log is moved into the file by 250 pages at a time: whoever
/// writes waits for that, and by default it would be four times as much.
const WRITER: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA cache_size = -16000; PRAGMA journal_size_limit = 16777216; \
    PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 250;";

/// A store that is gone with the process need not wait for the disk.
const WRITER_IN_MEMORY: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;";

/// A database that is filled once, read once and removed needs neither.
const WRITER_ASIDE: &str = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;";

/// Settings of a reader: it never writes, whatever statement it is given.
const READER: &str = "PRAGMA query_only = ON;";

/// Begins a transaction. IMMEDIATE takes the write lock now, while waiting is still possible.
pub(crate) const BEGIN: &str = "BEGIN IMMEDIATE";

/// Begins a read-only snapshot.
pub(crate) const BEGIN_SNAPSHOT: &str = "BEGIN";

/// Moves the content of the write-ahead log into the file and empties the log.
pub(crate) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// Counts what is in the file besides SQLite's own tables.
pub(crate) const COUNT_TABLES: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'";

/// Looks for one table by name.
pub(crate) const HAS_TABLE: &str =
    "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = $1";

/// Returns the options that reach this file; the path must be absolute.
pub(crate) fn options(path: &Path) -> sqlx::Result<AnyConnectOptions> {
    // The driver makes the URL; it knows how to escape whatever a path may contain.
    let url = SqliteConnectOptions::new().filename(path).to_url_lossy();
    Ok(AnyConnectOptions::from_url(&url)?.disable_statement_logging())
}

/// Opens the writing connection.
pub(crate) async fn connect_writer(
    options: &AnyConnectOptions,
    lasting: bool,
) -> sqlx::Result<AnyConnection> {
    let mut conn = AnyConnection::connect_with(options).await?;
    conn.execute(EVERY_CONNECTION).await?;
    if sqlx::query(PAGES).fetch_one(&mut conn).await?.try_get::<i64, _>(0)? == 0 {
        conn.execute(NEW_FILE).await?;
    }
    conn.execute(if lasting { WRITER } else { WRITER_IN_MEMORY }).await?;
    Ok(conn)
}

/// Opens a database that is to be filled beside the real one.
pub(crate) async fn connect_aside(options: &AnyConnectOptions) -> sqlx::Result<AnyConnection> {
    let mut conn = AnyConnection::connect_with(options).await?;
    conn.execute(EVERY_CONNECTION).await?;
    conn.execute(WRITER_ASIDE).await?;
    Ok(conn)
}

/// Sets up a connection that only reads.
pub(crate) async fn prepare_reader(conn: &mut AnyConnection) -> sqlx::Result<()> {
    conn.execute(EVERY_CONNECTION).await?;
    conn.execute(READER).await?;
    Ok(())
}

/// Makes sure that the file exists and can be written; returns whether it is new.
///
/// The operating system's errors are clearer than SQLite's, and a new file is readable by its owner
/// alone (SQLite gives the files beside it the same mode).
pub(crate) fn ensure_file(path: &Path) -> io::Result<bool> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.clone().create_new(true).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.open(path).map(|_| false)
        }
        Err(error) => Err(error),
    }
}

/// Removes the file and what SQLite keeps beside it.
pub(crate) fn remove_file(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        // Most of these files do not exist, and nothing can be done about one that cannot be
        // removed.
        let _ = std::fs::remove_file(PathBuf::from(name));
    }
}

/// Says what a result code means for whoever runs the server. Most of them mean a mistake of ours,
/// which only their number tells.
pub(crate) fn in_words(code: &str) -> String {
    let words = match code.parse::<i32>().unwrap_or(0) & 0xff {
        5 | 6 => "another program holds it",
        8 | 14 | 23 => "it may not be opened or written",
        10 => "the disk fails",
        11 => "a part of it was overwritten or is missing",
        13 => "the disk is full",
        26 => "it does not begin as a database does",
        _ => return format!("SQLite says {code}"),
    };
    words.to_owned()
}

/// Sorts a result code (<https://www.sqlite.org/rescode.html>); the low byte is the primary one.
pub(crate) fn trouble(code: &str) -> Trouble {
    match code.parse::<i32>().unwrap_or(0) & 0xff {
        10 | 13 => Trouble::Full,
        11 | 26 => Trouble::Broken,
        8 | 14 | 23 => Trouble::Unwritable,
        5 | 6 => Trouble::Busy,
        _ => Trouble::Other,
    }
}
