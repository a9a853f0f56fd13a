//! This device on the network: the one file that uses iroh.
//!
//! It contacts nobody but the peer and, if the server offers a relay, the server itself, at the
//! address that the session uses. It looks up no name, and uses no other relay, discovery service
//! or router.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::{Connection, Endpoint};
use iroh::endpoint::{
    ConnectionError, NetReportConfig, PortmapperConfig, QuicTransportConfig, VarInt, presets,
};
use iroh::tls::CaTlsConfig;
use iroh::{
    EndpointAddr, PublicKey, RelayConfig, RelayMap, RelayMode, RelayUrl, SecretKey, TransportAddr,
    Watcher,
};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use whoelse_client::{Client, Reached, Request, SameServer};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Jid, ns};

use crate::config::Relaying;
use crate::jingle::{MAX_ADDRESSES, Transport};
use crate::key::Key;

/// The protocol of a line, with its version.
const ALPN: &[u8] = b"whoelse-private/0";
/// How long the server may take to answer the request for its relay.
const OFFER_WITHIN: Duration = Duration::from_secs(5);
/// How long connecting to the relay may take; without it the addresses of this device still count.
const ONLINE_WITHIN: Duration = Duration::from_secs(3);
/// QUIC's idle timeout; `chat` gives up before.
const SILENCE: Duration = Duration::from_secs(15);
/// Interval of keepalives.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// Idle timeout of one path, after which another is used.
const WAY_SILENCE: Duration = Duration::from_millis(6_500);
/// Concurrent incoming handshakes; further ones are refused.
pub(crate) const MAX_HANDSHAKES: usize = 8;
/// How long each may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long peers are told that this device leaves.
const FAREWELL: Duration = Duration::from_secs(1);

/// The connection is over.
pub(crate) const DONE: VarInt = VarInt::from_u32(0);
/// This end was not introduced.
pub(crate) const NOT_INTRODUCED: VarInt = VarInt::from_u32(1);
/// This end broke the protocol.
pub(crate) const VIOLATION: VarInt = VarInt::from_u32(2);

/// This device on the network. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Net {
    endpoint: Endpoint,
    relaying: Relaying,
    relay: Option<RelayUrl>,
    accepting: AbortHandle,
}

/// What this device needs to be reachable.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) client: Client,
    pub(crate) secret: [u8; 32],
    pub(crate) relaying: Relaying,
    /// The introduction by which the relay admits it.
    pub(crate) sid: String,
    /// Where incoming connections go after they have proved a key.
    pub(crate) incoming: mpsc::Sender<Connection>,
}

impl Net {
    /// Joins the network.
    pub(crate) async fn open(plan: Plan) -> Result<Net, String> {
        let secret = SecretKey::from_bytes(&plan.secret);
        let relay = match plan.relaying {
            Relaying::Never => None,
            Relaying::Auto | Relaying::Only => {
                offer(&plan, &Key::of(*secret.public().as_bytes())).await
            }
        };
        if relay.is_none() && plan.relaying == Relaying::Only {
            return Err("the server offers no relay".to_owned());
        }
        let mut builder = Endpoint::builder(presets::Minimal)
            .crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .secret_key(secret)
            .alpns(vec![ALPN.to_vec()])
            .portmapper_config(PortmapperConfig::Disabled)
            .net_report_config(no_captive_portals())
            .transport_config(transport()?);
        if plan.relaying == Relaying::Only {
            builder = builder.clear_ip_transports();
        }
        let mut url = None;
        builder = match relay {
            None => builder.relay_mode(RelayMode::Disabled),
            Some((reached, config)) => {
                url = Some(config.url.clone());
                let verifier = Arc::new(SameServer::new(reached));
                builder
                    .ca_tls_config(CaTlsConfig::custom_server_cert_verifier(Arc::new(move |_| {
                        Ok(verifier.clone())
                    })))
                    .relay_mode(RelayMode::Custom(RelayMap::from(config)))
            }
        };
        let endpoint = builder.bind().await.map_err(|_| {
            "no UDP socket can be had; look at the firewall of this machine".to_owned()
        })?;
        if url.is_some() {
            let _ = timeout(ONLINE_WITHIN, endpoint.online()).await;
        }
        let accepting = tokio::spawn(accept(endpoint.clone(), plan.incoming)).abort_handle();
        let net = Net { endpoint, relaying: plan.relaying, relay: url, accepting };
        if plan.relaying == Relaying::Only && !net.is_relayed() {
            net.close().await;
            return Err("the server's relay cannot be reached".to_owned());
        }
        Ok(net)
    }

    /// Connects to the relay again, if there is one and it has lost this device.
    pub(crate) async fn refresh(self, plan: Plan) -> Result<Net, String> {
        if self.relay.is_some() && !self.is_relayed() {
            let key = Key::of(*self.endpoint.id().as_bytes());
            if let Some((_, config)) = offer(&plan, &key).await
                && self.relay.as_ref() == Some(&config.url)
            {
                self.endpoint.insert_relay(config.url.clone(), Arc::new(config)).await;
            }
            let _ = timeout(ONLINE_WITHIN, self.endpoint.online()).await;
        }
        Ok(self)
    }

    fn is_relayed(&self) -> bool {
        self.endpoint.home_relay_status().get().iter().any(|relay| relay.is_connected())
    }

    /// Returns the transport of this device: its addresses and key.
    pub(crate) fn place(&self, device: &str) -> Transport {
        let address = self.endpoint.addr();
        let mut addresses: Vec<SocketAddr> = match self.relaying {
            Relaying::Only => Vec::new(),
            Relaying::Auto | Relaying::Never => address.ip_addrs().copied().collect(),
        };
        addresses.truncate(MAX_ADDRESSES);
        Transport {
            device: device.to_owned(),
            key: Key::of(*self.endpoint.id().as_bytes()),
            addresses,
            relay: self.is_relayed(),
        }
    }

    /// Dials the peer, which proves its key.
    pub(crate) async fn dial(&self, theirs: &Transport) -> Option<Connection> {
        let id = PublicKey::from_bytes(theirs.key.bytes()).ok()?;
        let mut ways: BTreeSet<TransportAddr> = BTreeSet::new();
        if self.relaying != Relaying::Only {
            ways.extend(theirs.addresses.iter().map(|it| TransportAddr::Ip(*it)));
        }
        // It is the relay of the server that both share, at the address that this device uses.
        let relay = self.relay.iter().filter(|_| theirs.relay);
        ways.extend(relay.map(|url| TransportAddr::Relay(url.clone())));
        self.endpoint.connect(EndpointAddr::from_parts(id, ways), ALPN).await.ok()
    }

    /// Leaves the network.
    pub(crate) async fn close(self) {
        self.accepting.abort();
        let _ = timeout(FAREWELL, self.endpoint.close()).await;
    }
}

/// Returns the key that the peer has proved.
pub(crate) fn key_of(connection: &Connection) -> Key {
    Key::of(*connection.remote_id().as_bytes())
}

/// Returns whether the peer has closed the connection and did not just vanish.
pub(crate) fn was_closed(why: &ConnectionError) -> bool {
    matches!(why, ConnectionError::ApplicationClosed(_))
}

/// Accepts connections and passes on those that prove a key, a few at a time.
async fn accept(endpoint: Endpoint, handed_on: mpsc::Sender<Connection>) {
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                None => return,
                Some(incoming) if handshakes.len() >= MAX_HANDSHAKES => incoming.refuse(),
                Some(incoming) => {
                    handshakes.spawn(timeout(HANDSHAKE_WITHIN, async { incoming.await }));
                }
            },
            Some(done) = handshakes.join_next() => {
                if let Ok(Ok(Ok(connection))) = done {
                    let _ = handed_on.send(connection).await;
                }
            }
        }
    }
}

fn no_captive_portals() -> NetReportConfig {
    let mut config = NetReportConfig::default();
    config.captive_portal_check = false;
    config
}

/// Returns the QUIC settings: one stream in each direction, little memory, short timeouts.
pub(crate) fn transport() -> Result<QuicTransportConfig, String> {
    let silence = SILENCE.try_into().map_err(|_| "the idle timeout is out of range".to_owned())?;
    Ok(QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(64 << 10))
        .receive_window(VarInt::from_u32(128 << 10))
        .send_window(128 << 10)
        .max_idle_timeout(Some(silence))
        .keep_alive_interval(HEARTBEAT)
        .default_path_keep_alive_interval(HEARTBEAT)
        .default_path_max_idle_timeout(WAY_SILENCE)
        .build())
}

/// Asks the server for its relay (docs/protocol.md, `urn:whoelse:relay:0`), which is at the
/// address that the session uses.
async fn offer(plan: &Plan, key: &Key) -> Option<(Reached, RelayConfig)> {
    let reached = plan.client.reached()?;
    let key = key.to_string();
    let wish =
        Element::new("relay").xmlns(ns::WHOELSE_RELAY).attr("sid", &plan.sid).attr("key", &key);
    let request = Request::set(wish).to(Jid::parse(&plan.client.domain()).ok()?);
    let answer = timeout(OFFER_WITHIN, plan.client.request(request)).await.ok()?.ok()?.iq;
    let offered = answer.child("relay", ns::WHOELSE_RELAY)?;
    let attr = |name| answer.child_attr(offered, name);
    let port: u16 = attr("port")?.parse().ok()?;
    let token = attr("token")?.to_string();
    let discovery: Option<u16> = attr("discovery").and_then(|port| port.parse().ok());
    let host = SocketAddr::new(reached.address.ip().to_canonical(), port);
    let url: RelayUrl = format!("https://{host}/").parse().ok()?;
    let mut config = RelayConfig::from(url).with_auth_token(token);
    match (discovery, &mut config.quic) {
        (Some(port), Some(quic)) => quic.port = port,
        _ => config.quic = None,
    }
    Some((reached, config))
}
