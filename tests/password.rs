//! behaviour.md, `password`: a user who knows the present password can change it, whatever happens
//! to the connection meanwhile.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::net::Ipv4Addr;
use std::time::Duration;

use common::{Client, Home, Proxy, Raw, Server, password};
use serde_json::{Value, json};

const UNCHANGED: &str = "that is not your present password; your password is what it was";

/// Answers the three questions.
#[track_caller]
fn change(client: &mut Client, present: &str, new: &str, repeated: &str) {
    client.says("password", "Present password:");
    client.says(present, "New password:");
    client.says(new, "Repeat password:");
    client.say(repeated);
}

#[track_caller]
fn log_in(client: &mut Client, name: &str, password: &str) {
    client.expect("Username:");
    client.says(name, "Password:");
    client.say(password);
    client.lines.wait_for("a welcome", |line| line.starts_with("Welcome"));
}

#[test]
fn a_password_is_changed_by_whoever_knows_the_present_one() {
    let server = Server::of(&["alice"]);
    let mut alice = server.online("alice");

    change(&mut alice, "not it", "another secret", "another secret");
    alice.expect(UNCHANGED);
    change(&mut alice, &password("alice"), "another secret", "anotter secret");
    alice.expect("the two new passwords are not the same; your password is what it was");
    change(&mut alice, &password("alice"), "", "");
    alice.expect("the password is empty; your password is what it was");
    alice.says("password now", "usage: password");
    change(&mut alice, &password("alice"), "another secret", "another secret");
    alice.expect("your password is changed");
    // The session goes on, and the next line is a command.
    alice.says("whoelse", "nobody else is online");

    change(&mut alice, &password("alice"), "a third one", "a third one");
    alice.expect(UNCHANGED);
    alice.says("logout", "* logged out");
    alice.says("password", "log in first");
    alice.say("login");
    alice.expect("Username:");
    alice.says("alice", "Password:");
    alice.say(&password("alice"));
    let changed = "the password of this account was changed on ";
    alice.lines.wait_for("the day of the change", |line| line.starts_with(changed));
    alice.expect("Password:");
    alice.say("another secret");
    alice.lines.wait_for("a welcome", |line| line.starts_with("Welcome"));
}

#[test]
fn a_program_changes_it_with_an_object_or_three_answers() {
    let server = Server::of(&["alice"]);
    let file = server.home.write("alice.password", &password("alice"));
    let args = ["--json", "--user", "alice", "--password-file", file.to_str().unwrap()];
    let mut alice = Client::start_with(&server.home, server.address, &args);
    let mut says = |line: &str| -> Value {
        alice.say(line);
        loop {
            let said: Value = serde_json::from_str(&alice.lines.next()).unwrap();
            if !["connected", "welcome"].contains(&said["event"].as_str().unwrap()) {
                return said;
            }
        }
    };
    let object = |present: &str, new: &str| {
        json!({"password": {"present": present, "new": new}}).to_string()
    };
    let changed = json!({
        "event": "answer", "command": "password", "text": "your password is changed"
    });

    let failed = says(&object("not it", "second"));
    assert_eq!(
        (&failed["event"], &failed["condition"]),
        (&json!("failed"), &json!("wrong-password"))
    );
    assert_eq!(says(&object(&password("alice"), "second")), changed);
    assert_eq!(says("password")["ask"], "present password");
    assert_eq!(says("second")["ask"], "new password");
    assert_eq!(says("third")["ask"], "repeat password");
    assert_eq!(says("third"), changed);
    // The client knows the new password, not the one in the file.
    assert_eq!(says("logout")["event"], "logged_out");
    alice.say("login");
    let again: Value = serde_json::from_str(&alice.lines.next()).unwrap();
    assert_eq!(again["event"], "welcome", "{again}");
    for line in alice.lines.all() {
        assert!(!line.contains("second") && !line.contains("third"), "{line}");
    }
}

#[test]
fn a_connection_that_is_lost_comes_back_with_the_password_that_holds() {
    let home = Home::with_people(&["alice"]);
    home.write("whoelse.toml", "listen = \"127.0.0.1:0\"\ncontacts = \"everyone\"\n");
    let server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let wire = Proxy::to(server.address);
    let mut alice = Client::start_with(&server.home, wire.address, &[]);
    alice.log_in("alice");
    alice.hears_nothing();

    // The server takes it, but its answer is lost.
    wire.deafen();
    change(&mut alice, &password("alice"), "another secret", "another secret");
    // From another network each time, since a few wrong passwords block a network.
    let mut places = 2..;
    common::eventually("the server has taken it", || {
        let place = Ipv4Addr::new(127, 0, 7, places.next().unwrap());
        let socket = common::raw::socket_from(place, server.address).unwrap();
        let tried = Raw::over(socket, None).unwrap().try_log_in("alice", "another secret");
        let taken = tried.unwrap().is_ok();
        if !taken {
            std::thread::sleep(Duration::from_millis(300));
        }
        taken.then_some(())
    });
    wire.renew();

    // The session that has set it is resumed with the new one, and hears the answer.
    alice.lines.wait_for("the answer", |line| line == "your password is changed");
    alice.meanwhile();
    assert!(alice.lines.all().iter().any(|line| line == "* connected again, nothing was lost"));
    change(&mut alice, "another secret", "a third one", "a third one");
    alice.expect("your password is changed");
    assert!(alice.end().success());
    let mut alice = Client::start(&server);
    log_in(&mut alice, "alice", "a third one");
}
