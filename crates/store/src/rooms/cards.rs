//! What a room shows of itself (a vCard, XEP-0054), and the hashes of the photos in it.

use sqlx::Row;

use crate::{Result, Store, Tx};

const CARD: &str = "SELECT card FROM room_cards WHERE room = $1";
const PUT: &str = "INSERT INTO room_cards (room, photos, card) VALUES ($1, $2, $3) \
    ON CONFLICT (room) DO UPDATE SET photos = excluded.photos, card = excluded.card";
pub(crate) const REMOVE: &str = "DELETE FROM room_cards WHERE room = $1";

pub(super) const STATEMENTS: &[&str] = &[CARD, PUT, REMOVE];

impl Store {
    /// Returns the vCard of a room, as it was written.
    pub async fn room_card(&self, room: i64) -> Result<Option<Vec<u8>>> {
        let mut conn = self.long_reader().await?;
        let row = sqlx::query(CARD).bind(room).fetch_optional(&mut *conn).await?;
        row.map(|row| Ok(row.try_get(0)?)).transpose()
    }
}

impl Tx {
    /// Sets the vCard of a room, with the hashes of its photos as the feature wrote them.
    pub async fn set_room_card(&mut self, room: i64, photos: &str, card: &[u8]) -> Result<()> {
        let query = sqlx::query(PUT).bind(room).bind(photos).bind(card);
        query.execute(self.conn()?).await?;
        Ok(())
    }

    /// Removes the vCard of a room, if it has one.
    pub async fn remove_room_card(&mut self, room: i64) -> Result<()> {
        sqlx::query(REMOVE).bind(room).execute(self.conn()?).await?;
        Ok(())
    }
}
