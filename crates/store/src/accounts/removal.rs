//! Tests that a removed account leaves no row in any table, and that it goes in pieces. The tables
//! are read from the schema, so a new table has to be filled here, and its rows must be removed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use sqlx::{Executor, Row};

use crate::scratch::Scratch;
use crate::testing::{
    Dir, account, for_recipient_alone, fresh, fresh_file, in_room, message, new_item, place,
    remove_wholly, token, user_agent, verifier, with_origin,
};
use crate::{Appended, DataKey, DataLimit, Location, Query, RosterRow, Store, schema, transfer};

/// Tables whose rows belong to no account.
const OF_NO_ACCOUNT: [&str; 12] = [
    // These hold numbers that are never given again, and times of the whole server.
    "numbers", // Secrets of the installation.
    "settings",
    "domains",
    // These are keyed by name and network, also for strangers' guesses; they expire by age.
    "throttle",
    // These say that there was an account; they expire by age.
    "removed_names",
    // What is still to be removed: nothing in the end.
    "removals",
    "pubsub_gone",
    "rooms_gone",
    // They are nobody's: who is what in them is in a table of its own.
    "rooms",
    "room_cards",
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
    tx.block(bob, &["mal@far.example"]).await.unwrap();
    tx.grant_right(bob, 5, 9).await.unwrap();
    tx.add_device(bob, &user_agent("phone"), (5, 5), 9).await.unwrap();
    tx.put_token(bob, "phone", &token("a", 5)).await.unwrap();
    tx.remember_place(bob, "192.0.2.1", 5).await.unwrap();
    tx.came_online(bob, 5).await.unwrap();
    tx.departed(bob, 6, "gone fishing").await.unwrap();
    let key = DataKey { namespace: "storage:bookmarks", name: "storage" };
    let limit = DataLimit { values: 1, bytes: 9 };
    tx.put_account_data(bob, key, b"<a/>", limit).await.unwrap();
    let node = tx.create_pubsub_node(bob, "mood", b"").await.unwrap().unwrap();
    tx.put_pubsub_item(node, new_item("1", b"<happy/>")).await.unwrap();
    tx.set_pubsub_affiliation(node, "bob@#1", Some(1)).await.unwrap();
    tx.set_pubsub_subscription(node, "bob@#1/desk", Some((1, b""))).await.unwrap();
    tx.set_room_affiliation(1, &in_room("bob@#1", 4)).await.unwrap();
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
    assert_eq!(tx.create_room(1, "lunch", None, b"", b"").await.unwrap().unwrap().id, 1);
    tx.commit().await.unwrap();
    let before = count_all(&store).await;
    assert!(before.len() > 10, "{before:?}");

    let bob = fill(&store).await;
    for (table, count) in count_all(&store).await {
        assert!(count > before[&table], "nothing of the account is in {table}");
    }
    let mut tx = store.begin().await.unwrap();
    assert!(remove_wholly(&mut tx, bob).await);
    tx.commit().await.unwrap();

    assert_eq!(count_all(&store).await, before);
    for table in ["removals", "pubsub_gone"] {
        assert_eq!(store.count_rows(table).await, 0);
    }
    let mut conn = store.reader().await.unwrap();
    let left = sqlx::query("SELECT account FROM archives WHERE room IS NULL")
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    assert_eq!(left.iter().map(|row| row.get::<i64, _>(0)).collect::<Vec<_>>(), [eve]);
}

#[tokio::test]
async fn nothing_of_a_removed_account_is_left_in_any_table() {
    leaves_nothing(&place(&Dir::of_files())).await;
    if let Some(scratch) = Scratch::new() {
        leaves_nothing(&scratch.unwrap().place()).await;
    }
}

/// How much there is of everything of which one account can have much.
const MUCH: usize = 130;
/// How many rows a piece removes at most.
const PIECE: u64 = 40;

/// Gives an account much of everything: messages with another one, and as many to himself.
async fn fill_with_much(store: &Store, bob: i64, with: i64) {
    let mut tx = store.begin().await.unwrap();
    for n in 1..=MUCH as i64 {
        let batch = [
            message(n, ("eve", with), ("bob", bob)),
            for_recipient_alone(message(n, ("eve", with), ("bob", bob))),
        ];
        tx.append(&batch).await.unwrap();
        tx.remember_place(bob, &format!("192.0.2.{n}"), n).await.unwrap();
        tx.came_online(bob, n).await.unwrap();
        tx.went_offline(bob, n).await.unwrap();
        let contact = format!("n{n}@#1");
        let row = RosterRow { contact, listed: true, version: n, ..RosterRow::default() };
        tx.write_roster_row(bob, &row).await.unwrap();
    }
    tx.commit().await.unwrap();
}

fn changed(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> u64 {
    before.iter().map(|(table, count)| count.abs_diff(after[table])).sum()
}

async fn goes_in_pieces(there: &Location) {
    let mut store = Store::open(there).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.commit().await.unwrap();
    fill_with_much(&store, bob, eve).await;
    store.settle(bob).await;
    let full = count_all(&store).await;

    let mut tx = store.begin().await.unwrap();
    assert!(tx.remove_account(bob).await.unwrap());
    tx.commit().await.unwrap();

    // His account and his archive.
    assert_eq!(changed(&full, &count_all(&store).await), 2);
    assert_eq!(store.find_account(1, "bob").await.unwrap(), None);
    assert!(store.gone_between(1, 0, i64::MAX).await.unwrap().is_empty());
    assert!(store.begin().await.unwrap().roster_holders("n1@#1", 0, 9).await.unwrap().is_empty());
    let mut tx = store.begin().await.unwrap();
    let message_to_bob = message(1, ("eve", eve), ("bob", bob));
    assert_eq!(tx.append(&[message_to_bob]).await.unwrap(), [Appended::Gone]);
    let left = tx.next_removal().await.unwrap().unwrap();
    assert_eq!((left.account, left.localpart.as_str(), left.holder), (bob, "bob", Some(0)));
    tx.note_holder(bob, None).await.unwrap();
    tx.commit().await.unwrap();
    let mut pieces = 0;
    loop {
        let before = count_all(&store).await;
        let mut tx = store.begin().await.unwrap();
        let Some(removal) = tx.next_removal().await.unwrap() else { break };
        let removed = tx.remove_piece(&removal, PIECE).await.unwrap();
        tx.commit().await.unwrap();
        assert!(removed <= PIECE);
        // Each row can take its body along.
        assert!(changed(&before, &count_all(&store).await) <= 2 * PIECE);
        pieces += 1;
        if pieces % 3 == 0 {
            // As after a kill: nothing is said in closing.
            drop(store);
            store = Store::open(there).await.unwrap();
        }
    }

    assert_eq!(pieces, 5 * MUCH / PIECE as usize + 1);
    let now = count_all(&store).await;
    // What Eve has said is still hers.
    assert_eq!((now["archive_rows"], now["bodies"]), (MUCH as i64, MUCH as i64));
    assert_eq!((now["roster"], now["online"], now["places"]), (0, 0, 0));
    let all = Query { limit: 1_000, ..Query::default() };
    assert_eq!(store.query(eve, &all).await.unwrap().rows.len(), MUCH);
    store.close().await.unwrap();
}

#[tokio::test]
async fn much_of_a_removed_account_goes_in_pieces_whenever_the_server_is_killed() {
    goes_in_pieces(&place(&Dir::of_files())).await;
    if let Some(scratch) = Scratch::new() {
        goes_in_pieces(&scratch.unwrap().place()).await;
    }
}

#[tokio::test]
async fn a_name_is_free_when_nobody_has_it_in_a_roster_and_what_is_new_under_it_stays() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    tx.commit().await.unwrap();
    fill_with_much(&store, bob, eve).await;
    let mut tx = store.begin().await.unwrap();
    tx.remove_account(bob).await.unwrap();

    assert_eq!(tx.create_account(1, "bob", &[], 1).await.unwrap(), None);
    assert!(tx.is_name_left(1, "bob").await.unwrap() && !tx.is_name_left(1, "eve").await.unwrap());
    tx.note_holder(bob, Some(eve)).await.unwrap();
    assert_eq!(tx.create_account(1, "bob", &[], 1).await.unwrap(), None);
    tx.note_holder(bob, None).await.unwrap();
    let new = tx.create_account(1, "bob", &[], 1).await.unwrap().unwrap();
    let archive = tx.find_account(1, "bob").await.unwrap().unwrap().archive;
    assert!(new > eve && archive > eve);
    tx.append(&[message(7, ("eve", eve), ("bob", archive))]).await.unwrap();
    tx.came_online(new, 7).await.unwrap();
    tx.remember_place(new, "192.0.2.1", 7).await.unwrap();
    while let Some(removal) = tx.next_removal().await.unwrap() {
        assert_eq!(removal.account, bob);
        tx.remove_piece(&removal, PIECE).await.unwrap();
    }
    tx.commit().await.unwrap();

    assert_eq!(store.undelivered(archive, 0, 9).await.unwrap().len(), 1);
    assert_eq!(store.known_networks_since(new, 0).await.unwrap(), ["192.0.2.1"]);
    assert_eq!(store.count_rows("online").await, 1);
}

/// The tables whose rows go with the account in one transaction, and why these are few.
const FEW_OF_AN_ACCOUNT: [(&str, &str); 9] = [
    ("administrators", "one"),
    ("credentials", "one for each way to log in"),
    ("blocks", "limits.blocks"),
    ("roster_versions", "one"),
    ("departures", "one"),
    ("account_data", "what `put_account_data` is told"),
    ("archives", "one"),
    ("former_credentials", "two for each way to log in"),
    ("devices", "limits.devices_per_account, and three tokens of each"),
];

#[tokio::test]
async fn only_what_an_account_has_few_of_is_tied_to_it_by_a_key() {
    let (_dir, store) = fresh_file().await;
    let mut conn = store.reader().await.unwrap();
    let mut tied = Vec::new();
    for table in transfer::tables(schema::KNOWN).await.unwrap() {
        let refers = "SELECT \"table\" FROM pragma_foreign_key_list($1)";
        let refers = sqlx::query(refers).bind(table.name.as_str());
        let refers = refers.fetch_all(&mut *conn).await.unwrap();
        tied.extend(
            refers
                .iter()
                .filter(|row| row.get::<&str, _>(0) == "accounts")
                .map(|_| table.name.clone()),
        );
    }

    tied.sort();
    let mut few = FEW_OF_AN_ACCOUNT.map(|(table, _)| table);
    few.sort_unstable();
    assert_eq!(tied, few);
}
