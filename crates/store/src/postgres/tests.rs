//! What happens to a store when PostgreSQL goes away, and who may have it meanwhile.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scratch::{Between, Line, Scratch};
use crate::testing::account;
use crate::{Location, Store};

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
