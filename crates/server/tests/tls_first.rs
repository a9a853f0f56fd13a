//! XEP-0368 where STARTTLS is offered: slixmpp, poezio and others try TLS first on whatever port they
//! are given. What follows the handshake decides, not ALPN, and all that bounds a login bounds them.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Client, PATIENCE, World, handshake, until_closed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use whoelse_features::relay::{Private, Relaying};
use whoelse_server::ingress::Io;

/// Nothing is relayed.
fn never(private: &mut Private) {
    private.relay = Relaying::Never;
}

const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

/// What a client is sure of that knows this server's certificate alone.
fn trusting(world: &World) -> ClientConfig {
    let certificate = world.folder.path().join("data/certificate.pem");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// TLS from the first byte on the port for STARTTLS, with these protocols named in ALPN.
async fn naming(world: &World, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut config = trusting(world);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let socket = TcpStream::connect(world.address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap()
}

/// TLS from the first byte, and nothing after the handshake.
async fn silent(world: &World) -> Box<dyn Io> {
    let socket = TcpStream::connect(world.address()).await.unwrap();
    handshake(Box::new(socket), false).await.0
}

/// What comes until this has come.
async fn heard_until(io: &mut (impl AsyncReadExt + Unpin), end: &str) -> String {
    let mut heard = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&heard).contains(end) {
            assert!(io.read_buf(&mut heard).await.unwrap() > 0, "{heard:?}");
        }
    };
    timeout(PATIENCE, reading).await.expect("the server says it");
    String::from_utf8(heard).unwrap()
}

async fn both_worlds() -> [World; 2] {
    let relaying = World::start().await;
    let without = World::with(|config| config.settings.change(never)).await;
    [relaying, without]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_a_stream_whatever_alpn_names_and_whether_or_not_there_is_a_relay() {
    for world in both_worlds().await {
        let xmpp: &[u8] = b"xmpp-client";
        let lists: [&[&[u8]]; 5] = [&[], &[xmpp], &[b"http/1.1", xmpp], &[b"http/1.1"], &[b"h2"]];
        for alpn in lists {
            for before in ["", "\n", "<?xml version='1.0'?>"] {
                let mut io = naming(&world, alpn).await;
                let agreed = io.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
                assert_eq!(agreed.as_deref(), alpn.contains(&xmpp).then_some(xmpp), "{alpn:?}");

                io.write_all(format!("{before}{HEADER}").as_bytes()).await.unwrap();
                let offered = heard_until(&mut io, "</stream:features>").await;

                assert!(offered.contains("SCRAM-SHA-512-PLUS"), "{alpn:?} {before:?}: {offered}");
                assert!(!offered.contains("starttls"), "{alpn:?} {before:?}: {offered}");
            }
        }
        world.server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_neither_xmpp_nor_http_is_refused_as_xmpp() {
    for world in both_worlds().await {
        for said in ["garbage", "\u{0}\u{1}", "{\"json\": 1}", "get / http/1.1\r\n\r\n"] {
            let mut io = silent(&world).await;
            io.write_all(said.as_bytes()).await.unwrap();
            let answer = String::from_utf8_lossy(&until_closed(&mut io).await).into_owned();
            assert!(answer.contains("<stream:error>"), "{said:?}: {answer}");
        }
        world.server.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_relayed_a_request_finds_nothing() {
    let world = World::with(|config| config.settings.change(never)).await;

    for path in ["/ping", "/relay"] {
        let mut io = silent(&world).await;
        io.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        let answer = String::from_utf8_lossy(&until_closed(&mut io).await).into_owned();

        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_is_half_open_until_it_is_done_and_then_no_more() {
    let world = World::with(|config| config.settings.limits.half_open_per_network = 2).await;
    let gate = world.server.connections().gate().clone();
    let alice = Client::connect_direct(world.address()).await.login("alice").await;
    assert_eq!(gate.half_open(), 0);

    let silent = silent(&world).await;
    let _begun = Client::connect_direct(world.address()).await;
    let mut third = TcpStream::connect(world.address()).await.unwrap();
    world.until_waiting(1).await;
    assert_eq!(gate.half_open(), 2);

    // Whoever waits comes in when one of them goes.
    drop(silent);
    third.write_all(HEADER.as_bytes()).await.unwrap();
    heard_until(&mut third, "</stream:features>").await;
    assert_eq!(gate.waiting(), 0);
    drop(alice);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dawdles_is_told_and_closed_when_a_login_would_be() {
    let limit = |config: &mut whoelse_server::Config| {
        // Both handshakes fit into it on a busy machine, too.
        config.settings.limits.negotiation = Duration::from_secs(10);
    };
    let world = World::with(limit).await;
    let mut silent = silent(&world).await;
    let mut begun = naming(&world, &[]).await;
    begun.write_all(HEADER.as_bytes()).await.unwrap();

    for heard in [until_closed(&mut silent).await, until_closed(&mut begun).await] {
        let heard = String::from_utf8(heard).unwrap();
        assert!(heard.contains("connection-timeout"), "{heard}");
    }
    assert_eq!(world.server.connections().gate().half_open(), 0);
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_shaken_hands_and_said_nothing_is_told_of_the_shutdown() {
    let world = World::start().await;
    let mut silent = silent(&world).await;

    world.server.shutdown().await;

    let heard = String::from_utf8(until_closed(&mut silent).await).unwrap();
    assert!(heard.contains("system-shutdown"), "{heard}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_has_begun_is_finished_in_a_shutdown_and_its_client_is_told() {
    let world = World::start().await;
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = ClientConnection::new(Arc::new(trusting(&world)), name).unwrap();
    let mut socket = TcpStream::connect(world.address()).await.unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    socket.write_all(&hello).await.unwrap();
    let mut heard = Vec::new();
    while tls.is_handshaking() {
        socket.read_buf(&mut heard).await.unwrap();
        let mut rest = heard.as_slice();
        tls.read_tls(&mut rest).unwrap();
        heard = rest.to_vec();
        tls.process_new_packets().unwrap();
    }

    let finishing = async {
        let mut finished = Vec::new();
        tls.write_tls(&mut finished).unwrap();
        socket.write_all(&finished).await.unwrap();
        socket.read_to_end(&mut heard).await.unwrap();
    };
    // The first poll of the shutdown is before the client's last words.
    timeout(PATIENCE, async { tokio::join!(world.server.shutdown(), finishing) }).await.unwrap();

    let mut rest = heard.as_slice();
    while !rest.is_empty() {
        tls.read_tls(&mut rest).unwrap();
        tls.process_new_packets().unwrap();
    }
    let mut told = String::new();
    tls.reader().read_to_string(&mut told).unwrap();
    assert!(told.contains("system-shutdown"), "{told}");
}
