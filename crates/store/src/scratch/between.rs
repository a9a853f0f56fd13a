//! A faulty connection to PostgreSQL, for tests: it can be cut, and it can lose the answer to a
//! commit.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Scratch;
use crate::Location;

/// What happens to what passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Everything passes.
    Open,
    /// Everything passes, except that the answer to a commit is lost, and its connection with it.
    LosesCommits,
    /// Nothing passes, and every connection is cut.
    Cut,
}

/// A proxy between a store and PostgreSQL.
#[derive(Debug)]
pub struct Between {
    place: Location,
    line: Arc<watch::Sender<Line>>,
}

impl Between {
    /// Starts a proxy for a location, in the present runtime.
    ///
    /// # Errors
    /// It cannot listen.
    pub async fn new(scratch: &Scratch) -> io::Result<Between> {
        let Location::Postgres(mut url) = scratch.place() else {
            return Err(io::Error::other("not on PostgreSQL"));
        };
        let far = url.address();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        url.set_address("127.0.0.1", listener.local_addr()?.port());
        let line = Arc::new(watch::Sender::new(Line::Open));
        let watched = line.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pass(near, far.clone(), watched.subscribe()));
            }
        });
        Ok(Between { place: Location::Postgres(url), line })
    }

    /// Returns the location that leads through the proxy.
    #[must_use]
    pub fn place(&self) -> Location {
        self.place.clone()
    }

    /// Changes how the connection behaves.
    pub fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn pass(
    near: TcpStream,
    far: (String, u16),
    mut line: watch::Receiver<Line>,
) -> io::Result<()> {
    if *line.borrow() == Line::Cut {
        return Ok(());
    }
    let far = TcpStream::connect(far).await?;
    let ((mut hear, mut tell), (mut answers, mut asks)) = (near.into_split(), far.into_split());
    let (mut question, mut answer) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    let mut lost = false;
    loop {
        tokio::select! {
            read = hear.read(&mut question) => {
                let bytes = &question[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                let commits = bytes.windows(6).any(|word| word == b"COMMIT");
                lost |= commits && *line.borrow() == Line::LosesCommits;
                asks.write_all(bytes).await?;
            }
            read = answers.read(&mut answer) => {
                let bytes = &answer[..read?];
                if bytes.is_empty() || lost {
                    return Ok(());
                }
                tell.write_all(bytes).await?;
            }
            changed = line.changed() => {
                if changed.is_err() || *line.borrow() == Line::Cut {
                    return Ok(());
                }
            }
        }
    }
}
