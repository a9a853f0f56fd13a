//! The archive (XEP-0313): what an account sent and received, and how it is forgotten.
//!
//! It shows the rows of the log and nothing else, and what has still to be delivered is never
//! forgotten.

use std::sync::LazyLock;

use sqlx::{AnyConnection, Row};

use crate::log::{logged, logged_message};
use crate::rows::ManyRows;
use crate::{LoggedMessage, Result, Store, Tx};

const FORWARD: &str = logged!(
    "AND b.direction < 2 AND b.seq > $2 AND b.seq < $3 AND b.at >= $4 AND b.at <= $5 ORDER BY b.seq LIMIT $6"
);
const BACKWARD: &str = logged!(
    "AND b.direction < 2 AND b.seq > $2 AND b.seq < $3 AND b.at >= $4 AND b.at <= $5 ORDER BY b.seq DESC LIMIT $6"
);
const FORWARD_WITH: &str = logged!(
    "AND b.direction < 2 AND b.seq > $2 AND b.seq < $3 AND b.at >= $4 AND b.at <= $5 AND b.peer = $7 \
    ORDER BY b.seq LIMIT $6"
);
const BACKWARD_WITH: &str = logged!(
    "AND b.direction < 2 AND b.seq > $2 AND b.seq < $3 AND b.at >= $4 AND b.at <= $5 AND b.peer = $7 \
    ORDER BY b.seq DESC LIMIT $6"
);
const COUNT: &str = "SELECT COUNT(*) FROM mailbox \
    WHERE archive = $1 AND direction < 2 AND at >= $2 AND at <= $3";
const COUNT_WITH: &str = "SELECT COUNT(*) FROM mailbox \
    WHERE archive = $1 AND direction < 2 AND at >= $2 AND at <= $3 AND peer = $4";
const HAS: &str = "SELECT 1 FROM mailbox WHERE archive = $1 AND direction < 2 AND seq = $2";

/// Keeps the highest number ever used before rows are removed, one of which may have it.
const KEEP_SEQ: &str = "INSERT INTO numbers (name, value) \
    SELECT 'seq', COALESCE(MAX(id), 0) FROM messages WHERE TRUE ON CONFLICT (name) DO UPDATE \
    SET value = excluded.value WHERE numbers.value < excluded.value";

/// Removes the messages that only this part of this mailbox holds.
const DROP_MESSAGES: &str = "DELETE FROM messages WHERE id IN \
    (SELECT seq FROM mailbox WHERE archive = $1 AND seq <= $2 AND direction <= $3) \
    AND NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.seq = messages.id AND b.archive <> $1 \
    AND b.archive IN (messages.sender_archive, messages.recipient_archive))";
const DROP_MAILBOX: &str =
    "DELETE FROM mailbox WHERE archive = $1 AND seq <= $2 AND direction <= $3";

/// Removes what was kept only until it was delivered, and is, or whose owner is gone. The literal
/// number is what lets the index of such rows be used.
const DROP_PASSED_MESSAGES: &str = "DELETE FROM messages WHERE id IN \
    (SELECT b.seq FROM mailbox b LEFT JOIN cursors c ON c.account = b.archive \
    WHERE b.direction = 2 AND (b.seq <= COALESCE(c.seq, 0) \
    OR NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = b.archive)))";
const DROP_PASSED: &str = "DELETE FROM mailbox WHERE direction = 2 AND \
    (seq <= COALESCE((SELECT c.seq FROM cursors c WHERE c.account = mailbox.archive), 0) \
    OR NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = mailbox.archive))";
const SOME_PASSING: &str = "SELECT 1 FROM mailbox WHERE direction = 2 LIMIT 1";
const DROP_CURSOR: &str = "DELETE FROM cursors WHERE account = $1";
const DROP_ORIGINS: &str = "DELETE FROM origins WHERE sender = $1";

/// Removes the oldest rows that need not be delivered: the owner sent them, has confirmed them,
/// or is gone.
const EXPIRE: &str = "DELETE FROM mailbox WHERE (archive, seq) IN \
    (SELECT b.archive, b.seq FROM messages m \
    JOIN mailbox b ON b.seq = m.id AND b.archive IN (m.sender_archive, m.recipient_archive) \
    LEFT JOIN cursors c ON c.account = b.archive \
    WHERE m.at < $1 AND (b.direction = 1 OR b.seq <= COALESCE(c.seq, 0) \
    OR NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = b.archive)) \
    ORDER BY m.at, m.id LIMIT $2) RETURNING seq";
const PURGE_ORIGINS: &str = "DELETE FROM origins WHERE at < $1";

pub(crate) const STATEMENTS: &[&str] = &[
    FORWARD,
    BACKWARD,
    FORWARD_WITH,
    BACKWARD_WITH,
    COUNT,
    COUNT_WITH,
    HAS,
    KEEP_SEQ,
    DROP_MESSAGES,
    DROP_MAILBOX,
    DROP_PASSED_MESSAGES,
    DROP_PASSED,
    SOME_PASSING,
    DROP_CURSOR,
    DROP_ORIGINS,
    EXPIRE,
    PURGE_ORIGINS,
];

/// Removes those of some messages that no mailbox holds any more.
static DELETE_UNHELD: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "DELETE FROM messages WHERE id IN (VALUES",
        1,
        ") AND NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.seq = messages.id \
        AND b.archive IN (messages.sender_archive, messages.recipient_archive))",
    )
});

pub(crate) fn many() -> [&'static ManyRows; 1] {
    [&DELETE_UNHELD]
}

/// What to show of an archive. The bounds on time include their ends, those on numbers do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only messages with the peer of this key, a bare address.
    pub with: Option<String>,
    /// Only messages at this time or later, in microseconds since 1970.
    pub start: Option<i64>,
    /// Only messages at this time or earlier.
    pub end: Option<i64>,
    /// Only messages after the one of this number.
    pub after_seq: Option<i64>,
    /// Only messages before the one of this number.
    pub before_seq: Option<i64>,
    /// How many at most.
    pub limit: i64,
    /// Which to take when there are more: the newest rather than the oldest.
    pub backwards: bool,
}

/// A part of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The messages, oldest first, whichever way was asked.
    pub rows: Vec<LoggedMessage>,
    /// Whether nothing that was asked for is left beyond them, the way that was asked.
    pub complete: bool,
}

impl Store {
    /// Returns a page of an archive.
    pub async fn query(&self, archive: i64, asked: &Query) -> Result<Page> {
        let limit = asked.limit.max(0);
        let text = match (&asked.with, asked.backwards) {
            (None, false) => FORWARD,
            (None, true) => BACKWARD,
            (Some(_), false) => FORWARD_WITH,
            (Some(_), true) => BACKWARD_WITH,
        };
        let mut query = sqlx::query(text)
            .bind(archive)
            .bind(asked.after_seq.unwrap_or(i64::MIN))
            .bind(asked.before_seq.unwrap_or(i64::MAX))
            .bind(asked.start.unwrap_or(i64::MIN))
            .bind(asked.end.unwrap_or(i64::MAX))
            // One more than is wanted tells whether there are more.
            .bind(limit.saturating_add(1));
        if let Some(peer) = &asked.with {
            query = query.bind(peer.as_str());
        }
        let mut conn = self.reader().await?;
        let found = query.fetch_all(&mut *conn).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut rows: Vec<LoggedMessage> =
            found.iter().take(wanted).map(logged_message).collect::<Result<_>>()?;
        if asked.backwards {
            rows.reverse();
        }
        Ok(Page { rows, complete: found.len() <= wanted })
    }

    /// Returns how many messages of an archive are with this peer and between these times. The
    /// bounds on numbers and the limit, which belong to a page, are not looked at.
    pub async fn count(&self, archive: i64, asked: &Query) -> Result<i64> {
        let mut query = sqlx::query(if asked.with.is_some() { COUNT_WITH } else { COUNT })
            .bind(archive)
            .bind(asked.start.unwrap_or(i64::MIN))
            .bind(asked.end.unwrap_or(i64::MAX));
        if let Some(peer) = &asked.with {
            query = query.bind(peer.as_str());
        }
        let mut conn = self.reader().await?;
        Ok(query.fetch_one(&mut *conn).await?.try_get(0)?)
    }

    /// Tells whether a message is in an archive.
    pub async fn archive_has(&self, archive: i64, seq: i64) -> Result<bool> {
        let mut conn = self.reader().await?;
        let row = sqlx::query(HAS).bind(archive).bind(seq).fetch_optional(&mut *conn).await?;
        Ok(row.is_some())
    }
}

impl Tx {
    /// Forgets what an account received up to this number: it is confirmed, and history is off.
    /// Returns how many rows that were.
    pub async fn drop_confirmed(&mut self, account: i64, up_to_seq: i64) -> Result<u64> {
        drop_rows(self.conn()?, account, up_to_seq, 0).await
    }

    /// Forgets the messages that were kept only until they were delivered, and are. Returns
    /// whether others of that kind still wait.
    pub async fn drop_passed(&mut self) -> Result<bool> {
        let conn = self.conn()?;
        sqlx::query(KEEP_SEQ).execute(&mut *conn).await?;
        for text in [DROP_PASSED_MESSAGES, DROP_PASSED] {
            sqlx::query(text).execute(&mut *conn).await?;
        }
        Ok(sqlx::query(SOME_PASSING).fetch_optional(conn).await?.is_some())
    }

    /// Forgets history that was kept before this even time, the oldest first and at most so many
    /// rows; returns how many. Fewer than the limit means that nothing is left to forget.
    ///
    /// What an account received and has not confirmed stays, however old.
    pub async fn expire(&mut self, before_at: i64, limit: i64) -> Result<u64> {
        let conn = self.conn()?;
        sqlx::query(KEEP_SEQ).execute(&mut *conn).await?;
        let query = sqlx::query(EXPIRE).bind(before_at).bind(limit.max(0));
        let gone = query.fetch_all(&mut *conn).await?;
        let mut seqs = Vec::with_capacity(gone.len());
        for row in &gone {
            seqs.push(row.try_get::<i64, _>(0)?);
        }
        seqs.sort_unstable();
        seqs.dedup();
        for (text, piece) in DELETE_UNHELD.pieces(&seqs) {
            let mut query = sqlx::query(text);
            for seq in piece {
                query = query.bind(*seq);
            }
            query.execute(&mut *conn).await?;
        }
        Ok(gone.len() as u64)
    }

    /// Forgets the origin-ids from before this time; returns how many.
    pub async fn purge_origins(&mut self, before_at: i64) -> Result<u64> {
        let query = sqlx::query(PURGE_ORIGINS).bind(before_at);
        Ok(query.execute(self.conn()?).await?.rows_affected())
    }
}

/// Removes everything of a mailbox, its cursor, and the origin-ids its owner used.
pub(crate) async fn remove_archive(conn: &mut AnyConnection, archive: i64) -> Result<()> {
    drop_rows(conn, archive, i64::MAX, 2).await?;
    sqlx::query(DROP_CURSOR).bind(archive).execute(&mut *conn).await?;
    sqlx::query(DROP_ORIGINS).bind(archive).execute(conn).await?;
    Ok(())
}

/// Removes the rows of a mailbox up to a number, those received or (`highest_direction` 2) all,
/// and the messages that nobody else keeps.
async fn drop_rows(
    conn: &mut AnyConnection,
    archive: i64,
    up_to_seq: i64,
    highest_direction: i64,
) -> Result<u64> {
    sqlx::query(KEEP_SEQ).execute(&mut *conn).await?;
    let mut dropped = 0;
    for text in [DROP_MESSAGES, DROP_MAILBOX] {
        let query = sqlx::query(text).bind(archive).bind(up_to_seq).bind(highest_direction);
        dropped = query.execute(&mut *conn).await?.rows_affected();
    }
    Ok(dropped)
}

#[cfg(test)]
mod tests;
