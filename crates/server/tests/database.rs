//! A server over PostgreSQL, which goes away and comes back: nothing is lost, nothing comes twice,
//! and who cannot be served is told. Each test is over at once where no PostgreSQL is given.
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, jid, message, start_error};
use whoelse_server::Server;
use whoelse_store::Location;
use whoelse_store::scratch::{Between, Line, Scratch};
use whoelse_xmpp::Kind;

/// A server over a line that can be bad.
async fn world() -> Option<(Scratch, Between, World)> {
    let scratch = Scratch::new()?.unwrap();
    let between = Between::new(&scratch).await.unwrap();
    let place = between.place();
    let world = World::with(|config| {
        let Location::Postgres(url) = place else { panic!() };
        config.database = Some(url);
    });
    let world = world.await;
    Some((scratch, between, world))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_database_is_not_noticed() {
    let Some((scratch, _between, world)) = world().await else { return };
    let (mut alice, mut bob) = (world.online("alice").await, world.online("bob").await);

    for text in ["one", "two", "three"] {
        scratch.end_connection().unwrap();
        alice.send(&message("bob", text)).await;
        assert_eq!(bob.text().await, text);
    }

    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_delivered_once() {
    let Some((_scratch, between, world)) = world().await else { return };
    let (mut alice, mut bob) = (world.online("alice").await, world.online("bob").await);

    between.set(Line::LosesCommits);
    alice.send(&message("bob", "one")).await;
    assert_eq!(bob.text().await, "one");
    between.set(Line::Open);
    alice.send(&message("bob", "two")).await;
    assert_eq!(bob.text().await, "two");

    let bob = world.server.node().account(&jid("bob")).await.unwrap().unwrap();
    let kept = world.server.node().store.undelivered(bob.archive, 0, 10).await.unwrap();
    assert_eq!(kept.len(), 2);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_messages_are_refused_and_then_served_again() {
    let Some((_scratch, between, world)) = world().await else { return };
    let (mut alice, mut bob) = (world.online("alice").await, world.online("bob").await);
    // Both have read the log by then.
    alice.send(&message("bob", "here")).await;
    assert_eq!(bob.text().await, "here");
    bob.send(&message("alice", "here too")).await;
    assert_eq!(alice.text().await, "here too");

    between.set(Line::Cut);
    alice.send(&message("bob", "lost")).await;
    let refusal = alice.expect(|stanza| stanza.kind() == Kind::Message).await;
    assert_eq!(refusal.type_(), Some("error"));
    let error = refusal.child("error", whoelse_xmpp::ns::CLIENT).unwrap();
    let conditions = refusal.grandchildren(error);
    assert!(conditions.iter().any(|condition| condition.name() == "resource-constraint"));
    between.set(Line::Open);

    // The first try after the database is back may come a second later.
    loop {
        alice.send(&message("bob", "found")).await;
        let heard = tokio::time::timeout(std::time::Duration::from_millis(700), bob.text()).await;
        if let Ok(text) = heard {
            assert_eq!(text, "found");
            break;
        }
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_database_is_refused() {
    let Some((scratch, _between, world)) = world().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut config = common::config(folder.path());
    let Location::Postgres(url) = scratch.place() else { panic!() };
    config.database = Some(url);

    let refused = start_error(config.clone()).await;
    assert!(refused.contains("is in use by another server"), "{refused}");
    assert!(!folder.path().join("data").exists());
    world.server.shutdown().await;

    Server::start(config).await.unwrap().shutdown().await;
}
