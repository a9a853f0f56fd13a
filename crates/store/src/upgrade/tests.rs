//! The old database is complete until the new one is, whatever happens in between.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use sqlx::{Connection, Executor};

use super::*;
use crate::scratch::old_file;
use crate::testing::{Dir, place};

const ALL: &str = "SELECT name || COALESCE(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite%' \
    ORDER BY name";

fn files(dir: &Dir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Returns the first column of a query's rows, from a file of whatever schema.
async fn ask(file: &Path, question: &'static str) -> Vec<String> {
    let mut conn = AnyConnection::connect_with(&sqlite::options(file).unwrap()).await.unwrap();
    let rows = sqlx::query(question).fetch_all(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Makes a file as a killed server of an older version leaves it: its last writes are in the
/// write-ahead log alone.
async fn killed_at(version: i64) -> Dir {
    let (dir, killed) = (Dir::of_files(), Dir::of_files());
    let file = dir.path().join("store.db");
    old_file(&file, version).unwrap();
    let options = sqlite::options(&file).unwrap();
    let mut conn = sqlite::connect_writer(&options, true).await.unwrap();
    conn.execute("INSERT INTO settings (name, value) VALUES ('last', X'07')").await.unwrap();
    for part in ["store.db", "store.db-wal"] {
        fs::copy(dir.path().join(part), killed.path().join(part)).unwrap();
    }
    killed
}

/// Asserts that the file is one that a program of that version has written, with all its data.
async fn is_of_version(file: &Path, version: i64) {
    let dir = Dir::of_files();
    let model = dir.path().join("model.db");
    old_file(&model, version).unwrap();
    assert_eq!(ask(file, ALL).await, ask(&model, ALL).await);
    let stored = "SELECT CAST(version AS TEXT) FROM schema_version";
    assert_eq!(ask(file, stored).await, [version.to_string()]);
    assert_eq!(ask(file, "PRAGMA integrity_check").await, ["ok"]);
    assert_eq!(ask(file, "SELECT name FROM settings WHERE name = 'last'").await, ["last"]);
    let people = "SELECT localpart FROM accounts ORDER BY id";
    assert_eq!(ask(file, people).await, ask(&model, people).await);
    let messages = match version {
        ..3 => "SELECT CAST(id AS TEXT) || hex(stanza) FROM messages ORDER BY id",
        3.. => "SELECT CAST(id AS TEXT) || hex(stanza) FROM bodies ORDER BY id",
    };
    assert_eq!(ask(file, messages).await, ask(&model, messages).await);
}

#[tokio::test]
async fn the_old_database_is_kept_whole_beside_the_new_one_for_the_program_before() {
    for version in 1..schema::KNOWN {
        let dir = killed_at(version).await;

        let store = Store::open(&place(&dir)).await.unwrap();

        let copy = dir.path().join(format!("store.schema-{version}.db"));
        let upgraded = Upgraded { from: version, to: schema::KNOWN, copy: Some(copy.clone()) };
        assert_eq!(store.upgraded(), Some(&upgraded));
        assert_eq!(store.setting("last").await.unwrap().unwrap(), [7]);
        assert_eq!(store.kept_copies(), std::slice::from_ref(&copy));
        store.close().await.unwrap();
        assert_eq!(files(&dir), ["store.db".to_owned(), format!("store.schema-{version}.db")]);
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        is_of_version(&copy, version).await;

        // A database of today's schema is opened as it is.
        let store = Store::open(&place(&dir)).await.unwrap();
        assert_eq!(store.upgraded(), None);
        assert_eq!(store.remove_kept_copies().unwrap(), [copy]);
        assert!(store.kept_copies().is_empty());
    }
}

#[tokio::test]
async fn a_copy_that_was_cut_off_and_one_of_an_earlier_day_are_made_anew() {
    let dir = killed_at(1).await;
    fs::write(dir.path().join("store.schema-1.db.new"), "half of it").unwrap();
    fs::write(dir.path().join("store.schema-1.db"), "of an earlier day").unwrap();

    let store = Store::open(&place(&dir)).await.unwrap();
    store.close().await.unwrap();

    assert_eq!(files(&dir), ["store.db", "store.schema-1.db"]);
    is_of_version(&dir.path().join("store.schema-1.db"), 1).await;
}

/// A killed process leaves what is on the disk at that moment.
#[tokio::test]
async fn whenever_it_is_killed_the_next_start_has_everything() {
    let dir = killed_at(1).await;
    let killed = parking_lot::Mutex::new(Vec::new());
    let tell = |_| {
        let now = Dir::of_files();
        for name in files(&dir) {
            // What SQLite shares among processes is removed with the last of them.
            if !name.ends_with("-shm") {
                fs::copy(dir.path().join(&name), now.path().join(&name)).unwrap();
            }
        }
        killed.lock().push(now);
    };
    let opening = Opening { tell: &tell, ..Opening::default() };
    Store::open_with(&place(&dir), &opening).await.unwrap();

    let killed = killed.into_inner();
    assert!(files(&killed[0]).contains(&"store.schema-1.db.new".to_owned()));
    assert!(files(killed.last().unwrap()).contains(&"store.schema-1.db".to_owned()));
    for dir in killed {
        let store = Store::open(&place(&dir)).await.unwrap();

        assert_eq!(store.setting("last").await.unwrap().unwrap(), [7]);
        store.close().await.unwrap();
        is_of_version(&dir.path().join("store.schema-1.db"), 1).await;
        assert_eq!(files(&dir), ["store.db", "store.schema-1.db"]);
    }
}

#[tokio::test]
async fn where_no_copy_can_be_made_nothing_is_changed_and_one_line_says_what_to_do() {
    let dir = killed_at(1).await;
    // Not even root can write a file here.
    fs::create_dir(dir.path().join("store.schema-1.db.new")).unwrap();

    let refused = Store::open(&place(&dir)).await.unwrap_err();

    assert!(matches!(refused, OpenError::NoCopy { from: 1, .. }), "{refused:?}");
    let said = refused.to_string();
    for word in ["store.schema-1.db", "directory", "--migrate-without-copy", "backup"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(Store::look(&place(&dir)).await.unwrap().version, 1);

    let opening = Opening { keep_copy: false, ..Opening::default() };
    let store = Store::open_with(&place(&dir), &opening).await.unwrap();
    assert_eq!(store.upgraded().unwrap().copy, None);
}

#[tokio::test]
async fn what_is_already_there_of_a_copys_name_is_left_alone_if_the_new_one_fails() {
    let dir = killed_at(1).await;
    fs::create_dir(dir.path().join("store.schema-1.db")).unwrap();
    fs::write(dir.path().join("store.schema-1.db/precious"), "").unwrap();

    let refused = Store::open(&place(&dir)).await.unwrap_err();

    assert!(matches!(refused, OpenError::NoCopy { .. }), "{refused:?}");
    assert_eq!(Store::look(&place(&dir)).await.unwrap().version, 1);
    assert!(dir.path().join("store.schema-1.db/precious").exists());
    assert!(!files(&dir).iter().any(|name| name.ends_with(".new")));
}

#[test]
fn a_copy_needs_as_much_room_as_the_database_has() {
    assert_eq!(has_room(50 << 20, 50 << 20), Ok(()));
    let why = "it takes 51 MiB and 50 MiB are free".to_owned();
    assert_eq!(has_room((50 << 20) + 1, 50 << 20), Err(why));
    // The step to version 3 writes all of it anew, too.
    assert_eq!((room(10, 2), room(10, 3)), (40, 10));
    let why = "it takes 120 KiB and 4 KiB are free".to_owned();
    assert_eq!(has_room(120 << 10, 4 << 10), Err(why));
}

#[tokio::test]
async fn what_a_copy_takes_is_known_before() {
    let dir = killed_at(1).await;
    let options = place(&dir).options().unwrap();
    let mut conn = AnyConnection::connect_with(&options).await.unwrap();
    let expected = size(&mut conn).await.unwrap();
    conn.close().await.unwrap();

    let store = Store::open(&place(&dir)).await.unwrap();

    let copy = fs::metadata(&store.kept_copies()[0]).unwrap().len();
    assert!(copy <= expected && expected < copy + 100_000, "{copy} {expected}");
}

#[tokio::test]
async fn it_is_said_how_far_it_is() {
    let dir = killed_at(1).await;
    let said = parking_lot::Mutex::new(Vec::new());
    let tell = |progress: Progress| said.lock().push(progress.to_string());

    let opening = Opening { tell: &tell, ..Opening::default() };
    Store::open_with(&place(&dir), &opening).await.unwrap();

    let said = said.into_inner();
    assert!(said[0].starts_with("copying the database, 0 KiB of "), "{said:?}");
    let last = format!("bringing the database from schema 1 to {}", schema::KNOWN);
    assert_eq!(said.last(), Some(&last));
}

#[tokio::test]
async fn a_start_is_the_first_good_one_until_the_next_upgrade() {
    let dir = Dir::of_files();
    let file = dir.path().join("store.db");
    old_file(&file, 1).unwrap();
    crate::testing::alter(&file, "INSERT INTO numbers VALUES ('upgraded', 5)").await;

    let store = Store::open(&place(&dir)).await.unwrap();

    assert_eq!(store.first_good_start().await.unwrap(), None);
    for at in [70, 80] {
        let mut tx = store.begin().await.unwrap();
        tx.started_well(at).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(store.first_good_start().await.unwrap(), Some(70));
    }
}
