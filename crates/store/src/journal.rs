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

/// Moves what is in the journal into the archives: all of it, or what the condition says.
macro_rules! moves {
    ($insert:literal, $which:literal) => {
        concat!(
            $insert,
            " INTO archive_rows (",
            columns!(),
            ") ",
            rows!(),
            $which,
            " ORDER BY archive, seq"
        )
    };
}

/// Adds to each archive the bytes of the rows that are moved into it.
macro_rules! grow {
    ($which:literal) => {
        concat!(
            "UPDATE archives SET bytes = archives.bytes + moved.bytes FROM (SELECT archive, \
            CAST(COALESCE(SUM(bytes), 0) AS BIGINT) AS bytes FROM journal",
            $which,
            " GROUP BY archive) AS moved WHERE archives.id = moved.archive"
        )
    };
}

/// The statements of a fold, in their order.
type Statements = [&'static str; 3];

pub(crate) const FOLD: Statements = [moves!("INSERT", ""), grow!(""), CLEAR];
pub(crate) const FOLD_PART: Statements =
    [moves!("INSERT", " WHERE part = $1"), grow!(" WHERE part = $1"), CLEAR_PART];
/// The same for SQLite, which ends the transaction if a row is refused: nothing could go on with it
/// in any case. To undo the statement alone it would keep a copy of each page that the statement
/// changes, up to 32 KiB for each message that is scattered over large archives.
const FOLD_SQLITE: Statements = [moves!("INSERT OR ROLLBACK", ""), grow!(""), CLEAR];
const FOLD_PART_SQLITE: Statements =
    [moves!("INSERT OR ROLLBACK", " WHERE part = $1"), grow!(" WHERE part = $1"), CLEAR_PART];
pub(crate) const CLEAR: &str = "DELETE FROM journal";
const CLEAR_PART: &str = "DELETE FROM journal WHERE part = $1";

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

/// Returns what a fold of everything does, in this order.
pub(crate) fn fold(dialect: Dialect) -> &'static Statements {
    match dialect {
        Dialect::Sqlite => &FOLD_SQLITE,
        Dialect::Postgres => &FOLD,
    }
}

/// Returns what the fold of one part does, in this order; the part is their parameter.
pub(crate) fn fold_part(dialect: Dialect) -> &'static Statements {
    match dialect {
        Dialect::Sqlite => &FOLD_PART_SQLITE,
        Dialect::Postgres => &FOLD_PART,
    }
}

/// The number of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PartId(usize);

impl PartId {
    /// The part that has the rows of an archive.
    pub fn of(archive: i64) -> Self {
        Self(archive.rem_euclid(PARTS as i64) as usize)
    }

    /// What stands for it in a row.
    pub fn number(self) -> i64 {
        self.0 as i64
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
    rows.sort_by_key(|((_, (row, _)), _)| PartId::of(row.archive));
    for (text, piece) in INSERT.pieces(Dialect::of(conn), &rows) {
        let mut query = sqlx::query(text);
        for ((Entry { message, body, stanza, .. }, (row, number)), peer) in piece {
            query = query
                .bind(PartId::of(row.archive).number())
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
        counts[PartId::of(archive).0] += 1;
    }
    counts
}

/// Returns the parts to be folded before so many rows more come, of those that hold so many.
pub(crate) fn overfull(mut held: [usize; PARTS], coming: &[usize; PARTS]) -> Vec<PartId> {
    let mut overfull = Vec::new();
    let mut fold = |held: &mut [usize; PARTS], part: usize| {
        held[part] = 0;
        overfull.push(PartId(part));
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
    pub fn parts(&self) -> Vec<PartId> {
        self.parts_where(|part| part.rows > 0)
    }

    /// The part with rows of an archive.
    pub fn parts_with(&self, archive: i64) -> Vec<PartId> {
        self.parts_where(|part| part.archives.contains(&archive))
    }

    /// The parts with a message that was kept before this even time.
    pub fn parts_kept_before(&self, time: i64) -> Vec<PartId> {
        self.parts_where(|part| part.oldest.is_some_and(|oldest| oldest < time))
    }

    fn parts_where(&self, is_so: impl Fn(&Part) -> bool) -> Vec<PartId> {
        let numbered = (0..).map(PartId).zip(&self.0);
        numbered.filter(|(_, part)| is_so(part)).map(|(id, _)| id).collect()
    }
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
    /// Notes that it has emptied the journal.
    pub fn note_emptied(&mut self) {
        *self = Self { emptied: [true; PARTS], added: Content::default() };
    }

    fn have_emptied_all(&self) -> bool {
        self.emptied.iter().all(|emptied| *emptied)
    }

    /// Notes that it has emptied a part.
    pub fn note_part_emptied(&mut self, part: PartId) {
        self.emptied[part.0] = true;
        self.added.0[part.0] = Part::default();
    }

    /// Notes what it has written.
    pub fn note_written(&mut self, entries: &[Entry<'_>]) {
        for entry in entries {
            for (row, _) in entry.rows() {
                let part = &mut self.added.0[PartId::of(row.archive).0];
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
    /// Returns what is in it, or `None` if that is not known.
    pub fn look<T>(&self, at: impl FnOnce(&Content) -> T) -> Option<T> {
        let state = self.0.lock();
        state.is_known.then(|| at(&state.content))
    }

    /// Notes that it is not known whether a commit has happened: anything may be in the journal.
    pub fn doubt(&self) {
        self.0.lock().is_known = false;
    }

    /// Returns how many rows a transaction finds in each part that has made these changes, or `None`
    /// if that can be any number.
    pub fn rows(&self, changes: &Changes) -> Option<[usize; PARTS]> {
        self.found(changes, |parts| parts.iter().map(|part| part.rows).sum())
    }

    /// Returns the parts in which a transaction finds rows of these archives that has made these
    /// changes, or `None` if that can be any.
    pub fn parts_with(&self, changes: &Changes, archives: &[i64]) -> Option<Vec<PartId>> {
        let has = |part: &&Part| archives.iter().any(|archive| part.archives.contains(archive));
        let found = self.found(changes, |parts| parts.iter().any(has))?;
        Some((0..PARTS).filter(|part| found[*part]).map(PartId).collect())
    }

    /// Returns these archives, if a transaction that has made these changes finds nothing of them.
    pub fn without(&self, changes: &Changes, archives: Vec<i64>) -> Option<NotInJournal> {
        let parts = self.parts_with(changes, &archives)?;
        parts.is_empty().then_some(NotInJournal(archives))
    }

    /// Asks of each part what a transaction finds in it that has made these changes: what was
    /// committed, unless it has emptied it, and what it has written.
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
