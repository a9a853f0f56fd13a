//! Pieces: a statement that finds its rows by a condition changes a bounded number of them, and
//! whoever wants all of them changed repeats it for as long as it changes so many. Everybody who
//! writes waits for one piece at most.

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, Row};

use crate::Result;

/// Runs a statement whose last parameter is how many rows it changes at most; returns how many it
/// has changed.
pub(crate) async fn change(
    conn: &mut AnyConnection,
    text: &'static str,
    parameters: &[i64],
    most: u64,
) -> Result<u64> {
    run(conn, sqlx::query(text), parameters, most).await
}

/// The same for rows about an address, which is the first parameter.
pub(crate) async fn change_about(
    conn: &mut AnyConnection,
    text: &'static str,
    who: &str,
    parameters: &[i64],
    most: u64,
) -> Result<u64> {
    run(conn, sqlx::query(text).bind(who), parameters, most).await
}

async fn run(
    conn: &mut AnyConnection,
    query: Query<'_, Any, AnyArguments>,
    parameters: &[i64],
    most: u64,
) -> Result<u64> {
    let query = parameters.iter().fold(query, |query, it| query.bind(*it));
    let query = query.bind(i64::try_from(most).unwrap_or(i64::MAX));
    Ok(query.execute(conn).await?.rows_affected())
}

/// Runs a statement that looks at the rows of one piece; returns how many there are, and the number
/// of the last.
pub(crate) async fn look(
    conn: &mut AnyConnection,
    text: &'static str,
    parameters: &[i64],
) -> Result<(i64, i64)> {
    let query = parameters.iter().fold(sqlx::query(text), |query, it| query.bind(*it));
    let row = query.fetch_one(conn).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
