//! XEP-0440, RFC 5929 and RFC 9266: both types of channel binding are offered and taken, on both
//! versions of TLS, with every SCRAM mechanism, wherever TLS may come first.
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, jid, password};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use whoelse_stream::client::{Config, Machine, Step};
use whoelse_stream::sasl::Mechanism;
use whoelse_stream::scram::Hash;
use whoelse_stream::{ChannelBindings, Transport, server_end_point};

/// A connection to this port of this version, and what it can be bound to.
async fn connect(
    world: &World,
    port: SocketAddr,
    version: &'static SupportedProtocolVersion,
) -> (TlsStream<TcpStream>, ChannelBindings) {
    let certificate = world.folder.path().join("data/certificate.pem");
    let certificate = CertificateDer::from_pem_file(certificate).unwrap();
    let end_point = server_end_point(&certificate);
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    let socket = TcpStream::connect(port).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let io = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    let label = b"EXPORTER-Channel-Binding";
    let exporter = io.get_ref().1.export_keying_material([0; 32], label, Some(b"")).unwrap();
    (io, ChannelBindings { exporter: Some(exporter), server_end_point: end_point })
}

/// Logs in over a channel as the client sees it; the mechanism, or `None` if it was refused.
async fn log_in(
    mut io: TlsStream<TcpStream>,
    channel: ChannelBindings,
    name: &str,
) -> Option<Mechanism> {
    let config = Config { transport: Transport::Tls, ..Config::new("localhost") };
    let mut machine = Machine::new(config, Some(channel));
    let mut buffer = [0; 4096];
    loop {
        let step = machine.poll();
        io.write_all(&machine.take_output()).await.unwrap();
        match step {
            Some(Step::Ready(features)) => {
                let listed = features.channel_bindings.unwrap();
                assert_eq!(listed, ["tls-exporter", "tls-server-end-point"]);
                machine.login(name, password(name)).unwrap();
            }
            Some(Step::Open(_)) => return machine.mechanism(),
            Some(Step::AuthFailed(_)) => return None,
            Some(other) => panic!("{other:?}"),
            None => {
                let read = io.read(&mut buffer).await.unwrap();
                assert!(read > 0);
                machine.push(&buffer[..read]);
            }
        }
    }
}

async fn world() -> World {
    World::with(|config| config.direct_tls = vec!["127.0.0.1:0".parse().unwrap()]).await
}

/// Where TLS may come first: the port for it, and the one for STARTTLS.
fn ports(world: &World) -> [SocketAddr; 2] {
    [world.server.direct_tls_addresses()[0], world.address()]
}

/// Every combination of the two.
fn ways(world: &World) -> Vec<(SocketAddr, &'static SupportedProtocolVersion)> {
    ports(world).into_iter().flat_map(|port| [(port, &TLS12), (port, &TLS13)]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_types_bind_on_both_versions_of_tls() {
    let world = world().await;
    let strongest = Mechanism::Scram { hash: Hash::Sha512, plus: true };
    for (port, version) in ways(&world) {
        for only in ["tls-exporter", "tls-server-end-point"] {
            let (io, both) = connect(&world, port, version).await;
            let channel = ChannelBindings {
                exporter: both.exporter.filter(|_| only == "tls-exporter"),
                server_end_point: both.server_end_point.filter(|_| only != "tls-exporter"),
            };
            assert_eq!(
                log_in(io, channel, "alice").await,
                Some(strongest),
                "{port} {version:?} {only}"
            );
            // There is one session an account.
            let account = world.server.node().account(&jid("alice")).await.unwrap().unwrap();
            for session in account.sessions() {
                world.server.node().end(&session).await;
            }
        }
    }
    world.server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_bound_to_another_channel_or_certificate_is_refused() {
    let world = world().await;
    for (port, version) in ways(&world) {
        let (io, mine) = connect(&world, port, version).await;
        let (_other, theirs) = connect(&world, port, version).await;
        assert_ne!(mine.exporter, theirs.exporter);
        assert_eq!(log_in(io, theirs, "alice").await, None);

        let (io, _) = connect(&world, port, version).await;
        let forged = ChannelBindings { exporter: None, server_end_point: Some(vec![1; 32]) };
        assert_eq!(log_in(io, forged, "bob").await, None);
        world.server.node().unblock_account(&jid("alice")).await;
        world.server.node().unblock_account(&jid("bob")).await;
    }
    world.server.shutdown().await;
}
