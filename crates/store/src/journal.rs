//! The journal: where the rows of new messages stand until they are moved into the archives.
//!
//! An archive's rows stand together, so that they are read together; what arrives together belongs
//! into as many places as there are archives, and each place costs a page that is written twice. In
//! the journal, what arrives together stands together. A *fold* moves many rows at once into the
//! archives, in their order, so that a page is written once for many messages.
//!
//! The journal has parts, and an archive's rows are always in the same one. A part is folded by
//! itself, so that nobody waits for all of it.
//!
//! Nothing else knows of the journal: what is read, changed or removed is folded before; only where
//! that is refused, the journal is read ([`log_reader`](crate::log_reader)).
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

/// How many parts it has. With more of them a fold is shorter, and each group changes more pages.
const PARTS: usize = 16;
/// The most rows in all parts, or those of one group if that has more: whoever appends one more folds
/// the fullest part, and everybody waits for that. So parts that fill at the same pace are folded one
/// after another, each when it has twice as many as the others have on average. With more of them a
/// fold costs less a message and takes longer.
pub(crate) const MOST: usize = 8192;
/// The most rows in one part, likewise: three times as many as all have on average, since parts are
/// fuller before the first of them are folded.
pub(crate) const MOST_IN_PART: usize = 3 * MOST / PARTS;

/// The columns of the rows of archives.
macro_rules! columns {
    () => {
        "archive, seq, at, peer, direction, bytes, body"
    };
}

/// Reads everything in the journal as rows of archives.
macro_rules! rows {
    () => {
        concat!("SELECT ", columns!(), " FROM journal")
    };
}

pub(crate) const COLUMNS: &str = columns!();
pub(crate) const ROWS: &str = rows!();

/// Moves what is in some parts into the archives.
macro_rules! moves {
    ($insert:literal) => {
        concat!(
            $insert,
            " INTO archive_rows (",
            columns!(),
            ") ",
            rows!(),
            " WHERE part BETWEEN $1 AND $2 ORDER BY archive, seq"
        )
    };
}

/// Adds to each archive the bytes of the rows that are moved into it.
const GROW: &str = "UPDATE archives SET bytes = archives.bytes + moved.bytes FROM \
    (SELECT archive, CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes FROM journal \
    WHERE part BETWEEN $1 AND $2 GROUP BY archive) AS moved WHERE archives.id = moved.archive";
const CLEAR_PARTS: &str = "DELETE FROM journal WHERE part BETWEEN $1 AND $2";
pub(crate) const CLEAR: &str = "DELETE FROM journal";

pub(crate) const FOLD: [&str; 3] = [moves!("INSERT"), GROW, CLEAR_PARTS];
/// The same for SQLite, which ends the transaction if a row is refused: nothing could go on with it
/// in any case. To undo the statement alone it would keep a copy of each page that the statement
/// changes, up to 32 KiB for each message that is scattered over large archives.
const FOLD_SQLITE: [&str; 3] = [moves!("INSERT OR ROLLBACK"), GROW, CLEAR_PARTS];

static INSERT: LazyLock<ManyRows> = LazyLock::new(|| {
    ManyRows::new(
        "INSERT INTO journal (part, body, archive, seq, at, peer, direction, bytes) VALUES",
        8,
        "",
    )
});

pub(crate) fn many() -> [&'static ManyRows; 1] {
    [&INSERT]
}

/// Returns what a fold does, in this order. Parameters: the [bounds](Folded::bounds) of what is folded.
pub(crate) fn fold(dialect: Dialect) -> &'static [&'static str; 3] {
    match dialect {
        Dialect::Sqlite => &FOLD_SQLITE,
        Dialect::Postgres => &FOLD,
    }
}

/// Folds everything, where no transaction of the store is.
pub(crate) async fn fold_everything(conn: &mut AnyConnection) -> sqlx::Result<()> {
    let [first, last] = Folded::Everything.bounds();
    for text in fold(Dialect::of(conn)) {
        sqlx::query(*text).bind(first).bind(last).execute(&mut *conn).await?;
    }
    Ok(())
}

/// The number of the part that has the rows of an archive.
fn part_of(archive: i64) -> usize {
    archive.rem_euclid(PARTS as i64) as usize
}

/// What a fold moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Folded {
    /// The part of this number.
    Part(usize),
    /// All there is: it is not known in which parts something is.
    Everything,
}

impl Folded {
    /// The numbers of the first part and of the last.
    pub fn bounds(self) -> [i64; 2] {
        match self {
            Self::Part(part) => [part as i64; 2],
            Self::Everything => [i64::MIN, i64::MAX],
        }
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

    /// The rows that have it, with their numbers.
    pub fn rows(&self) -> impl Iterator<Item = (&'a NewRow, i64)> + Clone + use<'a> {
        std::iter::once(self.first).chain(self.second)
    }
}

/// Writes messages into the journal, with the numbers of the peers of all their rows.
pub(crate) async fn insert(
    conn: &mut AnyConnection,
    entries: &[Entry<'_>],
    peers: &[i64],
) -> Result<()> {
    let rows = entries.iter().flat_map(|entry| entry.rows().map(move |row| (entry, row)));
    let mut rows: Vec<_> = rows.zip(peers).collect();
    // What goes to one part goes to one place.
    rows.sort_by_key(|((_, (row, _)), _)| part_of(row.archive));
    for (text, piece) in INSERT.pieces(Dialect::of(conn), &rows) {
        let mut query = sqlx::query(text);
        for ((Entry { message, body, stanza, .. }, (row, number)), peer) in piece {
            query = query
                .bind(part_of(row.archive) as i64)
                .bind(*body)
                .bind(row.archive)
                .bind(*number)
                .bind(message.at)
                .bind(**peer)
                .bind(row.direction.number())
                .bind(stanza.len() as i64);
        }
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

/// Counts the rows that go into each part, from the archives that they are for.
pub(crate) fn count(archives: impl Iterator<Item = i64>) -> [usize; PARTS] {
    let mut counts = [0; PARTS];
    for archive in archives {
        counts[part_of(archive)] += 1;
    }
    counts
}

/// Returns the parts to be folded before so many rows more come, of those that hold so many.
fn overfull(mut held: [usize; PARTS], coming: &[usize; PARTS]) -> Vec<Folded> {
    let mut overfull = Vec::new();
    let mut fold = |held: &mut [usize; PARTS], part: usize| {
        held[part] = 0;
        overfull.push(Folded::Part(part));
    };
    for part in 0..PARTS {
        if held[part] > 0 && held[part] + coming[part] > MOST_IN_PART {
            fold(&mut held, part);
        }
    }
    let coming: usize = coming.iter().sum();
    let fullest = |held: &[usize; PARTS]| (0..PARTS).max_by_key(|part| held[*part]);
    while let Some(part) = fullest(&held).filter(|part| held[*part] > 0) {
        if held.iter().sum::<usize>() + coming <= MOST {
            break;
        }
        fold(&mut held, part);
    }
    overfull
}

/// What is in a part of the journal, as far as it is known.
#[derive(Clone, Debug, Default)]
struct Part {
    rows: usize,
    archives: HashSet<i64>,
    /// When the oldest message was kept, in even time.
    oldest: Option<i64>,
}

impl Part {
    fn extend(&mut self, more: Part) {
        self.rows += more.rows;
        self.archives.extend(more.archives);
        self.oldest = self.oldest.into_iter().chain(more.oldest).min();
    }
}

/// What is in the journal, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content([Part; PARTS]);

impl Content {
    /// The parts with any rows.
    pub fn parts(&self) -> Vec<Folded> {
        self.parts_where(|part| part.rows > 0)
    }

    /// The part with rows of an archive.
    pub fn parts_with(&self, archive: i64) -> Vec<Folded> {
        self.parts_where(|part| part.archives.contains(&archive))
    }

    /// The parts with a message that was kept before this even time.
    pub fn parts_kept_before(&self, time: i64) -> Vec<Folded> {
        self.parts_where(|part| part.oldest.is_some_and(|oldest| oldest < time))
    }

    fn parts_where(&self, is_so: impl Fn(&Part) -> bool) -> Vec<Folded> {
        numbers(self.0.each_ref().map(is_so))
    }
}

/// The numbers of the parts of which this is so.
fn numbers(is_so: [bool; PARTS]) -> Vec<Folded> {
    (0..PARTS).filter(|part| is_so[*part]).map(Folded::Part).collect()
}

/// What a transaction has done to the journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    /// Which parts it has emptied.
    emptied: [bool; PARTS],
    /// What it has written into them since.
    added: Content,
}

impl Changes {
    /// Notes that it has emptied the journal, or a part of it.
    pub fn note_emptied(&mut self, folded: Folded) {
        match folded {
            Folded::Everything => {
                *self = Self { emptied: [true; PARTS], added: Content::default() };
            }
            Folded::Part(part) => {
                self.emptied[part] = true;
                self.added.0[part] = Part::default();
            }
        }
    }

    fn have_emptied_all(&self) -> bool {
        self.emptied.iter().all(|emptied| *emptied)
    }

    /// Notes what it has written.
    pub fn note_written(&mut self, entries: &[Entry<'_>]) {
        for entry in entries {
            for (row, _) in entry.rows() {
                let part = &mut self.added.0[part_of(row.archive)];
                part.rows += 1;
                part.archives.insert(row.archive);
                let kept_at = entry.message.kept_at;
                part.oldest = Some(part.oldest.map_or(kept_at, |oldest| oldest.min(kept_at)));
            }
        }
    }
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
    /// Returns what is to be folded, seen from what is in it; everything, if that is not known.
    pub fn to_fold(&self, parts: impl FnOnce(&Content) -> Vec<Folded>) -> Vec<Folded> {
        let State { is_known, content } = &*self.0.lock();
        if *is_known { parts(content) } else { vec![Folded::Everything] }
    }

    /// Notes that it is not known whether a commit has happened: anything may be in the journal.
    pub fn doubt(&self) {
        self.0.lock().is_known = false;
    }

    /// Returns what is to be folded by a transaction that has made these changes, before it writes so
    /// many rows more into each part.
    pub fn without_room(&self, changes: &Changes, coming: &[usize; PARTS]) -> Vec<Folded> {
        let rows = self.found(changes, |parts| parts.iter().map(|part| part.rows).sum());
        rows.map_or_else(|| vec![Folded::Everything], |rows| overfull(rows, coming))
    }

    /// Returns what is to be folded by a transaction that has made these changes, so that nothing of
    /// these archives is in the journal.
    pub fn parts_with(&self, changes: &Changes, archives: &[i64]) -> Vec<Folded> {
        let has = |part: &&Part| archives.iter().any(|archive| part.archives.contains(archive));
        let found = self.found(changes, |parts| parts.iter().any(has));
        found.map_or_else(|| vec![Folded::Everything], numbers)
    }

    /// Returns these archives, if a transaction that has made these changes finds nothing of them.
    pub fn without(&self, changes: &Changes, archives: Vec<i64>) -> Option<NotInJournal> {
        self.parts_with(changes, &archives).is_empty().then_some(NotInJournal(archives))
    }

    /// Asks of each part what a transaction finds in it that has made these changes: what was
    /// committed, unless it has emptied it, and what it has written. `None`: that can be anything.
    fn found<T>(&self, changes: &Changes, ask: impl Fn(&[&Part]) -> T) -> Option<[T; PARTS]> {
        let State { is_known, content } = &*self.0.lock();
        let ask = |part: usize| match changes.emptied[part] {
            true => ask(&[&changes.added.0[part]]),
            false => ask(&[&content.0[part], &changes.added.0[part]]),
        };
        (*is_known || changes.have_emptied_all()).then(|| std::array::from_fn(ask))
    }

    /// Notes a commit that has happened, of these changes.
    pub fn changed(&self, changes: Changes) {
        let state = &mut *self.0.lock();
        state.is_known |= changes.have_emptied_all();
        let Changes { emptied, added } = changes;
        for ((part, emptied), added) in state.content.0.iter_mut().zip(emptied).zip(added.0) {
            if emptied {
                *part = Part::default();
            }
            part.extend(added);
        }
    }
}

#[cfg(test)]
mod tests;
