//! docs/protocol.md, `urn:whoelse:relay:0`, over sockets: whom the relay lets in, what passes, and
//! that XMPP on the same port is as before.
#![cfg(feature = "relay")]
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, PATIENCE, World, jid, until_closed};
use futures_core::Stream;
use iroh::endpoint::{Connection, Endpoint, NetReportConfig, PortmapperConfig, presets};
use iroh::tls::CaTlsConfig;
use iroh::{
    EndpointAddr, RelayConfig, RelayMap, RelayMode, RelayUrl, SecretKey, TransportAddr, Watcher,
};
use iroh_relay::quic::QuicClient;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use whoelse_client::tls::Tls;
use whoelse_features::introductions;
use whoelse_features::relay::{Counters, Limits, Private, Relaying};
use whoelse_server::config::Source;
use whoelse_stream::Password;
use whoelse_stream::client::Config as StreamConfig;
use whoelse_xmpp::payload::relay::Offer;
use whoelse_xmpp::{Condition, StanzaError, ns};

/// Nothing is relayed.
fn never(private: &mut Private) {
    private.relay = Relaying::Never;
}

const ALPN: &[u8] = b"test";

// --- who is let in ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_have_tokens_talk_through_the_relay() {
    let world = World::start().await;
    let (one, other) = world.two_guests().await;

    let (near, far) = one.connect(&other).await;

    assert_eq!(echo(&near, &far, b"psst").await, b"psst");
    let usage = whoelse_features::relay::usage(world.server.node());
    assert_eq!(usage.connections, 2);
    assert!(usage.bytes > 0);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_token_of_ones_own_is_refused_and_told_why() {
    let (world, elsewhere) = (World::start().await, World::start().await);
    let mut alice = world.online("alice").await;
    let (mine, other) = (SecretKey::generate(), SecretKey::generate());
    let token = world.token(&mut alice, "s", &mine).await;
    let foreign = elsewhere.token(&mut elsewhere.online("alice").await, "s", &mine).await;

    for (key, token, why) in [
        (&mine, None, "this relay wants a token of its server"),
        (&mine, Some("nonsense".to_owned()), "this token is not of this server"),
        (&mine, Some(foreign), "this token is not of this server"),
        // Somebody else's, seen on its way.
        (&other, Some(token.clone()), "this token is for another key"),
    ] {
        let guest = Guest::come(&world, key.clone(), token).await;
        assert_eq!(guest.admitted().await, Err(why.to_owned()));
    }

    // Nor once its owner has used it.
    let owner = Guest::come(&world, mine, Some(token.clone())).await;
    assert_eq!(owner.admitted().await, Ok(()));
    let replayed = Guest::come(&world, other, Some(token)).await;
    assert_eq!(replayed.admitted().await, Err("this token is for another key".to_owned()));
    let refused = &world.server.node().counters.of::<Counters>().refused;
    let count = |reason| refused.get([reason]);
    assert!(count("no_token") > 0 && count("forged") > 1 && count("other_key") > 1);
    world.server.shutdown().await;
    elsewhere.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_admitted_comes_back_also_after_a_restart() {
    let mut world = World::start().await;
    let mut alice = world.online("alice").await;
    let key = SecretKey::generate();
    let token = world.token(&mut alice, "s", &key).await;
    let first = Guest::come(&world, key.clone(), Some(token.clone())).await;
    assert_eq!(first.admitted().await, Ok(()));
    first.endpoint.close().await;

    let again = Guest::come(&world, key.clone(), Some(token.clone())).await;
    assert_eq!(again.admitted().await, Ok(()));
    again.endpoint.close().await;

    world.server.shutdown().await;
    world.server =
        whoelse_server::Server::start(common::config(world.folder.path())).await.unwrap();
    let after = Guest::come(&world, key, Some(token)).await;
    assert_eq!(after.admitted().await, Ok(()));
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_account_is_cut_off_and_does_not_come_back() {
    let world = World::start().await;
    let (_alice, guest) = world.guest().await;

    world.server.node().block_account(&jid("alice"), None).await;

    let why = guest.refused().await;
    assert_eq!(why, "the account of this token may not use the relay");
    assert_eq!(whoelse_features::relay::usage(world.server.node()).connections, 0);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_cuts_off_whoever_came_by_the_old_one() {
    let world = World::start().await;
    let (mut thief, guest) = world.guest().await;
    let late = SecretKey::generate();
    let stolen = world.token(&mut thief, "late", &late).await;

    let node = world.server.node();
    let account = node.account(&jid("alice")).await.unwrap().unwrap();
    let secret = Password::new("looking-glass").unwrap();
    node.set_password(&account, secret.clone(), None).await.unwrap();

    let denied = "the account of this token may not use the relay";
    assert_eq!(guest.refused().await, denied);
    // Nor does a token help that was taken before and not used yet.
    let late = Guest::come(&world, late, Some(stolen)).await;
    assert_eq!(late.admitted().await, Err(denied.to_owned()));
    // The owner is let in by another.
    let owner = Client::connect(world.address(), StreamConfig::new("localhost")).await;
    let mut owner = owner.login_as("alice", secret).await;
    let own = Guest::invited(&world, &mut owner, "s").await;
    assert_eq!(own.admitted().await, Ok(()));
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_account_is_cut_off_and_does_not_come_back() {
    let world = World::start().await;
    let (_alice, guest) = world.guest().await;

    let node = world.server.node();
    let account = node.account(&jid("alice")).await.unwrap().unwrap();
    node.remove_account(&account, None, || {}).await.unwrap();

    assert_eq!(guest.refused().await, "the account of this token may not use the relay");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_has_so_many_connections_and_all_together_so_many() {
    let world = World::with(|config| {
        config.settings.change(|limits: &mut Limits| {
            (limits.relay_per_account, limits.relay_clients) = (2, 3);
        });
    })
    .await;
    let (mut alice, mut bob) = (world.online("alice").await, world.online("bob").await);
    let mut guests = Vec::new();
    for sid in ["a", "b"] {
        guests.push(Guest::invited(&world, &mut alice, sid).await);
        assert_eq!(guests.last().unwrap().admitted().await, Ok(()));
    }

    let third = Guest::invited(&world, &mut alice, "c").await;
    let why = third.admitted().await.unwrap_err();
    assert_eq!(why, "this account has too many connections to the relay");

    let of_bob = Guest::invited(&world, &mut bob, "d").await;
    assert_eq!(of_bob.admitted().await, Ok(()));
    let one_more = Guest::invited(&world, &mut bob, "e").await;
    assert_eq!(one_more.admitted().await, Err("the relay is full".to_owned()));
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_relayed_there_is_no_token_and_no_way_in() {
    let world = World::with(|config| config.settings.change(never)).await;
    let mut alice = world.online("alice").await;

    let offer = world.offer(&mut alice, "s", &SecretKey::generate()).await;

    assert_eq!((offer.port, offer.token), (None, None));
    assert_eq!(offer.discovery, Some(world.address().port()));
    let mut io = world.tls().await;
    io.write_all(UPGRADE.as_bytes()).await.unwrap();
    let said = String::from_utf8_lossy(&until_closed(&mut io).await).into_owned();
    assert!(said.starts_with("HTTP/1.1 404"), "{said}");
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_forbids_it_ends_what_is_relayed() {
    let settings = tempfile::NamedTempFile::new().unwrap();
    let written = "listen = \"127.0.0.1:0\"\ncontacts = \"everyone\"\n";
    std::fs::write(&settings, written).unwrap();
    let world = World::with(|config| config.source = Source::File(settings.path().into())).await;
    let (mut alice, guest) = world.guest().await;

    std::fs::write(&settings, format!("{written}[private]\nrelay = \"never\"\n")).unwrap();
    let reloaded = world.server.reloader().reload().await.unwrap();

    assert!(reloaded.changed.contains(&"private.relay".to_owned()), "{reloaded:?}");
    guest.cut_off().await;
    assert_eq!(world.offer(&mut alice, "t", &SecretKey::generate()).await.token, None);
    // Addresses are still told.
    assert!(names_relay(&mut alice).await);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_neither_can_be_had_nothing_is_offered() {
    // An address that nobody else uses, where the TCP port of this number is free.
    let taken = std::net::UdpSocket::bind("127.0.34.1:0").unwrap();
    let world = World::with(|config| {
        config.listen = vec![taken.local_addr().unwrap()];
        config.settings.change(never);
    })
    .await;
    let mut alice = world.online("alice").await;

    alice.send(&asking("s", &SecretKey::generate())).await;

    let answer = alice.expect(|stanza| stanza.id() == Some("relay")).await;
    let error = StanzaError::read(&answer).unwrap();
    assert_eq!(error.condition, Condition::ServiceUnavailable);
    assert!(!names_relay(&mut alice).await);
    world.server.shutdown().await;
}

/// A connection may send eight seconds' worth at once, and then so much a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_relayed_is_bounded_in_its_rate() {
    let rate = 16 << 10;
    let world = World::with(|config| {
        config.settings.change(|limits: &mut Limits| limits.relay_rate = rate)
    })
    .await;
    let (one, other) = world.two_guests().await;
    let (near, far) = one.connect(&other).await;
    let begun = std::time::Instant::now();

    // Ten seconds' worth, in one direction.
    let sending = async {
        let mut out = near.open_uni().await.unwrap();
        out.write_all(&vec![7; 10 * rate as usize]).await.unwrap();
        out.finish().unwrap();
    };
    let taking = async {
        let mut heard = far.accept_uni().await.unwrap();
        heard.read_to_end(10 * rate as usize).await.unwrap().len()
    };
    let (_, taken) = timeout(PATIENCE, async { tokio::join!(sending, taking) }).await.unwrap();

    assert_eq!(taken, 10 * rate as usize);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    world.server.shutdown().await;
}

// --- addresses ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_by_udp_is_told_the_own_address() {
    let world = World::start().await;
    let (own, asking) = asker(&world);

    let connection = asking.create_conn(world.address(), "127.0.0.1").await.unwrap();

    let mut seen = connection.observed_external_addr();
    let seen = timeout(PATIENCE, poll_fn(|cx| Pin::new(&mut seen).poll_next(cx))).await.unwrap();
    assert_eq!(seen, Some(own));
    world.server.shutdown().await;
    // It is told at once that nobody is there any more.
    timeout(PATIENCE, connection.closed()).await.unwrap();
}

/// A restore is that: the same process goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_again_in_its_process_has_its_udp_port_whoever_was_connected() {
    // An address that nobody else uses, where the UDP port of this number is free as well.
    let free = std::net::UdpSocket::bind("127.0.34.3:0").unwrap().local_addr().unwrap();
    let mut world = World::with(|config| config.listen = vec![free]).await;
    for round in 0..5 {
        let (_, asking) = asker(&world);
        let _held = asking.create_conn(world.address(), "127.0.34.3").await.unwrap();

        world.server.shutdown().await;
        let mut config = common::config(world.folder.path());
        config.listen = vec![free];
        world.server = whoelse_server::Server::start(config).await.unwrap();

        let notes = world.server.notes().join("\n");
        assert!(!notes.contains("UDP"), "{round}: {notes}");
    }
    world.server.shutdown().await;
}

/// A client of address discovery, and the address it has.
fn asker(world: &World) -> (std::net::SocketAddr, QuicClient) {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let own = socket.local_addr().unwrap();
    let runtime = Arc::new(noq::TokioRuntime);
    let endpoint =
        noq::Endpoint::new(noq::EndpointConfig::default(), None, socket, runtime).unwrap();
    let tls = world.pinned().client_config(provider()).unwrap();
    (own, QuicClient::new(endpoint, tls))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_udp_port_that_somebody_has_is_a_note_and_no_reason_not_to_start() {
    // An address that nobody else uses, where the TCP port of this number is free.
    let taken = std::net::UdpSocket::bind("127.0.34.2:0").unwrap();
    let address = taken.local_addr().unwrap();
    let world = World::with(|config| config.listen = vec![address]).await;
    let mut alice = world.online("alice").await;

    let offer = world.offer(&mut alice, "s", &SecretKey::generate()).await;

    assert_eq!((offer.port, offer.discovery), (Some(address.port()), None));
    assert!(offer.token.is_some());
    let notes = world.server.notes().join("\n");
    assert!(notes.contains(&format!("UDP {address} cannot be had")), "{notes}");
    world.server.shutdown().await;
}

// --- what the operator counts ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_for_a_private_chat_are_counted_and_nothing_like_them() {
    let world = World::start().await;
    let (mut alice, mut bob) = (world.online("alice").await, world.online("bob").await);
    let propose = |what: &str| {
        format!(
            "<message to='bob@localhost' type='chat' id='p'>\
             <propose xmlns='urn:xmpp:jingle-message:0' id='s'><description xmlns='{what}'/>\
             </propose></message>"
        )
    };

    alice.send(&propose(ns::WHOELSE_PRIVATE)).await;
    bob.expect(|stanza| stanza.id() == Some("p")).await;
    alice.send(&propose("urn:xmpp:jingle:apps:rtp:1")).await;
    bob.expect(|stanza| stanza.id() == Some("p")).await;
    bob.send(
        "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>\
         <item jid='alice@localhost'/></block></iq>",
    )
    .await;
    bob.expect(|stanza| stanza.id() == Some("b")).await;
    alice.send(&propose(ns::WHOELSE_PRIVATE)).await;
    alice.expect(|stanza| stanza.type_() == Some("error")).await;

    assert_eq!(world.server.node().counters.of::<introductions::Counters>().introductions.get(), 1);
    world.server.shutdown().await;
}

// --- one port for two protocols ---

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_answers_a_probe_and_nothing_else_of_http() {
    let world = World::start().await;

    for (asked, status) in [
        ("GET /ping", "200"),
        ("GET /", "404"),
        ("POST /ping", "405"),
        ("GET /relay", "400"),
        ("GET /metrics", "404"),
    ] {
        let request = format!("{asked} HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut io = world.tls().await;
        io.write_all(request.as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&until_closed(&mut io).await).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{asked}: {answer}");
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_answered_as_before() {
    let world = World::start().await;

    for first in [b"\x00", b"g", b"\x17", b"\xff"] {
        let mut socket = TcpStream::connect(world.address()).await.unwrap();
        socket.write_all(first).await.unwrap();
        socket.write_all(b"arbage").await.unwrap();
        let said = String::from_utf8_lossy(&until_closed(&mut socket).await).into_owned();
        assert!(said.contains("stream:error"), "{first:?}: {said}");
    }
    // Not even TLS behind its first byte: it is closed, and nothing of XMPP is said.
    let mut socket = TcpStream::connect(world.address()).await.unwrap();
    socket.write_all(b"\x16arbage, a whole record of it").await.unwrap();
    let said = until_closed(&mut socket).await;
    assert!(!said.starts_with(b"<"), "{said:?}");
    // And people log in all the while.
    world.online("alice").await;
    world.server.shutdown().await;
}

/// Who says nothing, or half a thing, at each stage of the way to the relay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dawdles_on_the_way_to_the_relay_is_cut_off_when_a_login_would_be() {
    let world = World::with(|config| {
        config.settings.limits.negotiation = Duration::from_secs(2);
    })
    .await;
    let mut silent = TcpStream::connect(world.address()).await.unwrap();
    let mut shaking = TcpStream::connect(world.address()).await.unwrap();
    shaking.write_all(&[22, 3, 1]).await.unwrap();
    let mut asking = world.tls().await;
    asking.write_all(b"GET /relay HTTP/1.1\r\nho").await.unwrap();
    let mut proving = world.tls().await;
    proving.write_all(UPGRADE.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    proving.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 101");

    until_closed(&mut silent).await;
    until_closed(&mut shaking).await;
    until_closed(&mut asking).await;
    until_closed(&mut proving).await;

    // Each has made room.
    let gate = world.server.connections().gate();
    timeout(PATIENCE, async {
        while gate.half_open() > 0 {
            tokio::task::yield_now().await
        }
    })
    .await
    .unwrap();
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_on_the_way_to_the_relay_counts_as_half_open() {
    let world = World::with(|config| config.settings.limits.half_open_per_network = 2).await;
    let mut shaking = TcpStream::connect(world.address()).await.unwrap();
    shaking.write_all(&[22]).await.unwrap();
    let mut proving = world.tls().await;
    proving.write_all(UPGRADE.as_bytes()).await.unwrap();
    proving.read_exact(&mut [0; 12]).await.unwrap();

    let _third = TcpStream::connect(world.address()).await.unwrap();

    world.until_waiting(1).await;
    assert_eq!(world.server.connections().gate().half_open(), 2);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_who_is_admitted_and_who_is_half_way() {
    let world = World::start().await;
    let (_alice, guest) = world.guest().await;
    let mut proving = world.tls().await;
    proving.write_all(UPGRADE.as_bytes()).await.unwrap();
    proving.read_exact(&mut [0; 12]).await.unwrap();

    timeout(PATIENCE, world.server.shutdown()).await.unwrap();

    until_closed(&mut proving).await;
    guest.cut_off().await;
}

const UPGRADE: &str = "GET /relay HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
                       upgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                       sec-websocket-protocol: iroh-relay-v2\r\n\r\n";

// --- helpers ---

impl World {
    /// Alice, and an endpoint of hers that is at the relay.
    async fn guest(&self) -> (Client, Guest) {
        let mut alice = self.online("alice").await;
        let guest = Guest::invited(self, &mut alice, "s").await;
        assert_eq!(guest.admitted().await, Ok(()));
        (alice, guest)
    }

    /// Endpoints of Alice's and of Bob's that are at the relay.
    async fn two_guests(&self) -> (Guest, Guest) {
        let (_, one) = self.guest().await;
        let other = Guest::invited(self, &mut self.online("bob").await, "s").await;
        assert_eq!(other.admitted().await, Ok(()));
        (one, other)
    }

    /// What the server offers to an endpoint.
    async fn offer(&self, client: &mut Client, sid: &str, key: &SecretKey) -> Offer {
        client.send(&asking(sid, key)).await;
        let answer = client.expect(|stanza| stanza.id() == Some("relay")).await;
        answer.payload(answer.child("relay", ns::WHOELSE_RELAY).unwrap()).unwrap()
    }

    /// The token for it.
    async fn token(&self, client: &mut Client, sid: &str, key: &SecretKey) -> String {
        self.offer(client, sid, key).await.token.unwrap()
    }

    /// TLS from the first byte, without an ALPN, as clients of the relay have it.
    async fn tls(&self) -> impl AsyncReadExt + AsyncWriteExt + Unpin + use<> {
        let socket = TcpStream::connect(self.address()).await.unwrap();
        let tls = Tls::with_roots(RootCertStore::empty());
        tls.connect(socket, ServerName::try_from("localhost").unwrap(), false).await.unwrap().0
    }

    /// Trust in this server's own certificate, and in no other.
    fn pinned(&self) -> CaTlsConfig {
        let file = self.folder.path().join("data/certificate.pem");
        let certificate = CertificateDer::from_pem_file(file).unwrap();
        CaTlsConfig::custom_server_cert_verifier(Arc::new(move |provider| {
            let certificate = certificate.clone();
            Ok(Arc::new(Pinned { certificate, provider }) as Arc<dyn ServerCertVerifier>)
        }))
    }
}

/// The request for the relay.
fn asking(sid: &str, key: &SecretKey) -> String {
    let key = key.public();
    format!(
        "<iq type='set' id='relay' to='localhost'>\
         <relay xmlns='urn:whoelse:relay:0' sid='{sid}' key='{key}'/></iq>"
    )
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Whether the server names it in its service discovery.
async fn names_relay(client: &mut Client) -> bool {
    client
        .send(
            "<iq type='get' id='disco' to='localhost'>\
             <query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        )
        .await;
    let answer = client.expect(|stanza| stanza.id() == Some("disco")).await;
    let query = answer.child("query", ns::DISCO_INFO).unwrap();
    String::from_utf8_lossy(answer.slice(query)).contains(ns::WHOELSE_RELAY)
}

/// An endpoint that knows no way but the relay.
struct Guest {
    endpoint: Endpoint,
    url: RelayUrl,
}

impl Guest {
    /// With a key of its own, and the token for it.
    async fn invited(world: &World, client: &mut Client, sid: &str) -> Guest {
        let key = SecretKey::generate();
        let token = world.token(client, sid, &key).await;
        Guest::come(world, key, Some(token)).await
    }

    async fn come(world: &World, key: SecretKey, token: Option<String>) -> Guest {
        let url: RelayUrl = format!("https://{}/", world.address()).parse().unwrap();
        let mut relay = RelayConfig::from(url.clone());
        if let Some(token) = token {
            relay = relay.with_auth_token(token);
        }
        relay.quic = None;
        let mut report = NetReportConfig::default();
        report.captive_portal_check = false;
        let endpoint = Endpoint::builder(presets::Minimal)
            .crypto_provider(provider())
            .secret_key(key)
            .alpns(vec![ALPN.to_vec()])
            .portmapper_config(PortmapperConfig::Disabled)
            .net_report_config(report)
            .clear_ip_transports()
            .ca_tls_config(world.pinned())
            .relay_mode(RelayMode::Custom(RelayMap::from(relay)))
            .bind()
            .await
            .unwrap();
        Guest { endpoint, url }
    }

    /// Whether the relay lets it in, or why not.
    async fn admitted(&self) -> Result<(), String> {
        let mut status = self.endpoint.home_relay_status();
        let decided = async {
            loop {
                for relay in status.get() {
                    if relay.is_connected() {
                        return Ok(());
                    }
                    if let Some(why) = relay.auth_denied_reason() {
                        return Err(why.to_owned());
                    }
                }
                status.updated().await.unwrap();
            }
        };
        timeout(PATIENCE, decided).await.expect("the relay decides")
    }

    /// Why the relay does not let it in any more.
    async fn refused(&self) -> String {
        self.cut_off().await;
        self.admitted().await.unwrap_err()
    }

    /// Waits until the relay has cut it off.
    async fn cut_off(&self) {
        let mut status = self.endpoint.home_relay_status();
        let cut = async {
            while status.get().iter().any(|relay| relay.is_connected()) {
                status.updated().await.unwrap();
            }
        };
        timeout(PATIENCE, cut).await.expect("the relay cuts it off");
    }

    /// A connection to another guest, from both ends.
    async fn connect(&self, other: &Guest) -> (Connection, Connection) {
        let way = TransportAddr::Relay(self.url.clone());
        let there = EndpointAddr::from_parts(other.endpoint.id(), [way]);
        let accepting = async { other.endpoint.accept().await.unwrap().await.unwrap() };
        let connecting = async { self.endpoint.connect(there, ALPN).await.unwrap() };
        timeout(PATIENCE, async { tokio::join!(connecting, accepting) }).await.unwrap()
    }
}

/// Sends some bytes there and back.
async fn echo(near: &Connection, far: &Connection, bytes: &[u8]) -> Vec<u8> {
    let asking = async {
        let (mut out, mut back) = near.open_bi().await.unwrap();
        out.write_all(bytes).await.unwrap();
        out.finish().unwrap();
        back.read_to_end(64).await.unwrap()
    };
    let answering = async {
        let (mut out, mut heard) = far.accept_bi().await.unwrap();
        let heard = heard.read_to_end(64).await.unwrap();
        out.write_all(&heard).await.unwrap();
        out.finish().unwrap();
    };
    timeout(PATIENCE, async { tokio::join!(asking, answering) }).await.unwrap().0
}

/// Takes one certificate.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *shown == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General("this is another server".to_owned())),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, shown, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, shown, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
