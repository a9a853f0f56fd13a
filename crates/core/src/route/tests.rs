//! What is said while something is on its way through the keeper: its order, who is charged for it,
//! and who no longer hears it.
#![allow(clippy::unwrap_used)]

mod flood;

use parking_lot::Mutex;

use whoelse_store::{Location, Store};
use whoelse_stream::Output;
use whoelse_stream::secret::Password;
use whoelse_xmpp::BareJid;

use super::*;
use crate::account::Account;
use crate::clock::{Clock, Time};
use crate::keeper::{After, Touches};
use crate::kit::{Feature, Flow, When, Wiring};
use crate::network::Network;
use crate::principal::{Principal, Rights};
use crate::session::{Drain, Whose};
use crate::settings::{Contacts, Sessions, Settings};

/// In the slot of an account: whether something was on its way to it, each time that copies
/// of what it has said were due.
#[derive(Default)]
struct OnTheWay(Mutex<Vec<bool>>);

/// In the slot of an account: the address that it has blocked, of a person or of one device.
pub(crate) struct Blocked(pub Jid);

/// In the slot of an account: whose messages copies were due of.
#[derive(Default)]
struct Copied(Mutex<Vec<String>>);

/// In the slot of an account: who got its presence from then on.
#[derive(Default)]
pub(crate) struct Shown(pub Mutex<Vec<BareJid>>);

/// In the slot of a session: whose events it was to be told anew.
pub(crate) struct Missed(pub Whose);

fn has_blocked(account: &Account, jid: &Jid) -> bool {
    account.look(|it: &Blocked| it.0 == *jid || it.0 == *jid.to_bare()).unwrap_or_default()
}

fn wire(w: &mut Wiring) {
    w.visibility(|subject, viewer| !has_blocked(subject, viewer));
    w.incoming(When::Guard, |passing| match has_blocked(passing.account.unwrap(), passing.from) {
        true => Flow::Drop,
        false => Flow::On,
    });
    w.shown(|_, subject, viewer| subject.get_or_default::<Shown>().0.lock().push(viewer.clone()));
    w.missed(|_, session, whose| session.slots.put(Arc::new(Missed(whose.clone()))));
    w.copies(
        |_| true,
        |sent| {
            let is_open = sent.account.arriving.is_open();
            sent.account.look(|it: &OnTheWay| it.0.lock().push(is_open));
        },
        |received| {
            let from = received.from.to_string();
            received.account.look(|it: &Copied| it.0.lock().push(from));
        },
    );
}

const FEATURE: Feature = Feature { name: "test", wire, ..Feature::PLAIN };

pub(crate) async fn node(names: &[&str]) -> Arc<Node> {
    node_with(Settings::default().contacts, names).await
}

pub(crate) async fn node_with(contacts: Contacts, names: &[&str]) -> Arc<Node> {
    let store = Store::open(&Location::Memory).await.unwrap();
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let settings = Settings { sessions: Sessions::Many, contacts, ..Settings::default() };
    let node = Node::start(settings, clock, store, &[FEATURE], Some("localhost")).await.unwrap();
    for name in names {
        node.create_account(&jid(name), Password::new("pencil").unwrap()).await.unwrap();
    }
    node
}

pub(crate) fn jid(name: &str) -> BareJid {
    BareJid::parse(&format!("{name}@localhost")).unwrap()
}

/// A device that is available, and to which everything new comes live.
pub(crate) async fn device(node: &Arc<Node>, name: &str, resource: &str) -> Hold {
    let account = node.account(&jid(name)).await.unwrap().unwrap();
    let hold = node.bind(&Principal::of(&account, Rights::Own), Some(resource)).await.unwrap();
    finish(says(node, &hold, "<presence/>")).await;
    while matches!(hold.session.drain_state(), Drain::After { .. }) {
        node.read_log(&hold.session).await;
    }
    hold
}

pub(crate) fn says(node: &Arc<Node>, hold: &Hold, stanza: &str) -> Routed {
    handle(node, hold, Stanza::parse(stanza.to_owned()).unwrap(), None)
}

/// A message that is kept.
pub(crate) fn kept(to: &str, text: &str) -> String {
    format!("<message to='{to}@localhost' type='chat'><body>{text}</body></message>")
}

/// One that is not.
pub(crate) fn news(to: &str, text: &str) -> String {
    format!("<message to='{to}@localhost' type='headline'><body>{text}</body></message>")
}

#[tokio::test]
async fn nothing_passes_a_message_before_its_sender_has_its_copies() {
    let node = node(&["alice"]).await;
    let alice = device(&node, "alice", "desk").await;
    alice.session.own().put(Arc::new(OnTheWay::default()));

    says(&node, &alice, &kept("alice", "alone"));
    node.keeper.caught_up().await;
    says(&node, &alice, &kept("alice", "one"));
    says(&node, &alice, &news("alice", "after it"));
    node.keeper.caught_up().await;

    let seen = alice.session.own().look(|it: &OnTheWay| it.0.lock().clone());
    assert_eq!(seen, Some(vec![true; 3]));
    assert!(!alice.session.own().arriving.is_open());
}

#[tokio::test]
async fn who_says_more_than_the_keeper_delivers_waits_though_nothing_of_it_is_kept() {
    const LARGE: usize = 250 << 10;
    let others = ["bob", "carol", "dave"];
    let node = node(&[&["alice"][..], &others].concat()).await;
    let alice = device(&node, "alice", "desk").await;
    let mut devices = Vec::new();
    for name in others {
        devices.push(device(&node, name, "desk").await);
    }
    for name in others {
        says(&node, &alice, &kept(name, "what the rest follows"));
    }
    let to = others.iter().cycle();
    let mut said: Vec<Routed> =
        to.take(5).map(|name| says(&node, &alice, &news(name, &"x".repeat(LARGE)))).collect();

    let last = said.pop().unwrap();
    assert!(said.iter().all(|routed| matches!(routed, Routed::Done)));
    assert!(matches!(last, Routed::Waits(_)));
    finish(last).await;
    assert!(!alice.session.posted(1 << 20), "all of it is let go again");
}

#[tokio::test]
async fn what_follows_a_kept_message_takes_its_senders_share_and_nobody_elses() {
    let node = node(&["alice", "bob", "carol"]).await;
    let alice = device(&node, "alice", "desk").await;
    let carol = device(&node, "carol", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    [&alice, &carol, &bob].iter().for_each(|hold| drop(hears(&node, hold)));

    says(&node, &alice, &kept("bob", "what the rest follows"));
    for n in 1..=4 {
        says(&node, &alice, &news("bob", &format!("alice {n} {}", "x".repeat(200 << 10))));
    }
    says(&node, &carol, &news("bob", "carol"));
    let refused = hears(&node, &alice);
    node.keeper.caught_up().await;

    assert_eq!(refused.matches("<resource-constraint").count(), 1, "{}", refused.len());
    let (read, more) = (hears(&node, &bob), hears(&node, &bob));
    let heard = read + &more;
    assert!(heard.contains("alice 3") && !heard.contains("alice 4") && heard.contains("carol"));
    says(&node, &alice, &news("bob", "there is room again"));
    assert!(hears(&node, &bob).contains("there is room again"));
    assert_eq!(hears(&node, &carol), "");
}

/// What a device gets to read now.
pub(crate) fn hears(node: &Node, hold: &Hold) -> String {
    let (now, limits) = (node.clock.steady(), &node.settings().limits);
    let mut out = Output::default();
    hold.session.take(hold.epoch, now, limits, &mut out, 1 << 20).unwrap();
    String::from_utf8(out.take()).unwrap()
}

/// The keeper is given a block; when it is committed, it holds.
fn blocks(node: &Node, hold: &Hold, blocked: Jid) {
    let account = hold.session.own().clone();
    node.keeper.submit(Touches::AtMost(1), move |_| {
        Box::pin(async move {
            let then: After = vec![Box::new(move |_| account.put(Arc::new(Blocked(blocked))))];
            Ok(((), then))
        })
    });
}

#[tokio::test]
async fn what_is_committed_after_a_block_is_not_heard_though_it_was_let_in_before() {
    let node = node(&["alice", "bob", "carol"]).await;
    let desk = device(&node, "alice", "desk").await;
    let phone = device(&node, "alice", "phone").await;
    let carol = device(&node, "carol", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    let all = [&desk, &phone, &carol];
    for (blocked, heard) in [
        (jid("alice").into(), vec!["carol"]),
        (Jid::clone(&desk.session.jid), vec!["phone", "carol"]),
    ] {
        bob.session.own().put(Arc::new(Copied::default()));
        bob.session.own().put(Arc::new(Blocked(jid("nobody").into())));
        all.iter().for_each(|hold| drop(hears(&node, hold)));
        hears(&node, &bob);

        blocks(&node, &bob, blocked);
        for (who, hold) in [("desk", &desk), ("phone", &phone), ("carol", &carol)] {
            says(&node, hold, &kept("bob", &format!("kept by {who}")));
            says(&node, hold, &news("bob", &format!("news by {who}")));
        }
        node.keeper.caught_up().await;

        let read = hears(&node, &bob);
        let copied = bob.session.own().look(|it: &Copied| it.0.lock().len()).unwrap();
        for who in ["desk", "phone", "carol"] {
            for kind in ["kept", "news"] {
                let is_there = read.contains(&format!("{kind} by {who}"));
                assert_eq!(is_there, heard.contains(&who), "{kind} {who}: {read}");
            }
        }
        assert_eq!(copied, 2 * heard.len(), "what is not heard is not copied either");
        for hold in all {
            assert_eq!(hears(&node, hold), "", "nobody is told");
        }
    }
}

#[tokio::test]
async fn a_request_that_is_not_heard_after_a_block_is_answered_as_if_nobody_were_there() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    [&alice, &bob].iter().for_each(|hold| drop(hears(&node, hold)));

    blocks(&node, &bob, jid("alice").into());
    says(&node, &alice, &kept("bob", "what the request follows"));
    let to = &bob.session.jid;
    says(&node, &alice, &format!("<iq type='get' id='1' to='{to}'><q xmlns='urn:x'/></iq>"));
    node.keeper.caught_up().await;

    let answer = hears(&node, &alice);
    assert!(answer.contains("<service-unavailable"), "{answer}");
    assert_eq!(hears(&node, &bob), "");
}

#[tokio::test]
async fn what_a_session_says_after_its_password_was_changed_is_not_carried_out() {
    let node = node(&["alice", "bob"]).await;
    let thief = device(&node, "alice", "thief").await;
    let bob = device(&node, "bob", "desk").await;
    drop(hears(&node, &bob));
    says(&node, &thief, &kept("bob", "before"));

    let password = Password::new("another pencil").unwrap();
    node.set_password(thief.session.own(), password, None).await.unwrap();
    let h = thief.session.h();
    for stanza in [kept("bob", "after"), news("bob", "after"), "<presence/>".to_owned()] {
        assert!(matches!(says(&node, &thief, &stanza), Routed::Done));
    }
    node.keeper.caught_up().await;

    let read = hears(&node, &bob);
    assert!(read.contains("before") && !read.contains("after"), "{read}");
    assert_eq!(thief.session.h(), h, "it is not counted as handled");
}

#[tokio::test]
async fn whoever_names_an_address_that_is_not_in_memory_pays_for_reading_it() {
    let node = node(&["bob"]).await;
    let hold = device(&node, "bob", "desk").await;
    let payer = node.payer(hold.session.account.as_ref().unwrap(), Network::Local);
    hold.session.note_peer("", Network::Local, Some(payer.clone()));
    let says = async |to: &str| {
        let stanza = Stanza::parse(format!("<presence to='{to}@localhost'/>")).unwrap();
        finish(handle(&node, &hold, stanza, None)).await;
    };

    for name in ["bob", "nobody", "nobody"] {
        says(name).await;
    }

    let at_once = node.settings().limits.bytes_per_second * 128;
    assert_eq!(node.pay_for_work(&payer, at_once - 2_048), None, "it is read once");
    assert!(node.pay_for_work(&payer, 1).is_some());
}
