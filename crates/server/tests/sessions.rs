//! XEP-0198 and behaviour.md, Log in 5, over sockets: who has a session, and who gets it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, World, message};
use std::time::Duration;
use whoelse_core::settings::Sessions;
use whoelse_stream::client::{Config as StreamConfig, Opening, Step};
use whoelse_xmpp::{Condition, Kind, StreamCondition};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_login_is_refused_while_the_first_one_answers() {
    let world = World::start().await;
    let mut first = world.online("bob").await;
    let answering = tokio::spawn(async move {
        // The client's machine answers nothing by itself.
        loop {
            match first.step().await {
                Step::Sm(_) => first.acknowledge().await,
                Step::Stanza(stanza) if stanza.kind() == Kind::Message => return,
                Step::Stanza(_) => {}
                other => panic!("{other:?}"),
            }
        }
    });

    let mut second = Client::connect(world.address(), StreamConfig::new("localhost")).await;
    second.machine.login("bob", common::password("bob")).unwrap();
    let refusal = match second.step().await {
        Step::BindRefused(error) => error,
        other => panic!("{other:?}"),
    };

    assert_eq!(refusal.condition, Condition::Conflict);
    assert_eq!(refusal.text.as_deref(), Some("bob is already logged in"));
    let mut alice = world.online("alice").await;
    alice.send(&message("bob", "still there?")).await;
    answering.await.unwrap();
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_session_that_does_not_answer_is_taken_over() {
    let world =
        World::with(|config| config.settings.limits.probe = Duration::from_millis(300)).await;
    let mut first = world.online("bob").await;

    let second = world.online("bob").await;

    assert!(matches!(second.opening, Some(Opening::Bound { .. })));
    let error = loop {
        match first.step().await {
            Step::Error(error) => break error,
            Step::Stanza(_) | Step::Sm(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error.condition, StreamCondition::Conflict);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_many_sessions_every_device_gets_the_message() {
    let world = World::with(|config| config.settings.sessions = Sessions::Many).await;
    let mut desk = world.online("bob").await;
    let mut phone = world.online("bob").await;
    let mut alice = world.online("alice").await;

    alice.send(&message("bob", "to all of you")).await;

    assert_eq!(desk.text().await, "to all of you");
    assert_eq!(phone.text().await, "to all of you");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_resumed_elsewhere_ends_the_old_connection_with_conflict() {
    let world = World::start().await;
    let mut old = world.online("bob").await;

    let new = world.resume("bob", old.resumption()).await;

    assert!(matches!(new.opening, Some(Opening::Resumed { .. })));
    let error = loop {
        match old.step().await {
            Step::Error(error) => break error,
            Step::Stanza(_) | Step::Sm(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error.condition, StreamCondition::Conflict);
    let mut alice = world.online("alice").await;
    let mut new = new;
    alice.send(&message("bob", "hello")).await;
    assert_eq!(new.text().await, "hello");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumption_of_another_account_is_refused() {
    let world = World::start().await;
    let bob = world.online("bob").await;
    let resumption = bob.resumption();

    let alice = world.resume_or_bind("alice", resumption).await;

    assert!(matches!(alice.opening, Some(Opening::Bound { .. })));
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_an_acknowledgement_is_answered_when_it_is_stored() {
    let world = World::start().await;
    let mut alice = world.login("alice").await;
    for n in 0..20 {
        alice.send(&message("bob", &n.to_string())).await;
    }
    alice.send("<r xmlns='urn:xmpp:sm:3'/>").await;

    let mut last = 0;
    while last < 20 {
        match alice.step().await {
            Step::Sm(whoelse_stream::sm::Element::Ack { h }) => {
                assert!(h >= last);
                last = h;
            }
            Step::Stanza(_) | Step::Sm(_) => {}
            other => panic!("{other:?}"),
        }
    }

    assert_eq!(last, 20);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_follows_its_request_and_the_closing_tag_follows_the_answer() {
    let world = World::start().await;
    let mut alice = world.login("alice").await;

    alice.send("<iq type='get' id='1' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq></stream:stream>").await;

    let answer = alice.expect(|stanza| stanza.kind() == Kind::Iq).await;
    assert_eq!(answer.id(), Some("1"));
    loop {
        match alice.step().await {
            Step::Closed => break,
            Step::Sm(_) => {}
            other => panic!("{other:?}"),
        }
    }
    world.server.shutdown().await;
}
