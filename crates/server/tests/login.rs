//! A real server over real sockets: two people log in and exchange messages.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, World, jid, message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use whoelse_stream::client::{Opening, Step};
use whoelse_stream::sm::Element;
use whoelse_xmpp::{Kind, StreamCondition};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_exchange_a_message() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    let mut bob = world.online("bob").await;

    alice.send(&message("bob", "hello bob")).await;
    assert_eq!(bob.text().await, "hello bob");
    bob.send(&message("alice", "hello alice")).await;
    assert_eq!(alice.text().await, "hello alice");

    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_somebody_absent_waits_for_the_next_login() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    for text in ["one", "two", "three"] {
        alice.send(&message("bob", text)).await;
    }
    alice.send("<r xmlns='urn:xmpp:sm:3'/>").await;

    let mut bob = world.online("bob").await;

    for text in ["one", "two", "three"] {
        assert_eq!(bob.text().await, text);
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_tls_leads_to_the_same_server() {
    let world =
        World::with(|config| config.direct_tls = vec!["127.0.0.1:0".parse().unwrap()]).await;
    let address = world.server.direct_tls_addresses()[0];

    let alice = Client::connect_direct(address).await.login("alice").await;

    assert!(matches!(alice.opening, Some(Opening::Bound { .. })));
    assert!(alice.machine.proved_channel());
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_resumed_and_nothing_is_lost_or_doubled() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    let bob = world.online("bob").await;
    let resumption = bob.resumption();
    drop(bob);
    for text in ["one", "two"] {
        alice.send(&message("bob", text)).await;
    }

    let mut bob = world.resume("bob", resumption).await;

    assert!(matches!(bob.opening, Some(Opening::Resumed { .. })));
    assert_eq!(bob.text().await, "one");
    assert_eq!(bob.text().await, "two");
    alice.send(&message("bob", "three")).await;
    assert_eq!(bob.text().await, "three");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_is_told_of_the_shutdown_and_what_was_stored() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    alice.send(&message("bob", "last words")).await;
    let ping = "<iq type='get' id='1' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";
    alice.send(ping).await;
    alice.expect(|stanza| stanza.kind() == Kind::Iq).await;

    let mut acknowledged = 0;
    let (ended, ()) = tokio::join!(
        async {
            loop {
                match alice.step().await {
                    Step::Error(error) => return error,
                    Step::Sm(Element::Ack { h }) => acknowledged = h,
                    Step::Stanza(_) | Step::Sm(_) => {}
                    other => panic!("{other:?}"),
                }
            }
        },
        world.server.shutdown(),
    );

    assert_eq!(ended.condition, StreamCondition::SystemShutdown);
    // Her presence, her message and her ping: what is acknowledged is stored.
    assert_eq!(acknowledged, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_stream() {
    let world = World::start().await;
    let mut alice = world.online("alice").await;
    let mut bob = world.online("bob").await;

    bob.send("</stream:stream>").await;

    let gone = |stanza: &whoelse_xmpp::Stanza| {
        stanza.kind() == Kind::Presence && stanza.type_() == Some("unavailable")
    };
    let gone = alice.expect(gone).await;
    assert!(gone.from().unwrap().starts_with("bob@localhost/"));
    world.server.shutdown().await;
}

/// Security row 22: what stands in clear behind the request for TLS is not the client's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_in_clear_behind_starttls_is_never_read() {
    let world = World::start().await;
    let mut io = TcpStream::connect(world.address()).await.unwrap();
    let header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    let injected = format!(
        "{header}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{header}\
         <iq type='get' id='injected'><query xmlns='jabber:iq:register'/></iq>"
    );
    io.write_all(injected.as_bytes()).await.unwrap();
    let mut clear = Vec::new();
    while !clear.ends_with(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") {
        assert!(io.read_buf(&mut clear).await.unwrap() > 0);
    }

    let (io, channel) = common::handshake(Box::new(io), false).await;
    let mut config = whoelse_stream::client::Config::new("localhost");
    config.transport = whoelse_stream::c2s::Transport::Tls;
    let machine = whoelse_stream::client::Machine::new(config, Some(channel));

    // Anything but features as the first word would end the client's stream.
    let client = Client { io, machine, opening: None, received: 0 }.ready().await;
    client.login("alice").await;
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_of_the_last_second_is_written_down_before_the_server_stops() {
    let world = World::start().await;
    let alice = world.login("alice").await;
    let account = world.server.node().account(&jid("alice")).await.unwrap().unwrap();
    drop(alice);

    world.server.shutdown().await;

    let place = whoelse_store::Location::Sqlite(world.folder.path().join("data/whoelse.db"));
    let store = whoelse_store::Store::open(&place).await.unwrap();
    assert_eq!(store.known_networks_since(account.id, 0).await.unwrap(), ["127.0.0.1"]);
    store.close().await.unwrap();
}
