//! Faults: wires that break, servers that restart, disks that fill up, thousands of strangers. The
//! server never dies, hangs, or grows without bound.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::raw::{Gone, socket_from};
use common::{Client, Home, PATIENCE, Proxy, Raw, Server, ended, ports};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit, setrlimit};
use whoelse_stream::client::Step;

const LOST: &str = "* connection lost, reconnecting…";
const RESUMED: &str = "* connected again, nothing was lost";

/// Alice over a wire that can be cut, and bob without one.
fn alice_over_a_wire(server: &Server) -> (Client, Proxy, Client) {
    let wire = Proxy::to(server.address);
    let mut alice = Client::start_with(&server.home, wire.address, &[]);
    alice.log_in("alice");
    alice.hears_nothing();
    let bob = server.online("bob");
    alice.expect("* bob logged in");
    (alice, wire, bob)
}

// ---- connections ----

#[test]
fn a_killed_connection_resumes_with_nothing_lost_and_nothing_twice() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, wire, mut bob) = alice_over_a_wire(&server);

    for round in 0..3 {
        wire.pull();
        alice.expect(LOST);
        for n in 0..10 {
            alice.say(&format!("message bob from alice {round} {n}"));
            bob.say(&format!("message alice from bob {round} {n}"));
        }
        wire.mend();

        alice.expect(RESUMED);
        for n in 0..10 {
            alice.expect(&format!("bob: from bob {round} {n}"));
            bob.expect(&format!("alice: from alice {round} {n}"));
        }
    }
    // Nobody saw alice leave.
    bob.hears_nothing();
    alice.hears_nothing();
}

#[test]
fn a_wire_that_breaks_in_the_middle_of_everything_loses_nothing() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, wire, mut bob) = alice_over_a_wire(&server);

    for round in 0..3 {
        // Fewer lines than the client keeps without a connection.
        for n in 0..50 {
            alice.say(&format!("message bob {round} {n}"));
            bob.say(&format!("message alice {round} {n}"));
            if n == 25 {
                wire.cut();
            }
        }
        for n in 0..50 {
            bob.expect(&format!("alice: {round} {n}"));
            let expected = format!("bob: {round} {n}");
            let heard = alice.lines.wait_for(&expected, |line| !line.starts_with("* "));
            assert_eq!(heard, expected);
        }
    }
    bob.hears_nothing();
}

#[test]
fn a_hundred_lines_typed_without_a_connection_are_kept_and_the_next_is_refused() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, wire, mut bob) = alice_over_a_wire(&server);
    wire.pull();
    alice.expect(LOST);

    for n in 0..100 {
        alice.say(&format!("message bob {n}"));
    }
    alice.says("message bob one more", "not sent: too many lines wait for the connection");
    wire.mend();

    alice.expect(RESUMED);
    for n in 0..100 {
        bob.expect(&format!("alice: {n}"));
    }
    bob.hears_nothing();
}

#[test]
fn what_is_said_in_a_room_without_a_connection_is_kept_too_and_what_finds_no_room_is_said() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, wire, mut bob) = alice_over_a_wire(&server);
    alice.say("join #lunch");
    alice.wait("Make it? [y/N]");
    alice.say("y");
    alice.lines.wait_for("it is made", |line| line.starts_with("#lunch is made, and"));
    bob.say("join #lunch");
    alice.wait("* bob is in #lunch");
    wire.pull();
    alice.wait(LOST);

    alice.say("message #lunch kept");
    for n in 0..99 {
        alice.say(&format!("message bob {n}"));
    }
    alice.says("message #lunch one more", "* your message to #lunch was not sent");
    wire.mend();

    alice.wait(RESUMED);
    bob.wait("#lunch alice: kept");
    // Nothing is waited for in vain at the end.
    assert_eq!(alice.end().code(), Some(0));
    assert!(alice.lines.rest().iter().all(|line| !line.contains("has not acknowledged")));
}

#[test]
fn after_a_restart_lines_are_sent_again_and_none_appears_twice() {
    let mut server = Home::with_people(&["alice", "bob"]).start_at(ports::lasting(), &[]);
    let (mut alice, wire, mut bob) = alice_over_a_wire(&server);
    // The server's bytes do not reach alice: the message is stored, and she does not know.
    wire.deafen();
    alice.say("message bob did you get this?");
    bob.expect("alice: did you get this?");
    // From here on her bytes do not reach the server either.
    wire.swallow();
    alice.say("message bob and this?");
    server.kill();
    wire.pull();
    alice.expect(LOST);
    bob.expect(LOST);
    alice.say("message bob and that?");

    server.start_again();
    wire.renew();
    wire.mend();

    alice.expect("* connected again");
    // Bob may receive the first message again from his log, if the server had not saved his
    // confirmation; the client shows it once.
    bob.wait("* connected again");
    for text in ["alice: and this?", "alice: and that?"] {
        let heard = bob.lines.wait_for(text, |line| !line.starts_with("* "));
        assert!(heard.ends_with(text), "{heard}");
    }
    assert!(!bob.meanwhile().iter().any(|line| line.contains("alice: ")));
    bob.say("history alice");
    let history = bob.meanwhile();
    let texts: Vec<&str> = history.iter().map(|line| line.split_once("] ").unwrap().1).collect();
    assert_eq!(texts, ["alice: did you get this?", "alice: and this?", "alice: and that?"]);
}

#[test]
fn somebody_who_is_no_server_is_told_in_one_line_and_learns_nothing() {
    let stream = "<stream:stream xmlns='jabber:client' from='localhost' id='x' version='1.0' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    for (answer, words) in [
        ("", ""),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", ""),
        ("\u{1b}[2J\u{9b}", ""),
        // It wants the password in clear.
        (&format!("{stream}<stream:features/>"), "no encryption"),
    ] {
        let home = Home::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let answer = answer.to_owned();
        let nobody = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut heard = vec![0; 4096];
            let read = socket.read(&mut heard).unwrap();
            socket.write_all(answer.as_bytes()).unwrap();
            heard.truncate(read);
            String::from_utf8(heard).unwrap()
        });

        let ran = home.run(&["client", &to.port().to_string(), "--user", "alice"]);

        ran.failed(1, &[words]);
        assert!(!ran.err.contains(['\u{1b}', '\u{9b}']), "{ran:?}");
        let heard = nobody.join().unwrap();
        assert!(heard.contains("stream:stream") && !heard.contains("alice"), "{heard}");
    }
}

// ---- the disk ----

#[test]
fn a_full_disk_refuses_messages_and_keeps_what_was_acknowledged() {
    let home = Home::with_people(&["alice", "bob"]);
    let mut server = home.start_with_small_disk(ports::lasting(), 1_200);
    let mut alice = Raw::connect(server.address, None).unwrap().log_in("alice").unwrap();
    let text = |n: u32| format!("{n} {}", "x".repeat(5_000));
    let mut sent = 0;
    let mut refused = Vec::new();
    let post = |alice: &mut Raw, sent: &mut u32| -> Vec<u32> {
        *sent += 1;
        let xml = format!(
            "<message to='bob@localhost' type='chat' id='{sent}'><body>{}</body></message>\
             <r xmlns='urn:xmpp:sm:3'/>",
            text(*sent)
        );
        alice.send(&xml).unwrap();
        // Both stored and refused messages count as handled.
        let mut refused = Vec::new();
        while alice.acknowledged < *sent {
            match alice.step(PATIENCE).unwrap() {
                Step::Stanza(stanza) => {
                    assert_eq!(stanza.type_(), Some("error"));
                    let error = whoelse_xmpp::StanzaError::read(&stanza).unwrap();
                    assert_eq!(error.condition, whoelse_xmpp::Condition::ResourceConstraint);
                    refused.push(stanza.id().unwrap().parse().unwrap());
                }
                Step::Sm(_) => {}
                other => panic!("{other:?}"),
            }
        }
        refused
    };

    while refused.len() < 5 {
        refused.extend(post(&mut alice, &mut sent));
        assert!(sent < 5_000, "the disk is never full");
    }
    assert!(sent > 10, "{refused:?}");
    // There is one fault, and one line in the log about it.
    let wrong = common::eventually("the log says so", || {
        let mut wrong = server.lines.all();
        wrong.retain(|line| line.contains("ERROR"));
        (!wrong.is_empty()).then_some(wrong)
    });
    assert_eq!(wrong.len(), 1, "{wrong:#?}");
    assert!(wrong[0].contains("disk_full"), "{wrong:#?}");

    // Requests that do not need the disk still work.
    alice.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>").unwrap();
    assert_eq!(alice.stanza(|it| it.id() == Some("p")).unwrap().type_(), Some("result"));
    assert!(server.is_running());
    // The ping counted, too.
    sent += 1;
    refused.push(sent);

    // Whoever logs in now is told everything, and confirms nothing of it.
    let mut away = Raw::connect(server.address, None).unwrap().log_in("bob").unwrap();
    away.send("<presence/>").unwrap();
    let kept: Vec<String> = (1..=sent).filter(|n| !refused.contains(n)).map(text).collect();
    let mut heard = Vec::new();
    while heard.len() < kept.len() {
        let Step::Stanza(stanza) = away.step(PATIENCE).unwrap() else { continue };
        heard.extend(stanza.child_text("body", whoelse_xmpp::ns::CLIENT).map(|it| it.to_string()));
    }
    assert_eq!(heard, kept);
    drop(away);

    // There is room again, and it works without a restart.
    let all = Rlimit { current: None, maximum: None };
    prlimit(Pid::from_raw(server.pid() as i32), Resource::Fsize, all).unwrap();
    common::eventually("there is room again", || {
        let before = refused.len();
        refused.extend(post(&mut alice, &mut sent));
        (refused.len() == before).then_some(())
    });
    // Nothing acknowledged is lost, even by a crash now.
    server.kill();
    let server = home.start_at(server.port(), &[]);
    let mut bob = Raw::online(server.address, "bob");
    for n in (1..=sent).filter(|n| !refused.contains(n)) {
        assert_eq!(bob.text().unwrap(), text(n));
    }
}

// ---- clients that misbehave ----

#[test]
fn a_client_that_never_reads_costs_a_bounded_amount_and_gets_everything_later() {
    let server = Server::of(&["alice", "bob", "carol"]);
    let silent = Raw::online(server.address, "bob");
    let mut alice = Raw::online(server.address, "alice");
    let before = server.memory();
    let text = "x".repeat(9_000);

    // Twelve megabytes, where a session may queue five.
    let count = 1_400;
    let mut sent = 0;
    while sent < count {
        for _ in 0..20 {
            sent += 1;
            let xml = format!(
                "<message to='bob@localhost' type='chat'><body>{sent} {text}</body></message>"
            );
            alice.send(&xml).unwrap();
        }
        // The presence counts, too.
        while alice.count().unwrap() < sent + 1 {}
    }

    let grown = server.memory().saturating_sub(before);
    assert!(grown < 100 << 10, "{grown} KiB");
    // Others are served as usual.
    server.online("carol");
    drop(silent);
    let mut bob = Raw::online(server.address, "bob");
    for n in 1..=count {
        let heard = bob.text().unwrap();
        assert_eq!(heard.split_once(' ').unwrap().0, n.to_string());
        if n % 50 == 0 {
            bob.acknowledge().unwrap();
        }
    }
}

#[test]
fn one_that_speaks_a_byte_at_a_time_is_closed_when_its_time_is_over() {
    let home = Home::with_people(&["alice"]);
    home.write(
        "whoelse.toml",
        "listen = \"127.0.0.1:0\"\ncontacts = \"everyone\"\n[limits]\nnegotiation = \"2s\"\n",
    );
    let server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let started = Instant::now();

    let header = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
                  xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' ";
    let drip = header.bytes().chain(std::iter::repeat(b' '));
    let mut heard = String::new();
    let mut buffer = [0; 1024];
    for byte in drip {
        assert!(started.elapsed() < PATIENCE, "it is never closed");
        if socket.write_all(&[byte]).is_err() {
            break;
        }
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => heard.push_str(&String::from_utf8_lossy(&buffer[..read])),
            // Nothing yet: this is the pace.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }

    assert!(started.elapsed() >= Duration::from_secs(1), "too early");
    assert!(heard.is_empty() || heard.contains("stream"), "{heard}");
    server.online("alice");
}

#[test]
fn ten_thousand_who_never_log_in_keep_nobody_out() {
    // A process may hold so many descriptors; the server is bound by the same number.
    let most = getrlimit(Resource::Nofile).maximum;
    let wanted = Rlimit { current: most, maximum: most };
    setrlimit(Resource::Nofile, wanted).unwrap();
    let count = most.map_or(10_000, |most| most.saturating_sub(1_000).min(10_000)) as usize;
    let home = Home::with_people(&["alice", "bob"]);
    let settings = format!(
        "listen = \"127.0.0.1:0\"\ncontacts = \"everyone\"\n\
         [limits]\nhalf_open = {count}\nwaiting_per_network = 1\n\
         connections_per_second = 100000\nnegotiation = \"5m\"\n"
    );
    home.write("whoelse.toml", &settings);
    let mut server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let mut bob = server.online("bob");
    let before = server.memory();
    let to = server.address;

    // One network may have twenty; the next ones wait, and those over the queue are closed at
    // once.
    let place = |n: usize| Ipv4Addr::new(127, 1, (n / 250) as u8, (n % 250 + 1) as u8);
    let mut held: Vec<TcpStream> = (0..20).map(|_| socket_from(place(0), to).unwrap()).collect();
    let _waits = socket_from(place(0), to).unwrap();
    let mut one_more = socket_from(place(0), to).unwrap();
    common::eventually("one more is closed", || (!is_answered(&mut one_more)).then_some(()));
    // Nearly all of the ten thousand, from five hundred networks.
    for n in 20..count - 10 {
        held.push(socket_from(place(n / 20), to).unwrap());
    }
    let last = held.len() - 1;
    assert!(is_answered(&mut held[last]));

    let grown = server.memory().saturating_sub(before);
    println!("{} connections take {grown} KiB", held.len());
    assert!(grown / held.len() as u64 <= 64, "{grown} KiB for {}", held.len());
    // A real user can still log in and send.
    let mut alice = server.online("alice");
    alice.says("whoelse", "bob");
    assert!(bob.end().success());
    alice.expect("* bob logged out");

    // When all places are taken, the crowd makes room for each one more, and nobody else notices.
    for n in 0..60 {
        let mut socket = socket_from(place(count + n), to).unwrap();
        assert!(is_answered(&mut socket), "{n}");
        held.push(socket);
    }
    let is_gone = |socket: &TcpStream| {
        socket.set_nonblocking(true).unwrap();
        matches!(socket.peek(&mut [0; 1]), Ok(0))
    };
    common::eventually("some were put out", || {
        let gone = held.iter().filter(|socket| is_gone(socket)).count();
        (gone > count / 20).then_some(())
    });
    alice.hears_nothing();
    let bob = server.online("bob");
    alice.expect("* bob logged in");
    drop(bob);
    // They disconnect, and there is room.
    drop(held);
    let mut raw = common::eventually("there is room again", || Raw::connect(to, None).ok());
    raw.send("</stream:stream>").unwrap();
    assert!(server.is_running());
}

/// Returns whether the server answers a stream header and does not close the connection.
fn is_answered(socket: &mut TcpStream) -> bool {
    let header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    if socket.write_all(header.as_bytes()).is_err() {
        return false;
    }
    match socket.read(&mut [0; 64]) {
        Ok(read) => read > 0,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            false
        }
    }
}

// ---- ends ----

#[test]
fn an_account_that_is_removed_while_online_is_gone_at_once() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");
    let mut bob = server.online("bob");
    alice.expect("* bob logged in");

    let removed = server.home.run(&["user", "remove", "bob", "--yes"]);
    assert_eq!(removed.status, Some(0), "{removed:?}");

    let told = bob.lines.next();
    assert!(told.contains("removed"), "{told}");
    bob.says("whoelse", "log in first");
    alice.expect("* bob logged out");
    alice.says("message bob hi", "there is no user bob");
    // Whoever runs the server may give the name again; the new account has nothing of the old one.
    let mut adding = server.home.command(&["user", "add", "bob"]);
    let mut adding = adding.stdin(Stdio::piped()).spawn().unwrap();
    adding.stdin.take().unwrap().write_all(b"another secret\n").unwrap();
    assert!(ended(&mut adding).success());
    bob.say("login bob");
    bob.expect("Password:");
    bob.says("another secret", "Welcome");
    bob.says("history alice", "no messages with alice");
}

#[test]
fn a_server_that_is_told_to_stop_waits_for_nobody_who_does_not_go() {
    let home = Home::with_people(&["alice", "bob"]);
    // Whoever waits for an answer, or for a login, waits longer than the test does.
    home.write(
        "whoelse.toml",
        "listen = \"127.0.0.1:0\"\ncontacts = \"everyone\"\n\
         [limits]\nack_wait = \"1d\"\nnegotiation = \"1d\"\n",
    );
    let mut server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let mut alice = Raw::online(server.address, "alice");
    // Neither of these ever closes its stream.
    let _bob = Raw::online(server.address, "bob");
    let _stranger = TcpStream::connect(server.address).unwrap();
    alice.send("<message to='bob@localhost'><body>accepted</body></message>").unwrap();
    while alice.count().unwrap() < 2 {}

    server.signal(Signal::TERM);

    let end = loop {
        match alice.step(PATIENCE).unwrap() {
            Step::Error(error) => break error,
            Step::Stanza(_) | Step::Sm(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(end.condition, whoelse_xmpp::StreamCondition::SystemShutdown);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_ctrl_c_ends_a_server_at_once() {
    let mut server = Server::of(&["bob"]);
    let mut bob = Raw::online(server.address, "bob");
    server.signal(Signal::INT);
    // Bob stays although he was told to go; the server would wait for him.
    loop {
        match bob.step(PATIENCE) {
            Ok(Step::Error(_)) | Err(Gone::Closed) => break,
            Ok(_) => {}
            Err(Gone::Late) => panic!("bob is never told"),
        }
    }

    server.signal(Signal::INT);

    assert_eq!(server.wait().code(), Some(130), "it has not waited for bob");
}
