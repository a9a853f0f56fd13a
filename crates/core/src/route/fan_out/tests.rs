//! Who of an audience hears what not everybody may and wants to hear.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use whoelse_xmpp::write::Element;

use super::*;
use crate::route::tests::{Blocked, Missed, device, hears, jid, node, says};
use crate::sessions::Hold;

/// In the slot of a session whose client wants it.
struct Wants;

/// In the slot of a session that had no room for it.
struct Misses;

fn wants(session: &Session) -> bool {
    session.slots.has::<Wants>()
}

/// Alice tells it those of her audience who may hear it.
fn tell(node: &Node, alice: &Hold, may: &dyn Fn(&BareJid) -> bool, text: &str) -> Reached {
    let origin = Origin::Account(alice.session.own().clone());
    let misses = |session: &Session| session.slots.put(Arc::new(Misses));
    let listeners = Listeners { audience: Audience::Viewers, may, wants: &wants, misses: &misses };
    fan_out_to(node, &origin, &listeners, &event(text))
}

fn event(text: &str) -> Outgoing {
    Element::new("message").attr("from", "alice@localhost").text(text).outgoing(Class::Message)
}

fn event_to(device: &Hold) -> String {
    format!("<message to='{}' from='alice@localhost'></message>", device.session.jid)
}

#[tokio::test]
async fn those_hear_it_who_may_and_want_and_are_there_at_their_full_address() {
    let node = node(&["alice", "bob", "carol", "dave"]).await;
    let mut devices = Vec::new();
    for (name, resource, wants) in [
        ("alice", "desk", true),
        ("alice", "phone", false),
        ("bob", "below", true),
        ("bob", "phone", true),
        ("bob", "gone", true),
        ("carol", "desk", true),
        ("dave", "desk", true),
    ] {
        let device = device(&node, name, resource).await;
        if wants {
            device.session.slots.put(Arc::new(Wants));
        }
        devices.push(device);
    }
    let [alice, phone, below, bob, gone, carol, dave] = devices.try_into().ok().unwrap();
    says(&node, &below, "<presence><priority>-1</priority></presence>");
    says(&node, &gone, "<presence type='unavailable'/>");
    carol.session.own().put(Arc::new(Blocked(jid("alice").into())));
    let all = [&alice, &phone, &below, &bob, &gone, &carol, &dave];
    all.iter().for_each(|device| drop(hears(&node, device)));

    let reached = tell(&node, &alice, &|viewer| *viewer != jid("dave"), "");

    assert_eq!(reached, Reached { taken: 2, closed: 1, full: 0 });
    for device in [&alice, &below, &bob] {
        assert_eq!(hears(&node, device), event_to(device));
    }
    for device in [&phone, &gone, &carol, &dave] {
        assert_eq!(hears(&node, device), "", "{}", device.session.jid);
    }
}

#[tokio::test]
async fn who_has_no_room_misses_it_and_is_told_anew_when_there_is_some() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    bob.session.slots.put(Arc::new(Wants));
    drop(hears(&node, &bob));
    let speaker = Speaker::of(&Origin::Account(alice.session.own().clone()));

    let text = "x".repeat(200 << 10);
    while tell(&node, &alice, &|_| true, &text).full == 0 {
        assert!(!bob.session.slots.has::<Misses>());
    }
    assert!(bob.session.slots.has::<Misses>());
    assert!(!bob.session.slots.has::<Missed>());
    let waits = event(&text);
    let reads = async {
        tokio::task::yield_now().await;
        while !hears(&node, &bob).is_empty() {}
    };
    let (told, ()) = tokio::join!(tell_session(&node, &speaker, &bob.session, &waits), reads);
    node.tell_anew(&bob.session).await;

    assert!(told);
    assert!(hears(&node, &bob).contains(&text));
    let missed = bob.session.slots.get::<Missed>().unwrap();
    assert_eq!(missed.0, Whose::These([jid("alice")].into()));
}

#[tokio::test]
async fn who_is_away_before_there_is_room_is_told_anew_after_coming_back() {
    let node = node(&["alice", "bob"]).await;
    let alice = device(&node, "alice", "desk").await;
    let bob = device(&node, "bob", "desk").await;
    bob.session.enable(Some("token".to_owned()));
    bob.session.slots.put(Arc::new(Wants));
    let speaker = Speaker::of(&Origin::Account(alice.session.own().clone()));

    node.connection_lost(&bob).await;
    let told = tell_session(&node, &speaker, &bob.session, &event("")).await;
    node.tell_anew(&bob.session).await;

    assert!(!told);
    let missed = bob.session.slots.get::<Missed>().unwrap();
    assert_eq!(missed.0, Whose::These([jid("alice")].into()));
}
