//! What an archive shows, and what is deleted.
#![allow(clippy::unwrap_used)]

use sqlx::AssertSqlSafe;

use super::*;
use crate::NewMessage;
use crate::dialect::Dialect;
use crate::testing::{account, fresh, fresh_file, message, remove_wholly, until_delivered};

fn seqs(rows: &[LoggedMessage]) -> Vec<i64> {
    rows.iter().map(|row| row.seq).collect()
}

/// Makes messages between bob and eve, then bob and mona, in turn: 1 to 10, at 1000 to 10000.
async fn ten(store: &Store) -> (i64, i64, i64) {
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    let eve = account(&mut tx, "eve").await;
    let mona = account(&mut tx, "mona").await;
    let batch: Vec<NewMessage> = (1..=10)
        .map(|seq| match seq % 2 {
            0 => message(seq, ("eve", eve), ("bob", bob)),
            _ => message(seq, ("bob", bob), ("mona", mona)),
        })
        .collect();
    tx.append(&batch).await.unwrap();
    tx.commit().await.unwrap();
    (bob, eve, mona)
}

#[tokio::test]
async fn an_archive_is_paged_forward_and_backward() {
    let (_dir, store) = fresh().await;
    let (bob, ..) = ten(&store).await;
    let all = Query { limit: 4, ..Query::default() };
    let cases: [(Query, &[i64], bool); 8] = [
        (all.clone(), &[1, 2, 3, 4], false),
        (Query { after_seq: Some(4), ..all.clone() }, &[5, 6, 7, 8], false),
        (Query { after_seq: Some(6), ..all.clone() }, &[7, 8, 9, 10], true),
        (Query { after_seq: Some(10), ..all.clone() }, &[], true),
        (Query { backwards: true, ..all.clone() }, &[7, 8, 9, 10], false),
        (Query { backwards: true, before_seq: Some(7), ..all.clone() }, &[3, 4, 5, 6], false),
        (Query { backwards: true, before_seq: Some(3), ..all.clone() }, &[1, 2], true),
        (Query { after_seq: Some(2), before_seq: Some(5), ..all.clone() }, &[3, 4], true),
    ];

    for (query, expected, complete) in cases {
        let page = store.query(bob, &query).await.unwrap();
        assert_eq!((seqs(&page.rows).as_slice(), page.complete), (expected, complete), "{query:?}");
    }
}

#[tokio::test]
async fn a_message_is_replaced_where_it_is_and_in_every_archive_that_has_it() {
    let (_dir, store) = fresh().await;
    let (bob, eve, _) = ten(&store).await;
    let whole = Query { limit: 10, ..Query::default() };
    let before = store.query(bob, &whole).await.unwrap();

    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.archived(bob, 11).await.unwrap(), None);
    let second = tx.archived(bob, 2).await.unwrap().unwrap();
    assert_eq!(second, before.rows[1]);
    tx.replace_archived(bob, 2, b"<message id='gone'/>").await.unwrap();
    tx.commit().await.unwrap();

    let replaced = store.query(bob, &whole).await.unwrap();
    assert_eq!(&replaced.rows[1].stanza[..], b"<message id='gone'/>");
    let others =
        |page: &Page| page.rows.iter().filter(|it| it.seq != 2).cloned().collect::<Vec<_>>();
    assert_eq!(others(&replaced), others(&before));
    let theirs = store.query(eve, &whole).await.unwrap();
    assert_eq!(&theirs.rows[0].stanza[..], b"<message id='gone'/>");
}

#[tokio::test]
async fn an_archive_has_ends_and_what_it_does_not_show_is_none_of_them() {
    let (_dir, store) = fresh().await;
    let (bob, eve, _) = ten(&store).await;
    let mut passing = message(11, ("eve", eve), ("bob", bob));
    passing.first.direction = crate::Direction::Passing;
    passing.second = None;
    let mut tx = store.begin().await.unwrap();
    tx.append(&[passing]).await.unwrap();
    tx.commit().await.unwrap();

    let (oldest, newest) = store.archive_ends(bob).await.unwrap().unwrap();
    assert_eq!((oldest.seq, newest.seq), (1, 10));
    assert_eq!((oldest.at, newest.at), (1000, 10_000));
    assert_eq!(store.archive_ends(999).await.unwrap(), None);

    // Bob has received the even numbers, and 11, which is not shown.
    for (after, shown_to, left, shown) in [
        (0, 10, vec![11], Some((2, 10))),
        (4, 7, vec![8, 10, 11], Some((6, 6))),
        (10, 10, vec![11], None),
        (0, 1, vec![2, 4, 6, 8, 10, 11], None),
    ] {
        let read = store.undelivered_but_shown(bob, after, shown_to, 100).await.unwrap();
        assert_eq!((seqs(&read.rows), read.shown), (left, shown), "{after} {shown_to}");
    }
    let one = store.undelivered_but_shown(bob, 0, 4, 1).await.unwrap();
    assert_eq!((seqs(&one.rows), one.shown), (vec![6], Some((2, 4))));
}

#[tokio::test]
async fn a_total_is_known_only_where_few_rows_have_to_be_looked_at() {
    let (_dir, store) = fresh().await;
    let (bob, ..) = ten(&store).await;
    let all = Query::default();
    let with = |key: &str| Query { with: Some(key.into()), ..Query::default() };
    let later = Query { start: Some(20_000), ..Query::default() };

    for (query, most, count) in [
        (&all, 10, Some(10)),
        (&all, 9, None),
        (&with("eve@#1"), 5, Some(5)),
        (&with("eve@#1"), 4, None),
        (&with("nobody@#1"), 1, Some(0)),
        // That nothing matches would be known only after looking at everything.
        (&later, 10, Some(0)),
        (&later, 9, None),
    ] {
        assert_eq!(store.count(bob, query, most).await.unwrap(), count, "{query:?} {most}");
    }
}

#[tokio::test]
async fn an_archive_is_filtered_by_peer_and_by_times_that_include_their_ends() {
    let (_dir, store) = fresh().await;
    let (bob, ..) = ten(&store).await;
    let with = |key: &str| Query { with: Some(key.into()), limit: 3, ..Query::default() };
    let cases: [(Query, &[i64], bool, i64); 7] = [
        (with("eve@#1"), &[2, 4, 6], false, 5),
        (Query { backwards: true, ..with("eve@#1") }, &[6, 8, 10], false, 5),
        (Query { after_seq: Some(6), ..with("eve@#1") }, &[8, 10], true, 5),
        (with("nobody@#1"), &[], true, 0),
        (Query { start: Some(8_000), ..with("mona@#1") }, &[9], true, 1),
        (Query { start: Some(4_000), end: Some(6_000), ..with("eve@#1") }, &[4, 6], true, 2),
        (
            Query { start: Some(9_000), end: Some(9_999), limit: 9, ..Query::default() },
            &[9],
            true,
            1,
        ),
    ];

    for (query, expected, complete, count) in cases {
        let page = store.query(bob, &query).await.unwrap();
        assert_eq!((seqs(&page.rows).as_slice(), page.complete), (expected, complete), "{query:?}");
        assert_eq!(store.count(bob, &query, i64::MAX).await.unwrap().unwrap(), count, "{query:?}");
    }
}

#[tokio::test]
async fn a_page_of_nothing_tells_whether_there_is_anything() {
    let (_dir, store) = fresh().await;
    let (bob, ..) = ten(&store).await;

    for limit in [0, -7] {
        let page = store.query(bob, &Query { limit, ..Query::default() }).await.unwrap();
        assert_eq!(page, Page { rows: Vec::new(), complete: false });
    }
    let page = store.query(999, &Query::default()).await.unwrap();
    assert_eq!(page, Page { rows: Vec::new(), complete: true });
}

#[tokio::test]
async fn an_archive_has_its_own_messages_and_no_others() {
    let (_dir, store) = fresh().await;
    let (bob, eve, _) = ten(&store).await;

    assert!(store.archive_has(bob, 10).await.unwrap());
    assert!(store.archive_has(eve, 5).await.unwrap());
    assert!(!store.archive_has(eve, 6).await.unwrap());
    assert!(!store.archive_has(bob, 11).await.unwrap());
}

#[tokio::test]
async fn dropping_what_is_confirmed_leaves_what_is_not_and_what_others_keep() {
    let (_dir, store) = fresh().await;
    let (bob, eve, mona) = ten(&store).await;
    let mut tx = store.begin().await.unwrap();

    assert_eq!(tx.drop_confirmed(bob, 0, 6, 99).await.unwrap().rows, 3);
    assert_eq!(tx.drop_confirmed(bob, 0, 6, 99).await.unwrap().rows, 0);
    assert_eq!(tx.drop_confirmed(mona, 0, 9, 99).await.unwrap().rows, 5);
    tx.commit().await.unwrap();

    let all = Query { limit: 20, ..Query::default() };
    let of_bob = store.query(bob, &all).await.unwrap().rows;
    assert_eq!(seqs(&of_bob), [1, 3, 5, 7, 8, 9, 10]);
    assert_eq!(seqs(&store.undelivered(bob, 0, 10).await.unwrap()), [8, 10]);
    let of_eve = store.query(eve, &all).await.unwrap().rows;
    assert_eq!(seqs(&of_eve), [1, 2, 3, 4, 5]);
    // Each of the ten is still in the sender's archive.
    assert_eq!(store.count_rows("bodies").await, 10);
}

/// Expires everything before a time, reading two rows at a time; returns which archives had any.
async fn expire_all(store: &Store, before: i64) -> Vec<i64> {
    let mut found = Vec::new();
    let mut archive = Some(0);
    while let Some(last) = archive {
        let begun = store.archives_begun_before(last, before, 1).await.unwrap();
        for next in begun.archives {
            let mut after = 0;
            while let Some(old) = store.find_old(next, after, before, 2).await.unwrap() {
                let mut tx = store.begin().await.unwrap();
                let gone = tx.expire(next, after, old.up_to_seq).await.unwrap();
                tx.commit().await.unwrap();
                assert_eq!(gone > 0, old.any_goes);
                after = old.up_to_seq;
                if !old.more {
                    break;
                }
            }
            found.push(next);
        }
        archive = begun.more_after;
    }
    found
}

#[tokio::test]
async fn history_expires_in_steps_and_what_is_undelivered_does_not() {
    let (_dir, store) = fresh().await;
    let (bob, eve, mona) = ten(&store).await;
    let mut tx = store.begin().await.unwrap();
    // Bob has confirmed 2 and 4; mona has confirmed nothing.
    tx.advance_cursors(&[(bob, 5)]).await.unwrap();
    tx.commit().await.unwrap();
    assert!(expire_all(&store, 1_000).await.is_empty());

    // Of what was kept at 1000 to 7000, this deletes all that bob and eve sent, and what bob has
    // confirmed.
    assert_eq!(expire_all(&store, 7_001).await, [bob, eve, mona]);

    let all = Query { limit: 20, ..Query::default() };
    assert_eq!(seqs(&store.undelivered(bob, 5, 10).await.unwrap()), [6, 8, 10]);
    assert_eq!(seqs(&store.undelivered(mona, 0, 10).await.unwrap()), [1, 2, 3, 4, 5]);
    assert_eq!(seqs(&store.query(bob, &all).await.unwrap().rows), [6, 8, 9, 10]);
    assert_eq!(seqs(&store.query(eve, &all).await.unwrap().rows), [4, 5]);
    // Two of them are in no archive any more.
    assert_eq!(store.count_rows("bodies").await, 8);
    // The archives that begin with waiting messages are read again, and nothing is found.
    assert_eq!(expire_all(&store, 7_001).await, [bob, mona]);
    assert_eq!(store.count_rows("bodies").await, 8);
}

#[tokio::test]
async fn a_search_for_old_archives_looks_at_so_many_whatever_is_in_them() {
    let (_dir, store) = fresh().await;
    let (bob, eve, mona) = ten(&store).await;

    let mut looked = Vec::new();
    let mut archive = Some(0);
    while let Some(last) = archive {
        // Bob's begins with 1000, mona's as well, and eve's with 2000.
        let begun = store.archives_begun_before(last, 2_000, 2).await.unwrap();
        archive = begun.more_after;
        looked.push((begun.archives, begun.more_after));
    }

    assert_eq!(looked, [(vec![bob], Some(eve)), (vec![mona], None)]);
    let none = store.archives_begun_before(0, 1_000, 2).await.unwrap();
    assert_eq!(none, FoundArchives { archives: Vec::new(), more_after: Some(eve) });
}

#[tokio::test]
async fn a_body_goes_with_its_last_row_whichever_that_is() {
    for first_of_two in [true, false] {
        let (_dir, store) = fresh().await;
        let (bob, eve, _) = ten(&store).await;
        let one_and_other = if first_of_two { [bob, eve] } else { [eve, bob] };
        let mut left = Vec::new();
        for account in one_and_other {
            let mut tx = store.begin().await.unwrap();
            remove_wholly(&mut tx, account).await;
            tx.commit().await.unwrap();
            left.push(store.count_rows("bodies").await);
        }

        // Bob and eve share five bodies, bob and mona share five.
        assert_eq!(left, [10, 5]);
        assert_eq!(store.count_rows("archive_rows").await, 5);
    }
}

/// Returns SQLite's query plan of a statement.
async fn plan(store: &Store, text: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
    let mut conn = store.reader().await.unwrap();
    let steps = sqlx::query(explain).fetch_all(&mut *conn).await.unwrap();
    let steps: Vec<String> = steps.iter().map(|step| step.get("detail")).collect();
    // A walk over what another step of the plan finds reads no table.
    let found = steps.iter().filter_map(|step| step.strip_prefix("CO-ROUTINE "));
    let found: Vec<String> =
        found.flat_map(|of| [format!("CO-ROUTINE {of}"), format!("SCAN {of}")]).collect();
    steps.into_iter().filter(|step| !found.contains(step)).collect()
}

#[tokio::test]
async fn what_does_not_match_is_passed_over_without_its_body() {
    let (_dir, store) = fresh_file().await;

    for text in [FORWARD, BACKWARD, FORWARD_WITH, BACKWARD_WITH] {
        let steps = plan(&store, text).await;

        // The rows come first, by number, or by peer and number and then by number; then the body of
        // one that fits.
        let tables: Vec<&str> =
            steps.iter().filter_map(|step| step.strip_prefix("SEARCH ")?.get(..2)).collect();
        let by_peer = text.contains(crate::log_reader::BY_PEER);
        let expected: &[&str] =
            if by_peer { &["k ", "w ", "r ", "b ", "p "] } else { &["r ", "b ", "p "] };
        assert_eq!(tables, expected, "{steps:?}");
        assert!(steps[0].contains("seq>? AND seq<?"), "{steps:?}");
    }
}

#[tokio::test]
async fn the_row_with_which_a_query_begins_is_found_by_one_look() {
    let (_dir, store) = fresh().await;
    let (bob, ..) = ten(&store).await;
    let all = Query::default();
    let mona = Query { with: Some("mona@#1".into()), ..Query::default() };

    for (query, nearest) in [
        (all.clone(), Some(1)),
        (Query { backwards: true, ..all.clone() }, Some(10)),
        (Query { after_seq: Some(3), ..all.clone() }, Some(4)),
        (Query { after_seq: Some(10), ..all.clone() }, None),
        (Query { after_seq: Some(1), ..mona.clone() }, Some(3)),
        (Query { before_seq: Some(9), backwards: true, ..mona }, Some(7)),
        (Query { with: Some("nobody@#1".into()), ..all }, None),
    ] {
        assert_eq!(store.nearest(bob, &query).await.unwrap(), nearest, "{query:?}");
    }
    assert_eq!(store.nearest(999, &Query::default()).await.unwrap(), None);
    let (_dir, store) = fresh_file().await;
    for text in [FIRST, LAST, FIRST_WITH, LAST_WITH] {
        let steps = plan(&store, text).await;
        assert!(steps[0].contains("seq>? AND seq<?"), "{steps:?}");
        // The number of a peer is looked up.
        let looks = steps.iter().skip(1).filter(|step| !step.starts_with("SCALAR"));
        assert!(looks.clone().all(|step| step.starts_with("SEARCH w ")), "{steps:?}");
    }
}

#[tokio::test]
async fn no_statement_on_the_log_reads_or_sorts_a_whole_table() {
    let (_dir, store) = fresh_file().await;
    let many = crate::over_many_rows(Dialect::Sqlite);
    let texts = STATEMENTS
        .iter()
        .chain(READING)
        .chain(crate::log::STATEMENTS)
        .chain(crate::log::READING)
        .chain(crate::replaced::STATEMENTS)
        .chain(crate::replaced::READING)
        .chain(archives::STATEMENTS)
        .chain(crate::quota::STATEMENTS)
        .map(|text| (*text).to_owned());

    for text in texts.chain(many) {
        for step in plan(&store, &text).await {
            let given = step.contains("VALUES") || step == "SCAN CONSTANT ROW" || step == "SCAN v";
            // The index holds only the rows that are looked for.
            let given = given || step.contains("INDEX archive_rows_passing");
            assert!(!step.starts_with("SCAN") || given, "{text}\n{step}");
            // What waits of each sender: rows that are found by their key, which has a bound.
            let grouped = text.contains("GROUP BY r.peer") && step.ends_with("FOR GROUP BY");
            assert!(grouped || !step.contains("TEMP B-TREE"), "{text}\n{step}");
        }
    }
}

#[tokio::test]
async fn the_rows_of_a_piece_are_found_without_a_walk_over_their_table() {
    let (_dir, store) = fresh_file().await;
    let changes = |text: &String| text.starts_with("DELETE") || text.starts_with("UPDATE");
    let pieces = crate::statements().into_iter().filter(|text| changes(text));

    for text in pieces.filter(|text| text.contains(" LIMIT $")) {
        for step in plan(&store, &text).await {
            // Of removed names there are never many, nor of the devices of an account. The first
            // repeats are the oldest.
            let few = step == "SCAN n" || step == "SCAN r";
            assert!(!step.starts_with("SCAN") || few, "{text}\n{step}");
            let few = text.contains("removed_names") || text.contains("d.account = $1");
            assert!(!step.contains("TEMP B-TREE") || few, "{text}\n{step}");
        }
    }
}

#[tokio::test]
async fn what_a_full_disk_keeps_in_the_journal_is_read_without_a_walk_over_archives() {
    let (_dir, store) = fresh_file().await;

    for text in crate::with_journal() {
        let steps = plan(&store, &text).await;
        assert!(steps.contains(&"SCAN journal".to_owned()), "{text}\n{steps:?}");
        for step in steps.iter().filter(|step| step.starts_with("SCAN")) {
            let given = step == "SCAN journal" || step.contains("INDEX archive_rows_passing");
            // A walk over the rows that other steps have found.
            let given = given || step == "SCAN r" && text.contains("GROUP BY r.peer");
            assert!(given, "{text}\n{steps:?}");
        }
        assert!(!steps.iter().any(|step| step.starts_with("MATERIALIZE")), "{text}\n{steps:?}");
    }
}

#[tokio::test]
async fn one_conversation_is_found_by_its_own_index() {
    let (_dir, store) = fresh_file().await;

    for text in [FORWARD_WITH, BACKWARD_WITH, COUNT_WITH] {
        let steps = plan(&store, text).await;
        assert!(
            steps[0].contains("COVERING INDEX archive_rows_peer (archive=? AND peer=?"),
            "{steps:?}"
        );
    }
}

#[tokio::test]
async fn what_is_kept_until_delivered_is_found_without_a_look_at_the_rest_of_the_archive() {
    let (_dir, store) = fresh_file().await;

    for text in REMOVE_PASSING.into_iter().chain([SOME_PASSING]) {
        let steps = plan(&store, text).await;
        let index = "INDEX archive_rows_passing (direction=? AND archive=?";
        assert!(steps.iter().any(|step| step.contains(index)), "{text}\n{steps:?}");
        let ranges: Vec<&String> = steps.iter().filter(|step| step.contains("seq<")).collect();
        assert!(ranges.iter().all(|step| step.contains(index)), "{text}\n{steps:?}");
    }
}

#[tokio::test]
async fn what_is_kept_until_delivered_is_in_no_archive_and_forgotten_once_confirmed() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    let eve = account(&mut tx, "eve").await;
    let mut batch: Vec<NewMessage> =
        (1..=4).map(|seq| message(seq, ("eve", eve), ("bob", bob))).collect();
    for at in [1, 3] {
        batch[at] = until_delivered(batch[at].clone());
    }
    tx.append(&batch).await.unwrap();
    tx.commit().await.unwrap();
    let all = Query { limit: 10, ..Query::default() };

    assert_eq!(store.archives_with_passing().await.unwrap(), [bob].into());
    let waiting = store.undelivered(bob, 0, 10).await.unwrap();
    assert_eq!(seqs(&waiting), [1, 2, 3, 4]);
    assert_eq!(waiting[1].direction, crate::Direction::Passing);
    let waits = store.count_undelivered(bob, 0).await.unwrap();
    assert_eq!(waits.iter().map(|(_, messages, _)| messages).sum::<i64>(), 4);
    for (archive, shown) in [(bob, [1, 3]), (eve, [1, 2])] {
        assert_eq!(seqs(&store.query(archive, &all).await.unwrap().rows), shown);
        assert_eq!(store.count(archive, &all, i64::MAX).await.unwrap().unwrap(), 2);
    }
    assert!(!store.archive_has(bob, 2).await.unwrap());

    let mut tx = store.begin().await.unwrap();
    tx.advance_cursors(&[(bob, 3)]).await.unwrap();
    assert_eq!(tx.drop_passed(bob, 3, 99).await.unwrap().rows, 1);
    assert!(tx.is_anything_passing(bob).await.unwrap(), "the fourth waits");
    tx.commit().await.unwrap();
    assert_eq!(seqs(&store.undelivered(bob, 0, 10).await.unwrap()), [1, 3, 4]);

    let mut tx = store.begin().await.unwrap();
    tx.advance_cursors(&[(bob, 4)]).await.unwrap();
    assert_eq!(tx.drop_passed(bob, 4, 99).await.unwrap().rows, 1);
    assert!(!tx.is_anything_passing(bob).await.unwrap());
    tx.commit().await.unwrap();
    assert!(store.archives_with_passing().await.unwrap().is_empty());
    assert_eq!(store.count_rows("bodies").await, 2);
}
