//! Private chats with the real binary: who can be asked, what an open chat survives, and what ends
//! it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use common::{Client, Home, Raw, Server, eventually};

const ASKS: &str = "* alice asks for a private chat: accept alice, or decline alice";

const ONLY: &[&str] = &["--private-relay", "only"];

fn with_words(start: &str, client: &mut Client) -> String {
    client.lines.wait_for(start, |line| line.starts_with(start))
}

/// Alice asks, Bob accepts, and both are told that they are connected.
#[track_caller]
fn connect(alice: &mut Client, bob: &mut Client) {
    alice.say("startprivate bob");
    bob.wait(ASKS);
    bob.say("accept alice");
    for (client, whom) in [(&mut *alice, "bob"), (bob, "alice")] {
        client.wait(&format!("* private chat with {whom}: connected directly"));
    }
}

/// Both send something in private, and both receive it.
#[track_caller]
fn talk(alice: &mut Client, bob: &mut Client) {
    alice.say("private bob are you there?");
    bob.wait("[private] alice: are you there?");
    bob.say("private alice I am");
    alice.wait("[private] bob: I am");
}

#[test]
fn two_talk_past_the_server_until_one_stops() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = (server.online("alice"), server.online("bob"));
    alice.wait("* bob logged in");

    alice.says("startprivate bob", "asking bob for a private chat");
    bob.expect(ASKS);
    bob.says("accept alice", "connecting to alice");
    let code = |client: &mut Client, whom: &str| {
        let start = format!("* this is the first private chat with {whom}; its code is ");
        let line = with_words(&start, client);
        line[start.len()..start.len() + 35].to_owned()
    };
    let codes = (code(&mut alice, "bob"), code(&mut bob, "alice"));
    assert_eq!(codes.0, codes.1, "both see the same code");
    alice.expect("* private chat with bob: connected directly");
    bob.expect("* private chat with alice: connected directly");
    alice.says("startprivate bob", "a private chat with bob is open already");
    alice.says("fingerprint bob", "if bob reads you the same code, nobody is between you:");
    assert!(alice.lines.next().starts_with(&codes.0));

    for n in 0..50 {
        alice.say(&format!("private bob  {n} <&> ä\u{1f600}"));
    }
    for n in 0..50 {
        bob.expect(&format!("[private] alice:  {n} <&> ä\u{1f600}"));
    }
    bob.say("private alice * carol logged in\u{202e}");
    alice.expect("[private] bob: * carol logged in\\u{202e}");
    alice.say("stopprivate bob\nprivate bob too late\nstopprivate bob");
    let mut told = [alice.lines.next(), alice.lines.next(), alice.lines.next()];
    // The chat is closed before, between or after the other two lines; each line is answered.
    let answers =
        ["the private chat with bob is being closed already", "there is no private chat with bob"];
    told.sort();
    assert_eq!(told[0], "* the private chat with bob is closed");
    assert!(told[1..].iter().all(|said| answers.contains(&said.as_str())), "{told:?}");
    bob.expect("* alice has closed the private chat");
    for client in [&mut alice, &mut bob] {
        client.hears_nothing();
    }
    alice.says("private bob hi", "there is no private chat with bob");
    alice.says("stopprivate bob", "there is no private chat with bob");
    // A known device is not announced as new.
    alice.says("startprivate bob", "asking bob for a private chat");
    bob.wait(ASKS);
    bob.says("accept alice", "connecting to alice");
    bob.expect("* private chat with alice: connected directly");
    alice.expect("* private chat with bob: connected directly");
    // The server has counted introductions and forwarded no message.
    alice.says("history bob", "no messages with bob");
}

#[test]
fn who_cannot_be_asked_is_told_apart() {
    let server = Server::of(&["alice", "bob", "carol"]);
    let (mut alice, mut bob) = (server.online("alice"), server.online("bob"));
    alice.wait("* bob logged in");

    alice.says("startprivate alice", "you cannot have a private chat with yourself");
    alice.says("startprivate carol", "asking carol for a private chat");
    alice.expect("* carol is not online, so there is no private chat");
    alice.says("startprivate nobody", "asking nobody for a private chat");
    alice.expect("* there is no user nobody");
    alice.says("accept bob", "bob does not ask for a private chat");
    alice.says("decline bob", "bob does not ask for a private chat");
    alice.says("fingerprint bob", "no device of bob is known from a private chat");
    alice.says("trust bob", "no device of bob has shown a changed key");
    alice.says("startprivate", "usage: startprivate USER");
    alice.says("private bob", "usage: private USER TEXT");
    bob.says("block alice", "alice is blocked");
    alice.wait("* bob logged out");
    alice.says("startprivate bob", "asking bob for a private chat");
    alice.expect("* bob has blocked you");
    bob.says("startprivate alice", "asking alice for a private chat");
    bob.expect("* you have blocked alice");
    bob.hears_nothing();
}

#[test]
fn a_client_that_cannot_do_it_is_named() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");
    let mut bob = Raw::online(server.address, "bob");
    alice.wait("* bob logged in");

    alice.say("startprivate bob");
    let asked = bob.stanza(|it| it.type_() == Some("get") && it.from().is_some()).unwrap();
    let (to, id) = (asked.from().unwrap(), asked.id().unwrap());
    let answer = "<query xmlns='http://jabber.org/protocol/disco#info'>\
                  <identity category='client' type='phone'/><feature var='urn:xmpp:ping'/></query>";
    bob.send(&format!("<iq type='result' id='{id}' to='{to}'>{answer}</iq>")).unwrap();

    alice.expect("bob's client cannot have private chats");
}

#[test]
fn declining_and_taking_back_are_told() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = (server.online("alice"), server.online("bob"));
    alice.wait("* bob logged in");

    alice.says("startprivate bob", "asking bob for a private chat");
    alice.says("startprivate bob", "bob is asked already; `stopprivate bob` takes it back");
    bob.wait(ASKS);
    bob.says("decline alice", "alice is told that you declined");
    alice.expect("* bob has declined the private chat");

    alice.says("startprivate bob", "asking bob for a private chat");
    bob.expect(ASKS);
    alice.says("stopprivate bob", "bob is not asked for a private chat any more");
    bob.expect("* alice does not ask for a private chat any more");
    bob.says("accept alice", "alice does not ask for a private chat");

    // After leaving, the request is withdrawn.
    alice.says("startprivate bob", "asking bob for a private chat");
    bob.expect(ASKS);
    assert!(alice.end().success());
    bob.wait("* alice does not ask for a private chat any more");
}

#[test]
fn two_who_ask_each_other_are_connected() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = (server.online("alice"), server.online("bob"));
    alice.wait("* bob logged in");

    // The requests may cross or not.
    alice.say("startprivate bob");
    bob.say("startprivate alice");

    alice.wait("* private chat with bob: connected directly");
    bob.wait("* private chat with alice: connected directly");
    talk(&mut alice, &mut bob);
}

#[test]
fn every_device_rings_and_the_others_stop_when_one_accepts() {
    let home = Home::with_people(&["alice", "bob"]);
    home.write("whoelse.toml", "sessions = \"many\"\nregistration = \"closed\"\n");
    let server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let mut alice = server.online("alice");
    let (mut phone, mut desk) = (server.online("bob"), server.online("bob"));

    alice.say("startprivate bob");
    phone.wait(ASKS);
    desk.wait(ASKS);
    phone.say("accept alice");

    desk.expect("* the private chat with alice was answered on another device");
    phone.wait("* private chat with alice: connected directly");
    alice.wait("* private chat with bob: connected directly");
    talk(&mut alice, &mut phone);
    desk.hears_nothing();
    // The block comes from a device that has no part in the chat.
    desk.says("block alice", "alice is blocked");
    phone.wait("* the private chat with alice is closed: alice is blocked");
    alice.wait("* bob has closed the private chat");
}

#[test]
fn several_chats_stand_side_by_side() {
    let server = Server::of(&["alice", "bob", "carol"]);
    let mut alice = server.online("alice");
    let (mut bob, mut carol) = (server.online("bob"), server.online("carol"));

    connect(&mut alice, &mut bob);
    carol.say("startprivate alice");
    alice.wait("* carol asks for a private chat: accept carol, or decline carol");
    alice.say("accept carol");
    carol.wait("* private chat with alice: connected directly");
    alice.wait("* private chat with carol: connected directly");

    alice.say("private bob for you");
    alice.say("private carol for you, too");
    bob.wait("[private] alice: for you");
    carol.expect("[private] alice: for you, too");
    alice.say("stopprivate bob");
    bob.expect("* alice has closed the private chat");
    alice.say("private carol still there?");
    carol.expect("[private] alice: still there?");
}

#[test]
fn a_chat_outlives_the_server() {
    let mut server = Home::with_people(&["alice", "bob"]).start_at(common::ports::lasting(), &[]);
    let (mut alice, mut bob) = (server.online("alice"), server.online("bob"));
    connect(&mut alice, &mut bob);

    server.kill();
    for client in [&mut alice, &mut bob] {
        client.wait("* connection lost, reconnecting…");
    }
    talk(&mut alice, &mut bob);

    server.start_again();
    for client in [&mut alice, &mut bob] {
        client.wait("* connected again");
    }
    talk(&mut alice, &mut bob);
    alice.say("stopprivate bob");
    bob.wait("* alice has closed the private chat");
}

#[test]
fn a_chat_outlives_a_session_that_was_idle() {
    // Typing in private is no activity that the server sees.
    let server = Home::with_people(&["alice", "bob"]).start(&["60", "10"]);
    let (mut alice, mut bob) = (server.online("alice"), server.online("bob"));
    connect(&mut alice, &mut bob);

    for client in [&mut alice, &mut bob] {
        client.wait("* logged out after 10 s without activity");
    }
    talk(&mut alice, &mut bob);
    alice.says("message bob hi", "log in first");
    alice.says("private carol hi", "log in first");
    // Logging in again changes nothing.
    bob.say("login bob");
    bob.expect("Password:");
    bob.say(&common::password("bob"));
    bob.wait("Welcome");
    talk(&mut alice, &mut bob);

    // Without a session, `logout` still ends the private chat.
    alice.say("logout");
    alice.wait("* the private chat with bob is closed");
    bob.wait("* alice has closed the private chat");
    alice.says("logout", "log in first");
}

#[test]
fn logout_and_quit_end_it_and_the_other_is_told_at_once() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = (server.online("alice"), server.online("bob"));
    connect(&mut alice, &mut bob);
    alice.say("private bob last words");
    alice.say("logout");
    bob.wait("[private] alice: last words");
    bob.wait("* alice has closed the private chat");
    alice.wait("* logged out");

    for end in ["quit", ""] {
        let mut alice = server.online("alice");
        connect(&mut alice, &mut bob);
        alice.say("private bob last words");
        match end {
            "" => assert!(alice.end().success()),
            quit => {
                alice.say(quit);
                assert!(alice.end().success());
            }
        }
        bob.wait("[private] alice: last words");
        // One notice comes over the line and one from the server, in either order.
        let mut awaited = vec!["* alice has closed the private chat", "* alice logged out"];
        while !awaited.is_empty() {
            let line = bob.lines.next();
            awaited.retain(|it| *it != line);
        }
    }
}

#[test]
fn a_client_that_dies_without_a_word_is_noticed_and_nothing_is_dropped_silently() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = (server.online("alice"), server.online("bob"));
    connect(&mut alice, &mut bob);
    talk(&mut alice, &mut bob);

    bob.child.kill().unwrap();
    alice.say("private bob into the void");
    alice.wait("* nobody knows whether your private message to bob arrived: into the void");
    alice.wait("* the private chat with bob is lost: nothing is heard of bob's client any more");
    alice.says("private bob hi", "there is no private chat with bob");
}

#[test]
fn blocking_ends_it_on_this_device_too() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = (server.online("alice"), server.online("bob"));
    connect(&mut alice, &mut bob);

    alice.say("block bob");
    alice.wait("* the private chat with bob is closed: bob is blocked");
    bob.wait("* alice has closed the private chat");
}

/// Returns what an HTTP server answers there.
fn get(at: &str, path: &str) -> String {
    let mut socket = TcpStream::connect(at).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

/// Returns the file with the device's own key and the known ones.
fn keys_in(state: &Path) -> PathBuf {
    let files = fs::read_dir(state.join("private")).unwrap().map(|it| it.unwrap().path());
    files.into_iter().find(|path| path.extension().is_none()).unwrap()
}

/// Bob leaves, and his end of an open chat is closed: the two notices come in either order.
fn leave(bob: &mut Client, alice: &mut Client) {
    assert!(bob.end().success());
    let gone = ["* bob has closed the private chat", "* bob logged out"];
    let missing = std::cell::Cell::new(gone.len());
    alice.lines.wait_for("both are gone", |line| {
        missing.set(missing.get() - usize::from(gone.contains(&line)));
        missing.get() == 0
    });
}

fn online_at(server: &Server, name: &str, state: &Path) -> Client {
    server.online_with(name, &["--state-dir", state.to_str().unwrap()])
}

#[test]
fn a_new_device_is_said_to_be_new_and_a_changed_key_is_refused_until_it_is_accepted() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");
    let (first, second) = (server.home.state(), server.home.state());
    let mut bob = online_at(&server, "bob", &first);
    connect(&mut alice, &mut bob);
    leave(&mut bob, &mut alice);

    // Another device of Bob's.
    let mut bob = online_at(&server, "bob", &second);
    alice.say("startprivate bob");
    bob.wait(ASKS);
    bob.say("accept alice");
    with_words("* new device of bob; its code is ", &mut alice);
    alice.wait("* private chat with bob: connected directly");
    leave(&mut bob, &mut alice);

    // The first device, with another key.
    let keys = keys_in(&first);
    let text = fs::read_to_string(&keys).unwrap();
    let own = text.lines().next().unwrap();
    let (device, secret) = own.rsplit_once(' ').unwrap();
    let changed: String = secret.chars().rev().collect();
    fs::write(&keys, text.replacen(own, &format!("{device} {changed}"), 1)).unwrap();
    let mut bob = online_at(&server, "bob", &first);
    alice.wait("* bob logged in");
    for trusted in [false, true] {
        alice.say("startprivate bob");
        bob.wait(ASKS);
        bob.say("accept alice");
        if !trusted {
            let warning = with_words("* no private chat with bob: WARNING", &mut alice);
            assert!(warning.contains("trust bob"), "{warning}");
            with_words("* no private chat with alice: alice's client knows this device", &mut bob);
            alice.say("fingerprint bob");
            alice.lines.wait_for("the changed one", |line| line.contains("CHANGED"));
            alice.says("trust bob", "bob's new key is trusted from now on; ask again");
        }
    }
    alice.wait("* private chat with bob: connected directly");
    bob.wait("* private chat with alice: connected directly");
    talk(&mut alice, &mut bob);
}

#[test]
fn a_second_program_of_the_same_account_is_a_device_of_its_own() {
    let home = Home::with_people(&["alice", "bob"]);
    home.write("whoelse.toml", "sessions = \"many\"\nregistration = \"closed\"\n");
    let server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let mut alice = server.online("alice");
    let state = server.home.state();
    let (mut one, mut two) = (online_at(&server, "bob", &state), online_at(&server, "bob", &state));

    connect(&mut alice, &mut one);
    talk(&mut alice, &mut one);
    alice.say("stopprivate bob");
    alice.wait("* the private chat with bob is closed");
    two.wait("* the private chat with alice was answered on another device");
    connect(&mut alice, &mut two);
    talk(&mut alice, &mut two);
}

#[test]
fn hidden_addresses_go_through_the_relay_and_the_server_counts_no_names() {
    let home = Home::with_people(&["alice", "bob"]);
    home.write("whoelse.toml", "registration = \"closed\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let (mut alice, mut bob) = (server.online_with("alice", ONLY), server.online("bob"));

    alice.say("startprivate bob");
    bob.wait(ASKS);
    bob.say("accept alice");
    for (client, whom) in [(&mut alice, "bob"), (&mut bob, "alice")] {
        let start = format!("* private chat with {whom}: connected through the server's relay");
        with_words(&start, client);
    }
    talk(&mut alice, &mut bob);

    let is_metrics = |line: &&String| line.contains("/metrics");
    let said = server.lines.all();
    let line = said.iter().find(is_metrics).unwrap();
    let at = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
    let metrics = get(at, "/metrics");
    let number = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!((number("whoelse_introductions_total") - 1.0).abs() < f64::EPSILON);
    assert!((number("whoelse_relay_connections") - 2.0).abs() < f64::EPSILON);
    assert!(number("whoelse_relay_bytes_total") > 0.0);
    assert!(!metrics.contains("alice") && !metrics.contains("bob"), "{metrics}");
    alice.say("stopprivate bob");
    bob.wait("* alice has closed the private chat");
}

#[test]
fn what_the_users_settings_say_counts_unless_the_command_line_says_otherwise() {
    let server = Server::of(&["alice", "bob"]);
    let settings = server.home.path().join(".config/whoelse");
    fs::create_dir_all(&settings).unwrap();
    fs::write(settings.join("client.toml"), "private.relay = \"only\"\n").unwrap();
    let (mut alice, mut bob) = (server.online("alice"), server.online("bob"));
    alice.say("startprivate bob");
    bob.wait(ASKS);
    bob.say("accept alice");
    with_words("* private chat with bob: connected through the server's relay", &mut alice);
    assert!(alice.end().success() && bob.end().success());

    let auto: &[&str] = &["--private-relay", "auto"];
    let (mut alice, mut bob) = (server.online_with("alice", auto), server.online_with("bob", auto));
    connect(&mut alice, &mut bob);

    fs::write(settings.join("client.toml"), "private.relay = \"maybe\"\n").unwrap();
    let port = server.port().to_string();
    let words = ["client.toml", "line 1", "`private.relay` must be"];
    server.home.run(&["client", &port]).failed(2, &words);
}

#[test]
fn a_relay_that_is_forbidden_is_not_used() {
    let home = Home::with_people(&["alice", "bob"]);
    home.write("whoelse.toml", "registration = \"closed\"\n[private]\nrelay = \"never\"\n");
    let server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let mut bob = server.online("bob");
    let mut alice = server.online_with("alice", ONLY);

    alice.say("startprivate bob");
    bob.wait(ASKS);
    bob.say("accept alice");
    alice.wait("* no private chat with bob: the server offers no relay");
    bob.wait("* no private chat with alice: alice has given up");
    assert!(alice.end().success());

    let mut alice = server.online("alice");
    connect(&mut alice, &mut bob);
}

#[test]
fn an_end_that_hides_and_one_that_takes_no_relay_have_no_way_in_common() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online_with("alice", ONLY);
    let mut bob = server.online_with("bob", &["--private-relay", "never"]);

    alice.say("startprivate bob");
    bob.wait(ASKS);
    bob.say("accept alice");

    with_words("* no private chat with alice: one of the two hides its addresses", &mut bob);
    with_words("* no private chat with bob: ", &mut alice);
}

#[test]
fn the_key_of_a_device_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::of(&["alice"]);
    let state = server.home.state();
    let _alice = online_at(&server, "alice", &state);

    let keys = eventually("the key", || Some(keys_in(&state)));

    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    let folder = fs::metadata(state.join("private")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
}
