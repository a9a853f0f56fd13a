//! An archive knows how many bytes it has, and who goes first when that is too much.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{account, fresh, message, place, remove_wholly, until_delivered};
use crate::{NewMessage, Query, RosterRow};

async fn append(store: &Store, messages: &[NewMessage]) {
    let mut tx = store.begin().await.unwrap();
    tx.append(messages).await.unwrap();
    tx.commit().await.unwrap();
}

async fn seqs(store: &Store, archive: i64) -> Vec<i64> {
    let all = Query { limit: 1_000, ..Query::default() };
    store.query(archive, &all).await.unwrap().rows.iter().map(|row| row.seq).collect()
}

/// A quota of accounts, where rooms have none.
fn of(account: i64) -> Quotas {
    Quotas { account, room: i64::MAX }
}

/// A message with a stanza of ten bytes.
fn ten_bytes(from: (&str, i64), to: (&str, i64)) -> NewMessage {
    NewMessage { stanza: "<message/>".into(), ..message(1, from, to) }
}

/// Makes bob, who knows carol; eve and mal are strangers. Bob gets 1 from carol, 2 from eve, 3 from
/// himself, 4 from the server and 5 from mal; he sends 6 to eve and 7 to carol; 8 comes from eve, 9
/// from carol. He has confirmed 5.
async fn nine() -> (crate::testing::Dir, Store, i64) {
    let (dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    let row = |contact: &str, listed| RosterRow {
        contact: contact.to_owned(),
        listed,
        ..RosterRow::default()
    };
    // Mal has only asked.
    for row in [row("carol@#1", true), row("mal@#1", false)] {
        tx.write_roster_row(bob, &row).await.unwrap();
    }
    let to_bob = |from: &str| {
        let mut message = ten_bytes((from, 0), ("bob", bob));
        message.second = None;
        message
    };
    let from_bob = |to: &str| {
        let mut message = ten_bytes(("bob", 0), (to, bob));
        message.first.peer = format!("{to}@#1");
        message.first.direction = crate::Direction::Out;
        message.second = None;
        message
    };
    let mut of_server = to_bob("x");
    of_server.first.peer = "#1".into();
    let all = [
        to_bob("carol"),
        to_bob("eve"),
        to_bob("bob"),
        of_server,
        to_bob("mal"),
        from_bob("eve"),
        from_bob("carol"),
        to_bob("eve"),
        to_bob("carol"),
    ];
    tx.append(&all).await.unwrap();
    tx.advance_cursors(&[(bob, 5)]).await.unwrap();
    tx.commit().await.unwrap();
    (dir, store, bob)
}

/// Removes what is above a quota, two rows at a time.
async fn shrink(store: &Store, archive: i64, whose: Whose, quota: i64) {
    let mut after = 0;
    while let Some(found) = store.find_excess(archive, whose, after, of(quota), 2).await.unwrap() {
        let mut tx = store.begin().await.unwrap();
        let gone = tx.remove_excess(archive, whose, after, found.up_to_seq).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(gone > 0, found.any_goes);
        if !found.more {
            break;
        }
        after = found.up_to_seq;
    }
    store.assert_bytes_are_right().await;
}

#[tokio::test]
async fn of_strangers_goes_what_is_delivered_and_no_row_of_anybody_else() {
    let (_dir, store, bob) = nine().await;
    assert_eq!(store.first_of_strangers(bob, 1).await.unwrap(), Some(2));
    assert_eq!(store.first_of_strangers(bob, 100).await.unwrap(), Some(2));

    shrink(&store, bob, Whose::Strangers, 90).await;
    assert_eq!(seqs(&store, bob).await, [1, 2, 3, 4, 5, 6, 7, 8, 9], "it is no more than that");
    shrink(&store, bob, Whose::Strangers, 80).await;
    assert_eq!(seqs(&store, bob).await, [1, 3, 4, 5, 6, 7, 8, 9], "the oldest is enough");
    shrink(&store, bob, Whose::Strangers, 0).await;

    assert_eq!(seqs(&store, bob).await, [1, 3, 4, 7, 8, 9]);
    assert_eq!(store.waiting_of_strangers(bob).await.unwrap(), 10);
}

#[tokio::test]
async fn of_everybody_goes_the_oldest_that_is_delivered_and_nothing_else() {
    let (_dir, store, bob) = nine().await;

    shrink(&store, bob, Whose::Everybody, 65).await;
    assert_eq!(seqs(&store, bob).await, [4, 5, 6, 7, 8, 9]);
    shrink(&store, bob, Whose::Everybody, 0).await;

    assert_eq!(seqs(&store, bob).await, [8, 9]);
    assert_eq!(store.undelivered(bob, 5, 10).await.unwrap().len(), 2);
    assert_eq!(store.find_excess(999, Whose::Everybody, 0, of(0), 2).await.unwrap(), None);
    assert_eq!(store.first_of_strangers(999, 2).await.unwrap(), None);
}

#[tokio::test]
async fn archives_above_a_quota_are_found_a_few_at_a_time_and_in_the_journal_too() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    let eve = account(&mut tx, "eve").await;
    let mona = account(&mut tx, "mona").await;
    tx.commit().await.unwrap();
    let (of_bob, of_mona) = (("bob", bob), ("mona", mona));
    append(&store, &[ten_bytes(of_bob, of_mona), ten_bytes(of_mona, of_bob)]).await;

    let begun = |archives, more_after| FoundArchives { archives, more_after };
    assert_eq!(store.archives_over(0, of(19), 2).await.unwrap(), begun(vec![bob], Some(eve)));
    assert_eq!(store.archives_over(eve, of(19), 2).await.unwrap(), begun(vec![mona], None));
    assert_eq!(store.archives_over(0, of(20), 9).await.unwrap(), begun(vec![], None));
}

/// A number below `below`, the next of a sequence.
fn next(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

#[tokio::test]
async fn an_archive_says_how_many_bytes_it_has_whatever_is_done_by_seed() {
    for seed in 1..=8 {
        let (dir, mut store) = fresh().await;
        let mut random = seed;
        let mut tx = store.begin().await.unwrap();
        let mut archives = Vec::new();
        for name in ["bob", "eve", "mona"] {
            archives.push((name, account(&mut tx, name).await));
        }
        tx.append(&[message(1, archives[0], archives[1])]).await.unwrap();
        tx.commit().await.unwrap();
        for n in 2..60 {
            let mut pick = |below: usize| next(&mut random, below as u64) as usize;
            let (one, other) = (archives[pick(3)], archives[pick(3)]);
            let (what, up_to) = (pick(11), pick(40) as i64);
            let is_kept = pick(4) > 0;
            let mut tx = store.begin().await.unwrap();
            match what {
                0..4 => {
                    let message = message(n, one, other);
                    let message = if is_kept { message } else { until_delivered(message) };
                    tx.append(&vec![message; 1 + what]).await.unwrap();
                }
                4 => tx.advance_cursors(&[(one.1, up_to)]).await.unwrap(),
                5 => drop(tx.expire(one.1, 0, up_to).await.unwrap()),
                6 => drop(tx.drop_confirmed(one.1, 0, up_to, 5).await.unwrap()),
                7 => drop(tx.drop_passed(one.1, up_to, 5).await.unwrap()),
                8 => {
                    let whose = if is_kept { Whose::Strangers } else { Whose::Everybody };
                    tx.remove_excess(one.1, whose, 0, up_to).await.unwrap();
                }
                9 => {
                    tx.fold(crate::journal::Folded::Everything).await.unwrap();
                    if is_kept {
                        tx.rollback().await.unwrap();
                        tx = store.begin().await.unwrap();
                    }
                }
                _ => {
                    let made_anew = archives.iter_mut().find(|it| **it == one).unwrap();
                    remove_wholly(&mut tx, one.1).await;
                    made_anew.1 = account(&mut tx, one.0).await;
                    // Always something.
                    tx.append(&[message(n, other, other)]).await.unwrap();
                }
            }
            tx.commit().await.unwrap();
            if pick_restart(&mut random) {
                store.close().await.unwrap();
                store = Store::open(&place(&dir)).await.unwrap();
            }
            if n % 5 == 0 {
                append(&store, &[message(n, archives[1], archives[1])]).await;
                store.assert_bytes_are_right().await;
            }
        }
    }
}

fn pick_restart(random: &mut u64) -> bool {
    next(random, 10) == 0
}
