//! One port for three protocols: a stream in clear that asks for STARTTLS; a stream over TLS
//! (XEP-0368), which many clients try first on any port; and an HTTP request.
//!
//! A stream begins with `<` or with white space before it (RFC 6120, 11.7), a TLS handshake record
//! with 22 (RFC 8446, 5.1), and an HTTP request with its method. So the first bytes decide, in
//! clear and again over TLS; they are peeked and not consumed, and what has arrived of a method is
//! enough. Whatever else begins with a letter (SSH, SMTP) gets the error of a malformed stream. ALPN
//! does not decide, because not every client offers a protocol. A connection of any kind is half
//! open until it has logged in or is answered, within one deadline.

use super::negotiation::{self, handshake};
use super::{Arrived, until};
use crate::web;
use hyper_util::rt::TokioIo;
use rustix::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use whoelse_stream::ChannelBindings;

/// The content type of a handshake.
const HANDSHAKE: u8 = 22;

/// The methods of HTTP (RFC 9110, 9.3, and RFC 5789).
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
/// How much is peeked: the longest method and the blank after it.
const PEEKED: usize = 8;

/// The protocol that the first bytes begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// A TLS handshake.
    Tls,
    /// An HTTP request.
    Http,
    /// A stream, or bytes that get the answer to a malformed stream.
    Xmpp,
}

impl First {
    fn of(bytes: &[u8]) -> First {
        let word = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
        let is_whole = word.len() < bytes.len();
        let begins = |method: &&str| match is_whole {
            true => method.as_bytes() == word,
            false => method.as_bytes().starts_with(word),
        };
        match bytes {
            [] => First::Xmpp,
            [HANDSHAKE, ..] => First::Tls,
            _ if METHODS.iter().any(begins) => First::Http,
            _ => First::Xmpp,
        }
    }

    /// Returns what begins on a socket. A socket that ends before its first byte counts as a
    /// stream.
    pub(crate) async fn in_clear(socket: &TcpStream) -> First {
        let mut first = [0; PEEKED];
        let peeked = socket.peek(&mut first).await.unwrap_or_default();
        First::of(first.get(..peeked).unwrap_or_default())
    }

    /// Does the same after a handshake.
    async fn over_tls(stream: &mut TlsStream<TcpStream>) -> First {
        let read = stream.fill_buf().await.unwrap_or_default();
        First::of(read.get(..PEEKED).unwrap_or(read))
    }
}

/// Peeks, and hands the connection on.
pub(super) async fn run(arrived: Arrived, socket: TcpStream) {
    // A client that says nothing in time gets the error that any stream gets.
    match in_time(&arrived, First::in_clear(&socket)).await.unwrap_or(First::Xmpp) {
        // Boxed, like the next one, because nearly every connection is the last kind.
        First::Tls => Box::pin(run_tls(arrived, socket)).await,
        First::Http => {
            let serving =
                web::serve(TokioIo::new(socket), web::CLIENTS_IN_CLEAR, (*arrived.running).clone());
            let answered = answered(&arrived, Box::pin(serving)).await;
            arrived.running.note_unopened(&arrived.peer, answered.err().unwrap_or(ANSWERED));
        }
        First::Xmpp => negotiation::run(arrived, socket).await,
    }
}

/// Does the same on a port where TLS comes first.
pub(super) async fn run_tls(arrived: Arrived, socket: TcpStream) {
    let Some(certificate) = arrived.running.certificate() else {
        return arrived.running.note_unopened(&arrived.peer, "no certificate");
    };
    let shaking = Box::pin(certificate.tls.accept_any(socket));
    let shaken = handshake(&arrived.running, &arrived.peer, arrived.deadline, shaking).await;
    let (mut stream, channel) = match shaken {
        Ok(shaken) => shaken,
        Err(reason) => return arrived.running.note_unopened(&arrived.peer, reason),
    };
    match in_time(&arrived, First::over_tls(&mut stream)).await.unwrap_or(First::Xmpp) {
        First::Http => Box::pin(answer(arrived, stream)).await,
        First::Tls | First::Xmpp => log_in(arrived, stream, channel).await,
    }
}

async fn log_in(arrived: Arrived, stream: TlsStream<TcpStream>, channel: ChannelBindings) {
    Box::pin(negotiation::run_encrypted(arrived, stream, channel)).await;
}

/// Returns what a peek finds, unless the deadline comes or the server shuts down first.
pub(super) async fn in_time<T>(arrived: &Arrived, look: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        found = until(&arrived.running.node, arrived.deadline, look) => found,
        () = arrived.running.closing() => None,
    }
}

/// Answers a request over TLS. An answer may upgrade the connection and go on in another task,
/// which may take any time; if it has not come to its end here by the deadline, the socket is cut.
async fn answer(arrived: Arrived, stream: TlsStream<TcpStream>) {
    let reason = match stream.get_ref().0.as_fd().try_clone_to_owned() {
        Ok(socket) => {
            let cut = Cut(Some(socket));
            let connections = (*arrived.running).clone();
            let serving = Box::pin(web::serve(carried(stream), web::CLIENTS, connections));
            let answered = answered(&arrived, serving).await;
            if answered.is_ok() {
                cut.spare();
            }
            answered.err().unwrap_or(ANSWERED)
        }
        Err(_) => "no descriptor",
    };
    arrived.running.note_unopened(&arrived.peer, reason);
}

/// How a request ends that was answered; the log does not say who it was.
pub(super) const ANSWERED: &str = "answered";

/// Waits for an answer until the deadline. Fails with how it ended, for the count.
pub(super) async fn answered<T>(
    arrived: &Arrived,
    serving: impl Future<Output = T>,
) -> Result<T, &'static str> {
    tokio::select! {
        biased;
        served = until(&arrived.running.node, arrived.deadline, serving) => {
            served.ok_or("not answered in time")
        }
        () = arrived.running.closing() => Err("shutdown"),
    }
}

/// Wraps the stream as the relay's library needs it, in case the relay is asked for.
#[cfg(feature = "relay")]
fn carried(stream: TlsStream<TcpStream>) -> TokioIo<iroh_relay::server::streams::MaybeTlsStream> {
    TokioIo::new(iroh_relay::server::streams::MaybeTlsStream::Tls(stream))
}

#[cfg(not(feature = "relay"))]
fn carried(stream: TlsStream<TcpStream>) -> TokioIo<TlsStream<TcpStream>> {
    TokioIo::new(stream)
}

/// A second handle of a socket that another task may own by now; shuts it down.
struct Cut(Option<OwnedFd>);

impl Cut {
    /// Leaves the connection to its owner.
    fn spare(mut self) {
        self.0 = None;
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            // Fails if the socket is already closed.
            let _ = rustix::net::shutdown(socket, Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_method_of_http_begins_a_request() {
        for (first, bytes) in [
            (First::Http, &b"GET / HT"[..]),
            (First::Http, b"HEAD /he"),
            (First::Http, b"POST /pi"),
            (First::Http, b"CONNECT "),
            (First::Http, b"OPTIONS "),
            // The rest may be on its way.
            (First::Http, b"G"),
            (First::Http, b"PO"),
            (First::Http, b"CONNECT"),
            (First::Xmpp, b""),
            (First::Xmpp, b"<stream:"),
            (First::Xmpp, b"  <?xml "),
            (First::Xmpp, b"SSH-2.0-"),
            (First::Xmpp, b"EHLO me\r"),
            (First::Xmpp, b"HELO me\r"),
            (First::Xmpp, b"QUIT\r\n"),
            (First::Xmpp, b"GETS / H"),
            (First::Xmpp, b"GE / HTT"),
            (First::Xmpp, b"get / HT"),
            (First::Xmpp, b" "),
            (First::Tls, &[22, 3, 1, 2, 0, 1, 0, 1]),
            (First::Tls, &[22]),
        ] {
            assert_eq!(First::of(bytes), first, "{bytes:?}");
        }
    }
}
