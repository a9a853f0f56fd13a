//! docs/behaviour.md: messages are in our words and say what to do. Every command is made to fail
//! in every way for which a library or the system has words.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use common::server::Ran;
use common::{Home, Server};

/// Phrases of the libraries, the language and the system.
const THEIRS: &[&str] = &[
    "os error",
    "Error {",
    "Error(",
    "Err(",
    "No such file",
    "Permission denied",
    "Is a directory",
    "Address already in use",
    "Connection refused",
    "stream did not contain",
    "invalid type",
    "invalid value",
    "unknown field",
    "unknown variant",
    "missing field",
    "at line",
    "TOML parse",
    "expected one of",
    "expected value",
    "unexpected argument",
    "unrecognized subcommand",
    "error returned from database",
    "error occurred",
    "database disk image",
    "file is not a database",
    "(code",
    "peer certificate",
    "InvalidCertificate",
    "KeyMismatch",
    "InconsistentKeys",
    "corrupt message",
    "InvalidContentType",
    "failed to lookup",
    "Name or service",
    "panicked",
];

/// Checks that an error is in our words.
#[track_caller]
fn is_ours(what: &str, said: &str) {
    assert!(!said.trim().is_empty(), "{what}: nothing is said");
    for theirs in THEIRS {
        assert!(!said.contains(theirs), "{what} says `{theirs}`: {said}");
    }
}

#[track_caller]
fn fails_in_our_words(home: &Home, args: &[&str], advice: &str) {
    let ran = home.run(args);
    let what = args.join(" ");
    assert!(matches!(ran.status, Some(1 | 2)), "{what}: {ran:?}");
    let Ran { out, err, .. } = &ran;
    is_ours(&what, &format!("{out}{err}"));
    assert!(format!("{out}{err}").contains(advice), "{what} does not say `{advice}`: {ran:?}");
}

/// Makes a home with a folder, an empty file, an invalid file and one that is not UTF-8.
fn home() -> Arc<Home> {
    let home = Home::new();
    fs::create_dir(home.path().join("folder")).unwrap();
    home.write("empty", "");
    home.write("nonsense", "no such thing\n");
    fs::write(home.path().join("bytes"), b"\xff\xfe\x00").unwrap();
    home
}

#[test]
fn a_command_line_that_is_wrong_is_told_in_our_words() {
    let home = Home::new();
    for (line, advice) in [
        ("chat", "there is no command chat"),
        ("sever", "did you mean server?"),
        ("server --nonsense", "--help"),
        ("server 1 2 3 4", "one word too many"),
        ("server x", "from 0 to 65535"),
        ("client --host", "needs a value"),
        ("client --private-relay maybe", "auto, only or never"),
        ("client --password-file f", "--user"),
        ("user", "say what to do"),
        ("user add", "NAME"),
        ("completions tcsh", "bash"),
        ("store copy a", "TO"),
    ] {
        fails_in_our_words(&home, &line.split(' ').collect::<Vec<_>>(), advice);
    }
}

#[test]
fn settings_that_cannot_be_read_are_told_in_our_words() {
    let home = home();
    for (text, advice) in [
        ("listen = 5", "an address in quotes"),
        ("admins = \"bob\"", "a list"),
        ("timeout = 1.5", "a duration"),
        ("[limits]\nblocks = \"many\"", "a whole number"),
        ("[metrics]\npublic = 1", "true or false"),
        ("domain = a.example", "write `domain = \"…\"`"),
        ("domain", "a `=` is missing after `domain`"),
        ("sesions = \"one\"", "did you mean `sessions`?"),
        ("domain = \"a\"\ndomain = \"b\"", "take one of them out"),
        ("certificate = \"none\"\nkey = \"none\"", "it is not there"),
        ("certificate = \"empty\"\nkey = \"empty\"", "there is no certificate in"),
        ("certificate = \"folder\"\nkey = \"folder\"", "it is a directory"),
        ("credentials = \"none\"", "it is not there"),
        ("database = \"mysql://x\"", "database"),
        ("database = \"postgres://u:p@127.0.0.1:1/x\"", "is PostgreSQL running there?"),
        ("database = \"postgres://u@localhost/x\"\ndatabase_password_file = \"none\"", "not there"),
        ("[log]\nlevel = \"loud\"", "error, warn, info"),
    ] {
        home.write("whoelse.toml", &format!("contacts = \"everyone\"\n{text}\n"));
        fails_in_our_words(&home, &["config", "check"], advice);
        fails_in_our_words(&home, &["server", "0", "--config", "whoelse.toml"], advice);
        fails_in_our_words(&home, &["doctor", "--config", "whoelse.toml"], advice);
    }
    for (file, advice) in [("bytes", "text"), ("folder", "directory"), ("none", "none")] {
        fails_in_our_words(&home, &["config", "check", file], advice);
        fails_in_our_words(&home, &["server", "0", "--config", file], advice);
    }
}

#[test]
fn a_certificate_and_a_key_that_do_not_fit_are_told_in_our_words() {
    let (home, other) = (Home::new(), Home::new());
    assert!(home.start(&[]).stop().success());
    assert!(other.start(&[]).stop().success());
    let files = ["certificate.pem", "key.pem"].map(|name| other.data().join(name));
    fs::copy(&files[0], home.path().join("c.pem")).unwrap();
    fs::copy(home.data().join("key.pem"), home.path().join("k.pem")).unwrap();
    home.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    home.write("cut.pem", "-----BEGIN CERTIFICATE-----\n!!\n");
    for (certificate, key, advice) in [
        ("c.pem", "k.pem", "renew both together"),
        ("broken.pem", "k.pem", "copy the chain anew"),
        ("cut.pem", "k.pem", "cut.pem"),
        ("c.pem", "c.pem", "there is no key in"),
    ] {
        let text = format!("certificate = \"{certificate}\"\nkey = \"{key}\"\n");
        home.write("whoelse.toml", &text);
        fails_in_our_words(&home, &["config", "check"], advice);
        fails_in_our_words(&home, &["server", "0", "--config", "whoelse.toml"], advice);
    }
}

#[test]
fn a_start_that_fails_is_told_in_our_words() {
    let home = home();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    fails_in_our_words(&home, &["server", &port], "is in use");
    fails_in_our_words(&home, &["server", "0", "--data", "empty"], "data directory");
    fails_in_our_words(&home, &["server", "0", "--data", "none/deep"], "make the folder");
    home.write("whoelse.toml", "");
    fails_in_our_words(
        &home,
        &["server", "0", "--config", "whoelse.toml", "--listen", "192.0.2.1"],
        "no address of this machine",
    );
    fails_in_our_words(&home, &["server", "0", "--credentials", "folder"], "it is a directory");
    fs::create_dir(home.data()).unwrap();
    fs::write(home.data().join("whoelse.db"), "no database ".repeat(1000)).unwrap();
    fails_in_our_words(&home, &["server", "0"], "restore it from a copy");
    fails_in_our_words(&home, &["doctor"], "put back a copy");
    fails_in_our_words(&home, &["store", "copy", "whoelse-data", "other"], "damaged");
}

#[test]
fn an_errand_that_fails_is_told_in_our_words() {
    let home = home();
    for args in [
        &["user", "list"][..],
        &["user", "add", "bob"],
        &["send", "bob", "hi"],
        &["announce", "hi"],
        &["sessions"],
        &["reload"],
        &["backup", "b"],
        &["domain", "rename", "a", "b"],
    ] {
        fails_in_our_words(&home, args, "whoelse server");
    }
    fs::create_dir(home.data()).unwrap();
    fs::create_dir(home.data().join("admin.sock")).unwrap();
    fails_in_our_words(&home, &["user", "list"], "whoelse-data");
    fails_in_our_words(&home, &["restore", "bytes"], "bytes");
    fails_in_our_words(&home, &["restore", "none"], "none");
    fails_in_our_words(&home, &["restore", "folder"], "folder");
    fails_in_our_words(&home, &["store", "copy", "none", "other"], "there is no database");
    fails_in_our_words(
        &home,
        &["store", "copy", "postgres://u@127.0.0.1:1/x", "other"],
        "is PostgreSQL running there?",
    );
}

#[test]
fn an_errand_that_a_server_refuses_is_told_in_our_words() {
    let server = Server::of(&["bob"]);
    let home = &server.home;
    fs::create_dir(home.path().join("closed")).unwrap();
    for (args, advice) in [
        (&["user", "kick", "eve"][..], "there is no user eve"),
        (&["user", "kick", "bob", "phone"], "there is no session bob@localhost/phone"),
        (&["user", "block", "eve"], "there is no user eve"),
        (&["sessions", "eve"], "there is no user eve"),
        (&["sessions", "@"], "is not a name"),
        (&["announce", " "], "the text is empty"),
        (&["domain", "rename", "localhost", "a b"], "is not a domain name"),
        (&["backup", "closed"], "is there already"),
        (&["backup", "nowhere/b"], "no such folder"),
    ] {
        fails_in_our_words(home, args, advice);
    }
    // Root may write everywhere.
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(home.path().join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
        fails_in_our_words(home, &["backup", "closed/b"], "ls -l");
    }
}

#[test]
fn a_text_that_cannot_be_read_is_told_in_our_words() {
    let home = home();
    let mut send = home.command(&["send", "bob", "-"]);
    send.stdin(fs::File::open(home.path().join("folder")).unwrap());

    let ran = send.output().unwrap();

    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    let said = String::from_utf8(ran.stderr).unwrap();
    is_ours("send", &said);
    assert!(said.contains("standard input: it is a directory"), "{said}");
}

#[test]
fn a_client_that_gets_nowhere_says_so_in_our_words() {
    let home = home();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let with = ["--state-dir", "state"];
    let run = |args: &[&str], advice: &str| {
        fails_in_our_words(&home, &[&["client"], args, &with].concat(), advice);
    };
    run(&[&free, "--user", "bob"], "no server answers");
    run(&["--host", "nowhere.invalid", "--user", "bob"], "nowhere.invalid");
    run(&[&free, "--user", "bob", "--password-file", "none"], "it is not there");
    run(&[&free, "--user", "bob", "--password-file", "bytes"], "not UTF-8");
    run(&[&free, "--user", "bob", "--trust", "xx"], "64 hexadecimal digits");
    fs::create_dir_all(home.path().join(".config/whoelse")).unwrap();
    for text in ["[private]\nrelay = 5", "nonsense", "[privat]", "[private]\nrelay = \"maybe\""] {
        home.write(".config/whoelse/client.toml", text);
        run(&[&free, "--user", "bob"], "client.toml");
    }
}
