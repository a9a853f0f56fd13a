//! sd_notify(3) and sd_watchdog_enabled(3): systemd hears when the server is ready, when it reads
//! its configuration again, when it goes, and that it really works.
//!
//! The watchdog is fed only while the keeper and everything that accepts connections have given a
//! sign since the last time: a server that is stuck is ended and started again by systemd.

use std::time::Duration;

use sd_notify::NotifyState;
use whoelse_server::Watch;

/// Of the time that the watchdog gives, this part passes between two signs.
const PART: u32 = 4;

/// The server listens.
pub fn ready(domain: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("serving {domain}"))]);
}

/// The configuration is being read again; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The server goes.
pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("shutting down")]);
}

/// Feeds the watchdog, if there is one, for as long as the server works.
pub async fn feed(mut watch: Watch) {
    let Some(patience) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        tokio::time::sleep((patience / PART).max(Duration::from_millis(100))).await;
        feed_if_alive(&watch.look(), || tell(&[NotifyState::Watchdog]));
    }
}

/// Feeds it while the server is busy with something that takes as long as it takes.
pub async fn feed_while<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let part = sd_notify::watchdog_enabled().unwrap_or(Duration::MAX) / PART;
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(part.max(Duration::from_millis(100))) => {
                tell(&[NotifyState::Watchdog]);
            }
        }
    }
}

fn feed_if_alive(stuck: &[&str], feed: impl FnOnce()) {
    if stuck.is_empty() {
        feed();
    } else {
        tracing::error!(stuck = stuck.join(", "), "watchdog_not_fed");
    }
}

/// Nobody may be listening, and the server goes on.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd_not_told");
    }
}

#[cfg(test)]
mod tests {
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
}
