//! The output of `whoelse room list` and `whoelse room show`: tables for people, or JSON.

use serde_json::json;
use whoelse_client::admin::rooms::{Person, Room, Shown};

use super::table::{minute, rfc3339, table as aligned};
use crate::say::{name, text};

const HEADINGS: [&str; 6] = ["ROOM", "OCCUPANTS", "OWNER", "FOUND BY ALL", "STAYS", "ARCHIVE"];
const LISTED: [&str; 4] = ["USER", "IS", "NICKNAME KEPT", "SINCE"];
const HERE: [&str; 3] = ["NICKNAME", "ROLE", "DEVICE"];

/// Returns a page of the list without the last line end; the first has the headings.
pub fn table(rooms: &[Room], domain: &str, is_first: bool) -> String {
    let rows: Vec<[String; 6]> = rooms.iter().map(|room| cells(room, domain)).collect();
    let whole = aligned(HEADINGS, &rows);
    match (is_first, whole.split_once('\n')) {
        (false, Some((_, rows))) => rows.to_owned(),
        _ => whole,
    }
}

fn cells(room: &Room, domain: &str) -> [String; 6] {
    [
        text::line(room.address.local().unwrap_or_default()),
        room.occupants.to_string(),
        room.owner.as_ref().map_or_else(|| "nobody".to_owned(), |owner| name::of(owner, domain)),
        yes_or_no(room.is_public).to_owned(),
        yes_or_no(room.is_persistent).to_owned(),
        format!("{} KiB", room.bytes.div_ceil(1024)),
    ]
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// Returns a room of the list for programs (docs/scripting.md).
pub fn listed(room: &Room) -> String {
    json!({
        "room": room.address.local(),
        "address": room.address.as_str(),
        "name": room.title,
        "occupants": room.occupants,
        "owner": room.owner.as_ref().map(|owner| owner.as_str()),
        "public": room.is_public,
        "persistent": room.is_persistent,
        "bytes": room.bytes,
    })
    .to_string()
}

/// Returns all about a room.
pub fn page(shown: &Shown, domain: &str) -> String {
    let mut lines = vec![text::line(shown.address.as_str())];
    if shown.is_locked {
        lines.push("waits for its first configuration: only its owner enters".to_owned());
    }
    for (name, value) in &shown.configuration {
        lines.push(format!("  {}: {}", text::line(&name.replace('_', " ")), text::line(value)));
    }
    let (here, listed): (Vec<&Person>, Vec<&Person>) =
        shown.people.iter().partition(|person| person.is_here);
    let rows: Vec<[String; 4]> = listed.iter().map(|person| affiliated(person, domain)).collect();
    lines.push(aligned(LISTED, &rows));
    match here[..] {
        [] => lines.push("nobody is in it".to_owned()),
        _ => {
            let rows: Vec<[String; 3]> = here.iter().map(|person| occupant(person)).collect();
            lines.push(aligned(HERE, &rows));
        }
    }
    lines.join("\n")
}

fn affiliated(person: &Person, domain: &str) -> [String; 4] {
    let who = whoelse_xmpp::BareJid::parse(&person.who);
    [
        who.map_or_else(|_| text::line(&person.who), |who| name::of(&who, domain)),
        text::line(&person.what),
        nickname(person),
        person.since.map(minute).unwrap_or_default(),
    ]
}

fn occupant(person: &Person) -> [String; 3] {
    [nickname(person), text::line(&person.what), text::line(&person.who)]
}

fn nickname(person: &Person) -> String {
    person.nickname.as_deref().map(text::line).unwrap_or_default()
}

/// Returns all about a room for programs (docs/scripting.md).
pub fn object(shown: &Shown) -> String {
    let (here, listed): (Vec<&Person>, Vec<&Person>) =
        shown.people.iter().partition(|person| person.is_here);
    let listed: Vec<_> = listed
        .iter()
        .map(|person| {
            json!({
                "address": person.who,
                "affiliation": person.what,
                "nickname": person.nickname,
                "since": person.since.map(rfc3339),
            })
        })
        .collect();
    let here: Vec<_> = here
        .iter()
        .map(|person| {
            json!({ "address": person.who, "role": person.what, "nickname": person.nickname })
        })
        .collect();
    let configuration: serde_json::Map<_, _> =
        shown.configuration.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "room": shown.address.local(),
        "address": shown.address.as_str(),
        "locked": shown.is_locked,
        "configuration": configuration,
        "affiliations": listed,
        "occupants": here,
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};
    use whoelse_xmpp::BareJid;

    fn room(local: &str) -> Room {
        Room {
            address: BareJid::new(Some(local), "rooms.example").unwrap(),
            title: None,
            occupants: 0,
            owner: None,
            is_public: false,
            is_persistent: true,
            bytes: 1025,
        }
    }

    #[test]
    fn the_first_page_has_the_headings_and_the_others_go_on() {
        let owner = BareJid::parse("bob@a.example");
        let lunch = Room { owner: owner.ok(), occupants: 7, ..room("lunch") };

        assert_eq!(
            table(&[lunch, room("tea")], "a.example", true),
            "ROOM   OCCUPANTS  OWNER   FOUND BY ALL  STAYS  ARCHIVE\n\
             lunch  7          bob     no            yes    2 KiB\n\
             tea    0          nobody  no            yes    2 KiB"
        );
        let more = table(&[room("tea")], "a.example", false);
        assert!(more.starts_with("tea") && !more.contains("OWNER"), "{more}");
    }

    #[test]
    fn what_is_shown_of_a_room_cannot_act_on_the_terminal() {
        let then = UNIX_EPOCH + Duration::from_secs(1_795_356_200);
        let person = |is_here, who: &str, what: &str| Person {
            is_here,
            who: who.to_owned(),
            what: what.to_owned(),
            nickname: Some("B\u{1b}".to_owned()),
            since: (!is_here).then_some(then),
        };
        let mut shown = Shown {
            address: BareJid::parse("lunch@rooms.example").unwrap(),
            is_locked: true,
            configuration: vec![("name".to_owned(), "\u{1b}[2J".to_owned())],
            people: vec![person(false, "bob@a.example", "owner")],
        };

        assert_eq!(
            page(&shown, "a.example"),
            "lunch@rooms.example\n\
             waits for its first configuration: only its owner enters\n  \
               name: \\u{1b}[2J\n\
             USER  IS     NICKNAME KEPT  SINCE\n\
             bob   owner  B\\u{1b}        2026-11-22 14:03 UTC\n\
             nobody is in it"
        );
        shown.people.push(person(true, "bob@a.example/x", "moderator"));
        let whole = page(&shown, "a.example");
        assert!(
            whole.ends_with("NICKNAME  ROLE       DEVICE\nB\\u{1b}   moderator  bob@a.example/x"),
            "{whole}"
        );
        let object: serde_json::Value = serde_json::from_str(&object(&shown)).unwrap();
        assert_eq!(object["affiliations"][0]["since"], "2026-11-22T14:03:20.000Z");
        assert_eq!(object["occupants"][0]["role"], "moderator");
        assert_eq!(object["configuration"]["name"], "\u{1b}[2J");
    }
}
