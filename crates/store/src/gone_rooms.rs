//! What is left of rooms that are gone: rows under their numbers, which nobody asks for any more.
//!
//! A room goes in one transaction with a few rows, however much it has. `rooms_gone` says what is
//! left, so a server that was killed goes on with it.

use sqlx::Row;

use crate::{Result, Store, Tx, archives, history, pieces, rooms};

const LEAVE: &str = "INSERT INTO rooms_gone (room, archive, seq) \
    SELECT a.room, a.id, 0 FROM archives a WHERE a.room = $1";
const DELETE_ARCHIVE: &str = "DELETE FROM archives WHERE room = $1";
const DELETE: &str = "DELETE FROM rooms WHERE id = $1";
const NEXT: &str = "SELECT room, archive, seq FROM rooms_gone ORDER BY room LIMIT 1";
const NOTE: &str = "UPDATE rooms_gone SET seq = $2 WHERE room = $1";
const END: &str = "DELETE FROM rooms_gone WHERE room = $1";
/// The first so many affiliations of a room.
const PIECE: &str = "DELETE FROM room_affiliations WHERE room = $1 AND who IN \
    (SELECT a.who FROM room_affiliations a WHERE a.room = $1 ORDER BY a.who LIMIT $2)";

pub(crate) const STATEMENTS: &[&str] = &[LEAVE, DELETE_ARCHIVE, DELETE, NEXT, NOTE, END, PIECE];

impl Store {
    /// Returns whether anything is left of rooms that are gone.
    pub async fn is_gone_room_left(&self) -> Result<bool> {
        Ok(sqlx::query(NEXT).fetch_optional(&mut *self.long_reader().await?).await?.is_some())
    }
}

impl Tx {
    /// Removes a room, and so its name; returns whether it existed. What it has much of is left to
    /// [`Tx::remove_gone_rooms`], and nobody sees it any more.
    pub async fn remove_room(&mut self, room: i64) -> Result<bool> {
        if let Some(archive) = archives::of_room(self.conn()?, room).await? {
            self.fold_if_it_has(archive).await?;
            let (conn, numbering, _) = self.conn_and_known()?;
            numbering.forget(archive);
            sqlx::query(LEAVE).bind(room).execute(&mut *conn).await?;
            sqlx::query(DELETE_ARCHIVE).bind(room).execute(conn).await?;
        }
        sqlx::query(rooms::REMOVE_CARD).bind(room).execute(self.conn()?).await?;
        let done = sqlx::query(DELETE).bind(room).execute(self.conn()?).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes at most so many rows of what is left of rooms that are gone, and the bodies that no
    /// other archive has; returns how many. When that is fewer than `most`, nothing is left.
    ///
    /// Nothing of their archives is in the journal: it was folded when the rooms went.
    pub async fn remove_gone_rooms(&mut self, most: u64) -> Result<u64> {
        let (conn, numbering, _) = self.conn_and_known()?;
        let mut removed = 0;
        while removed < most {
            let Some(row) = sqlx::query(NEXT).fetch_optional(&mut *conn).await? else { break };
            let (room, archive, seq): (i64, i64, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let left = most - removed;
            let (rows, seq) = history::remove_after(conn, numbering, archive, seq, left).await?;
            sqlx::query(NOTE).bind(room).bind(seq).execute(&mut *conn).await?;
            removed += rows;
            if removed < most {
                removed += pieces::change(conn, PIECE, &[room], most - removed).await?;
            }
            if removed < most {
                sqlx::query(END).bind(room).execute(&mut *conn).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
