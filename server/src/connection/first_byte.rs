//! One port for two protocols: whoever begins with TLS on a listener for STARTTLS looks for the relay.
//!
//! A client of XMPP begins with `<`, or with white space before it (RFC 6120, 11.7); a TLS record
//! of a handshake begins with 22 (RFC 8446, 5.1). One look at the first byte tells, and takes
//! nothing out of the socket.

use super::{Arrived, negotiation, until};
use crate::relay::Relay;
use std::sync::Arc;
use tokio::net::TcpStream;

/// The content type of a handshake.
const HANDSHAKE: u8 = 22;

/// Looks, and hands the connection on.
pub(super) async fn run(arrived: Arrived, relay: Arc<Relay>, socket: TcpStream) {
    let node = arrived.running.node.clone();
    let first = tokio::select! {
        biased;
        first = until(&node, arrived.deadline, look(&socket)) => first.flatten(),
        () = arrived.running.closing() => None,
    };
    let (Some(HANDSHAKE), Some(certificate)) = (first, &arrived.running.tls) else {
        // Who said nothing in time is told so by the machine, as ever.
        return negotiation::run(arrived, socket).await;
    };
    // On the heap: nearly every connection is the other kind.
    let serving = Box::pin(relay.serve(&certificate.tls, socket));
    let reason = tokio::select! {
        biased;
        served = until(&node, arrived.deadline, serving) => match served {
            Some(Ok(())) => "relay",
            Some(Err(error)) => {
                node.numbers.handshakes_failed.one();
                tracing::debug!(address = %arrived.peer.address, %error, "handshake_failed");
                "no handshake"
            }
            None => "not at the relay in time",
        },
        () = arrived.running.closing() => "shutdown",
    };
    node.numbers.disconnected.one("negotiation", reason);
    // With `relay` it has what it came for: a place there, or an answer. Who it is stays unsaid.
    tracing::info!(address = %arrived.peer.address, reason, "disconnected");
}

/// The first byte, if one comes.
async fn look(socket: &TcpStream) -> Option<u8> {
    let mut first = [0];
    match socket.peek(&mut first).await {
        Ok(1..) => Some(first[0]),
        Ok(0) | Err(_) => None,
    }
}
