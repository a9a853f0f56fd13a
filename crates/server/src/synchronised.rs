//! Whether the system keeps its clock right with a time server.
//!
//! The kernel knows (adjtimex(2)), whichever program keeps the clock, and forgets it when somebody
//! sets the clock by hand. Asking the kernel needs unsafe code, so systemd is asked.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};
use tokio::process::Command;
use tokio::time::timeout;

/// How long systemd may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Touched by systemd-timesyncd whenever it has compared the clock.
const COMPARED: &str = "/run/systemd/timesync/synchronized";
/// systemd does that every 2048 s or more often.
const LATELY: Duration = Duration::from_secs(2 * 2048);

/// Returns what the system says; `None` if there is nothing to ask.
pub async fn is_synchronised() -> Option<bool> {
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let said = timeout(PATIENCE, asked).await.ok().and_then(Result::ok);
    match said.as_ref().map(|said| said.stdout.trim_ascii()) {
        Some(b"yes") => Some(true),
        Some(b"no") => Some(false),
        _ => was_compared(Path::new(COMPARED), SystemTime::now()).then_some(true),
    }
}

/// Returns whether the clock is certainly synchronised.
pub(crate) async fn is_certain() -> bool {
    is_synchronised().await == Some(true)
}

/// Returns whether this file was touched lately. An older file may be from before the clock was
/// set.
fn was_compared(file: &Path, now: SystemTime) -> bool {
    let touched = std::fs::metadata(file).and_then(|about| about.modified());
    touched.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age < LATELY))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_a_comparison_of_late_counts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let touched = file.as_file().metadata().unwrap().modified().unwrap();

        assert!(was_compared(file.path(), touched + LATELY / 2));
        assert!(!was_compared(file.path(), touched + LATELY));
        assert!(!was_compared(file.path(), touched - Duration::from_secs(1)));
        assert!(!was_compared(Path::new("/nowhere"), touched));
    }
}
