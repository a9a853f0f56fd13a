//! Nodes, items and lists are as they were written, and what goes leaves nothing that anybody sees.
#![allow(clippy::unwrap_used)]

use sqlx::Row;

use super::*;
use crate::testing::{account, fresh, fresh_file, new_item, remove_wholly};
use crate::{Store, Tx};

async fn node(tx: &mut Tx, owner: i64, name: &str) -> i64 {
    tx.create_pubsub_node(owner, name, name.as_bytes()).await.unwrap().unwrap()
}

/// Publishes items of these ids, each with its id as payload.
async fn publish(tx: &mut Tx, node: i64, ids: &[&str]) -> Vec<i64> {
    let mut given = Vec::new();
    for id in ids {
        given.push(tx.put_pubsub_item(node, new_item(id, id.as_bytes())).await.unwrap());
    }
    given
}

const ALL: PubsubPage = PubsubPage { after: None, before: None, from_end: false, most: 100 };

async fn ids(tx: &mut Tx, node: i64, page: PubsubPage) -> Vec<String> {
    tx.pubsub_page(node, &page).await.unwrap().into_iter().map(|item| item.id).collect()
}

/// Asserts what a node says of itself, and that this is what its rows say.
async fn holds(tx: &mut Tx, owner: i64, name: &str, expected: &[&str]) {
    let node = tx.pubsub_node(owner, name).await.unwrap().unwrap();
    let items = tx.pubsub_page(node.id, &ALL).await.unwrap();
    let ids: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids, expected);
    let bytes: usize = items.iter().map(|item| item.id.len() + item.payload.len()).sum();
    assert_eq!((node.items, node.bytes), (expected.len() as u64, bytes as u64));
}

#[tokio::test]
async fn a_node_has_its_name_once_for_each_owner_and_is_found_by_it() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);

    let mood = node(&mut tx, bob, "mood").await;
    assert_eq!(tx.create_pubsub_node(bob, "mood", b"").await.unwrap(), None);
    let others = [node(&mut tx, eve, "mood").await, node(&mut tx, SERVICE, "mood").await];
    assert!(!others.contains(&mood));
    // An account that is not there has none.
    assert_eq!(tx.create_pubsub_node(99, "mood", b"").await.unwrap(), None);
    tx.set_pubsub_config(mood, b"\0new").await.unwrap();
    tx.commit().await.unwrap();

    let found = store.pubsub_node(bob, "mood").await.unwrap().unwrap();
    assert_eq!((found.id, found.owner, &found.config[..]), (mood, bob, &b"\0new"[..]));
    assert_eq!(store.pubsub_node(bob, "Mood").await.unwrap(), None);
    assert_eq!(store.pubsub_node_at(1, "bob", "mood").await.unwrap(), Some(found));
    assert_eq!(store.pubsub_node_at(1, "bob", "tune").await.unwrap(), None);
    assert_eq!(store.pubsub_node_at(1, "zoe", "mood").await.unwrap(), None);
    assert_eq!(store.pubsub_node_at(2, "bob", "mood").await.unwrap(), None);
}

#[tokio::test]
async fn nodes_are_listed_by_name_in_pages() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    for name in ["tune", "mood", "Zoo", "é"] {
        node(&mut tx, SERVICE, name).await;
    }
    tx.commit().await.unwrap();
    let names = async |after: Option<&str>, most| -> Vec<String> {
        let listed = store.pubsub_nodes(SERVICE, after, most).await.unwrap();
        listed.into_iter().map(|node| node.name).collect()
    };

    assert_eq!(names(None, 3).await, ["Zoo", "mood", "tune"]);
    assert_eq!(names(Some("mood"), 3).await, ["tune", "é"]);
    assert!(names(None, 0).await.is_empty());
}

#[tokio::test]
async fn an_item_that_is_published_again_takes_the_place_of_the_first_and_is_the_last() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    let node = node(&mut tx, bob, "mood").await;

    let given = publish(&mut tx, node, &["a", "b", "a"]).await;

    assert_eq!(given, [1, 2, 3]);
    holds(&mut tx, bob, "mood", &["b", "a"]).await;
    let publisher = "eve@far.example/x";
    let longer = NewPubsubItem { publisher, account: 0, at: 9, ..new_item("b", b"\0\xff") };
    assert_eq!(tx.put_pubsub_item(node, longer).await.unwrap(), 4);
    let read = tx.pubsub_items_by_id(node, &["b"]).await.unwrap();
    let expected = PubsubItem {
        seq: 4,
        id: "b".into(),
        publisher: "eve@far.example/x".into(),
        account: 0,
        at: 9,
        payload: b"\0\xff".to_vec(),
    };
    assert_eq!(read, [expected]);
    holds(&mut tx, bob, "mood", &["a", "b"]).await;
    assert!(tx.put_pubsub_item(99, new_item("a", b"")).await.is_err());
}

#[test]
fn an_item_is_whose_account_has_published_it_and_not_of_the_next_one_of_the_name() {
    let item = |account| PubsubItem {
        seq: 1,
        id: "a".into(),
        publisher: "eve@#1".into(),
        account,
        at: 1,
        payload: Vec::new(),
    };

    assert!(item(7).is_of(7, "eve@#1") && item(7).is_of(7, "renamed@#1"));
    assert!(!item(7).is_of(8, "eve@#1") && !item(7).is_of(0, "eve@#1"));
    assert!(item(0).is_of(0, "eve@#1") && !item(0).is_of(0, "bob@#1"));
}

#[tokio::test]
async fn the_number_of_a_retracted_item_is_not_given_again() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let node = node(&mut tx, SERVICE, "mood").await;
    publish(&mut tx, node, &["a", "b"]).await;

    assert!(tx.retract_pubsub_item(node, "b").await.unwrap());
    assert!(!tx.retract_pubsub_item(node, "b").await.unwrap());

    holds(&mut tx, SERVICE, "mood", &["a"]).await;
    assert_eq!(publish(&mut tx, node, &["c"]).await, [3]);
    tx.purge_pubsub_node(node).await.unwrap();
    assert_eq!(publish(&mut tx, node, &["a"]).await, [4]);
}

#[tokio::test]
async fn the_oldest_items_go_and_it_is_said_which() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let node = node(&mut tx, SERVICE, "mood").await;
    publish(&mut tx, node, &["d", "c", "bb", "a"]).await;

    assert!(tx.retract_oldest_pubsub_items(node, 4).await.unwrap().is_empty());
    assert_eq!(tx.retract_oldest_pubsub_items(node, 2).await.unwrap(), ["d", "c"]);
    holds(&mut tx, SERVICE, "mood", &["bb", "a"]).await;
    assert_eq!(tx.retract_oldest_pubsub_items(node, 0).await.unwrap(), ["bb", "a"]);
    holds(&mut tx, SERVICE, "mood", &[]).await;
    assert!(tx.retract_oldest_pubsub_items(99, 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn items_are_read_in_pages_from_either_end_and_by_id() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let node = node(&mut tx, SERVICE, "mood").await;
    let other = self::node(&mut tx, SERVICE, "tune").await;
    publish(&mut tx, node, &["a", "b", "c", "d", "e"]).await;
    publish(&mut tx, other, &["a", "x"]).await;
    let seq = async |tx: &mut Tx, id| tx.pubsub_item_seq(node, id).await.unwrap();

    let first_two = PubsubPage { most: 2, ..ALL };
    assert_eq!(ids(&mut tx, node, first_two).await, ["a", "b"]);
    let last_two = PubsubPage { from_end: true, ..first_two };
    assert_eq!(ids(&mut tx, node, last_two).await, ["d", "e"]);
    let (b, d) = (seq(&mut tx, "b").await, seq(&mut tx, "d").await);
    assert_eq!(ids(&mut tx, node, PubsubPage { after: b, ..first_two }).await, ["c", "d"]);
    assert_eq!(ids(&mut tx, node, PubsubPage { before: d, ..last_two }).await, ["b", "c"]);
    assert_eq!(ids(&mut tx, node, PubsubPage { after: b, before: d, ..ALL }).await, ["c"]);
    assert!(ids(&mut tx, node, PubsubPage { most: 0, ..ALL }).await.is_empty());
    assert_eq!(seq(&mut tx, "x").await, None);
    assert_eq!(tx.pubsub_count_before(node, d.unwrap()).await.unwrap(), 3);
    tx.commit().await.unwrap();

    let read = store.pubsub_items_by_id(node, &["d", "x", "b", "d"]).await.unwrap();
    assert_eq!(read.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["b", "d"]);
    assert!(store.pubsub_items_by_id(node, &[]).await.unwrap().is_empty());
    assert_eq!(store.pubsub_page(node, &ALL).await.unwrap().len(), 5);
    assert_eq!(store.pubsub_item_seq(node, "b").await.unwrap(), b);
    assert_eq!(store.pubsub_count_before(node, b.unwrap()).await.unwrap(), 1);
}

#[tokio::test]
async fn what_an_owner_has_is_the_sum_of_its_nodes() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    let (mood, tune) = (node(&mut tx, bob, "mood").await, node(&mut tx, bob, "tune").await);
    let service = node(&mut tx, SERVICE, "mood").await;
    publish(&mut tx, mood, &["a", "é"]).await;
    publish(&mut tx, tune, &["cc"]).await;
    publish(&mut tx, service, &["a"]).await;
    tx.commit().await.unwrap();

    let usage = store.pubsub_usage(bob).await.unwrap();
    assert_eq!(usage, PubsubUsage { nodes: 2, items: 3, bytes: 2 * (1 + 2 + 2) });
    assert_eq!(store.pubsub_usage(99).await.unwrap(), PubsubUsage::default());
}

#[tokio::test]
async fn the_last_items_of_many_nodes_are_found_in_one_question() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    let zoe = account(&mut tx, "zoe").await;
    for owner in [bob, eve] {
        for name in ["mood", "tune", "other"] {
            let node = node(&mut tx, owner, name).await;
            publish(&mut tx, node, &["a", "b", "c"]).await;
        }
    }
    let mood = tx.pubsub_node(bob, "mood").await.unwrap().unwrap().id;
    tx.retract_pubsub_item(mood, "c").await.unwrap();
    let tune = tx.pubsub_node(eve, "tune").await.unwrap().unwrap().id;
    tx.purge_pubsub_node(tune).await.unwrap();
    tx.commit().await.unwrap();

    let found = store.pubsub_last_items(&[bob, zoe, eve], &["mood", "tune"]).await.unwrap();

    let mut found: Vec<_> =
        found.into_iter().map(|(node, item)| (node.owner, node.name, item.id)).collect();
    found.sort();
    let expected = [(bob, "mood", "b"), (bob, "tune", "c"), (eve, "mood", "c")];
    assert_eq!(found, expected.map(|(owner, name, id)| (owner, name.to_owned(), id.to_owned())));
    assert!(store.pubsub_last_items(&[], &["mood"]).await.unwrap().is_empty());
    let mut owners = store.pubsub_owners_at(1, &["zoe", "bob", "mal", "eve"]).await.unwrap();
    owners.sort();
    assert_eq!(owners, [(bob, "bob".to_owned()), (eve, "eve".to_owned())]);
    assert!(store.pubsub_owners_at(2, &["bob"]).await.unwrap().is_empty());
}

#[tokio::test]
async fn who_is_listed_at_a_node_is_found_by_node_and_by_name() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    let (mood, tune) = (node(&mut tx, bob, "mood").await, node(&mut tx, bob, "tune").await);
    let service = node(&mut tx, SERVICE, "mood").await;
    for (node, who, what) in [
        (mood, "eve@far", 1),
        (mood, "eve@far", 2),
        (mood, "amy@#1", 3),
        (tune, "eve@far", 4),
        (service, "eve@far", 5),
        (99, "eve@far", 6),
    ] {
        tx.set_pubsub_affiliation(node, who, Some(what)).await.unwrap();
        for who in [format!("{who}/{what}"), format!("{who}.example"), who.to_owned()] {
            tx.set_pubsub_subscription(node, &who, Some((what, b"\xff"))).await.unwrap();
        }
    }
    tx.commit().await.unwrap();

    assert_eq!(store.pubsub_affiliation(mood, "eve@far").await.unwrap(), Some(2));
    assert_eq!(store.pubsub_affiliation(mood, "zoe@#1").await.unwrap(), None);
    let all = store.pubsub_affiliations(mood).await.unwrap();
    assert_eq!(all, [("amy@#1".to_owned(), 3), ("eve@far".to_owned(), 2)]);
    let of_eve = store.pubsub_affiliations_of(bob, "eve@far").await.unwrap();
    assert_eq!(of_eve, [("mood".to_owned(), 2), ("tune".to_owned(), 4)]);
    let subscription = store.pubsub_subscription(mood, "eve@far/1").await.unwrap();
    assert_eq!(subscription, Some((1, b"\xff".to_vec())));
    assert_eq!(store.pubsub_subscription(mood, "eve@far/9").await.unwrap(), None);
    let all: Vec<String> =
        store.pubsub_subscriptions(mood).await.unwrap().into_iter().map(|it| it.who).collect();
    assert_eq!(
        all,
        [
            "amy@#1",
            "amy@#1.example",
            "amy@#1/3",
            "eve@far",
            "eve@far.example",
            "eve@far/1",
            "eve@far/2"
        ]
    );
    let of_eve: Vec<(String, String)> = store
        .pubsub_subscriptions_of(bob, "eve@far")
        .await
        .unwrap()
        .into_iter()
        .map(|(node, it)| (node, it.who))
        .collect();
    let of_eve: Vec<(&str, &str)> = of_eve.iter().map(|(node, who)| (&**node, &**who)).collect();
    assert_eq!(
        of_eve,
        [
            ("mood", "eve@far"),
            ("mood", "eve@far/1"),
            ("mood", "eve@far/2"),
            ("tune", "eve@far"),
            ("tune", "eve@far/4")
        ]
    );

    let mut tx = store.begin().await.unwrap();
    tx.set_pubsub_affiliation(mood, "eve@far", None).await.unwrap();
    tx.set_pubsub_subscription(mood, "eve@far/1", None).await.unwrap();
    assert_eq!(tx.pubsub_affiliation(mood, "eve@far").await.unwrap(), None);
    assert_eq!(tx.pubsub_subscription(mood, "eve@far/1").await.unwrap(), None);
    assert_eq!(tx.pubsub_affiliations_of(SERVICE, "eve@far").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_name_is_forgotten_in_pieces_with_its_devices_and_with_nobody_elses() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    for name in ["a", "b", "c"] {
        let node = node(&mut tx, bob, name).await;
        for who in ["eve@#1", "eve@#12", "eve@#1/x", "eve@#1/y", "eve@#1.example"] {
            tx.set_pubsub_subscription(node, who, Some((1, b""))).await.unwrap();
        }
        tx.set_pubsub_affiliation(node, "eve@#1", Some(1)).await.unwrap();
        tx.set_pubsub_affiliation(node, "eve@#12", Some(1)).await.unwrap();
    }

    assert_eq!(tx.forget_pubsub_name("eve@#1", 5).await.unwrap(), 5);
    assert_eq!(tx.forget_pubsub_name("eve@#1", 7).await.unwrap(), 7);
    assert_eq!(tx.forget_pubsub_name("eve@#1", 5).await.unwrap(), 0);
    tx.commit().await.unwrap();

    assert_eq!(store.count_rows("pubsub_affiliations").await, 3);
    assert_eq!(store.count_rows("pubsub_subscriptions").await, 6);
}

/// Counts what is in the tables of nodes.
async fn rows(store: &Store) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["nodes", "items", "affiliations", "subscriptions", "gone"] {
        counts.push(store.count_rows(&format!("pubsub_{table}")).await);
    }
    counts
}

/// Makes a node with so many of everything.
async fn full_node(tx: &mut Tx, owner: i64, name: &str, many: usize) -> i64 {
    let node = node(tx, owner, name).await;
    for n in 0..many {
        let who = format!("n{n}@#1");
        publish(tx, node, &[&who]).await;
        tx.set_pubsub_affiliation(node, &who, Some(1)).await.unwrap();
        tx.set_pubsub_subscription(node, &who, Some((1, b""))).await.unwrap();
    }
    node
}

#[tokio::test]
async fn a_purged_node_is_empty_at_once_and_keeps_its_lists() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let node = full_node(&mut tx, SERVICE, "mood", 25).await;

    tx.purge_pubsub_node(node).await.unwrap();

    holds(&mut tx, SERVICE, "mood", &[]).await;
    assert_eq!(tx.pubsub_affiliations(node).await.unwrap().len(), 25);
    publish(&mut tx, node, &["new"]).await;
    tx.commit().await.unwrap();
    assert!(store.is_pubsub_gone_left().await.unwrap());
    assert_eq!(rows(&store).await, [1, 26, 25, 25, 1]);
    for (removed, left) in [(10, 16), (10, 6), (6, 1), (0, 1)] {
        let mut tx = store.begin().await.unwrap();
        assert_eq!(tx.remove_gone_pubsub(10).await.unwrap(), removed);
        tx.commit().await.unwrap();
        assert_eq!(store.count_rows("pubsub_items").await, left);
    }
    assert!(!store.is_pubsub_gone_left().await.unwrap());
    assert_eq!(rows(&store).await, [1, 1, 25, 25, 0]);
}

#[tokio::test]
async fn a_deleted_node_is_not_there_at_once_and_its_rows_go_in_pieces() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let bob = account(&mut tx, "bob").await;
    let node = full_node(&mut tx, bob, "mood", 25).await;
    full_node(&mut tx, bob, "other", 2).await;

    assert!(tx.delete_pubsub_node(node).await.unwrap());
    assert!(!tx.delete_pubsub_node(node).await.unwrap());

    assert_eq!(tx.pubsub_node(bob, "mood").await.unwrap(), None);
    assert!(tx.pubsub_page(node, &ALL).await.unwrap().is_empty());
    assert_eq!(tx.pubsub_affiliations_of(bob, "n1@#1").await.unwrap(), [("other".into(), 1)]);
    assert_eq!(tx.pubsub_subscriptions_of(bob, "n1@#1").await.unwrap().len(), 1);
    // One that is made anew has nothing of it.
    let new = full_node(&mut tx, bob, "mood", 1).await;
    assert!(new > node);
    tx.commit().await.unwrap();
    let mut pieces = 0;
    loop {
        let before: i64 = rows(&store).await.iter().sum();
        let mut tx = store.begin().await.unwrap();
        let removed = tx.remove_gone_pubsub(10).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(rows(&store).await.iter().sum::<i64>(), before - removed as i64);
        pieces += 1;
        if removed < 10 {
            break;
        }
    }
    assert_eq!(pieces, 8);
    assert_eq!(rows(&store).await, [2, 3, 3, 3, 0]);
}

#[tokio::test]
async fn the_nodes_of_a_removed_account_go_with_it_and_those_of_others_stay() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    let (bob, eve) = (account(&mut tx, "bob").await, account(&mut tx, "eve").await);
    for name in ["a", "b", "c"] {
        full_node(&mut tx, bob, name, 5).await;
    }
    full_node(&mut tx, eve, "a", 5).await;
    full_node(&mut tx, SERVICE, "a", 5).await;
    assert!(tx.remove_account(bob).await.unwrap());
    tx.commit().await.unwrap();

    assert!(store.pubsub_nodes(bob, None, 9).await.unwrap().is_empty());
    assert_eq!(rows(&store).await, [2, 25, 25, 25, 6]);
    let mut tx = store.begin().await.unwrap();
    assert!(!remove_wholly(&mut tx, bob).await);
    tx.commit().await.unwrap();
    assert_eq!(rows(&store).await, [2, 10, 10, 10, 0]);
}

#[tokio::test]
async fn who_was_a_stranger_is_of_the_domain_that_became_an_own_one() {
    let (_dir, store) = fresh().await;
    let mut tx = store.begin().await.unwrap();
    account(&mut tx, "bob").await;
    let node = node(&mut tx, SERVICE, "mood").await;
    for (who, what) in [("eve@b.example", 1), ("eve@bb.example", 2), ("amy@b.example", 3)] {
        tx.set_pubsub_affiliation(node, who, Some(what)).await.unwrap();
        tx.set_pubsub_subscription(node, &format!("{who}/x"), Some((what, b""))).await.unwrap();
    }
    tx.set_pubsub_affiliation(node, "amy@#1", Some(4)).await.unwrap();

    tx.rename_domain("localhost", "b.example").await.unwrap();

    let listed = tx.pubsub_affiliations(node).await.unwrap();
    let expected = [("amy@#1", 4), ("eve@#1", 1), ("eve@bb.example", 2)];
    assert_eq!(listed, expected.map(|(who, what)| (who.to_owned(), what)));
    let subscribed = tx.pubsub_subscriptions(node).await.unwrap();
    let who: Vec<&str> = subscribed.iter().map(|it| it.who.as_str()).collect();
    assert_eq!(who, ["amy@#1/x", "eve@#1/x", "eve@bb.example/x"]);
}

#[tokio::test]
async fn no_statement_walks_over_what_others_have() {
    let (_dir, store) = fresh_file().await;
    let mut conn = store.reader().await.unwrap();
    let texts = STATEMENTS.into_iter().flatten().map(|text| (*text).to_owned());
    let many = many().into_iter().flat_map(|rows| rows.texts(crate::dialect::Dialect::Sqlite));
    // A domain becomes an own one once.
    let texts = texts.filter(|text| !text.contains("LIKE"));
    for text in texts.chain(many.map(|(_, text)| text.to_string())) {
        let plan: &'static str = format!("EXPLAIN QUERY PLAN {text}").leak();
        for row in sqlx::query(plan).fetch_all(&mut *conn).await.unwrap() {
            let step: String = row.get(3);
            // What was given is short, and of what has gone the first is read.
            let is_short = step.ends_with("VALUES CLAUSE")
                || ["SCAN v", "SCAN CONSTANT ROW", "SCAN pubsub_gone"].contains(&step.as_str());
            let walks = step.starts_with("SCAN") && !is_short || step.contains("AUTOMATIC");
            assert!(!walks, "{step}: {text}");
        }
    }
}
