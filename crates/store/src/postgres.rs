//! What is specific to PostgreSQL: how it is reached, how each connection is set up, what its
//! result codes mean, and how only one server at a time holds a database.
//!
//! The writing connection holds an advisory lock, which ends with the connection however that ends.
//! So when the connection is lost, another server may take the database before this one is back.
//! Each opening therefore increments [`OPENED`]: a server that reconnects and finds another count
//! than its own writes no more.
//!
//! If the connection is lost during a commit, it is unknown whether the commit succeeded until
//! PostgreSQL is asked about the number of the transaction ([`status`]).

use std::time::Duration;

use sqlx::{AnyConnection, Connection, Executor, Row};

use crate::location::PostgresUrl;
use crate::trouble::Trouble;
use crate::{Error, OpenError, Result, sequences};

/// The key under which openings are counted.
pub(crate) const OPENED: &str = "opened";

/// The oldest version that has been tested.
const OLDEST: i64 = 130_000;

/// Settings of every connection. A connection whose other end is gone is noticed within half a
/// minute, so that its lock does not outlive it by hours.
const EVERY_CONNECTION: &str = "SET client_min_messages = 'error'; SET timezone = 'UTC'; \
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; \
    SET idle_in_transaction_session_timeout = 0";

/// Settings of the writer: a commit is on the disk when it returns, unless the administrator asks
/// for even more.
const WRITER: &str = "SELECT set_config('synchronous_commit', 'on', false) \
    WHERE current_setting('synchronous_commit') = 'off'";

/// Settings of a reader: it never writes, and no query runs for ever.
const READER: &str =
    "SET default_transaction_read_only = on; SET statement_timeout = '60s'; SET jit = off";

/// Begins a transaction and returns its number, by which its result can be asked for if the
/// connection is lost during its commit.
pub(crate) const BEGIN: &str = "BEGIN; SELECT txid_current()";

/// Begins a read-only snapshot.
pub(crate) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Ends a snapshot. In a transaction in which a statement has failed, COMMIT succeeds and undoes
/// everything, while a statement before the COMMIT fails.
pub(crate) const COMMIT: &str = "SELECT 1; COMMIT";

/// Returns the state of a transaction: 'committed', 'aborted' or 'in progress'.
const STATUS: &str = "SELECT txid_status($1)";

/// Counts the tables of the schema.
pub(crate) const COUNT_TABLES: &str =
    "SELECT COUNT(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema()";

/// Looks for one table by name.
pub(crate) const HAS_TABLE: &str = "SELECT COUNT(*) FROM pg_catalog.pg_tables \
    WHERE schemaname = current_schema() AND tablename = $1";

const ABOUT: &str = "SELECT CAST(current_setting('server_version_num') AS BIGINT), \
    current_setting('server_encoding'), current_setting('server_version')";

/// Takes the lock of this schema. The schema's number is the second half of the key; the first half
/// spells `whoe`.
const LOCK: &str = "SELECT pg_try_advisory_lock(2003332965, CAST(oid AS INTEGER)), \
    CAST(pg_backend_pid() AS BIGINT) FROM pg_catalog.pg_namespace WHERE nspname = current_schema()";

/// Ends a connection of ours that still holds the lock although we have lost it.
const END_HOLDER: &str = "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_locks \
    WHERE locktype = 'advisory' AND classid = 2003332965 AND objsubid = 2 AND pid = $1";

/// Returns whether nothing is said of how a table is stored.
const UNTUNED: &str =
    "SELECT COUNT(*) FROM pg_catalog.pg_class WHERE oid = to_regclass($1) AND reloptions IS NULL";

/// Tables whose rows come and go, or change, all the time. By default PostgreSQL begins to clear a table
/// when a fifth of it is dead, and spares the disk: of the journal, which is emptied again and again and
/// read whole each time, millions of dead rows would be left by then.
const TUNED: [(&str, &str); 5] = [
    (
        "journal",
        "ALTER TABLE journal SET (autovacuum_vacuum_scale_factor = 0, \
        autovacuum_vacuum_threshold = 4096, autovacuum_vacuum_cost_delay = 0)",
    ),
    // What is counted of an archive changes with each fold and each confirmation: there is room for
    // the new row beside the old one, so no index changes.
    (
        "archives",
        "ALTER TABLE archives SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, \
        autovacuum_vacuum_threshold = 1000)",
    ),
    (
        "archive_rows",
        "ALTER TABLE archive_rows SET (autovacuum_vacuum_scale_factor = 0.02, \
        autovacuum_vacuum_threshold = 10000)",
    ),
    (
        "bodies",
        "ALTER TABLE bodies SET (autovacuum_vacuum_scale_factor = 0.02, \
        autovacuum_vacuum_threshold = 10000)",
    ),
    (
        "repeats",
        "ALTER TABLE repeats SET (autovacuum_vacuum_scale_factor = 0.02, \
        autovacuum_vacuum_threshold = 1000)",
    ),
];

/// The statements among them that are prepared.
#[cfg(test)]
pub(crate) const STATEMENTS: [&str; 7] =
    [STATUS, COUNT_TABLES, HAS_TABLE, ABOUT, LOCK, END_HOLDER, UNTUNED];

/// How often, and how long, to wait for a lock.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// The longest time to connect, or to wait for the end of a transaction. Otherwise a network that
/// swallows all packets would be waited for as long as its protocol allows.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Bounds a wait; past the bound the database counts as unreachable.
pub(crate) async fn bounded<T>(
    work: impl Future<Output = sqlx::Result<T>> + Send,
) -> sqlx::Result<T> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(PATIENCE, work).await.map_err(late)?
}

async fn connect(url: &PostgresUrl) -> sqlx::Result<AnyConnection> {
    let options = url.options();
    let mut conn = bounded(AnyConnection::connect_with(&options)).await?;
    conn.execute(sqlx::raw_sql(EVERY_CONNECTION)).await?;
    Ok(conn)
}

/// The writing connection, and the process that holds the lock for it.
pub(crate) struct Writer {
    pub conn: AnyConnection,
    /// The number of the server process at the other end.
    pub pid: i64,
}

/// Connects, and checks that the server's version is supported.
pub(crate) async fn look(url: &PostgresUrl) -> Result<AnyConnection, OpenError> {
    let failed = |error: sqlx::Error| OpenError::of(url, &error);
    let mut conn = connect(url).await.map_err(failed)?;
    let about = sqlx::query(ABOUT).fetch_one(&mut conn).await.map_err(failed)?;
    let number: i64 = about.try_get(0).map_err(failed)?;
    let (encoding, version): (String, String) =
        (about.try_get(1).map_err(failed)?, about.try_get(2).map_err(failed)?);
    let place = url.to_string();
    if number < OLDEST {
        return Err(OpenError::TooOld { place, found: version });
    }
    if encoding != "UTF8" {
        return Err(OpenError::Encoding { place, found: encoding });
    }
    Ok(conn)
}

/// Opens the writing connection for the first time.
pub(crate) async fn open_writer(url: &PostgresUrl) -> Result<Writer, OpenError> {
    let failed = |error: sqlx::Error| OpenError::of(url, &error);
    let mut conn = look(url).await?;
    for _ in 0..TRIES {
        match lock(&mut conn).await.map_err(failed)? {
            Some((true, pid)) => {
                prepare_writer(&mut conn).await.map_err(failed)?;
                return Ok(Writer { conn, pid });
            }
            // The lock may be that of a server that has just crashed, which PostgreSQL is about to
            // notice.
            Some((false, _)) => tokio::time::sleep(PAUSE).await,
            None => {
                let cause = "its search_path names no schema that is there".to_owned();
                return Err(OpenError::Database { place: url.to_string(), cause });
            }
        }
    }
    Err(OpenError::Busy { place: url.to_string() })
}

/// Opens the writing connection again, after it was lost: `pid` was the process at the other end,
/// `opened` is our count.
///
/// Fails with [`Error::Taken`] if another server had the database in the meantime, and
/// [`Error::Lost`] if the database cannot be reached now.
pub(crate) async fn reopen_writer(url: &PostgresUrl, pid: i64, opened: i64) -> Result<Writer> {
    let mut conn = connect(url).await?;
    for _ in 0..TRIES {
        if let Some((true, pid)) = lock(&mut conn).await? {
            if sequences::read(&mut conn, OPENED).await? != Some(opened) {
                return Err(Error::Taken);
            }
            prepare_writer(&mut conn).await?;
            return Ok(Writer { conn, pid });
        }
        if sequences::read(&mut conn, OPENED).await? != Some(opened) {
            return Err(Error::Taken);
        }
        // Without the privilege to do this, waiting helps as well: the keepalives above end it.
        let ended = sqlx::query(END_HOLDER).bind(pid).fetch_all(&mut conn).await;
        ended.inspect_err(|error| tracing::debug!(%error, "old_connection_not_ended")).ok();
        tokio::time::sleep(PAUSE).await;
    }
    Err(Error::Lost(sqlx::Error::Io(std::io::ErrorKind::ResourceBusy.into()).into()))
}

/// Tries to take the lock. Returns whether it succeeded, and which process is at the other end.
/// `None`: there is no schema.
async fn lock(conn: &mut AnyConnection) -> sqlx::Result<Option<(bool, i64)>> {
    let row = sqlx::query(LOCK).fetch_optional(conn).await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

async fn prepare_writer(conn: &mut AnyConnection) -> sqlx::Result<()> {
    conn.execute(sqlx::raw_sql(WRITER)).await?;
    Ok(())
}

/// Sets up a connection that only reads.
pub(crate) async fn prepare_reader(conn: &mut AnyConnection) -> sqlx::Result<()> {
    conn.execute(sqlx::raw_sql(EVERY_CONNECTION)).await?;
    conn.execute(sqlx::raw_sql(READER)).await?;
    Ok(())
}

/// Returns whether a transaction of a connection that is gone has been committed.
///
/// A number that the database does not know belongs to a transaction that was lost in a crash, or
/// that never existed there because the database is a replica that took over.
pub(crate) async fn was_committed(conn: &mut AnyConnection, txid: i64) -> Result<bool> {
    let status = sqlx::query(STATUS).bind(txid).fetch_one(conn).await;
    let status: Option<String> = match status {
        Ok(row) => row.try_get(0)?,
        Err(sqlx::Error::Database(refusal)) if refusal.code().as_deref() == Some("22023") => None,
        Err(error) => return Err(error.into()),
    };
    Ok(status.as_deref() == Some("committed"))
}

/// Says how tables are stored of which nothing is said: what an administrator has set stays. Whoever may
/// not do that goes on without it.
pub(crate) async fn tune(conn: &mut AnyConnection) {
    for (table, statement) in TUNED {
        let tuned = async {
            let row = sqlx::query(UNTUNED).bind(table).fetch_one(&mut *conn).await?;
            if row.try_get::<i64, _>(0)? > 0 {
                conn.execute(sqlx::raw_sql(statement)).await?;
            }
            Ok::<(), sqlx::Error>(())
        };
        if let Err(error) = tuned.await {
            tracing::info!(%table, %error, "table_not_tuned");
        }
    }
}

/// Translates a schema change for PostgreSQL; 0001.sql says what differs.
pub(crate) fn declaration(text: &str) -> String {
    let code: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    code.join("\n")
        .replace(" WITHOUT ROWID", "")
        .replace(" BLOB", " BYTEA")
        .replace(" INTEGER", " BIGINT")
        .replace(" TEXT", " TEXT COLLATE \"C\"")
}

/// Sorts a result code: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
pub(crate) fn trouble(code: &str) -> Trouble {
    match code {
        "53100" | "53200" | "58030" => Trouble::Full,
        "XX001" | "XX002" => Trouble::Broken,
        "42501" | "25006" => Trouble::Unwritable,
        "28000" | "28P01" => Trouble::Refused,
        "3D000" => Trouble::Missing,
        "53300" => Trouble::Lost,
        _ if code.starts_with("08") || code.starts_with("57P") => Trouble::Lost,
        _ => Trouble::Other,
    }
}

#[cfg(test)]
mod tests;
