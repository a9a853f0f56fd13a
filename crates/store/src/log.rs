//! The log: messages that are kept, numbered in the archives that keep them.
//!
//! A message is stored once, as a *body*, with a small row in each archive that has it; where the two
//! sides are shown something else of it, each has a body. The rows of one message are stored together
//! or not at all. The second row is stored only if the first is new: not for a repeat, and not when
//! the first archive is gone. An archive gives its own numbers (`seq`) in the order of the commits. A
//! row has the time at which the message was accepted, for people; the body has the same time in even
//! time ([`heartbeat`](crate::heartbeat)), from which its age is counted. The offline messages, which
//! the owner of an archive has not confirmed, are those received after its cursor. See
//! [`Query`](crate::Query) for what an archive shows: it is a view of the same rows.

use std::sync::LazyLock;

use bytes::Bytes;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::dialect::Dialect;
use crate::journal::{self, Entry};
use crate::rows::ManyRows;
use crate::{Repeat, Replaced, Result, Store, Tx, replaced, sequences};

/// Reads the columns of a [`LoggedMessage`] from the archive `$1`: `archive_rows r` and `bodies b`.
macro_rules! logged {
    ($rest:literal) => {
        logged!("", $rest)
    };
    ($before:expr, $rest:expr) => {
        concat!(
            "SELECT r.seq, r.at, b.kept_at, r.direction, (SELECT p.address FROM peers p \
            WHERE p.archive = r.archive AND p.id = r.peer), b.resource, b.stanza FROM ",
            $before,
            "archive_rows r JOIN bodies b ON b.id = r.body WHERE r.archive = $1 ",
            $rest
        )
    };
}
pub(crate) use logged;

const LAST_BODY: &str = "SELECT CAST(COALESCE(MAX(id), 0) AS BIGINT) FROM bodies";
const UNDELIVERED: &str =
    logged!("AND r.direction IN (0, 2) AND r.seq > $2 ORDER BY r.seq LIMIT $3");
const UNDELIVERED_BUT_SHOWN: &str = logged!(
    "AND r.direction IN (0, 2) AND r.seq > $2 AND (r.direction = 2 OR r.seq > $4) \
    ORDER BY r.seq LIMIT $3"
);
const FIRST_RECEIVED: &str = "SELECT seq FROM archive_rows \
    WHERE archive = $1 AND seq > $2 AND seq <= $3 AND direction = 0 ORDER BY seq LIMIT 1";
const LAST_RECEIVED: &str = "SELECT seq FROM archive_rows \
    WHERE archive = $1 AND seq > $2 AND seq <= $3 AND direction = 0 ORDER BY seq DESC LIMIT 1";
const COUNT_UNDELIVERED: &str = "SELECT \
    (SELECT p.address FROM peers p WHERE p.archive = $1 AND p.id = w.peer), w.messages, w.bytes \
    FROM (SELECT r.peer, COUNT(*) AS messages, CAST(COALESCE(SUM(r.bytes), 0) AS BIGINT) AS bytes \
    FROM archive_rows r WHERE r.archive = $1 AND r.direction IN (0, 2) AND r.seq > $2 \
    GROUP BY r.peer) AS w";

pub(crate) const STATEMENTS: &[&str] = &[LAST_BODY];
/// Those that are made with a [`LogReader`](crate::log_reader::LogReader).
pub(crate) const READING: &[&str] =
    &[UNDELIVERED, UNDELIVERED_BUT_SHOWN, FIRST_RECEIVED, LAST_RECEIVED, COUNT_UNDELIVERED];

static INSERT_BODIES: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new("INSERT INTO bodies (id, holders, kept_at, resource, stanza) VALUES", 5, "")
});

pub(crate) fn many() -> [&'static ManyRows; 1] {
    [&INSERT_BODIES]
}

/// A message to be kept. The default one is for no archive, so it is never kept.
#[derive(Clone, Debug, Default)]
pub struct NewMessage {
    /// When it was accepted, in microseconds since 1970: what people are told.
    pub at: i64,
    /// The same in even time, from which its age is counted.
    pub kept_at: i64,
    /// By what a repeat of it is recognised, if the sender has given it an id.
    pub repeat: Option<Repeat>,
    /// The sender's resource.
    pub resource: Option<String>,
    /// The stanza, as it is to be kept.
    pub stanza: Bytes,
    /// The deciding row: if it is not stored, nothing is.
    pub first: NewRow,
    /// A row that is stored only with the first. It is left out if its archive is gone.
    pub second: Option<NewRow>,
    /// What the second row shows in place of the resource and the stanza above. It is a body of its
    /// own then.
    pub second_body: Option<NewBody>,
    /// What takes the place of earlier messages, if this one is stored.
    pub replaces: Vec<Replaced>,
}

/// What a row shows of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewBody {
    /// The sender's resource.
    pub resource: Option<String>,
    /// The stanza, as it is to be kept.
    pub stanza: Bytes,
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
    /// It is a repeat, within [`REPEAT_WINDOW`](crate::REPEAT_WINDOW) or the same batch; nothing was
    /// done.
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
    /// The owner heard it where one of their devices was: in a room, say. It is shown like what they
    /// received, and waits for no other device, like what they sent.
    Heard,
}

impl Direction {
    /// Returns the number that stands for it in the row.
    pub(crate) fn number(self) -> i64 {
        match self {
            Direction::In => 0,
            Direction::Out => 1,
            Direction::Passing => 2,
            Direction::Heard => 3,
        }
    }

    pub(crate) fn of(number: i64) -> Direction {
        match number {
            0 => Direction::In,
            2 => Direction::Passing,
            3 => Direction::Heard,
            _ => Direction::Out,
        }
    }

    /// Whether a row of this number waits until its owner has confirmed it.
    pub(crate) fn waits(number: i64) -> bool {
        match Direction::of(number) {
            Direction::In | Direction::Passing => true,
            Direction::Out | Direction::Heard => false,
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
    /// The key of the other side's bare address: the sender's, for a received or heard message.
    pub peer: String,
    /// The sender's resource, whichever side sent it.
    pub resource: Option<String>,
    /// The stanza, as it was kept.
    pub stanza: Bytes,
}

/// What was received in an archive, but for what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// The messages, oldest first.
    pub rows: Vec<LoggedMessage>,
    /// The first and the last number of what it shows, if there is any.
    pub shown: Option<(i64, i64)>,
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
        let mut conn = self.mailbox_reader(archive).await?;
        let query =
            sqlx::query(conn.text(UNDELIVERED)).bind(archive).bind(after_seq).bind(limit.max(0));
        query.fetch_all(&mut *conn).await?.iter().map(logged_message).collect()
    }

    /// Returns the messages received in an archive after this number, oldest first, but for those that
    /// it shows up to the number `shown_to`.
    pub async fn undelivered_but_shown(
        &self,
        archive: i64,
        after_seq: i64,
        shown_to: i64,
        limit: i64,
    ) -> Result<Undelivered> {
        let mut conn = self.mailbox_reader(archive).await?;
        let mut shown = [None, None];
        for (end, text) in shown.iter_mut().zip([FIRST_RECEIVED, LAST_RECEIVED]) {
            let query = sqlx::query(conn.text(text)).bind(archive).bind(after_seq).bind(shown_to);
            let row = query.fetch_optional(&mut *conn).await?;
            *end = row.map(|row| row.try_get(0)).transpose()?;
        }
        let [first, last] = shown;
        let query = sqlx::query(conn.text(UNDELIVERED_BUT_SHOWN))
            .bind(archive)
            .bind(after_seq)
            .bind(limit.max(0))
            .bind(shown_to);
        let rows = query.fetch_all(&mut *conn).await?;
        let rows = rows.iter().map(logged_message).collect::<Result<_>>()?;
        Ok(Undelivered { rows, shown: first.zip(last) })
    }

    /// Returns of whom messages were received in an archive after this number: the key of each sender,
    /// how many, and the bytes of their stanzas.
    pub async fn count_undelivered(
        &self,
        archive: i64,
        after_seq: i64,
    ) -> Result<Vec<(String, i64, i64)>> {
        let mut conn = self.mailbox_reader(archive).await?;
        let query = sqlx::query(conn.text(COUNT_UNDELIVERED)).bind(archive).bind(after_seq);
        let rows = query.fetch_all(&mut *conn).await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
    }
}

impl Tx {
    /// Appends messages to the log, in a few round trips however many they are, and returns the
    /// result for each. Each archive numbers its rows in the order of the list.
    pub async fn append(&mut self, messages: &[NewMessage]) -> Result<Vec<Appended>> {
        let archives = messages.iter().flat_map(NewMessage::sizes).map(|(archive, _)| archive);
        let bodies = messages.iter().map(NewMessage::bodies).sum();
        let unread = self.make_room(archives).await?;
        let (conn, numbering, known) = self.conn_and_known()?;
        numbering.read(conn, unread).await?;
        let mut last_body = match numbering.last_body {
            Some(last) => last,
            None => sqlx::query(LAST_BODY).fetch_one(&mut *conn).await?.try_get(0)?,
        };
        let repeats = known.find(conn, messages).await?;

        let mut outcomes = Vec::with_capacity(messages.len());
        let mut entries = Vec::with_capacity(bodies);
        let mut stored = Vec::with_capacity(messages.len());
        for (place, message) in messages.iter().enumerate() {
            if !numbering.is_known(message.first.archive) {
                outcomes.push(Appended::Gone);
                continue;
            }
            if repeats.contains(&place) {
                outcomes.push(Appended::Repeat);
                continue;
            }
            last_body = sequences::number_after(last_body, 1)?;
            let first = numbering.next(message.first.archive)?;
            let second = match &message.second {
                Some(row) if numbering.is_known(row.archive) => {
                    Some((row, numbering.next(row.archive)?))
                }
                _ => None,
            };
            let entry = Entry::of(message, last_body, first);
            match (second, &message.second_body) {
                (Some(row), Some(own)) => {
                    last_body = sequences::number_after(last_body, 1)?;
                    entries.extend([entry, Entry::with(message, own, last_body, row)]);
                }
                (second, _) => entries.push(Entry { second, ..entry }),
            }
            stored.push(message);
            outcomes.push(Appended::Stored { first, second: second.map(|(_, number)| number) });
        }
        numbering.last_body = Some(last_body);
        let rows = entries.iter().flat_map(Entry::rows).map(|(row, _)| row);
        let peers = numbering.peers.numbers(conn, rows).await?;
        insert_bodies(conn, &entries).await?;
        journal::insert(conn, &entries, &peers).await?;
        known.note(conn, stored.iter().copied()).await?;
        replaced::replace(conn, stored.iter().copied()).await?;
        if let Some(last) = stored.last() {
            sequences::write(conn, sequences::STAMP, last.at).await?;
        }
        self.note_in_journal(&entries);
        Ok(outcomes)
    }
}

impl NewMessage {
    /// The archives that it is for, and how many bytes it has in each.
    pub fn sizes(&self) -> impl Iterator<Item = (i64, u64)> + Clone {
        let second = self.second_body.as_ref().map_or(&self.stanza, |own| &own.stanza);
        let second = self.second.as_ref().map(|row| (row.archive, second.len() as u64));
        std::iter::once((self.first.archive, self.stanza.len() as u64)).chain(second)
    }

    /// How many bodies it has, if all of it is stored.
    fn bodies(&self) -> usize {
        1 + usize::from(self.second.is_some() && self.second_body.is_some())
    }
}

async fn insert_bodies(conn: &mut AnyConnection, entries: &[Entry<'_>]) -> Result<()> {
    for (text, piece) in INSERT_BODIES.pieces(Dialect::of(conn), entries) {
        let mut query = sqlx::query(text);
        for Entry { message, body, resource, stanza, second, .. } in piece {
            query = query
                .bind(*body)
                .bind(1 + i64::from(second.is_some()))
                .bind(message.kept_at)
                .bind(*resource)
                .bind(*stanza);
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
