//! Reading without owning a buffer, and writing all there is.
//!
//! Thousands of connections wait at any time, so none of them holds memory for bytes that are not
//! there: each worker thread has one buffer, and whoever reads uses it for the moment.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use whoelse_stream::c2s::Machine;

/// What a connection runs over: a socket, TLS over one, or a pipe in memory.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// One TLS record; more per read gains nothing.
const READ: usize = 16 << 10;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into());
}

/// Reads once and gives the bytes to the machine. Returns how many; zero: there will be no more.
pub(super) fn poll_read(
    io: &mut (impl AsyncRead + Unpin + ?Sized),
    machine: &mut Machine,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut buffer = ReadBuf::new(buffer);
        ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
        machine.push(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
}

/// The same as a future.
pub(super) async fn read(
    io: &mut (impl AsyncRead + Unpin + ?Sized),
    machine: &mut Machine,
) -> io::Result<usize> {
    poll_fn(|cx| poll_read(io, machine, cx)).await
}

/// Writes and flushes.
pub(super) async fn write(
    io: &mut (impl AsyncWrite + Unpin + ?Sized),
    bytes: &[u8],
) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    io.write_all(bytes).await?;
    io.flush().await
}
