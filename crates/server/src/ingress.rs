//! RFC 6120, 3 to 7, and XEP-0198: the driver of connections, from the first byte to the last.
//!
//! `whoelse_stream::c2s::Machine` decides what is said on a stream, and `whoelse_core` what it
//! means; this module moves the bytes between the two, waits, and keeps the deadlines. Nothing
//! here knows a socket: a scene in memory runs the very same code over a pipe.
//!
//! A connection has two lives. Its negotiation is a large task for a short time; once a session
//! is open, a small task takes over and stays.

mod admission_pace;
mod bosh;
mod browsers;
mod crowd;
mod driver;
mod first_bytes;
pub mod gate;
mod link;
mod negotiation;
mod presence_pace;
pub(crate) mod tcp;
mod waiting;

pub use crate::byte_stream::Io;
pub(crate) use bosh::Request as BoshRequest;
pub(crate) use browsers::Browsers;
pub(crate) use first_bytes::First;

#[cfg(feature = "relay")]
use crate::relay::Relay;
use crate::tls::{OwnFiles, Tls};
use arc_swap::{ArcSwap, ArcSwapOption};
use gate::{Bounds, Entry, Gate, Permit, Standing, Turn};
use parking_lot::Mutex;
#[cfg(feature = "relay")]
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use whoelse_core::in_progress::{Begun, InProgress};
use whoelse_core::network::Network;
use whoelse_core::settings::{Limits, Registration, Settings};
use whoelse_core::{Node, Steady, Time};
use whoelse_stream::Framing;
use whoelse_stream::c2s as stream;
use whoelse_stream::fast;
use whoelse_stream::sasl2::Inline;
use whoelse_stream::scram::Hash;
use whoelse_xmpp::{StreamCondition, StreamError, ns};

/// What lies below a connection when it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ingress {
    /// A bare socket: STARTTLS comes first.
    StartTls,
    /// A bare socket that begins with TLS (XEP-0368).
    DirectTls,
    /// HTTP, which has become a WebSocket (RFC 7395).
    Web,
    /// A chain of HTTP requests (XEP-0124).
    Bosh,
    /// A pipe that is taken for encrypted: worlds in memory.
    Pipe,
    /// A socket of this machine whose other end is the server's own user.
    Admin,
}

impl Ingress {
    /// Its name, for the count.
    pub fn name(self) -> &'static str {
        match self {
            Ingress::StartTls => "starttls",
            Ingress::DirectTls => "direct_tls",
            Ingress::Web => "web",
            Ingress::Bosh => "bosh",
            Ingress::Pipe => "pipe",
            Ingress::Admin => "admin",
        }
    }
}

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The network whose tries and connections are counted.
    pub network: Network,
    /// The address, for the log.
    pub address: String,
}

/// What all connections of a server share.
pub struct Connections {
    node: Arc<Node>,
    tls: Option<Certificate>,
    gate: Arc<Gate>,
    bosh: bosh::Sessions,
    /// Set once the listeners are known, if a relay is offered to private chats.
    #[cfg(feature = "relay")]
    relay: std::sync::OnceLock<Arc<Relay>>,
    /// Made anew when the domain is renamed, or the set of mechanisms that can be offered changes.
    streams: ArcSwap<Streams>,
    /// Held while they, and a certificate of our own, follow another name: each once.
    following: Mutex<()>,
    /// Whether strangers may make accounts over the web where they may elsewhere.
    web_registers: AtomicBool,
    closing: watch::Sender<bool>,
    /// Tasks that hold a connection.
    running: Arc<InProgress>,
}

/// The certificate in use; `own` says where its files are if the server made it.
#[derive(Debug)]
pub struct Certificate {
    /// Makes handshakes with it.
    pub tls: Tls,
    /// Set if the server made it: then it follows the domain's name.
    pub own: ArcSwapOption<OwnFiles>,
}

/// One configuration of the stream machine for each kind of ingress.
#[derive(Debug)]
struct Streams {
    domain: String,
    hashes: &'static [Hash],
    starttls: Arc<stream::Config>,
    tls: Arc<stream::Config>,
    web: Arc<stream::Config>,
    bosh: Arc<stream::Config>,
    trusted: Arc<stream::Config>,
    registration: Registration,
    idle_seconds: (Option<u32>, Option<u32>),
}

impl Connections {
    /// For a node. Without a certificate only [`Ingress::Pipe`] and [`Ingress::Admin`] can be used.
    pub fn new(node: Arc<Node>, tls: Option<Certificate>) -> Arc<Connections> {
        let limits = &node.settings().limits;
        Arc::new(Connections {
            gate: Gate::new(bounds(limits)),
            bosh: bosh::Sessions::new(Gate::new(bounds(limits))),
            streams: ArcSwap::from_pointee(Streams::of(&node, true)),
            following: Mutex::new(()),
            tls,
            #[cfg(feature = "relay")]
            relay: std::sync::OnceLock::new(),
            web_registers: AtomicBool::new(true),
            closing: watch::Sender::new(false),
            running: Arc::default(),
            node,
        })
    }

    /// The node they belong to.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Returns the gate, which counts half-open connections.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// How many connections there are, half-open ones and those of administrators among them.
    pub fn running(&self) -> usize {
        self.running.count()
    }

    /// What people compare to know that they talk to this server.
    pub fn fingerprint(&self) -> Option<crate::tls::Fingerprint> {
        self.tls.as_ref().map(|certificate| certificate.tls.fingerprint())
    }

    /// The certificate, if there is one.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.tls.as_ref()
    }

    /// Until when the certificate is valid.
    pub fn certificate_ends(&self) -> Option<Time> {
        self.tls.as_ref().and_then(|certificate| certificate.tls.end())
    }

    /// Takes over what the node's settings say now, for connections to come.
    pub(crate) fn settings_changed(&self) {
        self.gate.set(bounds(&self.node.settings().limits));
        self.bosh.gate.set(bounds(&self.node.settings().limits));
        #[cfg(feature = "relay")]
        if let Some(relay) = self.relay.get() {
            relay.settings_changed(&self.node.settings());
        }
        self.streams.store(Arc::new(self.streams_now()));
    }

    /// Drives a connection when its turn comes, or closes it if too many are half open or wait.
    /// Returns at once. An ingress that no stranger can reach has no queue.
    pub fn welcome<S: Io>(self: &Arc<Connections>, io: S, ingress: Ingress, peer: Peer) {
        match ingress {
            Ingress::Pipe | Ingress::Admin if self.is_closing() => {}
            Ingress::Pipe | Ingress::Admin => {
                let run = negotiation::run(self.arrived(ingress, peer, None), io);
                // Boxed, as in `let_in`.
                tokio::spawn(Box::pin(run));
            }
            Ingress::StartTls | Ingress::DirectTls | Ingress::Web | Ingress::Bosh => {
                self.let_in(io, ingress, peer, waiting::unwatched, negotiation::run);
            }
        }
    }

    /// Does the same for a socket, whose first bytes decide the protocol. A client that closes
    /// while it waits loses its place.
    pub(crate) fn welcome_socket(
        self: &Arc<Connections>,
        socket: TcpStream,
        ingress: Ingress,
        peer: Peer,
    ) {
        match ingress {
            Ingress::StartTls => {
                self.let_in(socket, ingress, peer, waiting::turn, first_bytes::run)
            }
            Ingress::DirectTls => {
                self.let_in(socket, ingress, peer, waiting::turn, first_bytes::run_tls)
            }
            Ingress::Web | Ingress::Bosh | Ingress::Pipe | Ingress::Admin => {
                self.welcome(socket, ingress, peer);
            }
        }
    }

    /// Goes on with a connection in a task of its own, when its turn comes and the client is still
    /// there.
    fn let_in<S, W, F>(
        self: &Arc<Connections>,
        io: S,
        ingress: Ingress,
        peer: Peer,
        wait: impl FnOnce(Turn, S) -> W + Send + 'static,
        go_on: impl FnOnce(Arrived, S) -> F + Send + 'static,
    ) where
        S: Send + 'static,
        W: Future<Output = Option<(Permit, S)>> + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        if self.is_closing() {
            return;
        }
        match self.arrive(ingress, peer.network) {
            Entry::In(permit) => {
                let (arrived, put_out) = self.arrived_half_open(ingress, peer, permit);
                // Boxed, because it is large and a new task is moved several times.
                tokio::spawn(Box::pin(until_put_out(put_out, go_on(arrived, io))));
            }
            Entry::Full => tracing::debug!(address = %peer.address, "too_many_half_open"),
            entry => {
                tracing::debug!(address = %peer.address, "half_open_waits");
                let connections = self.clone();
                tokio::spawn(async move {
                    let turn = tokio::select! {
                        turn = connections.turn(entry, io, wait) => turn,
                        () = connections.closing() => None,
                    };
                    let Some((permit, io)) = turn else { return };
                    let (arrived, put_out) = connections.arrived_half_open(ingress, peer, permit);
                    // Boxed here, so that the tasks of those who wait stay small.
                    Box::pin(until_put_out(put_out, go_on(arrived, io))).await;
                });
            }
        }
    }

    /// Comes to the gate by which an ingress is counted.
    fn arrive(&self, ingress: Ingress, network: Network) -> Entry {
        let gate = match ingress {
            Ingress::Bosh => &self.bosh.gate,
            Ingress::StartTls
            | Ingress::DirectTls
            | Ingress::Web
            | Ingress::Pipe
            | Ingress::Admin => &self.gate,
        };
        let standing = match network {
            own if self.node.is_own_network(own) => Standing::Own,
            known if self.node.is_known_network(known) => Standing::Known,
            _ => Standing::Stranger,
        };
        gate.arrive(network, standing, self.node.clock.steady())
    }

    /// Waits for a place of a client whose connection is there already. `None` if there is no room.
    pub(crate) async fn place(&self, ingress: Ingress, network: Network) -> Option<Permit> {
        let entry = self.arrive(ingress, network);
        self.turn(entry, (), waiting::unwatched).await.map(|(permit, ())| permit)
    }

    /// Waits until a connection may come in: until its time, then until its turn.
    async fn turn<S, W>(
        &self,
        mut entry: Entry,
        io: S,
        wait: impl FnOnce(Turn, S) -> W,
    ) -> Option<(Permit, S)>
    where
        W: Future<Output = Option<(Permit, S)>>,
    {
        if let Entry::Later(pause) = entry {
            self.node.clock.sleep_until(pause.until).await;
            entry = pause.over();
        }
        match entry {
            Entry::In(permit) => Some((permit, io)),
            Entry::Waits(turn) => wait(turn, io).await,
            Entry::Later(_) | Entry::Full => None,
        }
    }

    /// Begins the login deadline of a connection that was let in by the gate. Also returns what
    /// waits until it is put out.
    fn arrived_half_open(
        self: &Arc<Connections>,
        ingress: Ingress,
        peer: Peer,
        mut permit: Permit,
    ) -> (Arrived, impl Future<Output = ()> + Send + use<>) {
        let (connections, who, is_put_out) = (self.clone(), peer.clone(), permit.put_out());
        let put_out = async move {
            is_put_out.await;
            connections.note_unopened(&who, "put out");
        };
        (self.arrived(ingress, peer, Some(permit)), put_out)
    }

    /// Begins the login deadline of a connection that was let in.
    fn arrived(
        self: &Arc<Connections>,
        ingress: Ingress,
        peer: Peer,
        half_open: HalfOpen,
    ) -> Arrived {
        self.node.counters.connected.inc([ingress.name()]);
        tracing::info!(address = %peer.address, "connected");
        let deadline = self.node.clock.steady().after(self.node.settings().limits.negotiation);
        Arrived { running: self.begin(), ingress, peer, half_open, deadline }
    }

    /// The relay, where private chats are offered one.
    #[cfg(feature = "relay")]
    pub(crate) fn relay(&self) -> Option<&Arc<Relay>> {
        self.relay.get()
    }

    /// Offers private chats a relay at these listeners, and address discovery beside them. Returns
    /// notes for the operator.
    #[cfg(feature = "relay")]
    pub(crate) fn offer_relay(&self, listeners: &[SocketAddr]) -> Vec<String> {
        let Some(certificate) = &self.tls else { return Vec::new() };
        let (relay, notes) = Relay::start(&self.node, &certificate.tls, listeners);
        whoelse_features::relay::embed(&self.node, relay.clone());
        let _ = self.relay.set(relay);
        // The stream features announce what is offered.
        self.settings_changed();
        notes
    }

    /// Ends the relay and address discovery. Waits a moment for packets in flight.
    pub(crate) async fn end_relay(&self) {
        #[cfg(feature = "relay")]
        if let Some(relay) = self.relay.get() {
            relay.end_all().await;
        }
    }

    /// Tells every client that the server is shutting down. Sessions end, negotiations are
    /// aborted.
    pub fn close(&self) {
        self.closing.send_replace(true);
        #[cfg(feature = "relay")]
        if let Some(relay) = self.relay.get() {
            relay.close();
        }
        let error = StreamError::new(StreamCondition::SystemShutdown);
        self.node.end_all(&error.with_text("the server is shutting down"));
    }

    /// Returns whether the server is shutting down.
    pub fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until the server begins to shut down.
    pub(crate) async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        // Fails only if the sender is gone, and `self` holds it.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// Waits until no connection is left.
    pub async fn gone(&self) {
        self.running.none().await;
    }

    /// Logs and counts a connection that ends before it has a session.
    fn note_unopened(&self, peer: &Peer, reason: &'static str) {
        self.node.counters.disconnected.inc(["negotiation", reason]);
        tracing::info!(address = %peer.address, reason, "disconnected");
    }

    fn begin(self: &Arc<Connections>) -> Running {
        Running { _one: self.running.begin(), connections: self.clone() }
    }

    /// Returns the machine's configuration for an ingress. It follows the mechanisms that can be
    /// offered and the name of the domain; so does a certificate that the server made itself.
    fn stream(&self, ingress: Ingress) -> Arc<stream::Config> {
        if self.streams.load().domain != self.node.domain_name() {
            self.follow();
        }
        let mut streams = self.streams.load_full();
        let settings = self.node.settings();
        let changed = streams.registration != settings.registration
            || streams.idle_seconds != idle_seconds(&settings);
        drop(settings);
        if changed || streams.hashes != self.node.hashes() {
            streams = Arc::new(self.streams_now());
            self.streams.store(streams.clone());
        }
        match ingress {
            Ingress::StartTls => streams.starttls.clone(),
            Ingress::DirectTls | Ingress::Pipe => streams.tls.clone(),
            Ingress::Web => streams.web.clone(),
            Ingress::Bosh => streams.bosh.clone(),
            Ingress::Admin => streams.trusted.clone(),
        }
    }

    fn streams_now(&self) -> Streams {
        Streams::of(&self.node, self.web_registers.load(Ordering::Acquire))
    }

    /// Lets nobody make an account over the web, whatever the settings say.
    pub(crate) fn close_registration_over_web(&self) {
        self.web_registers.store(false, Ordering::Release);
        self.streams.store(Arc::new(self.streams_now()));
    }

    /// Follows the name of the domain, unless another connection does.
    fn follow(&self) {
        let _one_at_a_time = self.following.lock();
        let streams = self.streams_now();
        if self.streams.load().domain == streams.domain {
            return;
        }
        let domain = streams.domain.clone();
        self.streams.store(Arc::new(streams));
        let Some(Certificate { tls, own }) = &self.tls else { return };
        let Some(files) = own.load_full() else { return };
        match crate::tls::ensure(&files, &domain).and_then(|_| tls.reload()) {
            Ok(()) => tracing::info!(domain, fingerprint = %tls.fingerprint(), "certificate_taken"),
            Err(error) => tracing::error!(%error, "certificate_not_made"),
        }
    }
}

impl Streams {
    /// `web_registers`: whether strangers may make accounts over the web where they may elsewhere.
    fn of(node: &Node, web_registers: bool) -> Streams {
        let (domain, hashes) = (node.domain_name().to_string(), node.hashes());
        let former = node.former_names();
        let settings = node.settings();
        let (registration, idle_seconds) = (settings.registration, idle_seconds(&settings));
        let with = |transport, framing, registration| {
            let mut config = stream::Config::new(domain.clone());
            config.hashes = hashes.to_vec();
            config.former.clone_from(&former);
            config.transport = transport;
            config.framing = framing;
            config.registration = registration;
            let mut in_bind = node.wiring.offered_in_bind();
            in_bind.push(ns::SM);
            let bind = Some(in_bind.into_iter().map(str::to_owned).collect());
            config.sasl2 = Some(Inline { resume: true, bind, fast: fast::names() });
            config.offers = node.wiring.offers(node);
            config.idle_seconds = idle_seconds;
            Arc::new(config)
        };
        let tcp = |transport| with(transport, Framing::Stream, registration);
        let over_web = if web_registers { registration } else { Registration::Closed };
        Streams {
            starttls: tcp(stream::Transport::StartTls),
            tls: tcp(stream::Transport::Tls),
            web: with(stream::Transport::Tls, Framing::WebSocket, over_web),
            bosh: with(stream::Transport::Tls, Framing::Bodies, over_web),
            trusted: tcp(stream::Transport::Trusted),
            domain,
            hashes,
            registration,
            idle_seconds,
        }
    }
}

/// XEP-0478: how many seconds a client may be silent. Before a session is open, the login deadline
/// counts. After it, the silent client is asked for a sign of life or logged out, whichever comes
/// first.
fn idle_seconds(settings: &Settings) -> (Option<u32>, Option<u32>) {
    let whole = |time: Duration| u32::try_from(time.as_secs()).ok();
    let timeout = Some(settings.timeout).filter(|timeout| !timeout.is_zero());
    let open = timeout.map_or(driver::SILENCE, |timeout| timeout.min(driver::SILENCE));
    (whole(settings.limits.negotiation), whole(open))
}

/// How many may be half open, or wait to be.
fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        in_all: limits.half_open,
        per_network: limits.half_open_per_network,
        waiting: limits.waiting(),
        waiting_per_network: limits.waiting_per_network,
        per_second: limits.connections_per_second,
    }
}

/// Counts one connection's task while it lives.
struct Running {
    _one: Begun,
    connections: Arc<Connections>,
}

impl std::ops::Deref for Running {
    type Target = Arc<Connections>;

    fn deref(&self) -> &Arc<Connections> {
        &self.connections
    }
}

/// Goes on with a connection, unless it is put out before it has a session to make room for another
/// one. It is closed without a word then: whoever is put out in a crowd is not waited for.
async fn until_put_out(put_out: impl Future<Output = ()>, go_on: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = go_on => {}
        () = put_out => {}
    }
}

/// Waits for something until a deadline. Returns `None` if the deadline came first.
pub(crate) async fn until<F: Future>(node: &Node, deadline: Steady, work: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = work => Some(output),
        () = node.clock.sleep_until(deadline) => None,
    }
}

/// A connection that was let in and has said nothing yet.
struct Arrived {
    running: Running,
    ingress: Ingress,
    peer: Peer,
    half_open: HalfOpen,
    /// When the connection is closed if it is still half open.
    deadline: Steady,
}

/// Kept by a connection until its session is open.
type HalfOpen = Option<Permit>;
