//! `[metrics] listen`: a listener of its own for `/metrics` (OpenMetrics) and `/health`.
//!
//! It answers two questions and nothing else: no body is read, no connection is kept, and every
//! bound stands below. What it says is for the operator, so it belongs on loopback or behind a
//! firewall; the configuration refuses anything else unless it is said explicitly.

use crate::health::Health;
use crate::liveness::Beat;
use crate::metrics::{CONTENT_TYPE, Metrics};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE as TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinSet;
use whoelse_xmpp::in_words;

/// Connections at once; one more is closed at once. A monitor needs one or two.
const CONNECTIONS: usize = 16;
/// Bytes of a request's head; it is refused past this. Less hyper does not allow.
const HEAD: usize = 8 << 10;
/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a connection lives, whatever it does.
const LIFE: Duration = Duration::from_secs(10);

/// What is answered.
pub(crate) struct Site {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    /// Making a page looks at every session: one at a time.
    pub one: Mutex<()>,
}

/// Answers until it is told to end; what is being answered then is finished.
pub(crate) async fn serve(
    listener: TcpListener,
    site: Arc<Site>,
    mut end: watch::Receiver<bool>,
    mut beat: Beat,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut answering = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // Fails without a sender, and then there is nobody to answer for.
            _ = end.wait_for(|end| *end) => break,
            () = beat.answer() => continue,
            Some(_) = answering.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, _)) => {
                if let Ok(permit) = room.clone().try_acquire_owned() {
                    let site = site.clone();
                    answering.spawn(async move {
                        answer(socket, site).await;
                        drop(permit);
                    });
                }
            }
            Err(error) => {
                site.metrics.connections.node().failing(
                    "metrics_accept_failed",
                    None,
                    &in_words(&error),
                );
                tokio::time::sleep(crate::ingress::tcp::PAUSE).await;
            }
        }
    }
    drop(listener);
    while answering.join_next().await.is_some() {}
}

async fn answer(socket: TcpStream, site: Arc<Site>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let site = site.clone();
        async move { Ok::<_, Infallible>(respond(&request, &site).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    // Whoever asks badly or hangs up has done that to himself.
    let _ = tokio::time::timeout(LIFE, connection).await;
}

async fn respond(request: &Request<Incoming>, site: &Site) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => {
            let _one = site.one.lock().await;
            match site.metrics.page() {
                Ok(page) => of_type(StatusCode::OK, CONTENT_TYPE, page),
                Err(error) => {
                    site.metrics.connections.node().failing("metrics_failed", None, &error);
                    text(StatusCode::INTERNAL_SERVER_ERROR, "see the server's log\n".to_owned())
                }
            }
        }
        "/health" => {
            let report = site.health.report();
            let status = match report.is_well() {
                true => StatusCode::OK,
                false => StatusCode::SERVICE_UNAVAILABLE,
            };
            of_type(status, "application/json", report.to_json() + "\n")
        }
        _ => text(StatusCode::NOT_FOUND, "there are /metrics and /health\n".to_owned()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    of_type(status, "text/plain; charset=utf-8", body)
}

fn of_type(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
