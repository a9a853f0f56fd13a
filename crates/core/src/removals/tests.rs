//! What is left of a removed account goes in pieces, between which others write; and nothing of it
//! is anybody else's.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use whoelse_store::{Direction, Location, NewMessage, NewRow, Query, RosterRow, Store};
use whoelse_stream::secret::Password;

use super::*;
use crate::account::Account;
use crate::clock::{Clock, Time};
use crate::keeper::tests::{busy, quiet};
use crate::kit::{BoxFuture, Feature, Wiring};
use crate::route::tests::{device, hears, jid, kept, node, says};
use crate::settings::Settings;

/// What there is of an account: some pieces.
const MUCH: usize = 3 * PIECE as usize + 100;

async fn account(node: &Arc<Node>, name: &str) -> Arc<Account> {
    node.account(&jid(name)).await.unwrap().unwrap()
}

/// Gives an account an archive of so many messages.
async fn fill(node: &Node, account: &Account, messages: usize) {
    let first = NewRow {
        archive: account.archive,
        peer: "eve@far.example".into(),
        direction: Direction::In,
    };
    let message = NewMessage { first, stanza: "<message/>".into(), ..NewMessage::default() };
    let mut tx = node.store.begin().await.unwrap();
    tx.append(&vec![message; messages]).await.unwrap();
    tx.commit().await.unwrap();
    node.store.settle(account.archive).await;
}

async fn rows(store: &Store, archive: i64) -> usize {
    store.count(archive, &Query::default(), i64::MAX).await.unwrap().unwrap() as usize
}

#[tokio::test]
async fn what_others_write_waits_for_one_piece_of_a_removal_at_most() {
    let node = node(&["alice", "bob", "mal"]).await;
    let alice = device(&node, "alice", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    let mal = account(&node, "mal").await;
    fill(&node, &mal, MUCH).await;
    quiet(&node).await;
    let mut tx = node.store.begin().await.unwrap();
    assert!(tx.remove_account(mal.id).await.unwrap());
    tx.note_holder(mal.id, None).await.unwrap();
    tx.commit().await.unwrap();
    hears(&node, &bob);

    let mut left = rows(&node.store, mal.archive).await;
    let mut go = busy(&node).await;
    let removing = tokio::spawn({
        let node = node.clone();
        async move { go_on(&node).await }
    });
    while left > 0 {
        // The change that holds the lane, and one piece.
        until_posted(&node, 2).await;
        says(&node, &alice, &kept("bob", "between"));
        let next = tokio::spawn({
            let node = node.clone();
            async move { busy_behind(&node).await }
        });
        until_posted(&node, 4).await;
        go.send(()).unwrap();
        go = next.await.unwrap();

        // The piece is done and then the message; the next piece waits behind the lane's next change.
        let now = rows(&node.store, mal.archive).await;
        assert_eq!(left - now, left.min(PIECE as usize));
        let mut heard = hears(&node, &bob);
        while heard.is_empty() {
            tokio::task::yield_now().await;
            heard = hears(&node, &bob);
        }
        assert_eq!(heard.matches("between").count(), 1);
        left = now;
    }
    go.send(()).unwrap();
    removing.await.unwrap();

    assert!(!node.store.is_removal_left().await.unwrap());
    node.stop().await;
}

/// Waits until so much is posted and not finished.
async fn until_posted(node: &Node, count: usize) {
    while node.keeper.waiting() != count {
        tokio::task::yield_now().await;
    }
}

/// As [`busy`], behind what is posted already.
async fn busy_behind(node: &Node) -> tokio::sync::oneshot::Sender<()> {
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let (begin, begun) = tokio::sync::oneshot::channel();
    let keeper = node.keeper.clone();
    tokio::spawn(async move {
        let change = keeper.change(Touches::AtMost(0), move |_| {
            Box::pin(async move {
                let _ = begin.send(());
                let _ = wait.await;
                Ok(((), Vec::new()))
            })
        });
        let _ = change.await;
    });
    begun.await.unwrap();
    go
}

/// Puts an account into the roster of so many others, who all see its presence and show theirs.
async fn befriend(node: &Arc<Node>, with: &str, others: usize) -> Vec<Arc<Account>> {
    let mut friends = Vec::new();
    for n in 0..others {
        let name = format!("friend{n}");
        node.create_account(&jid(&name), Password::new("pencil").unwrap()).await.unwrap();
        let id = account(node, &name).await.id;
        let contact = node.key_of(jid(with).as_str());
        let row = RosterRow { contact, listed: true, to: true, from: true, ..RosterRow::default() };
        let mut tx = node.store.begin().await.unwrap();
        tx.write_roster_row(id, &row).await.unwrap();
        tx.commit().await.unwrap();
        node.forget_account(&jid(&name));
        friends.push(account(node, &name).await);
    }
    friends
}

#[tokio::test]
async fn the_next_account_of_a_name_has_nothing_of_the_one_before_it() {
    let node = node(&["mal"]).await;
    let mal = account(&node, "mal").await;
    fill(&node, &mal, MUCH).await;
    let friends = befriend(&node, "mal", 2 * ROSTERS as usize + 1).await;
    assert!(friends.iter().all(|friend| friend.roster().shows_to(&jid("mal"))));

    node.remove_account(&mal, None, || {}).await.unwrap();
    assert!(node.account(&jid("mal")).await.unwrap().is_none());
    node.create_account(&jid("mal"), Password::new("another one").unwrap()).await.unwrap();

    let new = account(&node, "mal").await;
    assert!(new.id != mal.id && new.archive != mal.archive);
    assert_eq!(rows(&node.store, new.archive).await, 0);
    for friend in &friends {
        assert!(!friend.roster().shows_to(&jid("mal")));
        assert_eq!(friend.roster().get(&jid("mal")).unwrap().state, roster::State::default());
        let (stored, _) = node.store.roster(friend.id).await.unwrap();
        assert!(stored.iter().all(|row| !row.listed && !row.from), "{stored:?}");
    }
    fill(&node, &new, 3).await;
    go_on(&node).await;
    while node.store.is_removal_left().await.unwrap() {
        quiet(&node).await;
    }
    assert_eq!(
        (rows(&node.store, mal.archive).await, rows(&node.store, new.archive).await),
        (0, 3)
    );
    node.stop().await;
}

/// How many rows name somebody who was removed, in what a feature has stored.
static NAMED: AtomicU64 = AtomicU64::new(2 * PIECE + 100);

/// Forgets them piece by piece, and is asked only while the name is not free.
fn forget<'a>(
    _: &'a Arc<Node>,
    tx: &'a mut Tx,
    key: &'a str,
    most: u64,
) -> BoxFuture<'a, Result<u64, Error>> {
    Box::pin(async move {
        assert_eq!(key, "mal@#1");
        assert!(tx.is_name_left(1, "mal").await?);
        let changed = NAMED.load(Relaxed).min(most);
        NAMED.fetch_sub(changed, Relaxed);
        Ok(changed)
    })
}

#[tokio::test]
async fn no_account_gets_a_name_before_every_feature_has_forgotten_it() {
    let wire = |w: &mut Wiring| {
        w.name_gone(|_, _, _, _| Box::pin(async { Ok(0) }));
        w.name_gone(forget);
    };
    let features = [Feature { name: "test", wire, ..Feature::PLAIN }];
    let store = Store::open(&Location::Memory).await.unwrap();
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let starting = Node::start(Settings::default(), clock, store, &features, Some("localhost"));
    let node = starting.await.unwrap();
    node.create_account(&jid("mal"), Password::new("pencil").unwrap()).await.unwrap();
    let mal = account(&node, "mal").await;
    befriend(&node, "mal", ROSTERS as usize + 1).await;

    node.remove_account(&mal, None, || {}).await.unwrap();
    node.create_account(&jid("mal"), Password::new("another one").unwrap()).await.unwrap();

    assert_eq!(NAMED.load(Relaxed), 0);
    node.stop().await;
}

#[tokio::test]
async fn a_removal_that_was_cut_off_goes_on_at_the_next_start() {
    let before = node(&["mal"]).await;
    let mal = account(&before, "mal").await;
    fill(&before, &mal, MUCH).await;
    let friends = befriend(&before, "mal", 2 * ROSTERS as usize + 1).await;
    quiet(&before).await;
    let mut tx = before.store.begin().await.unwrap();
    tx.remove_account(mal.id).await.unwrap();
    tx.commit().await.unwrap();
    piece(&before).await.unwrap();
    before.keeper.stop().await;

    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let store = before.store.clone();
    let starting = Node::start(Settings::default(), clock, store, &[], Some("localhost"));
    let node = starting.await.unwrap();
    while node.store.is_removal_left().await.unwrap() {
        quiet(&node).await;
    }

    assert_eq!(rows(&node.store, mal.archive).await, 0);
    for friend in &friends {
        let (stored, _) = node.store.roster(friend.id).await.unwrap();
        assert!(stored.iter().all(|row| !row.listed));
    }
    node.stop().await;
}

#[tokio::test]
async fn a_store_that_fails_ends_a_removal_and_the_next_one_finishes_both() {
    use whoelse_store::faults::{Fault, Step};
    let node = node(&["mal", "max"]).await;
    let (mal, max) = (account(&node, "mal").await, account(&node, "max").await);
    fill(&node, &mal, MUCH).await;
    quiet(&node).await;
    let mut commits = 0;
    node.store.set_faults(move |step| {
        commits += u32::from(step == Step::Commit);
        // The removal itself, a look for rosters, one piece.
        match commits > 3 {
            true => Fault::Fails,
            false => Fault::None,
        }
    });

    node.remove_account(&mal, None, || {}).await.unwrap();
    quiet(&node).await;
    node.store.clear_faults();
    assert_eq!(rows(&node.store, mal.archive).await, MUCH - PIECE as usize);
    node.remove_account(&max, None, || {}).await.unwrap();
    while node.store.is_removal_left().await.unwrap() {
        quiet(&node).await;
    }

    assert_eq!(rows(&node.store, mal.archive).await, 0);
    node.stop().await;
}
