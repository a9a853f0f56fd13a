//! Other servers that may listen on a port: web, mail, or one that wants direct TLS. Their first
//! bytes identify them, and the user is told.
//!
//! Some say nothing before they have read a line or a head. `wire` sends the end of one, so that
//! they are identified within a second and not after a timeout.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error::{ConnectError, Stranger};

/// Bytes that are needed to identify one.
const FIRST: usize = 64;
/// Content types of TLS records that a server may begin with: an alert, a handshake.
const TLS: [u8; 2] = [21, 22];

/// What is expected first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Xmpp,
    Tls,
}

/// Returns who begins like this; `None` if it may be what was expected, or nothing was heard.
fn of(first: &[u8], expected: Expected) -> Option<Stranger> {
    let first = first.trim_ascii_start();
    let begins = |with: &[&str]| {
        with.iter().any(|with| {
            first.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with.as_bytes()))
        })
    };
    let is_tls = |byte: &u8| TLS.contains(byte);
    match (first.first()?, expected) {
        (first, Expected::Tls) if is_tls(first) => None,
        (first, Expected::Xmpp) if is_tls(first) => Some(Stranger::Tls),
        _ if begins(&["HTTP/", "<!doctype", "<html", "<head"]) => Some(Stranger::Http),
        _ if begins(&["SSH-"]) => Some(Stranger::Ssh),
        _ if begins(&["220 ", "220-", "+OK", "* OK", "421 ", "554 "]) => Some(Stranger::Greeter),
        (b'<', Expected::Xmpp) => None,
        (b'<', Expected::Tls) => Some(Stranger::StartTls),
        _ => Some(Stranger::Unknown),
    }
}

/// The first bytes received on a connection, whoever reads it. Locked for one look.
#[derive(Debug, Clone, Default)]
pub(crate) struct First(Arc<Mutex<Vec<u8>>>);

impl First {
    /// Replaces a fault by the stranger that caused it, if there is one.
    pub(crate) fn instead_of(
        &self,
        expected: Expected,
        address: String,
        fault: ConnectError,
    ) -> ConnectError {
        let first = self.0.lock();
        match of(&first, expected) {
            Some(who) => ConnectError::Stranger { address, who },
            None => fault,
        }
    }

    /// Wraps a connection so that its first bytes are recorded here.
    pub(crate) fn of<T>(&self, io: T) -> Noted<T> {
        Noted { io, first: self.clone(), full: false }
    }

    /// Records bytes. Returns whether there are enough.
    fn note(&self, bytes: &[u8]) -> bool {
        let mut first = self.0.lock();
        let room = FIRST - first.len();
        first.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        first.len() >= FIRST
    }
}

/// A connection whose first bytes are recorded.
pub(crate) struct Noted<T> {
    io: T,
    first: First,
    full: bool,
}

impl<T: AsyncRead + Unpin> AsyncRead for Noted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        if !self.full {
            self.full = self.first.note(buffer.filled().get(before..).unwrap_or_default());
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_expected_is_known_by_the_first_bytes() {
        for (first, stranger) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Stranger::Http),
            (b"<!DOCTYPE HTML>\n<html>", Stranger::Http),
            (b"SSH-2.0-OpenSSH_9.2\r\n", Stranger::Ssh),
            (b"220 mail.example ESMTP\r\n", Stranger::Greeter),
            (b"* OK IMAP4rev1\r\n", Stranger::Greeter),
            (b"\x15\x03\x01\x00\x02\x02\x46", Stranger::Tls),
            (b"-ERR unknown command\r\n", Stranger::Unknown),
            (b"\x00\x01\x02", Stranger::Unknown),
        ] {
            assert_eq!(of(first, Expected::Xmpp), Some(stranger), "{first:?}");
        }
        for xmpp in [&b"<?xml version='1.0'?>"[..], b" <stream:stream", b"<stream", b"<", b""] {
            assert_eq!(of(xmpp, Expected::Xmpp), None, "{xmpp:?}");
        }
    }

    #[test]
    fn where_tls_is_expected_nothing_else_is() {
        assert_eq!(of(b"\x16\x03\x03\x00\x7a", Expected::Tls), None);
        assert_eq!(of(b"\x15\x03\x03\x00\x02", Expected::Tls), None);
        assert_eq!(of(b"<?xml version='1.0'?>", Expected::Tls), Some(Stranger::StartTls));
        assert_eq!(of(b"HTTP/1.1 400 Bad", Expected::Tls), Some(Stranger::Http));
    }
}
