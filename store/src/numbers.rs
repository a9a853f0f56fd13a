//! Numbers that outlive the rows they were taken from: the last id of each kind, so that none is
//! given twice, the highest seq ever used, the last heartbeat, and when a new schema was good for the
//! first time.

use sqlx::{AnyConnection, Row};

use crate::Result;

/// The number of the last account made.
pub(crate) const ACCOUNT: &str = "account";
/// The number of the last domain made.
pub(crate) const DOMAIN: &str = "domain";
/// The number of the last interval begun.
pub(crate) const INTERVAL: &str = "interval";
/// When the server was last seen alive.
pub(crate) const HEARTBEAT: &str = "heartbeat";
/// The highest seq that any message had, as far as the messages themselves no longer say it.
pub(crate) const SEQ: &str = "seq";

/// When the first start after the last upgrade succeeded.
pub(crate) const UPGRADED: &str = "upgraded";

const NEXT: &str = "INSERT INTO numbers (name, value) VALUES ($1, 1) \
    ON CONFLICT (name) DO UPDATE SET value = numbers.value + 1 RETURNING value";
const WRITE: &str = "INSERT INTO numbers (name, value) VALUES ($1, $2) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const READ: &str = "SELECT value FROM numbers WHERE name = $1";

const WRITE_ONCE: &str = "INSERT INTO numbers (name, value) VALUES ($1, $2) \
    ON CONFLICT (name) DO NOTHING";
const FORGET: &str = "DELETE FROM numbers WHERE name = $1";

pub(crate) const STATEMENTS: &[&str] = &[NEXT, WRITE, READ, WRITE_ONCE, FORGET];

/// Returns a number that nothing of this kind has had.
pub(crate) async fn next(conn: &mut AnyConnection, name: &str) -> Result<i64> {
    Ok(sqlx::query(NEXT).bind(name).fetch_one(conn).await?.try_get(0)?)
}

/// Sets a number to this value.
pub(crate) async fn write(conn: &mut AnyConnection, name: &str, value: i64) -> Result<()> {
    sqlx::query(WRITE).bind(name).bind(value).execute(conn).await?;
    Ok(())
}

/// Returns a number, if it was ever set.
pub(crate) async fn read(conn: &mut AnyConnection, name: &str) -> Result<Option<i64>> {
    let row = sqlx::query(READ).bind(name).fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Sets a number to this value unless it has one.
pub(crate) async fn write_once(conn: &mut AnyConnection, name: &str, value: i64) -> Result<()> {
    sqlx::query(WRITE_ONCE).bind(name).bind(value).execute(conn).await?;
    Ok(())
}

/// Sets a number back to none.
pub(crate) async fn forget(conn: &mut AnyConnection, name: &str) -> Result<()> {
    sqlx::query(FORGET).bind(name).execute(conn).await?;
    Ok(())
}
