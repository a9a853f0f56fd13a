//! The server under a long run: started in a directory of its own, killed at the end.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Failed;

/// A running server.
pub struct Server {
    child: Child,
    /// Where it listens on loopback.
    pub port: u16,
    directory: tempfile::TempDir,
}

impl Server {
    /// Starts it with a configuration file of this text, on the first processor, and waits until
    /// it listens.
    pub async fn start_with(program: &Path, settings: &str) -> Result<Server, Failed> {
        Server::start_in(program, tempfile::tempdir()?, settings).await
    }

    /// The same in a directory that may have data.
    pub async fn start_in(
        program: &Path,
        directory: tempfile::TempDir,
        settings: &str,
    ) -> Result<Server, Failed> {
        let config = directory.path().join("whoelse.toml");
        std::fs::write(&config, settings)?;
        let mut child = Command::new("taskset")
            .args(["--cpu-list", "0"])
            .arg(std::fs::canonicalize(program)?)
            .args(["server", "0", "--config"])
            .arg(&config)
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let output = child.stdout.take().ok_or("the server has no output")?;
        let mut lines = BufReader::new(output).lines();
        let port = tokio::time::timeout(Duration::from_secs(20), async {
            while let Some(line) = lines.next_line().await? {
                if let Some(port) = port_in(&line) {
                    return Ok::<_, Failed>(port);
                }
            }
            Err("the server ended before it listened".into())
        })
        .await??;
        // Its output goes on being read, or it would block.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Server { child, port, directory })
    }

    /// The same, and says what that took; `what` is beside it.
    pub async fn start_measured(
        program: &Path,
        directory: tempfile::TempDir,
        settings: &str,
        what: &str,
    ) -> Result<Server, Failed> {
        let begun = Instant::now();
        let server = Server::start_in(program, directory, settings).await?;
        let took = begun.elapsed();
        println!(
            "a start {what}: {:.0} ms, {:.0} ms of processor time, {} KiB of memory, {} MiB on the disk",
            took.as_secs_f64() * 1e3,
            server.cpu()?.as_secs_f64() * 1e3,
            server.memory()?,
            server.database() >> 20
        );
        Ok(server)
    }

    /// Lets it end as it should. Returns its directory.
    pub async fn stop(mut self) -> Result<tempfile::TempDir, Failed> {
        let id = self.child.id().ok_or("the server has ended")?;
        let id = rustix::process::Pid::from_raw(id as i32).ok_or("the server has no number")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        self.child.wait().await?;
        Ok(self.directory)
    }

    fn proc(&self, file: &str) -> Result<String, Failed> {
        let id = self.child.id().ok_or("the server has ended")?;
        Ok(std::fs::read_to_string(format!("/proc/{id}/{file}"))?)
    }

    /// CPU time so far, user and system (`/proc/PID/stat`, fields 14 and 15, in hundredths).
    pub fn cpu(&self) -> Result<Duration, Failed> {
        let stat = self.proc("stat")?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 =
            fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> Result<usize, Failed> {
        let id = self.child.id().ok_or("the server has ended")?;
        Ok(std::fs::read_dir(format!("/proc/{id}/fd"))?.count())
    }

    /// Bytes of the database, with what is not yet in its one file.
    pub fn database(&self) -> u64 {
        let files = ["whoelse.db", "whoelse.db-wal"];
        let lengths = files.map(|name| {
            let path = self.directory.path().join("whoelse-data").join(name);
            std::fs::metadata(path).map_or(0, |file| file.len())
        });
        lengths.iter().sum()
    }

    /// Resident memory, in KiB.
    pub fn memory(&self) -> Result<u64, Failed> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        Ok(number.ok_or("no VmRSS")?.parse()?)
    }
}

/// The port in a line like `listening on 127.0.0.1:40123`.
fn port_in(line: &str) -> Option<u16> {
    let port = line.strip_prefix("listening on 127.0.0.1:")?;
    let end = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
    port.get(..end)?.parse().ok()
}
