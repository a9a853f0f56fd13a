//! What is copied, backed up and restored is all of it, or nothing.
#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;
use crate::scratch::Scratch;
use crate::testing::{Dir, account, message, place, verifier};

/// Puts something into every table.
async fn populate(store: &Store) {
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.set_credentials(bob, &[verifier("SCRAM-SHA-1", 7)]).await.unwrap();
    tx.block(bob, "mal@far.example").await.unwrap();
    tx.remember_place(bob, "192.0.2.1", 5).await.unwrap();
    let throttle = crate::Throttle { failures: 2, since: 1, blocked_until: 0 };
    tx.throttle_save("bob 192.0.2.1", throttle).await.unwrap();
    tx.came_online(bob, 5).await.unwrap();
    tx.departed(eve, 6, "gone fishing").await.unwrap();
    tx.set_setting("secret", b"\0\xff").await.unwrap();
    // More than a page of the table.
    let batch: Vec<_> = (1..=250)
        .map(|seq| {
            let mut one = message(seq, ("bob", bob), ("eve", eve));
            one.origin = Some(format!("o{seq}"));
            one.sender_resource = (seq % 2 == 0).then(|| "desk".to_owned());
            one
        })
        .collect();
    tx.append(&batch).await.unwrap();
    tx.advance_cursors(&[(eve, 100)]).await.unwrap();
    tx.conn()
        .unwrap()
        .execute(
            "INSERT INTO roster (account, contact, listed, name, in_groups, subscription, ask, \
            approved, request, version) SELECT id, 'eve@#1', 1, 'E', '', 3, 0, 0, stanza, 1 \
            FROM messages WHERE id = 1",
        )
        .await
        .unwrap();
    tx.conn().unwrap().execute("INSERT INTO roster_versions VALUES (1, 1, 0)").await.unwrap();
    tx.commit().await.unwrap();
    for table in TABLES {
        let mut conn = store.reader().await.unwrap();
        assert!(count(&mut conn, table).await.unwrap() > 0, "{}", table.name);
    }
}

/// Everything that is in a store.
async fn all(store: &Store) -> Vec<Vec<Value>> {
    let mut source = Source::Database(store.snapshot().await.unwrap());
    let mut all = Vec::new();
    for table in TABLES {
        let mut last: Option<Vec<Value>> = None;
        loop {
            let page = source.page(table, last.as_ref()).await.unwrap();
            let Some(row) = page.last() else { break };
            last = Some(row.clone());
            all.extend(page);
        }
    }
    all
}

/// A place of each kind that there is here.
fn places() -> Vec<(Dir, Option<Scratch>, Place)> {
    let dir = Dir::of_files();
    let file = place(&dir);
    let mut places = vec![(dir, None, file)];
    if let Some(scratch) = Scratch::new() {
        let scratch = scratch.unwrap();
        let there = scratch.place();
        places.push((Dir::of_files(), Some(scratch), there));
    }
    places
}

#[tokio::test]
async fn everything_is_copied_from_each_kind_of_database_to_each() {
    for (_dir, _scratch, from) in places() {
        let store = Store::open(&from).await.unwrap();
        populate(&store).await;
        let before = all(&store).await;
        store.close().await.unwrap();
        for (_dir, _scratch, to) in places() {
            assert_eq!(copy(&from, &to).await.unwrap(), before.len() as u64);

            let copied = Store::open(&to).await.unwrap();
            assert_eq!(all(&copied).await, before);
            // It can be used: no number is given twice.
            assert_eq!(copied.last_seq().await.unwrap(), 250);
            let mut tx = copied.begin().await.unwrap();
            assert!(account(&mut tx, "mona").await > 2);
            tx.commit().await.unwrap();
            copied.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_target_that_is_not_empty_is_refused_and_left_alone() {
    for (_dir, _scratch, to) in places() {
        let from = Dir::of_files();
        let source = Store::open(&place(&from)).await.unwrap();
        populate(&source).await;
        source.close().await.unwrap();
        let target = Store::open(&to).await.unwrap();
        let mut tx = target.begin().await.unwrap();
        account(&mut tx, "zoe").await;
        tx.commit().await.unwrap();
        let before = all(&target).await;
        target.close().await.unwrap();

        let refused = copy(&place(&from), &to).await.unwrap_err();

        assert!(matches!(refused, TransferError::NotEmpty { .. }), "{refused:?}");
        assert_eq!(all(&Store::open(&to).await.unwrap()).await, before);
    }
}

#[tokio::test]
async fn a_copy_that_fails_leaves_the_target_empty() {
    let from = Dir::of_files();
    let source = Store::open(&place(&from)).await.unwrap();
    populate(&source).await;
    source.close().await.unwrap();
    // A row that no other database would take: the last table refers to nobody.
    from.alter("PRAGMA foreign_keys = OFF; INSERT INTO roster_versions VALUES (99, 1, 0)").await;

    for (_dir, _scratch, to) in places() {
        assert!(copy(&place(&from), &to).await.is_err());

        if let Place::Sqlite(path) = &to {
            assert!(!path.exists());
        }
        assert!(all(&Store::open(&to).await.unwrap()).await.is_empty());
    }
    let none = Place::Sqlite(from.path().join("none.db"));
    assert!(copy(&none, &place(&Dir::of_files())).await.is_err());
}

#[tokio::test]
async fn a_backup_of_any_kind_of_database_is_restored_into_any_other() {
    for (dir, _scratch, from) in places() {
        let store = Store::open(&from).await.unwrap();
        populate(&store).await;
        let before = all(&store).await;
        let file = dir.path().join("backup");
        assert_eq!(store.backup(&file).await.unwrap(), before.len() as u64);
        check_backup(&file).unwrap();
        store.close().await.unwrap();
        for (_dir, _scratch, to) in places() {
            let other = Store::open(&to).await.unwrap();
            let mut tx = other.begin().await.unwrap();
            account(&mut tx, "zoe").await;
            tx.commit().await.unwrap();

            other.restore(&file).await.unwrap();

            assert_eq!(all(&other).await, before);
            assert!(other.find_account(1, "zoe").await.unwrap().is_none());
        }
    }
}

#[tokio::test]
async fn a_backup_is_of_one_moment_and_overwrites_nothing() {
    for (dir, _scratch, from) in places() {
        let store = Store::open(&from).await.unwrap();
        populate(&store).await;
        let before = all(&store).await;
        let file = dir.path().join("backup");
        let source = Source::Database(store.snapshot().await.unwrap());
        let mut tx = store.begin().await.unwrap();
        account(&mut tx, "late").await;
        tx.commit().await.unwrap();
        let mut writer = file::Writer::create(&file).unwrap();
        write_all(&mut writer, source).await.unwrap();
        writer.finish().unwrap();

        let refused = store.backup(&file).await.unwrap_err().to_string();
        assert!(refused.contains("is there already"), "{refused}");
        store.restore(&file).await.unwrap();
        assert_eq!(all(&store).await, before);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

#[tokio::test]
async fn nothing_of_a_broken_backup_is_believed() {
    let dir = Dir::of_files();
    let store = Store::open(&place(&dir)).await.unwrap();
    populate(&store).await;
    let before = all(&store).await;
    let file = dir.path().join("backup");
    store.backup(&file).await.unwrap();
    let whole = fs::read(&file).unwrap();

    let mut broken: Vec<Vec<u8>> =
        [0, 5, 17, 40, whole.len() / 2, whole.len() - 1].map(|end| whole[..end].to_vec()).into();
    for at in [3, 20, 100, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        broken.push(changed);
    }
    broken.push([&whole[..], b"more"].concat());
    for bytes in broken {
        fs::write(&file, &bytes).unwrap();
        let refused = store.restore(&file).await.unwrap_err();
        assert!(matches!(refused, TransferError::Damaged { .. }), "{refused:?}");
    }
    assert_eq!(all(&store).await, before);
    let none = store.restore(&dir.path().join("none")).await.unwrap_err().to_string();
    assert!(none.starts_with("there is no "), "{none}");
}
