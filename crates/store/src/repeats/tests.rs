//! What is recognised as a repeat, for how long, and across an upgrade.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scratch::{Scratch, old_file};
use crate::testing::{Dir, account, alter, fresh, message, place, with_origin};
use crate::{Appended, LoggedMessage, Renewed, Store};

fn seqs(rows: &[LoggedMessage]) -> Vec<i64> {
    rows.iter().map(|row| row.seq).collect()
}

fn stored(first: i64, second: i64) -> Appended {
    Appended::Stored { first, second: Some(second) }
}

#[tokio::test]
async fn a_repeat_is_seen_within_a_batch_and_across_batches_and_after_a_restart() {
    let (dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let one = |n, origin| with_origin(message(n, ("eve", eve), ("bob", bob)), eve, origin);

    let outcomes = tx.append(&[one(1, "a"), one(2, "a"), one(3, "b")]).await.unwrap();
    assert_eq!(outcomes, [stored(1, 1), Appended::Repeat, stored(2, 2)]);
    tx.commit().await.unwrap();
    store.close().await.unwrap();

    let store = Store::open(&place(&dir)).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let outcomes = tx.append(&[one(5, "c"), one(4, "a")]).await.unwrap();
    assert_eq!(outcomes, [stored(3, 3), Appended::Repeat]);
    tx.commit().await.unwrap();
    assert_eq!(seqs(&store.undelivered(bob, 0, 10).await.unwrap()), [1, 2, 3]);
}

#[tokio::test]
async fn the_same_origin_id_of_or_to_somebody_else_is_no_repeat() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let batch = [
        with_origin(message(1, ("eve", eve), ("bob", bob)), eve, "a"),
        with_origin(message(2, ("bob", bob), ("eve", eve)), bob, "a"),
        with_origin(message(3, ("eve", eve), ("eve", eve)), eve, "a"),
        message(4, ("eve", eve), ("bob", bob)),
        message(5, ("eve", eve), ("bob", bob)),
    ];

    let outcomes = tx.append(&batch).await.unwrap();

    assert!(outcomes.iter().all(|outcome| matches!(outcome, Appended::Stored { .. })));
}

#[tokio::test]
async fn a_repeat_after_a_day_and_a_quarter_is_a_new_message() {
    let (dir, mut store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.commit().await.unwrap();
    let at = |seq, kept_at| NewMessage {
        kept_at,
        ..with_origin(message(seq, ("eve", eve), ("bob", bob)), eve, "a")
    };

    let mut outcomes = Vec::new();
    let again = REPEAT_WINDOW + SPAN;
    for (seq, time) in [(1, 0), (2, REPEAT_WINDOW - 1), (3, again), (4, again + 1)] {
        let mut tx = store.begin().await.unwrap();
        outcomes.extend(tx.append(&[at(seq, time)]).await.unwrap());
        tx.commit().await.unwrap();
        if seq == 2 {
            // It makes no difference what is in memory.
            store.close().await.unwrap();
            store = Store::open(&place(&dir)).await.unwrap();
        }
    }

    // The third message began a window of its own, in which the fourth is.
    assert_eq!(outcomes, [stored(1, 1), Appended::Repeat, stored(2, 2), Appended::Repeat]);
}

#[tokio::test]
async fn what_is_not_committed_is_no_repeat() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.commit().await.unwrap();
    let one = || with_origin(message(1, ("eve", eve), ("bob", bob)), eve, "a");
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.append(&[one()]).await.unwrap(), [stored(1, 1)]);
    // From here on it is read from the table, with what the transaction has written.
    tx.end_renewal(0, 1, 1, 1).await.unwrap();
    assert_eq!(tx.append(&[one()]).await.unwrap(), [Appended::Repeat]);
    drop(tx);

    let mut tx = store.begin().await.unwrap();

    assert_eq!(tx.append(&[one()]).await.unwrap(), [stored(1, 1)]);
    assert_eq!(tx.append(&[one()]).await.unwrap(), [Appended::Repeat]);
}

/// How many hashes fill a part in tests.
const FULL: usize = 1_000;

#[test]
fn what_is_in_memory_is_bounded_by_time_and_number() {
    let mut all = Remembered { bounds: (FULL, 6 * FULL), ..Remembered::default() };
    let mut next = 0;
    let mut noted = |at, number: usize| {
        let first = next;
        next += number as u128;
        Noted { at, hashes: (first..next).map(Repeat).collect() }
    };
    for span in 0..10 {
        all.add(span, noted(span * SPAN, 3));
    }
    let spans: Vec<i64> = all.parts.iter().map(|part| part.span).collect();
    assert_eq!(spans, [5, 6, 7, 8, 9]);
    assert!(!all.has(&Repeat(14), 9 * SPAN) && all.has(&Repeat(15), 9 * SPAN));
    assert!(!all.has(&Repeat(15), 10 * SPAN) && all.has(&Repeat(18), 10 * SPAN));

    let mut forgotten = 0;
    for row in 0..8 {
        forgotten += all.add(10 + row, noted(9 * SPAN, FULL));
        assert!(all.hashes() <= 6 * FULL);
    }
    assert!(all.parts.iter().all(|part| part.hashes.len() <= FULL + 3));
    assert_eq!(forgotten + all.hashes(), 5 * 3 + 8 * FULL);
    assert_eq!(all.hashes(), 6 * FULL);
}

#[test]
fn no_repeat_of_a_day_is_forgotten_while_there_is_room() {
    // Several full parts of one span, and others that are nearly empty.
    let rows =
        [(0, 7), (1, FULL), (1, FULL), (1, FULL), (1, 9), (2, 5), (3, FULL), (3, FULL), (4, 3)];
    let mut all = Remembered { bounds: (FULL, 6 * FULL), ..Remembered::default() };
    let mut next = 0;
    for (id, (span, number)) in (1..).zip(rows) {
        let hashes = (next..next + number as u128).map(Repeat).collect();
        next += number as u128;

        assert_eq!(all.add(id, Noted { at: span * SPAN, hashes }), 0);
    }

    assert!(all.parts.len() > 6);
    assert_eq!(all.hashes() as u128, next);
    assert!((0..next).all(|hash| all.has(&Repeat(hash), 4 * SPAN)));
}

#[tokio::test]
async fn a_repeat_is_recognised_although_the_message_is_gone() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let one = |n| with_origin(message(n, ("eve", eve), ("bob", bob)), eve, "a");
    tx.append(&[one(1)]).await.unwrap();
    tx.remove_account(eve).await.unwrap();
    assert_eq!(tx.drop_confirmed(bob, 0, 1, 99).await.unwrap().rows, 1);

    assert_eq!(tx.append(&[one(2)]).await.unwrap(), [Appended::Repeat]);
}

#[tokio::test]
async fn repeats_are_forgotten_in_steps() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    for n in 1..=5 {
        let one = message(n, ("eve", eve), ("bob", bob));
        tx.append(&[with_origin(one, eve, &n.to_string())]).await.unwrap();
    }

    let mut purged = Vec::new();
    for _ in 0..3 {
        purged.push(tx.purge_repeats(5_000, 3).await.unwrap());
    }

    assert_eq!(purged, [3, 1, 0]);
}

#[tokio::test]
async fn a_repeat_is_as_young_as_the_clock_says_after_a_jump() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.commit().await.unwrap();
    let now = 20 * SPAN;
    let append = async |kept_at, id: &str| {
        let one = with_origin(message(1, ("eve", eve), ("bob", bob)), eve, id);
        let mut tx = store.begin().await.unwrap();
        let outcomes = tx.append(&[NewMessage { kept_at, ..one }]).await.unwrap();
        tx.commit().await.unwrap();
        outcomes[0] != Appended::Repeat
    };
    assert!(append(1_000, "old").await);
    assert!(append(2_000, "doubted").await);

    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.renew(Renewed::default(), 2_000, now, 9).await.unwrap(), None);
    tx.end_renewal(2_000, 2_000, now, now - 2_000).await.unwrap();
    tx.commit().await.unwrap();

    assert!(append(now, "old").await);
    assert!(!append(now + REPEAT_WINDOW, "doubted").await);
    assert!(append(now + REPEAT_WINDOW + SPAN, "doubted").await);
}

#[test]
fn a_commit_in_doubt_leaves_known_what_it_has_not_written() {
    let known = || Repeats { committed: Some(Remembered::default()), ..Repeats::default() };

    let mut without = known();
    without.doubt();
    let mut with = Repeats { written: vec![Noted::default()], ..known() };
    with.doubt();
    let mut changed = Repeats { is_read_now: true, ..known() };
    changed.doubt();

    assert!(without.committed.is_some());
    assert!(with.committed.is_none() && with.written.is_empty());
    assert!(changed.committed.is_none());
}

#[test]
fn a_hash_depends_on_the_installation_and_on_all_that_it_is_made_of() {
    let key = RepeatKey::new(b"one");
    let one = key.of(1, 2, "a");

    assert_eq!(key.of(1, 2, "a"), one);
    let others = [key.of(2, 2, "a"), key.of(1, 1, "a"), key.of(1, 2, "b"), key.of(1, 2, "")];
    assert!(others.iter().all(|other| *other != one));
    assert_ne!(RepeatKey::new(b"other").of(1, 2, "a"), one);
}

#[tokio::test]
async fn what_an_older_database_recognised_is_recognised_after_the_upgrade() {
    const HAS_SECRET: &str = "INSERT INTO settings (name, value) VALUES ('secret.archive', ";
    for version in [1, 2] {
        let dir = Dir::of_files();
        let file = dir.path().join("store.db");
        old_file(&file, version).unwrap();
        alter(&file, lasting(HAS_SECRET, "X'0909')")).await;
        let mut places = vec![place(&dir)];
        let scratch = Scratch::new().map(Result::unwrap);
        if let Some(scratch) = &scratch {
            scratch.fill_as_of(version).unwrap();
            scratch.alter(lasting(HAS_SECRET, "'\\x0909')")).unwrap();
            places.push(scratch.place());
        }
        for place in places {
            let store = Store::open(&place).await.unwrap();
            let mut tx = store.begin().await.unwrap();
            let again = |kept_at| NewMessage {
                kept_at,
                repeat: Some(RepeatKey::new(&[9, 9]).of(3, 1, "o1")),
                ..message(8, ("eve", 3), ("bob", 1))
            };

            // It came at 51.
            assert_eq!(tx.append(&[again(50 + REPEAT_WINDOW)]).await.unwrap(), [Appended::Repeat]);
            let later = again(REPEAT_WINDOW + SPAN);
            assert_ne!(tx.append(&[later]).await.unwrap(), [Appended::Repeat]);
        }
    }
}

#[tokio::test]
async fn an_upgrade_finds_each_page_of_what_was_recognised_by_its_key() {
    let dir = Dir::of_files();
    let file = dir.path().join("store.db");
    old_file(&file, 2).unwrap();
    let options = crate::sqlite::options(&file).unwrap();
    let mut conn = <AnyConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    for (text, parameters) in [(OF_OLD, 3), (RECIPIENTS, 1)] {
        let plan = lasting("EXPLAIN QUERY PLAN ", text);
        let query = (0..parameters).fold(sqlx::query(plan), |query, _| query.bind(""));

        let steps: Vec<String> =
            query.fetch_all(&mut conn).await.unwrap().iter().map(|row| row.get(3)).collect();

        // One step is one table, once.
        assert!(steps.len() == 1 && steps[0].starts_with("SEARCH"), "{steps:?}");
    }
}

#[tokio::test]
async fn many_origins_and_accounts_are_carried_over_page_by_page() {
    let dir = Dir::of_files();
    let file = dir.path().join("store.db");
    old_file(&file, 2).unwrap();
    alter(
        &file,
        "INSERT INTO settings (name, value) VALUES ('secret.archive', X'0909');
        WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 2599)
        INSERT INTO accounts (id, domain, localpart, created_at, last_active)
        SELECT i, 1, 'n' || i, 50, 50 FROM n;
        WITH RECURSIVE n (i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 2699)
        INSERT INTO origins (sender, recipient, origin, seq, at)
        SELECT 3, 'n' || i || '@#1', 'o', i, 50 FROM n",
    )
    .await;
    let options = crate::sqlite::options(&file).unwrap();
    let mut conn = <AnyConnection as sqlx::Connection>::connect_with(&options).await.unwrap();

    let carried = Carried::from(&mut conn).await.unwrap();

    let key = RepeatKey::new(&[9, 9]);
    let all: HashSet<Repeat> = carried.0.into_iter().map(|(_, repeat)| repeat).collect();
    assert!((100..2600).all(|archive| all.contains(&key.of(3, archive, "o"))));
    // To these nobody has an account.
    assert!((2600..2700).all(|archive| !all.contains(&key.of(3, archive, "o"))));
}

/// Returns a text that lives as long as the tests.
fn lasting(text: &str, end: &str) -> &'static str {
    format!("{text}{end}").leak()
}
