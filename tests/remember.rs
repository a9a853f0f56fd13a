//! behaviour.md, Log in: a login that is remembered on this computer, by the program itself: at
//! terminals and in scripts that run at once on one state directory.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use common::terminal::{STAY, welcome};
use common::{Client, Home, Server, Terminal, password};

const MANY: &str = "registration = \"open\"\nlisten = \"127.0.0.1:0\"\ncontacts = \"everyone\"\n\
                    sessions = \"many\"\n";

/// A server of alice and bob where everybody may be in more than once, and one computer.
fn server() -> Server {
    let home = Home::with_people(&["alice", "bob"]);
    let credentials = home.path().join("credentials.txt");
    home.write("whoelse.toml", MANY);
    home.start(&["--config", "whoelse.toml", "--credentials", credentials.to_str().unwrap()])
}

/// Where the computer keeps what it knows.
fn state(server: &Server) -> PathBuf {
    server.home.path().join("state")
}

/// Another terminal on it.
fn terminal(server: &Server, args: &[&str]) -> Terminal {
    let (port, state) = (server.port().to_string(), state(server));
    let all = ["client", &port, "--state-dir", state.to_str().unwrap()];
    Terminal::run(&server.home, &[&all, args].concat())
}

/// A script on it.
fn script(server: &Server, args: &[&str]) -> Client {
    let state = state(server);
    let all = ["--state-dir", state.to_str().unwrap()];
    Client::start_with(&server.home, server.address, &[&all, args].concat())
}

/// The files with a token, and what is in them.
fn tokens(server: &Server) -> Vec<(PathBuf, String)> {
    let Ok(files) = fs::read_dir(state(server).join("logins")) else { return Vec::new() };
    let files = files.map(|file| file.unwrap().path()).filter(|it| it.extension().is_none());
    files.map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect()
}

/// What the server calls the devices of an account.
fn devices(server: &Server, name: &str) -> usize {
    let ran = server.home.run(&["user", "devices", name, "--json"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    ran.out.lines().filter(|line| !line.is_empty()).count()
}

/// Logs in, and says whether to stay.
#[track_caller]
fn log_in(terminal: &mut Terminal, name: &str, stays: &str) {
    terminal.types("Username: ");
    terminal.enter(name);
    terminal.types("Password: ");
    terminal.is_silent();
    terminal.enter(&password(name));
    terminal.types(STAY);
    terminal.enter(stays);
    terminal.sees(&welcome(name));
    terminal.types("> ");
}

/// Is in without a password.
#[track_caller]
fn is_in(terminal: &mut Terminal, name: &str) {
    terminal.types("Username: ");
    terminal.enter(name);
    terminal.sees(&welcome(name));
    terminal.types("> ");
    assert!(!terminal.written().contains("Password"), "{}", terminal.written());
}

#[track_caller]
fn quit(mut terminal: Terminal) {
    terminal.enter("quit");
    assert_eq!(terminal.ends().code(), Some(0));
}

#[test]
fn whoever_says_yes_needs_no_password_until_the_logout() {
    let server = server();
    let mut alice = terminal(&server, &[]);
    log_in(&mut alice, "alice", "y");
    quit(alice);
    let (file, text) = tokens(&server).remove(0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(text.contains("account alice@localhost\n") && !text.contains(&password("alice")));
    assert_eq!(devices(&server, "alice"), 1);

    let mut alice = terminal(&server, &[]);
    is_in(&mut alice, "alice");
    quit(alice);
    let mut alice = terminal(&server, &["--user", "alice"]);
    alice.sees(&welcome("alice"));
    alice.types("> ");
    alice.enter("logout");
    alice.sees("* logged out");
    assert!(tokens(&server).is_empty());
    assert_eq!(devices(&server, "alice"), 0);

    alice.enter("login alice");
    alice.types("Password: ");
    let token = text.lines().find_map(|line| line.strip_prefix("token ")).unwrap();
    assert!(!alice.written().contains(token));
}

#[test]
fn whoever_does_not_say_yes_is_not_remembered() {
    let server = server();
    for answer in ["", "n", "no", "maybe"] {
        let mut alice = terminal(&server, &[]);
        log_in(&mut alice, "alice", answer);
        quit(alice);
    }

    assert!(tokens(&server).is_empty() && !state(&server).join("logins").exists());
    assert_eq!(devices(&server, "alice"), 0);
    // A wrong password is no reason to ask twice.
    let mut alice = terminal(&server, &[]);
    alice.types("Username: ");
    alice.enter("alice");
    alice.types("Password: ");
    alice.enter("not it");
    alice.types(STAY);
    alice.enter("yes");
    alice.sees("wrong password");
    alice.types("Password: ");
    alice.enter(&password("alice"));
    alice.sees(&welcome("alice"));
    assert_eq!(tokens(&server).len(), 1);
}

#[test]
fn a_password_that_is_typed_ahead_and_not_asked_for_is_not_shown_nor_obeyed() {
    let server = server();
    let mut alice = terminal(&server, &[]);
    log_in(&mut alice, "alice", "y");
    quit(alice);

    // Typed by somebody who expects only the usual questions.
    let mut alice = terminal(&server, &[]);
    alice.reads_keys();
    alice.press(&format!("alice\r{}\r", password("alice")));
    alice.sees(&welcome("alice"));
    alice.types("> ");
    alice.enter("logout");
    alice.sees("* logged out");
    assert!(!alice.written().contains(&password("alice")), "{}", alice.written());
}

#[test]
fn two_terminals_and_a_script_of_one_account_are_three_devices() {
    let server = server();
    let file = server.home.write("password", &password("alice"));
    let given = ["--user", "alice", "--password-file", file.to_str().unwrap(), "--remember"];
    let (mut one, mut two) = (terminal(&server, &[]), terminal(&server, &[]));
    log_in(&mut one, "alice", "y");
    log_in(&mut two, "alice", "yes");
    let mut three = script(&server, &given);
    three.expect("Welcome");
    assert_eq!((devices(&server, "alice"), tokens(&server).len()), (3, 3));
    quit(one);
    quit(two);
    assert_eq!(three.end().code(), Some(0));

    // The password is gone, and none of them needs it.
    fs::remove_file(file).unwrap();
    let (mut one, mut two) = (terminal(&server, &[]), terminal(&server, &[]));
    is_in(&mut one, "alice");
    is_in(&mut two, "alice");
    let mut three = script(&server, &["--user", "alice"]);
    three.expect("Welcome");
    let mut bob = script(&server, &[]);
    bob.log_in("bob");
    bob.say("message alice to all of you");
    for terminal in [&one, &two] {
        terminal.sees("bob: to all of you");
    }
    three.lines.wait_for("the message", |line| line == "bob: to all of you");
    // Nobody ended anybody's session, and there is no place for a fourth.
    let mut four = script(&server, &["--user", "alice"]);
    four.expect("Password:");
    assert_eq!((devices(&server, "alice"), tokens(&server).len()), (3, 3));

    // One that logs out takes nothing from the others.
    one.enter("logout");
    one.sees("* logged out");
    assert_eq!((devices(&server, "alice"), tokens(&server).len()), (2, 2));
}

#[test]
fn two_names_in_two_terminals_are_remembered_each_for_itself() {
    let server = server();
    let (mut alice, mut bob) = (terminal(&server, &[]), terminal(&server, &[]));
    log_in(&mut alice, "alice", "y");
    log_in(&mut bob, "bob", "y");
    quit(alice);
    quit(bob);

    let (mut alice, mut bob) = (terminal(&server, &[]), terminal(&server, &[]));
    is_in(&mut bob, "bob");
    is_in(&mut alice, "alice");
    bob.enter("logout");
    bob.sees("* logged out");
    assert_eq!((devices(&server, "alice"), devices(&server, "bob")), (1, 0));
    quit(alice);
    let mut alice = terminal(&server, &[]);
    is_in(&mut alice, "alice");
}

#[test]
fn a_script_is_never_asked_and_remembers_when_it_is_told_to() {
    let server = server();
    let mut alice = script(&server, &[]);
    alice.log_in("alice");
    assert_eq!(alice.end().code(), Some(0));
    assert!(tokens(&server).is_empty());

    let mut alice = script(&server, &["--remember"]);
    alice.log_in("alice");
    assert_eq!(alice.end().code(), Some(0));
    assert_eq!(tokens(&server).len(), 1);
    let mut alice = script(&server, &["--json"]);
    alice.lines.wait_for("the question", |line| line.contains("\"username\""));
    alice.say("alice");
    let said = alice.lines.collect("a welcome", |line| line.contains("\"welcome\""));
    assert!(said.iter().all(|line| !line.contains("prompt")), "{said:?}");
    alice.say("logout");
    alice.lines.wait_for("the end", |line| line.contains("\"logged_out\""));
    assert!(tokens(&server).is_empty());
}

#[test]
fn a_login_that_was_taken_back_asks_for_the_password() {
    let server = server();
    let mut alice = script(&server, &["--remember"]);
    alice.log_in("alice");
    assert_eq!(alice.end().code(), Some(0));
    let ran = server.home.run(&["user", "devices", "alice", "--revoke-all"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");

    let mut alice = script(&server, &["--remember"]);
    alice.expect("Username:");
    alice.say("alice");
    let no_more = "you are not logged in here any more";
    alice.lines.wait_for(no_more, |line| line.starts_with(no_more));
    alice.expect("Password:");
    alice.says(&password("alice"), "Welcome");

    // One that is there is told, and has to be logged in again by its person.
    server.home.run(&["user", "devices", "alice", "--revoke-all"]);
    alice.expect("* logged out: this device was logged out elsewhere");
    alice.says("login alice", "Password:");
    assert!(tokens(&server).is_empty());
}

#[test]
fn a_login_is_remembered_also_over_the_next_certificate_once_it_is_trusted() {
    let home = Home::with_people(&["alice"]);
    let mut server = home.start_at(common::ports::lasting(), &[]);
    let mut alice = script(&server, &["--remember"]);
    alice.log_in("alice");
    assert_eq!(alice.end().code(), Some(0));
    assert!(server.stop().success());
    fs::remove_file(server.home.data().join("certificate.pem")).unwrap();
    fs::remove_file(server.home.data().join("key.pem")).unwrap();
    server.start_again();

    let mut alice = script(&server, &["--user", "alice"]);
    alice.wait("Password:");
    alice.say(&password("alice"));
    alice.wait("Trust it from now on (yes or no)?");
    alice.says("yes", "Welcome");
    assert_eq!(devices(&server, "alice"), 1);
    alice.say("logout");
    alice.expect("* logged out");
    assert!(tokens(&server).is_empty());
    assert_eq!(devices(&server, "alice"), 0);
}

#[test]
fn whoever_came_in_by_a_token_proves_the_password_to_change_it() {
    let server = server();
    let mut alice = script(&server, &["--remember"]);
    alice.log_in("alice");
    assert_eq!(alice.end().code(), Some(0));
    let mut alice = script(&server, &["--user", "alice"]);
    alice.expect("Welcome");

    for (present, changes) in [("not it", false), (password("alice").as_str(), true)] {
        alice.says("password", "Present password:");
        alice.says(present, "New password:");
        alice.says("another secret", "Repeat password:");
        alice.say("another secret");
        let is_changed = alice.lines.next() == "your password is changed";
        assert_eq!(is_changed, changes);
    }
    assert_eq!(alice.end().code(), Some(0));

    // A new password ends what was remembered.
    let mut alice = script(&server, &["--user", "alice"]);
    let no_more = "you are not logged in here any more";
    alice.lines.wait_for(no_more, |line| line.starts_with(no_more));
    alice.expect("Password:");
    alice.says("another secret", "Welcome");
}

/// Two devices of alice that are remembered and there: her phone, which is number 1, and her laptop.
fn phone_and_laptop(server: &Server) -> (Client, Client) {
    let remembered = |device| {
        let mut client = script(server, &["--remember", "--device", device]);
        client.log_in("alice");
        client
    };
    (remembered("phone"), remembered("laptop"))
}

const LOGGED_OUT: &str = "* logged out: this device was logged out elsewhere";

#[test]
fn the_owner_sees_the_devices_and_logs_one_out() {
    let server = server();
    let (mut phone, mut laptop) = phone_and_laptop(&server);
    // One that is not remembered is none of them.
    let mut desk = script(&server, &[]);
    desk.log_in("alice");
    desk.say("devices");
    let list = desk.meanwhile();
    assert!(list[0].starts_with("1  whoelse, phone   since 2"), "{list:?}");
    assert!(list.len() == 2 && !list[1].ends_with("this device"), "{list:?}");
    laptop.say("devices");
    let list = laptop.meanwhile();
    assert!(list[1].starts_with("2  whoelse, laptop  since 2"), "{list:?}");
    assert!(list.len() == 2 && list[1].ends_with("; this device"), "{list:?}");

    laptop.says("forget", "usage: forget N");
    laptop.says("forget phone", "N must be the number of a device");
    laptop.says("forget 7", "there is no device 7; `devices` lists them");
    laptop.says("forget 2", "that is this device; `logout` logs it out");
    laptop.says("forget 1", "device 1 is logged out");

    phone.expect(LOGGED_OUT);
    assert_eq!((devices(&server, "alice"), tokens(&server).len()), (1, 1));
    assert_eq!(laptop.end().code(), Some(0));
    let mut laptop = script(&server, &["--json", "--user", "alice", "--device", "laptop"]);
    laptop.lines.wait_for("a welcome", |line| line.contains("\"welcome\""));
    laptop.say("devices");
    let answer = "{\"event\":\"answer\",\"command\":\"devices\",\"devices\":[{\"device\":2,\
                  \"program\":\"whoelse\",\"name\":\"laptop\",\"since\":";
    laptop
        .lines
        .wait_for(answer, |line| line.starts_with(answer) && line.ends_with("\"this\":true}]}"));
    laptop.say("forget 7");
    laptop.lines.wait_for("a refusal", |line| line.contains("\"condition\":\"no-such-device\""));
    laptop.say("logout");
    laptop.lines.wait_for("the end", |line| line.contains("\"logged_out\""));

    let mut alone = script(&server, &[]);
    alone.log_in("alice");
    alone.says("devices", "no device logs in without the password");
}

#[test]
fn the_operator_sees_the_devices_and_logs_one_out() {
    let server = server();
    let ran = server.home.run(&["user", "devices", "alice"]);
    assert_eq!((ran.status, ran.out.trim()), (Some(0), "no device logs in without the password"));
    let (mut phone, mut laptop) = phone_and_laptop(&server);

    let ran = server.home.run(&["user", "devices", "alice"]);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(ran.status, Some(0));
    assert!(lines[0].starts_with("NUMBER  PROGRAM  DEVICE  SINCE"), "{lines:?}");
    assert!(lines[1].starts_with("1       whoelse  phone   2"), "{lines:?}");
    assert!(lines[2].starts_with("2       whoelse  laptop  2") && lines.len() == 3, "{lines:?}");

    let ran = server.home.run(&["user", "devices", "alice", "--revoke", "7"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert!(ran.err.contains("there is no device 7"), "{ran:?}");
    let ran = server.home.run(&["user", "devices", "alice", "--revoke", "1"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    phone.expect(LOGGED_OUT);
    laptop.hears_nothing();
    assert_eq!((devices(&server, "alice"), tokens(&server).len()), (1, 1));
    let ran = server.home.run(&["user", "devices", "nobody"]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
}
