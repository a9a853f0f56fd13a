//! Every released schema is brought to today's with all that is in it, or stays as it was.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::scratch::Scratch;
use crate::testing::{Dir, alter, place};
use crate::{Place, Query, Store};

/// Version 1 as it was released.
const VERSION_1: &str = include_str!("../../migrations/0001.sql");
const DATA_1: &str = include_str!("../../migrations/0001.data.sql");

/// A database of version 1, of each kind that there is here.
async fn of_version_1() -> Vec<(Dir, Option<Scratch>, Place)> {
    let text = format!("{CREATE};\n{VERSION_1}\n{DATA_1}");
    let dir = Dir::of_files();
    let file: &'static str = text.clone().leak();
    std::fs::write(dir.path().join("store.db"), "").unwrap();
    alter(&dir.path().join("store.db"), file).await;
    let there = place(&dir);
    let mut databases = vec![(dir, None, there)];
    if let Some(scratch) = Scratch::new().map(Result::unwrap) {
        let translated = crate::postgres::declaration(&text);
        let mut parts = translated.split("X'");
        let bytes = parts.next().unwrap().to_owned();
        let text = parts.fold(bytes, |text, part| text + "'\\x" + part);
        scratch.alter(&text).unwrap();
        let there = scratch.place();
        databases.push((Dir::of_files(), Some(scratch), there));
    }
    databases
}

#[tokio::test]
async fn what_version_1_held_is_all_there() {
    for (_dir, _scratch, place) in of_version_1().await {
        let store = Store::open(&place).await.unwrap();

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
        assert_eq!(store.places_since(1, 0).await.unwrap(), ["192.0.2.1"]);
        assert_eq!(store.throttle_load_all(60).await.unwrap().len(), 1);
        assert_eq!(store.online_since(1, 0).await.unwrap().len(), 2);
        assert_eq!(store.last_heartbeat().await.unwrap(), Some(60));
        assert_eq!(store.last_seq().await.unwrap(), 7);
        assert_eq!(store.cursor(1).await.unwrap(), 5);
        let waiting = store.undelivered(1, 5, 10).await.unwrap();
        assert_eq!(waiting.iter().map(|row| row.seq).collect::<Vec<_>>(), [6]);
        let all = Query { limit: 10, ..Query::default() };
        let archive = store.query(1, &all).await.unwrap().rows;
        assert_eq!(archive[0].sender_resource.as_deref(), Some("desk"));
        assert_eq!(&archive[0].stanza[..], b"<message/>");
        assert_eq!(store.query(3, &all).await.unwrap().rows.len(), 1);
        // And it can be written.
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.create_account(1, "mona", &[], 70).await.unwrap(), Some(4));
        tx.commit().await.unwrap();
        store.close().await.unwrap();
        Store::open(&place).await.unwrap();
    }
}

#[tokio::test]
async fn a_step_that_fails_leaves_everything_as_it_was() {
    let broken: &[&str] = &[
        VERSION_1,
        "CREATE TABLE half (a BIGINT); DELETE FROM mailbox; INSERT INTO nowhere VALUES (1)",
    ];
    for (_dir, _scratch, place) in of_version_1().await {
        let (mut conn, dialect) = match &place {
            Place::Postgres(url) => (crate::postgres::look(url).await.unwrap(), Dialect::Postgres),
            Place::Sqlite(path) => {
                let options = crate::sqlite::options(path).unwrap();
                (AnyConnection::connect_with(&options).await.unwrap(), Dialect::Sqlite)
            }
            Place::Memory => panic!(),
        };

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
