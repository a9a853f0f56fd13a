//! From the first request over TLS to an admitted connection of the relay.
//!
//! It is HTTP, one request of which becomes a WebSocket, on which a key is proved and the
//! token looked at. The library has no end to its patience once it has the WebSocket, so whoever
//! comes is held here, half open, until it has admitted or refused him.

use super::Relay;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use iroh_relay::http::RELAY_PROBE_PATH;
use iroh_relay::server::http_server::{BytesBody, HyperError, RelayServiceWithNotify};
use iroh_relay::server::streams::MaybeTlsStream;
use rustix::net::Shutdown;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio_rustls::server::TlsStream;

/// Bytes of a request's head: a token and what a library adds. Less hyper does not allow.
const HEAD: usize = 8 << 10;
/// How long the head may take.
const HEAD_TIME: Duration = Duration::from_secs(10);

impl Relay {
    /// Serves one connection until the library has admitted or refused it. When this future is
    /// dropped before that, the connection is cut off. Fails when the system has no descriptor to
    /// do that by.
    pub async fn serve(&self, stream: TlsStream<TcpStream>) -> io::Result<()> {
        let cut = Cut(Some(stream.get_ref().0.as_fd().try_clone_to_owned()?));
        let (held, released) = oneshot::channel();
        let service = Door {
            relay: RelayServiceWithNotify::new(self.service.clone(), Arc::new(Notify::new())),
            held: Held(Arc::new(held)),
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD)
            .keep_alive(false)
            .serve_connection(TokioIo::new(MaybeTlsStream::Tls(stream)), service)
            .with_upgrades();
        // Whoever asks badly or hangs up has done that to himself.
        let _ = connection.await;
        // Never sent: it comes when the last who held the other end is done.
        let _ = released.await;
        cut.spare();
        Ok(())
    }
}

/// A second handle of a socket that the library has, by which it is cut off.
struct Cut(Option<OwnedFd>);

impl Cut {
    /// Leaves the connection to the library.
    fn spare(mut self) {
        self.0 = None;
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            // Fails when it is closed already.
            let _ = rustix::net::shutdown(socket, Shutdown::Both);
        }
    }
}

/// Travels with the request, which the library keeps until it has admitted or refused.
#[derive(Clone)]
struct Held(#[expect(dead_code, reason = "held to be dropped")] Arc<oneshot::Sender<Infallible>>);

/// What is asked of the relay.
struct Door {
    relay: RelayServiceWithNotify,
    held: Held,
}

impl Service<Request<Incoming>> for Door {
    type Response = Response<BytesBody>;
    type Error = HyperError;
    type Future = Ready<Result<Response<BytesBody>, HyperError>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        // By this clients measure how far away the relay is, where UDP does not pass.
        if request.method() == Method::GET && request.uri().path() == RELAY_PROBE_PATH {
            let nothing: BytesBody = Box::<http_body_util::Full<_>>::default();
            return ready(Ok(Response::new(nothing)));
        }
        request.extensions_mut().insert(self.held.clone());
        // It answers 404 to everything but `/relay`.
        self.relay.call(request)
    }
}
