//! behaviour.md, Start: what the server creates, prints and refuses before anybody logs in.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Client, Home, Lines, Server, ended, password};
use rustix::process::Signal;

#[test]
fn the_first_start_makes_what_it_needs_and_names_it() {
    let home = Home::with_people(&["alice", "bob"]);

    let mut server = home.start_at(common::ports::lasting(), &[]);

    let said = server.lines.all().join("\n");
    for what in ["whoelse-data", "whoelse.db", "certificate.pem", "2 accounts", "registration open"]
    {
        assert!(said.contains(what), "{what}: {said}");
    }
    let mode = fs::metadata(home.data()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // Existing files are not made again.
    assert!(server.stop().success());
    server.start_again();
    let said = server.lines.all().join("\n");
    assert!(!said.contains("made"), "{said}");
}

#[test]
fn numbers_out_of_range_are_one_line_and_status_2() {
    let home = Home::new();
    for (args, words) in [
        (["server", "65536"].as_slice(), ["PORT", "0 to 65535"]),
        (&["server", "x"], ["PORT", "0 to 65535"]),
        (&["server", "-1"], ["PORT", "0 to 65535"]),
        (&["server", "0", "0"], ["BLOCK_DURATION", "1 to 86400"]),
        (&["server", "0", "86401"], ["BLOCK_DURATION", "1 to 86400"]),
        (&["server", "0", "1.5"], ["BLOCK_DURATION", "1 to 86400"]),
        (&["server", "0", "60", "604801"], ["TIMEOUT", "0 to 604800"]),
        (&["server", "0", "60", "-1"], ["TIMEOUT", "0 to 604800"]),
        (&["client", "65536"], ["PORT", "0 to 65535"]),
        (&["client", "five"], ["PORT", "0 to 65535"]),
    ] {
        home.run(args).failed(2, &words);
    }
    assert!(!home.data().exists());
}

#[test]
fn words_nobody_knows_are_one_line_and_status_2() {
    let home = Home::new();
    home.run(&["serve"]).failed(2, &["serve"]);
    home.run(&["server", "--nonsense"]).failed(2, &["--nonsense"]);
    home.run(&["server", "1", "2", "3", "4"]).failed(2, &["4"]);
    home.run(&[]).failed(2, &["server"]);
}

#[test]
fn a_port_in_use_is_one_line_and_leaves_nothing_behind() {
    let first = Server::of(&[]);
    let home = Home::new();

    let port = first.port().to_string();
    home.run(&["server", &port]).failed(1, &["port", &port, "in use"]);

    assert!(!home.data().exists());
}

#[test]
fn a_data_directory_has_one_server_at_a_time() {
    let mut first = Server::of(&["alice"]);

    let second = first.home.run(&["server", "0"]);

    second.failed(1, &["whoelse-data", "in use by another server", &first.pid().to_string()]);
    // The first server does not notice, and still owns its admin socket.
    assert!(first.is_running());
    first
        .online("alice")
        .says("whoelsesince x", "SECONDS must be a whole number from 0 to 2147483648");
}

#[test]
fn a_killed_server_leaves_no_lock_behind() {
    let mut server = common::Home::with_people(&["alice"]).start_at(common::ports::lasting(), &[]);
    server.kill();
    server.start_again();
    server.online("alice");
}

#[test]
fn a_directory_that_cannot_be_written_is_one_line() {
    let home = Home::new();
    home.write("file", "no directory");

    home.run(&["server", "0", "--data", "file/data"]).failed(1, &["file/data"]);
    home.run(&["server", "0", "--data", "file"]).failed(1, &["file"]);
    home.run(&["server", "0", "--data", "/proc/whoelse-data"]).failed(1, &["/proc/whoelse-data"]);
    // An existing directory that is read-only even for root.
    home.run(&["server", "0", "--data", "/sys/kernel"]).failed(1, &["/sys/kernel"]);
    home.run(&["server", "0", "--data", "missing/data"]).failed(1, &["missing/data"]);

    assert_eq!(fs::read_to_string(home.path().join("file")).unwrap(), "no directory");
}

#[test]
fn a_database_that_is_none_is_one_line_and_stays_as_it_is() {
    let home = Home::new();
    let mut server = home.start(&[]);
    assert!(server.stop().success());
    let database = home.data().join("whoelse.db");
    fs::write(&database, "this is not a database, it is a poem of some length\n".repeat(100))
        .unwrap();
    let before = fs::read(&database).unwrap();

    home.run(&["server", "0"]).failed(1, &["whoelse.db"]);

    assert_eq!(fs::read(&database).unwrap(), before);
}

#[test]
fn a_database_of_a_newer_version_is_one_line_and_stays_as_it_is() {
    let home = Home::new();
    let mut server = home.start(&[]);
    assert!(server.stop().success());
    let database = home.data().join("whoelse.db");
    run_sql(&database, "UPDATE schema_version SET version = version + 1");
    let before = fs::read(&database).unwrap();

    home.run(&["server", "0"]).failed(1, &["newer"]);

    assert_eq!(fs::read(&database).unwrap(), before);
}

/// Changes a database while no server runs.
fn run_sql(database: &Path, sql: &'static str) {
    use sqlx::{AnyConnection, Connection, Executor};
    sqlx::any::install_default_drivers();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("sqlite://{}", database.display());
        let mut connection = AnyConnection::connect(&url).await.unwrap();
        connection.execute(sql).await.unwrap();
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_bad_line_of_the_credentials_is_named_and_skipped() {
    let home = Home::new();
    let lines =
        format!("alice {}\nnopassword\n\u{e9}@@ x\n bob x\nALICE secret\n", password("alice"));
    let file = home.write("credentials.txt", &lines);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();

    let server = home.start(&[]);

    let said = server.lines.all();
    for line in ["line 2", "line 3", "line 4", "line 5", "read by others", "made 1 account from"] {
        let named = said.iter().filter(|said| said.contains(line)).count();
        assert_eq!(named, 1, "{line}: {said:#?}");
    }
    assert!(!said.iter().any(|said| said.contains("secret")), "{said:#?}");
    server.online("alice");
}

#[test]
fn what_a_reader_of_the_credentials_would_not_see_is_warned_of() {
    let home = Home::new();
    let lines =
        format!("# name password\n#eve {}\nalice {} \nbob pencil\n", "x".repeat(9), "y".repeat(9));
    home.write("credentials.txt", &lines);

    let mut server = home.start_at(common::ports::lasting(), &[]);

    let said = server.lines.all();
    for line in [
        "warning: credentials.txt, line 3: the password begins or ends with a blank, which is part of it",
        "warning: credentials.txt, line 4: the password is shorter than 8 characters",
        "made 2 accounts from credentials.txt",
    ] {
        assert!(said.iter().any(|said| said == line), "{line}: {said:#?}");
    }
    assert_eq!(said.iter().filter(|line| line.contains("credentials.txt")).count(), 3, "{said:#?}");
    // The accounts exist now, and the file is not needed.
    assert!(server.stop().success());
    server.start_again();
    assert!(!server.lines.all().iter().any(|line| line.contains("credentials.txt")));
}

#[test]
fn who_waits_for_many_accounts_hears_how_far_it_is() {
    let names: Vec<String> = (0..1000).map(|n| format!("user{n}")).collect();
    let home = Home::with_people(&names.iter().map(String::as_str).collect::<Vec<_>>());

    let mut child = home.command(&["server", "0"]).spawn().unwrap();
    let mut lines = Lines::of(child.stdout.take().unwrap());

    lines.wait_for("it says how far it is", |line| {
        line.starts_with("credentials.txt: ") && line.ends_with(" of 1000 accounts are there")
    });
    child.kill().unwrap();
    ended(&mut child);
}

#[test]
fn credentials_that_are_not_text_do_not_stop_a_server_half_made() {
    let home = Home::new();
    fs::write(home.path().join("credentials.txt"), b"alice wonder\n\xff\xfe\x00\n").unwrap();

    let server = home.start(&[]);

    assert!(server.lines.all().iter().any(|line| line.contains("line 2")));
}

#[test]
fn credentials_that_cannot_be_read_are_one_line() {
    let home = Home::new();
    fs::create_dir(home.path().join("credentials.txt")).unwrap();

    home.run(&["server", "0"]).failed(1, &["credentials.txt"]);
    home.run(&["server", "0", "--credentials", "missing.txt"]).failed(1, &["missing.txt"]);

    assert!(!home.data().exists());
}

#[test]
fn a_start_that_fails_leaves_the_next_one_free_to_choose() {
    let home = Home::with_people(&["alice"]);
    // As systemd makes it.
    fs::create_dir(home.data()).unwrap();
    home.run(&["server", "0", "--credentials", "missing.txt"]).failed(1, &["missing.txt"]);

    let mut server = home.start(&["--domain", "chat.example"]);

    server.lines.wait_for("its name", |line| line.contains("serving chat.example"));
}

#[test]
fn accounts_that_exist_are_left_alone() {
    let home = Home::with_people(&["alice"]);
    let mut server = home.start(&[]);
    assert!(server.stop().success());
    home.write("credentials.txt", "alice another password\n");

    let server = home.start(&[]);

    server.online("alice");
}

#[test]
fn a_mistake_in_the_settings_is_one_line_with_the_near_name() {
    let home = Home::new();
    let start = ["server", "0", "--config", "whoelse.toml"];

    home.run(&start).failed(1, &["whoelse.toml"]);
    home.write("whoelse.toml", "contacts = \"everyone\"\nregistraton = \"open\"\n");
    home.run(&start).failed(1, &["registraton", "registration"]);
    home.write("whoelse.toml", "contacts = \"everyone\"\nsessions = \"two\"\n");
    home.run(&start).failed(1, &["sessions"]);
    home.write("whoelse.toml", "contacts = [\n");
    home.run(&start).failed(1, &["whoelse.toml"]);

    assert!(!home.data().exists());
}

#[test]
fn open_registration_beyond_loopback_is_refused_and_names_both_settings() {
    let home = Home::new();
    home.write(
        "whoelse.toml",
        "listen = \"0.0.0.0:0\"\ncontacts = \"everyone\"\nregistration = \"open\"\n",
    );

    home.run(&["server", "--config", "whoelse.toml"]).failed(1, &["contacts", "registration"]);

    assert!(!home.data().exists());
}

#[test]
fn no_server_is_one_line_and_status_1() {
    let home = Home::new();
    let port = common::ports::lasting().to_string();

    let ran = home.run(&["client", &port, "--state-dir", "state"]);

    ran.failed(1, &["no server answers", &port, "whoelse server"]);
}

#[test]
fn a_web_server_on_the_port_is_named_in_one_line_and_status_1() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let _ = socket.read(&mut [0; 1000]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let home = Home::new();

    let ran = home.run(&["client", "--host", &address.to_string(), "--state-dir", "state"]);

    ran.failed(1, &[&address.to_string(), "is a web server (HTTP), not an XMPP server"]);
}

#[test]
fn a_server_that_is_told_to_stop_ends_well_either_way() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::of(&["alice"]);
        let mut alice = server.online("alice");

        server.signal(signal);

        alice.wait("* the server is shutting down");
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn the_log_names_who_came_and_never_what_was_said() {
    let server = Server::of(&["alice", "bob"]);
    let mut alice = server.online("alice");
    let mut bob = server.online("bob");
    bob.say("message alice a body that nobody logs");
    alice.wait("bob: a body that nobody logs");
    let mut refused = Client::start(&server);
    refused.expect("Username:");
    refused.say("alice");
    refused.expect("Password:");
    refused.say("a wrong secret");
    refused.expect("wrong password");
    bob.end();

    let closed = |line: &str| line.contains("stream_closed") && line.contains("bob@localhost");
    let log = common::eventually("bob's end is logged", || {
        let log = server.lines.all();
        log.iter().any(|line| closed(line)).then_some(log)
    });

    for words in [
        ["connected", "127.0.0.1"],
        ["login", "alice"],
        ["login", "bob"],
        ["stream_closed", "bob@localhost"],
        ["refused", "alice"],
    ] {
        let logged = log.iter().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(logged, "{words:?}: {log:#?}");
    }
    for secret in ["secret", "nobody logs"] {
        assert!(!log.iter().any(|line| line.contains(secret)), "{secret}: {log:#?}");
    }
}

#[test]
fn nobody_writes_a_line_of_the_log() {
    let server = Server::of(&["alice"]);
    let mut mallory = common::Raw::connect(server.address, None).unwrap();

    // PLAIN, with a name that clears screens, breaks lines and turns words around.
    mallory
        .send(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\
             AGV2G1sySgppbCDigK4AeA==</auth>",
        )
        .unwrap();

    let _ = mallory.step(common::PATIENCE);
    drop(mallory);
    let log = common::eventually("the end is logged", || {
        let log = server.lines.all();
        log.iter().any(|line| line.contains("disconnected")).then_some(log)
    });
    for line in &log {
        let safe = |c: char| !c.is_control() && c != '\u{202e}';
        assert!(line.chars().all(safe), "{line:?}");
        assert!(!line.starts_with("il"), "{log:#?}");
    }
}
