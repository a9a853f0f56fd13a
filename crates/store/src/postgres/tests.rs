//! What happens to a store when PostgreSQL goes away, and who may have it meanwhile.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scratch::{Between, Line, Scratch};
use crate::testing::{account, message, with_origin};
use crate::{Appended, Location, NewMessage, Store, Tx, Undecided};

/// Returns a place on the test server; without a server, the test ends.
fn scratch() -> Option<Scratch> {
    Scratch::new().map(Result::unwrap)
}

#[tokio::test]
async fn one_server_at_a_time_holds_a_database() {
    let Some(scratch) = scratch() else { return };
    let store = Store::open(&scratch.place()).await.unwrap();

    let refused = Store::open(&scratch.place()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Busy { .. }), "{refused:?}");
    store.close().await.unwrap();

    Store::open(&scratch.place()).await.unwrap();
}

#[tokio::test]
async fn a_schema_of_another_program_or_of_none_is_refused_and_left_alone() {
    let Some(scratch) = scratch() else { return };
    scratch.alter("CREATE TABLE recipes (name TEXT)").unwrap();
    let refused = Store::open(&scratch.place()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Foreign { .. }), "{refused:?}");

    scratch.alter("DROP TABLE recipes").unwrap();
    Store::open(&scratch.place()).await.unwrap().close().await.unwrap();
    scratch.alter("UPDATE schema_version SET version = 99").unwrap();
    let refused = Store::open(&scratch.place()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 99, .. }), "{refused:?}");

    let Location::Postgres(url) = scratch.place() else { panic!() };
    let nowhere = Location::Postgres(url.with("options[search_path]", "no_such_schema"));
    let refused = Store::open(&nowhere).await.unwrap_err().to_string();
    assert!(refused.contains("search_path"), "{refused}");
}

#[tokio::test]
async fn tables_that_are_emptied_all_the_time_are_cleared_soon_unless_an_administrator_says_otherwise()
 {
    let Some(scratch) = scratch() else { return };
    let place = scratch.place();
    Store::open(&scratch.place()).await.unwrap().close().await.unwrap();
    for (table, _) in TUNED {
        assert!(
            stored_as(&place, table).await.contains("autovacuum_vacuum_scale_factor=0"),
            "{table}"
        );
    }

    scratch
        .alter(
            "ALTER TABLE journal RESET (autovacuum_vacuum_scale_factor, \
        autovacuum_vacuum_threshold, autovacuum_vacuum_cost_delay)",
        )
        .unwrap();
    scratch.alter("ALTER TABLE journal SET (autovacuum_vacuum_threshold = 7)").unwrap();
    Store::open(&scratch.place()).await.unwrap().close().await.unwrap();

    assert_eq!(stored_as(&place, "journal").await, "autovacuum_vacuum_threshold=7");
}

/// What is said of how a table is stored.
async fn stored_as(place: &Location, table: &str) -> String {
    let Location::Postgres(url) = place else { panic!() };
    let mut conn = look(url).await.unwrap();
    let said = "SELECT COALESCE(array_to_string(reloptions, ' '), '') FROM pg_class \
        WHERE oid = to_regclass($1)";
    let row = sqlx::query(said).bind(table).fetch_one(&mut conn).await.unwrap();
    row.try_get(0).unwrap()
}

#[tokio::test]
async fn what_is_in_the_way_of_opening_is_told_apart() {
    let Some(server) = Scratch::server() else { return };
    // Port 1 is tcpmux, which nobody has run for decades.
    let nobody = Location::parse("postgres://bob:sesame@127.0.0.1:1/chat").unwrap();
    let said = Store::open(&nobody).await.unwrap_err();
    assert!(matches!(said, OpenError::Unreachable { .. }), "{said:?}");
    assert!(!format!("{said} {said:?}").contains("sesame"), "{said:?}");

    let (before, _) = server.rsplit_once('/').unwrap();
    let missing = Location::parse(&format!("{before}/there_is_no_such_database")).unwrap();
    let said = Store::open(&missing).await.unwrap_err();
    assert!(matches!(said, OpenError::Missing { .. }), "{said:?}");

    let (_, after) = server.split_once('@').unwrap();
    let stranger = Location::parse(&format!("postgres://there_is_no_such_user@{after}")).unwrap();
    let said = Store::open(&stranger).await.unwrap_err();
    assert!(matches!(said, OpenError::Refused { .. }), "{said:?}");
}

#[tokio::test]
async fn a_lost_connection_loses_the_transaction_and_nothing_else() {
    let Some(scratch) = scratch() else { return };
    let store = Store::open(&scratch.place()).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "bob").await;
    tx.commit().await.unwrap();

    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "eve").await;
    scratch.end_connection().unwrap();
    let Err(Error::Undecided(undecided)) = tx.commit().await else { panic!() };

    assert!(!store.decide(undecided).await.unwrap());
    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "mona").await;
    tx.commit().await.unwrap();
    let names = store.list_accounts(1, "", 10).await.unwrap();
    assert_eq!(names.iter().map(|row| row.localpart.as_str()).collect::<Vec<_>>(), ["bob", "mona"]);
    // The reconnected server is not another one.
    assert!(Store::open(&scratch.place()).await.is_err());
}

#[tokio::test]
async fn a_connection_lost_before_a_transaction_is_replaced_unnoticed() {
    let Some(scratch) = scratch() else { return };
    let store = Store::open(&scratch.place()).await.unwrap();

    scratch.end_connection().unwrap();

    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "bob").await;
    tx.commit().await.unwrap();
    assert!(store.find_account(1, "bob").await.unwrap().is_some());
}

#[tokio::test]
async fn a_reader_leaves_it_to_the_writer_to_connect_anew_and_reads_the_journal_meanwhile() {
    let Some(scratch) = scratch() else { return };
    let store = Store::open(&scratch.place()).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.append(&[message(1, ("eve", eve), ("bob", bob))]).await.unwrap();
    tx.commit().await.unwrap();
    scratch.end_connection().unwrap();

    for _ in 0..3 {
        assert_eq!(store.undelivered(bob, 0, 10).await.unwrap().len(), 1);
    }
    store.begin().await.unwrap().rollback().await.unwrap();

    assert_eq!(store.undelivered(bob, 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_lost_the_database_to_another_writes_no_more() {
    let Some(scratch) = scratch() else { return };
    let first = Store::open(&scratch.place()).await.unwrap();
    scratch.end_connection().unwrap();
    let second = Store::open(&scratch.place()).await.unwrap();

    assert!(matches!(first.begin().await, Err(Error::Taken)));
    second.close().await.unwrap();
    assert!(matches!(first.begin().await, Err(Error::Taken)));
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_to_have_happened() {
    let Some(scratch) = scratch() else { return };
    let between = Between::new(&scratch).await.unwrap();
    let store = Store::open(&between.place()).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "bob").await;

    between.set(Line::LosesCommits);
    let Err(Error::Undecided(undecided)) = tx.commit().await else { panic!() };
    between.set(Line::Cut);
    let error = store.decide(undecided).await.unwrap_err();
    assert!(error.is_lost(), "{error:?}");
    between.set(Line::Open);

    assert!(store.decide(undecided).await.unwrap());
    assert!(store.find_account(1, "bob").await.unwrap().is_some());
    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "eve").await;
    tx.commit().await.unwrap();
}

// --- messages, and a commit whose answer is lost ---

/// A store behind a faulty line, with two accounts and a message of one to the other in the journal.
async fn with_a_message() -> Option<(Scratch, Between, Store)> {
    let scratch = scratch()?;
    let between = Between::new(&scratch).await.unwrap();
    let store = Store::open(&between.place()).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    for name in ["alice", "bob"] {
        account(&mut tx, name).await;
    }
    tx.append(&[said(1)]).await.unwrap();
    tx.commit().await.unwrap();
    Some((scratch, between, store))
}

/// A message from alice to bob, with an id of hers.
fn said(n: i64) -> NewMessage {
    with_origin(message(n, ("alice", 1), ("bob", 2)), 1, &n.to_string())
}

/// Loses the answer to the commit of this transaction, or before it is committed the connection.
async fn lose(tx: Tx, (scratch, between): (&Scratch, &Between), happens: bool) -> Undecided {
    match happens {
        true => between.set(Line::LosesCommits),
        false => scratch.end_connection().unwrap(),
    }
    let Err(Error::Undecided(undecided)) = tx.commit().await else { panic!() };
    between.set(Line::Open);
    undecided
}

/// Whoever reads finds these messages, once and in order, and nothing is left over.
async fn assert_kept(store: &Store, messages: &[i64]) {
    let numbers: Vec<i64> = (1..).take(messages.len()).collect();
    let read = store.undelivered(2, 0, 100).await.unwrap();
    assert_eq!(read.iter().map(|row| row.at / 1_000).collect::<Vec<_>>(), messages);
    assert_eq!(read.iter().map(|row| row.seq).collect::<Vec<_>>(), numbers);
    // The sender's rows are in another part of the journal.
    store.settle(1).await;
    let count = messages.len() as i64;
    for (table, rows) in [("bodies", count), ("archive_rows", 2 * count), ("journal", 0)] {
        assert_eq!(store.count_rows(table).await, rows, "{table}");
    }
}

#[tokio::test]
async fn a_doubtful_commit_of_messages_gives_no_number_twice_and_forgets_no_repeat() {
    for happens in [true, false] {
        let Some((scratch, between, store)) = with_a_message().await else { return };
        let mut tx = store.begin().await.unwrap();
        tx.append(&[said(2), said(3)]).await.unwrap();

        let undecided = lose(tx, (&scratch, &between), happens).await;

        assert_eq!(store.decide(undecided).await.unwrap(), happens);
        let mut tx = store.begin().await.unwrap();
        let again = tx.append(&[said(1), said(2), said(4)]).await.unwrap();
        tx.commit().await.unwrap();
        let stored = |number| Appended::Stored { first: number, second: Some(number) };
        match happens {
            true => {
                assert_eq!(again, [Appended::Repeat, Appended::Repeat, stored(4)]);
                assert_kept(&store, &[1, 2, 3, 4]).await;
            }
            false => {
                assert_eq!(again, [Appended::Repeat, stored(2), stored(3)]);
                assert_kept(&store, &[1, 2, 4]).await;
            }
        }
    }
}

#[tokio::test]
async fn after_a_doubtful_commit_of_messages_and_the_next_transaction_a_reader_finds_what_was_kept()
{
    for happens in [true, false] {
        let Some((scratch, between, store)) = with_a_message().await else { return };
        // The journal is known to be empty.
        assert_kept(&store, &[1]).await;
        let mut tx = store.begin().await.unwrap();
        tx.append(&[said(2)]).await.unwrap();

        // Nobody asks what became of it.
        lose(tx, (&scratch, &between), happens).await;

        // A reader does not connect anew, and needs no fold.
        store.undelivered(2, 0, 100).await.unwrap();
        store.begin().await.unwrap().rollback().await.unwrap();
        assert_kept(&store, if happens { &[1, 2] } else { &[1] }).await;
    }
}

#[tokio::test]
async fn a_doubtful_fold_loses_and_doubles_nothing() {
    for happens in [true, false] {
        let Some((scratch, between, store)) = with_a_message().await else { return };
        let mut tx = store.begin().await.unwrap();
        tx.fold(crate::journal::Folded::Everything).await.unwrap();
        tx.append(&[said(2)]).await.unwrap();

        let undecided = lose(tx, (&scratch, &between), happens).await;

        assert_eq!(store.decide(undecided).await.unwrap(), happens);
        assert_kept(&store, if happens { &[1, 2] } else { &[1] }).await;
    }
}

#[tokio::test]
async fn a_reader_whose_fold_was_not_answered_reads_the_journal_as_well() {
    let Some((_scratch, between, store)) = with_a_message().await else { return };

    between.set(Line::LosesCommits);
    assert_eq!(store.undelivered(2, 0, 100).await.unwrap().len(), 1);
    between.set(Line::Open);

    // A reader does not connect anew; the next transaction does.
    assert_eq!(store.undelivered(2, 0, 100).await.unwrap().len(), 1);
    store.begin().await.unwrap().rollback().await.unwrap();
    assert_kept(&store, &[1]).await;
    let mut tx = store.begin().await.unwrap();
    tx.append(&[said(1), said(2)]).await.unwrap();
    tx.commit().await.unwrap();
    assert_kept(&store, &[1, 2]).await;
}

#[test]
fn a_declaration_differs_in_nothing_but_its_types() {
    let text = "-- TEXT and BLOB.\nCREATE TABLE t (\n    id INTEGER NOT NULL PRIMARY KEY,\n    \
                n  TEXT    NOT NULL,\n    v BLOB\n) WITHOUT ROWID;";

    assert_eq!(
        declaration(text),
        "CREATE TABLE t (\n    id BIGINT NOT NULL PRIMARY KEY,\n    \
         n  TEXT COLLATE \"C\"    NOT NULL,\n    v BYTEA\n);"
    );
}

#[test]
fn codes_are_sorted_by_what_can_be_done() {
    for (code, trouble_of_it) in [
        ("53100", Trouble::Full),
        ("57P01", Trouble::Lost),
        ("08006", Trouble::Lost),
        ("28P01", Trouble::Refused),
        ("3D000", Trouble::Missing),
        ("23505", Trouble::Other),
        ("", Trouble::Other),
    ] {
        assert_eq!(trouble(code), trouble_of_it, "{code}");
    }
}
