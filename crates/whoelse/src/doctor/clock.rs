//! The clock: TLS, blocks, history and what clients show depend on it.
//!
//! Without the network nobody can tell whether the clock is right. But it can be told whether
//! something keeps it right, whether it has gone backwards, and whether the server trusts it.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use whoelse_client::admin::{self, ClockStands};
use whoelse_core::Time;
use whoelse_core::trust::{Reading, Why};
use whoelse_server::synchronised::is_synchronised;
use whoelse_store::Heartbeat;

use super::Finding;
use crate::admin::{Fault, socket};
use crate::cli::Running;

/// How long the server may take to answer whether it trusts its clock.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tolerance between the clocks of file systems and of the machine.
const SLACK: Duration = Duration::from_secs(60);
/// The advice for a clock that is not trusted.
const VOUCH: &str =
    "if it is right, `whoelse clock trust` beside the running server; if not, set it";

/// Checks the clock. `heartbeat`: when a server was last seen alive; `running`: whether one runs.
pub async fn check(data: &Path, heartbeat: Option<Heartbeat>, running: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(backwards(data, SystemTime::now()));
    match running {
        true => findings.extend(asked(data).await),
        false => findings.extend(heartbeat.and_then(|last| doubted(last, now()))),
    }
    findings.push(match is_synchronised().await {
        Some(true) => Finding::ok("clock", "is synchronised"),
        Some(false) => Finding::warning(
            "clock",
            "is not synchronised",
            "`timedatectl set-ntp true`, or install chrony",
        ),
        None => Finding::warning(
            "clock",
            "nobody says whether it is synchronised",
            "compare `date -u` with another clock; in a container the host keeps it",
        ),
    });
    findings
}

/// Finds a clock behind the files in the data directory, which a server wrote in the past.
fn backwards(data: &Path, now: SystemTime) -> Option<Finding> {
    let files = fs::read_dir(data).ok()?.flatten();
    let latest = files.filter_map(|file| file.metadata().ok()?.modified().ok()).max()?;
    let ahead = latest.duration_since(now).ok().filter(|ahead| *ahead > SLACK)?;
    Some(Finding::problem(
        "clock",
        format!("stands {} s before the last change of {}", ahead.as_secs(), data.display()),
        "set it right before the server starts: new messages would sort before old ones",
    ))
}

/// Asks the running server whether it trusts the clock. A server that cannot be asked has its own
/// finding.
async fn asked(data: &Path) -> Option<Finding> {
    let running = Running { data: data.to_owned() };
    let stands = timeout(PATIENCE, stands(&running)).await.ok()?.ok()?;
    let words = stands.words.trim_start_matches("the clock ");
    match stands.is_believed {
        true => None,
        false => Some(Finding::warning("clock", words.to_owned(), VOUCH)),
    }
}

async fn stands(running: &Running) -> Result<ClockStands, Fault> {
    let mut link = socket::open(running, None).await?;
    let stands = admin::clock(&mut link, false).await;
    link.close().await;
    Ok(stands?)
}

/// Returns whether the next start will doubt the clock.
fn doubted(last: Heartbeat, now: Time) -> Option<Finding> {
    let doubt = Reading::at_start(Some(last.into()), now).doubt?;
    if doubt.why == Why::Unproven {
        return None;
    }
    Some(Finding::warning(
        "clock",
        format!("will not be believed: {}; nothing will be forgotten by its age", doubt.why),
        VOUCH,
    ))
}

fn now() -> Time {
    whoelse_core::Clock::system().now()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_clock_that_went_backwards_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("whoelse.db"), "").unwrap();

        let yesterday = SystemTime::now() - Duration::from_secs(86_400);

        assert!(backwards(dir.path(), yesterday).unwrap().text.contains("before the last change"));
        assert_eq!(backwards(dir.path(), SystemTime::now()), None);
        assert_eq!(backwards(Path::new("/nowhere"), yesterday), None);
    }

    #[test]
    fn a_start_that_will_doubt_the_clock_is_told_before() {
        let day = Duration::from_secs(86_400);
        let last = Heartbeat { wall: now().0, even: 0, doubt: None };

        assert_eq!(doubted(last, now().after(day)), None);
        let ahead = doubted(last, now().after(day * 400)).unwrap();
        assert!(ahead.text.contains("ahead of what was expected by"), "{ahead}");
        let behind = doubted(last, now().before(day)).unwrap();
        assert!(behind.text.contains("it went back by"), "{behind}");
    }
}
