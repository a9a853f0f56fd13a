//! Ports for servers that restart on the same one.
//!
//! They are below the range of ephemeral ports: a port that is free for a moment while its server
//! is away stays free.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// Returns a port that nobody uses and that this process has not returned before.
pub fn lasting() -> u16 {
    let start = (std::process::id().wrapping_mul(37) % u32::from(COUNT)) as u16;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        let is_free = |host: &str| TcpListener::bind((host, port)).is_ok();
        if is_free("127.0.0.1") && is_free("localhost") {
            return port;
        }
    }
}
