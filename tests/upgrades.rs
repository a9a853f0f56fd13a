//! docs/behaviour.md, Start and What is kept: an older database is copied before it is migrated,
//! and nothing is replaced or migrated before all checks have passed.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Home, PATIENCE, Server, Terminal, ports};
use whoelse_store::scratch::{Scratch, old_backup, old_file};
use whoelse_store::{Location, Store};

/// A home with a data directory as a server of this schema left it.
fn old_home(version: i64) -> Arc<Home> {
    let home = Home::new();
    fs::DirBuilder::new().mode(0o700).create(home.data()).unwrap();
    old_file(&home.data().join("whoelse.db"), version).unwrap();
    home
}

fn known() -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Store::look(&Location::Memory)).unwrap().known
}

/// Returns the version of a database and its domain, without changing it.
fn found(file: PathBuf) -> (i64, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(Store::look(&Location::Sqlite(file))).unwrap();
    (found.version, found.domains.first().map_or_else(String::new, |domain| domain.name.clone()))
}

/// Returns the files that a restore may leave.
fn left_over(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.data()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("transfer")).collect()
}

fn old_names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains("schema-")).collect();
    names.sort();
    names
}

/// Checks that the file is unchanged: nothing was even begun.
#[track_caller]
fn is_untouched(home: &Home, version: i64) {
    assert_eq!(found(home.data().join("whoelse.db")), (version, "chat.example".to_owned()));
    assert_eq!(old_names(&home.data()), [""; 0]);
}

#[test]
fn an_older_database_is_served_and_the_old_one_can_be_gone_back_to() {
    for version in 1..known() {
        let home = old_home(version);

        let mut server = home.start(&[]);

        let said = server.lines.all().join("\n");
        let copy = home.data().join(format!("whoelse.schema-{version}.db"));
        assert!(said.contains(&format!("from schema {version} to {}", known())), "{said}");
        assert!(said.contains(copy.to_str().unwrap()), "{said}");
        let listed = home.run(&["user", "list"]).out;
        assert!(listed.contains("bob") && listed.contains("eve"), "{listed}");
        let examined = home.run(&["doctor"]).out;
        let kept = format!("whoelse.schema-{version}.db is the database as it was");
        assert!(examined.contains(&kept), "{examined}");
        assert!(server.stop().success());
        assert_eq!(found(copy.clone()), (version, "chat.example".to_owned()));

        // As docs/operating.md says; here the new program takes the copy, once more.
        fs::rename(&copy, home.data().join("whoelse.db")).unwrap();
        let mut server = home.start(&[]);
        assert!(server.lines.all().join("\n").contains(&format!("from schema {version} to")));
        assert!(server.stop().success());
        // A database that is up to date stays so.
        let mut server = home.start(&[]);
        assert!(!server.lines.all().join("\n").contains("from schema"));
        assert!(server.stop().success());
        assert!(copy.exists());
    }
}

#[test]
fn a_start_that_fails_for_a_mistake_has_not_brought_the_database_up_to_date() {
    let home = old_home(1);
    let start = |args: &[&str]| home.run(&[&["server", "0"], args].concat());

    start(&["--domain", "other.example"]).failed(1, &["chat.example", "other.example"]);
    is_untouched(&home, 1);
    start(&["--credentials", "missing.txt"]).failed(1, &["missing.txt"]);
    is_untouched(&home, 1);
    fs::write(home.data().join("certificate.pem"), "none").unwrap();
    start(&[]).failed(1, &["certificate"]);
    is_untouched(&home, 1);
}

#[test]
fn without_permission_for_a_copy_the_start_is_refused_unless_it_is_not_wanted() {
    let home = old_home(1);
    // Not even root can write that file.
    fs::create_dir(home.data().join("whoelse.schema-1.db.new")).unwrap();

    let refused = home.run(&["server", "0"]);
    refused.failed(1, &["whoelse.schema-1.db", "--migrate-without-copy"]);
    assert_eq!(found(home.data().join("whoelse.db")).0, 1);

    let mut server = home.start(&["--migrate-without-copy"]);
    assert!(server.lines.all().join("\n").contains("no copy of it is kept"));
    assert!(server.stop().success());
    assert_eq!(old_names(&home.data()), ["whoelse.schema-1.db.new"]);
}

/// The disk is full in the middle of the copy.
#[test]
fn without_room_for_a_copy_the_start_is_refused_and_nothing_is_left_of_it() {
    let home = old_home(1);
    let size = fs::metadata(home.data().join("whoelse.db")).unwrap().len();
    let script = "trap '' XFSZ; ulimit -S -f \"$1\"; exec \"$2\" server 0";
    let mut command = std::process::Command::new("sh");
    let blocks = (size / 1024).to_string();
    home.prepare(&mut command).args(["-c", script, "sh", &blocks, common::BINARY]);

    let ran = command.output().unwrap();

    let said = String::from_utf8(ran.stderr).unwrap();
    let last = said.lines().last().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(last.starts_with("whoelse: the database is of schema 1"), "{said}");
    assert!(last.contains("full or failing") && last.contains("--migrate-without-copy"), "{said}");
    is_untouched(&home, 1);
}

#[test]
fn a_start_that_is_killed_while_it_copies_or_migrates_is_done_again() {
    let home = old_home(1);
    let socket = home.path().join("notify");
    let notify = UnixDatagram::bind(&socket).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    for word in ["STATUS=copying", "STATUS=bringing"] {
        let mut command = home.command(&["server", "0"]);
        let mut child = command.env("NOTIFY_SOCKET", &socket).spawn().unwrap();
        let mut bytes = [0; 1024];
        loop {
            let length = notify.recv(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.contains(word) {
                assert!(text.lines().any(|line| line == "EXTEND_TIMEOUT_USEC=60000000"), "{text}");
                break;
            }
            // It had finished before it was killed, so the database is migrated.
            if text.contains("READY=1") {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    let mut server = home.start(&[]);

    assert!(home.run(&["user", "list"]).out.contains("eve"));
    assert!(server.stop().success());
    assert_eq!(old_names(&home.data()), ["whoelse.schema-1.db"]);
    assert_eq!(found(home.data().join("whoelse.schema-1.db")).0, 1);
}

#[test]
fn the_doctor_says_beforehand_what_the_next_start_does_to_the_database() {
    let home = old_home(1);

    let examined = home.run(&["doctor"]).out;

    let line = examined.lines().find(|line| line.contains("the next start brings it to")).unwrap();
    let copy = home.data().join("whoelse.schema-1.db");
    assert!(line.starts_with("ok ") && line.contains(" KiB of "), "{line}");
    assert!(line.contains(copy.strip_prefix(home.path()).unwrap().to_str().unwrap()), "{line}");
    is_untouched(&home, 1);
}

#[test]
fn a_backup_of_another_domain_is_refused_and_nobody_has_noticed() {
    let other = Server::of(&["mallory"]);
    assert_eq!(other.home.run(&["domain", "rename", "localhost", "other.example"]).status, Some(0));
    let backup = other.home.path().join("other.backup");
    assert_eq!(other.home.run(&["backup", backup.to_str().unwrap()]).status, Some(0));
    for args in [&[][..], &["--domain", "localhost"]] {
        let server = Home::with_people(&["alice", "bob"]).start(args);
        let home = server.home.clone();
        let mut bob = server.online("bob");

        let refused = home.run(&["restore", backup.to_str().unwrap(), "--yes"]);

        refused.failed(1, &["other.example", "localhost", "nothing was replaced"]);
        // The session is the same, and so is the database.
        home.run(&["send", "bob", "still here"]);
        bob.expect("* from the server: still here");
        assert_eq!(left_over(&home), [""; 0]);
    }

    // A server that serves that name restores it.
    let server = Server::lasting(&["alice"]);
    let home = server.home.clone();
    home.run(&["domain", "rename", "localhost", "other.example"]);
    let restored = home.run(&["restore", backup.to_str().unwrap(), "--yes"]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    assert!(home.run(&["user", "list"]).out.contains("mallory"));
}

#[test]
fn a_restore_after_which_the_server_could_not_start_again_is_refused() {
    let home = Home::with_people(&["alice", "bob"]);
    let server = home.start_at(ports::lasting(), &["--credentials", "credentials.txt"]);
    home.run(&["backup", "all.backup"]);
    let mut bob = server.online("bob");
    // As docs/operating.md advises, when the accounts are made.
    fs::remove_file(home.path().join("credentials.txt")).unwrap();

    home.run(&["restore", "all.backup", "--yes"])
        .failed(1, &["nothing was replaced", "credentials.txt"]);
    home.write("credentials.txt", "");
    let key = home.data().join("key.pem");
    let good = fs::read(&key).unwrap();
    fs::write(&key, "none").unwrap();
    home.run(&["restore", "all.backup", "--yes"]).failed(1, &["nothing was replaced", "key.pem"]);
    home.run(&["send", "bob", "still here"]);
    bob.expect("* from the server: still here");

    fs::write(&key, good).unwrap();
    let restored = home.run(&["restore", "all.backup", "--yes"]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    assert_eq!(left_over(&home), [""; 0]);
}

#[test]
fn a_backup_of_an_older_schema_is_restored_and_one_of_a_schema_to_come_names_what_it_needs() {
    let server =
        Home::with_people(&["alice"]).start_at(ports::lasting(), &["--domain", "chat.example"]);
    let home = server.home.clone();
    // The start after a restore creates no account from it.
    fs::remove_file(home.path().join("credentials.txt")).unwrap();
    let backup = home.path().join("newer.backup");
    old_backup(&backup, known() + 1, Some("9.1.0")).unwrap();

    home.run(&["restore", "newer.backup", "--yes"])
        .failed(1, &["the backup needs whoelse 9.1.0 or newer"]);
    assert!(home.run(&["user", "list"]).out.contains("alice"));
    for version in 1..=known() {
        let name = format!("{version}.backup");
        old_backup(&home.path().join(&name), version, None).unwrap();

        let restored = home.run(&["restore", &name, "--yes"]);

        assert_eq!(restored.status, Some(0), "{restored:?}");
        let listed = home.run(&["user", "list"]).out;
        assert!(listed.contains("eve") && !listed.contains("alice"), "{listed}");
    }
    assert_eq!(left_over(&home), [""; 0]);
}

#[test]
fn nothing_is_restored_without_a_yes() {
    let server = Server::lasting(&["alice"]);
    let home = server.home.clone();
    home.run(&["backup", "all.backup"]);
    let sentence = "there is no terminal to ask on; say --yes if it is meant";
    home.run(&["user", "remove", "alice"]).failed(1, &["nothing was removed", sentence]);
    home.run(&["user", "remove", "alice", "--yes"]);
    home.run(&["restore", "all.backup"]).failed(1, &["nothing was restored", sentence]);
    let question = "Put all.backup in place of everything this server remembers? [y/N] ";

    let mut terminal = Terminal::run(&home, &["restore", "all.backup"]);
    terminal.types(question);
    terminal.enter("");
    terminal.sees("whoelse: nothing was restored");
    assert_eq!(terminal.ends().code(), Some(1));
    assert!(home.run(&["user", "list"]).out.contains("has no accounts"));

    // No question is asked whose answer could not be used.
    let mut terminal = Terminal::run(&home, &["restore", "none"]);
    terminal.sees("whoelse: there is no none");
    assert_eq!(terminal.ends().code(), Some(1));

    let mut terminal = Terminal::run(&home, &["restore", "all.backup"]);
    terminal.types(question);
    terminal.enter("y");
    let restored = |terminal: &Terminal| {
        terminal.until("it is restored", |screen| {
            screen.lines().iter().any(|line| line.starts_with("all.backup is restored, "))
        });
    };
    restored(&terminal);
    assert_eq!(terminal.ends().code(), Some(0));
    assert!(home.run(&["user", "list"]).out.contains("alice"));
    let mut terminal = Terminal::run(&home, &["restore", "all.backup", "--yes"]);
    restored(&terminal);
    assert_eq!(terminal.ends().code(), Some(0));
}

#[test]
fn a_copy_leaves_an_older_source_to_the_older_program() {
    let home = old_home(1);
    let before = fs::read(home.data().join("whoelse.db")).unwrap();

    let copied = home.run(&["store", "copy", "whoelse-data", "new"]);

    assert_eq!(copied.status, Some(0), "{copied:?}");
    assert_eq!(fs::read(home.data().join("whoelse.db")).unwrap(), before);
    assert_eq!(found(home.path().join("new/whoelse.db")), (known(), "chat.example".to_owned()));
    let _server = home.start(&["--data", "new"]);
    assert!(home.run(&["user", "list", "--data", "new"]).out.contains("eve"));
}

#[test]
fn a_database_on_postgresql_is_brought_up_to_date_and_the_log_asks_for_a_dump_before() {
    let Some(server_url) = Scratch::server() else { return };
    let Some(scratch) = Scratch::new().map(Result::unwrap) else { return };
    let sign = if server_url.contains('?') { '&' } else { '?' };
    let url = format!("{server_url}{sign}options[search_path]={}", scratch.schema());
    scratch.fill_as_of(1).unwrap();
    let home = Home::new();
    let config =
        format!("listen = \"127.0.0.1:0\"\ncontacts = \"everyone\"\ndatabase = \"{url}\"\n");
    home.write("whoelse.toml", &config);

    let examined = home.run(&["doctor", "--config", "whoelse.toml"]).out;
    assert!(examined.contains("the next start brings it to") && examined.contains("pg_dump"));
    let mut server = home.start(&["--config", "whoelse.toml"]);

    let said = server.lines.all();
    let at = |words: &str| said.iter().position(|line| line.contains(words)).unwrap();
    assert!(at("pg_dump") < at("migrated"), "{said:#?}");
    assert!(home.run(&["user", "list"]).out.contains("eve"));
    assert!(server.stop().success());
}
