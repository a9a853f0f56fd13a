//! What this program is built from: licences it may carry, one source, one provider of each kind.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

/// Any of these can be linked into a program under Apache-2.0 OR MIT. MPL-2.0 is copyleft by file:
/// changes to those files would have to be published; we change none.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that must not come in by any way, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "rustls is the one TLS"),
    ("native-tls", "rustls is the one TLS"),
    ("sqlx-mysql", "SQLite and PostgreSQL are the databases"),
];

/// Crates that the program has in two versions, because its libraries do not agree yet. Each costs
/// every first build its time once more: netlink-packet-route, which netdev 0.46.2 brought in a
/// second version, was the largest unit of all, so Cargo.lock keeps netdev 0.46.1 until netwatch
/// has followed.
const TWICE: &[&str] = &[
    "base64",
    "block-buffer",
    "compact_str",
    "cpufeatures",
    "crypto-common",
    "digest",
    "getrandom",
    "hashbrown",
    "pem",
    "rxml_validation",
    "sha2",
    "simple-dns",
    "spin",
    "syn",
    "synstructure",
    "untrusted",
];

/// Everything that is linked, built or tested with: its name and version, and its licence.
fn packages() -> BTreeSet<(String, String)> {
    let format = ["--format", "{p}|{l}"];
    let text = tree(&["--workspace", "--all-features", "--edges", "normal,build,dev"], &format);
    let rows = text.lines().filter_map(|line| line.split_once('|'));
    // A package of ours is printed with its path, one from a repository with its address.
    rows.map(|(name, licence)| (name.to_owned(), licence.trim_end_matches(" (*)").to_owned()))
        .filter(|(name, _)| !name.starts_with("whoelse"))
        .collect()
}

/// What the program is built from, a line a package: its name and version.
fn program(features: &[&str]) -> String {
    tree(&["-p", "whoelse", "--edges", "normal,build", "--format", "{p}"], features)
}

fn tree(what: &[&str], how: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--prefix", "none"])
        .args(what)
        .args(how)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_dependency_has_a_licence_that_fits() {
    let mut misfits = Vec::new();
    for (name, licence) in packages() {
        let licence = licence.replace('/', " OR ");
        let fits = spdx::Expression::parse(&licence).is_ok_and(|expression| {
            expression.evaluate(|requirement| LICENCES.contains(&&*requirement.to_string()))
        });
        if !fits {
            misfits.push(format!("{name}: `{licence}`"));
        }
    }
    assert!(misfits.is_empty(), "licences to look at:\n{}", misfits.join("\n"));
}

#[test]
fn every_dependency_comes_from_the_public_registry() {
    for (name, _) in packages() {
        assert!(!name.contains("://"), "{name}");
    }
}

/// aws-lc-rs is the one provider. The relay's library brings `ring` along beside it, and nothing
/// else does: without private chats it is not there at all. That nobody uses it, `house.rs` looks
/// after.
#[test]
fn ring_comes_in_with_private_chats_alone() {
    let text = program(&["--no-default-features"]);
    assert!(text.lines().any(|line| line.starts_with("aws-lc-rs ")));
    for banned in ["ring ", "iroh"] {
        assert!(!text.lines().any(|line| line.starts_with(banned)), "{banned}comes in");
    }
}

#[test]
fn nothing_more_comes_in_twice() {
    let text = program(&[]);
    let versions: BTreeSet<(&str, &str)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?))
        })
        .collect();
    let names: Vec<&str> = versions.iter().map(|(name, _)| *name).collect();
    let twice: BTreeSet<&str> =
        names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();

    let known: BTreeSet<&str> = TWICE.iter().copied().collect();
    assert_eq!(twice, known, "left: what comes in twice, right: what is known to");
}

#[test]
fn nothing_banned_comes_in() {
    for (package, _) in packages() {
        let name = package.split(' ').next().unwrap_or_default();
        let banned = BANNED.iter().find(|(banned, _)| *banned == name);
        assert!(banned.is_none(), "{package}: {}", banned.unwrap().1);
    }
}
