//! The bytes below a connection, whatever carries them.

use tokio::io::{AsyncRead, AsyncWrite};

/// What a connection runs over: a socket, TLS over one, or a pipe in memory.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}
