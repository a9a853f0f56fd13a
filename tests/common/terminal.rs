//! The program on a terminal: a pseudo-terminal, the keys pressed on it and the screen seen.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, Termios, Winsize, tcgetattr, tcsetattr, tcsetwinsize,
};

use super::screen::Screen;
use super::server::NO_AUTHORITIES;
use super::{BINARY, Home, PATIENCE, Server, ended};

const WIDTH: u16 = 80;

/// The question whether to remember a login.
pub const STAY: &str = "Stay logged in on this computer? [y/N] ";

/// The program on a terminal, usually the client, with a person in front.
pub struct Terminal {
    pub child: Child,
    /// Our end.
    keys: File,
    /// The program's end, kept open to read its modes after the program has ended.
    line: File,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    before: Termios,
}

struct Seen {
    screen: Screen,
    bytes: Vec<u8>,
    /// Whether the terminal reads none of the program's output.
    is_stuck: bool,
}

impl Terminal {
    /// Starts a client of this server on a new terminal.
    pub fn start(server: &Server) -> Terminal {
        Terminal::start_with(server, &[])
    }

    /// Does the same with these environment variables.
    pub fn start_with(server: &Server, set: &[(&str, &str)]) -> Terminal {
        let state = server.home.state();
        let port = server.port().to_string();
        let args = ["client", &port, "--state-dir", state.to_str().unwrap()];
        Terminal::run_with(&server.home, BINARY, &args, set)
    }

    /// Runs the program on a new terminal, in this directory.
    pub fn run(home: &Home, args: &[&str]) -> Terminal {
        Terminal::run_with(home, BINARY, args, &[])
    }

    /// Does the same for any program, for instance a shell.
    pub fn run_other(home: &Home, program: &str, args: &[&str]) -> Terminal {
        Terminal::run_with(home, program, args, &[])
    }

    fn run_with(home: &Home, program: &str, args: &[&str], set: &[(&str, &str)]) -> Terminal {
        let (keys, line) = both_ends();
        let size = Winsize { ws_row: 24, ws_col: WIDTH, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&line, size).unwrap();
        let before = tcgetattr(&line).unwrap();

        let end = || Stdio::from(line.try_clone().unwrap());
        // In a session of its own with this controlling terminal, so that Ctrl-C is a signal to
        // it.
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", program])
            .args(args)
            .current_dir(home.path())
            .env("TERM", "xterm")
            .env("TZ", "UTC")
            .env_remove("RUST_LOG")
            .env_remove("NO_COLOR")
            .env(NO_AUTHORITIES.0, NO_AUTHORITIES.1)
            .envs(set.iter().copied())
            .stdin(end())
            .stdout(end())
            .stderr(end());
        let child = command.spawn().unwrap();

        let screen = Screen::new(WIDTH.into());
        let seen = Arc::new((
            Mutex::new(Seen { screen, bytes: Vec::new(), is_stuck: false }),
            Condvar::new(),
        ));
        let (mut from, watching) = (keys.try_clone().unwrap(), seen.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                watching.1.wait_while(&mut watching.0.lock(), |seen| seen.is_stuck);
                let Ok(read @ 1..) = from.read(&mut buffer) else { break };
                let mut seen = watching.0.lock();
                seen.screen.write(&buffer[..read]);
                seen.bytes.extend_from_slice(&buffer[..read]);
                watching.1.notify_all();
            }
        });
        Terminal { child, keys, line, seen, before }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.press_bytes(keys.as_bytes());
    }

    /// Types bytes.
    pub fn press_bytes(&mut self, bytes: &[u8]) {
        self.keys.write_all(bytes).unwrap();
    }

    /// Stalls the terminal or lets it go on reading.
    pub fn is_stuck(&self, is_stuck: bool) {
        self.seen.0.lock().is_stuck = is_stuck;
        self.seen.1.notify_all();
    }

    /// Changes the width, with rows wrapped anew or not.
    pub fn resize(&self, width: u16, reflows: bool) {
        // Nothing is written between the two.
        let mut seen = self.seen.0.lock();
        match reflows {
            true => seen.screen.reflow(width.into()),
            false => seen.screen.resize(width.into()),
        }
        let size = Winsize { ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.line, size).unwrap();
    }

    /// Presses keys and Enter.
    pub fn enter(&mut self, line: &str) {
        self.press(&format!("{line}\r"));
    }

    /// Waits until the screen fits.
    #[track_caller]
    pub fn until(&self, what: &str, fits: impl Fn(&Screen) -> bool) {
        let until = Instant::now() + PATIENCE;
        let mut seen = self.seen.0.lock();
        while !fits(&seen.screen) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (lines, at) = (seen.screen.lines(), seen.screen.typed());
                drop(seen);
                panic!("waited in vain for {what}\nscreen: {lines:#?}\ncursor: {at:?}");
            }
            self.seen.1.wait_for(&mut seen, left);
        }
    }

    /// Waits for a row of the screen. A live message has its time before it.
    #[track_caller]
    pub fn sees(&self, row: &str) {
        self.until(row, |screen| screen.lines().iter().any(|line| without_time(line) == row));
    }

    /// Waits until the line being typed looks like this, with the cursor at its end. The user's
    /// name may be before it.
    #[track_caller]
    pub fn types(&self, row: &str) {
        self.until(row, |screen| {
            let (line, column) = screen.typed();
            let name = line.chars().take_while(char::is_ascii_alphanumeric).count();
            let (name, line) = match row.starts_with('>') && line[name..].starts_with('>') {
                true => (name, &line[name..]),
                false => (0, &line[..]),
            };
            line == row.trim_end() && column == name + row.chars().count()
        });
    }

    /// Waits until input is not echoed.
    #[track_caller]
    pub fn is_silent(&self) {
        let off = || !tcgetattr(&self.line).unwrap().local_modes.contains(LocalModes::ECHO);
        super::eventually("the echo is off", || off().then_some(()));
    }

    /// Restores the terminal's modes as a shell does.
    pub fn as_before(&self) {
        tcsetattr(&self.line, OptionalActions::Now, &self.before).unwrap();
    }

    /// Waits until the terminal's modes are restored.
    #[track_caller]
    pub fn is_as_before(&self) {
        let modes = |it: &Termios| (it.input_modes, it.output_modes, it.local_modes);
        let same = || modes(&tcgetattr(&self.line).unwrap()) == modes(&self.before);
        super::eventually("the terminal is as it was", || same().then_some(()));
    }

    /// Waits until keys are read one by one.
    #[track_caller]
    pub fn reads_keys(&self) {
        let by_key = || !tcgetattr(&self.line).unwrap().local_modes.contains(LocalModes::ICANON);
        super::eventually("keys are read one by one", || by_key().then_some(()));
    }

    /// Returns all output so far.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.seen.0.lock().bytes).into_owned()
    }

    /// Returns the screen, for the message of a failing test.
    pub fn lines(&self) -> Vec<String> {
        self.seen.0.lock().screen.lines()
    }

    /// The lines on the screen: rows that the terminal has joined or wrapped are one.
    pub fn whole_lines(&self) -> Vec<String> {
        self.seen.0.lock().screen.whole_lines()
    }

    /// How many rows the screen has now.
    pub fn rows(&self) -> usize {
        self.seen.0.lock().screen.rows()
    }

    /// Waits for the end of the program, and checks that the terminal's modes are restored.
    #[track_caller]
    pub fn ends(&mut self) -> ExitStatus {
        let status = ended(&mut self.child);
        let now = tcgetattr(&self.line).unwrap();
        let modes =
            |it: &Termios| (it.input_modes, it.output_modes, it.control_modes, it.local_modes);
        assert_eq!(modes(&now), modes(&self.before), "the terminal is restored");
        status
    }

    /// Answers the questions of a login, up to the prompt.
    #[track_caller]
    pub fn log_in(&mut self, name: &str) {
        self.types("Username: ");
        self.enter(name);
        self.types("Password: ");
        self.is_silent();
        self.enter(&super::password(name));
        self.types(STAY);
        self.enter("");
        self.sees(&welcome(name));
        self.types("> ");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a terminal: our end, and the program's. No program inherits either; otherwise it would
/// not notice when the other end closes.
pub fn both_ends() -> (File, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let name = ptsname(&ours, Vec::new()).unwrap();
    let line = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    (ours.into(), line.into())
}

/// Returns the greeting after a login.
pub fn welcome(name: &str) -> String {
    format!("Welcome, {name}. `help` lists what can be typed.")
}

/// Removes the time of a live message.
fn without_time(row: &str) -> &str {
    let is_time = |time: &str| {
        let shape: String =
            time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        shape == "[00:00] "
    };
    row.split_at_checked(8).filter(|(time, _)| is_time(time)).map_or(row, |(_, rest)| rest)
}
