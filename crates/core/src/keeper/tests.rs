//! What is posted while a committed group is not delivered yet: it takes its place in the order.
//! A test holds the finisher up at a gate; the lane goes on.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use whoelse_store::faults::{Fault, Step};
use whoelse_store::{Direction, Error, NewMessage, NewRow, Query};
use whoelse_stream::c2s::LookupAnswer;
use whoelse_stream::sasl::Mechanism;
use whoelse_xmpp::{Class, Kind, Outgoing};

use super::cursors::CURSORS;
use super::{After, Touches, Work};
use crate::clock::{Clock, Time};
use crate::delivery::LOG_READERS;
use crate::login_attempt::LoginAttempt;
use crate::network::Network;
use crate::node::Node;
use crate::principal::{Principal, Rights};
use crate::route::Routed;
use crate::route::tests::{Blocked, device, hears, jid, kept, news, node, says};
use crate::session::Drain;
use crate::sessions::Hold;
use crate::settings::Settings;

/// Where the finisher waits before it delivers a group: how many groups may still pass; any number
/// if it is open.
#[derive(Default)]
pub(crate) struct Gate(watch::Sender<Option<usize>>);

impl Gate {
    pub async fn pass(&self) {
        let mut changes = self.0.subscribe();
        loop {
            let mut may_pass = false;
            self.0.send_if_modified(|left| {
                may_pass = *left != Some(0);
                *left = left.map(|left| left.saturating_sub(1));
                may_pass && left.is_some()
            });
            if may_pass {
                return;
            }
            let _ = changes.changed().await;
        }
    }

    fn let_through(&self, groups: Option<usize>) {
        self.0.send_replace(groups);
    }
}

/// How many runs of the storm.
const SEEDS: u64 = 20;

/// Waits until the log has this many rows of an account.
async fn stored(node: &Node, hold: &Hold, rows: i64) {
    let archive = hold.session.own().archive;
    while node.store.count(archive, &Query::default(), i64::MAX).await.unwrap().unwrap() < rows {
        tokio::task::yield_now().await;
    }
}

/// Waits until what the server does at its start is over.
pub(crate) async fn quiet(node: &Node) {
    for _ in 0..50 {
        while !node.is_idle() {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
    }
}

/// Lets the lane do what it can without the finisher.
pub(crate) async fn lane_rests(node: &Node) {
    for _ in 0..20 {
        let _ = node.store.last_stamp().await;
        tokio::task::yield_now().await;
    }
}

/// A change that blocks somebody, or nobody, and tells all devices when that holds.
fn blocks(node: &Node, hold: &Hold, blocked: &str, word: &str) {
    let (account, blocked) = (hold.session.own().clone(), jid(blocked).into());
    let stanza = format!("<iq type='set' id='{word}'/>");
    node.keeper.submit(Touches::AtMost(0), move |_| {
        Box::pin(async move {
            let then: After = vec![Box::new(move |_| {
                account.put(Arc::new(Blocked(blocked)));
                let push = Outgoing::from_encoded(Kind::Iq, stanza.into(), Class::IqAnswer);
                account.sessions().iter().for_each(|session| session.push(push.clone()));
            })];
            Ok(((), then))
        })
    });
}

async fn waits(routed: Routed) {
    if let Routed::Waits(rest) = routed {
        rest.await;
    }
}

/// The bodies and pushes in what a device read, in order.
fn words(read: &str) -> Vec<String> {
    let mut words = Vec::new();
    for piece in read.split('<') {
        let word = piece.strip_prefix("body>").or_else(|| {
            let (_, id) = piece.strip_prefix("iq ")?.split_once("id='")?;
            id.split('\'').next()
        });
        words.extend(word.map(str::to_owned));
    }
    words
}

#[tokio::test]
async fn what_is_posted_between_a_commit_and_its_delivery_comes_after_it() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    [&alice, &bob].iter().for_each(|hold| drop(hears(&node, hold)));
    quiet(&node).await;
    node.keeper.gate.let_through(Some(0));

    says(&node, &alice, &kept("bob", "one"));
    stored(&node, &bob, 1).await;
    says(&node, &alice, &news("bob", "two"));
    blocks(&node, &bob, "alice", "three");
    says(&node, &alice, &kept("bob", "four"));
    lane_rests(&node).await;
    assert_eq!(words(&hears(&node, &bob)), [""; 0], "nothing is delivered yet");
    let (keeper, account) = (node.clone(), alice.session.own().clone());
    let caught_up = tokio::spawn(async move { keeper.keeper.caught_up_with(&account).await });
    lane_rests(&node).await;
    assert!(!caught_up.is_finished());
    node.keeper.gate.let_through(None);
    node.keeper.caught_up().await;

    assert_eq!(words(&hears(&node, &bob)), ["one", "two", "three"]);
    assert!(!bob.session.own().arriving.is_open() && !alice.session.own().sending.is_open());
    caught_up.await.unwrap();
    assert_eq!(bob.session.own().mailbox().coming(), 0);
}

#[tokio::test]
async fn a_change_sees_what_followed_the_change_before_it() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let _bob = device(&node, "bob", "desk").await;
    let (swapped, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
    quiet(&node).await;
    node.keeper.gate.let_through(Some(0));

    says(&node, &alice, &kept("bob", "before them"));
    for _ in 0..3 {
        let (swapped, seen) = (swapped.clone(), seen.clone());
        node.keeper.submit(Touches::AtMost(0), move |_| {
            Box::pin(async move {
                let before = swapped.load(Ordering::Acquire);
                seen.lock().push(before);
                let swap = move |_: &Arc<Node>| swapped.store(before + 1, Ordering::Release);
                let then: After = vec![Box::new(swap)];
                Ok(((), then))
            })
        });
        lane_rests(&node).await;
    }
    node.keeper.gate.let_through(None);
    node.keeper.caught_up().await;

    assert_eq!(*seen.lock(), [0, 1, 2]);
}

#[tokio::test]
async fn the_lane_waits_for_a_finisher_that_is_behind_and_both_are_seen_to_be_stuck() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    quiet(&node).await;
    node.keeper.gate.let_through(Some(0));
    let rounds = node.keeper.rounds();
    for text in 0..9 {
        says(&node, &alice, &kept("bob", &text.to_string()));
        // Each of the first three in a commit of its own.
        stored(&node, &bob, 3.min(text + 1)).await;
    }

    // One is at the gate, one waits for it, one is committed and finds no room.
    lane_rests(&node).await;
    let archive = bob.session.own().archive;
    assert_eq!(node.store.count(archive, &Query::default(), i64::MAX).await.unwrap().unwrap(), 3);
    assert_eq!((node.keeper.waiting(), node.keeper.rounds()), (9, rounds));
    node.keeper.gate.let_through(None);
    node.keeper.caught_up().await;
    assert_eq!(node.keeper.waiting(), 0);
    assert!(node.keeper.rounds() > rounds);
}

#[tokio::test]
async fn stopping_waits_until_everything_is_delivered() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    hears(&node, &bob);
    quiet(&node).await;
    node.keeper.gate.let_through(Some(0));
    for text in ["one", "two"] {
        says(&node, &alice, &kept("bob", text));
        lane_rests(&node).await;
    }

    let keeper = node.keeper.clone();
    let stopping = tokio::spawn(async move { keeper.stop().await });
    lane_rests(&node).await;
    assert!(!stopping.is_finished());
    node.keeper.gate.let_through(None);
    stopping.await.unwrap();

    assert_eq!(words(&hears(&node, &bob)), ["one", "two"]);
}

#[tokio::test]
async fn a_login_on_a_full_disk_reads_what_waits_in_order_and_once() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let texts: Vec<String> = (0..250).map(|n| n.to_string()).collect();
    texts.iter().for_each(|text| drop(says(&node, &alice, &kept("bob", text))));
    node.keeper.caught_up().await;
    node.store.set_faults(|step| match step {
        Step::Question => Fault::None,
        _ => Fault::Fails,
    });

    let account = node.account(&jid("bob")).await.unwrap().unwrap();
    let bob = node.bind(&Principal::of(&account, Rights::Own), Some("desk")).await.unwrap();
    waits(says(&node, &bob, "<presence/>")).await;
    let mut heard = Vec::new();
    while matches!(bob.session.drain_state(), Drain::After { .. }) {
        node.read_log(&bob.session).await;
        heard.extend(words(&hears(&node, &bob)));
        // After the first of three pages there is room again.
        node.store.clear_faults();
    }

    assert_eq!(heard, texts);
    assert!(bob.session.ordered_end().is_none());
}

#[tokio::test]
async fn what_is_set_aside_for_a_page_is_not_heard_after_a_block() {
    let node = node(&["alice", "carol", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let carol = device(&node, "carol", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    waits(says(&node, &bob, "<presence type='unavailable'/>")).await;
    waits(says(&node, &bob, "<presence/>")).await;
    hears(&node, &bob);

    // The page waits for a reader, behind its fence.
    let readers = node.log_readers.acquire_many(LOG_READERS as u32).await.unwrap();
    let reader = (node.clone(), bob.session.clone());
    let reading = tokio::spawn(async move { reader.0.read_log(&reader.1).await });
    tokio::task::yield_now().await;
    node.keeper.caught_up().await;
    says(&node, &alice, &kept("bob", "before the block"));
    says(&node, &carol, &kept("bob", "of somebody else"));
    node.keeper.caught_up().await;
    blocks(&node, &bob, "alice", "block");
    node.keeper.caught_up().await;
    drop(readers);
    reading.await.unwrap();
    while matches!(bob.session.drain_state(), Drain::After { .. }) {
        node.read_log(&bob.session).await;
    }

    assert_eq!(words(&hears(&node, &bob)), ["block", "of somebody else"]);
}

#[tokio::test]
async fn what_is_read_from_the_log_counts_once_and_only_if_it_is_queued() {
    let node = node(&["alice", "carol", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let carol = device(&node, "carol", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    let caught_up = || node.counters.messages.caught_up.get();
    waits(says(&node, &bob, "<presence type='unavailable'/>")).await;
    says(&node, &alice, &kept("bob", "before the block"));
    says(&node, &carol, &kept("bob", "of somebody else"));
    node.keeper.caught_up().await;
    let before = caught_up();

    // One page comes too late for a session that is unavailable by then; another one is made anew
    // after a block.
    for is_there in [false, true] {
        waits(says(&node, &bob, "<presence/>")).await;
        let readers = node.log_readers.acquire_many(LOG_READERS as u32).await.unwrap();
        let reader = (node.clone(), bob.session.clone());
        let reading = tokio::spawn(async move { reader.0.read_log(&reader.1).await });
        tokio::task::yield_now().await;
        node.keeper.caught_up().await;
        blocks(&node, &bob, "alice", "block");
        node.keeper.caught_up().await;
        if !is_there {
            waits(says(&node, &bob, "<presence type='unavailable'/>")).await;
        }
        drop(readers);
        reading.await.unwrap();
        assert_eq!(caught_up() - before, u64::from(is_there));
    }
}

#[tokio::test]
async fn whoever_waits_for_a_long_change_keeps_nobody_else_from_reading() {
    let node = node(&["alice", "bob", "carol", "dave"]).await;
    let alice = device(&node, "alice", "desk").await;
    let mut readers = Vec::new();
    for name in ["bob", "carol", "dave"] {
        for text in 0..150 {
            says(&node, &alice, &kept(name, &text.to_string()));
        }
        node.keeper.caught_up().await;
        let account = node.account(&jid(name)).await.unwrap().unwrap();
        let hold = node.bind(&Principal::of(&account, Rights::Own), None).await.unwrap();
        waits(says(&node, &hold, "<presence/>")).await;
        // The first of two pages: from now on they read without a fence.
        node.read_log(&hold.session).await;
        assert!(matches!(hold.session.drain_state(), Drain::After { more: true, .. }));
        readers.push(hold);
    }
    // The journal has rows of these two, and then a long change begins.
    ["bob", "carol"].iter().for_each(|name| drop(says(&node, &alice, &kept(name, "new"))));
    node.keeper.caught_up().await;
    let go = busy(&node).await;
    let read = |who: usize| {
        let (node, session) = (node.clone(), readers[who].session.clone());
        tokio::spawn(async move { node.read_log(&session).await })
    };

    let waiting = [read(0), read(1)];
    lane_rests(&node).await;
    tokio::time::timeout(Duration::from_secs(60), read(2)).await.unwrap().unwrap();

    assert_eq!(words(&hears(&node, &readers[2])).len(), 150);
    assert!(waiting.iter().all(|reading| !reading.is_finished()));
    go.send(()).unwrap();
    for reading in waiting {
        reading.await.unwrap();
    }
    assert_eq!(words(&hears(&node, &readers[0])).len(), 151);
}

// --- a group that fails ---

/// Posts so many messages from alice to bob while the lane is busy, and returns when it has tried
/// to store them: how many transactions it has begun, and the rounds at each beginning.
async fn tried(
    node: &Arc<Node>,
    alice: &Hold,
    messages: u32,
    fails: fn(usize) -> bool,
) -> Vec<u64> {
    let go = busy(node).await;
    for n in 0..messages {
        says(node, alice, &kept("bob", &n.to_string()));
    }
    let tries = Arc::new(Mutex::new(Vec::new()));
    let (noted, keeper) = (tries.clone(), node.keeper.clone());
    node.store.set_faults(move |step| {
        let mut tries = noted.lock();
        if step == Step::Begin {
            tries.push(keeper.rounds());
            if fails(tries.len()) {
                return Fault::Fails;
            }
        }
        Fault::None
    });
    go.send(()).unwrap();
    node.keeper.caught_up().await;
    node.store.clear_faults();
    Arc::into_inner(tries).map_or_else(Vec::new, Mutex::into_inner)
}

#[tokio::test]
async fn a_full_disk_refuses_a_whole_group_after_one_more_try() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    [&alice, &bob].iter().for_each(|hold| drop(hears(&node, hold)));

    let tries = tried(&node, &alice, 200, |_| true).await;

    assert_eq!(tries.len(), 2);
    assert_eq!(hears(&node, &alice).matches("resource-constraint").count(), 200);
    assert_eq!(words(&hears(&node, &bob)), [""; 0]);
    assert!(!bob.session.own().arriving.is_open() && !alice.session.own().sending.is_open());
    says(&node, &alice, &kept("bob", "when there is room"));
    node.keeper.caught_up().await;
    assert_eq!(words(&hears(&node, &bob)), ["when there is room"]);
}

#[tokio::test]
async fn where_one_has_room_the_others_are_tried_and_the_keeper_is_seen_to_work() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    [&alice, &bob].iter().for_each(|hold| drop(hears(&node, hold)));

    // All of them together, and then the third one alone.
    let tries = tried(&node, &alice, 5, |number| [1, 4].contains(&number)).await;

    assert_eq!(words(&hears(&node, &bob)), ["0", "1", "3", "4"]);
    assert_eq!(hears(&node, &alice).matches("resource-constraint").count(), 1);
    assert_eq!(tries.len(), 6);
    assert!(tries[1..].windows(2).all(|two| two[0] < two[1]), "{tries:?}");
}

// --- changes that share a commit ---

/// Posts a change that nothing follows: it writes a setting, and may fail then.
fn writes(node: &Arc<Node>, name: String, fails: bool) -> JoinHandle<Result<u8, Error>> {
    let node = node.clone();
    tokio::spawn(async move {
        let change = node.keeper.share(Touches::AtMost(1), move |tx| {
            Box::pin(async move {
                tx.set_setting(&name, b"written").await?;
                match fails {
                    true => Err(Error::NoSuchDomain(name)),
                    false => Ok((7, Vec::new())),
                }
            })
        });
        change.await
    })
}

#[tokio::test]
async fn a_change_of_what_was_removed_meanwhile_is_no_fault() {
    let node = node(&["alice"]).await;

    let change = node.keeper.share(Touches::AtMost(1), |tx| {
        Box::pin(async move { Ok((tx.block(99, &["eve@#1"]).await?, Vec::new())) })
    });

    assert!(matches!(change.await, Err(Error::Gone(_))));
    assert_eq!(node.counters.commits_failed.get(), 0);
}

/// Keeps the lane busy with a change, whose transaction has begun, until something is sent.
pub(crate) async fn busy(node: &Node) -> oneshot::Sender<()> {
    quiet(node).await;
    let (go, wait) = oneshot::channel::<()>();
    let (begin, begun) = oneshot::channel();
    let both = Arc::new(Mutex::new(Some((begin, wait))));
    node.keeper.submit(Touches::All, move |_| {
        Box::pin(async move {
            let both = both.lock().take();
            if let Some((begin, wait)) = both {
                let _ = begin.send(());
                let _ = wait.await;
            }
            Ok(((), Vec::new()))
        })
    });
    begun.await.unwrap();
    go
}

/// Polls once what waits for a full lane, and drops it.
async fn polled_and_dropped(waits: impl Future) {
    let mut waits = Box::pin(waits);
    let polled = std::future::poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx))).await;
    assert!(polled.is_pending(), "there is no room");
}

/// Fills the lane.
pub(crate) fn fill(node: &Node) {
    while node.keeper.try_post(Work::Ride(Box::new(|_| {}))).is_ok() {}
}

/// Counts the commits from now on, and lets the steps of this number fail, counted from one.
fn count_commits(node: &Node, failing: impl Fn(u32) -> bool + Send + 'static) -> Arc<AtomicU32> {
    let (commits, mut steps) = (Arc::new(AtomicU32::new(0)), 0);
    let counted = commits.clone();
    node.store.set_faults(move |step| {
        if step == Step::Question {
            return Fault::None;
        }
        steps += 1;
        if failing(steps) {
            return Fault::Fails;
        }
        if step == Step::Commit {
            counted.fetch_add(1, Ordering::AcqRel);
        }
        Fault::None
    });
    commits
}

#[tokio::test]
async fn small_changes_that_wait_together_share_a_commit_and_one_that_fails_is_undone_alone() {
    let node = node(&[]).await;
    let go = busy(&node).await;
    let commits = count_commits(&node, |_| false);
    let changes: Vec<_> = (0..5).map(|n| writes(&node, format!("shared.{n}"), n == 2)).collect();
    lane_rests(&node).await;

    go.send(()).unwrap();

    for (n, change) in changes.into_iter().enumerate() {
        let answer = change.await.unwrap();
        assert_eq!(answer.is_ok(), n != 2, "{n}");
        let written = node.store.setting(&format!("shared.{n}")).await.unwrap();
        assert_eq!(written.is_some(), n != 2, "{n}");
    }
    // The one before them, and theirs.
    assert_eq!(commits.load(Ordering::Acquire), 2);
    node.stop().await;
}

#[tokio::test]
async fn whatever_statement_fails_a_change_is_made_if_and_only_if_its_caller_is_told_so() {
    // The transaction begins, three parts of three statements each, the commit.
    for first in 1..=14 {
        for failures in [1, 2, 3, 100] {
            let node = node(&[]).await;
            let go = busy(&node).await;
            // The commit that they wait for comes first; it is two steps.
            let last = first + failures;
            count_commits(&node, move |step| step > 2 && (first..last).contains(&(step - 2)));
            let changes: Vec<_> =
                (0..3).map(|n| writes(&node, format!("shared.{n}"), false)).collect();
            lane_rests(&node).await;

            go.send(()).unwrap();

            let mut refused = 0;
            for (n, change) in changes.into_iter().enumerate() {
                let answer = change.await.unwrap();
                let written = node.store.setting(&format!("shared.{n}")).await.unwrap();
                assert_eq!(answer.is_ok(), written.is_some(), "{first} {failures} {n}");
                refused += u32::from(answer.is_err());
            }
            assert!(refused <= failures, "{first} {failures}: no other is taken along");
            if failures == 1 {
                // A statement of a change itself; everything else is tried again.
                assert_eq!(refused == 1, [3, 6, 9].contains(&first), "{first}");
            }
            node.store.clear_faults();
            node.stop().await;
        }
    }
}

#[tokio::test]
async fn a_change_that_something_follows_ends_its_commit() {
    let node = node(&["bob"]).await;
    let bob = device(&node, "bob", "desk").await;
    hears(&node, &bob);
    let go = busy(&node).await;
    let commits = count_commits(&node, |_| false);
    let first = writes(&node, "one".to_owned(), false);
    tokio::task::yield_now().await;
    blocks(&node, &bob, "nobody", "first");
    blocks(&node, &bob, "nobody", "second");
    lane_rests(&node).await;

    go.send(()).unwrap();
    node.keeper.caught_up().await;

    assert_eq!(words(&hears(&node, &bob)), ["first", "second"]);
    assert!(first.await.unwrap().is_ok());
    assert_eq!(commits.load(Ordering::Acquire), 3);
}

#[tokio::test]
async fn a_commit_takes_no_more_rows_than_a_group_of_messages() {
    let node = node(&[]).await;
    let go = busy(&node).await;
    let commits = count_commits(&node, |_| false);
    for _ in 0..4 {
        node.keeper.submit(Touches::AtMost(100), |_| Box::pin(async { Ok(((), Vec::new())) }));
    }
    for _ in 0..100 {
        node.keeper.submit(Touches::AtMost(0), |_| Box::pin(async { Ok(((), Vec::new())) }));
    }

    go.send(()).unwrap();
    node.keeper.caught_up().await;

    // The one before them; two large ones; two large ones and as many small ones as may share a
    // commit; the rest.
    assert_eq!(commits.load(Ordering::Acquire), 4);
}

#[tokio::test]
async fn what_is_submitted_to_a_full_lane_waits_in_order_up_to_a_bound() {
    let node = node(&[]).await;
    let go = busy(&node).await;
    let ran = Arc::new(Mutex::new(Vec::new()));
    let all = super::WAITING + super::submitted::MOST;

    for number in 0..all + 9 {
        let ran = ran.clone();
        node.keeper.submit(Touches::AtMost(1), move |_| {
            Box::pin(async move {
                ran.lock().push(number);
                Ok(((), Vec::new()))
            })
        });
    }
    assert_eq!(node.keeper.submitted.lock().dropped, 9);
    go.send(()).unwrap();
    while node.keeper.waiting() > 0 {
        tokio::task::yield_now().await;
    }

    assert!(ran.lock().iter().copied().eq(0..all));
    assert_eq!(node.keeper.submitted.lock().dropped, 0);
}

#[tokio::test]
async fn what_is_submitted_before_the_keeper_stops_is_made_and_what_follows_that_too() {
    let node = node(&[]).await;
    let go = busy(&node).await;
    let made = Arc::new(AtomicU32::new(0));
    let submit = |node: &Arc<Node>, follows: Option<After>| {
        let (made, follows) = (made.clone(), Arc::new(Mutex::new(follows)));
        node.keeper.submit(Touches::AtMost(1), move |_| {
            Box::pin(async move {
                made.fetch_add(1, Ordering::AcqRel);
                let after = follows.lock().take().unwrap_or_default();
                Ok(((), after))
            })
        });
    };

    // More than the lane has room for; another one follows the last of them.
    let more = super::WAITING + 10;
    (1..more).for_each(|_| submit(&node, None));
    let late = made.clone();
    let follows: After = vec![Box::new(move |node: &Arc<Node>| {
        node.keeper.submit(Touches::AtMost(1), move |_| {
            Box::pin(async move {
                late.fetch_add(1, Ordering::AcqRel);
                Ok(((), Vec::new()))
            })
        });
    })];
    submit(&node, Some(follows));
    let keeper = node.keeper.clone();
    let stopping = tokio::spawn(async move { keeper.stop().await });
    lane_rests(&node).await;
    assert!(!stopping.is_finished());
    go.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(60), stopping).await.unwrap().unwrap();

    assert_eq!(made.load(Ordering::Acquire) as usize, more + 1);
    assert_eq!(node.keeper.waiting(), 0);
    submit(&node, None);
    quiet(&node).await;
    assert_eq!(made.load(Ordering::Acquire) as usize, more + 1);
    assert_eq!(node.keeper.waiting(), 0);
}

#[tokio::test]
async fn who_is_dropped_while_it_waits_for_room_is_not_counted() {
    let node = node(&[]).await;
    let go = busy(&node).await;
    fill(&node);
    let full = node.keeper.waiting();

    polled_and_dropped(node.keeper.caught_up()).await;

    assert_eq!(node.keeper.waiting(), full);
    go.send(()).unwrap();
    quiet(&node).await;
    let rounds = node.keeper.rounds();
    node.keeper.nudge();
    quiet(&node).await;
    assert_ne!(node.keeper.rounds(), rounds, "an idle keeper shows that it lives");
}

#[tokio::test]
async fn the_lane_sleeps_until_a_cursor_has_moved_and_saves_it_soon_after() {
    let node = node(&["alice"]).await;
    let archive = node.account(&jid("alice")).await.unwrap().unwrap().archive;
    let soon = || node.clock.steady().after(CURSORS);
    lane_rests(&node).await;
    assert!(!node.clock.advance_to(soon()), "nobody waits for a moment so near");

    node.keeper.confirmed(archive, 0, 1);
    lane_rests(&node).await;
    node.clock.advance_to(soon());
    for _ in 0..1_000 {
        if node.keeper.unsaved_cursor(archive).is_none() {
            break;
        }
        lane_rests(&node).await;
    }
    lane_rests(&node).await;

    assert_eq!(node.keeper.unsaved_cursor(archive), None);
    assert_eq!(node.store.cursor(archive).await.unwrap(), 1);
    assert!(!node.clock.advance_to(soon()), "it sleeps again");
}

/// A page, blocks and rides at any moment of the delivery, by seed. One device of bob is there all
/// the time; the other comes, reads its pages and goes.
#[tokio::test]
async fn by_seed_nothing_is_lost_or_doubled_or_overtaken_or_heard_after_a_block() {
    for seed in 1..=SEEDS {
        storm(seed).await;
    }
}

async fn storm(seed: u64) {
    let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut below = move |most: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % most
    };
    let node = node(&["alice", "carol", "bob"]).await;
    let senders = [device(&node, "alice", "desk").await, device(&node, "carol", "desk").await];
    let desk = device(&node, "bob", "desk").await;
    let tablet = device(&node, "bob", "tablet").await;
    [&desk, &tablet].iter().for_each(|hold| drop(hears(&node, hold)));
    let (mut said, mut lines) = (Vec::new(), [Vec::new(), Vec::new()]);
    let listen = |lines: &mut [Vec<String>; 2]| {
        for (line, hold) in lines.iter_mut().zip([&desk, &tablet]) {
            line.extend(words(&hears(&node, hold)));
        }
    };
    for step in 0..60 {
        match below(10) {
            0..4 => {
                let who = below(2) as usize;
                let text = format!("kept-{who}-{step}");
                says(&node, &senders[who], &kept("bob", &text));
                said.push(text);
            }
            4 => {
                let who = below(2) as usize;
                says(&node, &senders[who], &news("bob", &format!("news-{who}-{step}")));
            }
            5 => {
                let blocked = ["alice", "nobody"][below(2) as usize];
                blocks(&node, &desk, blocked, &format!("block-{blocked}-{step}"));
            }
            6 => {
                let presence = ["<presence/>", "<presence type='unavailable'/>"][below(2) as usize];
                waits(says(&node, &tablet, presence)).await;
            }
            7 => {
                let (node, session) = (node.clone(), tablet.session.clone());
                tokio::spawn(async move { node.read_log(&session).await });
            }
            8 => node.keeper.gate.let_through(Some(below(3) as usize)),
            _ => lane_rests(&node).await,
        }
        for _ in 0..below(3) {
            let _ = node.store.last_stamp().await;
        }
        listen(&mut lines);
    }
    node.keeper.gate.let_through(None);
    waits(says(&node, &tablet, "<presence/>")).await;
    for _ in 0..9 {
        node.keeper.caught_up().await;
        node.read_log(&tablet.session).await;
    }
    listen(&mut lines);

    let [desk, tablet] = lines;
    let log = format!("seed {seed}: {said:?}\n{desk:?}\n{tablet:?}");
    assert_order(&desk, |_| true, &log);
    assert_order(&tablet, |word| word.starts_with("kept"), &log);
    // Nothing of a blocked sender comes between the block and its end.
    for line in [&desk, &tablet] {
        let mut blocked = false;
        for word in line {
            match word.split_once("block-") {
                Some((_, who)) => blocked = who.starts_with("alice"),
                None => assert!(!(blocked && word.contains("-0-")), "{word}: {log}"),
            }
        }
    }
    // Carol is never blocked, so everything of hers is there.
    for text in said.iter().filter(|text| text.starts_with("kept-1-")) {
        assert!(desk.contains(text) && tablet.contains(text), "{text}: {log}");
    }
    let archive = senders[1].session.own().archive;
    let own = said.iter().filter(|text| text.starts_with("kept-1-")).count();
    assert_eq!(
        node.store.count(archive, &Query::default(), i64::MAX).await.unwrap().unwrap(),
        own as i64
    );
    assert_eq!(node.keeper.waiting(), 0);
    assert!(senders.iter().all(|it| !it.session.own().sending.is_open()));
    tokio::time::timeout(Duration::from_secs(60), node.stop()).await.unwrap();
}

/// What each has said arrives once, in the order in which it was said.
fn assert_order(words: &[String], counts: impl Fn(&str) -> bool, log: &str) {
    let mut last: HashMap<&str, u64> = HashMap::new();
    for word in words.iter().filter(|word| counts(word)) {
        let mut parts = word.split('-').skip(1);
        let (who, step) = (parts.next().unwrap(), parts.next().unwrap().parse().unwrap());
        if let Some(before) = last.insert(who, step) {
            assert!(before < step, "{word} after {before}: {log}");
        }
    }
}

// --- what one account may have in the lane ---

#[tokio::test]
async fn an_account_has_a_share_of_the_lane_and_others_wait_for_no_more_of_it() {
    let node = node(&["alice", "carol", "bob"]).await;
    let devices = [device(&node, "alice", "desk").await, device(&node, "alice", "phone").await];
    let carol = device(&node, "carol", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    hears(&node, &bob);
    let go = busy(&node).await;

    // Both say as much as they may before they have to wait.
    let (mut said, mut waiting) = (0_usize, Vec::new());
    for device in &devices {
        loop {
            let routed = says(&node, device, &kept("bob", &format!("alice-{said}")));
            said += 1;
            if let Routed::Waits(rest) = routed {
                waiting.push(tokio::spawn(rest));
                break;
            }
        }
    }
    assert_eq!(said, super::SHARE as usize + 1, "a share, and one more of each other session");
    assert!(matches!(says(&node, &carol, &kept("bob", "carol")), Routed::Done));
    lane_rests(&node).await;
    assert!(waiting.iter().all(|rest| !rest.is_finished()));
    go.send(()).unwrap();
    node.keeper.caught_up().await;

    let mut expected: Vec<String> = (0..said).map(|n| format!("alice-{n}")).collect();
    expected.push("carol".to_owned());
    assert_eq!(words(&hears(&node, &bob)), expected);
    for rest in waiting {
        rest.await.unwrap();
    }
    assert!(matches!(says(&node, &devices[0], &kept("bob", "again")), Routed::Done));
    node.stop().await;
}

#[tokio::test]
async fn a_share_is_small_while_more_than_half_of_the_lane_is_taken() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let go = busy(&node).await;
    while node.keeper.waiting() <= super::WAITING / 2 {
        node.keeper.try_post(Work::Ride(Box::new(|_| {}))).ok().unwrap();
    }

    let mut said = 0;
    let rest = loop {
        said += 1;
        if let Routed::Waits(rest) = says(&node, &alice, &kept("bob", "again")) {
            break tokio::spawn(rest);
        }
    };

    assert_eq!(said, super::SMALL_SHARE);
    lane_rests(&node).await;
    assert!(!rest.is_finished());
    go.send(()).unwrap();
    rest.await.unwrap();
    node.keeper.caught_up().await;
    assert!(matches!(says(&node, &alice, &kept("bob", "more")), Routed::Done));
    node.stop().await;
}

#[tokio::test]
async fn whoever_is_at_their_bound_waits_for_it_though_they_waited_for_a_place_in_the_lane() {
    let node = node(&[]).await;
    let go = busy(&node).await;
    let ride = || Work::Ride(Box::new(|_: &Arc<Node>| {}));
    while node.keeper.try_post(ride()).is_ok() {}
    let (has_room, full) = oneshot::channel::<()>();
    let full = Box::pin(async move { full.await.unwrap() });

    let Routed::Waits(rest) = crate::route::post(&node, ride(), Some(full)) else { panic!() };
    let rest = tokio::spawn(rest);
    go.send(()).unwrap();
    quiet(&node).await;
    lane_rests(&node).await;

    assert!(!rest.is_finished());
    has_room.send(()).unwrap();
    rest.await.unwrap();
    node.stop().await;
}

// --- what is confirmed and goes ---

#[tokio::test]
async fn what_is_confirmed_and_not_kept_goes_in_pieces() {
    let most = super::PIECE as i64;
    for (direction, history) in
        [(Direction::In, None), (Direction::Passing, Settings::default().history)]
    {
        let before = node(&["bob"]).await;
        let archive = before.account(&jid("bob")).await.unwrap().unwrap().archive;
        before.stop().await;
        let store = before.store.clone();
        let first = NewRow { archive, peer: "eve@far.example".into(), direction };
        let mut tx = store.begin().await.unwrap();
        let message = NewMessage { first, stanza: "<message/>".into(), ..NewMessage::default() };
        tx.append(&vec![message; 2 * most as usize + 10]).await.unwrap();
        tx.commit().await.unwrap();
        let clock = Clock::manual(Time(1_767_225_600_000_000));
        let settings = Settings { history, ..Settings::default() };
        let starting = Node::start(settings, clock, store.clone(), &[], Some("localhost"));
        let node = starting.await.unwrap();
        quiet(&node).await;
        let rows = || async {
            let waits = store.count_undelivered(archive, 0).await.unwrap();
            waits.iter().map(|(_, messages, _)| messages).sum::<i64>()
        };
        assert_eq!(rows().await, 2 * most + 10, "{direction:?}");
        let commits = count_commits(&node, |_| false);

        node.keeper.confirmed(archive, 0, 2 * most + 10);
        while rows().await > 0 || node.keeper.unsaved_cursor(archive).is_some() {
            node.clock.advance_to(node.clock.steady().after(CURSORS));
            lane_rests(&node).await;
        }
        lane_rests(&node).await;

        // The last of the three is small.
        assert_eq!(commits.load(Ordering::Acquire), 3, "{direction:?}");
        assert_eq!(store.cursor(archive).await.unwrap(), 2 * most + 10);
        store.clear_faults();
        node.stop().await;
    }
}

#[tokio::test]
async fn a_login_and_what_waits_come_while_archives_are_queried() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    says(&node, &alice, &kept("bob", "hi"));
    node.keeper.caught_up().await;
    node.forget_account(&jid("bob"));

    // As many queries of archives as there can be, and none ends.
    let _held = node.store.hold_archive_readers().await.unwrap();
    let mut attempt = LoginAttempt::default();
    let scram = Mechanism::from_name("SCRAM-SHA-256").unwrap();
    let network = Network::of([192, 0, 2, 1].into());
    let challenge = node.lookup(&mut attempt, &jid("bob"), scram, network).await;
    assert!(matches!(challenge, LookupAnswer::Verifier(_)), "{challenge:?}");
    let bob = node.login_succeeded(attempt, None, Rights::Own, network).await.unwrap();
    let bob = node.bind(&bob, Some("desk")).await.unwrap();
    waits(says(&node, &bob, "<presence/>")).await;
    while matches!(bob.session.drain_state(), Drain::After { .. }) {
        node.read_log(&bob.session).await;
    }

    assert_eq!(words(&hears(&node, &bob)), ["hi"]);
    says(&node, &bob, &kept("alice", "hi yourself"));
    node.keeper.caught_up().await;
    assert_eq!(words(&hears(&node, &alice)), ["hi yourself"]);
}
