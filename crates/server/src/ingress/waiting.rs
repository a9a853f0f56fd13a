//! A socket in the gate's queue: nothing is read from it, but a client that closes leaves the
//! queue.

use super::gate::{Permit, Turn};
use std::io;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Waits for a socket's turn. `None` if there will be no turn, or the client has closed before.
pub(super) async fn turn(turn: Turn, socket: TcpStream) -> Option<(Permit, TcpStream)> {
    let permit = tokio::select! {
        permit = turn => permit?,
        () = until_left(&socket) => return None,
    };
    Some((permit, anew(socket).ok()?))
}

/// Waits for the turn of something else than a socket: nobody can see whether its client is there.
pub(super) async fn unwatched<S>(turn: Turn, io: S) -> Option<(Permit, S)> {
    Some((turn.await?, io))
}

/// Waits until the client has closed, whether or not it has sent something before.
///
/// What it has sent stays in the socket. To avoid waking for it again and again, the socket's
/// readiness is cleared; [`anew`] registers the socket again.
async fn until_left(socket: &TcpStream) {
    loop {
        match socket.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {
                let forget = || Err::<(), _>(io::Error::from(io::ErrorKind::WouldBlock));
                let _ = socket.try_io(Interest::READABLE, forget);
            }
            _ => return,
        }
    }
}

/// Registers the socket again, so that pending input is seen.
fn anew(socket: TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(socket.into_std()?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, theirs)
    }

    #[tokio::test]
    async fn who_goes_is_noticed_with_or_without_a_word_before() {
        for said in [&b""[..], b"<stream:stream"] {
            let (ours, mut theirs) = pair().await;
            theirs.write_all(said).await.unwrap();
            let seen = tokio::spawn(async move { until_left(&ours).await });
            tokio::task::yield_now().await;

            drop(theirs);

            seen.await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_was_said_while_waiting_is_read_afterwards() {
        let (ours, mut theirs) = pair().await;
        theirs.write_all(b"<stream").await.unwrap();
        ours.readable().await.unwrap();
        {
            let mut left = std::pin::pin!(until_left(&ours));
            for _ in 0..3 {
                let gone = std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(left.as_mut().poll(cx).is_ready())
                });
                assert!(!gone.await);
            }
        }

        let (mut ours, mut heard) = (anew(ours).unwrap(), [0; 7]);
        ours.read_exact(&mut heard).await.unwrap();

        assert_eq!(&heard, b"<stream");
    }
}
