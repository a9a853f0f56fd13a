//! Each archive gives a number only once, whatever happens to the row that had it.
#![allow(clippy::unwrap_used)]

use crate::archives::Numbering;
use crate::testing::{
    Dir, account, for_recipient_alone, fresh, message, place, remove_wholly, until_delivered,
};
use crate::{Appended, NewMessage, Query, Store, sequences};

/// Appends messages, and returns the numbers that their first rows got.
async fn append(store: &Store, messages: &[NewMessage]) -> Vec<i64> {
    let mut tx = store.begin().await.unwrap();
    let outcomes = tx.append(messages).await.unwrap();
    tx.commit().await.unwrap();
    let number = |outcome| match outcome {
        Appended::Stored { first, .. } => first,
        other => panic!("{other:?}"),
    };
    outcomes.into_iter().map(number).collect()
}

async fn restarted(dir: &Dir, store: Store) -> Store {
    store.close().await.unwrap();
    Store::open(&place(dir)).await.unwrap()
}

#[tokio::test]
async fn each_archive_counts_for_itself() {
    let (dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let mona = account(&mut tx, "mona").await;
    tx.commit().await.unwrap();

    let to_bob = |n| message(n, ("eve", eve), ("bob", bob));
    let to_mona = |n| message(n, ("eve", eve), ("mona", mona));
    assert_eq!(append(&store, &[to_bob(1), to_mona(2), to_bob(3)]).await, [1, 1, 2]);
    let mut tx = store.begin().await.unwrap();
    let both = tx.append(&[to_mona(4)]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(both, [Appended::Stored { first: 2, second: Some(4) }]);

    let store = restarted(&dir, store).await;
    assert_eq!(append(&store, &[to_bob(5), to_mona(6)]).await, [3, 3]);
}

#[tokio::test]
async fn no_number_is_given_again_when_all_that_had_them_is_gone() {
    let whole = |message: NewMessage| message;
    let forms: [fn(NewMessage) -> NewMessage; 3] = [whole, for_recipient_alone, until_delivered];
    for (way, form) in forms.into_iter().enumerate() {
        let (dir, store) = fresh().await;
        let mut tx = store.begin().await.unwrap();
        let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
        tx.commit().await.unwrap();
        let one = |n| form(message(n, ("eve", eve), ("bob", bob)));
        assert_eq!(append(&store, &[one(1), one(2)]).await, [1, 2]);

        let mut tx = store.begin().await.unwrap();
        tx.advance_cursors(&[(bob, 2)]).await.unwrap();
        match way {
            0 => {
                for archive in [bob, eve] {
                    assert_eq!(tx.expire(archive, 0, 2).await.unwrap(), 2);
                }
            }
            1 => assert_eq!(tx.drop_confirmed(bob, 0, 2, 99).await.unwrap().rows, 2),
            _ => assert_eq!(tx.drop_passed(bob, 2, 99).await.unwrap().rows, 2),
        }
        tx.commit().await.unwrap();
        let store = restarted(&dir, store).await;
        assert_eq!(store.count_rows("archive_rows").await, 0);
        assert_eq!(store.count_rows("bodies").await, 0);

        // The message is also delivered: its number is after the cursor.
        assert_eq!(append(&store, &[one(3)]).await, [3]);
        let cursor = store.cursor(bob).await.unwrap();
        let waiting = store.undelivered(bob, cursor, 10).await.unwrap();
        assert_eq!(waiting.iter().map(|row| row.seq).collect::<Vec<_>>(), [3]);
    }
}

#[tokio::test]
async fn an_archive_that_was_forgotten_for_want_of_room_goes_on_above_the_journal() {
    let (dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let mut archives = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        archives.push(account(&mut tx, name).await);
    }
    tx.replace_numbering(Numbering::of_most(2, 3));
    tx.commit().await.unwrap();
    let one = |n: usize| {
        let (to, from) = (archives[n % 5], archives[n * 2 % 5]);
        message(n as i64, ("x", from), ("y", to))
    };

    // In groups of one and of several, with archives that are known and others.
    for (group, n) in (0..40).enumerate() {
        append(&store, &(n..n + group % 3 + 1).map(one).collect::<Vec<_>>()).await;
    }

    for archive in &archives {
        let all = Query { limit: 1_000, ..Query::default() };
        let rows = store.query(*archive, &all).await.unwrap().rows;
        let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
        assert!(seqs.len() > 10);
    }
    restarted(&dir, store).await;
}

#[tokio::test]
async fn no_cursor_stands_above_the_next_number() {
    let (dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.advance_cursors(&[(bob, 9)]).await.unwrap();
    tx.commit().await.unwrap();
    let store = restarted(&dir, store).await;

    assert_eq!(append(&store, &[message(1, ("eve", eve), ("bob", bob))]).await, [10]);
}

#[tokio::test]
async fn an_archive_that_has_given_its_last_number_refuses_the_message() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.advance_cursors(&[(bob, i64::MAX - 1)]).await.unwrap();
    tx.commit().await.unwrap();
    let one = |n| [message(n, ("eve", eve), ("bob", bob))];

    assert_eq!(append(&store, &one(1)).await, [i64::MAX]);
    let mut tx = store.begin().await.unwrap();
    assert!(matches!(tx.append(&one(2)).await, Err(crate::Error::Database(_))));
}

#[tokio::test]
async fn what_was_not_committed_has_given_no_number() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.commit().await.unwrap();
    let one = |n| message(n, ("eve", eve), ("bob", bob));
    let mut tx = store.begin().await.unwrap();
    tx.append(&[one(1)]).await.unwrap();
    drop(tx);
    let mut tx = store.begin().await.unwrap();
    tx.append(&[one(1)]).await.unwrap();
    tx.rollback().await.unwrap();

    assert_eq!(append(&store, &[one(2)]).await, [1]);
}

#[tokio::test]
async fn an_archive_that_is_gone_takes_nothing_and_its_number_is_not_given_again() {
    let (dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.commit().await.unwrap();
    let one = |n| message(n, ("eve", eve), ("bob", bob));
    append(&store, &[one(1)]).await;

    let mut tx = store.begin().await.unwrap();
    remove_wholly(&mut tx, bob).await;
    tx.commit().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.append(&[one(2)]).await.unwrap(), [Appended::Gone]);
    // Bob sent this before, but it is committed only now.
    let from_bob = message(3, ("bob", bob), ("eve", eve));
    let stored = tx.append(&[from_bob]).await.unwrap();
    assert_eq!(stored, [Appended::Stored { first: 2, second: None }]);
    assert_eq!(sequences::next(tx.conn().unwrap(), sequences::ACCOUNT).await.unwrap(), 3);
    let new = account(&mut tx, "bob").await;
    tx.commit().await.unwrap();

    let row = store.find_account(1, "bob").await.unwrap().unwrap();
    assert_eq!((row.id, row.archive), (new, 3));
    let all = Query { limit: 10, ..Query::default() };
    assert!(store.query(row.archive, &all).await.unwrap().rows.is_empty());
    assert_eq!(store.query(eve, &all).await.unwrap().rows.len(), 2);
    assert_eq!(store.count_rows("bodies").await, 2);
    drop(dir);
}

#[tokio::test]
async fn a_cursor_moves_forward_only() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    assert_eq!(tx.cursor(bob).await.unwrap(), 0);

    tx.advance_cursors(&[(bob, 5), (eve, 9), (bob, 7), (bob, 6), (999, 3)]).await.unwrap();
    tx.advance_cursors(&[(bob, 2)]).await.unwrap();
    tx.advance_cursors(&[]).await.unwrap();
    assert_eq!(tx.cursor(bob).await.unwrap(), 7);
    tx.commit().await.unwrap();

    assert_eq!(store.cursor(bob).await.unwrap(), 7);
    assert_eq!(store.cursor(eve).await.unwrap(), 9);
    assert_eq!(store.cursor(999).await.unwrap(), 0);
}
