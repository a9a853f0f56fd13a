//! XEP-0313, over sockets: what a page of the archive may cost, and times as they are told.
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, jid, message};
use whoelse_core::Time;
use whoelse_store::{Direction, NewMessage, NewRow};
use whoelse_xmpp::{Kind, ns};

const QUERY: &str = "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_large_messages_ends_early_and_says_so() {
    let world = World::with(|config| config.settings.limits.session_bytes = 64 << 20).await;
    let mut alice = world.online("alice").await;
    let large = "x".repeat(200 << 10);
    for _ in 0..60 {
        alice.send(&message("bob", &large)).await;
    }

    alice.send(QUERY).await;

    let mut results = 0;
    let answer = loop {
        let stanza = alice.expect(|_| true).await;
        match stanza.kind() {
            Kind::Iq => break stanza,
            _ if stanza.has("result", ns::MAM) => results += 1,
            _ => {}
        }
    };
    assert_eq!(answer.type_(), Some("result"));
    assert_eq!(results, 50);
    let fin = answer.child("fin", ns::MAM).unwrap();
    assert!(answer.child_attr(fin, "complete").is_none());
    world.server.shutdown().await;
}

/// Versions before this one stored microseconds and told milliseconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_that_was_told_is_found_however_it_was_stored() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    let node = world.server.node();
    let account = node.account(&jid("alice")).await.unwrap().unwrap();
    let key = node.key_of("alice@localhost");
    let at = Time(node.clock.now().told().0 + 456);
    let old = NewMessage {
        at: at.0,
        kept_at: at.0,
        repeat: None,
        resource: None,
        stanza: b"<message type='chat'><body>old</body></message>".as_slice().into(),
        first: NewRow { archive: account.archive, peer: key, direction: Direction::In },
        second: None,
    };
    let mut tx = node.store.begin().await.unwrap();
    tx.append(&[old]).await.unwrap();
    tx.commit().await.unwrap();

    let told = at.stamp();
    alice
        .send(&format!(
            "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' \
         type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>\
         <field var='start'><value>{told}</value></field>\
         <field var='end'><value>{told}</value></field></x></query></iq>"
        ))
        .await;

    let found = alice.expect(|stanza| stanza.kind() != Kind::Presence).await;
    assert!(found.has("result", ns::MAM), "{found:?}");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_are_stored_as_they_are_told() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    for text in ["one", "two", "three"] {
        alice.send(&message("bob", text)).await;
    }
    alice.send(QUERY).await;
    alice.expect(|stanza| stanza.id() == Some("q")).await;

    let bob = world.server.node().account(&jid("bob")).await.unwrap().unwrap();
    let rows = world.server.node().store.undelivered(bob.archive, 0, 10).await.unwrap();

    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!(Time::parse_stamp(&Time(row.at).stamp()), Some(Time(row.at)));
    }
    world.server.shutdown().await;
}
