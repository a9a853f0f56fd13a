//! The thread that writes to the standard output. It may be blocked for as long as nobody reads;
//! nothing else ever is.

use std::io::{self, Write};
use std::thread;

use tokio::sync::mpsc;

/// Writes one piece at a time; the caller keeps the next one until that is done.
pub struct Writer {
    pieces: mpsc::Sender<Vec<u8>>,
    written: mpsc::Receiver<io::Result<()>>,
    busy: bool,
}

impl Writer {
    /// Starts the thread. It ends with the program, or after the writer is dropped.
    pub fn start(mut out: impl Write + Send + 'static) -> io::Result<Writer> {
        let (pieces, mut taken) = mpsc::channel::<Vec<u8>>(1);
        let (done, written) = mpsc::channel(1);
        thread::Builder::new().name("output".to_owned()).spawn(move || {
            while let Some(piece) = taken.blocking_recv() {
                if done.blocking_send(out.write_all(&piece).and_then(|()| out.flush())).is_err() {
                    break;
                }
            }
        })?;
        Ok(Writer { pieces, written, busy: false })
    }

    /// Whether a piece is being written.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Writes a piece. Must not be called while another one is being written.
    pub fn write(&mut self, piece: Vec<u8>) {
        debug_assert!(!self.busy);
        self.busy = self.pieces.try_send(piece).is_ok();
    }

    /// Waits until the piece is written or has failed; waits for ever if there is none. May be
    /// cancelled.
    pub async fn written(&mut self) -> io::Result<()> {
        if !self.busy {
            return std::future::pending().await;
        }
        let written = self.written.recv().await;
        self.busy = false;
        // The thread ends after this does.
        written.unwrap_or(Ok(()))
    }
}
