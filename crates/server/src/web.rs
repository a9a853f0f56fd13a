//! HTTP: tables of routes, and the limits for each request.
//!
//! Each listener says which table it serves. Operators have a listener of their own ([`listen`]),
//! and so have browsers. Other clients are answered on the ports they connect to, where the first
//! bytes decide the protocol (`crate::ingress`). A connection serves one request, and no body is
//! read but those of BOSH. The caller of [`serve`] sets the connection's deadline.

mod bosh;
mod browsers;
mod forwarded;
mod host_meta;
mod listen;
mod operators;
mod proxy_header;
mod same_site;
mod websocket;

pub(crate) use browsers::{BROWSERS, Visit, Web};
pub(crate) use forwarded::Origin;
pub(crate) use listen::listen;
pub(crate) use operators::Site;
pub(crate) use proxy_header::{Said, begins as begins_proxy_header, read as read_proxy_header};

use crate::ingress::Connections;
use http_body_util::{Empty, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::oneshot;
use whoelse_core::kit::BoxFuture;

/// `[metrics] listen`: these pages are for the operator, so they belong on loopback or behind a
/// firewall. The configuration refuses any other address unless it is allowed explicitly.
pub(crate) const OPERATORS: &[Route<Site>] =
    &[Route::get("/metrics", operators::metrics), Route::get("/health", operators::health)];

/// Over TLS, on the ports that clients connect to.
pub(crate) const CLIENTS: &[Route<Connections>] = &[
    #[cfg(feature = "relay")]
    Route::get(iroh_relay::http::RELAY_PATH, crate::relay::routes::relay),
    #[cfg(feature = "relay")]
    Route::get(iroh_relay::http::RELAY_PROBE_PATH, crate::relay::routes::probe),
];

/// The same ports in clear: every path answers 404.
pub(crate) const CLIENTS_IN_CLEAR: &[Route<Connections>] = &[];

/// Largest head of a request, in bytes; a larger one is refused. hyper allows no smaller limit.
const HEAD: usize = 8 << 10;

/// One path and its handler. `T` is what the answer is made from.
pub(crate) struct Route<T> {
    path: &'static str,
    /// The methods that are answered.
    takes: &'static [&'static str],
    answer: fn(Arc<T>, Request<Incoming>) -> BoxFuture<'static, Answer>,
}

impl<T> Route<T> {
    /// What is answered to a GET or a HEAD.
    pub const fn get(
        path: &'static str,
        answer: fn(Arc<T>, Request<Incoming>) -> BoxFuture<'static, Answer>,
    ) -> Route<T> {
        Route { path, takes: &["GET", "HEAD"], answer }
    }
}

/// An answer.
pub(crate) type Answer = Response<Body>;
/// The body of an answer.
pub(crate) type Body =
    Box<dyn hyper::body::Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static>;

/// What answers are made from.
pub(crate) trait Served: Send + Sync + 'static {
    /// Refuses a request before its path is looked at.
    fn refusal(&self, _: &Request<Incoming>) -> Option<Answer> {
        None
    }
}

impl Served for Connections {}
impl Served for Site {}

/// A connection that has been answered with [`switched`].
pub(crate) struct Switched<I> {
    pub io: I,
    /// What has been read of what follows the request.
    pub read: Bytes,
}

/// Answers the one request of a connection. Returns when the request is answered or has failed, and
/// then the connection if it goes on in another protocol ([`switched`]). If it was upgraded
/// elsewhere, returns when the owner of its [`Held`] drops it.
pub(crate) async fn serve<T: Served, I: Read + Write + Unpin + Send + 'static>(
    io: I,
    routes: &'static [Route<T>],
    from: Arc<T>,
) -> Option<Switched<I>> {
    let (held, released) = oneshot::channel();
    let held = Held(Arc::new(held));
    let goes_on = Arc::new(Mutex::new(None));
    let noted = goes_on.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(held.clone());
        let answer = answer(routes, from.clone(), request);
        let noted = noted.clone();
        async move {
            let mut answer = answer.await;
            // Said here and not by hyper (`keep_alive(false)`), which says it even where the connection
            // goes on; Caddy then takes out that it does.
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            *noted.lock() = answer.extensions_mut().remove::<OnUpgrade>();
            Ok::<_, Infallible>(answer)
        }
    });
    let connection =
        http1::Builder::new().max_buf_size(HEAD).serve_connection(io, service).with_upgrades();
    // A bad request or a hang-up concerns only its client.
    let _ = connection.await;
    // Never sent: it fails when the last holder of the other end drops it.
    let _ = released.await;
    let goes_on = goes_on.lock().take()?;
    let parts = goes_on.await.ok()?.downcast::<I>().ok()?;
    Some(Switched { io: parts.io, read: parts.read_buf })
}

/// The answer after which a connection speaks another protocol: [`serve`] hands it back.
fn switched(mut request: Request<Incoming>) -> Answer {
    let goes_on = hyper::upgrade::on(&mut request);
    let nothing: Body = Box::new(Empty::new());
    let mut answer = Response::new(nothing);
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    answer.extensions_mut().insert(goes_on);
    answer
}

/// Travels with a request; the connection is not done before it is dropped.
#[derive(Clone)]
struct Held(#[expect(dead_code, reason = "held to be dropped")] Arc<oneshot::Sender<Infallible>>);

async fn answer<T: Served>(
    routes: &[Route<T>],
    from: Arc<T>,
    request: Request<Incoming>,
) -> Answer {
    if let Some(refusal) = from.refusal(&request) {
        return refusal;
    }
    let Some(route) = routes.iter().find(|route| route.path == request.uri().path()) else {
        return not_found();
    };
    if !route.takes.contains(&request.method().as_str()) {
        let first = route.takes.first().copied().unwrap_or_default();
        let mut refused =
            text(StatusCode::METHOD_NOT_ALLOWED, format!("only {first} is answered\n"));
        if let Ok(takes) = HeaderValue::from_str(&route.takes.join(", ")) {
            refused.headers_mut().insert(ALLOW, takes);
        }
        return refused;
    }
    (route.answer)(from, request).await
}

/// There is nothing at this path.
pub(crate) fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "there is nothing here\n")
}

/// A sentence for people.
pub(crate) fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    of_type(status, "text/plain; charset=utf-8", text)
}

/// An answer made for this request alone.
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
