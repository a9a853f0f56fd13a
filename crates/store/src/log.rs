//! The log: the numbered record of kept messages, and how far each account has confirmed it.
//!
//! A message is stored once, with a small row in the mailbox of each side that keeps it. The
//! caller gives the numbers (`seq`), which only grow; so the order of a mailbox is the order of
//! commits. The mailbox says when a message was accepted, as people are told; the message itself
//! when that was in even time ([`heartbeat`](crate::heartbeat)), from which its age is counted.
//! What an account has not confirmed, its offline messages, is what it received after
//! its cursor. See [`Query`](crate::Query) for the archive, which is a view of the same rows.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use bytes::Bytes;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::rows::ManyRows;
use crate::{Result, Store, Tx, sequences};

/// How long a repeat is known for one: 24 hours, in microseconds.
pub const REPEAT_WINDOW: i64 = 24 * 60 * 60 * 1_000_000;

/// How long an origin-id may be, in bytes, for its repeats to be known. Nobody writes longer
/// ones but to fill an index.
const LONGEST_ORIGIN: usize = 512;

/// The columns of a [`LoggedMessage`], of the tables `mailbox b` and `messages m`.
macro_rules! logged {
    ($rest:literal) => {
        concat!(
            "SELECT m.id, b.at, b.direction, m.sender, m.sender_resource, m.recipient, m.stanza, \
            m.at FROM mailbox b JOIN messages m ON m.id = b.seq WHERE b.archive = $1 ",
            $rest
        )
    };
}
pub(crate) use logged;

const LAST: &str = "SELECT CAST(COALESCE(MAX(id), 0) AS BIGINT) FROM messages";
const LAST_MESSAGE: &str = "SELECT id, sender_archive, recipient_archive FROM messages \
    WHERE id = (SELECT MAX(id) FROM messages)";
const STAMP: &str = "SELECT at FROM mailbox WHERE archive = $1 AND seq = $2";
const CURSOR: &str = "SELECT seq FROM cursors WHERE account = $1";
const UNDELIVERED: &str = logged!("AND b.direction <> 1 AND b.seq > $2 ORDER BY b.seq LIMIT $3");
const COUNT_UNDELIVERED: &str = "SELECT COUNT(*), \
    CAST(COALESCE(SUM(LENGTH(m.stanza)), 0) AS BIGINT) \
    FROM mailbox b JOIN messages m ON m.id = b.seq \
    WHERE b.archive = $1 AND b.direction <> 1 AND b.seq > $2";

pub(crate) const STATEMENTS: &[&str] =
    &[LAST, LAST_MESSAGE, STAMP, CURSOR, UNDELIVERED, COUNT_UNDELIVERED];

/// Returns the `seq` of those that are no repeats, in no order. A row older than the window
/// (`REPEAT_WINDOW`) is taken over by the new message.
static INSERT_ORIGINS: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "INSERT INTO origins (sender, recipient, origin, at, seq) VALUES",
        5,
        "ON CONFLICT (sender, recipient, origin) DO UPDATE SET at = excluded.at, \
        seq = excluded.seq WHERE origins.at <= excluded.at - 86400000000 RETURNING seq",
    )
});
static INSERT_MESSAGES: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "INSERT INTO messages (id, at, sender, sender_resource, recipient, \
        sender_archive, recipient_archive, stanza) VALUES",
        8,
        "",
    )
});
static INSERT_MAILBOX: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new("INSERT INTO mailbox (archive, seq, at, peer, direction) VALUES", 5, "")
});
/// Cursors are saved late; an account that is gone by then is passed over.
static ADVANCE: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "INSERT INTO cursors (account, seq) SELECT v.column1, v.column2 FROM (VALUES",
        2,
        ") AS v WHERE EXISTS (SELECT 1 FROM accounts a WHERE a.id = v.column1) \
        ON CONFLICT (account) DO UPDATE SET seq = excluded.seq WHERE cursors.seq < excluded.seq",
    )
});

pub(crate) fn many() -> [&'static ManyRows; 4] {
    [&INSERT_ORIGINS, &INSERT_MESSAGES, &INSERT_MAILBOX, &ADVANCE]
}

/// A message to be kept.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its number, higher than that of every message before it.
    pub seq: i64,
    /// When it was accepted, in microseconds since 1970: what people are told.
    pub at: i64,
    /// The same in even time: what its age is counted from.
    pub kept_at: i64,
    /// The key of the sender's bare address.
    pub sender: String,
    /// The sender's resource.
    pub sender_resource: Option<String>,
    /// The key of the recipient's bare address.
    pub recipient: String,
    /// The sender's account, if it is one of ours.
    pub sender_account: Option<i64>,
    /// The recipient's account, if it is one of ours.
    pub recipient_account: Option<i64>,
    /// The sender's own id (XEP-0359 `origin-id`), by which a repeat is known. It is looked at
    /// only for senders of ours: it is our client that sends again what was not acknowledged.
    pub origin: Option<String>,
    /// The stanza, as it is to be kept.
    pub stanza: Bytes,
    /// Whether the sender's mailbox gets a row: history is on.
    pub keep_for_sender: bool,
    /// Whether it is kept only until the recipient has it, and shown in no archive.
    pub passing: bool,
}

/// What became of a [`NewMessage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is kept.
    Stored,
    /// It had been sent before, within [`REPEAT_WINDOW`] or the same batch; nothing was done.
    Repeat,
}

/// Which way a message went, seen from the mailbox it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The owner received it. A message to oneself is of this kind.
    In,
    /// The owner sent it.
    Out,
    /// The owner receives it and it is forgotten then; no archive shows it.
    Passing,
}

impl Direction {
    /// As it stands in the mailbox.
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

/// A message from a mailbox.
///
/// The stanza is as it was kept. When an own domain has been renamed since, its `from` and `to`
/// are out of date, and the keys are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedMessage {
    /// Its number.
    pub seq: i64,
    /// When it was accepted, in microseconds since 1970: what people are told.
    pub at: i64,
    /// The same in even time: what its age is counted from.
    pub kept_at: i64,
    /// Which way it went.
    pub direction: Direction,
    /// The key of the sender's bare address.
    pub sender: String,
    /// The sender's resource.
    pub sender_resource: Option<String>,
    /// The key of the recipient's bare address.
    pub recipient: String,
    /// The stanza, as it was kept.
    pub stanza: Bytes,
}

impl Store {
    /// Returns the highest number any message has had; the next one is higher.
    pub async fn last_seq(&self) -> Result<i64> {
        let mut conn = self.reader().await?;
        let last: i64 = sqlx::query(LAST).fetch_one(&mut *conn).await?.try_get(0)?;
        // Messages can have been removed since.
        let ever = sequences::read(&mut conn, sequences::SEQ).await?.unwrap_or(0);
        Ok(last.max(ever))
    }

    /// Returns when the last message that is kept was accepted, as people are told.
    pub async fn last_stamp(&self) -> Result<Option<i64>> {
        let mut conn = self.reader().await?;
        let Some(last) = sqlx::query(LAST_MESSAGE).fetch_optional(&mut *conn).await? else {
            return Ok(None);
        };
        let seq: i64 = last.try_get(0)?;
        // At least one of them has it; either says the same.
        for archive in [last.try_get::<Option<i64>, _>(1)?, last.try_get(2)?].into_iter().flatten()
        {
            let row = sqlx::query(STAMP).bind(archive).bind(seq).fetch_optional(&mut *conn).await?;
            if let Some(row) = row {
                return Ok(Some(row.try_get(0)?));
            }
        }
        Ok(None)
    }

    /// Returns how far an account has confirmed; 0 is not at all.
    pub async fn cursor(&self, account: i64) -> Result<i64> {
        cursor(&mut *self.reader().await?, account).await
    }

    /// Returns what an account received after this number, oldest first.
    pub async fn undelivered(
        &self,
        account: i64,
        after_seq: i64,
        limit: i64,
    ) -> Result<Vec<LoggedMessage>> {
        undelivered(&mut *self.reader().await?, account, after_seq, limit).await
    }

    /// Returns how many messages an account received after this number, and the bytes of their
    /// stanzas.
    pub async fn count_undelivered(&self, account: i64, after_seq: i64) -> Result<(i64, i64)> {
        let mut conn = self.reader().await?;
        let query = sqlx::query(COUNT_UNDELIVERED).bind(account).bind(after_seq);
        let row = query.fetch_one(&mut *conn).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}

impl Tx {
    /// Appends messages to the log, in few round trips however many they are, and returns for
    /// each what became of it.
    ///
    /// A message goes into the mailbox of the recipient, if that is an account of ours, and into
    /// the sender's, if it is to be kept there. One that goes into neither is not stored; its
    /// origin-id is remembered all the same.
    pub async fn append(&mut self, messages: &[NewMessage]) -> Result<Vec<Appended>> {
        let conn = self.conn()?;
        let outcomes = find_repeats(conn, messages).await?;
        let stored = messages.iter().zip(&outcomes).filter_map(|(message, outcome)| {
            let entry = Entry::of(message);
            let kept = *outcome == Appended::Stored && !entry.archives().is_empty();
            kept.then_some(entry)
        });
        let stored: Vec<Entry<'_>> = stored.collect();
        insert_messages(conn, &stored).await?;
        insert_mailbox(conn, &stored).await?;
        Ok(outcomes)
    }

    /// Returns how far an account has confirmed; 0 is not at all.
    pub async fn cursor(&mut self, account: i64) -> Result<i64> {
        cursor(self.conn()?, account).await
    }

    /// Moves cursors forward, never back; accounts that are no longer there are passed over.
    pub async fn advance_cursors(&mut self, cursors: &[(i64, i64)]) -> Result<()> {
        let conn = self.conn()?;
        // An account twice in one statement is refused by PostgreSQL.
        let mut highest = BTreeMap::new();
        for (account, seq) in cursors {
            let entry = highest.entry(*account).or_insert(*seq);
            *entry = (*entry).max(*seq);
        }
        let highest: Vec<(i64, i64)> = highest.into_iter().collect();
        for (text, piece) in ADVANCE.pieces(&highest) {
            let mut query = sqlx::query(text);
            for (account, seq) in piece {
                query = query.bind(*account).bind(*seq);
            }
            query.execute(&mut *conn).await?;
        }
        Ok(())
    }

    /// Returns what an account received after this number, oldest first.
    pub async fn undelivered(
        &mut self,
        account: i64,
        after_seq: i64,
        limit: i64,
    ) -> Result<Vec<LoggedMessage>> {
        undelivered(self.conn()?, account, after_seq, limit).await
    }
}

/// A message and the mailboxes it goes into.
struct Entry<'a> {
    message: &'a NewMessage,
    sender: Option<i64>,
    recipient: Option<i64>,
}

impl<'a> Entry<'a> {
    fn of(message: &'a NewMessage) -> Self {
        let recipient = message.recipient_account;
        let sender = message.sender_account.filter(|sender| {
            // To oneself: one row, as received, or it would not be delivered.
            message.keep_for_sender && !message.passing && recipient != Some(*sender)
        });
        Self { message, sender, recipient }
    }

    fn archives(&self) -> Vec<(i64, &'a str, Direction)> {
        let direction = if self.message.passing { Direction::Passing } else { Direction::In };
        let received = self.recipient.map(|id| (id, self.message.sender.as_str(), direction));
        let sent = self.sender.map(|id| (id, self.message.recipient.as_str(), Direction::Out));
        received.into_iter().chain(sent).collect()
    }
}

async fn find_repeats(conn: &mut AnyConnection, messages: &[NewMessage]) -> Result<Vec<Appended>> {
    let mut outcomes = vec![Appended::Stored; messages.len()];
    let mut marked = Vec::new();
    let mut in_batch = HashSet::new();
    for (at, message) in messages.iter().enumerate() {
        let origin = message.origin.as_deref().filter(|id| id.len() <= LONGEST_ORIGIN);
        let (Some(sender), Some(origin)) = (message.sender_account, origin) else {
            continue;
        };
        if in_batch.insert((sender, message.recipient.as_str(), origin)) {
            marked.push((at, sender, origin, message));
        } else {
            outcomes[at] = Appended::Repeat;
        }
    }

    let mut fresh = HashSet::new();
    for (text, piece) in INSERT_ORIGINS.pieces(&marked) {
        let mut query = sqlx::query(text);
        for (_, sender, origin, message) in piece {
            query = query
                .bind(*sender)
                .bind(message.recipient.as_str())
                .bind(*origin)
                .bind(message.kept_at)
                .bind(message.seq);
        }
        for row in query.fetch_all(&mut *conn).await? {
            fresh.insert(row.try_get::<i64, _>(0)?);
        }
    }
    for (at, _, _, message) in marked {
        if !fresh.contains(&message.seq) {
            outcomes[at] = Appended::Repeat;
        }
    }
    Ok(outcomes)
}

async fn insert_messages(conn: &mut AnyConnection, entries: &[Entry<'_>]) -> Result<()> {
    for (text, piece) in INSERT_MESSAGES.pieces(entries) {
        let mut query = sqlx::query(text);
        for Entry { message, sender, recipient } in piece {
            query = query
                .bind(message.seq)
                .bind(message.kept_at)
                .bind(message.sender.as_str())
                .bind(message.sender_resource.as_deref())
                .bind(message.recipient.as_str())
                .bind(*sender)
                .bind(*recipient)
                .bind(&message.stanza[..]);
        }
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

async fn insert_mailbox(conn: &mut AnyConnection, entries: &[Entry<'_>]) -> Result<()> {
    let rows = entries.iter().flat_map(|entry| {
        entry.archives().into_iter().map(|(archive, peer, direction)| {
            (archive, entry.message.seq, entry.message.at, peer, direction)
        })
    });
    let mut rows: Vec<_> = rows.collect();
    // The order of the table, so that a batch for one mailbox touches its page once.
    rows.sort_unstable_by_key(|(archive, seq, ..)| (*archive, *seq));
    for (text, piece) in INSERT_MAILBOX.pieces(&rows) {
        let mut query = sqlx::query(text);
        for (archive, seq, at, peer, direction) in piece {
            query = query.bind(*archive).bind(*seq).bind(*at).bind(*peer).bind(direction.number());
        }
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

async fn cursor(conn: &mut AnyConnection, account: i64) -> Result<i64> {
    let row = sqlx::query(CURSOR).bind(account).fetch_optional(conn).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
}

async fn undelivered(
    conn: &mut AnyConnection,
    account: i64,
    after_seq: i64,
    limit: i64,
) -> Result<Vec<LoggedMessage>> {
    let query = sqlx::query(UNDELIVERED).bind(account).bind(after_seq).bind(limit.max(0));
    query.fetch_all(conn).await?.iter().map(logged_message).collect()
}

/// Reads a row of the columns of [`logged!`].
pub(crate) fn logged_message(row: &AnyRow) -> Result<LoggedMessage> {
    let stanza: Vec<u8> = row.try_get(6)?;
    Ok(LoggedMessage {
        seq: row.try_get(0)?,
        at: row.try_get(1)?,
        kept_at: row.try_get(7)?,
        direction: Direction::of(row.try_get(2)?),
        sender: row.try_get(3)?,
        sender_resource: row.try_get(4)?,
        recipient: row.try_get(5)?,
        stanza: stanza.into(),
    })
}

#[cfg(test)]
mod tests;
