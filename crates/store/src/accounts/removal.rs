//! Test that a removed account leaves no row in any table. The tables are read from the schema, so
//! a new table has to be filled here, and its rows must be removed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use sqlx::{Executor, Row};

use crate::scratch::Scratch;
use crate::testing::{Dir, account, message, place, verifier, with_origin};
use crate::{DataKey, DataLimit, Location, Store, schema, transfer};

/// Tables whose rows belong to no account.
const OF_NO_ACCOUNT: [&str; 7] = [
    // These hold numbers that are never given again, and times of the whole server.
    "numbers", // Secrets of the installation.
    "settings",
    "domains",
    // These are keyed by name and network, also for strangers' guesses; they expire by age.
    "throttle",
    // These say that there was an account; they expire by age.
    "removed_names",
    // These are keyed hashes that name nobody; they expire by age.
    "repeats",
    // It is folded before anything is removed.
    "journal",
];

async fn count_all(store: &Store) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for table in transfer::tables(schema::KNOWN).await.unwrap() {
        if !OF_NO_ACCOUNT.contains(&table.name.as_str()) {
            counts.insert(table.name.clone(), store.count_rows(&table.name).await);
        }
    }
    counts
}

/// Gives an account a row in every table, and nothing to any other account.
async fn fill(store: &Store) -> i64 {
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    let archive = tx.find_account(1, "bob").await.unwrap().unwrap().archive;
    assert_ne!(archive, bob, "or a number of one could be taken for one of the other");
    tx.set_credentials(bob, &[verifier("SCRAM-SHA-1", 1)]).await.unwrap();
    let at = crate::ChangedAt { wall: 7, even: 6 };
    tx.change_credentials(bob, &[verifier("SCRAM-SHA-1", 2)], at).await.unwrap();
    tx.block(bob, "mal@far.example").await.unwrap();
    tx.remember_place(bob, "192.0.2.1", 5).await.unwrap();
    tx.came_online(bob, 5).await.unwrap();
    tx.departed(bob, 6, "gone fishing").await.unwrap();
    let key = DataKey { namespace: "storage:bookmarks", name: "storage" };
    let limit = DataLimit { values: 1, bytes: 9 };
    tx.put_account_data(bob, key, b"<a/>", limit).await.unwrap();
    let batch: Vec<_> = (1..=3)
        .map(|n| {
            let mut one = message(n, ("bob", archive), ("bob", archive));
            one.first.archive = archive;
            with_origin(one, bob, &format!("o{n}"))
        })
        .collect();
    tx.append(&batch).await.unwrap();
    tx.advance_cursors(&[(archive, 2)]).await.unwrap();
    for (text, parameter) in [
        (
            "INSERT INTO roster (account, contact, listed, name, in_groups, subscription, ask, \
            approved, request, version) SELECT $1, 'eve@#1', 1, 'E', '', 3, 0, 0, stanza, 1 \
            FROM bodies WHERE id = 1",
            bob,
        ),
        ("INSERT INTO roster_versions VALUES ($1, 1, 0)", bob),
    ] {
        let query = sqlx::query(text).bind(parameter);
        tx.conn().unwrap().execute(query).await.unwrap();
    }
    tx.commit().await.unwrap();
    bob
}

async fn leaves_nothing(there: &Location) {
    let store = Store::open(there).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let eve = account(&mut tx, "eve").await;
    // This makes the numbers of accounts and archives differ.
    crate::sequences::next(tx.conn().unwrap(), crate::sequences::ARCHIVE).await.unwrap();
    tx.commit().await.unwrap();
    let before = count_all(&store).await;
    assert!(before.len() > 10, "{before:?}");

    let bob = fill(&store).await;
    for (table, count) in count_all(&store).await {
        assert!(count > before[&table], "nothing of the account is in {table}");
    }
    let mut tx = store.begin().await.unwrap();
    assert!(tx.remove_account(bob).await.unwrap());
    tx.commit().await.unwrap();

    assert_eq!(count_all(&store).await, before);
    let mut conn = store.reader().await.unwrap();
    let left = sqlx::query("SELECT account FROM archives").fetch_all(&mut *conn).await.unwrap();
    assert_eq!(left.iter().map(|row| row.get::<i64, _>(0)).collect::<Vec<_>>(), [eve]);
}

#[tokio::test]
async fn nothing_of_a_removed_account_is_left_in_any_table() {
    leaves_nothing(&place(&Dir::of_files())).await;
    if let Some(scratch) = Scratch::new() {
        leaves_nothing(&scratch.unwrap().place()).await;
    }
}
