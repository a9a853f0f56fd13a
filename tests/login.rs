//! behaviour.md, Log in, with the client as a new user runs it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::net::Ipv4Addr;
use std::time::Duration;

use common::raw::socket_from;
use common::{Client, Home, Proxy, Raw, Server, eventually, password};
use whoelse_stream::client::Step;

const MANY: &str = "listen = \"127.0.0.1:0\"\nregistration = \"closed\"\n\
                    contacts = \"everyone\"\nsessions = \"many\"\n";

/// Starts a client, types a name, and waits for the password's prompt.
fn asked(server: &Server, name: &str) -> Client {
    let mut client = Client::start(server);
    client.expect("Username:");
    client.say(name);
    client.expect("Password:");
    client
}

#[test]
fn a_known_name_with_its_password_is_welcome_and_gets_what_came_meanwhile_in_order() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");
    for n in 1..=5 {
        alice.say(&format!("message bob number {n}"));
    }
    assert!(alice.end().success());

    let mut bob = Client::start(&server);
    bob.log_in("bob");

    for n in 1..=5 {
        let line = bob.lines.next();
        // "[2026-11-22 14:03] alice: number 1"
        let (time, text) = line.split_once("] ").unwrap();
        assert_eq!(text, format!("alice: number {n}"));
        assert_eq!(time.len(), "[2026-11-22 14:03".len(), "{line}");
        assert!(time.starts_with("[20"), "{line}");
    }
    bob.hears_nothing();
    // It comes once.
    bob.end();
    server.online("bob").hears_nothing();
}

#[test]
fn an_unknown_name_becomes_an_account_with_a_password_typed_twice() {
    let server = Home::new().start(&[]);
    let mut bob = Client::start(&server);
    bob.expect("Username:");
    bob.say("bob");
    bob.expect("bob is new here");
    bob.expect("New password:");
    bob.say("one");
    bob.expect("Repeat password:");
    bob.say("another");
    bob.expect("the two passwords are not the same");
    bob.expect("New password:");
    bob.say("a b  c ");
    bob.expect("Repeat password:");
    bob.say("a b  c ");
    bob.expect("Welcome");
    assert!(bob.end().success());

    // Later the name is known, with the same password.
    let mut bob = asked(&server, "bob");
    bob.say("a b  c");
    bob.expect("wrong password");
    bob.expect("Password:");
    bob.say("a b  c ");
    bob.expect("Welcome");
}

#[test]
fn a_name_that_is_none_is_said_and_asked_no_further() {
    let server = Home::new().start(&[]);
    for name in ["two words", "a/b", "\"", "a@b@c", "", "\u{1b}[2J"] {
        let mut client = Client::start(&server);
        client.expect("Username:");
        client.say(name);
        let answer = client.lines.next();
        assert!(!answer.contains('\u{1b}'), "{answer:?}");
        match name {
            "" => assert_eq!(answer, "not logged in; `login` asks again"),
            _ => assert!(answer.contains("is not a name"), "{name}: {answer}"),
        }
        assert!(client.end().success());
    }
}

#[test]
fn the_third_wrong_password_blocks_and_the_right_one_is_refused_until_the_block_ends() {
    let server = Home::with_people(&["alice", "bob"]).start(&["5"]);
    let (mut alice, mut again) = (asked(&server, "alice"), asked(&server, "alice"));
    for _ in 0..2 {
        alice.says("wrong", "wrong password");
        alice.expect("Password:");
    }
    alice.say("wrong");
    let blocked = alice.lines.next();
    assert!(blocked.contains("blocked") && blocked.contains(" 5 s"), "{blocked}");

    // Even the right password is refused unchecked, with the remaining seconds.
    again.say(&password("alice"));
    let refused = again.lines.next();
    assert!(refused.contains("blocked") && refused.contains(" s"), "{refused}");
    // Another user may log in from there meanwhile.
    let mut bob = server.online("bob");
    bob.hears_nothing();
    // Everything else still works for the refused user.
    again.says("whoelse", "log in first");

    // Nothing reports the end of the block.
    eventually("the block ends", || {
        std::thread::sleep(Duration::from_millis(300));
        again.say("login alice");
        again.expect("Password:");
        again.say(&password("alice"));
        again.lines.next().contains("Welcome").then_some(())
    });
}

#[test]
fn a_success_sets_the_count_of_wrong_passwords_back() {
    let server = Server::of(&["alice"]);
    for _ in 0..2 {
        let mut alice = asked(&server, "alice");
        for _ in 0..2 {
            alice.says("wrong", "wrong password");
            alice.expect("Password:");
        }
        alice.says(&password("alice"), "Welcome");
        assert!(alice.end().success());
    }
}

#[test]
fn a_block_survives_a_restart() {
    let mut server = Home::with_people(&["alice"]).start_at(common::ports::lasting(), &["600"]);
    let mut alice = asked(&server, "alice");
    for _ in 0..2 {
        alice.says("wrong", "wrong password");
        alice.expect("Password:");
    }
    alice.say("wrong");
    assert!(alice.lines.next().contains("blocked"));
    server.kill();
    server.start_again();

    let mut alice = asked(&server, "alice");
    alice.say(&password("alice"));

    let refused = alice.lines.next();
    assert!(refused.contains("blocked"), "{refused}");
}

#[test]
fn with_registration_closed_an_unknown_name_is_treated_like_a_known_one() {
    let home = Home::with_people(&["alice"]);
    home.write("whoelse.toml", MANY);
    let server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);

    let answers = ["alice", "nobody"].map(|name| {
        let mut client = asked(&server, name);
        let mut answers = Vec::new();
        for _ in 0..3 {
            client.say("wrong");
            answers.push(client.lines.next());
            if answers.len() < 3 {
                client.expect("Password:");
            }
        }
        answers
    });

    assert_eq!(answers[0][..2], ["wrong password", "wrong password"]);
    let [known, unknown] = answers.map(|answers| answers.join("\n"));
    assert_eq!(known, unknown.replace("nobody", "alice"));
}

#[test]
fn one_login_per_account_and_the_refused_client_goes_on() {
    let server = Server::of(&["alice", "bob"]);
    let mut first = server.online("alice");
    let mut second = asked(&server, "alice");

    second.says(&password("alice"), "alice is already logged in");

    second.says("whoelse", "log in first");
    second.says("message bob hi", "log in first");
    // The first session was not touched.
    first.hears_nothing();
    let mut bob = server.online("bob");
    first.expect("* bob logged in");
    bob.says("whoelse", "alice");
    first.end();
    bob.expect("* alice logged out");
    second.say("login alice");
    second.expect("Password:");
    second.says(&password("alice"), "Welcome");
    bob.expect("* alice logged in");
}

#[test]
fn a_dead_session_is_taken_over() {
    let server = Server::of(&["alice", "bob"]);
    let wire = Proxy::to(server.address);
    let mut dead = Client::start_with(&server.home, wire.address, &[]);
    dead.log_in("alice");
    let mut bob = server.online("bob");
    dead.expect("* bob logged in");
    wire.swallow();

    // The server probes the first session, which takes at most five seconds.
    let mut alive = asked(&server, "alice");
    alice_is_in(&mut alive);
    // The welcome comes before presence, after which messages are live.
    bob.wait("* alice logged in");

    bob.say("message alice are you there?");
    alive.wait("bob: are you there?");
}

fn alice_is_in(client: &mut Client) {
    client.says(&password("alice"), "Welcome");
}

#[test]
fn a_session_that_waits_for_its_client_gives_way_to_a_new_login() {
    let server = Server::of(&["alice"]);
    let wire = Proxy::to(server.address);
    let mut first = Client::start_with(&server.home, wire.address, &[]);
    first.log_in("alice");
    wire.pull();
    first.expect("* connection lost, reconnecting…");

    let mut second = asked(&server, "alice");
    alice_is_in(&mut second);
}

#[test]
fn with_many_sessions_every_device_gets_the_messages() {
    let home = Home::with_people(&["alice", "bob"]);
    home.write("whoelse.toml", MANY);
    let server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let mut bob = server.online("bob");
    let mut desk = server.online("alice");
    bob.expect("* alice logged in");
    let mut phone = server.online("alice");

    bob.say("message alice to all of you");

    desk.wait("bob: to all of you");
    phone.wait("bob: to all of you");
    // The second device causes no notice, nor does the end of one of two.
    assert!(desk.end().success());
    bob.hears_nothing();
    bob.says("whoelse", "alice");
    assert!(phone.end().success());
    bob.expect("* alice logged out");
}

#[test]
fn before_the_login_every_other_command_answers_log_in_first() {
    let server = Server::of(&["alice"]);
    let mut client = asked(&server, "alice");
    client.says("wrong", "wrong password");
    client.expect("Password:");
    client.says("wrong", "wrong password");
    client.expect("Password:");
    client.say("wrong");
    assert!(client.lines.next().contains("blocked"));
    for line in [
        "message bob hi",
        "broadcast hi",
        "whoelse",
        "whoelsesince 5",
        "block bob",
        "unblock bob",
        "blocked",
        "history bob",
        "logout",
        "startprivate bob",
        "accept bob",
        "private bob hi",
        "stopprivate bob",
        "fingerprint bob",
        "nonsense",
    ] {
        client.says(line, "log in first");
    }
    client.say("help login");
    assert!(client.lines.next().starts_with("login [USER]"));
    assert!(client.end().success());
}

#[test]
fn a_certificate_that_changed_is_refused_until_the_server_proves_itself() {
    let mut server = Home::with_people(&["alice"]).start_at(common::ports::lasting(), &[]);
    let state = server.home.state();
    let args = ["--state-dir", state.to_str().unwrap()];
    let start = |server: &Server| {
        let home = server.home.clone();
        Client::start_with(&home, server.address, &args)
    };
    let mut alice = start(&server);
    alice.log_in("alice");
    alice.end();
    assert!(server.stop().success());
    std::fs::remove_file(server.home.data().join("certificate.pem")).unwrap();
    std::fs::remove_file(server.home.data().join("key.pem")).unwrap();
    server.start_again();

    let mut alice = start(&server);
    alice.expect("Username:");
    alice.say("alice");
    let warning = alice.lines.next();
    assert!(warning.starts_with("WARNING"), "{warning}");
    alice.wait("Password:");
    alice.say(&password("alice"));
    let proved = alice.lines.next();
    assert!(proved.contains("proved"), "{proved}");
    alice.wait("Trust it from now on (yes or no)?");
    alice.says("yes", "Welcome");
}

/// A server whose certificate has changed since alice's last login, and her state directory.
fn changed_server() -> (Server, String) {
    let mut server = Home::with_people(&["alice"]).start_at(common::ports::lasting(), &[]);
    let state = server.home.state().to_str().unwrap().to_owned();
    let home = server.home.clone();
    let mut alice = Client::start_with(&home, server.address, &["--state-dir", &state]);
    alice.log_in("alice");
    alice.end();
    assert!(server.stop().success());
    std::fs::remove_file(server.home.data().join("certificate.pem")).unwrap();
    std::fs::remove_file(server.home.data().join("key.pem")).unwrap();
    server.start_again();
    (server, state)
}

#[test]
fn whatever_is_answered_to_a_changed_server_has_an_answer() {
    let (server, state) = changed_server();
    let args = ["--state-dir", &state, "--user", "alice"];
    let mut alice = Client::start_with(&server.home, server.address, &args);
    alice.wait("Password:");
    // An invalid password is not tried.
    alice.says("a\u{7}b", "the password has a character that passwords cannot have");

    // A user who answers the warning with yes is told what is asked, and keeps the one attempt.
    alice.say("login alice");
    alice.wait("Password:");
    let told = "nothing is trusted yet: type your password, by which the server can prove itself; \
                an empty line goes back";
    alice.says("yes", told);
    alice.wait("Password:");
    alice.say(&password("alice"));
    alice.wait("Trust it from now on (yes or no)?");
    alice.says("no", "not trusted; `login` asks again");
}

#[test]
fn the_advice_about_a_certificate_is_followed_at_the_prompt_and_goes_on_to_log_in() {
    let (server, state) = changed_server();
    let args = ["--state-dir", &state, "--user", "alice"];
    let mut alice = Client::start_with(&server.home, server.address, &args);
    let advice = alice.lines.wait_for("the advice", |line| line.starts_with("    trust "));
    alice.wait("Password:");
    alice.says("", "not logged in; `login` asks again");

    // Copied from a terminal that has broken the line.
    let (begin, end) = advice.trim_start().split_at(50);
    alice.says(&format!("{begin} {end}"), "that certificate is trusted from now on");
    alice.expect("Password:");
    alice.says(&password("alice"), "Welcome");
}

#[test]
fn the_advice_about_a_certificate_is_followed_where_the_program_has_ended() {
    let (server, state) = changed_server();
    let secret = server.home.write("secret", &password("alice"));
    let port = server.port().to_string();
    let args = ["client", &port, "--state-dir", &state, "--user", "alice", "--password-file"];
    let args = [args.as_slice(), &[secret.to_str().unwrap()]].concat();

    let refused = server.home.run(&args);

    assert_eq!(refused.status, Some(1), "{refused:?}");
    let advice = refused.err.lines().last().unwrap().trim();
    assert!(advice.starts_with("--trust ") && !refused.err.contains(" trust "), "{refused:?}");
    let args = [args.as_slice(), &advice.split(' ').collect::<Vec<_>>()].concat();
    let followed = server.home.run(&args);
    assert_eq!((followed.status, followed.out.as_str()), (Some(0), "Welcome"), "{followed:?}");
}

#[test]
fn a_fingerprint_that_lost_something_in_copying_is_told_how_much_there_is() {
    let server = Server::of(&["alice"]);
    let mut alice = asked(&server, "alice");
    alice.says("", "not logged in; `login` asks again");

    let answer = "a fingerprint has 64 hexadecimal digits, and that has 63";
    alice.says(&format!("trust {}", "a".repeat(63)), answer);
    alice.says(&format!("trust {} {}", "A1".repeat(20), "b".repeat(23)), answer);
}

#[test]
fn commands_typed_where_a_name_is_asked_for_are_no_names() {
    let server = Home::new().start(&[]);
    for (typed, answer) in [
        ("help quit", "quit  "),
        (" help login", "login [USER]  "),
        ("whoelse", "log in first"),
        ("message bob hi", "log in first"),
        ("trust ab:cd", "a fingerprint has 64"),
    ] {
        let mut client = Client::start(&server);
        client.expect("Username:");
        client.say(typed);
        let heard = client.lines.next();
        assert!(heard.starts_with(answer), "{typed}: {heard}");
        // The dialogue has ended, and begins again on demand.
        client.says("login", "Username:");
        client.say("quit");
        assert!(common::ended(&mut client.child).success());
        assert!(client.lines.rest().is_empty());
    }
}

#[test]
fn somebody_called_like_a_command_says_so() {
    let server = Server::of(&["help"]);
    let mut help = Client::start(&server);
    help.expect("Username:");
    help.says("login help", "Password:");
    help.says(&password("help"), "Welcome");
}

#[test]
fn an_empty_line_goes_back_from_every_question() {
    let server = Server::of(&["alice"]);
    let back = "not logged in; `login` asks again";
    for (name, questions) in [
        ("alice", ["Password:", "", ""]),
        ("bob", ["bob is new here", "New password:", ""]),
        ("bob", ["bob is new here", "New password:", "Repeat password:"]),
    ] {
        let mut client = Client::start(&server);
        client.expect("Username:");
        client.say(name);
        for question in questions {
            match question {
                "" => continue,
                "Repeat password:" => client.says("one", question),
                _ => client.expect(question),
            }
        }
        client.says("", back);
        client.says("whoelse", "log in first");
    }
}

// ---- many tries ----

/// Tries to log in once from a network; the error is the server's answer.
fn try_from(server: &Server, place: u8, name: &str, secret: &str) -> Result<(), String> {
    let socket = socket_from(Ipv4Addr::new(127, 2, 0, place), server.address).unwrap();
    let raw = Raw::over(socket, None).unwrap();
    match raw.try_log_in(name, secret).unwrap() {
        Ok(raw) => {
            raw.close().unwrap();
            Ok(())
        }
        Err(Step::AuthFailed(refusal)) => Err(refusal.text.unwrap_or_default()),
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn twenty_failures_over_all_places_let_in_only_places_that_are_known() {
    let server = Server::of(&["alice", "bob"]);
    assert_eq!(try_from(&server, 1, "alice", &password("alice")), Ok(()));

    // No network makes the three failures that would block it by itself.
    for n in 0..20 {
        assert!(try_from(&server, 10 + n / 2, "alice", "wrong").is_err());
    }

    assert!(try_from(&server, 2, "alice", &password("alice")).is_err());
    assert_eq!(try_from(&server, 1, "alice", &password("alice")), Ok(()));
    // Other accounts are not affected.
    assert_eq!(try_from(&server, 2, "bob", &password("bob")), Ok(()));
}

#[test]
fn thirty_failures_from_one_place_block_the_place() {
    let server = Server::of(&["alice"]);

    // Names that do not exist count as well.
    for n in 0..30 {
        assert!(try_from(&server, 1, &format!("nobody{n}"), "wrong").is_err());
    }

    let refused = try_from(&server, 1, "alice", &password("alice")).unwrap_err();
    assert!(refused.contains("blocked"), "{refused}");
    assert_eq!(try_from(&server, 2, "alice", &password("alice")), Ok(()));

    // The operator sees the block, and lifts it for that network.
    let listed = server.home.run(&["user", "list"]).out;
    assert!(listed.contains("\nnetwork 127.2.0.1 is blocked until 20"), "{listed}");
    let doctor = server.home.run(&["doctor"]).out;
    assert!(doctor.contains("127.2.0.1 is blocked until 20"), "{doctor}");
    let unblocked = server.home.run(&["user", "unblock", "127.2.0.1"]).out;
    assert_eq!(unblocked.trim_end(), "127.2.0.1 is not blocked any more");
    assert_eq!(try_from(&server, 1, "alice", &password("alice")), Ok(()));
    let again = server.home.run(&["user", "unblock", "127.2.0.1"]).out;
    assert_eq!(again.trim_end(), "127.2.0.1 was not blocked");
}

#[test]
fn a_client_may_begin_with_tls_at_once() {
    let home = Home::with_people(&["alice"]);
    home.write(
        "whoelse.toml",
        "listen = \"127.0.0.1:0\"\ndirect_tls = \"127.0.0.1:0\"\ncontacts = \"everyone\"\n",
    );
    let mut server = home.start(&["--config", "whoelse.toml", "--credentials", "credentials.txt"]);
    let line = server.lines.wait_for("direct TLS", |line| line.ends_with("(direct TLS)"));
    let (_, port) = line.strip_suffix(" (direct TLS)").unwrap().rsplit_once(':').unwrap();
    let direct = (Ipv4Addr::LOCALHOST, port.parse::<u16>().unwrap()).into();

    let mut alice = Client::start_with(&home, direct, &["--direct-tls"]);

    alice.log_in("alice");
    alice.hears_nothing();
}
