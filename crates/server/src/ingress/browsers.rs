//! Connections to `[web] listen`: HTTP first, and then perhaps a WebSocket, which goes on like any
//! other connection, in its place and until its deadline.
//!
//! Whoever connects directly is half open from the first moment. A listed proxy is not: its
//! connections take a place only when it has said whose they are, the place of whom it names
//! (docs/design/web.md): a WebSocket when it begins, a request over BOSH before its body is read.

use super::first_bytes::{ANSWERED, First, answered, in_time};
use super::link::LAST_WORD;
use super::negotiation::{self, handshake};
use super::{Arrived, Connections, Ingress, Peer, until, waiting};
use crate::byte_stream::Io;
use crate::web::{
    self, BROWSERS, Origin, Said, Switched, Visit, Web, begins_proxy_header, read_proxy_header,
};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use whoelse_core::Steady;
use whoelse_core::network::Network;
use whoelse_stream::ChannelBindings;

/// How long a request over BOSH may take: the longest wait, and time to say it and to hear.
const LONGEST: Duration = Duration::from_secs(360);
/// How much is peeked to know a PROXY header.
const PEEKED: usize = 8;

/// What listeners for browsers share.
pub(crate) struct Browsers {
    web: Arc<Web>,
    /// Places for connections of proxies that have not said yet whose they are.
    proxied: Arc<Semaphore>,
}

impl Browsers {
    /// For a web, and so many connections of its proxies.
    pub fn new(web: Web, most: usize) -> Browsers {
        let most = most.min(Semaphore::MAX_PERMITS);
        Browsers { web: Arc::new(web), proxied: Arc::new(Semaphore::new(most)) }
    }
}

/// What carries a connection; with the bindings of our TLS if that does.
struct Carried {
    io: Box<dyn Io>,
    channel: Option<ChannelBindings>,
}

impl Connections {
    /// Drives a connection to a listener for browsers. Returns at once.
    pub(crate) fn welcome_browser(
        self: &Arc<Connections>,
        browsers: &Arc<Browsers>,
        socket: TcpStream,
        address: SocketAddr,
    ) {
        let over_loopback =
            socket.local_addr().is_ok_and(|own| own.ip().to_canonical().is_loopback());
        let origin = browsers.web.config.origin(address, over_loopback);
        if let Origin::Client { address, .. } = origin {
            let peer = Peer { network: Network::of(address.ip()), address: address.to_string() };
            return self.let_browser_in(browsers.web.clone(), socket, origin, peer);
        }
        // Beyond its bound a proxy is told at once.
        let Ok(place) = browsers.proxied.clone().try_acquire_owned() else { return };
        if self.is_closing() {
            return;
        }
        let (running, web) = (self.begin(), browsers.web.clone());
        tokio::spawn(async move {
            let node = running.node().clone();
            let deadline = node.clock.steady().after(node.settings().limits.negotiation);
            let driven = Box::pin(proxied(&running, web, socket, address, deadline));
            tokio::select! {
                _ = until(&node, deadline, driven) => {}
                () = running.closing() => {}
            }
            drop(place);
        });
    }

    /// Goes on with a connection whose client is known, when its turn comes.
    fn let_browser_in(
        self: &Arc<Connections>,
        web: Arc<Web>,
        socket: TcpStream,
        origin: Origin,
        peer: Peer,
    ) {
        self.let_in(socket, Ingress::Web, peer, waiting::turn, move |arrived, socket| {
            Box::pin(direct(arrived, web, socket, origin))
        });
    }
}

/// Serves a connection that is half open already.
async fn direct(arrived: Arrived, web: Arc<Web>, socket: TcpStream, origin: Origin) {
    if let Origin::Client { address, over_loopback: true } = origin
        && in_time(&arrived, proxy_header_comes(&socket)).await.unwrap_or(false)
    {
        let refusing = refuse_proxy_header(&arrived.running, socket, address);
        let _ = in_time(&arrived, refusing).await;
        return arrived.running.note_unopened(&arrived.peer, "refused");
    }
    let (running, peer, deadline) = (&arrived.running, &arrived.peer, arrived.deadline);
    let carried = match answered(&arrived, carry(running, peer, deadline, socket)).await {
        Ok(Ok(carried)) => carried,
        Ok(Err(reason)) | Err(reason) => {
            return arrived.running.note_unopened(&arrived.peer, reason);
        }
    };
    let visit = Visit::new(&arrived.running, &web, origin, carried.channel.is_some());
    // Behind a proxy nobody can compare the two ends of a channel.
    let is_direct = matches!(origin, Origin::Client { .. });
    let channel = carried.channel.filter(|_| is_direct);
    let mut serving = Box::pin(web::serve(TokioIo::new(carried.io), BROWSERS, visit.clone()));
    let answer = tokio::select! {
        answer = answered(&arrived, &mut serving) => answer,
        () = visit.attached() => return serve_session(&arrived.running, serving),
    };
    match answer {
        Ok(Some(Switched { io, read })) => {
            negotiation::run_websocket(arrived, io.into_inner(), &read, channel).await;
        }
        Ok(None) => arrived.running.note_unopened(&arrived.peer, ANSWERED),
        Err(reason) => arrived.running.note_unopened(&arrived.peer, reason),
    }
}

/// Goes on with a request of a session over BOSH, outside of the gate: the session has its own place,
/// and has given the connection one of its own.
fn serve_session<T: Send + 'static>(
    connections: &Arc<Connections>,
    serving: Pin<Box<impl Future<Output = T> + Send + 'static>>,
) {
    let running = connections.begin();
    tokio::spawn(async move {
        let node = running.node();
        let deadline = node.clock.steady().after(LONGEST);
        tokio::select! {
            _ = until(node, deadline, serving) => {}
            // The session tells its end.
            () = async { running.closing().await; node.clock.sleep(LAST_WORD).await } => {}
        }
    });
}

/// Shakes hands if TLS comes first.
async fn carry(
    connections: &Arc<Connections>,
    peer: &Peer,
    deadline: Steady,
    socket: TcpStream,
) -> Result<Carried, &'static str> {
    match (First::in_clear(&socket).await, connections.certificate()) {
        (First::Tls, Some(certificate)) => {
            let shaking = Box::pin(certificate.tls.accept_any(socket));
            let (stream, channel) = handshake(connections, peer, deadline, shaking).await?;
            Ok(Carried { io: Box::new(stream), channel: Some(channel) })
        }
        _ => Ok(Carried { io: Box::new(socket), channel: None }),
    }
}

/// Serves a connection of a listed proxy until it is known whose it is.
async fn proxied(
    connections: &Arc<Connections>,
    web: Arc<Web>,
    mut socket: TcpStream,
    proxy: SocketAddr,
    deadline: Steady,
) {
    let mut origin = Origin::Proxy(proxy);
    if web.config.wants_proxy_header() {
        origin = match read_proxy_header(&mut socket).await {
            Ok(Some(Said::Client(client))) => {
                let peer = Peer { network: Network::of(client), address: client.to_string() };
                let origin = Origin::Forwarded(client);
                return connections.let_browser_in(web, socket, origin, peer);
            }
            Ok(Some(Said::Local)) => Origin::Check(proxy),
            Ok(None) => {
                let why = format!(
                    "the proxy {} is in trusted_proxies under [web], and did not say in a PROXY \
                     header of version 2 whose connection this is",
                    proxy.ip()
                );
                return refuse(connections, socket, why).await;
            }
            Err(_) => return,
        };
    }
    let peer = Peer { network: Network::of(proxy.ip()), address: proxy.to_string() };
    let Ok(carried) = carry(connections, &peer, deadline, socket).await else { return };
    let visit = Visit::new(connections, &web, origin, carried.channel.is_some());
    let mut serving = Box::pin(web::serve(TokioIo::new(carried.io), BROWSERS, visit.clone()));
    let served = tokio::select! {
        served = &mut serving => served,
        () = visit.attached() => return serve_session(connections, serving),
    };
    // A WebSocket takes the place of the client that the proxy has named.
    let Some((Switched { io, read }, peer)) = served.zip(visit.peer()) else { return };
    let go_on = move |arrived, io| async move {
        negotiation::run_websocket(arrived, io, &read, None).await;
    };
    connections.let_in(io.into_inner(), Ingress::Web, peer, waiting::unwatched, go_on);
}

/// Returns whether a PROXY header comes where nobody may send one.
async fn proxy_header_comes(socket: &TcpStream) -> bool {
    let mut first = [0; PEEKED];
    let peeked = socket.peek(&mut first).await.unwrap_or_default();
    begins_proxy_header(first.get(..peeked).unwrap_or_default())
}

async fn refuse_proxy_header(connections: &Connections, socket: TcpStream, peer: SocketAddr) {
    let why = format!(
        "this connection begins with a PROXY header, so a proxy has passed it on, and its address \
         {} is not in trusted_proxies under [web]",
        peer.ip()
    );
    refuse(connections, socket, why).await;
}

/// Refuses a connection before a request can be read, in words that the proxy hands on.
async fn refuse(connections: &Connections, mut socket: TcpStream, why: String) {
    connections.node().failing("web_request_refused", None, &why);
    let length = why.len() + 1;
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{why}\n"
    );
    // A proxy that has gone is told nothing.
    if socket.write_all(answer.as_bytes()).await.is_ok() {
        let _ = socket.shutdown().await;
        // What it has sent is read, so that the answer is not lost in a reset.
        let mut rest = [0; 1024];
        while tokio::io::AsyncReadExt::read(&mut socket, &mut rest).await.is_ok_and(|n| n > 0) {}
    }
}
