//! XEP-0313, over sockets: what a page of the archive may cost.
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, message};
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
