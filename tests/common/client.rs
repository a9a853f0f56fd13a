//! `whoelse client` behind pipes: lines in, lines out.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use super::{Home, Lines, Server, ended, password};

/// A client whose lines a test types and reads.
pub struct Client {
    pub child: Child,
    keys: Option<ChildStdin>,
    pub lines: Lines,
    barriers: u32,
}

impl Client {
    /// Starts a client that connects to this server.
    pub fn start(server: &Server) -> Client {
        Client::start_with(&server.home, server.address, &[])
    }

    /// Starts a client that connects to this port of this computer.
    pub fn start_with(home: &Home, to: SocketAddr, args: &[&str]) -> Client {
        let port = to.port().to_string();
        let mut command = home.command(&["client", &port]);
        if !args.contains(&"--state-dir") {
            command.arg("--state-dir").arg(home.state());
        }
        Client::run(command.args(args).stdin(Stdio::piped()))
    }

    /// Starts a client by this command; its input is a pipe.
    pub fn run(command: &mut Command) -> Client {
        let mut child = command.spawn().unwrap();
        let keys = child.stdin.take();
        let lines = Lines::of(child.stdout.take().unwrap());
        lines.add(child.stderr.take().unwrap());
        Client { child, keys, lines, barriers: 0 }
    }

    /// Types a line.
    pub fn say(&mut self, line: &str) {
        let keys = self.keys.as_mut().unwrap();
        // A program that has ended is noticed by its output.
        let _ = keys.write_all(format!("{line}\n").as_bytes()).and_then(|()| keys.flush());
    }

    /// Types bytes.
    pub fn say_bytes(&mut self, bytes: &[u8]) {
        self.keys.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Expects this line next.
    #[track_caller]
    pub fn expect(&mut self, line: &str) {
        let heard = self.lines.next();
        assert_eq!(heard, line, "before: {:#?}", self.lines.all());
    }

    /// Waits for this line.
    #[track_caller]
    pub fn wait(&mut self, line: &str) {
        self.lines.wait_for(line, |heard| heard == line);
    }

    /// Waits for a line with each of these beginnings, in whichever order: an answer, and what the same
    /// command makes others tell, come by ways of their own.
    #[track_caller]
    pub fn wait_for_all(&mut self, beginnings: &[&str]) {
        let mut missing = beginnings.to_vec();
        while !missing.is_empty() {
            let fits = |line: &str| missing.iter().any(|begin| line.starts_with(begin));
            let heard = self.lines.wait_for(&format!("{missing:?}"), fits);
            let found = missing.iter().position(|begin| heard.starts_with(begin)).unwrap();
            missing.remove(found);
        }
    }

    /// Types a line, and expects this line next.
    #[track_caller]
    pub fn says(&mut self, line: &str, answer: &str) {
        self.say(line);
        self.expect(answer);
    }

    /// Answers the questions of a login, up to its end.
    #[track_caller]
    pub fn log_in(&mut self, name: &str) {
        self.expect("Username:");
        self.say(name);
        self.expect("Password:");
        self.say(&password(name));
        self.expect("Welcome");
    }

    /// Does the same for a new account.
    #[track_caller]
    pub fn sign_up(&mut self, name: &str, password: &str) {
        self.expect("Username:");
        self.say(name);
        self.expect(&format!("{name} is new here"));
        self.expect("New password:");
        self.say(password);
        self.expect("Repeat password:");
        self.say(password);
        self.expect("Welcome");
    }

    /// Returns everything that arrived until a request was answered by the server.
    #[track_caller]
    pub fn meanwhile(&mut self) -> Vec<String> {
        self.barriers += 1;
        let name = format!("nobody{}", self.barriers);
        self.say(&format!("history {name}"));
        let answer = format!("no messages with {name}");
        let mut lines = self.lines.collect(&answer, |line| line == answer);
        lines.pop();
        lines
    }

    /// Checks that nothing has arrived that the test has not read.
    #[track_caller]
    pub fn hears_nothing(&mut self) {
        assert_eq!(self.meanwhile(), [""; 0]);
    }

    /// Ends the input and waits for the end of the program.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        drop(self.keys.take());
        ended(&mut self.child)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
