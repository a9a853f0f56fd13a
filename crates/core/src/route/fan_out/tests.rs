//! Who of an audience hears what not everybody may and wants to hear.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use whoelse_xmpp::write::Element;

use super::*;
use crate::route::tests::{Blocked, device, hears, jid, node, says};

/// In the slot of a session whose client wants it.
struct Wants;

fn wants(session: &Session) -> bool {
    session.slots.has::<Wants>()
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

    let origin = Origin::Account(alice.session.own().clone());
    let listeners = Listeners {
        audience: Audience::Viewers,
        may: &|viewer| *viewer != jid("dave"),
        wants: &wants,
    };
    let event = Element::new("message").attr("from", "alice@localhost").outgoing(Class::Message);
    let reached = fan_out_to(&node, &origin, &listeners, &event);

    assert_eq!(reached, Reached { taken: 2, closed: 1, full: 0 });
    for device in [&alice, &below, &bob] {
        let heard =
            format!("<message to='{}' from='alice@localhost'></message>", device.session.jid);
        assert_eq!(hears(&node, device), heard);
    }
    for device in [&phone, &gone, &carol, &dave] {
        assert_eq!(hears(&node, device), "", "{}", device.session.jid);
    }
}
