//! One port for whatever a client begins with: a stream in clear, which asks for STARTTLS; a stream
//! over TLS (XEP-0368), which many clients try first on any port; a request to the relay.
//!
//! A stream begins with `<`, or with white space before it (RFC 6120, 11.7); a TLS record of a
//! handshake with 22 (RFC 8446, 5.1); a request of HTTP with the name of a method, in capitals.
//! So one look at the first byte tells, in clear and again over TLS, and takes nothing out of the
//! connection. ALPN decides nothing: not every client names a protocol.

use super::negotiation::{self, handshake};
use super::{Arrived, until};
use tokio::net::TcpStream;

/// The content type of a handshake.
const HANDSHAKE: u8 = 22;

/// Looks, and hands the connection on.
pub(super) async fn run(arrived: Arrived, socket: TcpStream) {
    let first = in_time(&arrived, look(&socket)).await;
    let (Some(HANDSHAKE), Some(certificate)) = (first, &arrived.running.tls) else {
        // Who said nothing in time is told so by the machine, as ever.
        return negotiation::run(arrived, socket).await;
    };
    // On the heap: nearly every connection is the other kind.
    let shaking = Box::pin(certificate.tls.accept_any(socket));
    let shaken = handshake(&arrived.running, &arrived.peer, arrived.deadline, shaking).await;
    let (stream, channel) = match shaken {
        Ok(shaken) => shaken,
        Err(reason) => return arrived.running.note_unopened(&arrived.peer, reason),
    };
    #[cfg(feature = "relay")]
    let stream = match relay::take(&arrived, stream).await {
        Some(stream) => stream,
        None => return,
    };
    Box::pin(negotiation::run_encrypted(arrived, stream, channel)).await;
}

/// The first byte, if one comes.
async fn look(socket: &TcpStream) -> Option<u8> {
    let mut first = [0];
    match socket.peek(&mut first).await {
        Ok(1..) => Some(first[0]),
        Ok(0) | Err(_) => None,
    }
}

/// What a look finds before the deadline, and before the server goes away.
async fn in_time(arrived: &Arrived, look: impl Future<Output = Option<u8>>) -> Option<u8> {
    tokio::select! {
        biased;
        first = until(&arrived.running.node, arrived.deadline, look) => first.flatten(),
        () = arrived.running.closing() => None,
    }
}

#[cfg(feature = "relay")]
mod relay {
    use super::{Arrived, in_time, until};
    use tokio::io::AsyncBufReadExt;
    use tokio::net::TcpStream;
    use tokio_rustls::server::TlsStream;

    /// Serves a request to the relay, until whoever asks is admitted or refused. Anything else is
    /// given back, and so is everything while nothing is relayed.
    pub(super) async fn take(
        arrived: &Arrived,
        mut stream: TlsStream<TcpStream>,
    ) -> Option<TlsStream<TcpStream>> {
        let connections = &arrived.running;
        let Some(relay) = connections.relay.get().filter(|relay| relay.is_allowed()) else {
            return Some(stream);
        };
        let first = async { stream.fill_buf().await.ok().and_then(|read| read.first().copied()) };
        if !in_time(arrived, first).await.is_some_and(|first| first.is_ascii_uppercase()) {
            return Some(stream);
        }
        let reason = tokio::select! {
            biased;
            served = until(&connections.node, arrived.deadline, Box::pin(relay.serve(stream))) => {
                match served {
                    // It has what it came for: a place there, or an answer. Who it is stays unsaid.
                    Some(Ok(())) => "relay",
                    Some(Err(error)) => {
                        tracing::debug!(address = %arrived.peer.address, %error, "relay_refused");
                        "not at the relay"
                    }
                    None => "not at the relay in time",
                }
            }
            () = connections.closing() => "shutdown",
        };
        connections.note_unopened(&arrived.peer, reason);
        None
    }
}
