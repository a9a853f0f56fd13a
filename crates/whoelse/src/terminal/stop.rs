//! The signals that end the program: Ctrl-C, and the system's or a terminal's wish.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that are heard from the moment this is made, also while nobody waits for one.
pub struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Stop {
    /// To be called inside a runtime, before anything is changed that has to be changed back.
    pub fn new() -> io::Result<Stop> {
        Ok(Stop {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Until the next one. May be cancelled.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
