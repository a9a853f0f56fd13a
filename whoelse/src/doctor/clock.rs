//! The clock: TLS, blocks, history and what clients show depend on it.
//!
//! Without the network it cannot be known whether the clock is right, but it can be known whether
//! something keeps it right, and whether it has gone backwards.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tokio::process::Command;
use tokio::time::timeout;

use super::Finding;

/// How long the system may take to say whether it keeps its clock.
const PATIENCE: Duration = Duration::from_secs(2);
/// File systems and clocks differ by this much.
const SLACK: Duration = Duration::from_secs(60);
/// Written by systemd-timesyncd when it has set the clock.
const SYNCHRONIZED: &str = "/run/systemd/timesync/synchronized";

/// Looks at the clock.
pub async fn check(data: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(backwards(data, SystemTime::now()));
    findings.push(match is_synchronized().await {
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

/// What lies in the data directory was written by a server at a time that has passed.
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

async fn is_synchronized() -> Option<bool> {
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = timeout(PATIENCE, asked).await.ok().and_then(Result::ok);
    match said.as_ref().map(|said| said.stdout.trim_ascii()) {
        Some(b"yes") => Some(true),
        Some(b"no") => Some(false),
        _ => Path::new(SYNCHRONIZED).exists().then_some(true),
    }
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
}
