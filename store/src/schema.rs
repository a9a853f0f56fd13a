//! The schema and its versions: one row says which version the database has, one file a step.

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row};

use crate::dialect::Dialect;

/// Every step from an empty database to today's schema. The first makes version 1.
const MIGRATIONS: &[&str] =
    &[include_str!("../migrations/0001.sql"), include_str!("../migrations/0002.sql")];

/// The newest version this program knows.
pub(crate) const KNOWN: i64 = MIGRATIONS.len() as i64;

const CREATE: &str = "CREATE TABLE schema_version (version BIGINT NOT NULL)";
const READ: &str = "SELECT version FROM schema_version";
const INSERT: &str = "INSERT INTO schema_version (version) VALUES ($1)";
const UPDATE: &str = "UPDATE schema_version SET version = $1";

pub(crate) const STATEMENTS: &[&str] = &[READ, INSERT, UPDATE];

/// Why the schema cannot be brought up to date.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The database is of a version to come.
    Newer { found: i64 },
    /// The database is full of somebody else's tables.
    Foreign,
    /// Our tables are not as we made them.
    Broken(&'static str),
    /// The database said no.
    Database(sqlx::Error),
    /// The store said no.
    Store(crate::Error),
}

impl From<crate::Error> for Refusal {
    fn from(error: crate::Error) -> Self {
        Self::Store(error)
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Brings the schema up to date. Each step happens whole or not at all.
pub(crate) async fn migrate(conn: &mut AnyConnection, dialect: Dialect) -> Result<(), Refusal> {
    migrate_along(conn, dialect, MIGRATIONS).await
}

/// Tells whether the schema can be brought up to date.
pub(crate) async fn check(conn: &mut AnyConnection, dialect: Dialect) -> Result<(), Refusal> {
    match current(conn, dialect).await? {
        found if found > KNOWN => Err(Refusal::Newer { found }),
        _ => Ok(()),
    }
}

/// Returns the version the database has, if it is one of ours.
pub(crate) async fn found(conn: &mut AnyConnection, dialect: Dialect) -> Option<i64> {
    current(conn, dialect).await.ok()
}

async fn migrate_along(
    conn: &mut AnyConnection,
    dialect: Dialect,
    steps: &[&'static str],
) -> Result<(), Refusal> {
    let mut version = current(conn, dialect).await?;
    if version > KNOWN {
        return Err(Refusal::Newer { found: version });
    }
    while let Some(step) = usize::try_from(version).ok().and_then(|at| steps.get(at)) {
        let mut tx = conn.begin().await?;
        let text = dialect.declaration(step).into_owned();
        tx.execute(sqlx::raw_sql(AssertSqlSafe(text))).await?;
        let set = if version == 0 {
            tx.execute(CREATE).await?;
            INSERT
        } else {
            UPDATE
        };
        version += 1;
        sqlx::query(set).bind(version).execute(&mut *tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Returns the version the database has; 0 is an empty one.
async fn current(conn: &mut AnyConnection, dialect: Dialect) -> Result<i64, Refusal> {
    let count = |row: sqlx::any::AnyRow| row.try_get::<i64, _>(0);
    let ours = sqlx::query(dialect.has_table()).bind("schema_version");
    let ours = count(ours.fetch_one(&mut *conn).await?)?;
    if ours == 0 {
        let tables = count(sqlx::query(dialect.count_tables()).fetch_one(&mut *conn).await?)?;
        return if tables == 0 { Ok(0) } else { Err(Refusal::Foreign) };
    }
    let rows = sqlx::query(READ).fetch_all(&mut *conn).await?;
    match rows.as_slice() {
        [row] => match row.try_get::<i64, _>(0)? {
            version @ 1.. => Ok(version),
            _ => Err(Refusal::Broken("its schema version is not a version")),
        },
        _ => Err(Refusal::Broken("it does not say which schema it has")),
    }
}

#[cfg(test)]
mod tests;
