//! The log: messages that are kept, numbered in the archives that keep them.
//!
//! A message is stored once, as a *body*, with a small row in each archive that has it. The rows of
//! one message are stored together or not at all. The second row is stored only if the first is
//! new: not for a repeat, and not when the first archive is gone. An archive gives its own numbers
//! (`seq`) in the order of the commits. A row has the time at which the message was accepted, for
//! people; the body has the same time in even time ([`heartbeat`](crate::heartbeat)), from which
//! its age is counted. The offline messages, which the owner of an archive has not confirmed, are
//! those received after its cursor. See [`Query`](crate::Query) for what an archive shows: it is a
//! view of the same rows.

use std::collections::HashSet;
use std::sync::LazyLock;

use bytes::Bytes;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::dialect::Dialect;
use crate::rows::ManyRows;
use crate::{Result, Store, Tx, archives, sequences};

/// How long a repeat is recognised: 24 hours, in microseconds.
pub const REPEAT_WINDOW: i64 = 24 * 60 * 60 * 1_000_000;

/// The longest origin-id, in bytes, by which a repeat is recognised. Longer ones only serve to fill
/// an index.
const LONGEST_ORIGIN: usize = 512;

/// The columns of a [`LoggedMessage`], of the tables `archive_rows r` and `bodies b`.
macro_rules! logged {
    ($rest:literal) => {
        concat!(
            "SELECT r.seq, r.at, b.kept_at, r.direction, r.peer, b.resource, b.stanza \
            FROM archive_rows r JOIN bodies b ON b.id = r.body WHERE r.archive = $1 ",
            $rest
        )
    };
}
pub(crate) use logged;

const LAST_BODY: &str = "SELECT CAST(COALESCE(MAX(id), 0) AS BIGINT) FROM bodies";
const UNDELIVERED: &str = logged!("AND r.direction <> 1 AND r.seq > $2 ORDER BY r.seq LIMIT $3");
const COUNT_UNDELIVERED: &str = "SELECT COUNT(*), CAST(COALESCE(SUM(bytes), 0) AS BIGINT) \
    FROM archive_rows WHERE archive = $1 AND direction <> 1 AND seq > $2";

pub(crate) const STATEMENTS: &[&str] = &[LAST_BODY, UNDELIVERED, COUNT_UNDELIVERED];

/// Returns the bodies of the messages that are not repeats, in no order. The new message takes over
/// a row that is older than the window (`REPEAT_WINDOW`).
static INSERT_ORIGINS: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "INSERT INTO origins (sender, recipient, origin, at, body) VALUES",
        5,
        "ON CONFLICT (sender, recipient, origin) DO UPDATE SET at = excluded.at, \
        body = excluded.body WHERE origins.at <= excluded.at - 86400000000 RETURNING body",
    )
});
static INSERT_BODIES: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new("INSERT INTO bodies (id, holders, kept_at, resource, stanza) VALUES", 5, "")
});
static INSERT_ROWS: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "INSERT INTO archive_rows (archive, seq, at, peer, direction, bytes, body) VALUES",
        7,
        "",
    )
});

pub(crate) fn many() -> [&'static ManyRows; 3] {
    [&INSERT_ORIGINS, &INSERT_BODIES, &INSERT_ROWS]
}

/// A message to be kept. The default one is for no archive, so it is never kept.
#[derive(Clone, Debug, Default)]
pub struct NewMessage {
    /// When it was accepted, in microseconds since 1970: what people are told.
    pub at: i64,
    /// The same in even time, from which its age is counted.
    pub kept_at: i64,
    /// The id by which a repeat is recognised, if there is one.
    pub origin: Option<Origin>,
    /// The sender's resource.
    pub resource: Option<String>,
    /// The stanza, as it is to be kept.
    pub stanza: Bytes,
    /// The deciding row: if it is not stored, nothing is.
    pub first: NewRow,
    /// A row that is stored only with the first. It is left out if its archive is gone.
    pub second: Option<NewRow>,
}

/// A row for an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRow {
    /// The archive.
    pub archive: i64,
    /// The key of the other side's bare address.
    pub peer: String,
    /// The direction of the message, seen from the owner of the archive.
    pub direction: Direction,
}

/// A sender's own id of a message (XEP-0359, `origin-id`), by which a repeat is recognised:
/// whoelse's client sends again what was not acknowledged. It counts for one sender and one
/// recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The sender's account.
    pub sender: i64,
    /// The key of the recipient's bare address.
    pub recipient: String,
    /// The id. One longer than 512 bytes is not remembered.
    pub id: String,
}

/// The result for a [`NewMessage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is kept.
    Stored {
        /// The number of the first row in its archive.
        first: i64,
        /// The number of the second row, if it was stored.
        second: Option<i64>,
    },
    /// It is a repeat, within [`REPEAT_WINDOW`] or the same batch; nothing was done.
    Repeat,
    /// The archive of the first row no longer exists; nothing was done.
    Gone,
}

/// The direction of a message, seen from the archive it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// The owner received it. A message to oneself is of this kind.
    #[default]
    In,
    /// The owner sent it.
    Out,
    /// The owner receives it, and it is deleted after that; no archive shows it.
    Passing,
}

impl Direction {
    /// Returns the number that stands for it in the row.
    fn number(self) -> i64 {
        match self {
            Direction::In => 0,
            Direction::Out => 1,
            Direction::Passing => 2,
        }
    }

    fn of(number: i64) -> Direction {
        match number {
            0 => Direction::In,
            2 => Direction::Passing,
            _ => Direction::Out,
        }
    }
}

/// A message from an archive.
///
/// The stanza is as it was kept. If an own domain has been renamed since, the stanza's `to` is out
/// of date; the key is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedMessage {
    /// Its number in the archive.
    pub seq: i64,
    /// When it was accepted, in microseconds since 1970: what people are told.
    pub at: i64,
    /// The same in even time, from which its age is counted.
    pub kept_at: i64,
    /// Its direction.
    pub direction: Direction,
    /// The key of the other side's bare address: the sender's, for a received message.
    pub peer: String,
    /// The sender's resource, whichever side sent it.
    pub resource: Option<String>,
    /// The stanza, as it was kept.
    pub stanza: Bytes,
}

impl Store {
    /// Returns the time stamp of the message that was stored last, if there ever was one.
    pub async fn last_stamp(&self) -> Result<Option<i64>> {
        sequences::read(&mut *self.reader().await?, sequences::STAMP).await
    }

    /// Returns the messages received in an archive after this number, oldest first.
    pub async fn undelivered(
        &self,
        archive: i64,
        after_seq: i64,
        limit: i64,
    ) -> Result<Vec<LoggedMessage>> {
        let mut conn = self.reader().await?;
        let query = sqlx::query(UNDELIVERED).bind(archive).bind(after_seq).bind(limit.max(0));
        query.fetch_all(&mut *conn).await?.iter().map(logged_message).collect()
    }

    /// Returns how many messages were received in an archive after this number, and the bytes of
    /// their stanzas.
    pub async fn count_undelivered(&self, archive: i64, after_seq: i64) -> Result<(i64, i64)> {
        let mut conn = self.reader().await?;
        let query = sqlx::query(COUNT_UNDELIVERED).bind(archive).bind(after_seq);
        let row = query.fetch_one(&mut *conn).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}

impl Tx {
    /// Appends messages to the log, in a few round trips however many they are, and returns the
    /// result for each. Each archive numbers its rows in the order of the list.
    pub async fn append(&mut self, messages: &[NewMessage]) -> Result<Vec<Appended>> {
        let (conn, numbering) = self.conn_and_numbering()?;
        numbering.read(conn, messages.iter().flat_map(NewMessage::archives)).await?;
        let last_body = match numbering.last_body {
            Some(last) => last,
            None => sqlx::query(LAST_BODY).fetch_one(&mut *conn).await?.try_get(0)?,
        };
        let next_last_body = archives::number_after(last_body, messages.len())?;
        // Messages that are not stored get a number as well: it tells the repeats apart.
        let numbered = || messages.iter().zip(last_body + 1..);
        let there: Vec<(&NewMessage, i64)> =
            numbered().filter(|(message, _)| numbering.is_known(message.first.archive)).collect();
        let repeats = find_repeats(conn, &there).await?;

        let mut outcomes = Vec::with_capacity(messages.len());
        let mut bodies = Vec::with_capacity(messages.len());
        let mut rows = Vec::with_capacity(2 * messages.len());
        for (message, body) in numbered() {
            if repeats.contains(&body) {
                outcomes.push(Appended::Repeat);
                continue;
            }
            let Some(first) = numbering.next(message.first.archive)? else {
                outcomes.push(Appended::Gone);
                continue;
            };
            rows.push(Numbered { message, row: &message.first, seq: first, body });
            let mut second = None;
            if let Some(row) = &message.second {
                second = numbering.next(row.archive)?;
                rows.extend(second.map(|seq| Numbered { message, row, seq, body }));
            }
            bodies.push((message, body, 1 + i64::from(second.is_some())));
            outcomes.push(Appended::Stored { first, second });
        }
        numbering.last_body = Some(next_last_body);
        insert_bodies(conn, &bodies).await?;
        insert_rows(conn, rows).await?;
        if let Some((last, ..)) = bodies.last() {
            sequences::write(conn, sequences::STAMP, last.at).await?;
        }
        Ok(outcomes)
    }
}

impl NewMessage {
    fn archives(&self) -> impl Iterator<Item = i64> {
        std::iter::once(&self.first).chain(&self.second).map(|row| row.archive)
    }
}

/// A row with its assigned numbers.
struct Numbered<'a> {
    message: &'a NewMessage,
    row: &'a NewRow,
    seq: i64,
    body: i64,
}

/// Finds which messages are repeats, and remembers the others.
async fn find_repeats(
    conn: &mut AnyConnection,
    messages: &[(&NewMessage, i64)],
) -> Result<HashSet<i64>> {
    let mut marked = Vec::new();
    let mut in_batch = HashSet::new();
    let mut repeats = HashSet::new();
    for (message, body) in messages {
        let Some(origin) = message.origin.as_ref().filter(|it| it.id.len() <= LONGEST_ORIGIN)
        else {
            continue;
        };
        // It counts as a repeat until it is known to be new.
        repeats.insert(*body);
        if in_batch.insert((origin.sender, &origin.recipient, &origin.id)) {
            marked.push((origin, message.kept_at, *body));
        }
    }
    for (text, piece) in INSERT_ORIGINS.pieces(Dialect::of(conn), &marked) {
        let mut query = sqlx::query(text);
        for (origin, kept_at, body) in piece {
            query = query
                .bind(origin.sender)
                .bind(origin.recipient.as_str())
                .bind(origin.id.as_str())
                .bind(*kept_at)
                .bind(*body);
        }
        for row in query.fetch_all(&mut *conn).await? {
            repeats.remove(&row.try_get::<i64, _>(0)?);
        }
    }
    Ok(repeats)
}

async fn insert_bodies(conn: &mut AnyConnection, bodies: &[(&NewMessage, i64, i64)]) -> Result<()> {
    for (text, piece) in INSERT_BODIES.pieces(Dialect::of(conn), bodies) {
        let mut query = sqlx::query(text);
        for (message, id, holders) in piece {
            query = query
                .bind(*id)
                .bind(*holders)
                .bind(message.kept_at)
                .bind(message.resource.as_deref())
                .bind(&message.stanza[..]);
        }
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

async fn insert_rows(conn: &mut AnyConnection, mut rows: Vec<Numbered<'_>>) -> Result<()> {
    // The rows are in the order of the table, so that a batch for one archive touches its page
    // once.
    rows.sort_unstable_by_key(|numbered| (numbered.row.archive, numbered.seq));
    for (text, piece) in INSERT_ROWS.pieces(Dialect::of(conn), &rows) {
        let mut query = sqlx::query(text);
        for Numbered { message, row, seq, body } in piece {
            query = query
                .bind(row.archive)
                .bind(*seq)
                .bind(message.at)
                .bind(row.peer.as_str())
                .bind(row.direction.number())
                .bind(message.stanza.len() as i64)
                .bind(*body);
        }
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

/// Reads a row with the columns of [`logged!`].
pub(crate) fn logged_message(row: &AnyRow) -> Result<LoggedMessage> {
    let stanza: Vec<u8> = row.try_get(6)?;
    Ok(LoggedMessage {
        seq: row.try_get(0)?,
        at: row.try_get(1)?,
        kept_at: row.try_get(2)?,
        direction: Direction::of(row.try_get(3)?),
        peer: row.try_get(4)?,
        resource: row.try_get(5)?,
        stanza: stanza.into(),
    })
}

#[cfg(test)]
mod size;
#[cfg(test)]
mod tests;
