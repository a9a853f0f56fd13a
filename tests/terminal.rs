//! behaviour.md, Faces of the client: on a terminal, an interface for people.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Client, Server, Terminal, password};

const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";
const UP: &str = "\u{1b}[A";
const DOWN: &str = "\u{1b}[B";
const LEFT: &str = "\u{1b}[D";
const BACKSPACE: &str = "\u{7f}";

/// Alice on a terminal, where she has read that Bob came, and Bob behind pipes.
fn two() -> (Server, Terminal, Client) {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = Terminal::start(&server);
    alice.log_in("alice");
    let bob = server.online("bob");
    alice.sees("* bob logged in");
    (server, alice, bob)
}

#[test]
fn a_password_is_not_shown() {
    let server = Server::of(&["alice"]);
    let mut alice = Terminal::start(&server);

    alice.log_in("alice");

    assert!(!alice.written().contains(&password("alice")));
    assert!(!alice.written().contains("secret"));
    alice.enter("quit");
    assert_eq!(alice.ends().code(), Some(0));
}

#[test]
fn a_new_account_is_made_with_two_passwords_that_are_not_shown() {
    let server = common::Home::new().start(&[]);
    let mut bob = Terminal::start(&server);
    bob.types("Username: ");
    bob.enter("bob");
    bob.sees("bob is new here");
    bob.types("New password: ");
    bob.is_silent();
    bob.enter("hidden words");
    bob.types("Repeat password: ");
    bob.is_silent();
    bob.enter("hidden words");
    bob.sees("Welcome");

    assert!(!bob.written().contains("hidden"));
    bob.types("> ");
    bob.enter("quit");
    assert_eq!(bob.ends().code(), Some(0));
}

#[test]
fn what_arrives_while_typing_appears_above_and_the_typed_line_stays() {
    let (_server, mut alice, mut bob) = two();
    alice.press("message bob how are");
    alice.types("> message bob how are");

    bob.say("message alice did you know?");

    alice.sees("bob: did you know?");
    alice.types("> message bob how are");
    // The line goes on where it was, and can still be edited.
    alice.press(" yuo");
    alice.press(&BACKSPACE.repeat(2));
    alice.press("ou");
    alice.types("> message bob how are you");
    alice.press("\r");
    bob.expect("alice: how are you");
    alice.types("> ");
}

#[test]
fn what_arrives_while_the_cursor_is_inside_the_line_leaves_it_there() {
    let (_server, mut alice, mut bob) = two();
    alice.press("message bob ab");
    alice.press(LEFT);
    alice.until("the cursor goes left", |screen| screen.typed().1 == "> message bob a".len());

    bob.say("message alice one\u{9b}2J");

    alice.sees("bob: one\\u{9b}2J");
    alice.until("the cursor is where it was", |screen| {
        screen.typed() == ("> message bob ab".to_owned(), "> message bob a".len())
    });
    alice.press("-\r");
    bob.expect("alice: a-b");
}

#[test]
fn arrow_up_brings_back_what_was_typed_but_never_a_password() {
    let server = Server::of(&["alice"]);
    let mut alice = Terminal::start(&server);
    alice.log_in("alice");
    alice.enter("help whoelse");
    alice.sees("whoelse  List everyone else who is online.");
    alice.types("> ");
    alice.enter("help quit");
    alice.sees("quit  Log out and end the program.");
    alice.types("> ");

    alice.press(UP);
    alice.types("> help quit");
    alice.press(UP);
    alice.types("> help whoelse");
    // Before them there is nothing: neither the name nor the password is remembered.
    alice.press(UP);
    alice.press(DOWN);
    alice.types("> help quit");
    alice.press(DOWN);
    alice.types("> ");
}

#[test]
fn a_long_message_does_not_look_like_a_notice_where_the_terminal_breaks_it() {
    let (_server, alice, mut bob) = two();

    let text = format!("{}* carol logged in", "x".repeat(75));
    bob.say(&format!("message alice {text}"));

    alice.sees(&format!("bob: {}", "x".repeat(75)));
    alice.sees("    * carol logged in");
    alice.types("> ");
}

#[test]
fn ctrl_c_at_the_prompt_ends_the_program_and_restores_the_terminal() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = server.online("bob");
    let mut alice = Terminal::start(&server);
    alice.log_in("alice");
    bob.expect("* alice logged in");
    alice.press("half a li");
    alice.types("> half a li");

    alice.press(CTRL_C);

    assert_eq!(alice.ends().code(), Some(0));
    bob.expect("* alice logged out");
}

#[test]
fn ctrl_c_at_the_password_ends_the_program_and_restores_the_terminal() {
    let server = Server::of(&["alice"]);
    let mut alice = Terminal::start(&server);
    alice.types("Username: ");
    alice.enter("alice");
    alice.types("Password: ");
    alice.is_silent();

    alice.press(CTRL_C);

    assert_eq!(alice.ends().code(), Some(0));
}

#[test]
fn ctrl_d_ends_the_program_and_restores_the_terminal() {
    let server = Server::of(&["alice"]);
    let mut alice = Terminal::start(&server);
    alice.log_in("alice");

    alice.press(CTRL_D);

    assert_eq!(alice.ends().code(), Some(0));
}

#[test]
fn a_program_that_is_told_to_end_restores_the_terminal() {
    let server = Server::of(&["alice"]);
    let mut alice = Terminal::start(&server);
    alice.log_in("alice");
    alice.press("half a li");
    alice.types("> half a li");

    common::signal(&alice.child, rustix::process::Signal::TERM);

    assert_eq!(alice.ends().code(), Some(0));
}

#[test]
fn many_lines_pasted_at_once_are_all_obeyed_in_order() {
    let (_server, mut alice, mut bob) = two();

    let lines: String = (0..30).map(|n| format!("message bob {n}\r")).collect();
    alice.press(&lines);

    for n in 0..30 {
        bob.expect(&format!("alice: {n}"));
    }
    alice.types("> ");
}

#[test]
fn several_lines_pasted_as_a_text_are_one_message() {
    let (_server, mut alice, mut bob) = two();

    // As a terminal sends what is pasted when it has been asked to mark it.
    alice.press("message bob \u{1b}[200~one\rtwo\u{1b}[201~\r");

    bob.expect("alice: one");
    bob.expect("    two");
}

#[test]
fn a_program_that_was_stopped_goes_on_where_it_was() {
    use rustix::process::Signal;
    let (_server, mut alice, mut bob) = two();
    alice.press("message bob half");
    alice.types("> message bob half");

    // As a shell does it: stop, the terminal back to what it was, go on.
    common::signal(&alice.child, Signal::STOP);
    alice.as_before();
    common::signal(&alice.child, Signal::CONT);
    alice.reads_keys();

    alice.types("> message bob half");
    alice.press(" and half\r");
    bob.expect("alice: half and half");
}

#[test]
fn a_password_is_not_shown_after_a_stop_either() {
    use rustix::process::Signal;
    let server = Server::of(&["alice"]);
    let mut alice = Terminal::start(&server);
    alice.types("Username: ");
    alice.enter("alice");
    alice.types("Password: ");
    alice.is_silent();

    common::signal(&alice.child, Signal::STOP);
    alice.as_before();
    common::signal(&alice.child, Signal::CONT);
    alice.is_silent();
    alice.enter(&password("alice"));

    alice.sees("Welcome");
    assert!(!alice.written().contains(&password("alice")));
}
