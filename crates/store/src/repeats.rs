//! Repeats: by what a message is recognised that was sent again, because it was not acknowledged.
//!
//! A message has its sender's own id (XEP-0359, `origin-id`), which counts for one sender and one
//! recipient's archive. What is remembered is a keyed hash of the three. It is written in the
//! transaction that stores the message, one row for a group, and outlives the message: a repeat is
//! recognised for [`REPEAT_WINDOW`] and up to a quarter longer, whether or not the message is still
//! there.
//!
//! The rows are in the order of their time, so those that are old are forgotten without a search.
//! They are never searched: all hashes are in memory as well, read when the first message comes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use aws_lc_rs::hmac;
use sqlx::{AnyConnection, Row};

use crate::{NewMessage, Result, Tx, pieces};

/// How long a repeat is recognised: 24 hours, in microseconds.
pub const REPEAT_WINDOW: i64 = 24 * 60 * 60 * 1_000_000;

/// What is remembered together in memory, and forgotten together: the hashes of six hours.
const SPAN: i64 = REPEAT_WINDOW / 4;
/// How many hashes are in one such part at most, and what the last group brings. A server that keeps
/// more messages has more parts.
const PART: usize = 1 << 20;
/// How many hashes there are at most: 6 million take 200 MB. Where more messages are kept within a
/// day, the oldest part is forgotten early, and a repeat of one of it is delivered as a new message.
const MOST: usize = 6 << 20;

/// 128 bits: nobody finds two ids with one hash, with or without the key.
const LENGTH: usize = 16;

/// The setting that holds the secret of this installation, from which archive ids are made as well.
const SECRET: &str = "secret.archive";

const INSERT: &str = "INSERT INTO repeats (id, at, hashes) VALUES ($1, $2, $3)";
const PAGE: &str = "SELECT id, at, hashes FROM repeats WHERE id > $1 ORDER BY id LIMIT 1000";
/// Looks at the first rows alone, and removes those of them that are old.
const PURGE: &str = "DELETE FROM repeats WHERE at < $1 AND id IN \
    (SELECT r.id FROM repeats r ORDER BY r.id LIMIT $2)";
const STEP_ENDS: &str = "SELECT COUNT(*), CAST(COALESCE(MAX(step.id), 0) AS BIGINT) FROM \
    (SELECT r.id FROM repeats r WHERE r.id > $1 ORDER BY r.id LIMIT $2) AS step";
const RENEW: &str =
    "UPDATE repeats SET at = $4 WHERE id > $1 AND id <= $2 AND at >= $3 AND at < $4";
const SECRET_OF: &str = "SELECT value FROM settings WHERE name = $1";

pub(crate) const STATEMENTS: &[&str] = &[INSERT, PAGE, PURGE, STEP_ENDS, RENEW, SECRET_OF];

/// The key of the hashes. It belongs to the installation, so that nobody outside can choose ids that
/// have one hash.
pub struct RepeatKey(hmac::Key);

impl RepeatKey {
    /// Makes the key from the secret of this installation.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let own = hmac::sign(&secret, b"whoelse repeats");
        Self(hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()))
    }

    /// Returns by what a message is recognised that this account has sent to the owner of this
    /// archive under this id.
    #[must_use]
    pub fn of(&self, sender: i64, archive: i64, id: &str) -> Repeat {
        // The numbers have a fixed length, so no two messages are hashed as the same bytes.
        let mut hmac = hmac::Context::with_key(&self.0);
        hmac.update(&sender.to_le_bytes());
        hmac.update(&archive.to_le_bytes());
        hmac.update(id.as_bytes());
        let tag = hmac.sign();
        let mut hash = [0; LENGTH];
        hash.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Repeat(u128::from_le_bytes(hash))
    }
}

impl fmt::Debug for RepeatKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepeatKey").finish_non_exhaustive()
    }
}

/// By what a repeat of a message is recognised; see [`RepeatKey::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Repeat(u128);

/// The hashes are as random as a hasher could make them.
#[derive(Clone, Copy, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, number: u128) {
        self.0 = number as u64;
    }
}

type Hashes = HashSet<Repeat, BuildHasherDefault<AsItIs>>;

/// The hashes of a part of time, or of some of it.
struct Part {
    span: i64,
    hashes: Hashes,
}

/// All hashes that are remembered, as they are committed.
pub(crate) struct Remembered {
    /// The oldest first.
    parts: VecDeque<Part>,
    /// The number of the last row.
    last: i64,
    /// [`PART`] and [`MOST`].
    bounds: (usize, usize),
}

impl Default for Remembered {
    fn default() -> Self {
        Self { parts: VecDeque::new(), last: 0, bounds: (PART, MOST) }
    }
}

/// The hashes of one row.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    at: i64,
    hashes: Vec<Repeat>,
}

impl Remembered {
    /// Reads all rows.
    async fn read(conn: &mut AnyConnection) -> Result<Self> {
        let mut read = Self::default();
        // It is told once, however many parts they were: an earlier run has told of most.
        let mut forgotten = 0;
        loop {
            let page = sqlx::query(PAGE).bind(read.last).fetch_all(&mut *conn).await?;
            if page.is_empty() {
                if forgotten > 0 {
                    tracing::warn!(hashes = forgotten, "repeats_forgotten_early");
                }
                return Ok(read);
            }
            for row in &page {
                let (last, at, hashes): (i64, i64, Vec<u8>) =
                    (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                let hashes = hashes.chunks_exact(LENGTH).filter_map(|hash| hash.try_into().ok());
                let hashes = hashes.map(|hash| Repeat(u128::from_le_bytes(hash))).collect();
                forgotten += read.add(last, Noted { at, hashes });
            }
        }
    }

    /// Whether a message with this hash, that came now, is a repeat.
    fn has(&self, repeat: &Repeat, now: i64) -> bool {
        let oldest = now.saturating_sub(REPEAT_WINDOW).div_euclid(SPAN);
        self.parts.iter().any(|part| part.span >= oldest && part.hashes.contains(repeat))
    }

    /// Adds a row, and forgets what is too old. Returns how many hashes are forgotten that are not:
    /// there was no room for them.
    fn add(&mut self, last: i64, noted: Noted) -> usize {
        self.last = last;
        let span = noted.at.div_euclid(SPAN);
        let oldest = noted.at.saturating_sub(REPEAT_WINDOW).div_euclid(SPAN);
        while self.parts.front().is_some_and(|part| part.span < oldest) {
            self.parts.pop_front();
        }
        let (full, most) = self.bounds;
        if self.parts.back().is_none_or(|part| part.span < span || part.hashes.len() >= full) {
            self.parts.push_back(Part { span, hashes: Hashes::default() });
        }
        if let Some(part) = self.parts.back_mut() {
            part.hashes.extend(noted.hashes);
        }
        let mut forgotten = 0;
        while self.parts.len() > 1 && self.hashes() > most {
            forgotten += self.parts.pop_front().map_or(0, |part| part.hashes.len());
        }
        forgotten
    }

    /// How many hashes there are.
    fn hashes(&self) -> usize {
        self.parts.iter().map(|part| part.hashes.len()).sum()
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").field("last", &self.last).finish_non_exhaustive()
    }
}

/// The repeats, for the writer: what is committed, and what its transaction has written since.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    /// What is committed; `None` if that is to be read first.
    committed: Option<Remembered>,
    /// Whether the transaction has read them: with what it has written itself.
    is_read_now: bool,
    written: Vec<Noted>,
}

impl Repeats {
    /// Returns which messages of a list, by their place in it, are repeats of stored ones or of
    /// earlier ones of the list.
    pub async fn find(
        &mut self,
        conn: &mut AnyConnection,
        messages: &[NewMessage],
    ) -> Result<HashSet<usize>> {
        let committed = match &mut self.committed {
            Some(committed) => committed,
            none => {
                self.is_read_now = true;
                none.insert(Remembered::read(conn).await?)
            }
        };
        let written: HashSet<&Repeat> = self.written.iter().flat_map(|it| &it.hashes).collect();
        let (mut in_list, mut repeats) = (HashSet::new(), HashSet::new());
        for (place, message) in messages.iter().enumerate() {
            let Some(repeat) = &message.repeat else { continue };
            let is_known = committed.has(repeat, message.kept_at) || written.contains(repeat);
            if is_known || !in_list.insert(repeat) {
                repeats.insert(place);
            }
        }
        Ok(repeats)
    }

    /// Writes those of messages that are stored.
    pub async fn note<'a>(
        &mut self,
        conn: &mut AnyConnection,
        messages: impl Iterator<Item = &'a NewMessage>,
    ) -> Result<()> {
        let mut noted = Noted::default();
        for message in messages {
            noted.at = message.kept_at;
            noted.hashes.extend(message.repeat);
        }
        if noted.hashes.is_empty() {
            return Ok(());
        }
        let last = self.committed.as_ref().map_or(0, |committed| committed.last);
        let id = last + self.written.len() as i64 + 1;
        insert(conn, id, &noted).await?;
        self.written.push(noted);
        Ok(())
    }

    /// Notes that the transaction is committed.
    pub fn committed(&mut self) {
        self.is_read_now = false;
        for noted in std::mem::take(&mut self.written) {
            if let Some(committed) = &mut self.committed {
                let forgotten = committed.add(committed.last + 1, noted);
                if forgotten > 0 {
                    tracing::warn!(hashes = forgotten, "repeats_forgotten_early");
                }
            }
        }
    }

    /// Returns how many rows the transaction has written.
    pub fn written(&self) -> usize {
        self.written.len()
    }

    /// Notes that the transaction is not committed, or that those of its rows are undone that came
    /// after so many.
    pub fn undone_after(&mut self, written: usize) {
        self.written.truncate(written);
        if std::mem::take(&mut self.is_read_now) {
            self.committed = None;
        }
    }

    /// Notes that it is not known whether the transaction is committed. What was known before it
    /// stays known if it has written nothing of these.
    pub fn doubt(&mut self) {
        if self.is_read_now || !self.written.is_empty() {
            self.forget();
        }
    }

    /// Notes that the rows are others than was known.
    pub fn forget(&mut self) {
        *self = Self::default();
    }
}

async fn insert(conn: &mut AnyConnection, id: i64, noted: &Noted) -> Result<()> {
    let hashes: Vec<u8> = noted.hashes.iter().flat_map(|hash| hash.0.to_le_bytes()).collect();
    sqlx::query(INSERT).bind(id).bind(noted.at).bind(hashes).execute(conn).await?;
    Ok(())
}

impl Tx {
    /// Forgets repeats from before this time, in at most so many rows; returns in how many.
    pub async fn purge_repeats(&mut self, before_at: i64, most: u64) -> Result<u64> {
        // What is in memory is forgotten by its own age.
        pieces::change(self.conn()?, PURGE, &[before_at], most).await
    }
}

/// Makes repeats that were noted at `since` or later as young as if they were noted at `now`. Looks
/// at so many rows after this one at most; returns how many there are, and the last of them.
pub(crate) async fn renew(
    conn: &mut AnyConnection,
    after: i64,
    since: i64,
    now: i64,
    limit: i64,
) -> Result<(i64, i64)> {
    let (count, last) = pieces::look(conn, STEP_ENDS, &[after, limit]).await?;
    let renewal = sqlx::query(RENEW).bind(after).bind(last).bind(since).bind(now);
    renewal.execute(conn).await?;
    Ok((count, last.max(after)))
}

/// A page of the origin-ids that a database before version 3 remembers.
const OF_OLD: &str = "SELECT o.sender, o.recipient, o.origin, o.at FROM origins o \
    WHERE (o.sender, o.recipient, o.origin) > ($1, $2, $3) \
    ORDER BY o.sender, o.recipient, o.origin LIMIT 1000";
/// A page of the accounts, with the keys by which `origins` names recipients. There is no index of
/// these keys, so the rows are matched in memory.
const RECIPIENTS: &str = "SELECT a.id, a.localpart || '@#' || CAST(a.domain AS TEXT) \
    FROM accounts a WHERE a.id > $1 ORDER BY a.id LIMIT 1000";

/// Repeats on their way from an older schema to the new one: 32 bytes for each message of a day.
pub(crate) struct Carried(Vec<(i64, Repeat)>);

impl Carried {
    /// Hashes the origin-ids of a database before version 3. An installation without a secret has
    /// never stored a message.
    pub async fn from(conn: &mut AnyConnection) -> sqlx::Result<Self> {
        let mut rows = Vec::new();
        let secret = sqlx::query(SECRET_OF).bind(SECRET).fetch_optional(&mut *conn).await?;
        let Some(secret) = secret else { return Ok(Self(rows)) };
        let key = RepeatKey::new(&secret.try_get::<Vec<u8>, _>(0)?);
        let archives = archives_of_old(conn).await?;
        let mut last = (i64::MIN, String::new(), String::new());
        loop {
            let page = sqlx::query(OF_OLD).bind(last.0).bind(last.1).bind(last.2);
            let page = page.fetch_all(&mut *conn).await?;
            let Some(end) = page.last() else { return Ok(Self(rows)) };
            last = (end.try_get(0)?, end.try_get(1)?, end.try_get(2)?);
            for row in &page {
                let (sender, recipient): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
                let Some(archive) = archives.get(&recipient) else { continue };
                let origin: String = row.try_get(2)?;
                rows.push((row.try_get(3)?, key.of(sender, *archive, &origin)));
            }
        }
    }

    /// Notes them in a database of version 3.
    pub async fn note(mut self, conn: &mut AnyConnection) -> Result<()> {
        self.0.sort_unstable_by_key(|(at, _)| *at);
        for (id, row) in (1..).zip(self.0.chunks(256)) {
            let at = row.last().map_or(0, |(at, _)| *at);
            let noted = Noted { at, hashes: row.iter().map(|(_, repeat)| *repeat).collect() };
            insert(conn, id, &noted).await?;
        }
        Ok(())
    }
}

/// Reads which archive each recipient has in a database before version 3, where an account and its
/// archive have one number.
async fn archives_of_old(conn: &mut AnyConnection) -> sqlx::Result<HashMap<String, i64>> {
    let mut archives = HashMap::new();
    let mut last = i64::MIN;
    loop {
        let page = sqlx::query(RECIPIENTS).bind(last).fetch_all(&mut *conn).await?;
        let Some(end) = page.last() else { return Ok(archives) };
        last = end.try_get(0)?;
        for row in &page {
            archives.insert(row.try_get(1)?, row.try_get(0)?);
        }
    }
}

#[cfg(test)]
mod tests;
