//! What takes the place of an earlier message: the body is written anew, in the transaction that
//! stores the message which says so.
//!
//! Who looks for the earlier one does so before, over the index by peer, so nobody else waits for
//! that. By the number of its body it is found in every archive that has it, in the journal too, and
//! it is replaced only if it is still what was looked at.

use bytes::Bytes;
use sqlx::{AnyConnection, Row};

use crate::log_reader::by_peer;
use crate::{Direction, NewMessage, Result, Store};

/// The newest rows of a conversation before a number; see `logged_with` in the module `history`.
const NEWEST: &str = concat!(
    "SELECT r.seq, r.at, r.direction, r.body, b.stanza FROM ",
    by_peer!(),
    "archive_rows r JOIN bodies b ON b.id = r.body WHERE r.archive = $1 AND k.archive = $1 \
    AND k.seq < $2 AND k.peer = (SELECT w.id FROM peers w WHERE w.archive = $1 AND w.address = $3) \
    AND r.seq = k.seq ORDER BY k.seq DESC LIMIT $4"
);
/// The rows keep their bytes, which are counted with the archives.
const REPLACE: &str = "UPDATE bodies SET stanza = $3 WHERE id = $1 AND stanza = $2";

pub(crate) const STATEMENTS: &[&str] = &[REPLACE];
/// Those that are made with a [`LogReader`](crate::log_reader::LogReader).
pub(crate) const READING: &[&str] = &[NEWEST];

/// What takes the place of a message that was kept before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The number of its body.
    pub body: i64,
    /// The stanza that is there. If there is another one by then, that stays.
    pub was: Bytes,
    /// The stanza that is there from then on. It counts for as much as the one before.
    pub by: Bytes,
}

/// A message of a conversation, whether an archive shows it or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Its number in the archive.
    pub seq: i64,
    /// When it was accepted, in microseconds since 1970.
    pub at: i64,
    /// Its direction, seen from the owner of the archive.
    pub direction: Direction,
    /// The number of its body.
    pub body: i64,
    /// The stanza, as it was kept.
    pub stanza: Bytes,
}

impl Store {
    /// Returns the last messages with a peer in an archive before this number, newest first: at most
    /// so many.
    pub async fn last_with(
        &self,
        archive: i64,
        peer: &str,
        before_seq: i64,
        limit: i64,
    ) -> Result<Vec<Earlier>> {
        let mut conn = self.reader_of(archive).await?;
        let query = sqlx::query(conn.text(NEWEST)).bind(archive).bind(before_seq);
        let rows = query.bind(peer).bind(limit.max(0)).fetch_all(&mut *conn).await?;
        let earlier = |row: &sqlx::any::AnyRow| {
            Ok(Earlier {
                seq: row.try_get(0)?,
                at: row.try_get(1)?,
                direction: Direction::of(row.try_get(2)?),
                body: row.try_get(3)?,
                stanza: row.try_get::<Vec<u8>, _>(4)?.into(),
            })
        };
        rows.iter().map(earlier).collect()
    }
}

/// Puts in place what these messages, which are stored, say of earlier ones.
pub(crate) async fn replace(
    conn: &mut AnyConnection,
    stored: impl Iterator<Item = &NewMessage>,
) -> Result<()> {
    for Replaced { body, was, by } in stored.flat_map(|message| &message.replaces) {
        let query = sqlx::query(REPLACE).bind(*body).bind(&was[..]).bind(&by[..]);
        query.execute(&mut *conn).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{Dir, account, for_recipient_alone, fresh, message, until_delivered};
    use crate::{Appended, Query, RepeatKey};

    const TOMBSTONE: &[u8] = b"<message><retracted/></message>";

    /// A store in which bob wrote to mona, mona to bob, eve to mona, and bob to mona again: mona's
    /// archive has four rows. Returns the archives of bob and mona.
    async fn talk() -> (Dir, Store, i64, i64) {
        let (dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let bob = account(&mut tx, "bob").await;
        let mona = account(&mut tx, "mona").await;
        let eve = account(&mut tx, "eve").await;
        let said = [
            message(1, ("bob", bob), ("mona", mona)),
            message(2, ("mona", mona), ("bob", bob)),
            message(3, ("eve", eve), ("mona", mona)),
            message(4, ("bob", bob), ("mona", mona)),
        ];
        tx.append(&said).await.unwrap();
        tx.commit().await.unwrap();
        (dir, store, bob, mona)
    }

    async fn with_bob(store: &Store, mona: i64) -> Vec<Earlier> {
        store.last_with(mona, "bob@#1", i64::MAX, 10).await.unwrap()
    }

    /// Stores a message of bob's that replaces this one; returns what became of it.
    async fn append(
        store: &Store,
        (bob, mona): (i64, i64),
        replaced: Replaced,
        repeat: Option<crate::Repeat>,
    ) -> Appended {
        let mut tx = store.begin().await.unwrap();
        let saying = message(5, ("bob", bob), ("mona", mona));
        let saying = NewMessage { replaces: vec![replaced], repeat, ..saying };
        let outcomes = tx.append(&[saying]).await.unwrap();
        tx.commit().await.unwrap();
        outcomes[0]
    }

    async fn shown(store: &Store, archive: i64) -> Vec<Bytes> {
        let all = Query { limit: 10, ..Query::default() };
        store.query(archive, &all).await.unwrap().rows.into_iter().map(|it| it.stanza).collect()
    }

    fn by_tombstone(earlier: &Earlier) -> Replaced {
        Replaced { body: earlier.body, was: earlier.stanza.clone(), by: TOMBSTONE.into() }
    }

    #[tokio::test]
    async fn the_last_messages_of_one_conversation_are_found_from_the_newest_on() {
        let (_dir, store, bob, mona) = talk().await;

        let found = with_bob(&store, mona).await;

        let seen = |it: &Earlier| (it.seq, it.at, it.direction);
        let expected =
            [(4, 4000, Direction::In), (2, 2000, Direction::Out), (1, 1000, Direction::In)];
        assert_eq!(found.iter().map(seen).collect::<Vec<_>>(), expected);
        assert_eq!(&found[2].stanza[..], b"<message id='1'/>");
        let before = |seq| store.last_with(mona, "bob@#1", seq, 1);
        assert_eq!(before(4).await.unwrap()[0].seq, 2);
        assert!(before(1).await.unwrap().is_empty());
        assert!(store.last_with(mona, "nobody@#1", i64::MAX, 9).await.unwrap().is_empty());
        // The other side has the same bodies.
        let theirs = store.last_with(bob, "mona@#1", i64::MAX, 10).await.unwrap();
        let bodies = |all: &[Earlier]| all.iter().map(|it| it.body).collect::<Vec<_>>();
        assert_eq!(bodies(&theirs), bodies(&found));
    }

    #[tokio::test]
    async fn what_waits_and_no_archive_shows_is_found_too() {
        let (_dir, store, bob, mona) = talk().await;
        let mut tx = store.begin().await.unwrap();
        let waits = until_delivered(message(5, ("bob", bob), ("mona", mona)));
        tx.append(&[waits]).await.unwrap();
        tx.commit().await.unwrap();

        assert_eq!(with_bob(&store, mona).await[0].direction, Direction::Passing);
    }

    #[tokio::test]
    async fn a_message_that_is_stored_replaces_an_earlier_one_in_every_archive_that_has_it() {
        let (_dir, store, bob, mona) = talk().await;
        let first = with_bob(&store, mona).await.pop().unwrap();

        let stored = append(&store, (bob, mona), by_tombstone(&first), None).await;

        assert_eq!(stored, Appended::Stored { first: 5, second: Some(4) });
        let in_mona = shown(&store, mona).await;
        assert_eq!((in_mona.len(), &in_mona[0][..]), (5, TOMBSTONE));
        assert_eq!(in_mona[3..], ["<message id='4'/>", "<message id='5'/>"]);
        assert_eq!(&shown(&store, bob).await[0][..], TOMBSTONE);
        // It waits at its place, as before.
        let waiting = store.undelivered(mona, 0, 9).await.unwrap();
        let waiting: Vec<_> = waiting.iter().map(|it| (it.seq, it.at)).collect();
        assert_eq!(waiting, [(1, 1000), (3, 3000), (4, 4000), (5, 5000)]);
    }

    #[tokio::test]
    async fn what_is_in_the_journal_is_replaced_like_what_is_in_an_archive() {
        let (_dir, store, bob, mona) = talk().await;
        let newest = with_bob(&store, mona).await.swap_remove(0);
        // These two are in the journal when the next one comes.
        let mut tx = store.begin().await.unwrap();
        let alone = for_recipient_alone(message(6, ("bob", bob), ("mona", mona)));
        tx.append(&[alone]).await.unwrap();
        tx.commit().await.unwrap();

        let in_journal = Replaced {
            body: newest.body + 1,
            was: b"<message id='6'/>".as_slice().into(),
            by: TOMBSTONE.into(),
        };
        append(&store, (bob, mona), in_journal, None).await;

        assert_eq!(&shown(&store, mona).await[4][..], TOMBSTONE);
    }

    #[tokio::test]
    async fn another_stanza_than_the_one_that_was_looked_at_stays() {
        let (_dir, store, bob, mona) = talk().await;
        let first = with_bob(&store, mona).await.pop().unwrap();
        append(&store, (bob, mona), by_tombstone(&first), None).await;

        let again = Replaced { by: b"<message/>".as_slice().into(), ..by_tombstone(&first) };
        append(&store, (bob, mona), again, None).await;
        let gone = Replaced { body: 999, ..by_tombstone(&first) };
        append(&store, (bob, mona), gone, None).await;

        assert_eq!(&shown(&store, mona).await[0][..], TOMBSTONE);
    }

    #[tokio::test]
    async fn what_is_not_stored_replaces_nothing() {
        let (_dir, store, bob, mona) = talk().await;
        let found = with_bob(&store, mona).await;
        let repeat = RepeatKey::new(&[7; 16]).of(bob, mona, "r");
        append(&store, (bob, mona), by_tombstone(&found[2]), Some(repeat)).await;

        let repeated = append(&store, (bob, mona), by_tombstone(&found[0]), Some(repeat)).await;
        let gone = append(&store, (bob, 999), by_tombstone(&found[0]), None).await;

        assert_eq!((repeated, gone), (Appended::Repeat, Appended::Gone));
        let in_mona = shown(&store, mona).await;
        assert_eq!((in_mona.len(), &in_mona[3][..]), (5, &b"<message id='4'/>"[..]));
    }

    #[tokio::test]
    async fn a_transaction_that_is_not_committed_has_neither_the_message_nor_the_replacement() {
        let (_dir, store, bob, mona) = talk().await;
        let first = with_bob(&store, mona).await.pop().unwrap();
        let before = shown(&store, mona).await;

        let mut tx = store.begin().await.unwrap();
        let saying = message(5, ("bob", bob), ("mona", mona));
        let saying = NewMessage { replaces: vec![by_tombstone(&first)], ..saying };
        tx.append(&[saying]).await.unwrap();
        drop(tx);

        assert_eq!(shown(&store, mona).await, before);
    }
}
