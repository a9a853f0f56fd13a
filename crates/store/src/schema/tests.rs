//! Every released schema is migrated to today's with all its data, or stays as it was.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scratch::{Scratch, old_file};
use crate::testing::{Dir, message, place};
use crate::{Appended, Location, Query, Store};

/// A database of an older version, one of each kind that is available here.
async fn of_version(version: i64) -> Vec<(Dir, Option<Scratch>, Location)> {
    let dir = Dir::of_files();
    let there = place(&dir);
    old_file(&dir.path().join("store.db"), version).unwrap();
    let mut databases = vec![(dir, None, there)];
    if let Some(scratch) = Scratch::new().map(Result::unwrap) {
        scratch.fill_as_of(version).unwrap();
        let there = scratch.place();
        databases.push((Dir::of_files(), Some(scratch), there));
    }
    databases
}

async fn connect(place: &Location) -> (AnyConnection, Dialect) {
    match place {
        Location::Postgres(url) => (crate::postgres::look(url).await.unwrap(), Dialect::Postgres),
        Location::Sqlite(path) => {
            let options = crate::sqlite::options(path).unwrap();
            (AnyConnection::connect_with(&options).await.unwrap(), Dialect::Sqlite)
        }
        Location::Memory => panic!(),
    }
}

#[tokio::test]
async fn what_version_1_held_is_all_there() {
    for (_dir, _scratch, place) in of_version(1).await {
        let store = Store::open(&place).await.unwrap();

        store.assert_bytes_are_right().await;
        assert_eq!(store.domains().await.unwrap()[0].name, "chat.example");
        let bob = store.find_account(1, "bob").await.unwrap().unwrap();
        assert_eq!((bob.id, bob.created_at, bob.last_active), (1, 50, 55));
        assert_eq!(store.count_accounts(1).await.unwrap(), 2);
        assert_eq!(store.setting("login").await.unwrap().unwrap(), [0, 0xff, 0x10]);
        let verifiers = store.credentials(1).await.unwrap();
        assert_eq!(
            (verifiers[0].iterations, verifiers[0].salt.as_slice()),
            (10_000, &[10, 11][..])
        );
        assert_eq!(store.blocks(1).await.unwrap(), ["mal@far.example"]);
        assert_eq!(store.known_networks_since(1, 0).await.unwrap(), ["192.0.2.1"]);
        assert_eq!(store.throttle_load_all(60).await.unwrap().len(), 1);
        assert_eq!(store.gone_between(1, 0, i64::MAX).await.unwrap().len(), 1);
        assert_eq!(store.last_heartbeat().await.unwrap().unwrap().even, 60);
        assert_eq!(store.cursor(1).await.unwrap(), 5);
        let waiting = store.undelivered(1, 5, 10).await.unwrap();
        assert_eq!(waiting.iter().map(|row| row.seq).collect::<Vec<_>>(), [6]);
        let all = Query { limit: 10, ..Query::default() };
        let archive = store.query(1, &all).await.unwrap().rows;
        assert_eq!(archive[0].resource.as_deref(), Some("desk"));
        assert_eq!(&archive[0].stanza[..], b"<message/>");
        assert_eq!(store.query(3, &all).await.unwrap().rows.len(), 1);
        // The database can also be written: an archive has its account's number, and continues
        // after all numbers that were given.
        assert_eq!(bob.archive, 1);
        let mut tx = store.begin().await.unwrap();
        let next = tx.append(&[message(8, ("bob", 1), ("eve", 3))]).await.unwrap();
        assert_eq!(next, [Appended::Stored { first: 8, second: Some(8) }]);
        assert_eq!(tx.create_account(1, "mona", &[], 70).await.unwrap(), Some(4));
        tx.commit().await.unwrap();
        store.close().await.unwrap();
        Store::open(&place).await.unwrap();
    }
}

#[tokio::test]
async fn what_version_2_held_is_all_there() {
    for (_dir, _scratch, place) in of_version(2).await {
        let store = Store::open(&place).await.unwrap();

        store.assert_bytes_are_right().await;
        let (roster, version) = store.roster(1).await.unwrap();
        assert_eq!((roster[0].contact.as_str(), roster[0].name.as_str()), ("eve@#1", "E"));
        assert_eq!((roster[0].to, roster[0].from, version.last), (true, true, 2));
        let (roster, _) = store.roster(3).await.unwrap();
        let asks = roster.iter().find(|row| !row.listed).unwrap();
        assert_eq!(&asks.request[..], b"<presence/>");
        assert_eq!(store.departure(3).await.unwrap().unwrap().status, "gone fishing");
        let waiting = store.undelivered(1, 5, 10).await.unwrap();
        assert_eq!(waiting.iter().map(|row| row.seq).collect::<Vec<_>>(), [6, 7]);
        assert_eq!(store.last_stamp().await.unwrap(), Some(53));
        assert_eq!(store.find_account(1, "bob").await.unwrap().unwrap().generation, 0);
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.set_credentials(1, &[]).await.unwrap(), 1);
        tx.commit().await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn what_version_3_held_is_all_there() {
    for (_dir, _scratch, place) in of_version(3).await {
        let store = Store::open(&place).await.unwrap();

        store.assert_bytes_are_right().await;
        let waiting = store.undelivered(1, 5, 10).await.unwrap();
        assert_eq!(waiting.iter().map(|row| row.seq).collect::<Vec<_>>(), [6, 7]);
        assert_eq!(store.find_account(1, "bob").await.unwrap().unwrap().generation, 2);
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.create_pubsub_node(1, "mood", b"").await.unwrap(), Some(1));
        tx.commit().await.unwrap();
    }
}

#[tokio::test]
async fn what_was_in_the_journal_is_in_the_archives_before_any_step() {
    let mut places = Vec::new();
    for version in FIRST_WITH_JOURNAL..KNOWN {
        let journalled = match version >= FIRST_WITH_PARTS {
            true => {
                "INSERT INTO bodies VALUES (8, 2, 54, NULL, X'3c6d6573736167652f3e'); \
                INSERT INTO journal VALUES (1, 8, 1, 8, 54, 1, 0, 10), (3, 8, 3, 8, 54, 1, 1, 10)"
            }
            false => {
                "INSERT INTO bodies VALUES (8, 2, 54, NULL, X'3c6d6573736167652f3e'); \
                INSERT INTO journal VALUES (8, 54, 10, 1, 8, 1, 0, 3, 8, 1, 1)"
            }
        };
        places.extend(of_version(version).await.into_iter().map(|place| (journalled, place)));
    }
    for (journalled, (dir, scratch, place)) in places {
        match &scratch {
            Some(scratch) => scratch.alter(&journalled.replace("X'", "'\\x")).unwrap(),
            None => dir.alter(journalled).await,
        }
        let (mut conn, dialect) = connect(&place).await;

        migrate(&mut conn, dialect).await.unwrap();

        // Nobody has folded but the migration.
        for (text, expected) in [
            ("SELECT COUNT(*) FROM journal", 0),
            ("SELECT COUNT(*) FROM archive_rows WHERE body = 8 AND seq = 8", 2),
        ] {
            let row = sqlx::query(text).fetch_one(&mut conn).await.unwrap();
            assert_eq!(row.get::<i64, _>(0), expected, "{text}");
        }
        conn.close().await.unwrap();
        let store = Store::open(&place).await.unwrap();
        store.assert_bytes_are_right().await;
        let waiting = store.undelivered(1, 5, 10).await.unwrap();
        assert_eq!(waiting.iter().map(|row| row.seq).collect::<Vec<_>>(), [6, 7, 8]);
    }
}

#[tokio::test]
async fn what_version_4_held_is_all_there_and_archives_can_be_of_rooms() {
    for (_dir, _scratch, place) in of_version(4).await {
        let store = Store::open(&place).await.unwrap();

        store.assert_bytes_are_right().await;
        let bob = store.find_account(1, "bob").await.unwrap().unwrap();
        let waiting = store.undelivered(bob.archive, 5, 10).await.unwrap();
        assert_eq!(waiting.iter().map(|row| row.seq).collect::<Vec<_>>(), [6, 7]);
        let mut tx = store.begin().await.unwrap();
        let lunch = tx.create_room(1, "lunch", None, b"", b"").await.unwrap().unwrap();
        assert_ne!(lunch.archive, bob.archive);
        assert!(tx.remove_account(1).await.unwrap());
        assert!(tx.remove_room(lunch.id).await.unwrap());
        tx.commit().await.unwrap();
        store.close().await.unwrap();
        Store::open(&place).await.unwrap();
    }
}

/// A killed process leaves of a file what is on the disk at that moment: here, a migration that has
/// written everything and not committed.
#[tokio::test]
async fn a_migration_that_is_killed_has_not_happened() {
    for version in 1..KNOWN {
        let (dir, after) = (Dir::of_files(), Dir::of_files());
        let file = dir.path().join("store.db");
        old_file(&file, version).unwrap();
        let options = crate::sqlite::options(&file).unwrap();
        let mut conn = crate::sqlite::connect_writer(&options, true).await.unwrap();
        // This puts on the disk what is not committed.
        conn.execute("PRAGMA cache_size = 1; BEGIN IMMEDIATE").await.unwrap();
        for step in &MIGRATIONS[version as usize..] {
            conn.execute(sqlx::raw_sql(*step)).await.unwrap();
        }
        let much = "INSERT INTO settings (name, value) VALUES ('much', zeroblob(1000000))";
        conn.execute(much).await.unwrap();
        for part in ["store.db", "store.db-wal"] {
            std::fs::copy(dir.path().join(part), after.path().join(part)).unwrap();
        }
        assert!(std::fs::metadata(after.path().join("store.db-wal")).unwrap().len() > 1_000_000);

        let found = Store::look(&place(&after)).await.unwrap();
        let store = Store::open(&place(&after)).await.unwrap();

        assert_eq!(found.version, version);
        assert_eq!(store.upgraded().unwrap().from, version);
        assert_eq!(store.setting("much").await.unwrap(), None);
        assert_eq!(store.count_accounts(1).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn if_a_step_fails_none_has_happened() {
    // The good step is undone with the bad one.
    let broken: &[&str] = &[
        MIGRATIONS[0],
        "CREATE TABLE half (a BIGINT); DELETE FROM mailbox",
        "CREATE TABLE other (a BIGINT); INSERT INTO nowhere VALUES (1)",
    ];
    for (_dir, _scratch, place) in of_version(1).await {
        let (mut conn, dialect) = connect(&place).await;

        let failed = migrate_along(&mut conn, dialect, broken).await;

        assert!(matches!(failed, Err(Refusal::Database(_))), "{failed:?}");
        assert_eq!(current(&mut conn, dialect).await.unwrap(), 1);
        let half = sqlx::query(dialect.has_table()).bind("half").fetch_one(&mut conn).await;
        assert_eq!(half.unwrap().get::<i64, _>(0), 0);
        conn.close().await.unwrap();
        let store = Store::open(&place).await.unwrap();
        assert_eq!(store.undelivered(1, 0, 10).await.unwrap().len(), 2);
    }
}
