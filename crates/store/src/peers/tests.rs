//! Each row says who its other side is, whatever happens to the numbers of peers.
#![allow(clippy::unwrap_used)]

use crate::archives::Numbering;
use crate::testing::{account, fresh, message, place};
use crate::{Direction, NewMessage, NewRow, Query, Store};

/// A message to one archive, from somebody elsewhere.
fn from(peer: &str, archive: i64, n: i64) -> NewMessage {
    let first = NewRow { archive, peer: peer.to_owned(), direction: Direction::In };
    NewMessage { first, second: None, ..message(n, ("x", 0), ("y", 0)) }
}

async fn append(store: &Store, messages: &[NewMessage]) {
    let mut tx = store.begin().await.unwrap();
    tx.append(messages).await.unwrap();
    tx.commit().await.unwrap();
}

/// The peers of an archive's messages, in the order of the messages.
async fn shown(store: &Store, archive: i64) -> Vec<String> {
    let all = Query { limit: 1_000, ..Query::default() };
    let rows = store.query(archive, &all).await.unwrap().rows;
    rows.into_iter().map(|row| row.peer).collect()
}

async fn shown_with(store: &Store, archive: i64, with: &str) -> Vec<i64> {
    let asked = Query { limit: 1_000, with: Some(with.to_owned()), ..Query::default() };
    let rows = store.query(archive, &asked).await.unwrap().rows;
    assert!(rows.iter().all(|row| row.peer == with));
    rows.into_iter().map(|row| row.seq).collect()
}

#[tokio::test]
async fn a_peer_goes_with_the_last_row_that_names_it_and_its_number_names_the_next() {
    let (dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    tx.commit().await.unwrap();
    let all = [from("eve@#1", bob, 1), from("mal@#1", bob, 2), from("eve@#1", bob, 3)];
    append(&store, &all).await;
    assert_eq!(store.count_rows("peers").await, 2);

    let mut tx = store.begin().await.unwrap();
    tx.advance_cursors(&[(bob, 3)]).await.unwrap();
    tx.expire(bob, 0, 2).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.count_rows("peers").await, 1, "eve is named by the third");
    append(&store, &[from("zoe@#1", bob, 4), from("mal@#1", bob, 5), from("eve@#1", bob, 6)]).await;
    assert_eq!(shown(&store, bob).await, ["eve@#1", "zoe@#1", "mal@#1", "eve@#1"]);

    store.close().await.unwrap();
    let store = Store::open(&place(&dir)).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.advance_cursors(&[(bob, 6)]).await.unwrap();
    tx.drop_confirmed(bob, 0, 5, 99).await.unwrap();
    tx.commit().await.unwrap();
    append(&store, &[from("uma@#1", bob, 7)]).await;
    assert_eq!(shown(&store, bob).await, ["eve@#1", "uma@#1"]);
    assert_eq!(shown_with(&store, bob, "uma@#1").await, [7]);
    assert_eq!(shown_with(&store, bob, "mal@#1").await, [0; 0]);
    assert_eq!(store.count_rows("peers").await, 2);
}

#[tokio::test]
async fn a_peer_whose_transaction_was_undone_is_numbered_anew() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    tx.commit().await.unwrap();

    let mut tx = store.begin().await.unwrap();
    tx.append(&[from("eve@#1", bob, 1)]).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    tx.begin_part().await.unwrap();
    tx.append(&[from("mal@#1", bob, 2)]).await.unwrap();
    tx.undo_part().await.unwrap();
    tx.append(&[from("zoe@#1", bob, 3), from("mal@#1", bob, 4)]).await.unwrap();
    tx.commit().await.unwrap();
    // A removal that is undone.
    let mut tx = store.begin().await.unwrap();
    tx.advance_cursors(&[(bob, 2)]).await.unwrap();
    tx.expire(bob, 0, 2).await.unwrap();
    tx.rollback().await.unwrap();
    append(&store, &[from("mal@#1", bob, 5), from("eve@#1", bob, 6)]).await;

    assert_eq!(shown(&store, bob).await, ["zoe@#1", "mal@#1", "mal@#1", "eve@#1"]);
    assert_eq!(store.count_rows("peers").await, 3);
}

#[tokio::test]
async fn a_repeat_and_a_refused_message_leave_no_peer() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    tx.commit().await.unwrap();
    let one = |n| crate::testing::with_origin(from("eve@#1", bob, n), 7, "o");
    append(&store, &[one(1)]).await;
    let mut tx = store.begin().await.unwrap();
    tx.advance_cursors(&[(bob, 1)]).await.unwrap();
    tx.expire(bob, 0, 1).await.unwrap();
    tx.commit().await.unwrap();

    append(&store, &[one(2), from("mal@#1", 999, 3)]).await;

    assert_eq!(store.count_rows("peers").await, 0);
}

#[tokio::test]
async fn peers_that_were_forgotten_for_want_of_room_keep_their_numbers() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.replace_numbering(Numbering::of_most(100, 5));
    tx.commit().await.unwrap();

    let mut expected = Vec::new();
    for n in 0..60 {
        let peer = format!("p{}@#1", n * 7 % 23);
        append(&store, &[from(&peer, bob, n + 1), from(&peer, eve, n + 1)]).await;
        expected.push(peer);
    }

    assert_eq!(shown(&store, bob).await, expected);
    assert_eq!(shown(&store, eve).await, expected);
    assert_eq!(store.count_rows("peers").await, 2 * 23);
}
