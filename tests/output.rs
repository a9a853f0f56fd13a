//! behaviour.md, Faces of the client: an output that cannot be written or is not read; and a server's
//! log that nobody reads.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Stdio};

use common::terminal::both_ends;
use common::{Client, Home, Lines, Server, ended, password, read_output};
use rustix::process::Signal;

type Output = fn() -> Stdio;

/// Standard outputs that cannot be written, with the error message.
const OUTPUTS: [(Output, &str); 2] = [
    (|| OpenOptions::new().write(true).open("/dev/full").unwrap().into(), "no room left"),
    (
        || {
            let (reader, output) = read_output();
            reader.shutdown(Shutdown::Both).unwrap();
            output
        },
        "whoever read it has gone",
    ),
];

/// Runs alice's client from a script.
fn alice(server: &Server, args: &[&str], out: Stdio) -> Child {
    let (port, state) = (server.port().to_string(), server.home.state());
    let mut command: Command = server.home.command(&["client", &port, "--user", "alice"]);
    command.args(["--state-dir", state.to_str().unwrap()]).args(args);
    command.env("WHOELSE_PASSWORD", password("alice"));
    command.stdin(Stdio::piped()).stdout(out).spawn().unwrap()
}

#[test]
fn a_script_whose_output_cannot_be_written_sends_all_that_it_was_told_to() {
    for (out, why) in OUTPUTS {
        for args in [&[][..], &["--json"]] {
            let server = Server::of(&["alice", "bob"]);
            let mut bob = server.online("bob");
            let mut alice = alice(&server, args, out());

            let lines: String = (0..300).map(|n| format!("message bob {n}\n")).collect();
            alice.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();

            assert_eq!(ended(&mut alice).code(), Some(1));
            let said = Lines::of(alice.stderr.take().unwrap()).rest();
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].starts_with("whoelse: cannot write the output: "), "{said:?}");
            assert!(said[0].contains(why), "{said:?}");
            bob.expect("* alice logged in");
            (0..300).for_each(|n| {
                bob.lines.wait_for("the next", |line| line.ends_with(&format!("alice: {n}")));
            });
        }
    }
}

#[test]
fn a_person_who_can_be_shown_nothing_any_more_is_not_kept() {
    let server = Server::of(&["alice"]);
    let (port, state) = (server.port().to_string(), server.home.state());
    let ((mut keys, input), (mut screen, output)) = (both_ends(), both_ends());
    let mut alice = server
        .home
        .command(&["client", &port, "--state-dir", state.to_str().unwrap()])
        .env("TERM", "xterm")
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("Username: ") {
        let mut piece = [0; 4096];
        let read = screen.read(&mut piece).unwrap();
        seen.extend_from_slice(&piece[..read]);
    }

    drop(screen);
    keys.write_all(b"x").unwrap();

    assert_eq!(ended(&mut alice).code(), Some(1));
    let said = Lines::of(alice.stderr.take().unwrap()).rest();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("whoelse: cannot write the output: "), "{said:?}");
}

#[test]
fn what_arrives_while_it_cannot_be_written_comes_again_with_the_next_login() {
    for (out, _) in OUTPUTS {
        let server = Server::of(&["alice", "bob"]);
        let mut bob = server.online("bob");
        let mut script = alice(&server, &[], out());
        let mut said = Lines::of(script.stderr.take().unwrap());
        said.wait_for("a complaint", |line| line.contains("cannot write"));

        (0..50).for_each(|n| bob.say(&format!("message alice {n}")));
        bob.meanwhile();
        script.stdin.take().unwrap().write_all(b"message bob hi\n").unwrap();
        assert_eq!(ended(&mut script).code(), Some(1));
        bob.lines.wait_for("hi", |line| line.ends_with("alice: hi"));

        let mut alice = Client::start(&server);
        alice.log_in("alice");
        for n in 0..50 {
            alice.lines.wait_for("the next", |line| line.ends_with(&format!("bob: {n}")));
        }
    }
}

#[test]
fn a_command_whose_result_cannot_be_written_has_failed() {
    let server = Server::of(&["alice"]);
    server.home.write("whoelse.toml", "contacts = \"everyone\"\n");
    for (out, why) in OUTPUTS {
        for args in [
            &["user", "list"][..],
            &["user", "block", "alice", "1"],
            &["doctor"],
            &["doctor", "--json"],
            &["config", "check", "whoelse.toml"],
            &["reload"],
            &["--help"],
            &["user", "add", "--help"],
            &["--version"],
        ] {
            let mut command = server.home.command(args);
            let output = command.stdout(out()).output().unwrap();

            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
            assert!(said.contains("cannot write the output") && said.contains(why), "{said}");
        }
    }
}

#[test]
fn a_message_is_sent_whatever_becomes_of_the_output() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = server.online("bob");
    for (out, _) in OUTPUTS {
        let mut command = server.home.command(&["send", "bob", "done"]);
        // It has no output, so there is nothing to fail.
        assert_eq!(command.stdout(out()).status().unwrap().code(), Some(0));
        bob.lines.wait_for("the message", |line| line.ends_with(": done"));
    }
}

#[test]
fn nobody_panics_where_nobody_can_be_told() {
    let server = Server::of(&["alice"]);
    for (out, _) in OUTPUTS {
        for (args, status) in [
            (&["user", "list"][..], 1),
            (&["user", "remove", "nobody", "--yes"], 1),
            (&["nonsense"], 2),
            (&["--version"], 1),
            (&["client", "--user", "alice", "--password-file", "nowhere"], 2),
        ] {
            let mut command = server.home.command(args);
            let got = command.stdout(out()).stderr(out()).status().unwrap();
            assert_eq!(got.code(), Some(status), "{args:?}");
        }
    }
}

#[test]
fn a_reader_that_goes_before_the_last_line_is_noticed() {
    let server = Server::of(&["alice"]);
    let (reader, output) = read_output();
    let mut alice = alice(&server, &[], output);
    let mut line = String::new();
    BufReader::new(&reader).read_line(&mut line).unwrap();
    assert!(line.starts_with("Welcome"), "{line}");

    reader.shutdown(Shutdown::Both).unwrap();
    alice.stdin.take().unwrap().write_all(b"help\n").unwrap();

    assert_eq!(ended(&mut alice).code(), Some(1));
    assert_eq!(Lines::of(alice.stderr.take().unwrap()).rest().len(), 1);
}

#[test]
fn a_complaint_that_nobody_reads_keeps_nobody_waiting() {
    use rustix::fs::{OFlags, fcntl_setfl};
    let server = Server::of(&["alice"]);
    let (_reader, writer) = std::io::pipe().unwrap();
    // Full, and waiting for a reader.
    fcntl_setfl(&writer, OFlags::NONBLOCK).unwrap();
    while (&writer).write(&[b'x'; 4096]).is_ok() {}
    while (&writer).write(b"x").is_ok() {}
    fcntl_setfl(&writer, OFlags::empty()).unwrap();
    for (args, status) in [
        (&["client", "--user", "alice", "--password-file", "nowhere"][..], 2),
        (&["user", "remove", "nobody", "--yes"], 1),
        (&["nonsense"], 2),
    ] {
        let mut command = server.home.command(args);
        let mut child = command.stderr(writer.try_clone().unwrap()).spawn().unwrap();
        assert_eq!(ended(&mut child).code(), Some(status), "{args:?}");
    }
}

#[test]
fn an_input_that_cannot_be_read_is_a_failure() {
    let server = Server::of(&["alice"]);
    let (port, state) = (server.port().to_string(), server.home.state());
    let mut command = server.home.command(&["client", &port, "--user", "alice"]);
    command.args(["--state-dir", state.to_str().unwrap()]);
    command.env("WHOELSE_PASSWORD", password("alice"));

    let output = command.stdin(std::fs::File::open("/").unwrap()).output().unwrap();

    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said, "whoelse: cannot read the input: it is a directory\n");
}

/// Messages that are sent to a client whose output is not read.
const MANY: usize = 1_500;

fn flooded(server: &Server) -> Child {
    let mut bob = server.online("bob");
    let alice = alice(server, &[], Stdio::piped());
    bob.expect("* alice logged in");
    let text = "x".repeat(500);
    (0..MANY).for_each(|n| bob.say(&format!("message alice {n} {text}")));
    bob.meanwhile();
    alice
}

#[test]
fn a_pipe_that_nobody_reads_keeps_nobody_from_ending_the_program() {
    let server = Server::of(&["alice", "bob"]);
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut alice = flooded(&server);

        common::signal(&alice, signal);

        assert_eq!(ended(&mut alice).code(), Some(0));
    }
}

#[test]
fn a_pipe_whose_reader_takes_its_time_gets_everything() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = flooded(&server);
    drop(alice.stdin.take());

    let mut read = String::new();
    alice.stdout.take().unwrap().read_to_string(&mut read).unwrap();

    assert_eq!(ended(&mut alice).code(), Some(0));
    // Messages that the client did not take are still on the server.
    let mut again = Client::start(&server);
    again.log_in("alice");
    again.meanwhile();
    read.push_str(&again.lines.all().join("\n"));
    for n in 0..MANY {
        assert!(read.contains(&format!("bob: {n} x")), "{n} is missing");
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let home = Home::with_people(&["alice", "bob"]);
    let (reader, log) = read_output();
    let mut command = home.command(&["server", "0", "--log", "trace"]);
    let mut server = Server::run_alone(home.clone(), command.stderr(log));
    // The command holds that end of the log as well.
    drop(command);
    // More is logged than what nobody reads has room for.
    for _ in 0..400 {
        drop(TcpStream::connect(server.address).unwrap());
    }

    let (mut alice, mut bob) = (server.online("alice"), server.online("bob"));
    alice.expect("* bob logged in");
    alice.say("message bob hello");
    bob.expect("alice: hello");

    // It is all there for whoever reads again, and the end waits for that.
    let mut lines = Lines::of(reader);
    lines.wait_for("a stranger", |line| line.contains("connected"));
    lines.wait_for("bob's login", |line| line.contains("login") && line.contains("bob@localhost"));
    server.stop();
    assert!(lines.rest().iter().any(|line| line.contains("session_ended")));
}
