//! What the log keeps, what counts as a repeat, and what is still to be delivered.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use super::*;
use crate::testing::{
    account, for_recipient_alone, fresh, heard, message, until_delivered, with_origin,
};

fn seqs(rows: &[LoggedMessage]) -> Vec<i64> {
    rows.iter().map(|row| row.seq).collect()
}

fn stored(first: i64, second: i64) -> Appended {
    Appended::Stored { first, second: Some(second) }
}

#[tokio::test]
async fn a_message_is_in_both_archives_as_it_was_given() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let mut sent = message(7, ("eve", eve), ("bob", bob));
    sent.stanza = Bytes::from_static(b"<message>\xf0\x9f\x90\x9d</message>");

    assert_eq!(tx.append(&[sent.clone()]).await.unwrap(), [stored(1, 1)]);
    tx.commit().await.unwrap();

    let received = LoggedMessage {
        seq: 1,
        at: 7_000,
        kept_at: 7_000,
        direction: Direction::In,
        peer: "eve@#1".into(),
        resource: Some("desk".into()),
        stanza: sent.stanza,
    };
    assert_eq!(store.undelivered(bob, 0, 10).await.unwrap(), std::slice::from_ref(&received));
    assert!(store.undelivered(eve, 0, 10).await.unwrap().is_empty());
    let all = crate::Query { limit: 10, ..Default::default() };
    let out = LoggedMessage { direction: Direction::Out, peer: "bob@#1".into(), ..received };
    assert_eq!(store.query(eve, &all).await.unwrap().rows, [out]);
    assert_eq!(store.count_rows("bodies").await, 1);
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
                with_origin(message(next, ("eve", eve), ("bob", bob)), eve, &format!("o{next}"))
            })
            .collect();
        let numbers = next - size + 1..=next;
        let expected: Vec<Appended> = numbers.map(|number| stored(number, number)).collect();
        assert_eq!(tx.append(&batch).await.unwrap(), expected);
    }
    tx.commit().await.unwrap();

    let all: Vec<i64> = (1..=next).collect();
    assert_eq!(seqs(&store.undelivered(bob, 0, 10_000).await.unwrap()), all);
}

#[tokio::test]
async fn a_message_to_oneself_is_one_row_that_is_received() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;

    tx.append(&[message(1, ("bob", bob), ("bob", bob))]).await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(store.count_rows("archive_rows").await, 1);
    assert_eq!(store.undelivered(bob, 0, 10).await.unwrap()[0].direction, Direction::In);
}

#[tokio::test]
async fn a_second_row_is_stored_only_with_the_first() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let one = |n| with_origin(message(n, ("eve", eve), ("bob", bob)), eve, "a");
    let to_nobody = with_origin(message(3, ("eve", eve), ("nobody", 999)), eve, "b");

    let outcomes = tx.append(&[one(1), one(2), to_nobody.clone()]).await.unwrap();
    assert_eq!(outcomes, [stored(1, 1), Appended::Repeat, Appended::Gone]);
    // A message to an archive that is gone is not recorded: it would have to count as new when the
    // archive exists again.
    assert_eq!(tx.append(&[to_nobody]).await.unwrap(), [Appended::Gone]);
    tx.commit().await.unwrap();

    assert_eq!(store.count_rows("archive_rows").await, 2);
    assert_eq!(store.count_rows("bodies").await, 1);
    assert_eq!(store.count_rows("repeats").await, 1);
}

#[tokio::test]
async fn each_side_of_a_message_can_be_shown_something_else_of_it() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let sent = with_origin(heard(message(7, ("eve", eve), ("bob", bob))), eve, "a");
    let from_nobody = heard(message(8, ("nobody", 999), ("bob", bob)));
    let after = message(9, ("eve", eve), ("bob", bob));

    let outcomes = tx.append(&[sent.clone(), sent.clone(), from_nobody, after]).await.unwrap();
    tx.commit().await.unwrap();

    let alone = Appended::Stored { first: 2, second: None };
    assert_eq!(outcomes, [stored(1, 1), Appended::Repeat, alone, stored(3, 2)]);
    assert_eq!((store.count_rows("bodies").await, store.count_rows("repeats").await), (4, 1));
    store.assert_bytes_are_right().await;
    let all = crate::Query { limit: 10, ..Default::default() };
    let heard = &store.query(bob, &all).await.unwrap().rows[0];
    let told = &store.query(eve, &all).await.unwrap().rows[0];
    assert_eq!((heard.direction, told.direction), (Direction::Heard, Direction::Out));
    assert_eq!((heard.at, told.at, told.kept_at), (7_000, 7_000, 7_000));
    assert_eq!((heard.peer.as_str(), told.peer.as_str()), ("eve@#1", "bob@#1"));
    assert_eq!((heard.resource.as_deref(), &heard.stanza), (Some("desk"), &sent.stanza));
    assert_eq!((told.resource.as_deref(), &told.stanza[..]), (Some("phone"), &b"<message/>"[..]));

    // Each goes by itself.
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.expire(eve, 0, 1).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(seqs(&store.query(bob, &all).await.unwrap().rows), [1, 2, 3]);
    assert_eq!(store.count_rows("bodies").await, 3);
    store.assert_bytes_are_right().await;
}

#[tokio::test]
async fn what_was_heard_is_shown_and_waits_for_no_other_device() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.append(&[heard(message(1, ("eve", eve), ("bob", bob)))]).await.unwrap();
    tx.commit().await.unwrap();

    let all = crate::Query { limit: 10, ..Default::default() };
    let with = crate::Query { with: Some("eve@#1".into()), ..all.clone() };
    for asked in [&all, &with] {
        assert_eq!(seqs(&store.query(bob, asked).await.unwrap().rows), [1]);
        assert_eq!(store.count(bob, asked, 10).await.unwrap(), Some(1));
    }
    assert!(store.archive_has(bob, 1).await.unwrap());
    let (oldest, newest) = store.archive_ends(bob).await.unwrap().unwrap();
    assert_eq!((oldest.seq, newest.seq), (1, 1));

    assert!(store.undelivered(bob, 0, 10).await.unwrap().is_empty());
    assert!(store.count_undelivered(bob, 0).await.unwrap().is_empty());
    let nothing = Undelivered { rows: Vec::new(), shown: None };
    assert_eq!(store.undelivered_but_shown(bob, 0, 10, 10).await.unwrap(), nothing);
    assert_eq!(store.waiting_of_strangers(bob).await.unwrap(), 0);

    // Nobody has to confirm it before it goes by its age, or for its size.
    let quotas = crate::Quotas { account: 0, room: 0 };
    let excess = store.find_excess(bob, crate::Whose::Everybody, 0, quotas, 10).await.unwrap();
    let old = store.find_old(bob, 0, 2_000, 10).await.unwrap();
    assert!(excess.unwrap().any_goes && old.unwrap().any_goes);
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.drop_confirmed(bob, 0, 1, 99).await.unwrap().rows, 0);
    assert_eq!(tx.expire(bob, 0, 1).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert!(store.archive_ends(bob).await.unwrap().is_none());
    assert_eq!(seqs(&store.query(eve, &all).await.unwrap().rows), [1]);
}

#[tokio::test]
async fn a_message_can_have_one_row_alone() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let one = for_recipient_alone(message(1, ("eve", eve), ("bob", bob)));
    let other = until_delivered(message(2, ("eve", eve), ("bob", bob)));

    let outcomes = tx.append(&[one, other]).await.unwrap();
    tx.commit().await.unwrap();

    let alone = |first| Appended::Stored { first, second: None };
    assert_eq!(outcomes, [alone(1), alone(2)]);
    assert_eq!(seqs(&store.undelivered(bob, 0, 10).await.unwrap()), [1, 2]);
    assert_eq!(store.count_rows("archive_rows").await, 2);
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
    assert_eq!(store.undelivered(bob, 1, 10).await.unwrap()[0].at, 2_000);

    let mut tx = store.begin().await.unwrap();
    tx.drop_confirmed(bob, 0, 2, 99).await.unwrap();
    tx.remove_account(eve).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.last_stamp().await.unwrap(), Some(2_000));
}

#[tokio::test]
async fn the_last_stamp_goes_back_with_the_last_message_that_was_stored_and_with_no_other() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let to_bob = |n| with_origin(message(n, ("eve", eve), ("bob", bob)), eve, "a");
    tx.append(&[message(9, ("bob", bob), ("eve", eve)), to_bob(5)]).await.unwrap();

    // A repeat, and one for nobody.
    tx.append(&[to_bob(7), message(8, ("eve", eve), ("zoe", 999))]).await.unwrap();

    tx.commit().await.unwrap();
    assert_eq!(store.last_stamp().await.unwrap(), Some(5_000));
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

    tx.commit().await.unwrap();
    let undelivered = async |after, limit| store.undelivered(bob, after, limit).await.unwrap();

    assert_eq!(seqs(&undelivered(0, 10).await), [2, 4, 6]);
    assert_eq!(seqs(&undelivered(2, 10).await), [4, 6]);
    assert_eq!(seqs(&undelivered(0, 2).await), [2, 4]);
    assert!(undelivered(6, 10).await.is_empty());
    assert!(undelivered(0, -5).await.is_empty());

    let size = "<message id='2'/>".len() as i64;
    let of_eve = |messages| vec![("eve@#1".to_owned(), messages, messages * size)];
    assert_eq!(store.count_undelivered(bob, 0).await.unwrap(), of_eve(3));
    assert_eq!(store.count_undelivered(bob, 4).await.unwrap(), of_eve(1));
    assert_eq!(store.count_undelivered(bob, 6).await.unwrap(), []);
    assert_eq!(store.count_undelivered(999, 0).await.unwrap(), []);
}

/// Prints how many messages a second can be appended, each with a row in two archives and an
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
                    let (from, to) = (accounts[from], accounts[to]);
                    let message = message(seq, ("sender", from), ("recipient", to));
                    let origin = format!("5f3c1f6e-0000-4000-8000-{seq:012}");
                    NewMessage { stanza: stanza.clone(), ..with_origin(message, from, &origin) }
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
