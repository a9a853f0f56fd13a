//! A listener that speaks only HTTP, in clear or over TLS.

use super::{Route, Served, serve};
use crate::ingress::{Connections, First, tcp, until};
use crate::liveness::Beat;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use whoelse_xmpp::in_words;

/// Concurrent connections; a further one is closed at once. A monitor needs one or two.
const CONNECTIONS: usize = 16;
/// How long a connection lives, whatever it does.
const LIFE: Duration = Duration::from_secs(10);

/// Answers until it is told to end; requests in progress are finished.
pub(crate) async fn listen<T: Served>(
    listener: TcpListener,
    routes: &'static [Route<T>],
    from: Arc<T>,
    connections: Arc<Connections>,
    mut end: watch::Receiver<bool>,
    mut beat: Beat,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut answering = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // Fails only without a sender, and then there is no server to answer for.
            _ = end.wait_for(|end| *end) => break,
            () = beat.answer() => continue,
            Some(_) = answering.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                if let Ok(permit) = room.clone().try_acquire_owned() {
                    let (connections, from) = (connections.clone(), from.clone());
                    answering.spawn(async move {
                        answer(socket, routes, from, &connections).await;
                        drop(permit);
                    });
                }
            }
            Err(error) => {
                connections.node().failing("metrics_accept_failed", None, &in_words(&error));
                tokio::time::sleep(tcp::PAUSE).await;
            }
        }
    }
    drop(listener);
    while answering.join_next().await.is_some() {}
}

/// Answers one connection, or drops it when its time is over.
async fn answer<T: Served>(
    socket: TcpStream,
    routes: &'static [Route<T>],
    from: Arc<T>,
    connections: &Connections,
) {
    let node = connections.node();
    let deadline = node.clock.steady().after(LIFE);
    let answering = async {
        match (First::in_clear(&socket).await, connections.certificate()) {
            (First::Tls, Some(certificate)) => {
                // A failed handshake concerns only its client.
                if let Ok((stream, _)) = certificate.tls.accept_any(socket).await {
                    serve(TokioIo::new(stream), routes, from).await;
                }
            }
            _ => {
                serve(TokioIo::new(socket), routes, from).await;
            }
        }
    };
    let _ = until(node, deadline, answering).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Answer;
    use super::*;
    use crate::liveness::Liveness;
    use http_body_util::Full;
    use hyper::body::{Bytes, Incoming};
    use hyper::{Request, Response};
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use whoelse_core::kit::BoxFuture;
    use whoelse_core::settings::Settings;
    use whoelse_core::{Clock, Node, Time};
    use whoelse_store::{Location, Store};

    /// More than the system buffers between two sockets of this machine.
    const LARGE: usize = 64 << 20;

    impl Served for () {}

    const ROUTES: &[Route<()>] = &[Route::get("/large", large)];

    fn large(_: Arc<()>, _: Request<Incoming>) -> BoxFuture<'static, Answer> {
        let body: super::super::Body = Box::new(Full::new(Bytes::from(vec![b'x'; LARGE])));
        Box::pin(std::future::ready(Response::new(body)))
    }

    /// A listener whose clock is moved by hand.
    struct World {
        connections: Arc<Connections>,
        address: SocketAddr,
        end: watch::Sender<bool>,
        listening: tokio::task::JoinHandle<()>,
    }

    impl World {
        async fn new() -> World {
            let store = Store::open(&Location::Memory).await.unwrap();
            let clock = Clock::manual(Time(0));
            let node = Node::start(Settings::default(), clock, store, &[], None).await.unwrap();
            let beat = Liveness::new(node.clone()).beat("test");
            let connections = Connections::new(node, None);
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let end = watch::Sender::new(false);
            let listening =
                listen(listener, ROUTES, Arc::new(()), connections.clone(), end.subscribe(), beat);
            World { connections, address, end, listening: tokio::spawn(listening) }
        }

        /// A connection that has begun to ask.
        async fn asking(&self, request: &str) -> TcpStream {
            let mut socket = TcpStream::connect(self.address).await.unwrap();
            socket.write_all(request.as_bytes()).await.unwrap();
            socket
        }

        /// Moves the clock past the lifetime of every connection, after they have been let in.
        async fn all_is_over(&self) {
            let clock = &self.connections.node().clock;
            let end = clock.steady().after(LIFE);
            while clock.steady() < end {
                clock.advance_to(end);
                tokio::task::yield_now().await;
            }
        }
    }

    async fn rest(socket: &mut TcpStream) -> Vec<u8> {
        let mut heard = Vec::new();
        // A connection that is reset has ended as well.
        let _ = socket.read_to_end(&mut heard).await;
        heard
    }

    #[tokio::test]
    async fn so_many_are_answered_at_once_and_the_next_is_closed() {
        let world = World::new().await;
        let mut asking = Vec::new();
        for _ in 0..CONNECTIONS {
            asking.push(world.asking("GET /large HT").await);
        }

        let mut next = world.asking("").await;
        assert_eq!(rest(&mut next).await, b"");

        // A connection that ends makes room.
        asking.truncate(CONNECTIONS - 1);
        let answered = loop {
            let mut again = world.asking("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
            let heard = rest(&mut again).await;
            if !heard.is_empty() {
                break heard;
            }
        };
        assert!(answered.starts_with(b"HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn who_does_not_say_all_or_does_not_read_is_let_go_of_in_time() {
        let world = World::new().await;
        let mut half = world.asking("GET /large HTTP/1.1\r\nho").await;
        let mut slow = world.asking("GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
        slow.read_exact(&mut [0; 12]).await.unwrap();
        // Connections are accepted in order, so an answer to the next one means that both are in.
        let mut next = world.asking("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(rest(&mut next).await.starts_with(b"HTTP/1.1 404"));

        world.all_is_over().await;

        assert_eq!(rest(&mut half).await, b"");
        assert!(rest(&mut slow).await.len() < LARGE);
        world.end.send_replace(true);
        world.listening.await.unwrap();
    }
}
