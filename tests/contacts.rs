//! Contacts at the keyboard, where the server keeps them (`contacts = "roster"`).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Client, Home, Server};

/// A server on which only agreed subscriptions show anybody.
fn server() -> Server {
    let home = Home::with_people(&["alice", "bob", "carol"]);
    home.write("whoelse.toml", "contacts = \"roster\"\nregistration = \"closed\"\n");
    home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"])
}

fn online(server: &Server, name: &str) -> Client {
    let mut client = Client::start(server);
    client.log_in(name);
    client
}

/// Types a line, and expects these next in either order: different tasks print the answer and the
/// notice.
#[track_caller]
fn says(client: &mut Client, line: &str, answers: [&str; 2]) {
    client.say(line);
    let mut heard = [client.lines.next(), client.lines.next()];
    heard.sort();
    let mut answers = answers;
    answers.sort_unstable();
    assert_eq!(heard, answers);
}

/// Both see each other.
fn befriend(alice: &mut Client, bob: &mut Client) {
    alice.says("add bob", "bob is asked to let you see when they are online");
    bob.expect("* alice asks to see when you are online: allow alice, or deny alice");
    bob.says("allow alice", "alice sees when you are online; `add alice` asks for the same");
    alice.wait("* bob lets you see when they are online");
    alice.wait("* bob logged in");
    bob.says("add alice", "alice is asked to let you see when they are online");
    alice.expect("* bob asks to see when you are online: allow bob, or deny bob");
    alice.says("allow bob", "bob sees when you are online");
    bob.wait("* alice lets you see when they are online");
    bob.wait("* alice logged in");
}

#[test]
fn two_who_agree_see_each_other_come_and_go() {
    let server = server();
    let (mut alice, mut bob) = (online(&server, "alice"), online(&server, "bob"));
    alice.says("contacts", "you have no contacts; `add USER` asks somebody to be one");
    befriend(&mut alice, &mut bob);

    alice.says("contacts", "bob  online");
    alice.says("whoelse", "bob");
    assert_eq!(bob.end().code(), Some(0));
    alice.expect("* bob logged out");
    alice.says("contacts", "bob  offline");
    let mut bob = online(&server, "bob");
    alice.expect("* bob logged in");
    bob.says("whoelse", "alice");
}

#[test]
fn who_was_away_is_asked_at_the_next_login_and_answers() {
    let server = server();
    let mut alice = online(&server, "alice");
    alice.says("add bob", "bob is asked to let you see when they are online");
    alice.says("contacts", "bob  asked, no answer yet; does not see you");
    alice.says("add bob", "bob has been asked already, and has not answered yet");

    let mut bob = online(&server, "bob");
    bob.expect("* alice asks to see when you are online: allow alice, or deny alice");
    bob.says("contacts", "alice  not seen by you; asks to see you: allow alice, or deny alice");
    bob.says("deny alice", "alice does not see when you are online");

    alice.wait("* bob does not let you see when they are online");
    bob.says("contacts", "you have no contacts; `add USER` asks somebody to be one");
}

#[test]
fn who_is_allowed_in_advance_need_not_ask_twice() {
    let server = server();
    let (mut alice, mut bob) = (online(&server, "alice"), online(&server, "bob"));

    bob.says("allow alice", "alice will see when you are online as soon as they ask");
    bob.says("contacts", "alice  not seen by you; sees you as soon as they ask");
    alice.say("add bob");

    let mut heard = [alice.lines.next(), alice.lines.next(), alice.lines.next()];
    heard.sort();
    let events = ["* bob lets you see when they are online", "* bob logged in"];
    assert_eq!(heard, [events[0], events[1], "you see when bob is online"]);
    assert!(!bob.meanwhile().iter().any(|line| line.contains("asks to see")));
}

#[test]
fn a_contact_has_another_name_and_is_removed() {
    let server = server();
    let (mut alice, mut bob) = (online(&server, "alice"), online(&server, "bob"));
    befriend(&mut alice, &mut bob);

    alice.says("rename bob Bobby  the Great", "bob is called Bobby  the Great");
    alice.says("contacts", "bob (Bobby  the Great)  online");
    let answer = "bob is none of your contacts any more";
    says(&mut alice, "remove bob", [answer, "* bob logged out"]);
    alice.says("contacts", "you have no contacts; `add USER` asks somebody to be one");
    bob.wait("* alice logged out");
    alice.says("remove bob", "bob is none of your contacts");
    alice.says("rename bob x", "bob is none of your contacts");
}

#[test]
fn mistakes_are_told() {
    let server = server();
    let mut alice = online(&server, "alice");

    alice.says("add", "usage: add USER");
    alice.says("add alice", "you cannot add yourself");
    alice.says("allow alice", "you cannot allow yourself");
    alice.says("add bob carol", "usage: add USER");
    alice.says("rename bob", "usage: rename USER NAME");
    // The answer does not tell whether the user exists.
    alice.says("add nobody", "nobody is asked to let you see when they are online");
    alice.says("add x@other.example", "cannot reach other.example");
}

#[test]
fn where_everybody_sees_everybody_there_is_nothing_to_ask() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");
    let words = "everybody on this server is your contact; `whoelse` lists who is online";

    for line in ["contacts", "add bob", "allow bob", "deny bob", "remove bob", "rename bob x"] {
        alice.says(line, words);
    }
}
