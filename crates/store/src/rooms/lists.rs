//! Who is what in a room, by address key.

use std::ops::RangeInclusive;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::address::Adopted;
use crate::{Result, Store, Tx, pieces};

const OF_ROOM: &str = "SELECT who, affiliation, nick, since FROM room_affiliations \
    WHERE room = $1 ORDER BY who";
const AFFILIATE: &str = "INSERT INTO room_affiliations (room, who, affiliation, nick, since) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (room, who) DO UPDATE SET \
    affiliation = excluded.affiliation, nick = excluded.nick, since = excluded.since";
const DISMISS: &str = "DELETE FROM room_affiliations WHERE room = $1 AND who = $2";
/// Those of an address: the room of each.
const FORGET: &str = "DELETE FROM room_affiliations WHERE (room, who) IN \
    (SELECT a.room, a.who FROM room_affiliations a WHERE a.who = $1 LIMIT $2) RETURNING room";
/// What an address is in rooms, of these numbers, becomes so much higher.
const VOID: &str = "UPDATE room_affiliations SET affiliation = affiliation + $4 \
    WHERE (room, who) IN (SELECT a.room, a.who FROM room_affiliations a WHERE a.who = $1 \
    AND a.affiliation >= $2 AND a.affiliation <= $3 LIMIT $5)";
const HAS: &str = "SELECT 1 FROM room_affiliations WHERE room = $1 AND affiliation = $2 LIMIT 1";
const ELDEST: &str = "SELECT who, affiliation, nick, since FROM room_affiliations \
    WHERE room = $1 AND affiliation = $2 ORDER BY since, who LIMIT 1";

const NAMING: &str = "SELECT room, who FROM room_affiliations WHERE who LIKE '%' || $1 || '%'";
/// A name that is there already stays as it is there.
const MOVE: &str = "UPDATE room_affiliations SET who = $3 WHERE room = $1 AND who = $2 AND \
    NOT EXISTS (SELECT 1 FROM room_affiliations a WHERE a.room = $1 AND a.who = $3)";

pub(super) const STATEMENTS: &[&str] =
    &[OF_ROOM, AFFILIATE, DISMISS, FORGET, VOID, HAS, ELDEST, NAMING, MOVE];

/// What somebody is in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomAffiliation {
    /// Who, as a key ([`to_key`](crate::to_key)): a bare address, or a domain.
    pub who: String,
    /// What, as the feature wrote it.
    pub affiliation: i64,
    /// The nickname that is kept for them.
    pub nick: Option<String>,
    /// Since when, in microseconds since 1970, as people are told.
    pub since: i64,
}

impl Store {
    /// Returns who is what in a room, sorted by key.
    pub async fn room_affiliations(&self, room: i64) -> Result<Vec<RoomAffiliation>> {
        let mut conn = self.own_reader().await?;
        let rows = sqlx::query(OF_ROOM).bind(room).fetch_all(&mut *conn).await?;
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// Sets what somebody is in a room.
    pub async fn set_room_affiliation(&mut self, room: i64, is: &RoomAffiliation) -> Result<()> {
        let query = sqlx::query(AFFILIATE)
            .bind(room)
            .bind(is.who.as_str())
            .bind(is.affiliation)
            .bind(is.nick.as_deref())
            .bind(is.since);
        query.execute(self.conn()?).await?;
        Ok(())
    }

    /// Takes from somebody what they are in a room.
    pub async fn remove_room_affiliation(&mut self, room: i64, who: &str) -> Result<()> {
        sqlx::query(DISMISS).bind(room).bind(who).execute(self.conn()?).await?;
        Ok(())
    }

    /// Takes an address out of at most so many rooms; returns which. When those are fewer than `most`,
    /// it is in no room any more.
    pub async fn forget_room_name(&mut self, who: &str, most: u64) -> Result<Vec<i64>> {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let query = sqlx::query(FORGET).bind(who).bind(most);
        let rows = query.fetch_all(self.conn()?).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Adds so much to what an address is in at most so many rooms, where that is one of `rights`;
    /// returns in how many. When those are fewer than `most`, it is none of these in any.
    pub async fn void_room_affiliations(
        &mut self,
        who: &str,
        (rights, more): (RangeInclusive<i64>, i64),
        most: u64,
    ) -> Result<u64> {
        let which = [*rights.start(), *rights.end(), more];
        pieces::change_about(self.conn()?, VOID, who, &which, most).await
    }

    /// Whether anybody is this in a room.
    pub async fn has_room_affiliation(&mut self, room: i64, affiliation: i64) -> Result<bool> {
        let query = sqlx::query(HAS).bind(room).bind(affiliation);
        Ok(query.fetch_optional(self.conn()?).await?.is_some())
    }

    /// Returns who has been this for the longest time in a room.
    pub async fn eldest_in_room(
        &mut self,
        room: i64,
        affiliation: i64,
    ) -> Result<Option<RoomAffiliation>> {
        let query = sqlx::query(ELDEST).bind(room).bind(affiliation);
        query.fetch_optional(self.conn()?).await?.as_ref().map(read).transpose()
    }
}

/// Rewrites what names an adopted domain by its text. A list that has the new key already keeps that, and loses
/// the row of the other.
pub(crate) async fn adopt(conn: &mut AnyConnection, adopted: &Adopted<'_>) -> Result<()> {
    for row in sqlx::query(NAMING).bind(&adopted.domain.name).fetch_all(&mut *conn).await? {
        let (room, who): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
        if let Some(key) = adopted.key(&who) {
            sqlx::query(MOVE).bind(room).bind(&who).bind(&key).execute(&mut *conn).await?;
            sqlx::query(DISMISS).bind(room).bind(&who).execute(&mut *conn).await?;
        }
    }
    Ok(())
}

fn read(row: &AnyRow) -> Result<RoomAffiliation> {
    Ok(RoomAffiliation {
        who: row.try_get(0)?,
        affiliation: row.try_get(1)?,
        nick: row.try_get(2)?,
        since: row.try_get(3)?,
    })
}
