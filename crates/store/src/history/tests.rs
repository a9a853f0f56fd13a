//! What an archive shows, and what is forgotten.
#![allow(clippy::unwrap_used)]

use sqlx::AssertSqlSafe;

use super::*;
use crate::testing::{account, fresh, fresh_file, message};
use crate::{NewMessage, Tx};

fn seqs(rows: &[LoggedMessage]) -> Vec<i64> {
    rows.iter().map(|row| row.seq).collect()
}

/// Bob and eve, then bob and mona, in turns: 1 to 10, at 1000 to 10000.
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
        assert_eq!(store.count(bob, &query).await.unwrap(), count, "{query:?}");
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

    assert!(store.archive_has(bob, 1).await.unwrap());
    assert!(store.archive_has(eve, 2).await.unwrap());
    assert!(!store.archive_has(eve, 1).await.unwrap());
    assert!(!store.archive_has(bob, 11).await.unwrap());
}

#[tokio::test]
async fn dropping_what_is_confirmed_leaves_what_is_not_and_what_others_keep() {
    let (_dir, store) = fresh().await;
    let (bob, eve, mona) = ten(&store).await;
    let mut tx = store.begin().await.unwrap();

    assert_eq!(tx.drop_confirmed(bob, 6).await.unwrap(), 3);
    assert_eq!(tx.drop_confirmed(bob, 6).await.unwrap(), 0);
    assert_eq!(tx.drop_confirmed(mona, 9).await.unwrap(), 5);
    tx.commit().await.unwrap();

    let all = Query { limit: 20, ..Query::default() };
    let of_bob = store.query(bob, &all).await.unwrap().rows;
    assert_eq!(seqs(&of_bob), [1, 3, 5, 7, 8, 9, 10]);
    assert_eq!(seqs(&store.undelivered(bob, 0, 10).await.unwrap()), [8, 10]);
    let of_eve = store.query(eve, &all).await.unwrap().rows;
    assert_eq!(seqs(&of_eve), [2, 4, 6, 8, 10]);
    // Each of the ten is still in the sender's mailbox.
    assert_eq!(store.count_rows("messages").await, 10);
}

/// Expires everything before a time, in steps of two rows.
async fn expire_all(tx: &mut Tx, before_at: i64) -> Vec<u64> {
    let mut steps = Vec::new();
    loop {
        let gone = tx.expire(before_at, 2).await.unwrap();
        steps.push(gone);
        if gone < 2 {
            return steps;
        }
    }
}

#[tokio::test]
async fn history_expires_in_steps_and_what_is_undelivered_does_not() {
    let (_dir, store) = fresh().await;
    let (bob, eve, mona) = ten(&store).await;
    let mut tx = store.begin().await.unwrap();
    // Bob has confirmed 2 and 4; mona nothing.
    tx.advance_cursors(&[(bob, 5)]).await.unwrap();

    // Of 1 to 7: bob's four sent, eve's three sent, bob's two confirmed.
    assert_eq!(expire_all(&mut tx, 7_001).await, [2, 2, 2, 2, 1]);
    assert_eq!(expire_all(&mut tx, 7_001).await, [0]);
    tx.commit().await.unwrap();

    let all = Query { limit: 20, ..Query::default() };
    assert_eq!(seqs(&store.undelivered(bob, 5, 10).await.unwrap()), [6, 8, 10]);
    assert_eq!(seqs(&store.undelivered(mona, 0, 10).await.unwrap()), [1, 3, 5, 7, 9]);
    assert_eq!(seqs(&store.query(bob, &all).await.unwrap().rows), [6, 8, 9, 10]);
    assert_eq!(seqs(&store.query(eve, &all).await.unwrap().rows), [8, 10]);
    // 2 and 4 are in no mailbox any more.
    assert_eq!(store.count_rows("messages").await, 8);
}

#[tokio::test]
async fn what_arrived_for_an_account_that_was_just_removed_expires() {
    let (_dir, store) = fresh().await;
    let (bob, eve, _) = ten(&store).await;
    let mut tx = store.begin().await.unwrap();
    tx.remove_account(bob).await.unwrap();
    let mut late = message(11, ("eve", eve), ("bob", bob));
    late.keep_for_sender = false;
    tx.append(&[late]).await.unwrap();

    assert_eq!(tx.undelivered(bob, 0, 10).await.unwrap().len(), 1);
    assert_eq!(tx.expire(11_000, 100).await.unwrap(), 5);
    assert_eq!(tx.expire(11_001, 100).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(store.last_seq().await.unwrap(), 11);
}

/// Returns the steps by which SQLite would execute a statement.
async fn plan(store: &Store, text: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
    let mut conn = store.reader().await.unwrap();
    let steps = sqlx::query(explain).fetch_all(&mut *conn).await.unwrap();
    steps.iter().map(|step| step.get("detail")).collect()
}

#[tokio::test]
async fn no_statement_on_the_log_reads_or_sorts_a_whole_table() {
    let (_dir, store) = fresh_file().await;
    let many = crate::log::many().into_iter().chain(many()).flat_map(ManyRows::texts);
    let texts = STATEMENTS.iter().chain(crate::log::STATEMENTS).map(|text| (*text).to_owned());

    for text in texts.chain(many) {
        for step in plan(&store, &text).await {
            let given = step.contains("VALUES") || step == "SCAN CONSTANT ROW" || step == "SCAN v";
            // An index of nothing but what is looked for.
            let given = given || step.contains("INDEX mailbox_passing");
            assert!(!step.starts_with("SCAN") || given, "{text}\n{step}");
            assert!(!step.contains("TEMP B-TREE"), "{text}\n{step}");
        }
    }
}

#[tokio::test]
async fn one_conversation_is_found_by_its_own_index() {
    let (_dir, store) = fresh_file().await;

    for text in [FORWARD_WITH, BACKWARD_WITH, COUNT_WITH] {
        let steps = plan(&store, text).await;
        assert!(
            steps[0].contains("COVERING INDEX mailbox_peer (archive=? AND peer=?"),
            "{steps:?}"
        );
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
    batch[1].passing = true;
    batch[3].passing = true;
    tx.append(&batch).await.unwrap();
    tx.commit().await.unwrap();
    let all = Query { limit: 10, ..Query::default() };

    let waiting = store.undelivered(bob, 0, 10).await.unwrap();
    assert_eq!(seqs(&waiting), [1, 2, 3, 4]);
    assert_eq!(waiting[1].direction, crate::Direction::Passing);
    assert_eq!(store.count_undelivered(bob, 0).await.unwrap().0, 4);
    for archive in [bob, eve] {
        assert_eq!(seqs(&store.query(archive, &all).await.unwrap().rows), [1, 3]);
        assert_eq!(store.count(archive, &all).await.unwrap(), 2);
        assert!(!store.archive_has(archive, 2).await.unwrap());
    }

    let mut tx = store.begin().await.unwrap();
    tx.advance_cursors(&[(bob, 3)]).await.unwrap();
    assert!(tx.drop_passed().await.unwrap(), "the fourth waits");
    tx.commit().await.unwrap();
    assert_eq!(seqs(&store.undelivered(bob, 0, 10).await.unwrap()), [1, 3, 4]);

    let mut tx = store.begin().await.unwrap();
    tx.advance_cursors(&[(bob, 4)]).await.unwrap();
    assert!(!tx.drop_passed().await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(store.count_rows("messages").await, 2);
    assert_eq!(store.last_seq().await.unwrap(), 4);
}

#[tokio::test]
async fn what_waits_for_an_account_that_is_gone_goes_with_it() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    let mut late = message(1, ("eve", bob + 1), ("mona", bob + 2));
    late.passing = true;
    tx.append(&[late]).await.unwrap();

    assert!(!tx.drop_passed().await.unwrap());
    tx.commit().await.unwrap();

    assert_eq!(store.count_rows("messages").await, 0);
    assert_eq!(store.count_rows("mailbox").await, 0);
}
