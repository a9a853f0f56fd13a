//! What an archive has above its quota: which rows have to go, and that they go.
//!
//! How many bytes the rows of an archive have is stored with the archive, so nobody has to read them
//! to know that there are too many. What has still to be delivered never goes.

use sqlx::Row;

use crate::history::{REMOVE_OLD, is_delivered, removal};
use crate::log_reader::Asked;
use crate::{Direction, FoundArchives, FoundRows, Result, Store, Tx};

/// Matches a peer `p` whom the owner does not know: who is not in the owner's roster, is not the
/// owner and not the server.
macro_rules! is_stranger {
    () => {
        "EXISTS (SELECT 1 FROM archives o JOIN accounts a ON a.id = o.account \
        WHERE o.id = p.archive AND p.address <> ('#' || CAST(a.domain AS TEXT)) \
        AND p.address <> (a.localpart || '@#' || CAST(a.domain AS TEXT)) \
        AND NOT EXISTS (SELECT 1 FROM roster c \
        WHERE c.account = a.id AND c.contact = p.address AND c.listed = 1))"
    };
}
/// Matches a row of the table `$rows` whose peer is a stranger.
macro_rules! is_of_stranger {
    ($rows:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM peers p WHERE p.archive = ",
            $rows,
            ".archive AND p.id = ",
            $rows,
            ".peer AND ",
            is_stranger!(),
            ")"
        )
    };
}
const REMOVE_OLD_OF_STRANGERS: [&str; 3] =
    removal!(concat!(is_delivered!(), " AND ", is_of_stranger!("archive_rows")));

const HELD: &str = "SELECT id, bytes, account FROM archives WHERE id > $1 ORDER BY id LIMIT $2";
const HELD_BY: &str = "SELECT bytes, confirmed, account FROM archives WHERE id = $1";
/// Reads the first row of each peer that is a stranger.
const STRANGERS: &str = concat!(
    "SELECT p.id, CASE WHEN ",
    is_stranger!(),
    " THEN (SELECT MIN(r.seq) FROM archive_rows r WHERE r.archive = p.archive AND r.peer = p.id) \
    END FROM peers p WHERE p.archive = $1 AND p.id > $2 ORDER BY p.id LIMIT $3"
);
const WAITING_OF_STRANGERS: &str = concat!(
    "SELECT CAST(COALESCE(SUM(r.bytes), 0) AS BIGINT) FROM archive_rows r \
    WHERE r.archive = $1 AND r.direction IN (0, 2) AND r.seq > \
    (SELECT a.confirmed FROM archives a WHERE a.id = $1) AND ",
    is_of_stranger!("r")
);
const SIZES: &str = "SELECT r.seq, r.bytes, r.direction, 1 FROM archive_rows r \
    WHERE r.archive = $1 AND r.seq > $2 ORDER BY r.seq LIMIT $3";
const SIZES_OF_STRANGERS: &str = concat!(
    "SELECT r.seq, r.bytes, r.direction, CASE WHEN ",
    is_of_stranger!("r"),
    " THEN 1 ELSE 0 END FROM archive_rows r \
    WHERE r.archive = $1 AND r.seq > $2 ORDER BY r.seq LIMIT $3"
);

pub(crate) const STATEMENTS: &[&str] = &[
    REMOVE_OLD_OF_STRANGERS[0],
    REMOVE_OLD_OF_STRANGERS[1],
    REMOVE_OLD_OF_STRANGERS[2],
    HELD,
    HELD_BY,
    STRANGERS,
    WAITING_OF_STRANGERS,
    SIZES,
    SIZES_OF_STRANGERS,
];

/// Whose messages go where an archive has too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those with peers who are not in the owner's roster, and are neither the owner nor the server.
    Strangers,
    /// Those with anybody.
    Everybody,
}

/// How many bytes the rows of an archive may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Those of an account's.
    pub account: i64,
    /// Those of a room's.
    pub room: i64,
}

impl Quotas {
    /// The quota of the archive of this account, or of a room.
    fn of(self, account: Option<i64>) -> i64 {
        if account.is_some() { self.account } else { self.room }
    }
}

impl Store {
    /// Looks at so many archives at most after this one, and returns those whose rows have more bytes
    /// than they may. Where a fold is refused, so is this, as it would be refused to remove any.
    pub async fn archives_over(
        &self,
        after_archive: i64,
        quotas: Quotas,
        limit: i64,
    ) -> Result<FoundArchives> {
        let limit = limit.max(1);
        // What comes to others during the walk counts at the next one.
        let mut conn = match after_archive {
            0 => self.folded_reader(Asked::Everything).await?,
            _ => self.long_reader().await?,
        };
        let query = sqlx::query(HELD).bind(after_archive).bind(limit);
        let rows = query.fetch_all(&mut *conn).await?;
        FoundArchives::of(&rows, limit, |row| {
            Ok(row.try_get::<i64, _>(1)? > quotas.of(row.try_get(2)?))
        })
    }

    /// Looks at the first rows of an archive after this number, at most `limit`, for those that have
    /// to go until the archive has no more bytes than it may; returns nothing if it has not, or there
    /// are no such rows. Only what need not be delivered goes, and of these peers alone.
    pub async fn find_excess(
        &self,
        archive: i64,
        whose: Whose,
        after_seq: i64,
        quotas: Quotas,
        limit: i64,
    ) -> Result<Option<FoundRows>> {
        let limit = limit.max(1);
        let mut conn = self.folded_reader(Asked::Of(archive)).await?;
        let row = sqlx::query(HELD_BY).bind(archive).fetch_optional(&mut *conn).await?;
        let Some(row) = row else { return Ok(None) };
        let mut excess = row.try_get::<i64, _>(0)?.saturating_sub(quotas.of(row.try_get(2)?));
        let confirmed: i64 = row.try_get(1)?;
        if excess <= 0 {
            return Ok(None);
        }
        let text = match whose {
            Whose::Strangers => SIZES_OF_STRANGERS,
            Whose::Everybody => SIZES,
        };
        let query = sqlx::query(text).bind(archive).bind(after_seq).bind(limit);
        let rows = query.fetch_all(&mut *conn).await?;
        let mut found = None;
        for row in &rows {
            let up_to_seq = row.try_get(0)?;
            let goes = (!Direction::waits(row.try_get(2)?) || up_to_seq <= confirmed)
                && row.try_get::<i64, _>(3)? == 1;
            let found = found.get_or_insert(FoundRows { up_to_seq, any_goes: false, more: false });
            found.up_to_seq = up_to_seq;
            found.any_goes |= goes;
            if goes {
                excess -= row.try_get::<i64, _>(1)?;
            }
            if excess <= 0 {
                return Ok(Some(*found));
            }
        }
        let more = rows.len() as i64 >= limit;
        Ok(found.map(|found| FoundRows { more, ..found }))
    }

    /// Returns the number of the first row of an archive whose peer is a stranger, if there is one.
    /// Reads so many peers at once.
    pub async fn first_of_strangers(&self, archive: i64, limit: i64) -> Result<Option<i64>> {
        let limit = limit.max(1);
        let (mut first, mut after): (Option<i64>, i64) = (None, 0);
        loop {
            let mut conn = self.folded_reader(Asked::Of(archive)).await?;
            let query = sqlx::query(STRANGERS).bind(archive).bind(after).bind(limit);
            let rows = query.fetch_all(&mut *conn).await?;
            for row in &rows {
                after = row.try_get(0)?;
                let seq: Option<i64> = row.try_get(1)?;
                first = first.into_iter().chain(seq).min();
            }
            if (rows.len() as i64) < limit {
                return Ok(first);
            }
        }
    }

    /// Returns how many bytes strangers have in an archive that are not delivered yet.
    pub async fn waiting_of_strangers(&self, archive: i64) -> Result<i64> {
        let mut conn = self.folded_reader(Asked::Of(archive)).await?;
        let row = sqlx::query(WAITING_OF_STRANGERS).bind(archive).fetch_one(&mut *conn).await?;
        Ok(row.try_get(0)?)
    }
}

impl Tx {
    /// Deletes what [`Store::find_excess`] has found, likewise.
    pub async fn remove_excess(
        &mut self,
        archive: i64,
        whose: Whose,
        after_seq: i64,
        up_to_seq: i64,
    ) -> Result<u64> {
        let removal = match whose {
            Whose::Strangers => &REMOVE_OLD_OF_STRANGERS,
            Whose::Everybody => &REMOVE_OLD,
        };
        self.remove(removal, archive, &[after_seq, up_to_seq]).await
    }
}

#[cfg(test)]
mod tests;
