//! The schema and its versions: one row has the version of the database, one file each migration
//! step.

use std::fmt;

use sqlx::{AnyConnection, AssertSqlSafe, Connection, Executor, Row};

use crate::dialect::Dialect;
use crate::repeats::Carried;
use crate::{OpenError, journal, sequences};

/// Every step from an empty database to today's schema. The first makes version 1.
pub(crate) const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001.sql"),
    include_str!("../migrations/0002.sql"),
    include_str!("../migrations/0003.sql"),
    include_str!("../migrations/0004.sql"),
    include_str!("../migrations/0005.sql"),
    include_str!("../migrations/0006.sql"),
    include_str!("../migrations/0007.sql"),
];

/// The first version that has a journal, and the first whose journal has parts.
const FIRST_WITH_JOURNAL: i64 = 3;
const FIRST_WITH_PARTS: i64 = 6;

/// What a fold did before the journal had parts: a row of it was a message, with the rows of both
/// archives.
const FOLD_WITHOUT_PARTS: [&str; 3] = [
    "INSERT INTO archive_rows (archive, seq, at, peer, direction, bytes, body) \
    SELECT archive, seq, at, peer, direction, bytes, body FROM journal UNION ALL \
    SELECT second_archive, second_seq, at, second_peer, second_direction, bytes, body \
    FROM journal WHERE second_archive IS NOT NULL",
    "UPDATE archives SET bytes = archives.bytes + moved.bytes FROM \
    (SELECT j.archive, CAST(COALESCE(SUM(j.bytes), 0) AS BIGINT) AS bytes FROM \
    (SELECT archive, bytes FROM journal UNION ALL SELECT second_archive, bytes FROM journal \
    WHERE second_archive IS NOT NULL) AS j GROUP BY j.archive) AS moved \
    WHERE archives.id = moved.archive",
    journal::CLEAR,
];

/// The newest version this program knows.
pub(crate) const KNOWN: i64 = MIGRATIONS.len() as i64;

const CREATE: &str = "CREATE TABLE schema_version (version BIGINT NOT NULL)";
const READ: &str = "SELECT version FROM schema_version";
const INSERT: &str = "INSERT INTO schema_version (version) VALUES ($1)";
const UPDATE: &str = "UPDATE schema_version SET version = $1";

pub(crate) const STATEMENTS: &[&str] = &[READ, INSERT, UPDATE];

/// Why the schema cannot be migrated.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The database has a version of a newer program.
    Newer { found: i64 },
    /// The database has tables of another program.
    Foreign,
    /// Our tables are not as we made them.
    Broken(&'static str),
    /// The database failed.
    Database(sqlx::Error),
    /// The store failed.
    Store(crate::Error),
}

impl Refusal {
    /// Converts this to the error of an opening at a location.
    pub(crate) fn at(self, place: impl fmt::Display) -> OpenError {
        let shown = place.to_string();
        match self {
            Self::Newer { found } => OpenError::Newer { found, known: KNOWN },
            Self::Foreign => OpenError::Foreign { place: shown },
            Self::Broken(why) => OpenError::Broken { place: shown, cause: why.to_owned() },
            Self::Database(error) => OpenError::of(shown, &error),
            Self::Store(error) => OpenError::Database { place: shown, cause: error.to_string() },
        }
    }
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

/// Migrates the schema to today's: all steps, or none.
pub(crate) async fn migrate(conn: &mut AnyConnection, dialect: Dialect) -> Result<(), Refusal> {
    migrate_along(conn, dialect, MIGRATIONS).await
}

/// Makes the schema of an earlier version in an empty database.
pub(crate) async fn make(
    conn: &mut AnyConnection,
    dialect: Dialect,
    version: i64,
) -> Result<(), Refusal> {
    let steps = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(..version));
    let steps = steps.ok_or(Refusal::Newer { found: version })?;
    migrate_along(conn, dialect, steps).await
}

/// Returns the version of the database, 0 if it is empty, if it can be migrated.
pub(crate) async fn version(conn: &mut AnyConnection, dialect: Dialect) -> Result<i64, Refusal> {
    match current(conn, dialect).await? {
        found if found > KNOWN => Err(Refusal::Newer { found }),
        found => Ok(found),
    }
}

/// Returns the version of the database, if it is one of ours.
pub(crate) async fn found(conn: &mut AnyConnection, dialect: Dialect) -> Option<i64> {
    current(conn, dialect).await.ok()
}

async fn migrate_along(
    conn: &mut AnyConnection,
    dialect: Dialect,
    steps: &[&'static str],
) -> Result<(), Refusal> {
    let from = version(conn, dialect).await?;
    let to_come = usize::try_from(from).ok().and_then(|from| steps.get(from..));
    let Some(to_come @ [_, ..]) = to_come else { return Ok(()) };
    let mut tx = conn.begin().await?;
    // The steps find every message where it belongs. A step that changes what the statements of today
    // name leaves those of before here, for the versions before it.
    match from {
        ..FIRST_WITH_JOURNAL => {}
        FIRST_WITH_JOURNAL..FIRST_WITH_PARTS => {
            for statement in FOLD_WITHOUT_PARTS {
                tx.execute(statement).await?;
            }
        }
        _ => journal::fold_everything(&mut tx).await?,
    }
    for (version, step) in (from + 1..).zip(to_come) {
        let carried = match version {
            3 => Some(Carried::from(&mut tx).await?),
            _ => None,
        };
        let text = dialect.declaration(step).into_owned();
        tx.execute(sqlx::raw_sql(AssertSqlSafe(text))).await?;
        if let Some(carried) = carried {
            carried.note(&mut tx).await?;
        }
    }
    if from == 0 {
        tx.execute(CREATE).await?;
    } else {
        sequences::forget(&mut tx, sequences::UPGRADED).await?;
    }
    let set = if from == 0 { INSERT } else { UPDATE };
    sqlx::query(set).bind(steps.len() as i64).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// Returns the version of the database; 0 is an empty one.
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
