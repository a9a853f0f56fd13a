//! Rooms (XEP-0045): what each is, and who is what in it.
//!
//! What a configuration or an affiliation means, the feature knows; here they are bytes and numbers.
//! A room has an archive of its own. A room that goes leaves its rows under numbers that nobody asks
//! for any more, and they go in pieces. See `docs/design/rooms.md`.

mod cards;
mod lists;

pub use lists::RoomAffiliation;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::{Result, Store, Tx, archives, sequences};

pub(crate) use cards::REMOVE as REMOVE_CARD;
pub(crate) use lists::adopt;

const FIND: &str = "SELECT r.id, a.id, r.persistent, r.config, r.secret, r.subject, r.subject_by, \
    r.subject_at, c.photos FROM rooms r JOIN archives a ON a.room = r.id \
    LEFT JOIN room_cards c ON c.room = r.id WHERE r.domain = $1 AND r.name = $2";
const INSERT: &str = "INSERT INTO rooms \
    (id, domain, name, persistent, listed, title, config, secret, maker) \
    VALUES ($1, $2, $3, 0, 0, '', $4, $5, $6) ON CONFLICT (domain, name) DO NOTHING";
const COUNT_MADE: &str = "SELECT COUNT(*) FROM rooms WHERE maker = $1";
const CONFIGURE: &str =
    "UPDATE rooms SET persistent = $2, listed = $3, title = $4, config = $5 WHERE id = $1";
const SUBJECT: &str =
    "UPDATE rooms SET subject = $2, subject_by = $3, subject_at = $4 WHERE id = $1";
const LISTED: &str = "SELECT name, title FROM rooms \
    WHERE domain = $1 AND listed = 1 AND name > $2 ORDER BY name LIMIT $3";
const LISTED_BEFORE: &str = "SELECT name, title FROM rooms \
    WHERE domain = $1 AND listed = 1 AND name < $2 ORDER BY name DESC LIMIT $3";
const LISTED_LAST: &str = "SELECT name, title FROM rooms \
    WHERE domain = $1 AND listed = 1 ORDER BY name DESC LIMIT $2";
const COUNT_LISTED: &str = "SELECT COUNT(*) FROM \
    (SELECT l.id FROM rooms l WHERE l.domain = $1 AND l.listed = 1 LIMIT $2) AS few";
const ALL: &str = "SELECT r.name, r.title, r.persistent, r.listed, a.bytes, \
    (SELECT MIN(l.who) FROM room_affiliations l WHERE l.room = r.id AND l.affiliation = $3) \
    FROM rooms r JOIN archives a ON a.room = r.id \
    WHERE r.domain = $1 AND r.name > $2 ORDER BY r.name LIMIT $4";
const PASSING: &str = "SELECT id FROM rooms WHERE persistent = 0 ORDER BY id LIMIT $1";

const STATEMENTS_OF_ROOMS: &[&str] = &[
    FIND,
    INSERT,
    COUNT_MADE,
    CONFIGURE,
    SUBJECT,
    LISTED,
    LISTED_BEFORE,
    LISTED_LAST,
    COUNT_LISTED,
    ALL,
    PASSING,
];
pub(crate) const STATEMENTS: [&[&str]; 3] =
    [STATEMENTS_OF_ROOMS, lists::STATEMENTS, cards::STATEMENTS];

/// Counts rows that do not fit together, of a backup: archives of nothing, or of two; rooms without
/// one; affiliations of no room, if it has not gone; vCards of no room; and rooms that have gone and are there.
pub(crate) const MISFITS: &str = "SELECT \
    (SELECT COUNT(*) FROM archives t WHERE (t.account IS NULL) = (t.room IS NULL)) \
    + (SELECT COUNT(*) FROM archives t WHERE t.room IS NOT NULL \
        AND NOT EXISTS (SELECT 1 FROM rooms r WHERE r.id = t.room)) \
    + (SELECT COUNT(*) FROM rooms r WHERE NOT EXISTS \
        (SELECT 1 FROM archives t WHERE t.room = r.id)) \
    + (SELECT COUNT(*) FROM room_affiliations l WHERE l.room NOT IN \
        (SELECT id FROM rooms UNION SELECT room FROM rooms_gone)) \
    + (SELECT COUNT(*) FROM room_cards c WHERE c.room NOT IN (SELECT id FROM rooms)) \
    + (SELECT COUNT(*) FROM rooms_gone g WHERE g.room IN (SELECT id FROM rooms) \
        OR g.archive IN (SELECT id FROM archives))";

/// A room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRow {
    /// Its number.
    pub id: i64,
    /// The number of its archive.
    pub archive: i64,
    /// Whether it stays when nobody is in it.
    pub persistent: bool,
    /// Its configuration, as the feature wrote it.
    pub config: Vec<u8>,
    /// By what its occupants are told apart.
    pub secret: Vec<u8>,
    /// What was last said to be its subject.
    pub subject: Option<RoomSubject>,
    /// The hashes of the photos in its vCard, as the feature wrote them; `None`: it has no vCard.
    pub photos: Option<String>,
}

/// A room, as an operator sees it in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSummary {
    /// The name in its address.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// Whether it stays when nobody is in it.
    pub persistent: bool,
    /// Whether strangers find it.
    pub listed: bool,
    /// The bytes in its archive.
    pub bytes: i64,
    /// The key of somebody who is in it what was asked for; the first of several.
    pub owner: Option<String>,
}

/// The subject of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSubject {
    /// The stanza that set it, as it is kept in an archive.
    pub stanza: Vec<u8>,
    /// The nickname of who did.
    pub by: String,
    /// When, in microseconds since 1970, as people are told.
    pub at: i64,
}

/// What of a room's configuration the store has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomConfig<'a> {
    /// Whether it stays when nobody is in it.
    pub persistent: bool,
    /// Whether strangers find it.
    pub listed: bool,
    /// Its name for people.
    pub title: &'a str,
    /// All of it, as the feature reads it.
    pub bytes: &'a [u8],
}

/// Which of the rooms that strangers find are asked for, in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomPage {
    /// Those after this name; "" for the first.
    After(String),
    /// The last before this name.
    Before(String),
    /// The last of all.
    Last,
}

impl Store {
    /// Returns the room of this name, if there is one.
    pub async fn room(&self, domain: i64, name: &str) -> Result<Option<RoomRow>> {
        find(&mut *self.own_reader().await?, domain, name).await
    }

    /// Returns the rooms that strangers find, at most so many: the name in the address of each, and its
    /// name for people, in their order.
    pub async fn listed_rooms(
        &self,
        domain: i64,
        page: &RoomPage,
        most: u32,
    ) -> Result<Vec<(String, String)>> {
        let mut conn = self.long_reader().await?;
        let query = match page {
            RoomPage::After(name) => sqlx::query(LISTED).bind(domain).bind(name.as_str()),
            RoomPage::Before(name) => sqlx::query(LISTED_BEFORE).bind(domain).bind(name.as_str()),
            RoomPage::Last => sqlx::query(LISTED_LAST).bind(domain),
        };
        let rows = query.bind(i64::from(most)).fetch_all(&mut *conn).await?;
        let rooms = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let mut rooms: Vec<_> = rooms.collect::<Result<_>>()?;
        if !matches!(page, RoomPage::After(_)) {
            rooms.reverse();
        }
        Ok(rooms)
    }

    /// Returns at most so many of all rooms after this name, in their order, each with one who is this
    /// in it.
    pub async fn all_rooms(
        &self,
        domain: i64,
        after: &str,
        owner: i64,
        most: u32,
    ) -> Result<Vec<RoomSummary>> {
        let mut conn = self.long_reader().await?;
        let query = sqlx::query(ALL).bind(domain).bind(after).bind(owner).bind(i64::from(most));
        let rows = query.fetch_all(&mut *conn).await?;
        let summary = |row: &AnyRow| {
            Ok(RoomSummary {
                name: row.try_get(0)?,
                title: row.try_get(1)?,
                persistent: row.try_get::<i64, _>(2)? != 0,
                listed: row.try_get::<i64, _>(3)? != 0,
                bytes: row.try_get(4)?,
                owner: row.try_get(5)?,
            })
        };
        rows.iter().map(summary).collect()
    }

    /// Counts the rooms that strangers find, but no more than so many.
    pub async fn count_listed_rooms(&self, domain: i64, most: u32) -> Result<u32> {
        let mut conn = self.long_reader().await?;
        let query = sqlx::query(COUNT_LISTED).bind(domain).bind(i64::from(most));
        let count: i64 = query.fetch_one(&mut *conn).await?.try_get(0)?;
        Ok(count.try_into().unwrap_or(u32::MAX))
    }
}

impl Tx {
    /// Returns the room of this name, if there is one.
    pub async fn room(&mut self, domain: i64, name: &str) -> Result<Option<RoomRow>> {
        find(self.conn()?, domain, name).await
    }

    /// Counts the rooms that an account has made and that are still there.
    pub async fn count_rooms_made(&mut self, maker: i64) -> Result<u64> {
        let query = sqlx::query(COUNT_MADE).bind(maker);
        let count: i64 = query.fetch_one(self.conn()?).await?.try_get(0)?;
        Ok(count.max(0).unsigned_abs())
    }

    /// Makes a room that goes when nobody is in it, and its archive; `maker` is the account that makes
    /// it. `None`: there is one of this name.
    pub async fn create_room(
        &mut self,
        domain: i64,
        name: &str,
        maker: Option<i64>,
        config: &[u8],
        secret: &[u8],
    ) -> Result<Option<RoomRow>> {
        let conn = self.conn()?;
        if find(conn, domain, name).await?.is_some() {
            return Ok(None);
        }
        let id = sequences::next(conn, sequences::ROOM).await?;
        let query = sqlx::query(INSERT).bind(id).bind(domain).bind(name).bind(config).bind(secret);
        query.bind(maker).execute(&mut *conn).await?;
        archives::make(conn, archives::Owner::Room(id)).await?;
        find(conn, domain, name).await
    }

    /// Changes the configuration of a room.
    pub async fn configure_room(&mut self, room: i64, config: RoomConfig<'_>) -> Result<()> {
        let query = sqlx::query(CONFIGURE)
            .bind(room)
            .bind(i64::from(config.persistent))
            .bind(i64::from(config.listed))
            .bind(config.title)
            .bind(config.bytes);
        query.execute(self.conn()?).await?;
        Ok(())
    }

    /// Sets the subject of a room.
    pub async fn set_room_subject(&mut self, room: i64, subject: &RoomSubject) -> Result<()> {
        let query = sqlx::query(SUBJECT)
            .bind(room)
            .bind(&subject.stanza[..])
            .bind(subject.by.as_str())
            .bind(subject.at);
        query.execute(self.conn()?).await?;
        Ok(())
    }

    /// Removes at most so many of the rooms that go when nobody is in them, which is so at a start;
    /// returns how many.
    pub async fn remove_passing_rooms(&mut self, most: u64) -> Result<u64> {
        let query = sqlx::query(PASSING).bind(i64::try_from(most).unwrap_or(i64::MAX));
        let rows = query.fetch_all(self.conn()?).await?;
        for row in &rows {
            self.remove_room(row.try_get(0)?).await?;
        }
        Ok(rows.len() as u64)
    }
}

async fn find(conn: &mut AnyConnection, domain: i64, name: &str) -> Result<Option<RoomRow>> {
    let row = sqlx::query(FIND).bind(domain).bind(name).fetch_optional(conn).await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &AnyRow) -> Result<RoomRow> {
    let subject = match row.try_get::<Option<Vec<u8>>, _>(5)? {
        Some(stanza) => Some(RoomSubject { stanza, by: row.try_get(6)?, at: row.try_get(7)? }),
        None => None,
    };
    Ok(RoomRow {
        id: row.try_get(0)?,
        archive: row.try_get(1)?,
        persistent: row.try_get::<i64, _>(2)? != 0,
        config: row.try_get(3)?,
        secret: row.try_get(4)?,
        subject,
        photos: row.try_get(8)?,
    })
}

#[cfg(test)]
mod tests;
