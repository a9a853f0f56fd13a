//! History: what an archive shows (XEP-0313), and how it is deleted.
//!
//! An archive shows the rows of the log and nothing else. What has still to be delivered is never
//! deleted. A row is deleted without reading another archive: the count of its body's holders goes
//! down by one, and the last holder takes the body along.

use std::collections::{BTreeSet, HashSet};

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::archives::{self, Numbering};
use crate::log::{logged, logged_message};
use crate::log_reader::{Asked, by_peer};
use crate::{Direction, LoggedMessage, Result, Store, Tx, pieces};

const FORWARD: &str = logged!(
    "AND r.direction <> 2 AND r.seq > $2 AND r.seq < $3 AND r.at >= $4 AND r.at <= $5 \
    ORDER BY r.seq LIMIT $6"
);
const BACKWARD: &str = logged!(
    "AND r.direction <> 2 AND r.seq > $2 AND r.seq < $3 AND r.at >= $4 AND r.at <= $5 \
    ORDER BY r.seq DESC LIMIT $6"
);
/// Reads one conversation: of the index by peer, and then by its numbers. The cross join says so to
/// SQLite, which reads the whole archive for it otherwise.
macro_rules! logged_with {
    ($rest:literal) => {
        logged!(
            by_peer!(),
            concat!(
                "AND k.archive = $1 AND k.seq > $2 AND k.seq < $3 AND k.peer = \
                (SELECT w.id FROM peers w WHERE w.archive = $1 AND w.address = $7) \
                AND r.seq = k.seq AND r.direction <> 2 AND r.at >= $4 AND r.at <= $5 ORDER BY ",
                $rest
            )
        )
    };
}

const FORWARD_WITH: &str = logged_with!("k.seq LIMIT $6");
const BACKWARD_WITH: &str = logged_with!("k.seq DESC LIMIT $6");
/// Looks at so many rows at most, whatever the times are: says at how many, and how many of them
/// match.
macro_rules! counted {
    ($($rows:expr),*) => {
        concat!(
            "SELECT COUNT(*), CAST(COALESCE(SUM(CASE WHEN c.direction <> 2 AND c.at >= $2 \
            AND c.at <= $3 THEN 1 ELSE 0 END), 0) AS BIGINT) FROM (SELECT r.direction, r.at FROM ",
            $($rows,)*
            " LIMIT $4) c"
        )
    };
}

const COUNT: &str = counted!("archive_rows r WHERE r.archive = $1");
const COUNT_WITH: &str = counted!(
    by_peer!(),
    "archive_rows r WHERE k.archive = $1 AND k.peer = \
    (SELECT w.id FROM peers w WHERE w.archive = $1 AND w.address = $5) \
    AND r.archive = $1 AND r.seq = k.seq"
);
const HAS: &str = "SELECT 1 FROM archive_rows WHERE archive = $1 AND direction <> 2 AND seq = $2";

const OLDEST: &str = "SELECT seq, at FROM archive_rows \
    WHERE archive = $1 AND direction <> 2 ORDER BY seq LIMIT 1";
const NEWEST: &str = "SELECT seq, at FROM archive_rows \
    WHERE archive = $1 AND direction <> 2 ORDER BY seq DESC LIMIT 1";
const FIRST: &str = "SELECT seq FROM archive_rows \
    WHERE archive = $1 AND seq > $2 AND seq < $3 ORDER BY seq LIMIT 1";
const LAST: &str = "SELECT seq FROM archive_rows \
    WHERE archive = $1 AND seq > $2 AND seq < $3 ORDER BY seq DESC LIMIT 1";
const FIRST_WITH: &str = "SELECT seq FROM archive_rows \
    WHERE archive = $1 AND seq > $2 AND seq < $3 \
    AND peer = (SELECT w.id FROM peers w WHERE w.archive = $1 AND w.address = $4) \
    ORDER BY seq LIMIT 1";
const LAST_WITH: &str = "SELECT seq FROM archive_rows \
    WHERE archive = $1 AND seq > $2 AND seq < $3 \
    AND peer = (SELECT w.id FROM peers w WHERE w.archive = $1 AND w.address = $4) \
    ORDER BY seq DESC LIMIT 1";

const ONE: &str = logged!("AND r.direction <> 2 AND r.seq = $2");
/// The rows keep their bytes, which are counted with the archives.
const REPLACE: &str = "UPDATE bodies SET stanza = $3 WHERE id = \
    (SELECT r.body FROM archive_rows r WHERE r.archive = $1 AND r.seq = $2)";

/// Removes some rows of an archive, and the bodies that no other archive holds, in this order:
/// removes bodies whose last holder this is, lowers the holders of the others by one, removes the
/// rows, whose peers and bytes are told.
macro_rules! removal {
    ($which:expr) => {
        removal!($which, $which)
    };
    ($which:expr, $rows:expr) => {
        [
            concat!(
                "DELETE FROM bodies WHERE holders = 1 AND id IN \
                (SELECT body FROM archive_rows WHERE ",
                $which,
                ")"
            ),
            concat!(
                "UPDATE bodies SET holders = holders - 1 WHERE id IN \
                (SELECT body FROM archive_rows WHERE ",
                $which,
                ")"
            ),
            concat!("DELETE FROM archive_rows WHERE ", $rows, " RETURNING peer, bytes"),
        ]
    };
}

pub(crate) use removal;

/// All rows between two numbers.
const REMOVE_BETWEEN: [&str; 3] = removal!("archive = $1 AND seq > $2 AND seq <= $3");
const REMOVE_RECEIVED: [&str; 3] =
    removal!("archive = $1 AND seq > $2 AND seq <= $3 AND direction = 0");
/// SQLite uses the index of these rows in a SELECT, but not in a DELETE.
const REMOVE_PASSING: [&str; 3] = removal!(
    "direction = 2 AND archive = $1 AND seq <= $2",
    "archive = $1 AND seq IN (SELECT p.seq FROM archive_rows p \
    WHERE p.direction = 2 AND p.archive = $1 AND p.seq <= $2)"
);
/// Matches what need not be delivered: the owner sent or heard it, or has confirmed it.
macro_rules! is_delivered {
    () => {
        "archive = $1 AND seq > $2 AND seq <= $3 AND (direction IN (1, 3) OR seq <= \
        (SELECT a.confirmed FROM archives a WHERE a.id = $1))"
    };
}
pub(crate) use is_delivered;

pub(crate) const REMOVE_OLD: [&str; 3] = removal!(is_delivered!());
/// Looks at the first so many rows between two numbers: says how many there are, and the number of
/// the last. Each removal above is of so many rows at most.
const PIECE: &str = "SELECT COUNT(*), CAST(COALESCE(MAX(f.seq), 0) AS BIGINT) FROM \
    (SELECT r.seq FROM archive_rows r WHERE r.archive = $1 AND r.seq > $2 AND r.seq <= $3 \
    ORDER BY r.seq LIMIT $4) AS f";
const PASSING_PIECE: &str = "SELECT COUNT(*), CAST(COALESCE(MAX(f.seq), 0) AS BIGINT) FROM \
    (SELECT r.seq FROM archive_rows r WHERE r.direction = 2 AND r.archive = $1 AND r.seq <= $2 \
    ORDER BY r.seq LIMIT $3) AS f";
const SOME_PASSING: &str =
    "SELECT 1 FROM archive_rows WHERE direction = 2 AND archive = $1 LIMIT 1";
const WITH_PASSING: &str = "SELECT DISTINCT archive FROM archive_rows WHERE direction = 2";

/// Reads the age of the first row of each archive: rows are in the order of their age.
const BEGINNINGS: &str = "SELECT a.id, \
    (SELECT b.kept_at FROM archive_rows r JOIN bodies b ON b.id = r.body \
    WHERE r.archive = a.id ORDER BY r.seq LIMIT 1) \
    FROM archives a WHERE a.id > $1 ORDER BY a.id LIMIT $2";
const AGES: &str = "SELECT r.seq, b.kept_at, r.direction FROM archive_rows r \
    JOIN bodies b ON b.id = r.body \
    WHERE r.archive = $1 AND r.seq > $2 ORDER BY r.seq LIMIT $3";

/// Those that are made with a [`LogReader`](crate::log_reader::LogReader).
pub(crate) const READING: &[&str] = &[
    FORWARD,
    BACKWARD,
    FORWARD_WITH,
    BACKWARD_WITH,
    COUNT,
    COUNT_WITH,
    FIRST,
    LAST,
    FIRST_WITH,
    LAST_WITH,
    HAS,
    OLDEST,
    NEWEST,
    WITH_PASSING,
    AGES,
];
pub(crate) const STATEMENTS: &[&str] = &[
    REMOVE_BETWEEN[0],
    REMOVE_BETWEEN[1],
    REMOVE_BETWEEN[2],
    REMOVE_RECEIVED[0],
    REMOVE_RECEIVED[1],
    REMOVE_RECEIVED[2],
    REMOVE_PASSING[0],
    REMOVE_PASSING[1],
    REMOVE_PASSING[2],
    REMOVE_OLD[0],
    REMOVE_OLD[1],
    REMOVE_OLD[2],
    PIECE,
    PASSING_PIECE,
    SOME_PASSING,
    BEGINNINGS,
    ONE,
    REPLACE,
];

/// A query of an archive. The bounds on time include their ends, those on numbers do not.
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
    /// Whether to take the newest rather than the oldest, if there are more.
    pub backwards: bool,
}

/// A message that an archive shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its number in the archive.
    pub seq: i64,
    /// When it was accepted, in microseconds since 1970: what people are told.
    pub at: i64,
}

/// Reads a row of number and time.
fn shown(row: &AnyRow) -> Result<Shown> {
    Ok(Shown { seq: row.try_get(0)?, at: row.try_get(1)? })
}

/// Some archives that were looked at, for those of which something has to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundArchives {
    /// Those, in the order of their numbers.
    pub archives: Vec<i64>,
    /// The last one that was looked at, if there may be more after it.
    pub more_after: Option<i64>,
}

impl FoundArchives {
    /// Reads rows that begin with the number of an archive, at most `limit`; `goes` says for each
    /// whether something of it has to go.
    pub(crate) fn of(
        rows: &[AnyRow],
        limit: i64,
        goes: impl Fn(&AnyRow) -> Result<bool>,
    ) -> Result<Self> {
        let (mut archives, mut last) = (Vec::new(), None);
        for row in rows {
            let archive = row.try_get(0)?;
            if goes(row)? {
                archives.push(archive);
            }
            last = Some(archive);
        }
        Ok(Self { archives, more_after: last.filter(|_| rows.len() as i64 >= limit) })
    }
}

/// Some rows of an archive that were looked at, for what is old or too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundRows {
    /// The number of the last that is.
    pub up_to_seq: i64,
    /// Whether any of them can be forgotten.
    pub any_goes: bool,
    /// Whether there may be more after it.
    pub more: bool,
}

/// A bounded removal of rows of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// How many were removed.
    pub rows: u64,
    /// The number of the last that was looked at, if there may be more to remove after it.
    pub more_after: Option<i64>,
}

/// A part of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The messages, oldest first, whichever direction was asked for.
    pub rows: Vec<LoggedMessage>,
    /// Whether the page is the last one in the direction that was asked for.
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
        let mut conn = self.reader_of(archive).await?;
        let mut query = sqlx::query(conn.text(text))
            .bind(archive)
            .bind(asked.after_seq.unwrap_or(i64::MIN))
            .bind(asked.before_seq.unwrap_or(i64::MAX))
            .bind(asked.start.unwrap_or(i64::MIN))
            .bind(asked.end.unwrap_or(i64::MAX))
            // One more than is wanted is read, which shows whether there are more.
            .bind(limit.saturating_add(1));
        if let Some(peer) = &asked.with {
            query = query.bind(peer.as_str());
        }
        let found = query.fetch_all(&mut *conn).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut rows: Vec<LoggedMessage> =
            found.iter().take(wanted).map(logged_message).collect::<Result<_>>()?;
        if asked.backwards {
            rows.reverse();
        }
        Ok(Page { rows, complete: found.len() <= wanted })
    }

    /// Returns the number of the row with which a query begins, or before which it would find nothing:
    /// the nearest of its peer, whatever the times are. A look at an index, however long the archive.
    pub async fn nearest(&self, archive: i64, asked: &Query) -> Result<Option<i64>> {
        let text = match (&asked.with, asked.backwards) {
            (None, false) => FIRST,
            (None, true) => LAST,
            (Some(_), false) => FIRST_WITH,
            (Some(_), true) => LAST_WITH,
        };
        let mut conn = self.reader_of(archive).await?;
        let mut query = sqlx::query(conn.text(text))
            .bind(archive)
            .bind(asked.after_seq.unwrap_or(i64::MIN))
            .bind(asked.before_seq.unwrap_or(i64::MAX));
        if let Some(peer) = &asked.with {
            query = query.bind(peer.as_str());
        }
        Ok(query.fetch_optional(&mut *conn).await?.map(|row| row.try_get(0)).transpose()?)
    }

    /// Returns how many messages of an archive are with this peer and between these times; `None` if
    /// more than `most` rows, of this peer or of the archive, would have to be looked at. It ignores
    /// the bounds on numbers and the limit, which belong to a page.
    pub async fn count(&self, archive: i64, asked: &Query, most: i64) -> Result<Option<i64>> {
        let mut conn = self.reader_of(archive).await?;
        let text = if asked.with.is_some() { COUNT_WITH } else { COUNT };
        let mut query = sqlx::query(conn.text(text))
            .bind(archive)
            .bind(asked.start.unwrap_or(i64::MIN))
            .bind(asked.end.unwrap_or(i64::MAX))
            .bind(most.saturating_add(1));
        if let Some(peer) = &asked.with {
            query = query.bind(peer.as_str());
        }
        let row = query.fetch_one(&mut *conn).await?;
        let looked_at: i64 = row.try_get(0)?;
        Ok(if looked_at <= most { Some(row.try_get(1)?) } else { None })
    }

    /// Reads the first row of at most `limit` archives after this one, and returns those that begin
    /// with something kept before this even time. Where a fold is refused, so is this, as it would
    /// be refused to remove them.
    pub async fn archives_begun_before(
        &self,
        after_archive: i64,
        before: i64,
        limit: i64,
    ) -> Result<FoundArchives> {
        let limit = limit.max(1);
        let mut conn = self.folded_reader(Asked::KeptBefore(before)).await?;
        let query = sqlx::query(BEGINNINGS).bind(after_archive).bind(limit);
        let rows = query.fetch_all(&mut *conn).await?;
        FoundArchives::of(&rows, limit, |row| {
            Ok(row.try_get::<Option<i64>, _>(1)?.is_some_and(|kept_at| kept_at < before))
        })
    }

    /// Reads at most `limit` rows of an archive, after this number, for those that were
    /// kept before this even time; returns nothing if there are none.
    pub async fn find_old(
        &self,
        archive: i64,
        after_seq: i64,
        before: i64,
        limit: i64,
    ) -> Result<Option<FoundRows>> {
        let limit = limit.max(1);
        let confirmed = self.cursor(archive).await?;
        let mut conn = self.reader_of_old(before).await?;
        let query = sqlx::query(conn.text(AGES)).bind(archive).bind(after_seq).bind(limit);
        let rows = query.fetch_all(&mut *conn).await?;
        let (mut count, mut up_to_seq, mut any_goes) = (0, after_seq, false);
        for row in &rows {
            if row.try_get::<i64, _>(1)? >= before {
                break;
            }
            count += 1;
            up_to_seq = row.try_get(0)?;
            any_goes |= !Direction::waits(row.try_get(2)?) || up_to_seq <= confirmed;
        }
        Ok((count > 0).then_some(FoundRows { up_to_seq, any_goes, more: count >= limit }))
    }

    /// Returns the archives that hold something that is kept only until it is delivered.
    pub async fn archives_with_passing(&self) -> Result<HashSet<i64>> {
        let mut conn = self.reader_of_all().await?;
        let rows = sqlx::query(conn.text(WITH_PASSING)).fetch_all(&mut *conn).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Returns the oldest and the newest message that an archive shows, if it shows any. It is read for
    /// its owner, who does not wait for those who read archives.
    pub async fn archive_ends(&self, archive: i64) -> Result<Option<(Shown, Shown)>> {
        let mut conn = self.mailbox_reader(archive).await?;
        let mut ends = [None, None];
        for (end, text) in ends.iter_mut().zip([OLDEST, NEWEST]) {
            let query = sqlx::query(conn.text(text)).bind(archive);
            let row = query.fetch_optional(&mut *conn).await?;
            *end = row.as_ref().map(shown).transpose()?;
        }
        let [oldest, newest] = ends;
        Ok(oldest.zip(newest))
    }

    /// Returns whether a message is in an archive.
    pub async fn archive_has(&self, archive: i64, seq: i64) -> Result<bool> {
        let mut conn = self.reader_of(archive).await?;
        let row =
            sqlx::query(conn.text(HAS)).bind(archive).bind(seq).fetch_optional(&mut *conn).await?;
        Ok(row.is_some())
    }
}

impl Tx {
    /// Returns the message of this number, if the archive shows one.
    pub async fn archived(&mut self, archive: i64, seq: i64) -> Result<Option<LoggedMessage>> {
        let query = sqlx::query(ONE).bind(archive).bind(seq);
        let row = query.fetch_optional(self.log_conn(archive).await?).await?;
        row.as_ref().map(logged_message).transpose()
    }

    /// Puts another stanza in the place of a message, in every archive that has it. It counts for as
    /// much as the message did.
    pub async fn replace_archived(&mut self, archive: i64, seq: i64, stanza: &[u8]) -> Result<()> {
        let query = sqlx::query(REPLACE).bind(archive).bind(seq).bind(stanza);
        query.execute(self.log_conn(archive).await?).await?;
        Ok(())
    }

    /// Deletes what was received in an archive after one number and up to another, which is
    /// confirmed, when history is off. Looks at so many rows at most.
    pub async fn drop_confirmed(
        &mut self,
        archive: i64,
        after_seq: i64,
        up_to_seq: i64,
        most: i64,
    ) -> Result<Dropped> {
        let conn = self.log_conn(archive).await?;
        let (count, last) =
            pieces::look(conn, PIECE, &[archive, after_seq, up_to_seq, most]).await?;
        let rows = self.remove(&REMOVE_RECEIVED, archive, &[after_seq, last]).await?;
        Ok(Dropped { rows, more_after: (count >= most).then_some(last) })
    }

    /// Deletes what was kept in an archive only until it was delivered, up to this number, which is
    /// delivered: so many rows at most.
    pub async fn drop_passed(
        &mut self,
        archive: i64,
        up_to_seq: i64,
        most: i64,
    ) -> Result<Dropped> {
        let conn = self.log_conn(archive).await?;
        let (count, last) = pieces::look(conn, PASSING_PIECE, &[archive, up_to_seq, most]).await?;
        let rows = self.remove(&REMOVE_PASSING, archive, &[last]).await?;
        Ok(Dropped { rows, more_after: (count >= most).then_some(last) })
    }

    /// Returns whether anything in an archive is kept only until it is delivered.
    pub async fn is_anything_passing(&mut self, archive: i64) -> Result<bool> {
        let query = sqlx::query(SOME_PASSING).bind(archive);
        Ok(query.fetch_optional(self.log_conn(archive).await?).await?.is_some())
    }

    /// Deletes what [`Store::find_old`] has found after this number of an archive and up to that
    /// one. Returns how many rows that were.
    ///
    /// What was received and is not confirmed stays, however old.
    pub async fn expire(&mut self, archive: i64, after_seq: i64, up_to_seq: i64) -> Result<u64> {
        self.remove(&REMOVE_OLD, archive, &[after_seq, up_to_seq]).await
    }

    pub(crate) async fn remove(
        &mut self,
        removal: &[&'static str; 3],
        archive: i64,
        bounds: &[i64],
    ) -> Result<u64> {
        self.log_conn(archive).await?;
        let (conn, numbering, _) = self.conn_and_known()?;
        remove(conn, numbering, removal, archive, bounds).await
    }
}

/// Removes the first so many rows of an archive after a number; returns how many there were, and the
/// number of the last.
pub(crate) async fn remove_after(
    conn: &mut AnyConnection,
    numbering: &mut Numbering,
    archive: i64,
    seq: i64,
    most: u64,
) -> Result<(u64, i64)> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let (count, last) = pieces::look(conn, PIECE, &[archive, seq, i64::MAX, most]).await?;
    if count == 0 {
        return Ok((0, seq));
    }
    Ok((remove(conn, numbering, &REMOVE_BETWEEN, archive, &[seq, last]).await?, last))
}

/// Removes rows of an archive, and the peers that none of its rows names any more; returns how many
/// rows.
async fn remove(
    conn: &mut AnyConnection,
    numbering: &mut Numbering,
    [last_bodies, other_bodies, rows]: &[&'static str; 3],
    archive: i64,
    bounds: &[i64],
) -> Result<u64> {
    archives::keep_highest(conn, archive).await?;
    let query = |text| {
        let query = sqlx::query(text).bind(archive);
        bounds.iter().fold(query, |query, bound| query.bind(*bound))
    };
    query(*last_bodies).execute(&mut *conn).await?;
    query(*other_bodies).execute(&mut *conn).await?;
    let removed = query(*rows).fetch_all(&mut *conn).await?;
    if removed.is_empty() {
        return Ok(0);
    }
    let (mut peers, mut bytes) = (BTreeSet::new(), 0);
    for row in &removed {
        peers.insert(row.try_get(0)?);
        bytes += row.try_get::<i64, _>(1)?;
    }
    archives::shrink(conn, archive, bytes).await?;
    numbering.peers.remove(conn, archive, peers).await?;
    Ok(removed.len() as u64)
}

#[cfg(test)]
mod tests;
