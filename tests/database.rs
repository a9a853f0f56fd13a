//! docs/behaviour.md, What is kept: `backup` and `restore` beside a running server, `store copy`
//! while none runs, and a server on PostgreSQL (where `WHOELSE_TEST_POSTGRES` names one).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Client, Home, Server};
use whoelse_store::scratch::Scratch;

/// Returns the content of the data directory, without what only a running server has there.
fn data(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.data()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("transfer")).collect();
    names.sort();
    names
}

/// Expects this message, live or as one that waited.
#[track_caller]
fn hears(client: &mut Client, words: &str) {
    client.lines.wait_for(words, |heard| heard.ends_with(words));
}

#[track_caller]
fn says_nothing(ran: &common::server::Ran) {
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
}

#[test]
fn a_backup_is_restored_while_the_server_runs() {
    let server = Server::lasting(&["alice", "bob"]);
    let home = server.home.clone();
    home.run(&["send", "bob", "before"]);
    let made = home.run(&["backup", "all.backup"]);
    assert_eq!(made.status, Some(0), "{made:?}");
    assert!(made.out.starts_with("all.backup holds ") && made.out.ends_with(" rows"), "{made:?}");
    let mode = fs::metadata(home.path().join("all.backup")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    home.run(&["send", "bob", "after"]);
    home.run(&["user", "block", "bob"]);

    let restored = home.run(&["restore", "all.backup", "--yes"]);

    assert_eq!(restored.status, Some(0), "{restored:?}");
    assert!(restored.out.starts_with("all.backup is restored, "), "{restored:?}");
    assert_eq!(data(&home), [""; 0]);
    let mut bob = Client::start(&server);
    bob.log_in("bob");
    hears(&mut bob, "* from the server: before");
    assert!(!bob.meanwhile().iter().any(|line| line.contains("after")));
    // The server works as before.
    home.run(&["send", "bob", "again"]);
    hears(&mut bob, "* from the server: again");
}

#[test]
fn who_is_online_hears_of_a_restore_and_comes_back() {
    let server = Server::lasting(&["alice", "bob"]);
    let home = server.home.clone();
    let mut bob = server.online("bob");
    home.run(&["backup", "all.backup"]);

    let restored = home.run(&["restore", "all.backup", "--yes"]);
    assert_eq!(restored.status, Some(0), "{restored:?}");

    says_nothing(&home.run(&["send", "bob", "welcome back"]));
    hears(&mut bob, "* from the server: welcome back");
}

#[test]
fn a_backup_overwrites_nothing_and_a_broken_one_changes_nothing() {
    let server = Server::of(&["alice", "bob"]);
    let home = server.home.clone();
    let mut bob = server.online("bob");
    home.run(&["backup", "all.backup"]);
    let whole = fs::read(home.path().join("all.backup")).unwrap();

    home.run(&["backup", "all.backup"]).failed(1, &["all.backup", "is not overwritten"]);
    assert_eq!(fs::read(home.path().join("all.backup")).unwrap(), whole);
    let sentence = "missing/deep: there is no such folder; `mkdir -p missing/deep` makes it";
    home.run(&["backup", "missing/deep/all.backup"]).failed(1, &[sentence]);

    fs::write(home.path().join("cut"), &whole[..whole.len() - 40]).unwrap();
    home.run(&["restore", "cut", "--yes"]).failed(1, &["cut cannot be restored", "checksum"]);
    home.write("text", "this is not a backup of anything that could be restored here\n");
    home.run(&["restore", "text", "--yes"])
        .failed(1, &["text cannot be restored", "no backup of whoelse"]);
    home.run(&["restore", "none", "--yes"]).failed(1, &["there is no none"]);

    assert_eq!(data(&home), [""; 0]);
    home.run(&["send", "bob", "still here"]);
    hears(&mut bob, "* from the server: still here");
}

#[test]
fn a_backup_needs_a_server_that_runs() {
    let home = Home::new();

    home.run(&["backup", "all.backup"]).failed(1, &["no server runs"]);

    assert!(!home.path().join("all.backup").exists());
}

#[test]
fn a_copy_is_refused_while_a_server_runs_and_for_a_target_that_is_not_empty() {
    let mut server = Server::of(&["alice", "bob"]);
    let home = server.home.clone();

    home.run(&["store", "copy", "whoelse-data", "copy.db"]).failed(1, &["is in use by another"]);
    home.run(&["store", "copy", "nowhere", "copy.db"]).failed(1, &["there is no database"]);
    assert!(!home.path().join("nowhere").exists());
    server.stop();
    let copied = home.run(&["store", "copy", "whoelse-data", "copy.db"]);
    assert_eq!(copied.status, Some(0), "{copied:?}");
    home.run(&["store", "copy", "whoelse-data", "copy.db"]).failed(1, &["copy.db is not empty"]);
    home.run(&["store", "copy", "copy.db", "mysql://x/y"]).failed(1, &["mysql"]);
}

#[test]
fn everything_moves_to_postgresql_and_back_and_is_served() {
    let Some(server_url) = Scratch::server() else { return };
    let Some(scratch) = Scratch::new().map(Result::unwrap) else { return };
    let sign = if server_url.contains('?') { '&' } else { '?' };
    let url = format!("{server_url}{sign}options[search_path]={}", scratch.schema());
    let mut server = Server::of(&["alice", "bob"]);
    let home = server.home.clone();
    home.run(&["send", "bob", "from the file"]);
    server.stop();

    let there = home.run(&["store", "copy", "whoelse-data", &url]);
    assert_eq!(there.status, Some(0), "{there:?}");
    home.write(
        "whoelse.toml",
        &format!("listen = \"127.0.0.1:0\"\ncontacts = \"everyone\"\ndatabase = \"{url}\"\n"),
    );
    let checked = home.run(&["config", "check", "whoelse.toml"]);
    assert_eq!(checked.status, Some(0), "{checked:?}");
    let mut server = home.start_at(common::ports::lasting(), &["--config", "whoelse.toml"]);
    let mut bob = Client::start(&server);
    bob.log_in("bob");
    hears(&mut bob, "* from the server: from the file");
    home.run(&["backup", "all.backup"]);
    let restored = home.run(&["restore", "all.backup", "--yes"]);
    assert_eq!(restored.status, Some(0), "{restored:?}");
    says_nothing(&home.run(&["send", "bob", "from the database"]));
    hears(&mut bob, "* from the server: from the database");
    drop(bob);
    server.stop();

    let back = home.run(&["store", "copy", &url, "back"]);
    assert_eq!(back.status, Some(0), "{back:?}");
    let server = home.start(&["--data", "back", "--listen", "127.0.0.1:0"]);
    let listed = home.run(&["user", "list", "--data", "back"]);
    assert!(listed.out.contains("alice") && listed.out.contains("bob"), "{listed:?}");
    drop(server);
}
