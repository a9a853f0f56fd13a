//! The journal: where the rows of new messages stand until they are moved into the archives.
//!
//! An archive's rows stand together, so that they are read together; what arrives together belongs
//! into as many places as there are archives, and each place costs a page that is written twice. In
//! the journal, what arrives together stands together. A *fold* moves all of it at once into the
//! archives, in their order, so that a page is written once for many messages.
//!
//! Nothing else knows of the journal: it is folded before anything that it holds is read, changed or
//! removed; only where that is refused, it is read ([`log_reader`](crate::log_reader)).
//! What it holds is known in memory: which archives have rows in it. At the beginning, and when it
//! is not known whether a commit has happened, anything may be in it, so it is folded before the
//! next use. See `docs/design/journal.md`.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use sqlx::AnyConnection;

use crate::dialect::Dialect;
use crate::rows::ManyRows;
use crate::{NewBody, NewMessage, NewRow, Result};

/// The most messages in the journal, or one group if that has more. Whoever appends one more folds
/// it, and everybody waits for that. With more of them a fold costs less a message and takes longer.
pub(crate) const MOST: usize = 4096;

/// The columns of the rows of archives.
macro_rules! columns {
    () => {
        "archive, seq, at, peer, direction, bytes, body"
    };
}

/// Reads everything in the journal as rows of archives.
macro_rules! rows {
    () => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM journal UNION ALL \
            SELECT second_archive, second_seq, at, second_peer, second_direction, bytes, body \
            FROM journal WHERE second_archive IS NOT NULL"
        )
    };
}

pub(crate) const COLUMNS: &str = columns!();
pub(crate) const ROWS: &str = rows!();

/// Moves everything in the journal into the archives.
macro_rules! moves {
    ($insert:literal) => {
        concat!($insert, " INTO archive_rows (", columns!(), ") ", rows!(), " ORDER BY 1, 2")
    };
}

/// Adds to each archive the bytes of the rows that are moved into it.
const GROW: &str = concat!(
    "UPDATE archives SET bytes = archives.bytes + moved.bytes FROM \
    (SELECT j.archive, CAST(COALESCE(SUM(j.bytes), 0) AS BIGINT) AS bytes FROM (",
    rows!(),
    ") AS j GROUP BY j.archive) AS moved WHERE archives.id = moved.archive"
);

pub(crate) const FOLD: [&str; 3] = [moves!("INSERT"), GROW, CLEAR];
/// The same for SQLite, which ends the transaction if a row is refused: nothing could go on with it
/// in any case. To undo the statement alone it would keep a copy of each page that the statement
/// changes, up to 32 KiB for each message that is scattered over large archives.
const FOLD_SQLITE: [&str; 3] = [moves!("INSERT OR ROLLBACK"), GROW, CLEAR];
pub(crate) const CLEAR: &str = "DELETE FROM journal";

static INSERT: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "INSERT INTO journal (body, at, bytes, archive, seq, peer, direction, \
        second_archive, second_seq, second_peer, second_direction) VALUES",
        11,
        "",
    )
});

pub(crate) fn many() -> [&'static ManyRows; 1] {
    [&INSERT]
}

/// Returns what a fold does, in this order.
pub(crate) fn fold(dialect: Dialect) -> &'static [&'static str; 3] {
    match dialect {
        Dialect::Sqlite => &FOLD_SQLITE,
        Dialect::Postgres => &FOLD,
    }
}

/// A body of a message, and the rows that have it, with the numbers that they have got.
pub(crate) struct Entry<'a> {
    pub message: &'a NewMessage,
    /// The number of the body.
    pub body: i64,
    /// What is in it: the resource, and the stanza.
    pub resource: Option<&'a str>,
    pub stanza: &'a [u8],
    /// The first row, and its number in its archive.
    pub first: (&'a NewRow, i64),
    /// The second one, if there is one.
    pub second: Option<(&'a NewRow, i64)>,
}

impl<'a> Entry<'a> {
    /// The body of a message for its first row alone, which has this number.
    pub fn of(message: &'a NewMessage, body: i64, number: i64) -> Self {
        let (resource, stanza) = (message.resource.as_deref(), &message.stanza[..]);
        Self { message, body, resource, stanza, first: (&message.first, number), second: None }
    }

    /// The body that the second row of a message has for itself, with its number.
    pub fn with(
        message: &'a NewMessage,
        own: &'a NewBody,
        body: i64,
        row: (&'a NewRow, i64),
    ) -> Self {
        let (resource, stanza) = (own.resource.as_deref(), &own.stanza[..]);
        Self { message, body, resource, stanza, first: row, second: None }
    }

    /// The rows that have it.
    pub fn rows(&self) -> impl Iterator<Item = &'a NewRow> + Clone + use<'a> {
        std::iter::once(self.first.0).chain(self.second.map(|(row, _)| row))
    }
}

/// Writes messages into the journal, with the numbers of the peers of all their rows.
pub(crate) async fn insert(
    conn: &mut AnyConnection,
    entries: &[Entry<'_>],
    peers: &[i64],
) -> Result<()> {
    let mut peers = peers.iter().copied();
    for (text, piece) in INSERT.pieces(Dialect::of(conn), entries) {
        let mut query = sqlx::query(text);
        for Entry { message, body, stanza, first: (row, number), second, .. } in piece {
            query = query
                .bind(*body)
                .bind(message.at)
                .bind(stanza.len() as i64)
                .bind(row.archive)
                .bind(*number)
                .bind(peers.next())
                .bind(row.direction.number());
            query = query
                .bind(second.map(|(row, _)| row.archive))
                .bind(second.map(|(_, number)| number))
                .bind(second.and_then(|_| peers.next()))
                .bind(second.map(|(row, _)| row.direction.number()));
        }
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

/// What is in the journal, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    messages: usize,
    archives: HashSet<i64>,
    /// When the oldest message was kept, in even time.
    oldest: Option<i64>,
}

impl Content {
    /// How many messages are in it.
    pub fn len(&self) -> usize {
        self.messages
    }

    /// Whether an archive has rows in it.
    pub fn has(&self, archive: i64) -> bool {
        self.archives.contains(&archive)
    }

    /// Whether it holds a message that was kept before this even time.
    pub fn has_kept_before(&self, time: i64) -> bool {
        self.oldest.is_some_and(|oldest| oldest < time)
    }

    /// Adds what was written.
    pub fn add(&mut self, entries: &[Entry<'_>]) {
        self.messages += entries.len();
        for entry in entries {
            self.archives.extend(entry.rows().map(|row| row.archive));
            self.note_age(entry.message.kept_at);
        }
    }

    fn extend(&mut self, more: Content) {
        self.messages += more.messages;
        self.archives.extend(more.archives);
        more.oldest.into_iter().for_each(|kept_at| self.note_age(kept_at));
    }

    fn note_age(&mut self, kept_at: i64) {
        self.oldest = Some(self.oldest.map_or(kept_at, |oldest| oldest.min(kept_at)));
    }
}

/// What a transaction has done to the journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Whether it has emptied it.
    pub emptied: bool,
    /// What it has written into it since.
    pub added: Content,
}

/// What a transaction finds in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// How many messages are in it.
    pub messages: usize,
    /// Whether rows of the archives in question are among them.
    pub any_of_these: bool,
}

/// Archives of which nothing is in the journal, so that `archive_rows` says what numbers they have
/// given. Only [`Committed::without`] makes this.
pub(crate) struct NotInJournal(Vec<i64>);

impl NotInJournal {
    /// Their numbers.
    pub fn archives(&self) -> &[i64] {
        &self.0
    }
}

/// What is committed in the journal, for the writer and the readers. Held for a look or a change,
/// never across an await.
#[derive(Clone, Debug, Default)]
pub(crate) struct Committed(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whether `content` is all that the journal can hold.
    is_known: bool,
    content: Content,
}

impl Committed {
    /// Returns what is in it, or `None` if that is not known.
    pub fn look<T>(&self, at: impl FnOnce(&Content) -> T) -> Option<T> {
        let state = self.0.lock();
        state.is_known.then(|| at(&state.content))
    }

    /// Notes that it is not known whether a commit has happened: anything may be in the journal.
    pub fn doubt(&self) {
        self.0.lock().is_known = false;
    }

    /// Returns what a transaction finds that has made these changes, or `None` if that can be
    /// anything.
    pub fn found(&self, changes: &Changes, archives: &[i64]) -> Option<Found> {
        let found = |content: &Content| Found {
            messages: content.len(),
            any_of_these: archives.iter().any(|archive| content.has(*archive)),
        };
        let added = found(&changes.added);
        if changes.emptied {
            return Some(added);
        }
        self.look(found).map(|before| Found {
            messages: before.messages + added.messages,
            any_of_these: before.any_of_these || added.any_of_these,
        })
    }

    /// Returns these archives, if a transaction that has made these changes finds nothing of them.
    pub fn without(&self, changes: &Changes, archives: Vec<i64>) -> Option<NotInJournal> {
        let found = self.found(changes, &archives)?;
        (!found.any_of_these).then_some(NotInJournal(archives))
    }

    /// Notes a commit that has happened, of these changes.
    pub fn changed(&self, changes: Changes) {
        let Changes { emptied, added } = changes;
        let mut state = self.0.lock();
        if emptied {
            *state = State { is_known: true, content: Content::default() };
        }
        state.content.extend(added);
    }
}

#[cfg(test)]
mod tests;
