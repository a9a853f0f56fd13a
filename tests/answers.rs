//! behaviour.md, Commands when logged in: everything typed has an answer or a visible effect, in
//! every state, even if it is typed twice.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Client, Home, Server, eventually};

/// Returns an example of each command. A command that is missing here fails the test.
fn example(name: &str) -> &'static str {
    match name {
        "message" => "message bob hi",
        "broadcast" => "broadcast hi",
        "whoelse" => "whoelse",
        "whoelsesince" => "whoelsesince 0",
        "contacts" => "contacts",
        "add" => "add bob",
        "allow" => "allow bob",
        "deny" => "deny bob",
        "remove" => "remove bob",
        "rename" => "rename bob Robert",
        "block" => "block bob",
        "unblock" => "unblock bob",
        "blocked" => "blocked",
        "startprivate" => "startprivate bob",
        "accept" => "accept bob",
        "decline" => "decline bob",
        "private" => "private bob hi",
        "stopprivate" => "stopprivate bob",
        "fingerprint" => "fingerprint bob",
        "join" => "join #lunch",
        "leave" => "leave #lunch",
        "rooms" => "rooms",
        "members" => "members #lunch",
        "topic" => "topic #lunch pizza",
        "invite" => "invite bob #lunch",
        "kick" => "kick bob #lunch",
        "ban" => "ban bob #lunch",
        "unban" => "unban bob #lunch",
        "grant" => "grant bob #lunch member",
        "close" => "close #lunch",
        "open" => "open #lunch",
        "destroy" => "destroy #lunch",
        "history" => "history bob",
        "login" => "login",
        "logout" => "logout",
        "password" => "password",
        "devices" => "devices",
        "forget" => "forget 1",
        "trust" => "trust bob",
        "help" => "help",
        "quit" => "quit",
        other => panic!("how is `{other}` typed?"),
    }
}

/// These change alice's state, so the next command needs a new client.
const CHANGING: &[&str] = &[
    "remove",
    "block",
    "unblock",
    "startprivate",
    "accept",
    "decline",
    "stopprivate",
    "login",
    "logout",
    "password",
    "quit",
];

/// Alice's state when she types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    LoggedOut,
    Alone,
    WithBob,
    AskedByBob,
    AskingBob,
    InPrivate,
}

/// Brings alice into a state, and bob if he belongs to it.
fn bring(server: &Server, to: Where) -> (Client, Option<Client>) {
    let mut alice = Client::start(server);
    if to == Where::LoggedOut {
        alice.expect("Username:");
        alice.say("nobody@elsewhere.example");
        alice.lines.next();
        return (alice, None);
    }
    alice.log_in("alice");
    // Undoes what an earlier command has left.
    alice.say("unblock bob");
    alice.meanwhile();
    if to == Where::Alone {
        return (alice, None);
    }
    let mut bob = Client::start(server);
    bob.log_in("bob");
    bob.meanwhile();
    match to {
        Where::AskedByBob => {
            bob.say("startprivate alice");
            alice.wait("* bob asks for a private chat: accept bob, or decline bob");
        }
        Where::AskingBob | Where::InPrivate => {
            alice.say("startprivate bob");
            bob.wait("* alice asks for a private chat: accept alice, or decline alice");
        }
        _ => {}
    }
    if to == Where::InPrivate {
        bob.say("accept alice");
        alice.wait("* private chat with bob: connected directly");
        bob.wait("* private chat with alice: connected directly");
    }
    alice.meanwhile();
    bob.meanwhile();
    (alice, Some(bob))
}

fn every_command(server: &Server) -> Vec<String> {
    let mut alice = Client::start(server);
    alice.log_in("alice");
    alice.say("help");
    let help = alice.meanwhile();
    let names = help.iter().filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() > 20 && alice.end().success(), "{help:#?}");
    names
}

/// Each state has a server of its own, because a server limits how many names one network may
/// probe.
fn walk(start: impl Fn() -> Server, states: &[Where]) {
    for &state in states {
        let server = &start();
        let commands = every_command(server);
        let (changing, others): (Vec<&str>, Vec<&str>) =
            commands.iter().map(String::as_str).partition(|name| CHANGING.contains(name));
        let (mut alice, mut bob) = bring(server, state);
        for name in others.into_iter().chain(changing) {
            let count = |alice: &Client, bob: &Option<Client>| {
                alice.lines.all().len() + bob.as_ref().map_or(0, |bob| bob.lines.all().len())
            };
            let before = count(&alice, &bob);

            let line = example(name);
            alice.say_bytes(format!("{line}\n{line}\n").as_bytes());

            if name == "message" && state == Where::Alone {
                // Bob sees the messages that wait for him when he logs in; until then they are in
                // the store.
                eventually("both messages are kept", || {
                    alice.say("history bob");
                    (alice.meanwhile().len() >= 2).then_some(())
                });
                continue;
            }
            eventually(&format!("two answers to `{line}`, {state:?}"), || {
                let heard = count(&alice, &bob) - before;
                let mut ended = || alice.child.try_wait().unwrap().is_some();
                (heard >= 2 || name == "quit" && ended()).then_some(())
            });
            if CHANGING.contains(&name) {
                assert!(alice.end().success(), "{line}, {state:?}");
                bob.iter_mut().for_each(|bob| assert!(bob.end().success()));
                (alice, bob) = bring(server, state);
            } else if state != Where::LoggedOut {
                alice.meanwhile();
                bob.iter_mut().for_each(|bob| drop(bob.meanwhile()));
            }
        }
        assert!(alice.end().success());
        bob.iter_mut().for_each(|bob| assert!(bob.end().success()));
    }
}

#[test]
fn every_command_has_an_answer_or_an_effect_each_time_it_is_typed() {
    use Where::*;
    walk(
        || Server::of(&["alice", "bob"]),
        &[LoggedOut, Alone, WithBob, AskedByBob, AskingBob, InPrivate],
    );
}

#[test]
fn every_command_has_an_answer_where_contacts_are_chosen_too() {
    let start = || {
        let home = Home::with_people(&["alice", "bob"]);
        home.write(
            "whoelse.toml",
            "listen = \"127.0.0.1:0\"\nsessions = \"one\"\nadmins = [\"alice\"]\n",
        );
        home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"])
    };

    walk(start, &[Where::LoggedOut, Where::Alone, Where::WithBob]);
}
