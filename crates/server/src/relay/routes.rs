//! From a request over TLS to an admitted connection of the relay.
//!
//! A request becomes a WebSocket, over which the key is proved and the token checked. The library
//! has no timeout once it has the WebSocket. So the connection stays half open at its listener,
//! under the listener's deadline, until the library has admitted or refused it.

use super::Relay;
use crate::ingress::Connections;
use crate::web::{Answer, Body, not_found, text};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};
use iroh_relay::server::http_server::RelayServiceWithNotify;
use std::future::ready;
use std::sync::Arc;
use tokio::sync::Notify;
use whoelse_core::kit::BoxFuture;

/// Answers a request for a relay connection; with 404 while nothing is relayed.
pub(crate) fn relay(
    connections: Arc<Connections>,
    request: Request<Incoming>,
) -> BoxFuture<'static, Answer> {
    let Some(relay) = allowed(&connections) else { return Box::pin(ready(not_found())) };
    let service = RelayServiceWithNotify::new(relay.service.clone(), Arc::new(Notify::new()));
    Box::pin(async move {
        let failed = |_| text(StatusCode::INTERNAL_SERVER_ERROR, "the relay has failed\n");
        service.call(request).await.unwrap_or_else(failed)
    })
}

/// Answers the probe by which clients measure the distance to the relay when UDP is blocked.
pub(crate) fn probe(
    connections: Arc<Connections>,
    _: Request<Incoming>,
) -> BoxFuture<'static, Answer> {
    let nothing: Body = Box::new(Empty::new());
    let answer = match allowed(&connections) {
        Some(_) => Response::new(nothing),
        None => not_found(),
    };
    Box::pin(ready(answer))
}

fn allowed(connections: &Connections) -> Option<&Arc<Relay>> {
    connections.relay().filter(|relay| relay.is_allowed())
}
