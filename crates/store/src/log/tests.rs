//! What the log keeps, what it takes for a repeat, and what is still to be delivered.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use super::*;
use crate::testing::{account, fresh, message, place};

fn seqs(rows: &[LoggedMessage]) -> Vec<i64> {
    rows.iter().map(|row| row.seq).collect()
}

fn with_origin(mut message: NewMessage, origin: &str) -> NewMessage {
    message.origin = Some(origin.into());
    message
}

#[tokio::test]
async fn a_message_is_in_both_mailboxes_as_it_was_given() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let mut sent = message(7, ("eve", eve), ("bob", bob));
    sent.stanza = Bytes::from_static(b"<message>\xf0\x9f\x90\x9d</message>");

    assert_eq!(tx.append(&[sent.clone()]).await.unwrap(), [Appended::Stored]);
    tx.commit().await.unwrap();

    let received = store.undelivered(bob, 0, 10).await.unwrap();
    assert_eq!(
        received,
        [LoggedMessage {
            seq: 7,
            at: 7_000,
            kept_at: 7_000,
            direction: Direction::In,
            sender: "eve@#1".into(),
            sender_resource: Some("desk".into()),
            recipient: "bob@#1".into(),
            stanza: sent.stanza,
        }]
    );
    assert!(store.undelivered(eve, 0, 10).await.unwrap().is_empty());
    let all = crate::Query { limit: 10, ..Default::default() };
    assert_eq!(store.query(eve, &all).await.unwrap().rows[0].direction, Direction::Out);
}

#[tokio::test]
async fn a_batch_of_any_size_is_stored_whole_and_in_order() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let mut next = 0;
    for size in [0, 1, 2, 3, 9, 45, 171, 300] {
        let batch: Vec<NewMessage> = (0..size)
            .map(|_| {
                next += 1;
                with_origin(message(next, ("eve", eve), ("bob", bob)), &format!("o{next}"))
            })
            .collect();
        let outcomes = tx.append(&batch).await.unwrap();
        assert_eq!(outcomes, vec![Appended::Stored; size]);
    }
    tx.commit().await.unwrap();

    let all: Vec<i64> = (1..=next).collect();
    assert_eq!(seqs(&store.undelivered(bob, 0, 10_000).await.unwrap()), all);
    assert_eq!(store.last_seq().await.unwrap(), next);
}

#[tokio::test]
async fn a_message_to_oneself_is_one_row_that_is_received() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;

    tx.append(&[message(1, ("bob", bob), ("bob", bob))]).await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(store.count_rows("mailbox").await, 1);
    assert_eq!(store.undelivered(bob, 0, 10).await.unwrap()[0].direction, Direction::In);
}

#[tokio::test]
async fn strangers_have_no_mailbox_here() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    let mut from_far = message(1, ("eve", 0), ("bob", bob));
    from_far.sender = "eve@far.example".into();
    from_far.sender_account = None;
    from_far.sender_resource = None;
    let mut to_far = message(2, ("bob", bob), ("eve", 0));
    to_far.recipient_account = None;
    let mut passing = to_far.clone();
    passing.seq = 3;
    passing.keep_for_sender = false;

    assert_eq!(tx.append(&[from_far, to_far, passing]).await.unwrap(), [Appended::Stored; 3]);
    tx.commit().await.unwrap();

    let received = store.undelivered(bob, 0, 10).await.unwrap();
    assert_eq!(seqs(&received), [1]);
    assert_eq!(received[0].sender_resource, None);
    assert_eq!(store.count_rows("mailbox").await, 2);
    assert_eq!(store.count_rows("messages").await, 2);
}

#[tokio::test]
async fn a_repeat_is_seen_within_a_batch_and_across_batches_and_after_a_restart() {
    let (dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let first = with_origin(message(1, ("eve", eve), ("bob", bob)), "a");
    let again = with_origin(message(2, ("eve", eve), ("bob", bob)), "a");
    let other = with_origin(message(3, ("eve", eve), ("bob", bob)), "b");

    let outcomes = tx.append(&[first, again.clone(), other]).await.unwrap();
    assert_eq!(outcomes, [Appended::Stored, Appended::Repeat, Appended::Stored]);
    tx.commit().await.unwrap();
    store.close().await.unwrap();

    let store = Store::open(&place(&dir)).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let later = NewMessage { seq: 4, kept_at: 4_000, ..again };
    let fresh = with_origin(message(5, ("eve", eve), ("bob", bob)), "c");
    let outcomes = tx.append(&[fresh, later]).await.unwrap();
    assert_eq!(outcomes, [Appended::Stored, Appended::Repeat]);
    tx.commit().await.unwrap();
    assert_eq!(seqs(&store.undelivered(bob, 0, 10).await.unwrap()), [1, 3, 5]);
}

#[tokio::test]
async fn the_same_origin_id_of_or_to_somebody_else_is_no_repeat() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let batch = [
        with_origin(message(1, ("eve", eve), ("bob", bob)), "a"),
        with_origin(message(2, ("bob", bob), ("eve", eve)), "a"),
        with_origin(message(3, ("eve", eve), ("eve", eve)), "a"),
        message(4, ("eve", eve), ("bob", bob)),
        message(5, ("eve", eve), ("bob", bob)),
    ];

    assert_eq!(tx.append(&batch).await.unwrap(), [Appended::Stored; 5]);
}

#[tokio::test]
async fn the_last_stamp_is_what_people_were_told_whoever_still_has_the_message() {
    let (_dir, store) = fresh().await;
    assert_eq!(store.last_stamp().await.unwrap(), None);
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let last = NewMessage { kept_at: 5, ..message(2, ("eve", eve), ("bob", bob)) };
    tx.append(&[message(1, ("bob", bob), ("eve", eve)), last]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.last_stamp().await.unwrap(), Some(2_000));
    assert_eq!(store.undelivered(bob, 0, 10).await.unwrap()[0].at, 2_000);

    let mut tx = store.begin().await.unwrap();
    tx.drop_confirmed(bob, 2).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.last_stamp().await.unwrap(), Some(2_000));
}

#[tokio::test]
async fn a_repeat_after_a_day_is_a_new_message() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let at = |seq, kept_at| NewMessage {
        kept_at,
        ..with_origin(message(seq, ("eve", eve), ("bob", bob)), "a")
    };

    let mut outcomes = Vec::new();
    for (seq, time) in [(1, 0), (2, REPEAT_WINDOW - 1), (3, REPEAT_WINDOW), (4, REPEAT_WINDOW + 1)]
    {
        outcomes.extend(tx.append(&[at(seq, time)]).await.unwrap());
    }

    // The third began a day of its own, in which the fourth lies.
    assert_eq!(outcomes, [Appended::Stored, Appended::Repeat, Appended::Stored, Appended::Repeat]);
    assert_eq!(tx.purge_origins(REPEAT_WINDOW).await.unwrap(), 0);
    assert_eq!(tx.purge_origins(REPEAT_WINDOW + 1).await.unwrap(), 1);
    assert_eq!(tx.append(&[at(5, REPEAT_WINDOW + 2)]).await.unwrap(), [Appended::Stored]);
}

#[tokio::test]
async fn an_origin_id_without_end_is_not_remembered() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let long = "x".repeat(LONGEST_ORIGIN + 1);
    let batch = [1, 2].map(|seq| with_origin(message(seq, ("eve", eve), ("bob", bob)), &long));

    assert_eq!(tx.append(&batch).await.unwrap(), [Appended::Stored; 2]);
    tx.commit().await.unwrap();
    assert_eq!(store.count_rows("origins").await, 0);
}

#[tokio::test]
async fn a_number_used_twice_fails_the_batch_rather_than_lose_a_message() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.append(&[message(1, ("eve", eve), ("bob", bob))]).await.unwrap();

    assert!(tx.append(&[message(1, ("bob", bob), ("eve", eve))]).await.is_err());
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
    assert_eq!(store.count_rows("cursors").await, 2);
}

#[tokio::test]
async fn undelivered_is_what_was_received_after_the_cursor_oldest_first() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let batch: Vec<NewMessage> = (1..=6)
        .map(|seq| match seq % 2 {
            0 => message(seq, ("eve", eve), ("bob", bob)),
            _ => message(seq, ("bob", bob), ("eve", eve)),
        })
        .collect();
    tx.append(&batch).await.unwrap();

    assert_eq!(seqs(&tx.undelivered(bob, 0, 10).await.unwrap()), [2, 4, 6]);
    assert_eq!(seqs(&tx.undelivered(bob, 2, 10).await.unwrap()), [4, 6]);
    assert_eq!(seqs(&tx.undelivered(bob, 0, 2).await.unwrap()), [2, 4]);
    assert!(tx.undelivered(bob, 6, 10).await.unwrap().is_empty());
    assert!(tx.undelivered(bob, 0, -5).await.unwrap().is_empty());
    tx.commit().await.unwrap();

    let size = "<message id='2'/>".len() as i64;
    assert_eq!(store.count_undelivered(bob, 0).await.unwrap(), (3, 3 * size));
    assert_eq!(store.count_undelivered(bob, 4).await.unwrap(), (1, size));
    assert_eq!(store.count_undelivered(bob, 6).await.unwrap(), (0, 0));
    assert_eq!(store.count_undelivered(999, 0).await.unwrap(), (0, 0));
}

#[tokio::test]
async fn a_number_is_not_used_again_when_its_message_is_gone() {
    let (dir, store) = fresh().await;
    assert_eq!(store.last_seq().await.unwrap(), 0);
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let mut only_received = message(41, ("eve", eve), ("bob", bob));
    only_received.keep_for_sender = false;
    tx.append(&[only_received]).await.unwrap();
    assert_eq!(tx.drop_confirmed(bob, 41).await.unwrap(), 1);
    tx.commit().await.unwrap();
    store.close().await.unwrap();

    let store = Store::open(&place(&dir)).await.unwrap();

    assert_eq!(store.count_rows("messages").await, 0);
    assert_eq!(store.last_seq().await.unwrap(), 41);
}

/// Prints how many messages a second can be appended, each with two mailbox rows and an
/// origin-id: `cargo test -p whoelse-store appends_a_second -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn appends_a_second() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let mut accounts = Vec::new();
    for n in 0..100 {
        accounts.push(account(&mut tx, &format!("user{n}")).await);
    }
    tx.commit().await.unwrap();
    let stanza = Bytes::from(vec![b'x'; 350]);
    let mut seq = 0;
    for (batch, rounds) in [(1, 2_000), (10, 500), (100, 200), (1_000, 20)] {
        let begun = Instant::now();
        for _ in 0..rounds {
            let messages: Vec<NewMessage> = (0..batch)
                .map(|_| {
                    seq += 1;
                    let (from, to) = (seq as usize % 100, (seq as usize * 7 + 1) % 100);
                    NewMessage {
                        stanza: stanza.clone(),
                        origin: Some(format!("5f3c1f6e-0000-4000-8000-{seq:012}")),
                        ..message(seq, ("sender", accounts[from]), ("recipient", accounts[to]))
                    }
                })
                .collect();
            let mut tx = store.begin().await.unwrap();
            tx.append(&messages).await.unwrap();
            tx.commit().await.unwrap();
        }
        let took = begun.elapsed();
        let each = took / (batch * rounds);
        println!("batch {batch}: {:?} a message, {:?} a batch", each, took / rounds);
    }
}
