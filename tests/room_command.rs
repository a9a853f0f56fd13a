//! docs/operating.md: `whoelse room`, by which an operator looks after the rooms of a running server.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::server::Ran;
use common::{Home, Raw, Server};
use serde_json::Value;

/// Asserts that it succeeded with these words.
#[track_caller]
fn says(ran: &Ran, words: &str) {
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (Some(0), words, ""), "{ran:?}");
}

/// Asserts that it did nothing and gave exactly this reason.
#[track_caller]
fn refuses(ran: &Ran, why: &str) {
    assert_eq!((ran.status, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert_eq!(ran.err, format!("whoelse: {why}"), "{ran:?}");
}

/// The objects that a command prints.
#[track_caller]
fn objects(home: &Home, args: &[&str]) -> Vec<Value> {
    let ran = home.run(args);
    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn enters(raw: &mut Raw, room: &str, nick: &str) {
    let presence = format!(
        "<presence to='{room}@conference.localhost/{nick}'>\
         <x xmlns='http://jabber.org/protocol/muc'/></presence>"
    );
    raw.send(&presence).unwrap();
    raw.stanza(|it| it.name() == "message").unwrap();
}

/// Who is what, as `room show` says it.
fn affiliations(home: &Home, room: &str) -> Vec<(String, String)> {
    let shown = objects(home, &["room", "show", room, "--json"]);
    let listed = shown[0]["affiliations"].as_array().unwrap();
    let word = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
    listed.iter().map(|one| (word(one, "address"), word(one, "affiliation"))).collect()
}

#[test]
fn a_room_is_made_listed_shown_and_destroyed() {
    let server = Server::of(&["alice", "bob"]);
    let home = &server.home;
    says(
        &home.run(&["room", "list"]),
        "there are no rooms; `whoelse room add NAME --owner USER` makes one",
    );
    says(&home.run(&["room", "list", "--json"]), "");

    let made = home.run(&["room", "add", "lunch", "--owner", "alice"]);
    says(&made, "lunch@conference.localhost is made, and alice owns it");
    let mut bob = Raw::online(server.address, "bob");
    enters(&mut bob, "lunch", "B");

    let listed = home.run(&["room", "list"]);
    let rows: Vec<&str> = listed.out.lines().collect();
    assert_eq!(rows.len(), 2, "{listed:?}");
    let cells: Vec<&str> = rows[1].split_whitespace().collect();
    assert_eq!(cells, ["lunch", "1", "alice", "no", "yes", "0", "KiB"]);
    let listed = objects(home, &["room", "list", "--json"]);
    assert_eq!(listed[0]["owner"], "alice@localhost");
    assert_eq!((&listed[0]["occupants"], &listed[0]["public"]), (&1.into(), &false.into()));

    let shown = home.run(&["room", "show", "lunch"]);
    for part in
        ["lunch@conference.localhost", "  members only: no", "  password: no", "alice  owner"]
    {
        assert!(shown.out.contains(part), "{shown:?}");
    }
    let last = shown.out.lines().last().unwrap();
    assert!(last.starts_with("B ") && last.contains("participant  bob@localhost/"), "{shown:?}");
    let shown = objects(home, &["room", "show", "lunch@conference.localhost", "--json"]);
    assert_eq!(shown[0]["configuration"]["persistent"], "yes");
    assert_eq!(shown[0]["occupants"][0]["nickname"], "B");
    assert_eq!(shown[0]["locked"], false);

    let destroy = ["room", "destroy", "lunch", "--reason", "closed", "--to", "tea"];
    refuses(
        &home.run(&destroy),
        "nothing was destroyed: there is no terminal to ask on; say --yes if it is meant",
    );
    says(&home.run(&[&destroy[..], &["--yes"]].concat()), "lunch is destroyed");
    let end = bob.stanza(|it| it.type_() == Some("unavailable")).unwrap();
    let end = String::from_utf8_lossy(end.bytes()).into_owned();
    assert!(end.contains("jid='tea@conference.localhost'") && end.contains("closed"), "{end}");
    says(&home.run(&["room", "list", "--json"]), "");
}

#[test]
fn an_operator_says_who_is_what_and_a_room_keeps_an_owner() {
    let server = Server::of(&["alice", "bob"]);
    let home = &server.home;
    home.run(&["room", "add", "lunch", "--owner", "alice"]);
    let grant = |who: &str, what: &str| home.run(&["room", "grant", "lunch", who, what]);

    refuses(&grant("alice", "none"), "a room has an owner: name another one first");
    refuses(&grant("alice", "admin"), "a room has an owner: name another one first");
    says(&grant("bob", "owner"), "bob owns lunch");
    says(&grant("alice", "member"), "alice is a member of lunch");
    let now = affiliations(home, "lunch");
    let word = |who: &str, what: &str| (format!("{who}@localhost"), what.to_owned());
    assert_eq!(now, [word("alice", "member"), word("bob", "owner")]);
    says(&grant("alice", "none"), "alice is nothing in lunch");
    says(&grant("eve", "outcast"), "eve is put out of lunch");
    refuses(&grant("eve", "member"), "there is no user eve");
    assert_eq!(affiliations(home, "lunch"), [word("bob", "owner"), word("eve", "outcast")]);

    // Who is there is told at once.
    let mut alice = Raw::online(server.address, "alice");
    enters(&mut alice, "lunch", "A");
    says(&grant("alice", "admin"), "alice is an admin of lunch");
    let told = alice.stanza(|it| it.name() == "presence").unwrap();
    let told = String::from_utf8_lossy(told.bytes()).into_owned();
    assert!(told.contains("affiliation='admin'") && told.contains("role='moderator'"), "{told}");
}

#[test]
fn what_cannot_be_done_to_a_room_is_refused_with_the_reason() {
    let server = Server::of(&["alice"]);
    let home = &server.home;
    says(
        &home.run(&["room", "add", "lunch", "--owner", "alice"]),
        "lunch@conference.localhost is made, and alice owns it",
    );

    for (args, why) in [
        (&["room", "add", "lunch", "--owner", "alice"][..], "there is a room lunch already"),
        (&["room", "add", "tea", "--owner", "eve"], "there is no user eve"),
        (&["room", "add", "a b", "--owner", "alice"], "`a b` is not a room's name"),
        (
            &["room", "add", "tea@localhost", "--owner", "alice"],
            "`tea@localhost` is not a room's name",
        ),
        (&["room", "show", "tea"], "there is no room tea"),
        (&["room", "grant", "tea", "alice", "owner"], "there is no room tea"),
        (&["room", "destroy", "tea", "--yes"], "there is no room tea"),
        (&["room", "destroy", "lunch", "--to", "@", "--yes"], "`@` is not a room's name"),
    ] {
        refuses(&home.run(args), why);
    }
    home.run(&["room", "grant", "lunch", "alice", "king"]).failed(2, &["none, outcast, member"]);
    assert_eq!(objects(home, &["room", "list", "--json"]).len(), 1);

    let without = Home::new();
    without.run(&["room", "destroy", "lunch"]).failed(1, &["no server runs"]);
}

#[test]
fn a_list_longer_than_one_answer_is_whole_and_nobody_is_made_a_maker_of_too_many() {
    let home = Home::with_people(&["alice"]);
    let settings = "listen = \"127.0.0.1:0\"\nregistration = \"closed\"\ncontacts = \"everyone\"\n\
                    [rooms]\nmade = 201\n";
    home.write("whoelse.toml", settings);
    let args = ["--config", "whoelse.toml", "--credentials", "credentials.txt"];
    let server = home.start(&args);
    let mut alice = Raw::online(server.address, "alice");
    for n in 0..201 {
        enters(&mut alice, &format!("r{n:03}"), "A");
    }

    let listed = objects(&home, &["room", "list", "--json"]);
    let names: Vec<&str> = listed.iter().map(|one| one["room"].as_str().unwrap()).collect();
    assert_eq!(names, (0..201).map(|n| format!("r{n:03}")).collect::<Vec<_>>());
    let table = home.run(&["room", "list"]);
    assert_eq!(table.out.lines().count(), 202, "one line of headings");
    refuses(
        &home.run(&["room", "add", "lunch", "--owner", "alice"]),
        "alice has made 201 rooms that are still there, which are as many as one may (`rooms.made`)",
    );
    says(&home.run(&["room", "destroy", "r000", "--yes"]), "r000 is destroyed");
    let audit = std::fs::read_to_string(home.data().join("audit.log")).unwrap();
    for node in ["add-room", "destroy-room"] {
        assert!(audit.contains(node), "{audit}");
    }
    assert!(!audit.contains("list-rooms"), "{audit}");
}
