//! behaviour.md, Faces of the client: on a terminal, an interface for people.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::terminal::{STAY, welcome};
use common::{Client, Server, Terminal, password};

const CTRL_C: &str = "\u{3}";
const CTRL_D: &str = "\u{4}";
const UP: &str = "\u{1b}[A";
const DOWN: &str = "\u{1b}[B";
const LEFT: &str = "\u{1b}[D";
const BACKSPACE: &str = "\u{7f}";

/// Alice on a terminal, where Bob's login was shown, and Bob behind pipes.
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
fn what_is_typed_without_a_connection_is_named_when_the_program_ends_before_it_is_done() {
    for (leaves, many) in [("quit", 1), (CTRL_C, 7)] {
        let (mut server, mut alice, _bob) = two();
        assert_eq!(server.stop().code(), Some(0));
        alice.sees("* connection lost, reconnecting…");
        alice.enter("message bob hi");
        alice.enter("block bob");
        (0..many).for_each(|n| alice.enter(&format!("broadcast bye {n}")));

        match leaves {
            CTRL_C => {
                alice.sees("alice> broadcast bye 6");
                alice.press(CTRL_C);
            }
            quit => alice.enter(quit),
        }

        alice.sees("* not sent: block bob");
        alice.sees("* not sent: broadcast bye 0");
        if leaves == CTRL_C {
            alice.sees("* not sent: 2 more");
        } else {
            // It waits until the message is stored, but Ctrl-C ends it.
            alice.sees("* waiting for the server to store what was sent; Ctrl-C ends at once");
            alice.press(CTRL_C);
        }
        alice.sees("* your message to bob was not sent");
        assert_eq!(alice.ends().code(), Some(0));
    }
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
    bob.types(STAY);
    bob.enter("");
    bob.sees(&welcome("bob"));

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
    // The line being typed is kept, and can still be edited.
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
    alice.until("the cursor goes left", |screen| screen.typed().1 == "alice> message bob a".len());

    bob.say("message alice one\u{9b}2J");

    alice.sees("bob: one\\u{9b}2J");
    alice.until("the cursor is where it was", |screen| {
        screen.typed() == ("alice> message bob ab".to_owned(), "alice> message bob a".len())
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
    // There is nothing before them: neither the name nor the password is remembered.
    alice.press(UP);
    alice.press(DOWN);
    alice.types("> help quit");
    alice.press(DOWN);
    alice.types("> ");
}

#[test]
fn the_prompt_says_who_i_am_and_what_is_said_has_its_time() {
    let (_server, mut alice, mut bob) = two();
    alice.until("who types", |screen| screen.typed() == ("alice>".to_owned(), 7));

    bob.say("message alice hi");
    bob.say("broadcast lunch?");
    bob.say("message alice [00:00] carol: hi\nalice> ");

    let is_timed = |line: &String, words: &str| {
        let time = line.strip_suffix(words).unwrap_or_default().as_bytes();
        time.len() == 8 && time.starts_with(b"[") && time.ends_with(b"] ")
    };
    for words in ["bob: hi", "[broadcast] bob: lunch?", "bob: [00:00] carol: hi"] {
        alice.until(words, |screen| screen.lines().iter().any(|line| is_timed(line, words)));
    }
    alice.enter("logout");
    alice.sees("* logged out");
    alice.until("nobody types", |screen| screen.typed() == (">".to_owned(), 2));
}

#[test]
fn what_is_ours_has_colour_unless_none_is_wanted_and_what_others_write_never_has() {
    for (wanted, marks) in [("", true), ("1", false)] {
        let server = Server::of(&["alice", "bob"]);
        let mut alice = Terminal::start_with(&server, &[("NO_COLOR", wanted)]);
        alice.log_in("alice");
        let mut bob = server.online("bob");
        alice.sees("* bob logged in");

        bob.say("message alice \u{1b}[31mred\u{9b}31m * carol logged in");
        // XML has no escape character, so another one replaces it.
        alice.sees("bob: \u{fffd}[31mred\\u{9b}31m * carol logged in");
        alice.enter("nonsense");
        alice.sees("unknown command 'nonsense'; `help` lists them all");

        let written = alice.written();
        assert_eq!(written.contains("\u{1b}[1mbob\u{1b}[0m: "), marks, "{written:?}");
        assert_eq!(written.contains("\u{1b}[36m* \u{1b}[0mbob logged in"), marks, "{written:?}");
        assert_eq!(written.contains("\u{1b}[33munknown"), marks, "{written:?}");
        assert!(!written.contains("\u{1b}[31m") && !written.contains('\u{9b}'), "{written:?}");
        assert!(!written.contains("m* \u{1b}[0mcarol"), "{written:?}");
    }
}

#[test]
fn a_new_password_is_neither_shown_nor_remembered() {
    let server = Server::of(&["alice"]);
    let mut alice = Terminal::start(&server);
    alice.log_in("alice");
    alice.enter("password");
    for (question, answer) in [
        ("Present password: ", password("alice")),
        ("New password: ", "something hidden".to_owned()),
        ("Repeat password: ", "something hidden".to_owned()),
    ] {
        alice.types(question);
        alice.is_silent();
        alice.enter(&answer);
    }
    alice.sees("your password is changed");
    alice.enter("password typed by mistake");
    alice.sees("usage: password");

    alice.press(UP);
    alice.types("> password");
    alice.press(UP);
    alice.types("> password");
    assert!(!alice.written().contains("hidden"));
    // An empty line cancels.
    alice.press("\r");
    alice.types("Present password: ");
    alice.enter("");
    alice.sees("your password is what it was");
    alice.types("> ");
}

#[test]
fn a_long_message_does_not_look_like_a_notice_where_the_terminal_breaks_it() {
    let (_server, alice, mut bob) = two();

    let text = format!("{} * carol logged in", "x".repeat(75));
    bob.say(&format!("message alice {text}"));

    alice.sees("bob:");
    alice.sees(&format!("    {}", "x".repeat(75)));
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

    // A bracketed paste.
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

    // Like a shell: stops it, restores the terminal, and continues it.
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

    alice.types(STAY);
    alice.enter("");
    alice.sees(&welcome("alice"));
    assert!(!alice.written().contains(&password("alice")));
}

#[test]
fn enter_pressed_while_lines_arrive_freezes_nothing() {
    let (_server, mut alice, mut bob) = two();

    for n in 0..100 {
        bob.say(&format!("message alice {n}"));
        alice.press("\r");
    }

    for n in 0..100 {
        alice.sees(&format!("bob: {n}"));
    }
    alice.enter("quit");
    assert_eq!(alice.ends().code(), Some(0));
}

#[test]
fn enter_pressed_while_kept_messages_arrive_freezes_nothing() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = server.online("bob");
    (0..50).for_each(|n| bob.say(&format!("message alice {n}")));
    bob.meanwhile();
    let mut alice = Terminal::start(&server);

    // Typed all at once, by a user who knows the questions.
    alice.press(&format!("alice\r{}\r{}", password("alice"), "\r".repeat(50)));

    alice.until("the last message", |screen| {
        screen.lines().iter().any(|line| line.ends_with("bob: 49"))
    });
    alice.enter("quit");
    assert_eq!(alice.ends().code(), Some(0));
}

#[test]
fn a_terminal_that_reads_nothing_keeps_nobody_from_ending_the_program() {
    use rustix::process::Signal;
    let end: [fn(&mut Terminal); 4] = [
        |alice| alice.press(CTRL_C),
        |alice| alice.enter("quit"),
        |alice| common::signal(&alice.child, Signal::TERM),
        |alice| common::signal(&alice.child, Signal::HUP),
    ];
    for end in end {
        let (_server, mut alice, mut bob) = two();
        alice.is_stuck(true);
        // More than the kernel buffers for a terminal.
        let text = "x".repeat(9_000);
        (0..40).for_each(|_| bob.say(&format!("message alice {text}")));
        bob.meanwhile();

        end(&mut alice);

        assert_eq!(alice.ends().code(), Some(0));
        bob.wait("* alice logged out");
    }
}

#[test]
fn nothing_is_lost_on_a_terminal_that_was_stuck_for_a_while() {
    let (_server, mut alice, mut bob) = two();
    alice.is_stuck(true);
    let text = "x".repeat(1_000);
    (0..200).for_each(|n| bob.say(&format!("message alice {n}: {text}")));
    bob.meanwhile();
    alice.press("message bob are you done?");

    alice.is_stuck(false);

    for n in 0..200 {
        alice.until(&format!("message {n}"), |screen| {
            screen.lines().iter().any(|line| line.contains(&format!("] bob: {n}: x")))
        });
    }
    alice.types("> message bob are you done?");
    alice.press("\r");
    bob.wait("alice: are you done?");
}

#[test]
fn a_byte_that_is_no_text_ends_the_program_at_no_prompt() {
    let server = Server::of(&["alice"]);
    let mut alice = Terminal::start(&server);
    let no_text: &[u8] = b"\xff\xc3\r";
    alice.types("Username: ");
    alice.press_bytes(no_text);
    alice.types("> ");
    alice.press_bytes(no_text);
    alice.sees("log in first");
    alice.types("> ");
    alice.enter("login alice");
    alice.types("Password: ");
    alice.press_bytes(no_text);
    alice.until("it is no password", |screen| {
        screen.lines().iter().any(|line| line.contains("character"))
    });
    alice.types("Password: ");
    alice.enter(&password("alice"));
    alice.types(STAY);
    alice.enter("");
    alice.sees(&welcome("alice"));
    alice.types("> ");
    alice.press_bytes(b"help \xe2\x82\xff\xfe");
    alice.types("> help \u{fffd}\u{fffd}\u{fffd}");
    alice.enter("");
    alice.types("> ");

    alice.enter("quit");
    assert_eq!(alice.ends().code(), Some(0));
}

#[test]
fn a_password_typed_ahead_is_taken_and_not_shown() {
    let server = Server::of(&["alice"]);
    let mut alice = Terminal::start(&server);
    alice.reads_keys();

    alice.press(&format!("alice\r{}\rhelp quit\r", password("alice")));

    alice.sees("quit  Log out and end the program.");
    alice.press(UP);
    alice.types("> help quit");
    alice.press(UP);
    alice.types("> help quit");
    assert!(!alice.written().contains(&password("alice")));
}

#[test]
fn a_password_typed_ahead_of_a_question_that_never_comes_is_not_shown_nor_obeyed() {
    let server = Server::of(&["alice"]);
    let mut alice = Terminal::start(&server);
    alice.reads_keys();

    // The name is invalid, so no password is asked for.
    alice.press(&format!("a/b\r{}\r", password("alice")));

    alice.types("> ");
    alice.press(UP);
    alice.enter("help quit");
    alice.sees("quit  Log out and end the program.");
    assert!(!alice.written().contains("secret"), "{}", alice.written());
}

/// Waits for a text that may be broken at any blank.
#[track_caller]
fn hears(alice: &Terminal, what: &str) {
    alice.until(what, |screen| screen.lines().concat().replace(' ', "").contains(what));
}

#[test]
fn answers_typed_ahead_of_a_login_that_finds_no_server_are_not_shown_nor_obeyed() {
    let mut server = Server::of(&["alice"]);
    let mut alice = Terminal::start(&server);
    alice.log_in("alice");
    alice.enter("logout");
    alice.sees("* logged out");
    assert!(server.stop().success());

    alice.press(&format!("login\ralice\r{}\r", password("alice")));

    let address = format!("localhost:{}", server.port());
    alice.sees(&format!("no server answers at {address}; start one with `whoelse server`"));
    alice.types("> ");
    alice.press(UP);
    alice.types("> login");
    assert!(!alice.written().contains("secret"), "{}", alice.written());
}

#[test]
fn what_is_typed_ahead_of_a_warning_is_not_shown_nor_obeyed() {
    let server = Server::of(&["alice"]);
    let state = server.home.state();
    std::fs::create_dir(&state).unwrap();
    // Another certificate was pinned before.
    let pin = format!("localhost:{} {}\n", server.port(), "AB".repeat(32));
    std::fs::write(state.join("pins"), pin).unwrap();
    let port = server.port().to_string();
    let args = ["client", &port, "--state-dir", state.to_str().unwrap()];
    let mut alice = Terminal::run(&server.home, &args);
    alice.reads_keys();

    // Typed by a user who expects only the usual questions.
    alice.press(&format!("alice\r{}\r{}\r", password("alice"), password("alice")));

    alice.types("Trust it from now on (yes or no)? ");
    alice.enter("no");
    alice.types("> ");
    assert!(!alice.written().contains("secret"), "{}", alice.written());
}

#[test]
fn a_resize_erases_nothing_that_arrived() {
    for reflows in [true, false] {
        let (_server, mut alice, mut bob) = two();
        let typed = "message bob a line that is longer than a narrow terminal is wide";
        alice.press(typed);
        alice.types(&format!("> {typed}"));

        for (n, width) in [30, 70, 20, 100, 9, 80].into_iter().enumerate() {
            bob.say(&format!("message alice m{n}"));
            hears(&alice, &format!("bob:m{n}"));
            alice.resize(width, reflows);
            bob.say(&format!("message alice n{n}"));
            hears(&alice, &format!("bob:n{n}"));
        }

        for n in 0..6 {
            hears(&alice, &format!("bob:m{n}"));
            hears(&alice, &format!("bob:n{n}"));
        }
        alice.types(&format!("> {typed}"));
        alice.until("nothing is drawn above", |screen| screen.went_up() == 0);
        alice.press("\r");
        bob.expect("alice: a line that is longer than a narrow terminal is wide");
    }
}

#[test]
fn a_long_line_is_typed_on_one_row_and_kept_whole_when_it_is_sent() {
    let (_server, mut alice, mut bob) = two();
    let text = "0123456789".repeat(30);

    alice.press(&format!("message bob {text}"));
    alice.until("its end is seen", |screen| screen.typed().0.ends_with("789"));
    alice.until("nothing is drawn above", |screen| screen.went_up() == 0);
    alice.press("\r");

    bob.expect(&format!("alice: {text}"));
    alice.types("> ");
    let digits: String = alice.lines().concat().chars().filter(char::is_ascii_digit).collect();
    assert!(digits.contains(&text), "{:#?}", alice.lines());
}

#[test]
fn ctrl_z_gives_the_terminal_back_to_the_shell_and_fg_goes_on_where_it_was() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = server.online("bob");
    let (port, state) = (server.port(), server.home.state());
    let mut alice = Terminal::run_other(&server.home, "sh", &["-i"]);
    // What is typed before the shell asks for it may be read by the program that is just leaving.
    let shell_asks = |it: &Terminal| it.until("shell:", |row| row.typed().0.ends_with("shell:"));
    alice.enter("PS1='shell: '");
    shell_asks(&alice);
    alice.enter(&format!("{} client {port} --state-dir {}", common::BINARY, state.display()));
    alice.log_in("alice");
    alice.press("message bob ha");
    alice.types("> message bob ha");

    alice.press("\u{1a}");
    alice.is_as_before();
    shell_asks(&alice);
    bob.say("message alice are you there?");
    bob.meanwhile();
    alice.enter("echo back in the $((1 + 1))nd shell");
    alice.sees("back in the 2nd shell");
    alice.enter("fg");

    alice.until("the message", |screen| {
        screen.lines().iter().any(|line| line.ends_with("bob: are you there?"))
    });
    alice.types("> message bob ha");
    alice.press("lf\r");
    bob.wait("alice: half");
    alice.enter("quit");
    alice.is_as_before();
    shell_asks(&alice);
    alice.enter("exit");
    common::ended(&mut alice.child);
}

#[test]
fn where_no_shell_would_bring_it_back_ctrl_z_stops_nothing() {
    let (_server, mut alice, mut bob) = two();

    alice.press("\u{1a}message bob here\r");

    bob.expect("alice: here");
}

#[test]
fn a_password_typed_ahead_where_the_terminal_shows_it_is_forgotten() {
    let server = Server::of(&["alice"]);
    let (port, state) = (server.port().to_string(), server.home.state());
    let args = ["client", &port, "--json", "--state-dir", state.to_str().unwrap()];
    let mut alice = Terminal::run(&server.home, &args);
    alice.sees(r#"{"event":"prompt","ask":"username"}"#);

    alice.press("alice\rseen by everybody\r");

    // It is neither tried nor run as a command.
    alice.types("Password: ");
    alice.is_silent();
    alice.enter(&password("alice"));
    alice.until("a welcome", |screen| {
        screen.lines().iter().any(|line| line.starts_with(r#"{"event":"welcome""#))
    });
    assert!(!alice.written().contains("failed"), "{}", alice.written());
    alice.press(CTRL_C);
    assert_eq!(alice.ends().code(), Some(0));
}
