//! A copy, a backup and a restore are complete, or nothing has happened.
#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;
use crate::Location;
use crate::scratch::{Scratch, old_backup, old_file};
use crate::testing::{
    Dir, account, heard, in_room, message, new_item, place, token, user_agent, verifier,
    with_origin,
};

/// Puts something into every table.
async fn populate(store: &Store) {
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.set_credentials(bob, &[verifier("SCRAM-SHA-1", 5)]).await.unwrap();
    let at = crate::ChangedAt { wall: 7, even: 6 };
    tx.change_credentials(bob, &[verifier("SCRAM-SHA-1", 7)], at).await.unwrap();
    tx.block(bob, &["mal@far.example"]).await.unwrap();
    tx.grant_right(bob, 5, 9).await.unwrap();
    tx.add_device(bob, &user_agent("phone"), (5, 5), 9).await.unwrap();
    tx.put_token(bob, "phone", &token("a key in clear", 5)).await.unwrap();
    tx.remember_place(bob, "192.0.2.1", 5).await.unwrap();
    let throttle = crate::Throttle { failures: 2, since: 1, blocked_until: 0 };
    tx.throttle_save("bob 192.0.2.1", throttle).await.unwrap();
    tx.came_online(bob, 5).await.unwrap();
    tx.departed(eve, 6, "gone fishing").await.unwrap();
    let mal = account(&mut tx, "mal").await;
    tx.keep_name(mal, 5, 7, 9).await.unwrap();
    tx.remove_account(mal).await.unwrap();
    tx.set_setting("secret", b"\0\xff").await.unwrap();
    let key = crate::DataKey { namespace: "storage:bookmarks", name: "storage" };
    let limit = crate::DataLimit { values: 1, bytes: 9 };
    tx.put_account_data(eve, key, b"<a/>", limit).await.unwrap();
    let node = tx.create_pubsub_node(eve, "mood", b"\0\xff").await.unwrap().unwrap();
    tx.put_pubsub_item(node, new_item("1", b"<sad/>")).await.unwrap();
    tx.purge_pubsub_node(node).await.unwrap();
    tx.put_pubsub_item(node, new_item("2", b"<happy/>")).await.unwrap();
    tx.set_pubsub_affiliation(node, "mal@far.example", Some(1)).await.unwrap();
    tx.set_pubsub_subscription(node, "bob@#1/desk", Some((1, b"\xff"))).await.unwrap();
    let lunch = tx.create_room(1, "lunch", Some(bob), b"\0", b"\xff").await.unwrap().unwrap();
    let subject = crate::RoomSubject { stanza: b"<message/>".to_vec(), by: "B".into(), at: 5 };
    tx.set_room_subject(lunch.id, &subject).await.unwrap();
    tx.set_room_affiliation(lunch.id, &in_room("bob@#1", 4)).await.unwrap();
    tx.set_room_card(lunch.id, "hash", b"<vCard/>").await.unwrap();
    let tea = tx.create_room(1, "tea", None, b"", b"").await.unwrap().unwrap();
    let said = crate::NewMessage {
        second: None,
        ..message(1, ("bob", tea.archive), ("bob", tea.archive))
    };
    tx.append(&[said]).await.unwrap();
    tx.remove_room(tea.id).await.unwrap();
    // This is more than a page of the table.
    let batch: Vec<_> = (1..=250)
        .map(|seq| {
            let one = message(seq, ("bob", bob), ("eve", eve));
            let mut one = with_origin(one, bob, &format!("o{seq}"));
            one.resource = (seq % 2 == 0).then(|| "desk".to_owned());
            if seq % 50 == 0 { heard(one) } else { one }
        })
        .collect();
    let (last, batch) = batch.split_last().unwrap();
    tx.append(batch).await.unwrap();
    tx.fold(crate::journal::Folded::Everything).await.unwrap();
    // This one is still in the journal.
    tx.append(std::slice::from_ref(last)).await.unwrap();
    tx.advance_cursors(&[(eve, 100)]).await.unwrap();
    tx.conn()
        .unwrap()
        .execute(
            "INSERT INTO roster (account, contact, listed, name, in_groups, subscription, ask, \
            approved, request, version) SELECT id, 'eve@#1', 1, 'E', '', 3, 0, 0, stanza, 1 \
            FROM bodies WHERE id = 1",
        )
        .await
        .unwrap();
    tx.conn().unwrap().execute("INSERT INTO roster_versions VALUES (1, 1, 0)").await.unwrap();
    tx.commit().await.unwrap();
    for table in &tables(schema::KNOWN).await.unwrap() {
        let mut conn = store.reader().await.unwrap();
        assert!(count(&mut conn, table).await.unwrap() > 0, "{}", table.name);
    }
}

/// Returns everything that is in a store.
async fn all(store: &Store) -> Vec<Vec<Value>> {
    rows(store, &tables(schema::KNOWN).await.unwrap()).await
}

async fn rows(store: &Store, tables: &[Table]) -> Vec<Vec<Value>> {
    let mut source = Source::Database(store.snapshot(tables).await.unwrap());
    let mut all = Vec::new();
    for table in tables {
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

/// Returns [`content`], once nothing is in the journal any more.
async fn folded(store: &Store) -> Vec<Vec<Value>> {
    drop(store.folded_reader(crate::log_reader::Asked::Everything).await.unwrap());
    content(store).await
}

/// Returns everything that a backup of a store has, but how high the numbers of archives are: after a
/// restore they go on later.
async fn content(store: &Store) -> Vec<Vec<Value>> {
    let mut tables = tables(schema::KNOWN).await.unwrap();
    tables.retain(|table| table.in_backups);
    let archives = tables.iter().find(|table| table.name == "archives").unwrap();
    let highest = archives.columns.iter().position(|(name, _)| name == "highest").unwrap();
    let width = archives.columns.len();
    let mut source = Source::Database(store.snapshot(&tables).await.unwrap());
    let of_archives = source.page(archives, None).await.unwrap();
    let mut all = rows(store, &tables).await;
    for row in all.iter_mut().filter(|row| row.len() == width && of_archives.contains(row)) {
        row.remove(highest);
    }
    all
}

/// Restores a backup as a server does.
async fn restore(store: &Store, file: &Path) -> Result<u64, TransferError> {
    let aside = Aside::of_backup(file, &file.with_extension("aside")).await?;
    store.replace(&aside).await
}

/// Returns a place of each kind that is available here.
fn places() -> Vec<(Dir, Option<Scratch>, Location)> {
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
async fn a_removal_that_is_under_way_goes_on_in_a_copy_and_after_a_restore() {
    let dir = Dir::of_files();
    let store = Store::open(&place(&dir)).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let batch: Vec<_> = (1..=50).map(|seq| message(seq, ("bob", bob), ("eve", eve))).collect();
    tx.append(&batch).await.unwrap();
    tx.remove_account(bob).await.unwrap();
    tx.note_holder(bob, None).await.unwrap();
    let removal = tx.next_removal().await.unwrap().unwrap();
    assert_eq!(tx.remove_piece(&removal, 20).await.unwrap(), 20);
    tx.commit().await.unwrap();
    let backup = dir.path().join("backup");
    store.backup(&backup).await.unwrap();
    store.close().await.unwrap();

    for (other, _scratch, there) in places() {
        copy(&place(&dir), &there).await.unwrap();
        let store = Store::open(&there).await.unwrap();
        for restored in [false, true] {
            if restored {
                std::fs::copy(&backup, other.path().join("backup")).unwrap();
                restore(&store, &other.path().join("backup")).await.unwrap();
            }
            assert_eq!(store.count_rows("archive_rows").await, 80);
            let mut tx = store.begin().await.unwrap();
            while let Some(removal) = tx.next_removal().await.unwrap() {
                tx.remove_piece(&removal, 20).await.unwrap();
            }
            tx.commit().await.unwrap();
            // Eve's rows, and what they are of.
            assert_eq!(store.count_rows("archive_rows").await, 50);
            assert_eq!(store.count_rows("bodies").await, 50);
        }
        store.close().await.unwrap();
    }
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
            copied.assert_bytes_are_right().await;
            // The copy can be used: no number is given twice.
            let mut tx = copied.begin().await.unwrap();
            let next = tx.append(&[message(251, ("bob", 1), ("eve", 2))]).await.unwrap();
            assert_eq!(next, [crate::Appended::Stored { first: 251, second: Some(251) }]);
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
    // No other database would take this row: it refers to nobody.
    from.alter("PRAGMA foreign_keys = OFF; INSERT INTO roster_versions VALUES (99, 1, 0)").await;

    for (_dir, _scratch, to) in places() {
        assert!(copy(&place(&from), &to).await.is_err());

        if let Location::Sqlite(path) = &to {
            assert!(!path.exists());
        }
        assert!(all(&Store::open(&to).await.unwrap()).await.is_empty());
    }
    let none = Location::Sqlite(from.path().join("none.db"));
    assert!(copy(&none, &place(&Dir::of_files())).await.is_err());
}

#[tokio::test]
async fn a_backup_of_any_kind_of_database_is_restored_into_any_other() {
    for (dir, _scratch, from) in places() {
        let store = Store::open(&from).await.unwrap();
        populate(&store).await;
        let file = dir.path().join("backup");
        assert_eq!(store.backup(&file).await.unwrap(), content(&store).await.len() as u64);
        check_backup(&file).unwrap();
        let before = folded(&store).await;
        store.close().await.unwrap();
        for (_dir, _scratch, to) in places() {
            let other = Store::open(&to).await.unwrap();
            let mut tx = other.begin().await.unwrap();
            account(&mut tx, "zoe").await;
            tx.commit().await.unwrap();

            restore(&other, &file).await.unwrap();

            assert_eq!(content(&other).await, before);
            assert!(other.find_account(1, "zoe").await.unwrap().is_none());
        }
    }
}

#[tokio::test]
async fn a_backup_has_no_token_and_a_restore_leaves_none() {
    for (dir, _scratch, there) in places() {
        let store = Store::open(&there).await.unwrap();
        populate(&store).await;
        let file = dir.path().join("backup");
        store.backup(&file).await.unwrap();
        let written = fs::read(&file).unwrap();
        let has = |text: &str| written.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(has("gone fishing") && !has("a key in clear") && !has("AwesomeXMPP"));

        restore(&store, &file).await.unwrap();

        let claimed = store.tokens(1, "bob", "phone").await.unwrap().unwrap();
        assert!(claimed.tokens.is_empty());
        assert!(store.devices(claimed.account).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_backup_is_of_one_moment_and_overwrites_nothing() {
    for (dir, _scratch, from) in places() {
        let store = Store::open(&from).await.unwrap();
        populate(&store).await;
        let file = dir.path().join("backup");
        let tables = tables(schema::KNOWN).await.unwrap();
        let mut source = Source::Database(store.snapshot(&tables).await.unwrap());
        let before = folded(&store).await;
        let mut tx = store.begin().await.unwrap();
        account(&mut tx, "late").await;
        tx.commit().await.unwrap();
        let mut writer = file::Writer::create(&file, schema::KNOWN, Some(PROGRAM)).unwrap();
        write_all(&mut writer, &tables, &mut source).await.unwrap();
        writer.finish().unwrap();

        let refused = store.backup(&file).await.unwrap_err().to_string();
        assert!(refused.contains("is there already"), "{refused}");
        restore(&store, &file).await.unwrap();
        assert_eq!(content(&store).await, before);
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
        let refused = restore(&store, &file).await.unwrap_err();
        assert!(matches!(refused, TransferError::Damaged { .. }), "{refused:?}");
    }
    assert_eq!(all(&store).await, before);
    let none = restore(&store, &dir.path().join("none")).await.unwrap_err().to_string();
    assert!(none.starts_with("there is no "), "{none}");
}

#[tokio::test]
async fn every_statement_for_a_table_executes_on_each_kind_of_database() {
    for (_dir, _scratch, at) in places() {
        let store = Store::open(&at).await.unwrap();
        populate(&store).await;
        let tables = tables(schema::KNOWN).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        for table in tables.iter().rev() {
            let mut source = Source::Database(store.snapshot(&tables).await.unwrap());
            let page = source.page(table, None).await.unwrap();
            source.page(table, page.last()).await.unwrap();
            source.close().await;
            clear(tx.conn().unwrap(), table).await.unwrap();
            assert_eq!(count(tx.conn().unwrap(), table).await.unwrap(), 0);
        }
    }
}

#[tokio::test]
async fn a_backup_of_every_older_schema_is_brought_up_to_date_aside_and_restored() {
    for version in 1..=schema::KNOWN {
        for maker in [None, Some("0.0.1")] {
            for (dir, _scratch, to) in places() {
                let file = dir.path().join("old.backup");
                old_backup(&file, version, maker).unwrap();
                check_backup(&file).unwrap();
                let store = Store::open(&to).await.unwrap();
                populate(&store).await;
                let before = all(&store).await;

                let aside = Aside::of_backup(&file, &dir.path().join("aside")).await.unwrap();

                assert_eq!(aside.domains()[0].name, "chat.example");
                assert_eq!(all(&store).await, before, "nothing is replaced yet");
                store.replace(&aside).await.unwrap();
                drop(aside);
                assert!(!dir.path().join("aside").exists());
                assert_eq!(store.domains().await.unwrap()[0].name, "chat.example");
                let waiting = store.undelivered(1, 5, 10).await.unwrap();
                assert_eq!(waiting.len(), version.min(2) as usize);
                let mut tx = store.begin().await.unwrap();
                let next = tx.append(&[message(8, ("eve", 3), ("bob", 1))]).await.unwrap();
                let number = 8 + (1 << 32);
                assert_eq!(next, [crate::Appended::Stored { first: number, second: Some(number) }]);
                assert_eq!(tx.create_account(1, "mona", &[], 70).await.unwrap(), Some(4));
                tx.commit().await.unwrap();
                store.assert_bytes_are_right().await;
            }
        }
    }
}

#[tokio::test]
async fn a_backup_of_a_schema_to_come_is_refused_by_naming_the_version_it_needs() {
    let dir = Dir::of_files();
    let file = dir.path().join("backup");
    for (maker, named) in
        [(Some("9.1.0"), "whoelse 9.1.0"), (None, "the version of whoelse that made it")]
    {
        let _ = fs::remove_file(&file);
        old_backup(&file, schema::KNOWN + 1, maker).unwrap();

        for refused in [
            check_backup(&file).unwrap_err(),
            Aside::of_backup(&file, &dir.path().join("aside")).await.unwrap_err(),
        ] {
            assert!(matches!(refused, TransferError::Newer { .. }), "{refused:?}");
            assert!(refused.to_string().starts_with(&format!("the backup needs {named} or newer")));
        }
        assert!(!dir.path().join("aside").exists());
    }
}

/// A file with a right checksum may still contain anything.
#[tokio::test]
async fn a_backup_that_breaks_its_own_rules_is_refused_before_anything_is_replaced() {
    let (text, number) = (|text: &str| Value::Text(text.into()), Value::Number);
    let account =
        |id, domain, name| vec![id, domain, name, number(1), number(1), number(0), Value::Null];
    let (kind, together) = ("a value is not of its kind", "what is in it does not fit together");
    let broken: [(&str, Vec<Value>, &str); 5] = [
        ("an account of no domain", account(number(1), number(9), text("bob")), together),
        ("a name that is a number", account(number(1), number(1), number(3)), kind),
        ("a number that is a text", account(text("x"), number(1), text("bob")), kind),
        ("nothing where something is", account(number(1), number(1), Value::Null), together),
        ("too little", vec![number(1), number(1)], kind),
    ];
    for (what, account, expected) in broken {
        let dir = Dir::of_files();
        let file = dir.path().join("backup");
        let mut writer = file::Writer::create(&file, schema::KNOWN, None).unwrap();
        for table in &tables(schema::KNOWN).await.unwrap() {
            writer.table(table).unwrap();
            let rows = match table.name.as_str() {
                "domains" => vec![vec![number(1), text("chat.example")]],
                "accounts" => vec![account.clone()],
                _ => Vec::new(),
            };
            rows.iter().for_each(|row| writer.row(row).unwrap());
            writer.table_ends(rows.len() as u64).unwrap();
        }
        writer.finish().unwrap();
        check_backup(&file).unwrap();

        let refused = Aside::of_backup(&file, &dir.path().join("aside")).await.unwrap_err();

        let is_so = matches!(&refused, TransferError::Damaged { why, .. } if *why == expected);
        assert!(is_so, "{what}: {refused:?}");
        assert!(!dir.path().join("aside").exists(), "{what}");
    }
}

/// A start reads these values: it would fail there, and so would every later start.
#[tokio::test]
async fn a_backup_with_numbers_that_no_server_can_go_on_from_is_refused() {
    use crate::sequences;
    let largest = i64::MAX;
    let mut broken: Vec<(&str, i64)> = vec![(sequences::ACCOUNT, 0), (sequences::DOMAIN, 0)];
    for name in [
        sequences::ACCOUNT,
        sequences::DOMAIN,
        sequences::INTERVAL,
        sequences::HEARTBEAT,
        sequences::EVEN,
        sequences::DOUBT_SINCE,
        sequences::DOUBT_UP,
        sequences::DOUBT_CLAIM,
        sequences::ARCHIVE,
        sequences::STAMP,
        sequences::PUBSUB,
        sequences::ROOM,
    ] {
        broken.extend([(name, i64::MIN), (name, -1), (name, largest), (name, largest / 2)]);
    }
    broken.extend([(sequences::DOUBT_GAP, i64::MIN), (sequences::DOUBT_GAP, largest)]);
    let dir = Dir::of_files();
    let file = dir.path().join("backup");
    let aside = dir.path().join("aside");
    let write = async |name: &str, value: i64, seq: i64| {
        let (text, number) = (|text: &str| Value::Text(text.into()), Value::Number);
        let mut kept =
            std::collections::BTreeMap::from([("account", 1), ("archive", 1), ("domain", 1)]);
        kept.insert(name, value);
        let mut writer = file::Writer::create(&file, schema::KNOWN, None).unwrap();
        for table in &tables(schema::KNOWN).await.unwrap() {
            writer.table(table).unwrap();
            let rows = match table.name.as_str() {
                "numbers" => {
                    kept.iter().map(|(name, value)| vec![text(name), number(*value)]).collect()
                }
                "domains" => vec![vec![number(1), text("chat.example")]],
                "accounts" => {
                    vec![vec![
                        number(1),
                        number(1),
                        text("bob"),
                        number(1),
                        number(1),
                        number(1),
                        Value::Null,
                    ]]
                }
                "archives" => {
                    vec![vec![number(1), number(1), Value::Null, number(0), number(0), number(10)]]
                }
                "bodies" => vec![vec![
                    number(1),
                    number(1),
                    number(1),
                    Value::Null,
                    Value::Blob(b"<message/>".to_vec()),
                ]],
                "peers" => vec![vec![number(1), number(1), text("bob@#1")]],
                "archive_rows" => vec![vec![
                    number(1),
                    number(seq),
                    number(1),
                    number(1),
                    number(0),
                    number(10),
                    number(1),
                ]],
                _ => Vec::new(),
            };
            rows.iter().for_each(|row| writer.row(row).unwrap());
            writer.table_ends(rows.len() as u64).unwrap();
        }
        writer.finish().unwrap();
        let looked_at = Aside::of_backup(&file, &aside).await;
        fs::remove_file(&file).unwrap();
        looked_at
    };

    for (name, value) in broken {
        let refused = write(name, value, 1).await.unwrap_err();

        let TransferError::Damaged { path, .. } = &refused else { panic!("{name} {refused:?}") };
        assert_eq!(path, &file);
        assert!(!aside.exists());
    }
    assert!(write(sequences::ARCHIVE, 1, i64::MAX).await.is_err());
    for (name, value) in [(sequences::EVEN, 5), (sequences::DOUBT_GAP, -5), (sequences::ACCOUNT, 9)]
    {
        assert!(write(name, value, 1).await.is_ok(), "{name}");
    }
}

/// Writes a backup of what is in a database after this was done to it.
async fn backup_of_altered(text: &'static str, version: i64) -> (Dir, PathBuf) {
    let dir = Dir::of_files();
    let (database, file) = (dir.path().join("store.db"), dir.path().join("backup"));
    if version == schema::KNOWN {
        let store = Store::open(&place(&dir)).await.unwrap();
        populate(&store).await;
        store.close().await.unwrap();
    } else {
        old_file(&database, version).unwrap();
    }
    crate::testing::alter(&database, text).await;
    write_backup(&file, Some(&Location::Sqlite(database)), version, None).await.unwrap();
    (dir, file)
}

#[tokio::test]
async fn a_backup_whose_rows_do_not_fit_together_is_refused() {
    for text in [
        "DELETE FROM bodies WHERE id = 7",
        "UPDATE bodies SET holders = 3 WHERE id = 7",
        "UPDATE bodies SET holders = 1 WHERE id = 7",
        "INSERT INTO bodies VALUES (900, 0, 1, NULL, X'00')",
        "DELETE FROM archive_rows WHERE archive = 1 AND seq = 7",
        "UPDATE archive_rows SET archive = 9 WHERE archive = 1 AND seq = 7",
        "UPDATE archive_rows SET bytes = bytes + 1 WHERE archive = 1 AND seq = 7",
        "UPDATE archives SET bytes = bytes + 1 WHERE id = 1",
        "UPDATE archive_rows SET bytes = -1 WHERE archive = 1 AND seq = 7",
        "UPDATE archive_rows SET peer = 900 WHERE archive = 1 AND seq = 7",
        "INSERT INTO peers VALUES (1, 900, 'nobody@#1')",
        "DELETE FROM archive_rows WHERE archive = 1; DELETE FROM archives WHERE id = 1; \
        UPDATE bodies SET holders = 1",
        "UPDATE roster SET account = 9",
        "UPDATE online SET account = 9",
        "UPDATE places SET account = 9",
        "UPDATE accounts SET generation = -1 WHERE id = 1",
        "UPDATE accounts SET generation = 9223372036854775807 WHERE id = 1",
        "UPDATE pubsub_nodes SET owner = 900",
        "UPDATE pubsub_nodes SET items = 2",
        "UPDATE pubsub_nodes SET bytes = 2",
        "UPDATE pubsub_nodes SET last = 0",
        "UPDATE pubsub_nodes SET last = 9223372036854775807",
        "UPDATE pubsub_nodes SET contents = 900",
        "DELETE FROM pubsub_nodes",
        "INSERT INTO pubsub_nodes SELECT 900, 0, name, config, 901, 0, 0, 0 FROM pubsub_nodes",
        "INSERT INTO pubsub_nodes SELECT 4, 0, name, config, contents, 1, bytes, last \
        FROM pubsub_nodes; UPDATE numbers SET value = 4 WHERE name = 'pubsub'",
        "UPDATE pubsub_items SET bytes = bytes + 1; UPDATE pubsub_nodes SET bytes = bytes + 1",
        "UPDATE pubsub_items SET contents = 1",
        "UPDATE pubsub_affiliations SET node = 3",
        "UPDATE pubsub_affiliations SET owner = 1",
        "UPDATE pubsub_subscriptions SET owner = 1",
        "INSERT INTO pubsub_gone SELECT id FROM pubsub_nodes",
        "INSERT INTO pubsub_gone SELECT contents FROM pubsub_nodes",
        "INSERT INTO pubsub_gone VALUES (900)",
        "UPDATE rooms SET id = 900",
        "UPDATE archives SET room = NULL WHERE room = 1",
        "UPDATE archives SET account = NULL WHERE account = 1",
        "UPDATE archives SET room = 900 WHERE room = 1",
        "UPDATE archives SET room = 900 WHERE id = 1",
        "DELETE FROM archives WHERE room = 1",
        "UPDATE room_affiliations SET room = 900",
        "UPDATE room_cards SET room = 900",
        "UPDATE rooms_gone SET room = 900",
        "UPDATE rooms_gone SET room = 1",
        "UPDATE rooms_gone SET archive = 1",
        "DELETE FROM rooms_gone",
    ] {
        let (dir, file) = backup_of_altered(text, schema::KNOWN).await;

        let refused = Aside::of_backup(&file, &dir.path().join("aside")).await.unwrap_err();

        assert!(matches!(refused, TransferError::Damaged { .. }), "{text}: {refused:?}");
    }
    let (dir, file) = backup_of_altered("SELECT 1", schema::KNOWN).await;
    assert!(Aside::of_backup(&file, &dir.path().join("aside")).await.is_ok());
}

#[tokio::test]
async fn stray_rows_of_an_older_schema_are_left_out() {
    for version in 1..3 {
        let strays = "INSERT INTO mailbox (archive, seq, at, peer, direction) \
            SELECT 9, id, at, 'x@#1', 0 FROM messages; \
            INSERT INTO mailbox (archive, seq, at, peer, direction) \
            VALUES (1, 900, 1, 'x@#1', 0); \
            INSERT INTO mailbox (archive, seq, at, peer, direction) \
            SELECT a.id, m.id, m.at, 'x@#1', 0 FROM accounts a CROSS JOIN messages m \
            WHERE a.id <> COALESCE(m.sender_archive, 0) AND a.id <> COALESCE(m.recipient_archive, 0) \
            AND NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.archive = a.id AND b.seq = m.id)";
        let mut counted = Vec::new();
        for text in ["SELECT 1", strays] {
            let (dir, file) = backup_of_altered(text, version).await;
            let aside = Aside::of_backup(&file, &dir.path().join("aside")).await.unwrap();
            let to = Dir::of_files();
            let store = Store::open(&place(&to)).await.unwrap();
            store.replace(&aside).await.unwrap();
            counted
                .push((store.count_rows("archive_rows").await, store.count_rows("bodies").await));
        }

        assert!(counted[0].0 > 0);
        assert_eq!(counted[0], counted[1], "{version}");
    }
}

#[tokio::test]
async fn after_a_restore_no_number_is_given_that_was_given_after_the_backup() {
    for (dir, _scratch, place) in places() {
        let store = Store::open(&place).await.unwrap();
        populate(&store).await;
        let file = dir.path().join("backup");
        store.backup(&file).await.unwrap();
        let send = async || {
            let mut tx = store.begin().await.unwrap();
            let sent = tx.append(&[message(251, ("bob", 1), ("eve", 2))]).await.unwrap();
            tx.commit().await.unwrap();
            let crate::Appended::Stored { first, second } = sent[0] else { panic!("{sent:?}") };
            [first, second.unwrap()]
        };
        let lost = send().await;

        restore(&store, &file).await.unwrap();

        let after = send().await;
        assert!(after[0] > lost[0] + 1_000_000_000 && after[1] > lost[1], "{lost:?} {after:?}");
        // What waits is still found, and confirmed in its order.
        let waiting = store.undelivered(2, lost[0] - 1, 10).await.unwrap();
        assert_eq!(waiting.last().unwrap().seq, after[0]);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_restore_needs_no_fold_of_what_it_replaces() {
    for (dir, _scratch, place) in places() {
        let store = Store::open(&place).await.unwrap();
        populate(&store).await;
        let before = folded(&store).await;
        let file = dir.path().join("backup");
        store.backup(&file).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        tx.append(&[message(251, ("bob", 1), ("eve", 2))]).await.unwrap();
        // A number is there twice, so this can never be folded.
        sqlx::query("UPDATE journal SET seq = 1").execute(tx.conn().unwrap()).await.unwrap();
        tx.commit().await.unwrap();
        assert!(store.undelivered(2, 0, 10).await.is_err());

        restore(&store, &file).await.unwrap();

        assert_eq!(folded(&store).await.len(), before.len());
        let mut tx = store.begin().await.unwrap();
        tx.append(&[message(252, ("bob", 1), ("eve", 2))]).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!store.undelivered(2, 0, 10).await.unwrap().is_empty());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_restore_forgets_since_when_the_database_before_it_was_good() {
    for (dir, _scratch, place) in places() {
        let store = Store::open(&place).await.unwrap();
        populate(&store).await;
        let file = dir.path().join("backup");
        store.backup(&file).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        tx.started_well(70).await.unwrap();
        tx.commit().await.unwrap();

        restore(&store, &file).await.unwrap();

        // Even time continues from that of the backup, so the time 70 has no meaning any more.
        assert_eq!(store.first_good_start().await.unwrap(), None);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_copy_brings_an_older_source_up_to_date_at_its_target_alone() {
    for version in 1..schema::KNOWN {
        for (dir, _scratch, to) in places() {
            let file = dir.path().join("old.db");
            old_file(&file, version).unwrap();
            let before = fs::read(&file).unwrap();

            assert!(copy(&Location::Sqlite(file.clone()), &to).await.unwrap() > 10);

            assert_eq!(fs::read(&file).unwrap(), before);
            let copied = Store::open(&to).await.unwrap();
            assert_eq!(copied.upgraded(), None);
            assert_eq!(copied.undelivered(1, 5, 10).await.unwrap().len(), version.min(2) as usize);
            copied.close().await.unwrap();
            let names = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name());
            assert!(names.into_iter().all(|name| name == "old.db" || name == "store.db"));
        }
    }
}

#[tokio::test]
async fn a_target_that_is_refused_is_not_brought_up_to_date_first() {
    let (from, to) = (Dir::of_files(), Dir::of_files());
    let source = Store::open(&place(&from)).await.unwrap();
    populate(&source).await;
    source.close().await.unwrap();
    old_file(&to.path().join("store.db"), 1).unwrap();
    let before = fs::read(to.path().join("store.db")).unwrap();

    let refused = copy(&place(&from), &place(&to)).await.unwrap_err();

    assert!(matches!(refused, TransferError::NotEmpty { .. }), "{refused:?}");
    assert_eq!(fs::read(to.path().join("store.db")).unwrap(), before);
}

#[tokio::test]
async fn what_holds_nothing_is_not_copied_and_what_is_no_database_of_ours_is_left_alone() {
    let (from, to) = (Dir::of_files(), Dir::of_files());
    let file = from.path().join("store.db");
    fs::write(&file, "").unwrap();

    let refused = copy(&place(&from), &place(&to)).await.unwrap_err().to_string();
    assert!(refused.starts_with("there is nothing in "), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), b"");
    from.alter("CREATE TABLE recipes (name TEXT)").await;
    let refused = copy(&place(&from), &place(&to)).await.unwrap_err();
    assert!(matches!(refused, TransferError::Open(OpenError::Foreign { .. })), "{refused:?}");
    assert!(!to.path().join("store.db").exists());
}
