//! The signals that end the program: Ctrl-C, termination by the system, and a closed terminal.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals, which are recorded from the moment this is made, even while nobody waits.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Stop {
    /// Installs the handlers. Must be called inside a runtime, before anything is changed that
    /// must be restored.
    pub fn new() -> io::Result<Stop> {
        Ok(Stop {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal. May be cancelled.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
