//! Faults: clients that are slow, silent, gone or too many. The server goes on, bounded.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, PATIENCE, World, eventually, message};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use whoelse_core::settings::Settings;
use whoelse_stream::client::{Opening, Step};
use whoelse_xmpp::{Kind, StreamCondition};

const SECOND: Duration = Duration::from_secs(1);

/// Everything the server says until it closes the connection.
async fn last_words(socket: &mut (impl AsyncRead + Unpin)) -> String {
    let mut said = Vec::new();
    timeout(PATIENCE, async { while socket.read_buf(&mut said).await.unwrap_or(0) > 0 {} })
        .await
        .expect("the server closes the connection");
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_drip_ends_when_its_time_is_up() {
    let world = World::with(|config| config.settings.limits.negotiation = SECOND).await;
    let (mut from, mut to) = TcpStream::connect(world.address()).await.unwrap().into_split();

    // It goes on until the server has had enough.
    let dripping = tokio::spawn(async move {
        let header = b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0'>";
        for byte in header.iter().cycle() {
            if to.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });

    let said = last_words(&mut from).await;
    assert!(said.contains("<connection-timeout"), "{said}");
    dripping.abort();
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_never_comes_ends_when_its_time_is_up() {
    let world = World::with(|config| config.settings.limits.negotiation = SECOND).await;
    let mut socket = TcpStream::connect(world.address()).await.unwrap();
    let header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>\
                  <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    socket.write_all(header.as_bytes()).await.unwrap();

    let said = last_words(&mut socket).await;

    assert!(said.contains("<proceed"), "{said}");
    let gate = world.server.connections().gate().clone();
    eventually("the half-open connection is gone", || gate.half_open() == 0).await;
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_of_one_place_are_bounded_and_another_place_gets_in() {
    let world = World::with(|config| {
        config.settings.limits.half_open_per_network = 5;
        config.settings.limits.waiting_per_network = 1;
    })
    .await;
    let mut strangers = {
        let mut strangers = Vec::new();
        for _ in 0..5 {
            strangers.push(TcpStream::connect(world.address()).await.unwrap());
        }
        strangers
    };
    let gate = world.server.connections().gate().clone();
    eventually("five are half open", || gate.half_open() == 5).await;

    // The next one waits, and one more is closed at once.
    let sixth = Box::new(TcpStream::connect(world.address()).await.unwrap());
    eventually("the sixth waits", || gate.waiting() == 1).await;
    let mut seventh = TcpStream::connect(world.address()).await.unwrap();
    assert_eq!(last_words(&mut seventh).await, "");

    let elsewhere = tokio::net::TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let socket = elsewhere.connect(world.address()).await.unwrap();
    let bob = Client::over(Box::new(socket)).await.login("bob").await;
    assert!(matches!(bob.opening, Some(Opening::Bound { .. })));

    strangers.pop();
    Client::over(sixth).await.login("alice").await;
    drop(strangers);
    eventually("there is room again", || gate.half_open() == 0).await;
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_let_go_in_time_and_loses_nothing() {
    let world = World::with(|config| {
        config.settings.limits.session_bytes = 512 << 10;
        // Longer than a busy machine takes to read what waits, as bob does in the end.
        config.settings.limits.ack_wait = SECOND * 5;
    })
    .await;
    let mut alice = world.online("alice").await;
    let bob = world.online("bob").await;
    let resumption = bob.resumption();
    let jid = "bob@localhost".parse().unwrap();
    let account = world.server.node().account(&jid).await.unwrap().unwrap();
    let session = account.sessions().pop().unwrap();

    // More than the budget and all buffers below it can take.
    let long = "x".repeat(100 << 10);
    const MESSAGES: usize = 200;
    for n in 0..MESSAGES {
        alice.send(&message("bob", &format!("{n} {long}"))).await;
        assert!(session.held_bytes() <= 2 << 20, "{} bytes", session.held_bytes());
    }
    eventually("the connection is lost", || !session.is_attached()).await;
    drop(bob);

    let mut bob = world.resume("bob", resumption).await;
    assert!(matches!(bob.opening, Some(Opening::Resumed { .. })), "{:?}", bob.opening);
    for n in 0..MESSAGES {
        let text = bob.text().await;
        assert_eq!(text.split(' ').next(), Some(&*n.to_string()));
        bob.acknowledge().await;
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_answer_is_detached_and_can_resume() {
    let world = World::with(|config| config.settings.limits.ack_wait = SECOND).await;
    let mut alice = world.online("alice").await;
    let mut bob = world.online("bob").await;
    let resumption = bob.resumption();

    // Bob reads, but never says so.
    alice.send(&message("bob", "are you there?")).await;
    bob.closed().await;

    // He does not answer now either, but is to hear it first.
    let node = world.server.node();
    let mut settings = Settings::clone(&node.settings());
    settings.limits.ack_wait = SECOND * 86_400;
    node.change_settings(settings);
    let mut bob = world.resume("bob", resumption).await;
    assert!(matches!(bob.opening, Some(Opening::Resumed { .. })));
    assert_eq!(bob.text().await, "are you there?");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_nothing_is_logged_out_and_told_why() {
    let world = World::with(|config| config.settings.timeout = SECOND).await;
    let mut alice = world.online("alice").await;
    let resumption = alice.resumption();

    let error = loop {
        match alice.step().await {
            Step::Error(error) => break error,
            Step::Stanza(_) | Step::Sm(_) => {}
            other => panic!("{other:?}"),
        }
    };

    assert_eq!(error.condition, StreamCondition::PolicyViolation);
    assert_eq!(error.text.as_deref(), Some("logged out after 1 s without activity"));
    assert_eq!(error.app, Some(("idle", whoelse_xmpp::ns::WHOELSE_ERRORS)));
    let again = world.resume_or_bind("alice", resumption).await;
    assert!(matches!(again.opening, Some(Opening::Bound { .. })));
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_does_not_wait_for_who_does_not_read() {
    // Whoever waits for an answer of his waits longer than the test does.
    let world = World::with(|config| config.settings.limits.ack_wait = SECOND * 86_400).await;
    let mut alice = world.online("alice").await;
    let _bob = world.online("bob").await;
    let long = "x".repeat(100 << 10);
    for _ in 0..60 {
        alice.send(&message("bob", &long)).await;
    }

    timeout(PATIENCE, world.server.shutdown()).await.expect("the server stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_negotiations_too() {
    let world = World::start().await;
    let mut socket = TcpStream::connect(world.address()).await.unwrap();
    socket.write_all(b"<?xml version='1.0'?>").await.unwrap();
    let gate = world.server.connections().gate().clone();
    eventually("it negotiates", || gate.half_open() == 1).await;

    let (said, ()) = tokio::join!(last_words(&mut socket), world.server.shutdown());

    assert!(said.contains("<system-shutdown"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_removed_while_online_is_told_and_gone() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    let mut bob = world.online("bob").await;
    let node = world.server.node();
    let jid = "bob@localhost".parse().unwrap();
    let account = node.account(&jid).await.unwrap().unwrap();

    node.remove_account(&account, None, || {}).await.unwrap();

    let error = loop {
        match bob.step().await {
            Step::Error(error) => break error,
            Step::Stanza(_) | Step::Sm(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error.condition, StreamCondition::NotAuthorized);
    let gone = |stanza: &whoelse_xmpp::Stanza| stanza.type_() == Some("unavailable");
    alice.expect(gone).await;
    alice.send(&message("bob", "hello?")).await;
    let refused = alice.expect(|stanza| stanza.kind() == Kind::Message).await;
    assert_eq!(refused.type_(), Some("error"));
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_acknowledges_too_much_is_shown_the_door() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;

    alice.send("<a xmlns='urn:xmpp:sm:3' h='1000'/>").await;

    let error = loop {
        match alice.step().await {
            Step::Error(error) => break error,
            Step::Stanza(_) | Step::Sm(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error.condition, StreamCondition::UndefinedCondition);
    world.server.shutdown().await;
}
