//! A socket whose turn has not come: nothing is read from it, but whoever goes leaves its place.

use super::gate::{Permit, Turn};
use std::io;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Waits for a socket's turn. `None` if it will not come, or the other end has gone before.
pub(super) async fn turn(turn: Turn, socket: TcpStream) -> Option<(Permit, TcpStream)> {
    let permit = tokio::select! {
        permit = turn => permit?,
        () = until_left(&socket) => return None,
    };
    Some((permit, anew(socket).ok()?))
}

/// Until the other end has gone, whether or not it has said something before.
///
/// What it has said stays where it is. So that it is not heard of again and again, the socket is
/// made to forget that there is something to read: [`anew`] reminds it.
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

/// The same socket, which knows again what there is to read.
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
