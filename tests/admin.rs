//! behaviour.md and docs/protocol.md, for administrators: `send`, `user`, `domain` and `config
//! check` beside a running server.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;

use common::server::Ran;
use common::{Client, Home, Lines, Raw, Server, Terminal, ended, eventually, password};
use whoelse_store::{Location, Store};

const CTRL_C: &str = "\u{3}";

/// Runs a command beside the server with this input.
#[track_caller]
fn feed(home: &Home, args: &[&str], input: &str) -> Ran {
    let mut child = home.command(args).stdin(Stdio::piped()).spawn().unwrap();
    // It may have refused before it read anything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let mut out = Lines::of(child.stdout.take().unwrap());
    let mut err = Lines::of(child.stderr.take().unwrap());
    let status = ended(&mut child).code();
    Ran { status, out: out.rest().join("\n"), err: err.rest().join("\n") }
}

/// Asserts that it succeeded with these words.
#[track_caller]
fn says(ran: &Ran, words: &str) {
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (Some(0), words, ""), "{ran:?}");
}

/// Asserts that it did nothing and gave exactly this reason.
#[track_caller]
fn refuses(ran: &Ran, why: &str) {
    assert_eq!(ran.out, "", "{ran:?}");
    assert_eq!(ran.err, format!("whoelse: {why}"), "{ran:?}");
    assert_eq!(ran.status, Some(1), "{ran:?}");
}

/// A server with a configuration file; `more` is appended to the settings that all need.
fn with_settings(names: &[&str], more: &str) -> Server {
    let home = Home::with_people(names);
    let settings = format!(
        "listen = \"127.0.0.1:0\"\nregistration = \"closed\"\ncontacts = \"everyone\"\n{more}\n"
    );
    home.write("whoelse.toml", &settings);
    home.start_at(
        common::ports::lasting(),
        &["--config", "whoelse.toml", "--credentials", "credentials.txt"],
    )
}

/// Tries to log in with this password, and returns what the client says.
#[track_caller]
fn tries(server: &Server, name: &str, password: &str) -> String {
    let mut client = Client::start(server);
    client.expect("Username:");
    client.say(name);
    client.expect("Password:");
    client.say(password);
    client.lines.next()
}

/// Returns the cells of a user's row.
#[track_caller]
fn row(home: &Home, name: &str) -> Vec<String> {
    let listed = home.run(&["user", "list"]);
    assert_eq!(listed.status, Some(0), "{listed:?}");
    let found = listed.out.lines().find(|line| line.split(' ').next() == Some(name));
    let cells = found.unwrap_or_else(|| panic!("{name} is missing: {listed:?}")).split("  ");
    cells.map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
}

// ---- a server or none ----

#[test]
fn without_a_server_every_command_says_so_and_how_to_start_one() {
    let home = Home::new();
    let sentence = "no server runs on ./whoelse-data; start one with `whoelse server`, or name \
                    its data directory with --data";

    for args in [
        &["send", "bob", "hi"][..],
        &["user", "list"],
        &["user", "add", "bob"],
        &["user", "passwd", "bob"],
        &["user", "remove", "bob"],
        &["user", "block", "bob"],
        &["user", "unblock", "bob"],
        &["admin", "grant", "bob"],
        &["admin", "list"],
        &["domain", "rename", "localhost", "chat.example"],
    ] {
        refuses(&home.run(args), sentence);
    }
    assert!(!home.data().exists());
}

#[test]
fn a_server_that_was_killed_runs_no_more() {
    let mut server = Server::of(&["bob"]);
    server.kill();
    assert!(server.home.data().join("admin.sock").exists());

    let ran = server.home.run(&["send", "bob", "hi"]);

    ran.failed(1, &["no server runs on ./whoelse-data"]);
}

#[test]
fn the_data_directory_can_be_named() {
    let server = Server::of(&["bob"]);
    let elsewhere = Home::new();
    let data = server.home.data();
    let data = data.to_str().unwrap();

    elsewhere.run(&["send", "bob", "hi"]).failed(1, &["no server runs"]);
    says(&elsewhere.run(&["send", "bob", "hi", "--data", data]), "");
    says(&elsewhere.run(&["user", "--data", data, "unblock", "bob"]), "bob was not blocked");
}

#[test]
fn the_version_is_told_in_one_line() {
    let ran = Home::new().run(&["--version"]);

    assert_eq!(ran.status, Some(0));
    assert!(ran.out.starts_with("whoelse ") && ran.out.lines().count() == 1, "{ran:?}");
}

// ---- send ----

#[test]
fn a_message_of_the_server_arrives_at_once() {
    let server = Server::of(&["bob"]);
    let mut bob = server.online("bob");

    says(&server.home.run(&["send", "bob", "the", "backup  is", "done"]), "");

    bob.expect("* from the server: the backup  is done");
    bob.hears_nothing();
}

#[test]
fn a_text_may_begin_with_a_dash_and_come_from_the_standard_input() {
    use std::io::Write;
    let server = Server::of(&["bob"]);
    let mut bob = server.online("bob");

    says(&server.home.run(&["send", "bob", "-5", "degrees"]), "");
    bob.expect("* from the server: -5 degrees");
    says(&server.home.run(&["send", "bob", "- milk", "--data", "whoelse-data"]), "");
    bob.expect("* from the server: - milk");
    says(&server.home.run(&["send", "bob", "--", "--data", "is an option"]), "");
    bob.expect("* from the server: --data is an option");
    server.home.run(&["send", "bob", "hi", "--form", "alice"]).failed(2, &["--from"]);

    let mut command = server.home.command(&["send", "bob", "-"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("two\nlines, grüße\n".as_bytes()).unwrap();
    assert_eq!(common::ended(&mut child).code(), Some(0));
    bob.expect("* from the server: two");
    bob.expect("    lines, grüße");
    // The standard input is empty.
    refuses(&server.home.run(&["send", "bob", "-"]), "the text is empty");
    bob.hears_nothing();
}

#[test]
fn a_message_that_was_sent_is_stored_whatever_happens_to_the_server() {
    let mut server = Server::lasting(&["bob"]);
    says(&server.home.run(&["send", "bob@localhost", "still there"]), "");

    server.kill();
    server.start_again();

    let mut bob = Client::start(&server);
    bob.log_in("bob");
    let line = bob.lines.next();
    assert!(
        line.starts_with("[20") && line.ends_with("] * from the server: still there"),
        "{line}"
    );
}

#[test]
fn a_message_can_come_from_somebody_who_is_logged_in() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");
    let mut bob = server.online("bob");
    alice.expect("* bob logged in");

    says(&server.home.run(&["send", "bob", "from a script", "--from", "alice"]), "");

    bob.expect("alice: from a script");
    // Nobody sees the script log in and out, and alice's session stays.
    bob.hears_nothing();
    alice.hears_nothing();
}

#[test]
fn many_messages_at_once_are_all_stored() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = server.online("bob");
    let send = |n: usize| {
        let text = format!("number {n}");
        server.home.command(&["send", "bob", &text, "--from", "alice"]).spawn().unwrap()
    };

    let mut running: Vec<_> = (0..40).map(send).collect();
    for child in &mut running {
        assert_eq!(ended(child).code(), Some(0));
    }

    let mut heard: Vec<String> = (0..40).map(|_| bob.lines.next()).collect();
    let mut sent: Vec<String> = (0..40).map(|n| format!("alice: number {n}")).collect();
    heard.sort();
    sent.sort();
    assert_eq!(heard, sent);
    bob.hears_nothing();
}

#[test]
fn a_message_that_is_refused_says_why_as_the_client_does() {
    let server = with_settings(&["alice", "bob"], "[limits]\nundelivered_messages = 2");
    let mut bob = server.online("bob");
    bob.says("block alice", "alice is blocked");
    let run = |args: &[&str]| server.home.run(args);

    refuses(&run(&["send", "carol", "hi"]), "there is no user carol");
    refuses(&run(&["send", "bob", "hi", "--from", "alice"]), "bob has blocked you");
    refuses(&run(&["send", "bob@other.example", "hi"]), "cannot reach other.example");
    refuses(
        &run(&["send", "alice", "hi", "--from", "alice"]),
        "you cannot send a message to yourself",
    );
    refuses(&run(&["send", "alice", "hi", "--from", "carol"]), "there is no user carol");
    refuses(
        &run(&["send", "alice", "hi", "--from", "bob@other.example"]),
        "there is no user bob@other.example here",
    );
    refuses(&run(&["send", "@", "hi"]), "'@' is not a name");
    refuses(&run(&["send", "\u{1b}[2J", "hi"]), "'\\u{1b}[2J' is not a name");
    bob.hears_nothing();

    says(&run(&["send", "alice", "one"]), "");
    says(&run(&["send", "alice", "two"]), "");
    refuses(&run(&["send", "alice", "three"]), "alice's mailbox is full");
}

#[test]
fn a_text_is_neither_empty_nor_too_long() {
    let server = Server::of(&["bob"]);
    let mut bob = server.online("bob");
    let longest = "ä".repeat(10_000);

    for empty in ["", "  ", "\n"] {
        refuses(&server.home.run(&["send", "bob", empty]), "the text is empty");
    }
    refuses(
        &server.home.run(&["send", "bob", &format!("{longest}!")]),
        "the text is too long: 10001 characters, at most 10000 are allowed",
    );
    server.home.run(&["send", "bob"]).failed(2, &["TEXT"]);
    bob.hears_nothing();

    says(&server.home.run(&["send", "bob", &longest]), "");
    bob.expect(&format!("* from the server: {longest}"));
}

// ---- user ----

#[test]
fn an_account_is_added_with_a_password_of_one_line() {
    let server = with_settings(&[], "");

    says(&feed(&server.home, &["user", "add", "Bob"], "two words \nmore\n"), "bob is added");

    assert_eq!(tries(&server, "bob", "two words "), "Welcome");
    refuses(&feed(&server.home, &["user", "add", "bob"], "another one\n"), "bob is taken");
    assert_eq!(tries(&server, "bob", "two words "), "Welcome");
}

#[test]
fn a_name_or_a_password_that_cannot_be_is_refused() {
    let server = with_settings(&["bob"], "");
    let add = |name: &str, input: &str| feed(&server.home, &["user", "add", name], input);

    refuses(&add("a b", "x\n"), "'a b' is not a name");
    refuses(&add("", "x\n"), "'' is not a name");
    refuses(&add("eve@other.example", "x\n"), "this server serves localhost, not other.example");
    refuses(&add("eve", "\n"), "the password is empty");
    refuses(&add("eve", "a\u{7}\n"), "the password has a character that passwords cannot have");
    refuses(&add("eve", ""), "no password: it is read from the standard input, which is empty");
    assert!(!server.home.run(&["user", "list"]).out.contains("\neve"));
}

#[test]
fn a_new_password_takes_the_place_of_the_old_one() {
    let server = with_settings(&["bob"], "");

    let ran = feed(&server.home, &["user", "passwd", "bob"], "new enough\n");

    says(&ran, "bob has a new password");
    assert_ne!(tries(&server, "bob", &password("bob")), "Welcome");
    assert_eq!(tries(&server, "bob", "new enough"), "Welcome");
    refuses(&feed(&server.home, &["user", "passwd", "eve"], "x\n"), "there is no user eve");
}

#[test]
fn a_short_password_is_refused_where_there_is_a_configuration() {
    let server = with_settings(&["bob"], "");
    let run = |action: &str, name: &str, typed: &str| {
        feed(&server.home, &["user", action, name], &format!("{typed}\n"))
    };
    let why = "the password is shorter than 8 characters; choose a longer one";

    refuses(&run("add", "eve", "1234567"), why);
    refuses(&run("passwd", "bob", "ähnlich"), why);

    assert!(!server.home.run(&["user", "list"]).out.contains("\neve"));
    assert_eq!(tries(&server, "bob", &password("bob")), "Welcome");
    // Characters count, not bytes: these eight are fourteen bytes.
    says(&run("add", "eve", "ööööööno"), "eve is added");
}

#[test]
fn how_short_a_password_may_be_is_the_operators_to_say() {
    let server = with_settings(&[], "[limits]\npassword_min = 3");

    says(&feed(&server.home, &["user", "add", "bob"], "abc\n"), "bob is added");
    refuses(
        &feed(&server.home, &["user", "add", "eve"], "ab\n"),
        "the password is shorter than 3 characters; choose a longer one",
    );
}

#[test]
fn a_short_password_is_warned_of_in_the_quick_start() {
    let mut server = Server::of(&["carol"]);
    let add = feed(&server.home, &["user", "add", "bob"], "pencil\n");
    let passwd = feed(&server.home, &["user", "passwd", "carol"], "pen\n");

    let but = "but the password is shorter than 8 characters, and so easy to guess";
    says(&add, &format!("bob is added, {but}"));
    says(&passwd, &format!("carol has a new password, {but}"));
    assert_eq!(tries(&server, "bob", "pencil"), "Welcome");

    let mut dave = Client::start(&server);
    dave.sign_up("dave", "paper");
    server.lines.wait_for("the log warns", |line| {
        line.contains("password_short") && line.contains("dave@localhost")
    });
}

#[test]
fn who_is_removed_while_online_is_told_and_gone() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");
    let mut bob = server.online("bob");
    alice.expect("* bob logged in");

    says(&server.home.run(&["user", "remove", "bob", "--yes"]), "bob removed");

    assert!(bob.lines.next().starts_with("* logged out"));
    alice.expect("* bob logged out");
    alice.says("message bob hi", "there is no user bob");
    refuses(&server.home.run(&["user", "remove", "bob", "--yes"]), "there is no user bob");
    refuses(&server.home.run(&["send", "bob", "hi"]), "there is no user bob");
}

#[test]
fn who_is_blocked_is_logged_out_and_stays_out_until_unblocked() {
    let mut server = Server::lasting(&["bob"]);
    let mut bob = server.online("bob");

    says(&server.home.run(&["user", "block", "bob"]), "bob is blocked");

    bob.expect("* logged out: this account is blocked by the administrator");
    assert_eq!(row(&server.home, "bob")[1..3], ["no", "for ever"]);
    assert!(tries(&server, "bob", &password("bob")).contains("blocked"));
    server.stop();
    server.start_again();
    assert!(tries(&server, "bob", &password("bob")).contains("blocked"));
    says(&server.home.run(&["user", "unblock", "bob"]), "bob is not blocked any more");
    assert_eq!(tries(&server, "bob", &password("bob")), "Welcome");
}

#[test]
fn a_block_may_end_by_itself() {
    let server = Server::of(&["bob"]);

    says(&server.home.run(&["user", "block", "bob", "2"]), "bob is blocked for 2 s");

    let blocked = &row(&server.home, "bob")[2];
    assert!(blocked.starts_with("until 20") && blocked.ends_with(" UTC"), "{blocked}");
    eventually("the block ends", || (row(&server.home, "bob")[2] == "no").then_some(()));
    assert_eq!(tries(&server, "bob", &password("bob")), "Welcome");
    for bad in ["0", "-1", "soon", "4294967296"] {
        let ran = server.home.run(&["user", "block", "bob", bad]);
        ran.failed(2, &["SECONDS must be a whole number from 1 to 4294967295", bad]);
    }
    refuses(&server.home.run(&["user", "block", "eve"]), "there is no user eve");
    refuses(&server.home.run(&["user", "unblock", "eve"]), "there is no user eve");
}

#[test]
fn the_list_says_who_is_online_who_is_blocked_and_since_when_they_are_away() {
    let server = Server::of(&["alice", "bob"]);
    let _alice = server.online("alice");
    let mut bob = Client::start(&server);
    bob.expect("Username:");
    bob.say("bob");
    for _ in 0..3 {
        bob.lines.wait_for("the password is asked for", |line| line == "Password:");
        bob.say("wrong");
    }
    bob.lines.wait_for("bob is blocked", |line| line.contains("60 s"));

    let listed = server.home.run(&["user", "list"]).out;
    let (alice, bob) = (row(&server.home, "alice"), row(&server.home, "bob"));

    assert!(listed.starts_with("NAME   ONLINE  BLOCKED  "), "{listed}");
    assert_eq!(alice[..3], ["alice", "yes", "no"]);
    assert!(alice[3].starts_with("20") && alice[3].ends_with(" UTC"), "{alice:?}");
    assert_eq!((bob[1].as_str(), bob[3].as_str()), ("no", "never"));
    assert!(bob[2].starts_with("until 20") && bob[2].ends_with(" UTC (for 127.0.0.1)"), "{bob:?}");
    says(&server.home.run(&["user", "unblock", "bob"]), "bob is not blocked any more");
    assert_eq!(row(&server.home, "bob")[2], "no");
}

#[test]
fn a_server_without_accounts_lists_how_to_make_one() {
    let server = Home::new().start(&[]);

    let ran = server.home.run(&["user", "list"]);

    says(&ran, "localhost has no accounts; add one with `whoelse user add NAME`");
}

/// Adds accounts to the database of a server that does not run. To derive a password for each of
/// hundreds would take longer than all other tests of this file.
fn add_without_passwords(home: &Home, names: &[String]) {
    let file = Location::Sqlite(home.data().join("whoelse.db"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&file).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("localhost").await.unwrap();
        for name in names {
            tx.create_account(domain, name, &[], 0).await.unwrap();
        }
        tx.commit().await.unwrap();
        store.close().await.unwrap();
    });
}

#[test]
fn a_list_longer_than_one_answer_is_whole() {
    let names: Vec<String> = (0..501).map(|n| format!("user{n:03}")).collect();
    let mut server = Home::new().start_at(common::ports::lasting(), &[]);
    assert!(server.stop().success());
    add_without_passwords(&server.home, &names);
    server.start_again();

    let listed = server.home.run(&["user", "list"]).out;

    let shown: Vec<&str> = listed.lines().skip(1).filter_map(|it| it.split(' ').next()).collect();
    assert_eq!(shown, names);
}

#[test]
fn a_list_that_nobody_reads_is_not_told() {
    let server = Server::of(&["alice", "bob"]);
    let (reader, output) = common::read_output();
    reader.shutdown(std::net::Shutdown::Both).unwrap();
    let mut list = server.home.command(&["user", "list"]).stdout(output).spawn().unwrap();

    assert_eq!(ended(&mut list).code(), Some(1));
    let said = "whoelse: cannot write the output: whoever read it has gone";
    assert_eq!(Lines::of(list.stderr.take().unwrap()).rest(), [said]);
}

// ---- admin ----

/// Returns who is an administrator, and by what: `granted`, `configured`, or both.
fn administrators(home: &Home) -> Vec<(String, bool, bool)> {
    let listed = home.run(&["admin", "list", "--json"]);
    assert_eq!(listed.status, Some(0), "{listed:?}");
    let row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = row["user"].as_str().unwrap().to_owned();
        (name, !row["granted"].is_null(), row["configured"].as_bool().unwrap())
    };
    listed.out.lines().map(row).collect()
}

/// Whether an open session may run an administrator's command at this moment.
fn may_administer(session: &mut Raw) -> bool {
    session
        .send(
            "<iq type='set' id='may' to='localhost'>\
             <command xmlns='http://jabber.org/protocol/commands' \
             node='http://jabber.org/protocol/admin#get-online-users-num'/></iq>",
        )
        .unwrap();
    session.stanza(|it| it.id() == Some("may")).unwrap().type_() == Some("result")
}

#[test]
fn a_right_that_is_granted_is_in_a_backup_and_one_in_the_file_goes_with_its_line() {
    let server = with_settings(&["alice", "bob"], "admins = [\"bob\"]");
    let home = server.home.clone();
    let mut alice = Raw::online(server.address, "alice");
    let mut bob = Raw::online(server.address, "bob");
    let granted = |name: &str| (name.to_owned(), true, false);
    let configured = |name: &str| (name.to_owned(), false, true);
    assert!(!may_administer(&mut alice) && may_administer(&mut bob));

    says(&home.run(&["admin", "grant", "alice"]), "alice is an administrator");
    assert!(may_administer(&mut alice));
    assert_eq!(administrators(&home), [granted("alice"), configured("bob")]);
    says(&home.run(&["backup", "b"]).clone_without_output(), "");

    // The file gives what it names, and takes it.
    let settings = std::fs::read_to_string(home.path().join("whoelse.toml")).unwrap();
    home.write("whoelse.toml", &settings.replace("admins = [\"bob\"]", "admins = []"));
    home.run(&["reload"]);
    assert!(may_administer(&mut alice) && !may_administer(&mut bob));
    says(&home.run(&["admin", "revoke", "alice"]), "alice is no administrator any more");
    assert!(!may_administer(&mut alice));
    assert_eq!(administrators(&home), []);
    says(
        &home.run(&["admin", "list"]),
        "nobody administers this server over the network; `whoelse admin grant NAME` lets somebody",
    );

    says(&home.run(&["restore", "b", "--yes"]).clone_without_output(), "");
    assert_eq!(administrators(&home), [granted("alice")]);
    assert!(may_administer(&mut Raw::online(server.address, "alice")));
    says(&home.run(&["user", "remove", "alice", "--yes"]), "alice removed");
    assert_eq!(administrators(&home), []);
    let all = deeds(&server);
    for what in ["grant-administrator", "revoke-administrator"] {
        let about = |it: &&(String, String, String, String)| it.1 == what;
        let deed = all.iter().find(about).unwrap_or_else(|| panic!("{what}: {all:#?}"));
        assert_eq!((&*deed.0, &*deed.2, &*deed.3), ("localhost", "alice@localhost", "done"));
    }
}

#[test]
fn a_right_that_cannot_be_given_or_taken_is_refused_with_what_to_do() {
    let server = with_settings(&["bob"], "admins = [\"bob\", \"eve\"]");
    let home = server.home.clone();

    let nobody = "there is no user nobody; `whoelse user add nobody` makes one";
    refuses(&home.run(&["admin", "grant", "nobody"]), nobody);
    refuses(&home.run(&["admin", "revoke", "nobody"]), nobody);
    home.run(&["admin", "grant", "bob"]).failed(1, &["`admins`", "`whoelse reload` first"]);
    home.run(&["admin", "revoke", "bob"]).failed(1, &["`admins`", "`whoelse reload`, then"]);
    let listed = home.run(&["admin", "list"]);
    let last = listed.out.lines().last().unwrap();
    assert_eq!(last, "there is no user eve; `whoelse user add eve` makes one", "{listed:?}");
}

// ---- on a terminal ----

#[test]
fn on_a_terminal_a_password_is_asked_for_twice_and_not_shown() {
    let server = with_settings(&[], "");
    let mut terminal = Terminal::run(&server.home, &["user", "add", "bob"]);

    terminal.types("New password: ");
    terminal.enter("a sharp pencil");
    terminal.types("Repeat password: ");
    terminal.enter("a sharp pencil");

    terminal.sees("bob is added");
    assert_eq!(terminal.ends().code(), Some(0));
    assert!(!terminal.written().contains("pencil"));
    assert_eq!(tries(&server, "bob", "a sharp pencil"), "Welcome");
}

#[test]
fn two_passwords_that_differ_add_nobody() {
    let server = with_settings(&[], "");
    let mut terminal = Terminal::run(&server.home, &["user", "add", "bob"]);

    terminal.types("New password: ");
    terminal.enter("pencil");
    terminal.types("Repeat password: ");
    terminal.enter("pen");

    terminal.sees("whoelse: the two passwords are not the same");
    assert_eq!(terminal.ends().code(), Some(1));
    assert!(server.home.run(&["user", "list"]).out.contains("has no accounts"));
}

#[test]
fn ctrl_c_at_a_password_leaves_the_terminal_as_it_was() {
    let server = with_settings(&["bob"], "");
    let mut terminal = Terminal::run(&server.home, &["user", "passwd", "bob"]);
    terminal.types("New password: ");
    terminal.press(CTRL_C);

    assert_eq!(terminal.ends().code(), Some(130));
    assert_eq!(tries(&server, "bob", &password("bob")), "Welcome");
}

#[test]
fn ctrl_c_at_a_question_is_no_yes() {
    let server = with_settings(&["bob"], "");
    let mut terminal = Terminal::run(&server.home, &["user", "remove", "bob"]);
    terminal.types("Remove bob and everything kept for them? [y/N] ");
    terminal.press(CTRL_C);

    assert_eq!(terminal.ends().code(), Some(130));
    assert_eq!(row(&server.home, "bob")[0], "bob");
}

#[test]
fn on_a_terminal_nobody_is_removed_without_a_yes() {
    let server = with_settings(&["bob"], "");
    let question = "Remove bob and everything kept for them? [y/N] ";

    let mut terminal = Terminal::run(&server.home, &["user", "remove", "bob"]);
    terminal.types(question);
    terminal.enter("");
    terminal.sees("whoelse: nothing was removed");
    assert_eq!(terminal.ends().code(), Some(1));

    let mut terminal = Terminal::run(&server.home, &["user", "remove", "bob"]);
    terminal.types(question);
    terminal.enter("y");
    terminal.sees("bob removed");
    assert_eq!(terminal.ends().code(), Some(0));

    says(&feed(&server.home, &["user", "add", "bob"], "long enough\n"), "bob is added");
    let mut terminal = Terminal::run(&server.home, &["user", "remove", "bob", "--yes"]);
    terminal.sees("bob removed");
    assert_eq!(terminal.ends().code(), Some(0));
}

// ---- domain ----

#[test]
fn a_renamed_domain_keeps_its_people_and_what_they_wrote() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");
    says(&server.home.run(&["send", "bob", "before", "--from", "alice"]), "");

    let ran = server.home.run(&["domain", "rename", "localhost", "Chat.Example"]);

    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.out.starts_with("localhost is now chat.example"), "{ran:?}");
    alice.expect("* connection lost, reconnecting…");
    alice.expect("* this server is now chat.example");
    alice.expect("* connected again");
    // A new client, with the old name.
    let mut late = Client::start(&server);
    let told = late.lines.next();
    assert!(told.contains("log in as NAME@chat.example"), "{told}");
    assert_eq!(late.end().code(), Some(1));
    let user = ["--host", "localhost", "--user", "bob@chat.example"];
    let mut bob = Client::start_with(&server.home, server.address, &user);
    bob.expect("Password:");
    bob.say(&password("bob"));
    bob.expect("Welcome");
    let line = bob.lines.next();
    assert!(line.ends_with("] alice: before"), "{line}");
    eventually("bob is online", || (row(&server.home, "bob")[1] == "yes").then_some(()));
    says(&server.home.run(&["send", "bob", "after", "--from", "alice@chat.example"]), "");
    bob.expect("alice: after");
    // People who come back have their old names, and so have those alice writes to.
    alice.wait("* bob logged in");
    alice.say("message bob still here");
    bob.expect("alice: still here");
}

#[test]
fn a_domain_that_is_not_here_or_cannot_be_is_refused() {
    let server = Server::of(&["bob"]);
    let rename = |old: &str, new: &str| server.home.run(&["domain", "rename", old, new]);

    refuses(&rename("other.example", "chat.example"), "there is no domain other.example here");
    refuses(&rename("localhost", "localhost"), "it has that name already");
    refuses(&rename("localhost", "a b"), "'a b' is not a domain name");
    refuses(&rename("localhost", "bob@chat.example"), "'bob@chat.example' is not a domain name");
    refuses(&rename("", "chat.example"), "'' is not a domain name");
    assert_eq!(tries(&server, "bob", &password("bob")), "Welcome");
}

// ---- config check ----

/// A home with a configuration file.
fn configured(text: &str) -> Arc<Home> {
    let home = Home::new();
    home.write("whoelse.toml", text);
    home
}

#[test]
fn a_sound_configuration_is_fine() {
    let home = configured("contacts = \"everyone\"\n");

    says(&home.run(&["config", "check"]), "whoelse.toml is fine");
    says(&home.run(&["config", "check", "./whoelse.toml"]), "./whoelse.toml is fine");
    assert!(!home.data().exists());
}

#[test]
fn a_configuration_is_checked_without_a_server_and_every_fault_is_a_line() {
    let home = configured(
        "contacts = \"everyone\"\nregistration = \"open\"\nlisten = \"0.0.0.0\"\nadmins = [\"@\"]\n",
    );

    let ran = home.run(&["config", "check"]);

    assert_eq!((ran.status, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    let faults: Vec<&str> = ran.err.lines().collect();
    assert_eq!(faults.len(), 2, "{ran:?}");
    assert!(faults[0].contains("contacts = \"everyone\""), "{ran:?}");
    assert!(faults[0].contains("registration = \"open\""), "{ran:?}");
    assert!(faults[1].contains("admins"), "{ran:?}");
}

#[test]
fn a_slip_of_the_pen_is_named_with_its_line_and_the_near_name() {
    let home = configured("contacts = \"everyone\"\nsesions = \"many\"\n");

    home.run(&["config", "check"]).failed(1, &["line 2", "`sesions`", "did you mean `sessions`?"]);
}

#[test]
fn a_file_that_is_not_there_is_said_not_to_be() {
    let home = Home::new();

    refuses(
        &home.run(&["config", "check"]),
        "there is no file whoelse.toml; name one: `whoelse config check FILE`",
    );
}

// ---- sessions, kick, announce ----

#[test]
fn sessions_are_listed_with_where_they_come_from() {
    let server = Server::of(&["alice", "bob"]);
    says(&server.home.run(&["sessions"]), "nobody is connected");
    let _alice = server.online("alice");
    let bob = Raw::online(server.address, "bob");
    let at = bob.local_address().to_string();

    let listed = server.home.run(&["sessions"]);
    let of_bob = server.home.run(&["sessions", "bob", "--json"]);

    let rows: Vec<&str> = listed.out.lines().collect();
    assert!(rows[0].starts_with("NAME   RESOURCE"), "{listed:?}");
    assert!(rows.len() == 3 && rows[1].starts_with("alice "), "{listed:?}");
    assert!(rows[2].starts_with("bob ") && rows[2].contains(&at), "{listed:?}");
    let bob: serde_json::Value = serde_json::from_str(&of_bob.out).unwrap();
    assert_eq!((bob["user"].as_str(), bob["from"].as_str()), (Some("bob"), Some(at.as_str())));
    assert_eq!(bob["state"], "online");
    assert!(bob["since"].as_str().unwrap().ends_with('Z'), "{of_bob:?}");
    refuses(&server.home.run(&["sessions", "eve"]), "there is no user eve");
}

#[test]
fn who_is_kicked_is_told_and_may_come_again() {
    let server = Server::of(&["bob"]);
    let mut bob = server.online("bob");

    says(&server.home.run(&["user", "kick", "bob"]), "1 session ended");

    bob.expect("* logged out: the administrator has ended this session");
    assert_eq!(tries(&server, "bob", &password("bob")), "Welcome");
    refuses(&server.home.run(&["user", "kick", "eve"]), "there is no user eve");
}

#[test]
fn one_session_of_several_is_kicked_by_its_resource() {
    let server = with_settings(&["bob"], "sessions = \"many\"");
    let (_first, _second) = (server.online("bob"), server.online("bob"));
    let resources = || -> Vec<String> {
        let listed = server.home.run(&["sessions", "bob", "--json"]).out;
        let rows =
            listed.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
        rows.map(|row| row["resource"].as_str().unwrap().to_owned()).collect()
    };
    let before = resources();

    says(&server.home.run(&["user", "kick", "bob", &before[0]]), "1 session ended");

    eventually("one is left", || (resources() == before[1..]).then_some(()));
}

#[test]
fn an_announcement_reaches_who_is_online_from_the_server_itself() {
    let server = Server::of(&["alice", "bob"]);
    let mut bob = server.online("bob");

    says(&server.home.run(&["announce", "down", "in 2 minutes"]), "1 account has been told");

    let heard = bob.lines.next();
    assert!(heard.contains("down in 2 minutes"), "{heard}");
    refuses(&server.home.run(&["announce", " "]), "the text is empty");
}

#[test]
fn every_list_has_a_form_for_programs() {
    let server = Server::of(&["alice", "bob"]);
    let _alice = server.online("alice");

    let users = server.home.run(&["user", "list", "--json"]);

    let rows: Vec<serde_json::Value> =
        users.out.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows.len(), 2, "{users:?}");
    assert_eq!(
        (rows[0]["user"].as_str(), rows[0]["online"].as_bool()),
        (Some("alice"), Some(true))
    );
    assert_eq!(rows[1]["address"], "bob@localhost");
    assert!(rows[1]["blocked"].is_null() && rows[1]["last_active"].is_null(), "{users:?}");
    // An empty list prints no object and no sentence.
    let nobody = Home::new().start(&[]);
    says(&nobody.home.run(&["user", "list", "--json"]), "");
    says(&nobody.home.run(&["sessions", "--json"]), "");
    let home = configured("contacts = \"everyone\"\nadmins = [\"@\"]\n");
    let ran = home.run(&["config", "check", "--json"]);
    let checked: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.status, checked["ok"].as_bool()), (Some(1), Some(false)), "{ran:?}");
    assert_eq!(checked["problems"].as_array().unwrap().len(), 1);
}

// ---- what is written of it ----

/// The audit log of a server.
fn audit(server: &Server) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(server.home.data().join("audit.log")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns who did what to whom, and whether it succeeded.
fn deeds(server: &Server) -> Vec<(String, String, String, String)> {
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let deed = |it: &serde_json::Value| {
        (word(&it["who"]), word(&it["what"]), word(&it["about"][0][1]), word(&it["result"]))
    };
    audit(server).iter().map(deed).collect()
}

#[test]
fn what_administrators_do_is_written_down_whichever_way_they_come() {
    let server = with_settings(&["root", "bob"], "admins = [\"root\"]");
    let home = server.home.clone();
    says(&feed(&home, &["user", "add", "eve"], "a secret of eve\n"), "eve is added");
    says(&feed(&home, &["user", "passwd", "bob"], "a secret of bob\n"), "bob has a new password");
    refuses(&home.run(&["user", "block", "nobody"]), "there is no user nobody");
    home.run(&["announce", "words for everybody"]);
    home.run(&["send", "bob", "hi", "--from", "eve"]);
    says(&home.run(&["user", "list", "--json"]).clone_without_output(), "");
    let mut root = Raw::online(server.address, "root");
    root.send(
        "<iq type='set' id='r' to='localhost'><command xmlns='http://jabber.org/protocol/commands' \
         node='http://jabber.org/protocol/admin#delete-user'><x xmlns='jabber:x:data' type='submit'>\
         <field var='accountjids'><value>eve@localhost</value></field></x></command></iq>",
    )
    .unwrap();
    assert_eq!(root.stanza(|it| it.id() == Some("r")).unwrap().type_(), Some("result"));
    // A user who is no administrator leaves no entry.
    let bob = Raw::connect(server.address, None).unwrap();
    assert!(bob.try_log_in("bob", "a secret of bob").unwrap().is_ok());
    home.run(&["reload"]);
    server.signal(rustix::process::Signal::HUP);
    eventually("the signal is written down", || {
        audit(&server).iter().any(|it| it["from"] == "SIGHUP").then_some(())
    });
    says(&home.run(&["backup", "b"]).clone_without_output(), "");
    says(&home.run(&["restore", "b", "--yes"]).clone_without_output(), "");
    home.run(&["domain", "rename", "localhost", "chat.example"]);

    let all = deeds(&server);
    let find = |what: &str| all.iter().filter(|it| it.1 == what).cloned().collect::<Vec<_>>();
    let deed = |who: &str, what: &str, about: &str, result: &str| {
        (who.to_owned(), what.to_owned(), about.to_owned(), result.to_owned())
    };
    let of_server = |what: &str, about: &str, result: &str| deed("localhost", what, about, result);
    assert_eq!(find("add-user"), [of_server("add-user", "eve@localhost", "done")]);
    assert_eq!(find("change-user-password").len(), 1);
    assert_eq!(find("block-user"), [of_server("block-user", "nobody@localhost", "refused")]);
    assert_eq!(find("announce").len(), 1);
    assert_eq!(find("act-as"), [of_server("act-as", "eve@localhost", "done")]);
    assert_eq!(
        find("delete-user"),
        [deed("root@localhost", "delete-user", "eve@localhost", "done")]
    );
    assert_eq!(find("reload").len(), 2);
    assert_eq!(find("rename-domain"), [of_server("rename-domain", "localhost", "done")]);
    assert!(find("backup").len() == 1 && find("restore").len() == 1, "{all:#?}");
    assert_eq!(find("backup-or-restore-ended").len(), 2, "{all:#?}");
    // A restore does not undo the audit log, which has everybody's origin.
    let text = std::fs::read_to_string(home.data().join("audit.log")).unwrap();
    for (words, there) in [
        ("admin socket, uid ", true),
        ("127.0.0.1:", true),
        ("SIGHUP", true),
        ("a secret of", false),
        ("words for everybody", false),
    ] {
        assert_eq!(text.contains(words), there, "{words}: {text}");
    }
    use std::os::unix::fs::PermissionsExt;
    let about = std::fs::metadata(home.data().join("audit.log")).unwrap();
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_errand_says_goodbye_whatever_comes_of_it() {
    let server = with_settings(&["bob"], "");
    let home = &server.home;
    for args in [
        &["user", "list"][..],
        &["user", "passwd", "eve"],
        &["user", "block", "eve"],
        &["user", "add", "a b"],
        &["sessions"],
        &["sessions", "eve"],
        &["send", "bob", "hi"],
        &["send", "eve", "hi"],
        &["send", "bob", "hi", "--from", "bob"],
        &["send", "bob", "hi", "--from", "eve"],
        &["announce", "hi"],
        &["reload"],
        &["domain", "rename", "a", "b"],
        &["doctor", "--config", "whoelse.toml"],
    ] {
        home.run(args);
    }
    says(&feed(home, &["user", "add", "eve"], "long enough\n"), "eve is added");
    let mut server = server;
    assert!(server.stop().success());

    server.lines.rest();
    let lost: Vec<String> =
        server.lines.all().into_iter().filter(|line| line.contains("connection lost")).collect();
    assert_eq!(lost, [""; 0]);
}
