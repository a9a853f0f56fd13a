//! One connection as its drivers see it: frames in, frames out.
//!
//! A [`Link`] gives the stream machine the bytes that arrive, and writes what the machine and the
//! session have said. Callers do not know what carries the bytes.
//!
//! Thousands of links are idle at any time, so a link holds no read buffer: each worker thread has
//! one, and a link uses it while it reads.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use whoelse_core::{Node, Steady};
use whoelse_stream::Output;
use whoelse_stream::c2s::{Machine, Step};

use crate::byte_stream::Io;

/// How long the last bytes to a peer that may not be reading may take.
pub(super) const LAST_WORD: Duration = Duration::from_secs(2);
/// One TLS record; reading more at once gains nothing.
const READ: usize = 16 << 10;
/// Bytes that may wait to be written. Above it nothing more is said, and nothing that needs an
/// answer is read.
pub(super) const WRITE: usize = 64 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// A stream machine and what carries its bytes.
pub(super) struct Link<S = Box<dyn Io>> {
    io: S,
    machine: Machine,
    /// Since when not a byte could be written.
    stalled: Option<Steady>,
}

impl<S: Io> Link<S> {
    pub fn new(io: S, machine: Machine) -> Link<S> {
        Link { io, machine, stalled: None }
    }

    /// Returns its parts, for a TLS layer that comes between them.
    pub fn into_parts(self) -> (S, Machine) {
        (self.io, self.machine)
    }

    /// Boxes the stream, so that the link has the same type whatever carries it.
    pub fn boxed(self) -> Link {
        Link { io: Box::new(self.io), machine: self.machine, stalled: self.stalled }
    }

    /// Returns the next step from the bytes that have arrived.
    pub fn next(&mut self) -> Option<Step> {
        self.machine.poll()
    }

    /// Returns the machine's output.
    pub fn output(&mut self) -> &mut Output {
        self.machine.output()
    }

    /// Returns whether more may be said now.
    pub fn has_room(&mut self) -> bool {
        self.output().len() < WRITE
    }

    /// Returns since when the peer has read nothing although something waits for it.
    pub fn stalled(&self) -> Option<Steady> {
        self.stalled
    }

    /// The machine, for what only it can say.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Reads once, if the bytes can be used now. Returns how many; zero means end of input.
    pub fn poll_read(&mut self, node: &Node, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if !self.has_room() || !self.machine.wants_bytes() {
            return Poll::Pending;
        }
        let read = ready!(poll_read(&mut self.io, &mut self.machine, cx))?;
        node.counters.bytes.read.add(read);
        Poll::Ready(Ok(read))
    }

    /// Reads once, even if the bytes cannot be used yet.
    pub async fn read(&mut self, node: &Node) -> io::Result<usize> {
        let read = poll_fn(|cx| poll_read(&mut self.io, &mut self.machine, cx)).await?;
        node.counters.bytes.read.add(read);
        Ok(read)
    }

    /// Writes what is waiting; ready when all of it is flushed. Pending while there is nothing.
    pub fn poll_write(&mut self, node: &Node, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let out = self.machine.output();
        if out.is_empty() {
            return Poll::Pending;
        }
        while !out.rest().is_empty() {
            let Poll::Ready(written) = Pin::new(&mut self.io).poll_write(cx, out.rest()) else {
                self.stalled.get_or_insert_with(|| node.clock.steady());
                return Poll::Pending;
            };
            let written = written?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            node.counters.bytes.written.add(written);
            out.wrote(written);
            self.stalled = None;
        }
        let Poll::Ready(flushed) = Pin::new(&mut self.io).poll_flush(cx) else {
            self.stalled.get_or_insert_with(|| node.clock.steady());
            return Poll::Pending;
        };
        flushed?;
        out.flushed();
        self.stalled = None;
        Poll::Ready(Ok(()))
    }

    /// Writes and flushes what is waiting.
    pub async fn flush(&mut self, node: &Node) -> io::Result<()> {
        match self.output().is_empty() {
            true => Ok(()),
            false => poll_fn(|cx| self.poll_write(node, cx)).await,
        }
    }

    /// Shuts the stream down.
    pub async fn shut_down(&mut self) -> io::Result<()> {
        self.io.shutdown().await
    }
}

/// Reads once and gives the bytes to the machine. Returns how many; zero means end of input.
fn poll_read(
    io: &mut (impl AsyncRead + Unpin + ?Sized),
    machine: &mut Machine,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if machine.is_cut() {
        return Poll::Ready(Ok(0));
    }
    BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
        machine.push(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
}
