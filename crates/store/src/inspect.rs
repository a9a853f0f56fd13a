//! Inspects a database file without a trace: makes, migrates and repairs nothing, in the file or
//! beside it.
//!
//! For `whoelse doctor`, which must work beside a running server and change nothing.

use std::path::Path;

use sqlx::any::AnyConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AnyConnection, ConnectOptions, Connection, Row};

use crate::dialect::Dialect;
use crate::{Heartbeat, Result, domains, schema, sequences, upgrade};

/// SQLite's PRAGMA quick_check: checks everything except whether the indexes agree with their
/// tables. Stops at the first few faults.
const CHECK: &str = "PRAGMA quick_check(5)";

/// The result of an inspection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The version of its schema; `None` if it has none, or not one of ours.
    pub version: Option<i64>,
    /// The newest version this program knows.
    pub known: i64,
    /// The most bytes that a copy of it and its migration to today's schema take.
    pub bytes: u64,
    /// The domains that it serves, in the order in which they were made.
    pub domains: Vec<String>,
    /// When a server was last seen alive on it.
    pub heartbeat: Option<Heartbeat>,
}

/// Inspects a database file, which takes a moment however large it is. `in_use`: a server has it
/// open, or has not closed it.
///
/// # Errors
///
/// The file is not there, cannot be read, or is no database.
pub async fn inspect(path: &Path, in_use: bool) -> Result<Inspection> {
    let mut conn = connect(path, in_use).await?;
    let looked = look(&mut conn).await;
    // The result stands, even if closing fails.
    let _ = conn.close().await;
    looked
}

/// Reads all of a database file, and returns what is broken; nothing if all is well. `in_use`: as
/// for [`inspect`].
///
/// # Errors
///
/// The file is not there, cannot be read, or is no database.
pub async fn find_faults(path: &Path, in_use: bool) -> Result<Vec<String>> {
    let mut conn = connect(path, in_use).await?;
    let found = sqlx::query(CHECK).fetch_all(&mut conn).await;
    let _ = conn.close().await;
    let mut faults = Vec::new();
    for row in found? {
        let fault: String = row.try_get(0)?;
        if fault != "ok" {
            faults.push(fault);
        }
    }
    Ok(faults)
}

async fn connect(path: &Path, in_use: bool) -> Result<AnyConnection> {
    sqlx::any::install_default_drivers();
    // A file that nobody writes is opened as if it were on a read-only medium: otherwise reading it
    // would leave files beside it.
    let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(!in_use);
    let options = AnyConnectOptions::from_url(&options.to_url_lossy())?;
    Ok(AnyConnection::connect_with(&options.disable_statement_logging()).await?)
}

async fn look(conn: &mut AnyConnection) -> Result<Inspection> {
    let version = schema::found(conn, Dialect::Sqlite).await;
    let domains = match version {
        Some(1..) => domains::domains(conn).await?.into_iter().map(|domain| domain.name).collect(),
        _ => Vec::new(),
    };
    let heartbeat = match version {
        Some(1..) => sequences::heartbeat(conn).await?,
        _ => None,
    };
    let bytes = upgrade::room(upgrade::size(conn).await?, version.unwrap_or(schema::KNOWN));
    Ok(Inspection { version, known: schema::KNOWN, bytes, domains, heartbeat })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;
    use crate::{Location, Store};

    #[tokio::test]
    async fn a_look_finds_version_and_domains_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("whoelse.db");
        let store = Store::open(&Location::Sqlite(file.clone())).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        tx.ensure_domain("a.example").await.unwrap();
        tx.commit().await.unwrap();

        let beside_a_server = inspect(&file, true).await.unwrap();
        store.close().await.unwrap();
        let alone = inspect(&file, false).await.unwrap();

        assert_eq!(beside_a_server, alone);
        assert_eq!(alone.version, Some(alone.known));
        assert_eq!(alone.domains, ["a.example"]);
        assert_eq!(find_faults(&file, false).await.unwrap(), [""; 0]);
        // A new database has some free pages, of tables that its schema no longer has.
        let length = fs::metadata(&file).unwrap().len();
        assert!((length - (20 << 12)..=length).contains(&alone.bytes), "{} {length}", alone.bytes);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn what_is_no_database_is_an_error_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("whoelse.db");
        assert!(inspect(&file, false).await.is_err());
        assert!(!file.exists());

        let poem = "this is not a database, it is a poem of some length\n".repeat(100);
        fs::write(&file, &poem).unwrap();
        assert!(inspect(&file, false).await.is_err());
        assert!(find_faults(&file, false).await.is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), poem);
    }
}
