//! From a request over TLS to an admitted connection of the relay.
//!
//! One request becomes a WebSocket, on which a key is proved and the token looked at. The library
//! has no end to its patience once it has the WebSocket, so whoever comes is held in the listener,
//! half open, until it has admitted or refused him.

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

/// A connection to the relay; what is asked for while nothing is relayed is not there.
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

/// By this clients measure how far away the relay is, where UDP does not pass.
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
