//! What is said while something is on its way through the keeper: its order, who is charged for it, and
//! who no longer hears it.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use whoelse_store::{Location, Store};
use whoelse_stream::secret::Password;
use whoelse_xmpp::BareJid;

use super::*;
use crate::clock::{Clock, Time};
use crate::kit::Feature;
use crate::principal::{Principal, Rights};
use crate::session::Drain;
use crate::settings::{Sessions, Settings};

/// In the slot of a session: whether something was on its way to its account, each time that copies
/// of what it has said were due.
#[derive(Default)]
struct OnTheWay(Mutex<Vec<bool>>);

fn wire(w: &mut crate::kit::Wiring) {
    w.copies(
        |_| true,
        |sent| {
            let is_open = sent.session.account.arriving.is_open();
            sent.session.slots.look(|it: &OnTheWay| it.0.lock().unwrap().push(is_open));
        },
        |_| {},
    );
}

const FEATURE: Feature = Feature { name: "test", wire, ..Feature::PLAIN };

async fn node(names: &[&str]) -> Arc<Node> {
    let store = Store::open(&Location::Memory).await.unwrap();
    let clock = Clock::manual(Time(1_767_225_600_000_000));
    let settings = Settings { sessions: Sessions::Many, ..Settings::default() };
    let node = Node::start(settings, clock, store, &[FEATURE], Some("localhost")).await.unwrap();
    for name in names {
        node.create_account(&jid(name), Password::new("pencil").unwrap()).await.unwrap();
    }
    node
}

fn jid(name: &str) -> BareJid {
    BareJid::parse(&format!("{name}@localhost")).unwrap()
}

/// A device that is available, and to which everything new comes live.
async fn device(node: &Arc<Node>, name: &str, resource: &str) -> Hold {
    let account = node.account(&jid(name)).await.unwrap().unwrap();
    let hold = node.bind(&Principal::of(&account, Rights::Own), Some(resource)).await.unwrap();
    finish(says(node, &hold, "<presence/>")).await;
    while matches!(hold.session.drain_state(), Drain::After { .. }) {
        node.read_log(&hold.session).await;
    }
    hold
}

fn says(node: &Arc<Node>, hold: &Hold, stanza: &str) -> Routed {
    handle(node, hold, Stanza::parse(stanza.to_owned()).unwrap(), None)
}

/// A message that is kept.
fn kept(to: &str, text: &str) -> String {
    format!("<message to='{to}@localhost' type='chat'><body>{text}</body></message>")
}

/// One that is not.
fn news(to: &str, text: &str) -> String {
    format!("<message to='{to}@localhost' type='headline'><body>{text}</body></message>")
}

#[tokio::test]
async fn nothing_passes_a_message_before_its_sender_has_its_copies() {
    let node = node(&["alice"]).await;
    let alice = device(&node, "alice", "desk").await;
    alice.session.slots.put(Arc::new(OnTheWay::default()));

    says(&node, &alice, &kept("alice", "alone"));
    node.keeper.caught_up().await;
    says(&node, &alice, &kept("alice", "one"));
    says(&node, &alice, &news("alice", "after it"));
    node.keeper.caught_up().await;

    let seen = alice.session.slots.look(|it: &OnTheWay| it.0.lock().unwrap().clone());
    assert_eq!(seen, Some(vec![true; 3]));
    assert!(!alice.session.account.arriving.is_open());
}

#[tokio::test]
async fn who_says_more_than_the_keeper_delivers_waits_though_nothing_of_it_is_kept() {
    const LARGE: usize = 250 << 10;
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let _bob = device(&node, "bob", "desk").await;

    says(&node, &alice, &kept("bob", "what the rest follows"));
    let mut said: Vec<Routed> =
        (0..5).map(|_| says(&node, &alice, &news("bob", &"x".repeat(LARGE)))).collect();

    let last = said.pop().unwrap();
    assert!(said.iter().all(|routed| matches!(routed, Routed::Done)));
    assert!(matches!(last, Routed::Waits(_)));
    finish(last).await;
    assert!(!alice.session.posted(1 << 20), "all of it is let go again");
}
