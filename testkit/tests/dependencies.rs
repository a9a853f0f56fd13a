//! The dependencies of this program, checked against `deny.toml`: allowed licences, one source,
//! one provider of each kind.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

/// Returns the value of a table and a key in `deny.toml`.
fn rule(table: &str, key: &str) -> toml::Value {
    let text = include_str!("../../deny.toml");
    let rules: toml::Table = text.parse().unwrap();
    rules[table][key].clone()
}

/// Returns the crates that a list of `deny.toml` names.
fn crates(key: &str) -> BTreeSet<String> {
    let list = rule("bans", key);
    list.as_array().unwrap().iter().map(|it| it["crate"].as_str().unwrap().to_owned()).collect()
}

/// Returns all packages that are linked, built or tested with: name and version, and licence.
fn packages() -> BTreeSet<(String, String)> {
    let format = ["--format", "{p}|{l}"];
    let text = tree(&["--workspace", "--all-features", "--edges", "normal,build,dev"], &format);
    let rows = text.lines().filter_map(|line| line.split_once('|'));
    // Our own packages are printed with their path, those of a repository with its address.
    rows.map(|(name, licence)| (name.to_owned(), licence.trim_end_matches(" (*)").to_owned()))
        .filter(|(name, _)| !name.starts_with("whoelse"))
        .collect()
}

/// Returns the packages of the program, a line each: name and version.
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
    let list = rule("licenses", "allow");
    let allowed: Vec<&str> = list.as_array().unwrap().iter().filter_map(|it| it.as_str()).collect();
    let mut misfits = Vec::new();
    for (name, licence) in packages() {
        let licence = licence.replace('/', " OR ");
        let fits = spdx::Expression::parse(&licence).is_ok_and(|expression| {
            expression.evaluate(|requirement| allowed.contains(&&*requirement.to_string()))
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

/// aws-lc-rs is the one provider. Only the relay's library depends on `ring` as well: without
/// private chats it is not linked. `tidy.rs` checks that nobody uses it.
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
    let pairs = names.windows(2).filter(|pair| pair[0] == pair[1]);
    let twice: BTreeSet<String> = pairs.map(|pair| pair[0].to_owned()).collect();

    assert_eq!(twice, crates("skip"), "left: what comes in twice, right: what is known to");
}

#[test]
fn nothing_banned_comes_in() {
    let banned = crates("deny");
    for (package, _) in packages() {
        let name = package.split(' ').next().unwrap_or_default();
        assert!(!banned.contains(name), "{package} is banned by deny.toml");
    }
}
