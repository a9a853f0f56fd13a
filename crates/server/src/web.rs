//! HTTP: what is answered and where, as tables of routes, and the limits within which anybody is.
//!
//! Each listener says which table it serves. What is for operators has a listener of
//! its own ([`listen`]); what is for clients is answered on the ports they connect to, where the
//! first bytes decide what is spoken (`crate::ingress`). One request is answered on a connection,
//! and no body is read. Whoever serves gives the connection its deadline.

mod listen;
mod operators;

pub(crate) use listen::listen;
pub(crate) use operators::Site;

use crate::ingress::Connections;
use http_body_util::Full;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::oneshot;
use whoelse_core::kit::BoxFuture;

/// `[metrics] listen`: what it says is for the operator, so it belongs on loopback or behind a
/// firewall; the configuration refuses anything else unless it is said explicitly.
pub(crate) const OPERATORS: &[Route<Site>] = &[
    Route { path: "/metrics", get: operators::metrics },
    Route { path: "/health", get: operators::health },
];

/// Over TLS, on the ports that clients connect to.
pub(crate) const CLIENTS: &[Route<Connections>] = &[
    #[cfg(feature = "relay")]
    Route { path: iroh_relay::http::RELAY_PATH, get: crate::relay::routes::relay },
    #[cfg(feature = "relay")]
    Route { path: iroh_relay::http::RELAY_PROBE_PATH, get: crate::relay::routes::probe },
];

/// In clear, on the same ports: whoever asks is told that nothing is there.
pub(crate) const CLIENTS_IN_CLEAR: &[Route<Connections>] = &[];

/// Bytes of a request's head; it is refused past this. Less hyper does not allow.
const HEAD: usize = 8 << 10;

/// One path, and what is answered to whoever asks for it. `T` is what the answer is made from.
pub(crate) struct Route<T> {
    path: &'static str,
    /// Answers a GET or a HEAD.
    get: fn(Arc<T>, Request<Incoming>) -> BoxFuture<'static, Answer>,
}

/// An answer.
pub(crate) type Answer = Response<Body>;
/// What is in it.
pub(crate) type Body =
    Box<dyn hyper::body::Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static>;

/// Answers the one request of a connection. Returns when it is answered, or cannot be; and if the
/// connection has become something else, when whoever has it lets go of its [`Held`].
pub(crate) async fn serve<T: Send + Sync + 'static>(
    io: impl Read + Write + Unpin + Send + 'static,
    routes: &'static [Route<T>],
    from: Arc<T>,
) {
    let (held, released) = oneshot::channel();
    let held = Held(Arc::new(held));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(held.clone());
        let answer = answer(routes, from.clone(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(io, service)
        .with_upgrades();
    // Whoever asks badly or hangs up has done that to himself.
    let _ = connection.await;
    // Never sent: it comes when the last who held the other end is done.
    let _ = released.await;
}

/// Travels with a request, as long as its connection is not done.
#[derive(Clone)]
struct Held(#[expect(dead_code, reason = "held to be dropped")] Arc<oneshot::Sender<Infallible>>);

async fn answer<T>(routes: &[Route<T>], from: Arc<T>, request: Request<Incoming>) -> Answer {
    let Some(route) = routes.iter().find(|route| route.path == request.uri().path()) else {
        return not_found();
    };
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    (route.get)(from, request).await
}

/// There is nothing at this path.
pub(crate) fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "there is nothing here\n")
}

/// A sentence for people.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Answer {
    of_type(status, "text/plain; charset=utf-8", text)
}

/// Something made for this request alone.
fn of_type(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let body: Body = Box::new(Full::new(body.into()));
    let is_empty = body.is_end_stream();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if !is_empty {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
