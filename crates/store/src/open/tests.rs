//! What can prevent the opening of a store, and what a transaction promises.
#![allow(clippy::unwrap_used)]

use std::fs;

use sqlx::{AnyConnection, Row};

use super::*;
use crate::testing::{Dir, account, fresh, fresh_file, message, place};
use crate::{Error, schema};

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_was_committed_is_there_after_opening_again_in_one_file() {
    let (dir, store) = fresh_file().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    tx.commit().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(files(dir.path()), ["store.db"]);

    let store = Store::open(&place(&dir)).await.unwrap();

    assert_eq!(store.find_account(1, "bob").await.unwrap().unwrap().id, bob);
}

#[tokio::test]
async fn every_commit_is_on_the_disk_and_readers_cannot_write() {
    let (_dir, store) = fresh_file().await;
    let ask = async |conn: &mut AnyConnection, text: &'static str| -> String {
        let row = sqlx::query(text).fetch_one(conn).await.unwrap();
        row.try_get::<i64, _>(0).map_or_else(|_| row.get(0), |number| number.to_string())
    };

    let mut tx = store.begin().await.unwrap();
    let writer = tx.conn().unwrap();
    assert_eq!(ask(writer, "PRAGMA journal_mode").await, "wal");
    assert_eq!(ask(writer, "PRAGMA synchronous").await, "2");
    assert_eq!(ask(writer, "PRAGMA foreign_keys").await, "1");
    assert_eq!(ask(writer, "PRAGMA busy_timeout").await, "5000");
    tx.rollback().await.unwrap();

    let mut reader = store.reader().await.unwrap();
    assert_eq!(ask(&mut reader, "PRAGMA journal_mode").await, "wal");
    assert!(reader.execute("DELETE FROM accounts").await.is_err());
}

#[tokio::test]
async fn a_path_may_hold_any_character() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("ein ? Ordner #1 100% mit ö & 'so'");
    fs::create_dir(&folder).unwrap();

    let store = Store::open(&Location::Sqlite(folder.join("my store.db"))).await.unwrap();
    assert!(store.domains().await.unwrap().is_empty());
    store.close().await.unwrap();

    assert_eq!(files(&folder), ["my store.db"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, store) = fresh_file().await;
    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "bob").await;
    tx.commit().await.unwrap();

    assert_eq!(files(dir.path()), ["store.db", "store.db-shm", "store.db-wal"]);
    for name in files(dir.path()) {
        let mode = fs::metadata(dir.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_folder_that_is_a_file_or_missing_or_a_file_that_is_a_folder_is_unwritable() {
    let dir = Dir::of_files();
    fs::write(dir.path().join("file"), "").unwrap();

    for path in ["file/store.db", "missing/store.db", "."] {
        let refusal = Store::open(&Location::Sqlite(dir.path().join(path))).await.unwrap_err();
        assert!(matches!(refusal, OpenError::Unwritable { .. }), "{refusal:?}");
        assert!(refusal.to_string().starts_with("cannot create or write the database"));
    }
    assert_eq!(files(dir.path()), ["file"]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_broken_and_left_alone() {
    let dir = Dir::of_files();
    let path = dir.path().join("store.db");
    let text = "this is not a database\n".repeat(500);
    fs::write(&path, &text).unwrap();

    let refusal = Store::open(&place(&dir)).await.unwrap_err();

    assert!(matches!(refusal, OpenError::Broken { .. }), "{refusal:?}");
    let said = refusal.to_string();
    assert!(said.contains("it does not begin as a database does; restore it"), "{said}");
    assert!(!said.contains("26"), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(files(dir.path()), ["store.db"]);
}

#[tokio::test]
async fn a_database_with_its_middle_overwritten_is_broken() {
    let (dir, store) = fresh_file().await;
    store.close().await.unwrap();
    let path = dir.path().join("store.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100..8_000].fill(0x55);
    fs::write(&path, bytes).unwrap();

    let refusal = Store::open(&place(&dir)).await.unwrap_err();

    assert!(matches!(refusal, OpenError::Broken { .. }), "{refusal:?}");
}

#[tokio::test]
async fn a_newer_database_is_refused_with_both_versions_and_unchanged() {
    let (dir, store) = fresh_file().await;
    store.close().await.unwrap();
    dir.alter("UPDATE schema_version SET version = 99").await;
    let before = fs::read(dir.path().join("store.db")).unwrap();

    let refusal = Store::open(&place(&dir)).await.unwrap_err();

    let OpenError::Newer { found: 99, known: schema::KNOWN } = refusal else {
        panic!("{refusal:?}");
    };
    assert!(refusal.to_string().contains("newer version"));
    assert_eq!(fs::read(dir.path().join("store.db")).unwrap(), before);
}

#[tokio::test]
async fn a_database_that_does_not_say_its_version_is_broken() {
    for text in ["DELETE FROM schema_version", "UPDATE schema_version SET version = 0"] {
        let (dir, store) = fresh().await;
        store.close().await.unwrap();
        dir.alter(text).await;

        let refusal = Store::open(&place(&dir)).await.unwrap_err();

        assert!(matches!(refusal, OpenError::Broken { .. }), "{refusal:?}");
    }
}

#[tokio::test]
async fn another_programs_database_is_refused_and_left_alone() {
    let dir = Dir::of_files();
    fs::write(dir.path().join("store.db"), "").unwrap();
    dir.alter("CREATE TABLE recipes (name TEXT)").await;

    let refusal = Store::open(&place(&dir)).await.unwrap_err();

    assert!(matches!(refusal, OpenError::Foreign { .. }), "{refusal:?}");
    assert!(refusal.to_string().ends_with("belongs to another program"));
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let dir = Dir::of_files();
    fs::write(dir.path().join("store.db"), "").unwrap();

    let store = Store::open(&place(&dir)).await.unwrap();

    assert!(store.domains().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_in_memory_is_gone_with_its_last_handle() {
    let store = Store::open(&Location::Memory).await.unwrap();
    let folder = store.inner._folder.as_ref().unwrap().0.clone();
    let other = Store::open(&Location::Memory).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "bob").await;
    tx.commit().await.unwrap();

    let clone = store.clone();
    drop(store);
    assert!(clone.find_account(1, "bob").await.unwrap().is_some());
    assert!(other.find_account(1, "bob").await.unwrap().is_none());
    assert!(folder.exists());
    drop(clone);
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_dropped_transaction_did_not_happen() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "bob").await;
    drop(tx);

    let mut tx = store.begin().await.unwrap();
    assert!(tx.domains().await.unwrap().is_empty());
    account(&mut tx, "eve").await;
    tx.rollback().await.unwrap();

    let mut tx = store.begin().await.unwrap();
    assert!(tx.domains().await.unwrap().is_empty());
    account(&mut tx, "mona").await;
    tx.commit().await.unwrap();
    assert!(store.find_account(1, "mona").await.unwrap().is_some());
}

#[tokio::test]
async fn readers_see_what_is_committed_and_nothing_of_what_is_not() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "bob").await;

    assert!(store.domains().await.unwrap().is_empty());
    tx.commit().await.unwrap();
    assert_eq!(store.domains().await.unwrap().len(), 1);
}

#[tokio::test]
async fn transactions_wait_for_each_other() {
    let (_dir, store) = fresh().await;
    let first = store.begin().await.unwrap();
    let second = tokio::spawn({
        let store = store.clone();
        async move { store.begin().await.unwrap().domains().await.unwrap() }
    });
    tokio::task::yield_now().await;
    assert!(!second.is_finished());

    let mut first = first;
    account(&mut first, "bob").await;
    first.commit().await.unwrap();

    assert_eq!(second.await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_closed_store_refuses_everything() {
    let (_dir, store) = fresh().await;
    let clone = store.clone();
    drop(store.begin().await.unwrap());
    store.close().await.unwrap();
    store.close().await.unwrap();

    assert!(matches!(clone.begin().await, Err(Error::Closed)));
    assert!(matches!(clone.domains().await, Err(Error::Closed)));
}

#[tokio::test]
async fn closing_waits_for_the_transaction_under_way() {
    let (dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "bob").await;
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    tokio::task::yield_now().await;
    tx.commit().await.unwrap();
    closing.await.unwrap().unwrap();

    let store = Store::open(&place(&dir)).await.unwrap();
    assert!(store.find_account(1, "bob").await.unwrap().is_some());
}

#[tokio::test]
async fn a_full_disk_is_an_error_of_its_own_and_passes() {
    let (_dir, store) = fresh_file().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.commit().await.unwrap();
    let limit = async |text: &'static str| {
        let mut tx = store.begin().await.unwrap();
        tx.conn().unwrap().execute(text).await.unwrap();
        tx.commit().await.unwrap();
    };
    let mut large = message(1, ("eve", eve), ("bob", bob));
    large.stanza = vec![b'x'; 1_000_000].into();

    limit("PRAGMA max_page_count = 60").await;
    for _ in 0..3 {
        let mut tx = store.begin().await.unwrap();
        tx.block(bob, &["eve@#1"]).await.unwrap();
        let error = tx.append(std::slice::from_ref(&large)).await.unwrap_err();
        assert!(error.is_full(), "{error:?}");
    }
    limit("PRAGMA max_page_count = 100000").await;

    let mut tx = store.begin().await.unwrap();
    assert!(tx.blocks(bob).await.unwrap().is_empty());
    tx.append(&[large]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.undelivered(bob, 0, 10).await.unwrap().len(), 1);
}

#[test]
fn everything_may_be_done_from_any_thread() {
    fn check<T: Send + Sync>() {}
    fn check_future<T: Send>(_: impl Fn(Store, Tx) -> T) {}
    check::<Store>();
    check::<Error>();
    check_future(|store, mut tx| async move {
        store.query(1, &crate::Query::default()).await?;
        store.begin().await?;
        store.close().await?;
        tx.append(&[]).await?;
        tx.expire(0, 0, 1).await?;
        tx.remove_account(1).await?;
        tx.rename_domain("a", "b").await?;
        tx.advance_cursors(&[]).await?;
        tx.set_credentials(1, &[]).await?;
        tx.commit().await
    });
}
