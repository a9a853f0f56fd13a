//! proc(5): what the system says about this process.

use std::fs;
use std::time::Duration;

/// Ticks of processor time in a second. Linux has always reported 100 to programs, whatever the
/// kernel counts in.
const TICKS: f64 = 100.0;

/// What this process uses. A value that cannot be read is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// Memory that is in RAM, in bytes.
    pub resident: u64,
    /// Processor time since the start, in seconds.
    pub cpu_seconds: f64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// When it started, in seconds since 1970.
    pub started: f64,
}

impl Process {
    /// Looks now.
    pub fn now() -> Process {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let mut process = of_stat(&stat).unwrap_or_default();
        process.resident *= rustix::param::page_size() as u64;
        process.descriptors = fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64);
        let booted = fs::read_to_string("/proc/stat").ok().and_then(|stat| booted(&stat));
        process.started += booted.unwrap_or_default().as_secs_f64();
        process
    }
}

/// `/proc/self/stat`: the fields after the name, which may itself hold blanks and brackets. Memory
/// is in pages; the start is in seconds since the system's.
fn of_stat(stat: &str) -> Option<Process> {
    let (_, behind) = stat.rsplit_once(')')?;
    let field = |number: usize| behind.split_ascii_whitespace().nth(number - 3)?.parse().ok();
    let (user, system): (u64, u64) = (field(14)?, field(15)?);
    Some(Process {
        resident: field(24)?,
        cpu_seconds: (user + system) as f64 / TICKS,
        descriptors: 0,
        threads: field(20)?,
        started: field(22)? as f64 / TICKS,
    })
}

/// `/proc/stat`: when the system started, since 1970.
fn booted(stat: &str) -> Option<Duration> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_is_no_trap() {
        let stat = "4 (a) b) S 1 4 4 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 7 0 300 1000 25 18446744";

        let process = of_stat(stat);

        let expected =
            Process { resident: 25, cpu_seconds: 2.0, descriptors: 0, threads: 7, started: 3.0 };
        assert_eq!(process, Some(expected));
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        assert_eq!(of_stat("4 (a) S 1 4"), None);
        assert_eq!(of_stat(""), None);
        assert_eq!(booted("cpu 1 2 3\n"), None);
    }

    #[test]
    fn this_process_uses_something() {
        let process = Process::now();

        assert!(process.resident > 1 << 20, "{process:?}");
        assert!(process.descriptors > 2, "{process:?}");
        assert!(process.threads >= 1, "{process:?}");
        assert!(process.started > 1e9, "{process:?}");
    }
}
