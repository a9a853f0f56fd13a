//! proc(5): a server's processes while they are measured: alone on the first processor, gone at
//! the end.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::Failed;

/// The processor of the servers; the load has all others.
pub const PROCESSOR: usize = 0;
/// `/proc` counts processor time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A server's process and all that it has started.
pub struct Process {
    child: Child,
    id: u32,
}

impl Process {
    /// Starts a program in a directory, with these words and this environment, on the first
    /// processor.
    pub fn start(
        program: &str,
        words: &[String],
        directory: &Path,
        environment: &[(&str, String)],
        output: Stdio,
    ) -> Result<Process, Failed> {
        Process::start_on(&PROCESSOR.to_string(), program, words, directory, environment, output)
    }

    /// The same on these processors, as taskset(1) names them.
    pub fn start_on(
        processors: &str,
        program: &str,
        words: &[String],
        directory: &Path,
        environment: &[(&str, String)],
        output: Stdio,
    ) -> Result<Process, Failed> {
        let child = Command::new("setpriv")
            // Whatever happens to the benchmark, the server does not outlive it.
            .args(["--pdeathsig", "KILL", "taskset", "--cpu-list", processors, program])
            .args(words)
            .current_dir(directory)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("HOME", directory)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(fs::File::create(directory.join("errors"))?)
            // Ctrl-C is for the benchmark, which ends the servers itself.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start {program}: {error}"))?;
        let id = child.id().ok_or("the server has ended")?;
        Ok(Process { child, id })
    }

    /// Its standard output, once.
    pub fn output(&mut self) -> Option<tokio::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, and waits; not for ever.
    pub async fn stop(mut self) {
        signal(self.id, rustix::process::Signal::TERM);
        let _ = tokio::time::timeout(Duration::from_secs(10), self.child.wait()).await;
    }

    /// Itself and what it has started.
    fn family(&self) -> Vec<Stat> {
        let all: Vec<Stat> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(Stat::of)
            .collect();
        let mut family = vec![self.id];
        // Parents come before their children only mostly, so until nothing is added.
        loop {
            let before = family.len();
            for stat in &all {
                if family.contains(&stat.parent) && !family.contains(&stat.id) {
                    family.push(stat.id);
                }
            }
            if family.len() == before {
                return all.into_iter().filter(|stat| family.contains(&stat.id)).collect();
            }
        }
    }

    /// Processor time so far, user and system.
    pub fn cpu(&self) -> Duration {
        TICK * self.family().iter().map(|stat| stat.ticks as u32).sum()
    }

    /// Resident memory, in KiB.
    pub fn memory(&self) -> u64 {
        self.family().iter().filter_map(|stat| memory(stat.id)).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            signal(self.id, rustix::process::Signal::KILL);
        }
    }
}

/// To the whole group.
fn signal(id: u32, signal: rustix::process::Signal) {
    if let Some(id) = rustix::process::Pid::from_raw(id as i32) {
        // Fails when it has ended by itself.
        let _ = rustix::process::kill_process_group(id, signal);
    }
}

struct Stat {
    id: u32,
    parent: u32,
    ticks: u64,
}

impl Stat {
    /// From `/proc/ID/stat`: fields 4, 14 and 15, counted after the name, which can hold anything.
    fn of(id: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Stat { id, parent: fields.get(1)?.parse().ok()?, ticks })
    }
}

fn memory(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Processor time of all processes of the machine together.
pub fn everybody() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_whitespace().skip(1);
    let fields: Vec<u64> = fields.map(|field| field.parse().unwrap_or(0)).collect();
    // user, nice, system, -, -, irq, softirq: what is neither idle nor stolen.
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|at| fields.get(*at)).sum::<u64>();
    TICK * busy as u32
}

/// Processor time of the benchmark itself.
pub fn own() -> Duration {
    TICK * Stat::of(std::process::id()).map_or(0, |stat| stat.ticks as u32)
}
