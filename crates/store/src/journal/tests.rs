//! What is in the journal is never missed, never lost and never there twice.
#![allow(clippy::unwrap_used)]

use sqlx::Row;

use super::*;
use crate::testing::{Dir, account, fresh, fresh_file, message, place, remove_wholly, with_origin};
use crate::{Appended, Query, Store};

/// As many messages as fill a part with the rows of one archive.
const FULL: i64 = MOST_IN_PART as i64;

/// Counts the rows of the journal, without folding it.
async fn in_journal(store: &Store) -> i64 {
    let mut conn = store.reader().await.unwrap();
    let row = sqlx::query("SELECT COUNT(*) FROM journal").fetch_one(&mut *conn).await;
    row.unwrap().get(0)
}

/// Makes bob and eve, each with an archive of their number.
async fn two(store: &Store) -> (i64, i64) {
    let mut tx = store.begin().await.unwrap();
    let both = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.commit().await.unwrap();
    both
}

async fn append(store: &Store, messages: &[NewMessage]) -> Vec<Appended> {
    let mut tx = store.begin().await.unwrap();
    let outcomes = tx.append(messages).await.unwrap();
    tx.commit().await.unwrap();
    outcomes
}

async fn seqs(store: &Store, archive: i64) -> Vec<i64> {
    let all = Query { limit: 100_000, ..Query::default() };
    store.query(archive, &all).await.unwrap().rows.iter().map(|row| row.seq).collect()
}

fn stored(first: i64, second: i64) -> Appended {
    Appended::Stored { first, second: Some(second) }
}

#[tokio::test]
async fn new_rows_stand_in_the_journal_until_somebody_reads_their_archive() {
    let (_dir, store) = fresh().await;
    let (bob, eve) = two(&store).await;
    let mut tx = store.begin().await.unwrap();
    let zoe = account(&mut tx, "zoe").await;
    tx.commit().await.unwrap();
    append(&store, &[message(1, ("eve", eve), ("bob", bob))]).await;
    append(&store, &[message(2, ("eve", eve), ("bob", bob))]).await;
    assert_eq!(in_journal(&store).await, 4);

    assert!(seqs(&store, zoe).await.is_empty());
    assert_eq!(in_journal(&store).await, 4);

    assert_eq!(seqs(&store, eve).await, [1, 2]);
    assert_eq!(in_journal(&store).await, 2, "those of bob are in another part");
    assert_eq!(seqs(&store, bob).await, [1, 2]);
    assert_eq!(in_journal(&store).await, 0);
    assert_eq!(append(&store, &[message(3, ("bob", bob), ("eve", eve))]).await, [stored(3, 3)]);
    assert_eq!(seqs(&store, bob).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_part_that_is_full_is_folded_by_the_next_group() {
    let (_dir, store) = fresh_file().await;
    let (bob, eve) = two(&store).await;
    let group: Vec<NewMessage> =
        (0..FULL).map(|n| message(n, ("eve", eve), ("bob", bob))).collect();

    append(&store, &group[..MOST_IN_PART - 1]).await;
    append(&store, &group[MOST_IN_PART - 1..]).await;
    assert_eq!(in_journal(&store).await, 2 * FULL);
    append(&store, &group[..2]).await;

    assert_eq!(in_journal(&store).await, 4);
    assert_eq!(seqs(&store, bob).await, (1..=FULL + 2).collect::<Vec<_>>());
    assert_eq!(seqs(&store, eve).await, (1..=FULL + 2).collect::<Vec<_>>());
}

#[test]
fn parts_that_fill_at_the_same_pace_are_folded_one_at_a_time_and_seldom() {
    let coming = [16; PARTS];
    let (mut held, mut folded) = ([0; PARTS], Vec::new());
    for _ in 0..1_000 {
        let parts = overfull(held, &coming);
        assert!(parts.len() <= 1, "{parts:?}");
        for part in parts {
            let Folded::Part(part) = part else { panic!("{part:?}") };
            folded.push(std::mem::take(&mut held[part]));
        }
        held = std::array::from_fn(|part| held[part] + coming[part]);
        assert!(held.iter().all(|rows| *rows <= MOST_IN_PART));
        assert!(held.iter().sum::<usize>() <= MOST);
    }
    let of_late = &folded[folded.len() / 2..];
    assert!(of_late.iter().all(|rows| *rows > MOST_IN_PART / 2), "{of_late:?}");
}

#[test]
fn what_has_no_room_is_folded_and_nothing_else() {
    let none = [0; PARTS];
    let with = |part: usize, rows: usize| {
        let mut all = none;
        all[part] = rows;
        all
    };
    let (full, huge) = (MOST_IN_PART, MOST + 1);
    assert_eq!(overfull(none, &with(3, huge)), []);
    assert_eq!(overfull(with(3, full - 1), &with(3, 1)), []);
    assert_eq!(overfull(with(3, full), &with(3, 1)), [Folded::Part(3)]);
    assert_eq!(overfull(with(3, full), &with(4, 1)), []);
    assert_eq!(overfull(with(3, 1), &with(4, huge)), [Folded::Part(3)]);
}

/// A killed process leaves what is on the disk: here, messages in the journal alone.
#[tokio::test]
async fn what_a_killed_server_left_in_the_journal_is_all_there_at_the_next_start() {
    let (dir, killed) = (Dir::of_files(), Dir::of_files());
    let store = Store::open(&place(&dir)).await.unwrap();
    let (bob, eve) = two(&store).await;
    let one = |n, id: &str| with_origin(message(n, ("eve", eve), ("bob", bob)), eve, id);
    append(&store, &[one(1, "a"), one(2, "b")]).await;
    assert_eq!(in_journal(&store).await, 4);
    for part in ["store.db", "store.db-wal"] {
        std::fs::copy(dir.path().join(part), killed.path().join(part)).unwrap();
    }

    let store = Store::open(&place(&killed)).await.unwrap();

    // Numbers go on, and repeats are known, before anybody has read.
    assert_eq!(append(&store, &[one(3, "c"), one(4, "b")]).await, [stored(3, 3), Appended::Repeat]);
    assert_eq!(seqs(&store, eve).await, [1, 2, 3]);
    store.close().await.unwrap();
    let store = Store::open(&place(&killed)).await.unwrap();
    assert_eq!(seqs(&store, bob).await, [1, 2, 3]);
    assert_eq!(store.undelivered(bob, 0, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn after_a_group_that_was_refused_numbers_go_on_above_the_journal() {
    let (_dir, store) = fresh().await;
    let (bob, eve) = two(&store).await;
    let one = |n| with_origin(message(n, ("eve", eve), ("bob", bob)), eve, &n.to_string());
    append(&store, &[one(1)]).await;

    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.append(&[one(2)]).await.unwrap(), [stored(2, 2)]);
    drop(tx);

    // The second did not happen, so it is no repeat.
    let outcomes = append(&store, &[one(2), one(1)]).await;
    assert_eq!(outcomes, [stored(2, 2), Appended::Repeat]);
    assert_eq!(seqs(&store, bob).await, [1, 2]);
}

#[tokio::test]
async fn a_fold_in_a_transaction_that_is_dropped_has_not_happened() {
    let (_dir, store) = fresh().await;
    let (bob, eve) = two(&store).await;
    let one = |n| with_origin(message(n, ("eve", eve), ("bob", bob)), eve, &n.to_string());
    append(&store, &[one(1)]).await;

    let mut tx = store.begin().await.unwrap();
    tx.append(&[one(2)]).await.unwrap();
    tx.fold(Folded::Everything).await.unwrap();
    assert_eq!(tx.append(&[one(1), one(2), one(3)]).await.unwrap()[..2], [Appended::Repeat; 2]);
    drop(tx);

    assert_eq!(in_journal(&store).await, 2);
    assert_eq!(append(&store, &[one(1), one(2)]).await, [Appended::Repeat, stored(2, 2)]);
    assert_eq!(seqs(&store, eve).await, [1, 2]);
}

#[tokio::test]
async fn whatever_is_removed_was_folded_before() {
    let (_dir, store) = fresh().await;
    let (bob, eve) = two(&store).await;
    let all = [1, 2, 3].map(|n| message(n, ("eve", eve), ("bob", bob)));
    append(&store, &all).await;

    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.drop_confirmed(bob, 0, 1, 99).await.unwrap().rows, 1);
    tx.append(&all).await.unwrap();
    remove_wholly(&mut tx, bob).await;
    tx.commit().await.unwrap();

    assert_eq!(in_journal(&store).await, 6, "those of eve");
    assert_eq!(seqs(&store, eve).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(store.count_rows("bodies").await, 6);
    let mut tx = store.begin().await.unwrap();
    remove_wholly(&mut tx, eve).await;
    tx.commit().await.unwrap();
    assert_eq!(store.count_rows("bodies").await, 0);
}

#[tokio::test]
async fn what_is_old_is_found_in_the_journal_and_nothing_is_folded_to_find_nothing() {
    let (_dir, store) = fresh().await;
    let (bob, eve) = two(&store).await;
    append(&store, &[message(5, ("eve", eve), ("bob", bob))]).await;
    append(&store, &[message(6, ("eve", eve), ("bob", bob))]).await;
    let find = async |before| {
        let begun = store.archives_begun_before(0, before, 10).await.unwrap();
        (begun.archives, store.find_old(bob, 0, before, 10).await.unwrap())
    };
    assert_eq!(seqs(&store, bob).await, [1, 2]);
    assert_eq!(seqs(&store, eve).await, [1, 2]);
    append(&store, &[message(7, ("eve", eve), ("bob", bob))]).await;
    append(&store, &[message(8, ("eve", eve), ("bob", bob))]).await;

    let (archives, old) = find(7_000).await;
    assert_eq!((archives, old.unwrap().up_to_seq), (vec![bob, eve], 2));
    assert_eq!(in_journal(&store).await, 4);

    assert_eq!(find(7_001).await.1.unwrap().up_to_seq, 3);
    assert_eq!(in_journal(&store).await, 0);
}

#[cfg(feature = "faults")]
mod faults {
    use super::*;
    use crate::faults::{Fault, Step};

    /// Refuses the n-th step from now on, and no other; returns whether there was one.
    fn refuse(store: &Store, n: usize) -> Arc<std::sync::atomic::AtomicBool> {
        let met = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (mut left, noted) = (n, met.clone());
        store.set_faults(move |step| {
            if step == Step::Question {
                return Fault::None;
            }
            left = match left {
                0 => return Fault::None,
                1 => {
                    noted.store(true, std::sync::atomic::Ordering::Relaxed);
                    0
                }
                _ => left - 1,
            };
            if left == 0 { Fault::Fails } else { Fault::None }
        });
        met
    }

    #[tokio::test]
    async fn at_whatever_step_a_fold_is_refused_everything_is_read_and_nothing_twice() {
        for n in 1.. {
            let (_dir, store) = fresh().await;
            let (bob, eve) = two(&store).await;
            let one =
                |n: i64| with_origin(message(n, ("eve", eve), ("bob", bob)), eve, &n.to_string());
            append(&store, &[one(1), one(2)]).await;
            let met = refuse(&store, n);

            let read = store.undelivered(bob, 0, 10).await.unwrap();

            store.clear_faults();
            let met = met.load(std::sync::atomic::Ordering::Relaxed);
            assert_eq!(read.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 2]);
            assert_eq!(in_journal(&store).await, if met { 4 } else { 2 });
            let outcomes = append(&store, &[one(2), one(3)]).await;
            assert_eq!(outcomes, [Appended::Repeat, stored(3, 3)]);
            assert_eq!(seqs(&store, bob).await, [1, 2, 3]);
            assert_eq!(seqs(&store, eve).await, [1, 2, 3]);
            if !met {
                assert!(n > 4);
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_fold_goes_on_when_its_reader_is_gone_and_is_made_once_for_all_that_wait() {
        let (_dir, store) = fresh().await;
        let (bob, eve) = two(&store).await;
        append(&store, &[message(1, ("eve", eve), ("bob", bob))]).await;
        let begun = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = begun.clone();
        store.set_faults(move |step| {
            if step == Step::Begin {
                counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            Fault::None
        });
        let held = store.begin().await.unwrap();
        for _ in 0..5 {
            // It begins, has to wait, and is dropped.
            let read = store.undelivered(bob, 0, 10);
            tokio::select! {
                biased;
                _ = read => panic!("nothing is read before the fold"),
                () = tokio::task::yield_now() => {}
            }
        }
        held.rollback().await.unwrap();

        // Whoever writes next comes after them.
        store.begin().await.unwrap().rollback().await.unwrap();

        assert_eq!(in_journal(&store).await, 1, "that of eve");
        assert_eq!(seqs(&store, bob).await, [1]);
        // The writer that held all up, one fold, and the writer after it.
        assert_eq!(begun.load(std::sync::atomic::Ordering::Relaxed), 3);
    }

    /// Everything that a query of an archive can say of one, with pages of two rows.
    async fn told(store: &Store, archive: i64) -> String {
        let mut told = Vec::new();
        for with in [None, Some("eve@#1"), Some("bob@#1"), Some("zoe@#1")] {
            for backwards in [false, true] {
                let (mut page, mut pages) = (Query { limit: 2, backwards, ..Query::default() }, 0);
                page.with = with.map(str::to_owned);
                let total = store.count(archive, &page, 1_000).await.unwrap();
                told.push(format!("{with:?} {backwards} {total:?}"));
                while pages < 9 {
                    let read = store.query(archive, &page).await.unwrap();
                    told.push(format!("{read:?}"));
                    match backwards {
                        true => page.before_seq = read.rows.first().map(|row| row.seq),
                        false => page.after_seq = read.rows.last().map(|row| row.seq),
                    }
                    pages += if read.complete { 9 } else { 1 };
                }
            }
        }
        for seq in 0..9 {
            let mut waits = store.count_undelivered(archive, seq).await;
            waits.iter_mut().for_each(|waits| waits.sort());
            told.push(format!("{waits:?}"));
            told.push(format!("{:?}", store.undelivered(archive, seq, 2).await));
            told.push(format!("{:?}", store.archive_has(archive, seq).await));
            told.push(format!("{:?}", store.find_old(archive, seq, 4_000, 2).await));
        }
        told.push(format!("{:?}", store.archives_with_passing().await));
        told.join("\n")
    }

    #[tokio::test]
    async fn a_full_disk_keeps_no_reader_out_and_every_answer_is_as_after_a_fold() {
        for refused in [Step::Begin, Step::Statement, Step::Commit] {
            let (_dir, store) = fresh().await;
            let (bob, eve) = two(&store).await;
            let from_eve = |n| message(n, ("eve", eve), ("bob", bob));
            let from_bob = |n| message(n, ("bob", bob), ("eve", eve));
            let own = message(4, ("bob", bob), ("bob", bob));
            append(&store, &[from_eve(1), from_bob(2), from_eve(3)]).await;
            assert_eq!(seqs(&store, bob).await, [1, 2, 3]);
            let passing = crate::testing::until_delivered(from_eve(5));
            append(&store, &[own, passing, from_bob(6), from_eve(7)]).await;
            let written = in_journal(&store).await;
            store.set_faults(move |step| match step == refused {
                true => Fault::Fails,
                false => Fault::None,
            });

            let full = [told(&store, bob).await, told(&store, eve).await];

            store.clear_faults();
            assert_eq!(in_journal(&store).await, written, "it is not folded");
            let folded = [told(&store, bob).await, told(&store, eve).await];
            assert_eq!(in_journal(&store).await, 0);
            assert_eq!(full, folded);
            assert!(folded[0].contains("seq: 7") && !folded[0].contains("Err("), "{}", folded[0]);
        }
    }

    #[tokio::test]
    async fn a_backlog_read_while_the_disk_gets_room_again_comes_in_order_and_once() {
        for page_of_the_fold in 0..5 {
            let (_dir, store) = fresh().await;
            let (bob, eve) = two(&store).await;
            let one = |n| message(n, ("eve", eve), ("bob", bob));
            append(&store, &[one(1), one(2), one(3)]).await;
            assert_eq!(seqs(&store, bob).await, [1, 2, 3]);
            append(&store, &[one(4), one(5), one(6), one(7)]).await;
            store.set_faults(|step| match step {
                Step::Question => Fault::None,
                _ => Fault::Fails,
            });

            let mut read: Vec<i64> = Vec::new();
            for page in 0..5 {
                if page == page_of_the_fold {
                    store.clear_faults();
                }
                let after = read.last().copied().unwrap_or(0);
                let waits = store.count_undelivered(bob, after).await.unwrap();
                assert_eq!(waits.iter().map(|(_, messages, _)| messages).sum::<i64>(), 7 - after);
                let rows = store.undelivered(bob, after, 2).await.unwrap();
                read.extend(rows.iter().map(|row| row.seq));
            }

            assert_eq!(read, [1, 2, 3, 4, 5, 6, 7]);
            assert_eq!(append(&store, &[one(8)]).await, [stored(8, 8)]);
        }
    }

    #[tokio::test]
    async fn a_fold_that_fails_for_want_of_anything_but_room_is_an_error() {
        let (_dir, store) = fresh().await;
        let (bob, eve) = two(&store).await;
        append(&store, &[message(1, ("eve", eve), ("bob", bob))]).await;
        let mut tx = store.begin().await.unwrap();
        // Another row of the archive has its number already.
        let twice = "INSERT INTO journal (part, body, archive, seq, at, peer, direction, bytes) \
            SELECT part, body + 1, archive, seq, at, peer, direction, bytes FROM journal";
        sqlx::query(twice).execute(tx.conn().unwrap()).await.unwrap();
        tx.commit().await.unwrap();

        assert!(matches!(store.undelivered(bob, 0, 9).await, Err(crate::Error::Database(_))));
    }

    #[tokio::test]
    async fn a_group_that_cannot_fold_is_refused_and_the_journal_does_not_grow() {
        let (_dir, store) = fresh_file().await;
        let (bob, eve) = two(&store).await;
        let full: Vec<NewMessage> =
            (0..FULL).map(|n| message(n, ("eve", eve), ("bob", bob))).collect();
        append(&store, &full).await;
        store.set_faults(|step| match step {
            Step::Statement => Fault::Fails,
            _ => Fault::None,
        });

        for _ in 0..3 {
            let mut tx = store.begin().await.unwrap();
            assert!(tx.append(&full[..1]).await.unwrap_err().is_full());
        }

        store.clear_faults();
        assert_eq!(in_journal(&store).await, 2 * FULL);
        append(&store, &full[..1]).await;
        assert_eq!(in_journal(&store).await, 2);
        assert_eq!(seqs(&store, bob).await.len(), MOST_IN_PART + 1);
    }
}

#[test]
fn the_texts_of_a_fold_differ_between_the_databases_in_what_a_refused_row_ends() {
    let sqlite = fold(Dialect::Sqlite).map(|text| text.replace(" OR ROLLBACK", ""));

    assert_eq!(sqlite, *fold(Dialect::Postgres));
}
