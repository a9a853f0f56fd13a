//! One port for whatever a client begins with: a stream in clear, which asks for STARTTLS; a stream
//! over TLS (XEP-0368), which many clients try first on any port; a request of HTTP.
//!
//! A stream begins with `<`, or with white space before it (RFC 6120, 11.7); a TLS record of a
//! handshake with 22 (RFC 8446, 5.1); a request of HTTP with the name of a method, in capitals.
//! So one look at the first byte tells, in clear and again over TLS, and takes nothing out of the
//! connection. ALPN decides nothing: not every client names a protocol. Whatever it is, it is half
//! open until it has logged in or is answered, and all of that within one time.

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

/// What begins with a first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    /// A handshake.
    Tls,
    /// A request.
    Http,
    /// A stream, or something that is answered as a stream that is none.
    Xmpp,
}

impl First {
    fn of(byte: u8) -> First {
        match byte {
            HANDSHAKE => First::Tls,
            b'A'..=b'Z' => First::Http,
            _ => First::Xmpp,
        }
    }

    /// What begins on a socket. One that ends before it has begun is taken for a stream.
    pub(crate) async fn in_clear(socket: &TcpStream) -> First {
        let mut first = [0];
        match socket.peek(&mut first).await {
            Ok(1..) => First::of(first[0]),
            Ok(0) | Err(_) => First::Xmpp,
        }
    }

    /// The same after a handshake.
    async fn over_tls(stream: &mut TlsStream<TcpStream>) -> First {
        let read = stream.fill_buf().await.ok();
        read.and_then(|read| read.first().copied()).map_or(First::Xmpp, First::of)
    }
}

/// Looks, and hands the connection on.
pub(super) async fn run(arrived: Arrived, socket: TcpStream) {
    match in_time(&arrived, First::in_clear(&socket)).await {
        // On the heap, like the next: nearly every connection is the last kind.
        First::Tls => Box::pin(run_tls(arrived, socket)).await,
        First::Http => {
            let serving =
                web::serve(TokioIo::new(socket), web::CLIENTS_IN_CLEAR, (*arrived.running).clone());
            let reason = answered(&arrived, Box::pin(serving)).await.unwrap_or_else(|why| why);
            arrived.running.note_unopened(&arrived.peer, reason);
        }
        First::Xmpp => negotiation::run(arrived, socket).await,
    }
}

/// The same where TLS comes first.
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
    match in_time(&arrived, First::over_tls(&mut stream)).await {
        First::Http => Box::pin(answer(arrived, stream)).await,
        First::Tls | First::Xmpp => log_in(arrived, stream, channel).await,
    }
}

async fn log_in(arrived: Arrived, stream: TlsStream<TcpStream>, channel: ChannelBindings) {
    Box::pin(negotiation::run_encrypted(arrived, stream, channel)).await;
}

/// What a look finds before the deadline, and before the server goes away. Who says nothing in time
/// is told so as on any stream.
async fn in_time(arrived: &Arrived, look: impl Future<Output = First>) -> First {
    tokio::select! {
        biased;
        first = until(&arrived.running.node, arrived.deadline, look) => {
            first.unwrap_or(First::Xmpp)
        }
        () = arrived.running.closing() => First::Xmpp,
    }
}

/// Answers a request over TLS. Some of them become something else, in a task of whoever answered,
/// who may take any time: one that has not come to its end here in time is cut off.
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
            answered.unwrap_or_else(|why| why)
        }
        Err(_) => "no descriptor",
    };
    arrived.running.note_unopened(&arrived.peer, reason);
}

/// Waits for an answer, but not past the deadline. It says how it ended, for the count.
async fn answered(
    arrived: &Arrived,
    serving: impl Future<Output = ()>,
) -> Result<&'static str, &'static str> {
    tokio::select! {
        biased;
        served = until(&arrived.running.node, arrived.deadline, serving) => {
            // Who it was stays unsaid.
            served.map(|()| "answered").ok_or("not answered in time")
        }
        () = arrived.running.closing() => Err("shutdown"),
    }
}

/// The stream as the relay's library wants it, should it be asked for.
#[cfg(feature = "relay")]
fn carried(stream: TlsStream<TcpStream>) -> TokioIo<iroh_relay::server::streams::MaybeTlsStream> {
    TokioIo::new(iroh_relay::server::streams::MaybeTlsStream::Tls(stream))
}

#[cfg(not(feature = "relay"))]
fn carried(stream: TlsStream<TcpStream>) -> TokioIo<TlsStream<TcpStream>> {
    TokioIo::new(stream)
}

/// A second handle of a socket that somebody else may have by now, by which it is cut off.
struct Cut(Option<OwnedFd>);

impl Cut {
    /// Leaves the connection to whoever has it.
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
