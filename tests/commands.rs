//! behaviour.md, Commands when logged in, and notices: every row and every refusal, typed as
//! people and scripts do.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::time::Duration;

use common::{Client, Home, Server};
use rustix::process::Signal;

/// A server with a configuration file; `more` is appended to the settings that all need.
fn with_settings(names: &[&str], more: &str) -> Server {
    let home = Home::with_people(names);
    let settings = format!(
        "listen = \"127.0.0.1:0\"\nregistration = \"closed\"\ncontacts = \"everyone\"\n{more}\n"
    );
    home.write("whoelse.toml", &settings);
    home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"])
}

/// Alice and bob, both online; alice was told that bob came.
fn alice_and_bob(server: &Server) -> (Client, Client) {
    let mut alice = server.online("alice");
    let bob = server.online("bob");
    alice.expect("* bob logged in");
    (alice, bob)
}

// ---- message ----

#[test]
fn a_message_arrives_at_once_spaces_kept() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = alice_and_bob(&server);

    alice.say("message bob hello  there, bob ");
    bob.expect("alice: hello  there, bob ");
    bob.say("message alice@localhost grüße, 你好, 👍🏽 <&'\">");
    alice.expect("bob: grüße, 你好, 👍🏽 <&'\">");
    bob.say("message Alice names have no case");
    alice.expect("bob: names have no case");
    bob.say("\tmessage\talice\ttabs are blanks");
    alice.expect("bob: tabs are blanks");
}

#[test]
fn messages_keep_their_order() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = alice_and_bob(&server);

    for n in 0..200 {
        alice.say(&format!("message bob {n}"));
    }

    for n in 0..200 {
        bob.expect(&format!("alice: {n}"));
    }
}

#[test]
fn a_message_is_refused_for_each_reason_in_words() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = alice_and_bob(&server);

    alice.says("message carol hi", "there is no user carol");
    alice.says("message alice hi", "you cannot send a message to yourself");
    alice.says("message alice@localhost hi", "you cannot send a message to yourself");
    alice.says("message bob", "usage: message USER TEXT");
    alice.says("message bob   ", "usage: message USER TEXT");
    alice.says("message", "usage: message USER TEXT");
    alice.says("message bob@other.example hi", "cannot reach other.example");
    alice.says("message b@d@b hi", "'b@d@b' is not a name");
    bob.says("block alice", "alice is blocked");
    alice.expect("* bob logged out");
    alice.says("message bob hi", "bob has blocked you");
    bob.says("message alice hi", "you have blocked alice");
    bob.hears_nothing();
    alice.hears_nothing();
}

#[test]
fn a_text_has_ten_thousand_characters_and_not_one_more() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = alice_and_bob(&server);
    let (fits, long) = ("ä".repeat(10_000), "ä".repeat(10_001));

    alice.say(&format!("message bob {long}"));
    let refused = alice.lines.next();
    assert!(refused.contains("10001") && refused.contains("10000"), "{refused}");
    alice.say(&format!("broadcast {long}"));
    assert_eq!(alice.lines.next(), refused);
    alice.say(&format!("message bob {fits}"));

    bob.expect(&format!("alice: {fits}"));
}

#[test]
fn a_mailbox_takes_so_much_and_then_its_senders_are_told() {
    let server = with_settings(&["alice", "bob"], "[limits]\nundelivered_messages = 12");
    let mut alice = server.online("alice");

    for n in 1..=3 {
        alice.say(&format!("message bob {n}"));
    }
    // A message that is not stored yet does not count.
    common::eventually("three messages are stored", || {
        alice.say("history bob");
        (alice.meanwhile().len() == 3).then_some(())
    });
    alice.says("message bob 4", "bob's mailbox is full");

    let mut bob = Client::start(&server);
    bob.log_in("bob");
    for n in 1..=3 {
        let line = bob.lines.next();
        assert!(line.ends_with(&format!("] alice: {n}")), "{line}");
    }
    bob.hears_nothing();
    alice.wait("* bob logged in");
    // There is room again when his device has confirmed them, which nobody is told.
    let heard = common::eventually("the next message is taken", || {
        alice.say("message bob 5");
        bob.meanwhile().first().cloned()
    });
    assert_eq!(heard, "alice: 5");
}

// ---- broadcast ----

#[test]
fn a_broadcast_reaches_everyone_else_online_and_nobody_later() {
    let server = Server::of(&["alice", "bob", "carol", "dave"]);
    let (mut alice, mut bob) = alice_and_bob(&server);
    let mut carol = server.online("carol");
    alice.expect("* carol logged in");
    bob.expect("* carol logged in");

    alice.say("broadcast lunch  at noon? ");

    bob.expect("[broadcast] alice: lunch  at noon? ");
    carol.expect("[broadcast] alice: lunch  at noon? ");
    alice.hears_nothing();
    server.online("dave");
    alice.expect("* dave logged in");
    alice.says("broadcast", "usage: broadcast TEXT");
}

#[test]
fn a_broadcast_past_a_block_reaches_the_others_and_says_not_whom_it_missed() {
    let server = Server::of(&["alice", "bob", "carol"]);
    let (mut alice, mut bob) = alice_and_bob(&server);
    let mut carol = server.online("carol");
    alice.expect("* carol logged in");
    bob.expect("* carol logged in");
    bob.says("block alice", "alice is blocked");
    alice.expect("* bob logged out");

    alice.says("broadcast hello", "your broadcast did not reach everyone");

    carol.expect("[broadcast] alice: hello");
    bob.hears_nothing();
}

#[test]
fn with_settings_of_ones_own_only_administrators_broadcast() {
    let server = with_settings(&["alice", "bob"], "admins = [\"alice\"]");
    let (mut alice, mut bob) = alice_and_bob(&server);

    bob.say("broadcast hello");
    let refused = bob.lines.next();
    assert!(refused.contains("not allowed") || refused.contains("administrator"), "{refused}");
    alice.hears_nothing();
    alice.say("broadcast hello");
    bob.expect("[broadcast] alice: hello");
}

// ---- whoelse, whoelsesince ----

#[test]
fn whoelse_lists_everyone_else_sorted_without_those_who_blocked_me() {
    let server = Server::of(&["alice", "bob", "carol", "dave"]);
    let mut dave = server.online("dave");
    let mut carol = server.online("carol");
    let mut bob = server.online("bob");
    let mut alice = server.online("alice");

    alice.says("whoelse", "bob");
    alice.expect("carol");
    alice.expect("dave");
    alice.hears_nothing();
    carol.wait("* alice logged in");
    carol.says("block alice", "alice is blocked");
    alice.expect("* carol logged out");
    alice.says("whoelse", "bob");
    alice.expect("dave");
    alice.hears_nothing();
    assert!(dave.end().success());
    alice.expect("* dave logged out");
    bob.wait("* dave logged out");
    bob.says("whoelse", "alice");
    bob.expect("carol");
    bob.hears_nothing();
    alice.says("whoelse now", "usage: whoelse");
}

#[test]
fn whoelsesince_looks_back_over_a_restart() {
    let mut server =
        Home::with_people(&["alice", "bob", "carol"]).start_at(common::ports::lasting(), &[]);
    let mut bob = server.online("bob");
    assert!(bob.end().success());
    assert!(server.stop().success());
    server.start_again();
    let mut alice = server.online("alice");

    alice.says("whoelsesince 1000", "bob");
    alice.hears_nothing();
    alice.says("whoelsesince 2147483648", "bob");
    // Somebody who is online now was also online in the past 0 seconds.
    let _carol = server.online("carol");
    alice.expect("* carol logged in");
    alice.says("whoelsesince 0", "carol");
    alice.hears_nothing();
    alice.says("whoelsesince 1000", "bob");
    alice.expect("carol");
    alice.hears_nothing();
}

#[test]
fn whoelsesince_takes_whole_seconds_in_range() {
    let server = Server::of(&["alice"]);
    let mut alice = server.online("alice");

    for bad in ["x", "-1", "1.5", "2147483649", "99999999999999999999999"] {
        alice.says(
            &format!("whoelsesince {bad}"),
            "SECONDS must be a whole number from 0 to 2147483648",
        );
    }
    alice.says("whoelsesince", "usage: whoelsesince SECONDS");
    alice.says("whoelsesince 1 2", "usage: whoelsesince SECONDS");
}

#[test]
fn after_a_crash_who_was_online_is_remembered() {
    let mut server = Home::with_people(&["alice", "bob"]).start_at(common::ports::lasting(), &[]);
    let mut bob = server.online("bob");
    // A block is answered after it is stored, and so is everything posted before it.
    bob.says("block alice", "alice is blocked");
    bob.says("unblock alice", "alice is not blocked any more");
    server.kill();
    server.start_again();

    // Bob's client may be back already, or have been online until the crash.
    let mut alice = Client::start(&server);
    alice.log_in("alice");
    alice.meanwhile();
    alice.say("whoelsesince 1000");
    alice.wait("bob");
}

// ---- block, unblock, blocked ----

#[test]
fn a_blocked_user_cannot_reach_or_see_the_one_who_blocked() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = alice_and_bob(&server);

    alice.says("block bob", "bob is blocked");
    bob.expect("* alice logged out");
    bob.says("message alice hi", "alice has blocked you");
    bob.says("broadcast hi", "your broadcast did not reach everyone");
    bob.hears_nothing();
    bob.says("whoelse", "nobody else is online");
    bob.says("whoelsesince 1000", "nobody else was online in that time");
    bob.hears_nothing();
    alice.says("blocked", "bob");
    alice.meanwhile();

    alice.says("unblock bob", "bob is not blocked any more");
    bob.expect("* alice logged in");
    bob.say("message alice hi again");
    alice.wait("bob: hi again");
    bob.says("whoelse", "alice");
    alice.says("blocked", "you have blocked nobody");
    alice.hears_nothing();
}

#[test]
fn blocks_are_kept_across_restarts() {
    let mut server = Home::with_people(&["alice", "bob"]).start_at(common::ports::lasting(), &[]);
    let mut alice = server.online("alice");
    alice.says("block bob", "bob is blocked");
    assert!(alice.end().success());
    server.kill();
    server.start_again();

    let mut bob = server.online("bob");
    bob.says("message alice hi", "alice has blocked you");
    let mut alice = server.online("alice");
    bob.hears_nothing();
    alice.says("blocked", "bob");
}

#[test]
fn blocking_is_refused_for_each_reason_in_words() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");

    alice.says("block carol", "there is no user carol");
    alice.says("block alice", "you cannot block yourself");
    alice.says("unblock bob", "bob is not blocked");
    alice.says("unblock carol", "there is no user carol");
    alice.says("unblock alice", "you cannot unblock yourself");
    alice.says("block bob", "bob is blocked");
    alice.says("block bob", "bob is already blocked");
    alice.says("unblock bob", "bob is not blocked any more");
    alice.says("unblock bob", "bob is not blocked");
    alice.says("block", "usage: block USER");
    alice.says("block bob carol", "usage: block USER");
    alice.says("unblock", "usage: unblock USER");
    alice.says("blocked bob", "usage: blocked");
}

// ---- history ----

#[test]
fn history_shows_the_last_messages_with_somebody_oldest_first() {
    let server = Server::of(&["alice", "bob", "carol"]);
    let (mut alice, mut bob) = alice_and_bob(&server);
    for n in 1..=30 {
        match n % 2 {
            0 => {
                alice.say(&format!("message bob {n}"));
                bob.expect(&format!("alice: {n}"));
            }
            _ => {
                bob.say(&format!("message alice {n}"));
                alice.expect(&format!("bob: {n}"));
            }
        }
    }
    let mut shown = |command: &str| {
        alice.say(command);
        let lines = alice.meanwhile();
        lines.iter().map(|line| line.split_once("] ").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let said = |from: usize| {
        let who = |n: usize| if n.is_multiple_of(2) { "alice" } else { "bob" };
        (from..=30).map(|n| format!("{}: {n}", who(n))).collect::<Vec<_>>()
    };

    assert_eq!(shown("history bob"), said(11));
    assert_eq!(shown("history bob 3"), said(28));
    assert_eq!(shown("history bob 500"), said(1));
    alice.says("history carol", "no messages with carol");
    alice.says("history bob 0", "N must be a whole number from 1 to 500");
    alice.says("history bob 501", "N must be a whole number from 1 to 500");
    alice.says("history bob 1 2", "usage: history USER [N]");
    alice.says("history", "usage: history USER [N]");
}

// ---- logout, login, help, quit ----

#[test]
fn logout_ends_the_session_and_login_begins_another() {
    let server = Server::of(&["alice", "bob"]);
    let (mut alice, mut bob) = alice_and_bob(&server);

    bob.says("logout", "* logged out");
    alice.expect("* bob logged out");
    bob.says("whoelse", "log in first");
    alice.say("message bob for later");
    alice.hears_nothing();
    bob.say("login");
    bob.log_in("bob");
    let line = bob.lines.next();
    assert!(line.ends_with("] alice: for later"), "{line}");
    alice.expect("* bob logged in");
    bob.says("login alice", "you are logged in as bob");
    bob.says("logout now", "usage: logout");
    // The same program can log in as somebody else.
    bob.says("logout", "* logged out");
    alice.expect("* bob logged out");
    assert!(alice.end().success());
    bob.say("login alice");
    bob.expect("Password:");
    bob.says(&common::password("alice"), "Welcome");
}

#[test]
fn the_program_ends_with_quit_with_its_input_and_with_ctrl_c_and_others_are_told() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");
    for way in ["quit", "exit", "/quit", "end of input", "Ctrl-C", "SIGTERM"] {
        let mut bob = server.online("bob");
        alice.expect("* bob logged in");

        match way {
            "quit" | "exit" | "/quit" => bob.say(way),
            "Ctrl-C" => common::signal(&bob.child, Signal::INT),
            "SIGTERM" => common::signal(&bob.child, Signal::TERM),
            _ => assert_eq!(bob.end().code(), Some(0)),
        }

        alice.expect("* bob logged out");
        assert_eq!(common::ended(&mut bob.child).code(), Some(0), "{way}");
    }
    alice.says("quit now", "usage: quit");
}

#[test]
fn what_was_typed_before_the_end_of_the_input_is_not_lost() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = Client::start(&server);
    let mut script = format!("alice\n{}\n", common::password("alice"));
    for n in 0..50 {
        script.push_str(&format!("message bob line {n}\n"));
    }
    // The last line has no line end.
    script.push_str("message bob and out");

    alice.say_bytes(script.as_bytes());

    assert_eq!(alice.end().code(), Some(0));
    let mut bob = Client::start(&server);
    bob.log_in("bob");
    for n in 0..50 {
        let line = bob.lines.next();
        assert!(line.ends_with(&format!("] alice: line {n}")), "{line}");
    }
    assert!(bob.lines.next().ends_with("] alice: and out"));
}

#[test]
fn nothing_typed_ends_the_program() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");

    alice.says("nonsense", "unknown command 'nonsense'; `help` lists them all");
    alice.says("MESSAGE bob hi", "unknown command 'MESSAGE'; did you mean `message`?");
    alice.says("mesage bob hi", "unknown command 'mesage'; did you mean `message`?");
    alice.says("qiut", "unknown command 'qiut'; did you mean `quit`?");
    alice.says("/block", "usage: block USER");
    let long = format!("unknown command '{}…'; `help` lists them all", "x".repeat(32));
    alice.says(&"x".repeat(1 << 20), &long);
    alice.says("\u{1b}[2J", "unknown command '\\u{1b}[2J'; `help` lists them all");
    alice.say("");
    alice.say("   ");
    alice.say_bytes(b"\xff\xfe\x00\n");
    assert!(alice.lines.next().starts_with("unknown command"));
    alice.say(&format!("message bob {}", "x".repeat(2 << 20)));
    assert!(alice.lines.next().starts_with("the text is too long"));
    alice.says("private bob hi", "there is no private chat with bob");
    alice.hears_nothing();
}

#[test]
fn help_explains_every_command() {
    let server = Server::of(&["alice"]);
    let mut alice = server.online("alice");

    alice.say("help");
    let help = alice.meanwhile();
    for command in [
        "message USER TEXT",
        "broadcast TEXT",
        "whoelse ",
        "whoelsesince SECONDS",
        "block USER",
        "unblock USER",
        "blocked",
        "history USER [N]",
        "login [USER]",
        "logout",
        "help [COMMAND]",
        "quit",
    ] {
        assert!(help.iter().any(|line| line.starts_with(command)), "{command}: {help:#?}");
    }
    alice.say("help block");
    assert!(alice.lines.next().starts_with("block USER"));
    for like_elsewhere in ["/help", "?", "/?", "\thelp\t"] {
        alice.say(like_elsewhere);
        assert_eq!(alice.meanwhile(), help, "{like_elsewhere}");
    }
    alice.says("help nonsense", "unknown command 'nonsense'; `help` lists them all");
    alice.says("help block me", "usage: help [COMMAND]");
}

// ---- what arrives by itself ----

#[test]
fn without_activity_a_session_is_logged_out_and_stays_out() {
    // What alice types keeps her session alive; the client's own requests keep none.
    let server = Home::with_people(&["alice", "bob"]).start(&["60", "10"]);
    let mut alice = server.online("alice");
    let mut bob = server.online("bob");
    alice.expect("* bob logged in");

    let mut busy = 0;
    let heard = loop {
        alice.say("whoelse");
        let heard = alice.meanwhile();
        if heard.iter().any(|line| line.starts_with("* ")) {
            break heard;
        }
        busy += 1;
        assert!(busy < 1_000, "bob is never logged out");
        std::thread::sleep(Duration::from_millis(100));
    };

    assert_eq!(
        heard.iter().filter(|line| line.starts_with("* ")).collect::<Vec<_>>(),
        ["* bob logged out"]
    );
    bob.expect("* logged out after 10 s without activity");
    bob.says("whoelse", "log in first");
    // Then alice is idle as well.
    alice.wait("* logged out after 10 s without activity");
    bob.say("login bob");
    bob.expect("Password:");
    bob.says(&common::password("bob"), "Welcome");
}

#[test]
fn text_from_others_cannot_act_on_the_terminal() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = server.online("bob");
    let mut mallory = common::Raw::online(server.address, "alice");
    bob.expect("* alice logged in");

    mallory
        .send(
            "<message to='bob@localhost' type='chat'><body>one\n* carol logged in\n&gt; \u{9b}31m\
             \u{202e}turned\u{2066}\u{7f}\ttab</body></message>",
        )
        .unwrap();

    bob.expect("alice: one");
    bob.expect("    * carol logged in");
    bob.expect("    > \\u{9b}31m\\u{202e}turned\\u{2066}\\u{7f}    tab");
    // Nor can the text of an error by somebody else.
    bob.say("message alice hello");
    let hello = mallory.stanza(|it| it.has("body", whoelse_xmpp::ns::CLIENT)).unwrap();
    let (from, id) = (hello.from().unwrap(), hello.id().unwrap());
    mallory
        .send(&format!(
            "<message to='{from}' type='error' id='{id}'><error type='cancel'>\
             <undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>a\n* carol logged in\u{9b}</text>\
             </error></message>"
        ))
        .unwrap();
    let refused = bob.lines.next();
    assert!(refused.contains("a\\u{a}* carol logged in\\u{9b}"), "{refused}");
    bob.hears_nothing();
}

#[test]
fn a_server_that_stops_tells_everybody_and_takes_them_back() {
    let mut server = Home::with_people(&["alice", "bob"]).start_at(common::ports::lasting(), &[]);
    let (mut alice, mut bob) = alice_and_bob(&server);

    assert_eq!(server.stop().code(), Some(0));

    for client in [&mut alice, &mut bob] {
        client.wait("* the server is shutting down");
        client.expect("* connection lost, reconnecting…");
    }
    // Lines that are typed meanwhile are kept.
    alice.say("message bob see you later");
    server.start_again();
    alice.wait("* connected again");
    bob.wait("* connected again");
    bob.lines.wait_for("the line typed meanwhile", |line| line.ends_with("alice: see you later"));
}
