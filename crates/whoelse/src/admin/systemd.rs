//! sd_notify(3) and sd_watchdog_enabled(3): tells systemd when the server is ready, reloads,
//! stops, and that it really works.
//!
//! The watchdog is notified only while the keeper and every acceptor have given a sign since the
//! last time. So systemd ends a server that is stuck and starts it again.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
#[cfg(target_os = "linux")]
use std::os::{linux::net::SocketAddrExt, unix::ffi::OsStrExt};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use whoelse_server::Watch;
use whoelse_xmpp::in_words;

/// The watchdog is notified after this fraction of its timeout.
const PART: u32 = 4;
/// How long a start may take after its last progress report.
const STARTING: Duration = Duration::from_secs(60);

/// Reports that the server listens.
pub fn ready(domain: &str) {
    tell(&format!("READY=1\nSTATUS=serving {domain}\n"));
}

/// Reports that a long start makes progress.
pub fn starting(how_far: &str) {
    tell(&format!("EXTEND_TIMEOUT_USEC={}\nSTATUS={how_far}\n", STARTING.as_micros()));
}

/// Reports that the configuration is being read again; [`ready`] follows.
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    tell(&format!(
        "RELOADING=1\nMONOTONIC_USEC={}\n",
        now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
    ));
}

/// Reports that the server stops.
pub fn stopping() {
    tell("STOPPING=1\nSTATUS=shutting down\n");
}

/// Notifies the watchdog, if there is one, as long as the server works.
pub async fn feed(mut watch: Watch) {
    let Some(patience) = watchdog() else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep((patience / PART).max(Duration::from_millis(100))).await;
        feed_if_alive(&watch.look(), || tell("WATCHDOG=1\n"));
    }
}

/// Notifies the watchdog during work that has no known duration.
pub async fn feed_while<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let part = watchdog().unwrap_or(Duration::MAX) / PART;
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(part.max(Duration::from_millis(100))) => tell("WATCHDOG=1\n"),
        }
    }
}

/// Returns the watchdog's timeout for this process, if it has one.
fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let is_meant = env::var_os("WATCHDOG_PID").is_none()
        || number("WATCHDOG_PID") == Some(std::process::id().into());
    let patience = number("WATCHDOG_USEC").filter(|patience| is_meant && *patience > 0);
    patience.map(Duration::from_micros)
}

fn feed_if_alive(stuck: &[&str], feed: impl FnOnce()) {
    if stuck.is_empty() {
        feed();
    } else {
        tracing::error!(stuck = stuck.join(", "), "watchdog_not_fed");
    }
}

/// Sends states. If nobody listens, the server goes on.
fn tell(states: &str) {
    let Some(socket) = env::var_os("NOTIFY_SOCKET").filter(|socket| !socket.is_empty()) else {
        return;
    };
    // Reported once, since the watchdog is notified again and again.
    static FAILING: AtomicBool = AtomicBool::new(false);
    match send(&socket, states) {
        Ok(()) => FAILING.store(false, Ordering::Relaxed),
        Err(error) if !FAILING.swap(true, Ordering::Relaxed) => {
            tracing::warn!(error = in_words(&error), "systemd_not_told");
        }
        Err(_) => {}
    }
}

fn send(socket: &OsStr, states: &str) -> io::Result<()> {
    let address = address(socket)?;
    let sent = UnixDatagram::unbound()?.send_to_addr(states.as_bytes(), &address)?;
    match sent == states.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Parses a path, or `@name` for an abstract socket, whose real name begins with a zero byte
/// (unix(7)). Only Linux has those.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_bytes().strip_prefix(b"@") {
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(socket)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_server_that_is_stuck_does_not_feed_the_watchdog() {
        let fed = |stuck: &[&str]| {
            let mut fed = false;
            feed_if_alive(stuck, || fed = true);
            fed
        };

        assert!(fed(&[]));
        assert!(!fed(&["keeper"]));
    }

    #[test]
    fn systemd_is_told_at_a_path_and_at_a_name_without_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let mut written = vec![path.clone().into_os_string()];
        if cfg!(target_os = "linux") {
            written.push(format!("@whoelse-{}", path.display()).into());
        }
        for written in written {
            let socket = UnixDatagram::bind_addr(&address(&written).unwrap()).unwrap();
            send(&written, "READY=1\n").unwrap();

            let mut heard = [0; 64];
            let length = socket.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1\n", "{written:?}");
        }
    }
}
