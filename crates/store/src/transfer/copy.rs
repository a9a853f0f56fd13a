//! Copies everything from one database into another that is empty. The source stays as it is,
//! whatever its schema; an older schema is migrated in a file aside.

use std::io;
use std::path::PathBuf;

use sqlx::Connection;

use super::aside::Aside;
use super::{Source, TransferError, begin_snapshot, count, fill, tables};
use crate::look::Original;
use crate::upgrade::Opening;
use crate::{Location, Store, schema, sqlite};

/// Copies everything from one database into another, which must be empty. Returns how many rows
/// that were. No server may be running on either.
///
/// # Errors
/// When this fails the source is unchanged, and the target is empty, or does not exist if it did
/// not before.
pub async fn copy(from: &Location, to: &Location) -> Result<u64, TransferError> {
    let new = matches!(to, Location::Sqlite(path) if !path.exists());
    if let Location::Sqlite(path) = from
        && !path.exists()
    {
        return Err(TransferError::file(path, io::ErrorKind::NotFound.into()));
    }
    let original = Original::hold(from).await?;
    let version = original.version;
    let tables_there = tables(version).await?;
    let (mut conn, dialect) = (original.conn, original.dialect);
    let begun = begin_snapshot(&mut conn, dialect, &tables_there).await;
    let mut source = Source::Database(conn);
    let copied = async {
        begun?;
        if version == 0 {
            return Err(TransferError::Nothing { place: from.to_string() });
        }
        if !new && !is_empty(to).await? {
            return Err(TransferError::NotEmpty { place: to.to_string() });
        }
        if version == schema::KNOWN {
            return copy_into(to, &mut source).await;
        }
        let aside = Aside::of(&mut source, version, &beside(from, to)).await?;
        let mut source = aside.source(&tables(schema::KNOWN).await?).await?;
        let copied = copy_into(to, &mut source).await;
        source.close().await;
        copied
    };
    let copied: Result<u64, TransferError> = copied.await;
    source.close().await;
    if let (true, Err(_), Location::Sqlite(path)) = (new, &copied, to) {
        sqlite::remove_file(path);
    }
    copied
}

async fn copy_into(to: &Location, source: &mut Source) -> Result<u64, TransferError> {
    let tables = tables(schema::KNOWN).await?;
    // The target is empty, so no copy of it need be kept.
    let target = Store::open_with(to, &Opening { keep_copy: false, ..Opening::default() }).await?;
    let filled = async {
        let mut tx = target.begin().await?;
        let rows = fill(tx.conn()?, &tables, source).await?;
        tx.commit().await?;
        Ok(rows)
    };
    let filled: Result<u64, TransferError> = filled.await;
    let closed = target.close().await;
    let rows = filled?;
    closed?;
    Ok(rows)
}

/// Checks that a database is empty, before anything is made or migrated in it.
async fn is_empty(place: &Location) -> Result<bool, TransferError> {
    let Original { mut conn, version, .. } = Original::hold(place).await?;
    let looked = async {
        for table in &tables(version).await? {
            if count(&mut conn, table).await? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let looked: Result<bool, TransferError> = looked.await;
    // Nothing was changed, so an error of closing does not matter.
    let _ = conn.close().await;
    looked
}

/// Returns a place with room for a second copy: beside one of the two databases, if it is a file.
fn beside(from: &Location, to: &Location) -> PathBuf {
    match (to, from) {
        (Location::Sqlite(path), _) | (_, Location::Sqlite(path)) => path.with_extension("aside"),
        _ => std::env::temp_dir().join(format!("whoelse-{}.aside", std::process::id())),
    }
}
