//! QUIC address discovery: tells a client the public address of its packets, which it needs for
//! hole punching. Listens on the UDP ports with the numbers of the STARTTLS listeners.
//!
//! Anybody may ask, so the cost is bounded: no state before the address is validated (RFC 9000,
//! 8.1.2), no streams, no datagrams, a bounded number of connections in all and per network, and
//! an idle timeout. If there is no room in all, the oldest where it is most crowded goes.

use crate::ingress::gate::{Bounds, Entry, Gate, Standing};
use crate::tls::Tls;
use iroh_relay::quic::{
    ALPN_QUIC_ADDR_DISC, QUIC_ADDR_DISC_CLOSE_CODE, QUIC_ADDR_DISC_CLOSE_REASON,
};
use noq::crypto::rustls::QuicServerConfig;
use noq::{
    AsyncTimer, AsyncUdpSocket, Endpoint, EndpointConfig, Runtime, ServerConfig, TokioRuntime,
    TransportConfig, VarInt,
};
use parking_lot::Mutex;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use whoelse_core::Clock;
use whoelse_core::network::Network;
use whoelse_features::relay::Limits;
use whoelse_xmpp::in_words;

/// Handshakes that wait to be accepted, and bytes of them. It is small because accepting waits for
/// nothing.
const WAITING: usize = 256;
const WAITING_BYTES: u64 = 1 << 20;
/// Idle timeout of a connection; clients send a keepalive every 25 s.
const SILENCE: Duration = Duration::from_secs(35);
/// Out-of-order handshake data that one connection may have.
const HANDSHAKE: usize = 16 << 10;
/// One network may have this fraction of the connections: enough for a school behind one address.
const PART: usize = 4;
/// How long peers are told about the shutdown.
const FAREWELL: Duration = Duration::from_millis(200);

/// The QUIC endpoints.
pub(super) struct Discovery {
    /// Taken out when discovery ends. Never locked across an await.
    endpoints: Mutex<Vec<Endpoint>>,
    tasks: Arc<Tasks>,
    port: Option<u16>,
    gate: Arc<Gate>,
}

impl Discovery {
    /// Begins beside these listeners. If a port cannot be bound there is no discovery on it, and a
    /// note tells the operator.
    pub fn start(
        tls: &Tls,
        listeners: &[SocketAddr],
        limits: &Limits,
        clock: &Clock,
    ) -> (Discovery, Vec<String>) {
        let gate = Gate::new(bounds(limits));
        let tasks = Arc::new(Tasks::default());
        let (mut endpoints, mut notes, mut port) = (Vec::new(), Vec::new(), None);
        for address in listeners {
            match begin(tls, *address, &tasks) {
                Ok(endpoint) => {
                    port = port.or(Some(address.port()));
                    let (gate, clock) = (gate.clone(), clock.clone());
                    tasks.spawn(answer(endpoint.clone(), gate, clock, Arc::downgrade(&tasks)));
                    endpoints.push(endpoint);
                }
                Err(error) => {
                    tracing::warn!(%address, error = in_words(&error), "discovery_not_offered");
                    notes.push(format!(
                        "warning: UDP {address} cannot be had ({}): clients cannot learn \
                         their public addresses there, and more private chats are relayed",
                        in_words(&error)
                    ));
                }
            }
        }
        (Discovery { endpoints: Mutex::new(endpoints), tasks, port, gate }, notes)
    }

    /// The UDP port, if there is one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Sets other bounds.
    pub fn set(&self, limits: &Limits) {
        self.gate.set(bounds(limits));
    }

    /// Ends discovery and frees its ports, since the next server may be this program again.
    pub async fn end(&self) {
        let endpoints = std::mem::take(&mut *self.endpoints.lock());
        for endpoint in &endpoints {
            endpoint.close(QUIC_ADDR_DISC_CLOSE_CODE, QUIC_ADDR_DISC_CLOSE_REASON);
        }
        for endpoint in &endpoints {
            // A peer that does not answer finds out by its idle timeout.
            let _ = tokio::time::timeout(FAREWELL, endpoint.wait_all_draining()).await;
        }
        drop(endpoints);
        let mut tasks = std::mem::take(&mut *self.tasks.0.lock());
        tasks.shutdown().await;
    }
}

/// All tasks that hold a socket, so that they can be aborted. The library's own would keep it as
/// long as the slowest connection drains (RFC 9000, 10.2: three probe timeouts), and a moment
/// longer.
#[derive(Debug, Default)]
struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl Runtime for Tasks {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        Tasks::spawn(self, task);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Box<dyn AsyncUdpSocket>> {
        TokioRuntime.wrap_udp_socket(socket)
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

/// The bounds. A connection over them is refused at once: the client asks again, or goes without.
fn bounds(limits: &Limits) -> Bounds {
    let (in_all, per_network) = (limits.relay_clients, limits.relay_clients.div_ceil(PART));
    Bounds { in_all, per_network, waiting: 0, waiting_per_network: 0, per_second: u32::MAX }
}

fn begin(tls: &Tls, address: SocketAddr, tasks: &Arc<Tasks>) -> io::Result<Endpoint> {
    let crypto = tls.quic(ALPN_QUIC_ADDR_DISC).map_err(io::Error::other)?;
    let crypto = QuicServerConfig::try_from(crypto).map_err(io::Error::other)?;
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .crypto_buffer_size(HANDSHAKE)
        .max_idle_timeout(Some(SILENCE.try_into().map_err(io::Error::other)?))
        .send_observed_address_reports(true);
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(WAITING)
        .incoming_buffer_size(WAITING_BYTES / WAITING as u64)
        .incoming_buffer_size_total(WAITING_BYTES);
    let socket = bind(address)?;
    Endpoint::new(EndpointConfig::default(), Some(config), socket, tasks.clone())
}

/// Binds one address. IPv6 does not include IPv4, as with the listeners: an operator who wants
/// both names both.
fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::DGRAM, flags, None)?;
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    rustix::net::bind(&socket, &address)?;
    Ok(socket.into())
}

/// Answers until the endpoint is closed.
async fn answer(endpoint: Endpoint, gate: Arc<Gate>, clock: Clock, tasks: Weak<Tasks>) {
    while let Some(incoming) = endpoint.accept().await {
        if !incoming.remote_address_validated() {
            // A client that receives the answer comes again with its token. That costs us no
            // state.
            if let Err(error) = incoming.retry() {
                error.into_incoming().refuse();
            }
            continue;
        }
        let network = Network::of(incoming.remote_address().ip());
        let Entry::In(mut permit) = gate.arrive(network, Standing::Stranger, clock.steady()) else {
            incoming.refuse();
            continue;
        };
        let Some(tasks) = tasks.upgrade() else { return };
        tasks.spawn(async move {
            let put_out = permit.put_out();
            let stays = async {
                if let Ok(connection) = incoming.await {
                    connection.closed().await;
                }
            };
            // A connection that is dropped is closed, which its client is told.
            tokio::select! {
                () = stays => {}
                () = put_out => {}
            }
        });
    }
}
