//! `whoelse server` in a directory of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use super::ports::lasting;
use super::{BINARY, Client, Lines, ended, password, signal};

/// The system's list of certificate authorities is empty: no test has a certificate of theirs, and a
/// build without optimisation takes long to read some hundreds at each start.
pub const NO_AUTHORITIES: (&str, &str) = ("SSL_CERT_FILE", "/dev/null");

/// The directory of the servers and clients of one test.
pub struct Home {
    folder: tempfile::TempDir,
    clients: AtomicU32,
}

/// A program that ran and ended.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Arc<Home> {
        Arc::new(Home { folder: tempfile::tempdir().unwrap(), clients: AtomicU32::new(0) })
    }

    /// Makes a home whose `credentials.txt` has these people, each with their [`password`].
    pub fn with_people(names: &[&str]) -> Arc<Home> {
        let home = Home::new();
        let lines: Vec<String> =
            names.iter().map(|name| format!("{name} {}\n", password(name))).collect();
        home.write("credentials.txt", &lines.concat());
        home
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("whoelse-data")
    }

    /// Writes a file that only its owner may read.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// Makes a state directory for another client.
    pub fn state(&self) -> PathBuf {
        self.path().join(format!("client-{}", self.clients.fetch_add(1, Ordering::Relaxed)))
    }

    /// Returns the binary's command in this directory, without the tester's own environment.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        self.prepare(&mut command).args(args);
        command
    }

    /// Does the same for a command that runs the binary in its own way.
    pub fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .current_dir(self.path())
            .env_remove("RUST_LOG")
            .env("HOME", self.path())
            .env("TZ", "UTC")
            .env_remove("XDG_STATE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env(NO_AUTHORITIES.0, NO_AUTHORITIES.1)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
    }

    /// Runs the binary to its end.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Ran {
        let mut child = self.command(args).spawn().unwrap();
        let mut out = Lines::of(child.stdout.take().unwrap());
        let mut err = Lines::of(child.stderr.take().unwrap());
        let status = ended(&mut child).code();
        Ran { status, out: out.rest().join("\n"), err: err.rest().join("\n") }
    }

    /// Starts a server on a free port. `args` come after the port.
    #[track_caller]
    pub fn start(self: &Arc<Home>, args: &[&str]) -> Server {
        self.start_at(0, args)
    }

    /// Starts a server on this port.
    #[track_caller]
    pub fn start_at(self: &Arc<Home>, port: u16, args: &[&str]) -> Server {
        let mut command = self.command(&["server", &port.to_string()]);
        Server::run(self.clone(), command.args(args), args)
    }

    /// Starts a server that may write no file longer than this many KiB, as if the disk were full.
    #[track_caller]
    pub fn start_with_small_disk(self: &Arc<Home>, port: u16, kib: u64) -> Server {
        // `ulimit -f` counts blocks of 512 bytes, as POSIX says. SIGXFSZ is ignored, so that the
        // write fails instead; Rust programs do not touch that.
        let script = "trap '' XFSZ; ulimit -S -f \"$1\"; exec \"$2\" server \"$3\"";
        let mut command = Command::new("sh");
        let (blocks, port) = ((kib * 2).to_string(), port.to_string());
        self.prepare(&mut command).args(["-c", script, "sh", &blocks, BINARY, &port]);
        Server::run(self.clone(), &mut command, &[])
    }
}

impl Ran {
    /// A copy without the output, to check only how it ended.
    pub fn clone_without_output(&self) -> Ran {
        Ran { status: self.status, out: String::new(), err: self.err.clone() }
    }

    /// Checks that it failed with one line on stderr that has all these words.
    #[track_caller]
    pub fn failed(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "one line: {self:?}");
        for word in words {
            assert!(self.err.contains(word), "{word:?} is missing: {self:?}");
        }
    }
}

/// A running server; dropping it kills it.
pub struct Server {
    child: Child,
    pub lines: Lines,
    pub address: SocketAddr,
    pub home: Arc<Home>,
    args: Vec<String>,
}

impl Server {
    /// A quick start with these people in `credentials.txt`.
    #[track_caller]
    pub fn of(names: &[&str]) -> Server {
        Home::with_people(names).start(&[])
    }

    /// The same on a port that stays free while the server is away.
    #[track_caller]
    pub fn lasting(names: &[&str]) -> Server {
        Home::with_people(names).start_at(lasting(), &[])
    }

    #[track_caller]
    fn run(home: Arc<Home>, command: &mut Command, args: &[&str]) -> Server {
        let mut child = command.spawn().unwrap();
        let mut lines = Lines::of(child.stdout.take().unwrap());
        // The log may go to a file.
        if let Some(log) = child.stderr.take() {
            lines.add(log);
        }
        // It is ready when it prints where it listens.
        let line = lines.wait_for("the server listens", |line| port_of(line).is_some());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port_of(&line).unwrap()));
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Server { child, lines, address, home, args }
    }

    /// Runs a command of a test's own that starts a server.
    #[track_caller]
    pub fn run_alone(home: Arc<Home>, command: &mut Command) -> Server {
        Server::run(home, command, &[])
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns how many descriptors the server has now.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Returns the server's memory now, in KiB.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Starts a client and logs in, with nothing waiting. From now on messages to it are live, and
    /// so have no time.
    #[track_caller]
    pub fn online(&self, name: &str) -> Client {
        self.online_with(name, &[])
    }

    /// The same with more arguments.
    #[track_caller]
    pub fn online_with(&self, name: &str, args: &[&str]) -> Client {
        let mut client = Client::start_with(&self.home, self.address, args);
        client.log_in(name);
        client.hears_nothing();
        client
    }

    pub fn signal(&self, which: Signal) {
        signal(&self.child, which);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        ended(&mut self.child)
    }

    /// Ends it as an operator does.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Kills it, as a power failure does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Starts it again over the same data, on the same port.
    #[track_caller]
    pub fn start_again(&mut self) {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        *self = self.home.clone().start_at(self.port(), &args);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the server at {} said: {:#?}", self.address, self.lines.all());
        }
    }
}

/// Returns the port in a line about listening.
fn port_of(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("127.0.0.1:")?;
    if !line.contains("listening") {
        return None;
    }
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().filter(|port| *port != 0)
}
