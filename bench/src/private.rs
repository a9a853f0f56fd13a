//! Private chats as two people have them: the real server and two real clients (`--json`) on this
//! computer. How long a message and its answer take over the line and through the server, and how
//! long it takes from `accept` to a line, directly and through the relay.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Args;

use crate::Failed;

/// How much of it.
#[derive(Args)]
pub struct Options {
    /// Messages and answers, each way.
    #[arg(long, default_value_t = 500)]
    messages: usize,
    /// Lines, each way: ten at the most, since no more than five requests of one person ring in a
    /// minute, and the two take turns.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=10))]
    lines: u8,
}

/// Runs it and prints a table.
pub fn run(program: &Path, options: &Options) -> Result<(), Failed> {
    let program = program.canonicalize()?;
    let home = tempfile::tempdir()?;
    let credentials = home.path().join("credentials.txt");
    std::fs::write(&credentials, "alice secret of alice\nbob secret of bob\n")?;
    let mut server = Talker::start(&program, home.path(), &["server", "0"], "")?;
    let listening = server.until(|line| line.starts_with("listening on 127.0.0.1:"))?;
    let port = listening.rsplit(':').next().ok_or("no port")?.to_owned();
    server.until(|line| line.starts_with("serving "))?;

    println!("| {:<44} | median | 95 % |\n|---|---|---|", "on one computer");
    for (relay, way) in [("auto", "directly"), ("only", "through the relay")] {
        let client = |name: &str| -> Result<Talker, Failed> {
            let words = ["client", &port, "--json", "--user", name, "--private-relay", relay];
            let mut client =
                Talker::start(&program, home.path(), &words, &format!("secret of {name}"))?;
            client.event("welcome")?;
            Ok(client)
        };
        let (mut alice, mut bob) = (client("alice")?, client("bob")?);
        alice.event("online")?;
        let mut accepts = Vec::new();
        for n in 0..options.lines {
            let (asks, asked, (whom, who)) = match n % 2 {
                0 => (&mut alice, &mut bob, ("bob", "alice")),
                _ => (&mut bob, &mut alice, ("alice", "bob")),
            };
            asks.say(&format!("startprivate {whom}"))?;
            asked.event("private_request")?;
            let begin = Instant::now();
            asked.say(&format!("accept {who}"))?;
            alice.event("private_open")?;
            bob.event("private_open")?;
            accepts.push(begin.elapsed());
            if n + 1 < options.lines {
                alice.say("stopprivate bob")?;
                alice.event("private_closed")?;
                bob.event("private_closed")?;
            }
        }
        show(&format!("from `accept` to connected, {way}"), &mut accepts);
        let name = format!("a private message and its answer, {way}");
        show(&name, &mut talk(&mut alice, &mut bob, "private", options.messages)?);
        if relay == "auto" {
            let mut through = talk(&mut alice, &mut bob, "message", options.messages)?;
            show("a message and its answer, through the server", &mut through);
        }
    }
    Ok(())
}

fn talk(
    alice: &mut Talker,
    bob: &mut Talker,
    command: &str,
    count: usize,
) -> Result<Vec<Duration>, Failed> {
    let mut times = Vec::with_capacity(count);
    for n in 0..count {
        let begin = Instant::now();
        alice.say(&format!("{command} bob ping {n}"))?;
        bob.event("message")?;
        bob.say(&format!("{command} alice pong {n}"))?;
        alice.event("message")?;
        times.push(begin.elapsed());
        // A line takes no more than twenty messages a second in the long run; only some are counted
        // at once.
        std::thread::sleep(Duration::from_millis(60));
    }
    Ok(times)
}

fn show(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    println!("| {what:<44} | {:.2} ms | {:.2} ms |", ms(at(50)), ms(at(95)));
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A program that is told lines and tells lines.
struct Talker {
    child: Child,
    keys: ChildStdin,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Talker {
    fn start(program: &Path, home: &Path, words: &[&str], secret: &str) -> Result<Talker, Failed> {
        let state = home.join(format!("state-{}", words.get(4).unwrap_or(&"server")));
        let mut child = Command::new(program)
            .args(words)
            .current_dir(home)
            .env("HOME", home)
            .env("XDG_STATE_HOME", state)
            .env("WHOELSE_PASSWORD", secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (keys, lines) = (child.stdin.take(), child.stdout.take());
        let (Some(keys), Some(lines)) = (keys, lines) else { return Err("no pipes".into()) };
        Ok(Talker { child, keys, lines: BufReader::new(lines).lines() })
    }

    fn say(&mut self, line: &str) -> Result<(), Failed> {
        Ok(writeln!(self.keys, "{line}")?)
    }

    fn until(&mut self, fits: impl Fn(&str) -> bool) -> Result<String, Failed> {
        for line in &mut self.lines {
            let line = line?;
            if fits(&line) {
                return Ok(line);
            }
            if line.contains("\"failed\"") {
                return Err(line.into());
            }
        }
        Err("it has ended".into())
    }

    fn event(&mut self, kind: &str) -> Result<String, Failed> {
        let begin = format!("{{\"event\":\"{kind}\"");
        self.until(|line| line.starts_with(&begin))
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
