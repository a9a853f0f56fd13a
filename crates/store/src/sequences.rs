//! Numbers that outlive the rows they were taken from: the last id of each kind, so that none is
//! given twice; the last time stamp of the log; the last heartbeat with what is known of the clock;
//! and when a new schema first ran successfully.

use sqlx::{AnyConnection, Row};

use crate::Result;
use crate::heartbeat::{ClockDoubt, Heartbeat};

/// The number of the last account made.
pub(crate) const ACCOUNT: &str = "account";
/// The number of the last archive made.
pub(crate) const ARCHIVE: &str = "archive";
/// The number of the last domain made.
pub(crate) const DOMAIN: &str = "domain";
/// The number of the last interval begun.
pub(crate) const INTERVAL: &str = "interval";
/// The last number given to a node of publish-subscribe, or to the items of one.
pub(crate) const PUBSUB: &str = "pubsub";
/// The number of the last room made.
pub(crate) const ROOM: &str = "room";
/// The time stamp of the message that was stored last.
pub(crate) const STAMP: &str = "stamp";
/// When the server was last seen alive, by the wall.
pub(crate) const HEARTBEAT: &str = "heartbeat";
/// The same time in even time.
pub(crate) const EVEN: &str = "even";
/// When the doubt of the wall began; not set while the wall is believed.
pub(crate) const DOUBT_SINCE: &str = "doubt-since";
/// How long the server has been up during the doubt.
pub(crate) const DOUBT_UP: &str = "doubt-up";
/// How much time has passed by the wall that was not counted.
pub(crate) const DOUBT_CLAIM: &str = "doubt-claim";
/// How far the wall was from what was expected.
pub(crate) const DOUBT_GAP: &str = "doubt-gap";

/// While times move together with even time: from when on they do, up to when, and by how much.
pub(crate) const MOVED_SINCE: &str = "moved-since";
/// Not set any more when all of them are marked.
pub(crate) const MOVED_UNTIL: &str = "moved-until";
pub(crate) const MOVED_BY: &str = "moved-by";

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

/// Finds impossible numbers: beyond the year 11,000 or below zero, which no counter or clock
/// reaches; and rows with a number that has not been given yet.
const IMPOSSIBLE: &str = "SELECT \
    (SELECT COUNT(*) FROM numbers WHERE value > 288230376151711744 \
        OR value < -288230376151711744 OR (value < 0 AND name <> 'doubt-gap')) \
    + (SELECT COUNT(*) FROM archives WHERE highest > 288230376151711744 OR highest < 0 \
        OR confirmed > 288230376151711744 OR confirmed < 0 OR \
        (SELECT MAX(r.seq) FROM archive_rows r WHERE r.archive = archives.id) \
        > 288230376151711744) \
    + (SELECT COUNT(*) FROM bodies WHERE id > 288230376151711744) \
    + (SELECT COUNT(*) FROM accounts WHERE generation > 288230376151711744 OR generation < 0) \
    + (SELECT COUNT(*) FROM archives WHERE id > \
        (SELECT COALESCE(MAX(value), 0) FROM numbers WHERE name = 'archive')) \
    + (SELECT COUNT(*) FROM accounts WHERE id > \
        (SELECT COALESCE(MAX(value), 0) FROM numbers WHERE name = 'account')) \
    + (SELECT COUNT(*) FROM domains WHERE id > \
        (SELECT COALESCE(MAX(value), 0) FROM numbers WHERE name = 'domain')) \
    + (SELECT COUNT(*) FROM online WHERE id > \
        (SELECT COALESCE(MAX(value), 0) FROM numbers WHERE name = 'interval')) \
    + (SELECT COUNT(*) FROM pubsub_nodes WHERE last > 288230376151711744 \
        OR last < 0 OR items < 0 OR bytes < 0 OR last < \
        (SELECT MAX(i.seq) FROM pubsub_items i WHERE i.contents = pubsub_nodes.contents)) \
    + (SELECT COUNT(*) FROM pubsub_nodes WHERE id > \
        (SELECT COALESCE(MAX(value), 0) FROM numbers WHERE name = 'pubsub') OR contents > \
        (SELECT COALESCE(MAX(value), 0) FROM numbers WHERE name = 'pubsub')) \
    + (SELECT COUNT(*) FROM pubsub_gone WHERE id > \
        (SELECT COALESCE(MAX(value), 0) FROM numbers WHERE name = 'pubsub')) \
    + (SELECT COUNT(*) FROM rooms WHERE id > \
        (SELECT COALESCE(MAX(value), 0) FROM numbers WHERE name = 'room')) \
    + (SELECT COUNT(*) FROM rooms_gone WHERE room > \
        (SELECT COALESCE(MAX(value), 0) FROM numbers WHERE name = 'room') OR archive > \
        (SELECT COALESCE(MAX(value), 0) FROM numbers WHERE name = 'archive'))";

pub(crate) const STATEMENTS: &[&str] = &[NEXT, WRITE, READ, WRITE_ONCE, FORGET, IMPOSSIBLE];

/// Returns a number that nothing of this kind has had yet.
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

/// Sets a number to this value if it is not set.
pub(crate) async fn write_once(conn: &mut AnyConnection, name: &str, value: i64) -> Result<()> {
    sqlx::query(WRITE_ONCE).bind(name).bind(value).execute(conn).await?;
    Ok(())
}

/// Makes a number unset.
pub(crate) async fn forget(conn: &mut AnyConnection, name: &str) -> Result<()> {
    sqlx::query(FORGET).bind(name).execute(conn).await?;
    Ok(())
}

/// Returns whether a server can continue from these numbers.
pub(crate) async fn are_possible(conn: &mut AnyConnection) -> Result<bool> {
    let impossible: i64 = sqlx::query(IMPOSSIBLE).fetch_one(conn).await?.try_get(0)?;
    Ok(impossible == 0)
}

/// Returns the last heartbeat. Programs that did not know even time wrote only the wall time.
pub(crate) async fn heartbeat(conn: &mut AnyConnection) -> Result<Option<Heartbeat>> {
    let Some(wall) = read(conn, HEARTBEAT).await? else { return Ok(None) };
    let even = read(conn, EVEN).await?.unwrap_or(wall);
    let doubt = match read(conn, DOUBT_SINCE).await? {
        Some(since) => Some(ClockDoubt {
            since,
            up: read(conn, DOUBT_UP).await?.unwrap_or(0),
            claim: read(conn, DOUBT_CLAIM).await?.unwrap_or(0),
            gap: read(conn, DOUBT_GAP).await?.unwrap_or(0),
        }),
        None => None,
    };
    Ok(Some(Heartbeat { wall, even, doubt }))
}

/// The number that comes so much after this one. It is an error if there is none; a database that
/// holds such a number was written by somebody else.
pub(crate) fn number_after(number: i64, more: usize) -> Result<i64> {
    let after = i64::try_from(more).ok().and_then(|more| number.checked_add(more));
    after.ok_or_else(|| sqlx::Error::Decode("there is no number left".into()).into())
}
