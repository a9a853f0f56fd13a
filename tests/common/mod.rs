//! The real binary over real sockets: servers in directories of their own, clients behind pipes
//! and on a terminal, a raw client that sends anything, and a wire that can be cut.
//!
//! Nothing sleeps in the hope that something has happened: everything waits for an event, with a
//! timeout that only a hanging program reaches. Every server takes a free port.
// Each test uses a part of this.
#![allow(dead_code, unused_imports, clippy::unwrap_used, missing_docs)]

pub mod chance;
pub mod client;
pub mod lines;
pub mod ports;
pub mod proxy;
pub mod raw;
pub mod screen;
pub mod server;
pub mod terminal;

pub use chance::Chance;
pub use client::Client;
pub use lines::Lines;
pub use proxy::Proxy;
pub use raw::Raw;
pub use server::{Home, Server};
pub use terminal::Terminal;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_whoelse");

/// The password that [`Home::with_people`] gives an account. It has spaces, as passwords may.
pub fn password(name: &str) -> String {
    format!("the secret of {name}")
}

/// Polls something that reports no changes.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits for a program to end.
#[track_caller]
pub fn ended(child: &mut Child) -> ExitStatus {
    eventually("the program ends", || child.try_wait().unwrap())
}

/// A standard output for a program, and the end at which the test reads it. It is a socket because
/// a shutdown breaks it at once: the reading end of a pipe stays open as long as a program that
/// another test is just starting has inherited it.
pub fn read_output() -> (UnixStream, Stdio) {
    let (reader, output) = UnixStream::pair().unwrap();
    (reader, Stdio::from(OwnedFd::from(output)))
}

/// Sends a signal to a program that this test has started.
pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}
