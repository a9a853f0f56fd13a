//! An administrator's requests about rooms: they list, show, make and destroy them, and say who is what
//! in one.

use std::time::SystemTime;

use whoelse_xmpp::{BareJid, Stanza, ns};

use super::{note, pages, run};
use crate::error::RequestError;
use crate::link::Link;
use crate::nested;
use crate::table::{Row, read_rows};

const LIST: &str = "urn:whoelse:commands:0#list-rooms";
const SHOW: &str = "urn:whoelse:commands:0#show-room";
const ADD: &str = "urn:whoelse:commands:0#add-room";
const GRANT: &str = "urn:whoelse:commands:0#grant-in-room";
const DESTROY: &str = "urn:whoelse:commands:0#destroy-room";

/// One room, as an operator sees it in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its address.
    pub address: BareJid,
    /// Its name for people, if it has one.
    pub title: Option<String>,
    /// How many are in it.
    pub occupants: u64,
    /// Somebody who owns it.
    pub owner: Option<BareJid>,
    /// Whether strangers find it.
    pub is_public: bool,
    /// Whether it stays when nobody is in it.
    pub is_persistent: bool,
    /// The bytes in its archive.
    pub bytes: u64,
}

/// One room with all about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its address.
    pub address: BareJid,
    /// Whether it waits for its first configuration.
    pub is_locked: bool,
    /// Names and values of its configuration.
    pub configuration: Vec<(String, String)>,
    /// Those who are something in it, then those who are there, a device each.
    pub people: Vec<Person>,
}

/// Somebody who is something in a room, or in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Whether it is a device that is there.
    pub is_here: bool,
    /// The address.
    pub who: String,
    /// The affiliation, or of who is there the role.
    pub what: String,
    /// The nickname, of who is not there the one that is kept for them.
    pub nickname: Option<String>,
    /// Since when they are what they are.
    pub since: Option<SystemTime>,
}

/// Calls `take` with the rooms, a page at a time in the order of their names: there may be very many.
pub async fn list(
    link: &mut Link,
    take: impl FnMut(Vec<Room>) -> bool,
) -> Result<(), RequestError> {
    let name = |room: &Room| room.address.local().unwrap_or_default().to_owned();
    pages(link, (LIST, &[]), read_room, name, take).await
}

/// Returns a room with all about it.
pub async fn show(link: &mut Link, room: &str) -> Result<Shown, RequestError> {
    let mut answer = run(link, SHOW, &[("room", room), ("after", "")]).await?;
    let mut shown = read_shown(&answer)?;
    loop {
        let page = read_rows(&answer, read_person)?;
        let Some(last) = page.last() else { return Ok(shown) };
        let after = format!("{} {}", if last.is_here { HERE } else { "affiliation" }, last.who);
        if shown.people.last() == Some(last) {
            return Err(RequestError::Unreadable);
        }
        shown.people.extend(page);
        answer = run(link, SHOW, &[("room", room), ("after", &after)]).await?;
    }
}

/// Makes a room for an account, which owns it.
pub async fn add(link: &mut Link, room: &str, owner: &BareJid) -> Result<String, RequestError> {
    note(&run(link, ADD, &[("room", room), ("accountjid", owner.as_str())]).await?)
}

/// Makes somebody something in a room: `none`, `outcast`, `member`, `admin` or `owner`.
pub async fn grant(
    link: &mut Link,
    room: &str,
    who: &BareJid,
    affiliation: &str,
) -> Result<String, RequestError> {
    let fields = [("room", room), ("accountjid", who.as_str()), ("affiliation", affiliation)];
    note(&run(link, GRANT, &fields).await?)
}

/// Destroys a room. Those who are in it are told why, and to which room they may go instead.
pub async fn destroy(
    link: &mut Link,
    room: &str,
    reason: Option<&str>,
    venue: Option<&str>,
) -> Result<String, RequestError> {
    let fields = [
        ("room", room),
        ("reason", reason.unwrap_or_default()),
        ("venue", venue.unwrap_or_default()),
    ];
    note(&run(link, DESTROY, &fields).await?)
}

fn read_room(row: &Row) -> Result<Room, RequestError> {
    let number = |var: &str| row.cell(var).and_then(|text| text.parse().ok());
    let address = row.cell("room").and_then(|text| BareJid::parse(text).ok());
    Ok(Room {
        address: address.ok_or(RequestError::Unreadable)?,
        title: row.cell("title").map(str::to_owned),
        occupants: number("occupants").ok_or(RequestError::Unreadable)?,
        owner: row.cell("owner").and_then(|text| BareJid::parse(text).ok()),
        is_public: row.cell("public") == Some("yes"),
        is_persistent: row.cell("persistent") == Some("yes"),
        bytes: number("bytes").ok_or(RequestError::Unreadable)?,
    })
}

const HERE: &str = "occupant";

fn read_person(row: &Row) -> Result<Person, RequestError> {
    let need = |var: &str| row.cell(var).map(str::to_owned).ok_or(RequestError::Unreadable);
    Ok(Person {
        is_here: row.cell("kind") == Some(HERE),
        who: need("who")?,
        what: need("what")?,
        nickname: row.cell("nickname").map(str::to_owned),
        since: row.time("since")?,
    })
}

fn read_shown(answer: &Stanza) -> Result<Shown, RequestError> {
    let form = nested::find(answer, "x", ns::DATA).ok_or(RequestError::Unreadable)?;
    let (mut address, mut is_locked, mut configuration) = (None, false, Vec::new());
    for field in nested::each(&form, "field") {
        let mut values = nested::each(&field, "value").map(|value| value.text().to_string());
        match field.attr("var").as_deref() {
            Some("room") => address = values.next().and_then(|it| BareJid::parse(&it).ok()),
            Some("locked") => is_locked = values.next().as_deref() == Some("yes"),
            Some("configuration") => {
                configuration = values
                    .filter_map(|line| {
                        let (name, value) = line.split_once('=')?;
                        Some((name.to_owned(), value.to_owned()))
                    })
                    .collect();
            }
            _ => {}
        }
    }
    let address = address.ok_or(RequestError::Unreadable)?;
    Ok(Shown { address, is_locked, configuration, people: Vec::new() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::commands::completed;

    fn answer(inside: &str) -> Stanza {
        let xml = format!(
            "<iq type='result' id='q'><command xmlns='http://jabber.org/protocol/commands' \
             status='completed'><x xmlns='jabber:x:data' type='result'>{inside}</x></command></iq>"
        );
        completed(&Stanza::parse(xml.into_bytes()).unwrap()).unwrap()
    }

    fn row(cells: &[(&str, &str)]) -> String {
        let cell = |(var, value): &(&str, &str)| {
            format!("<field var='{var}'><value>{value}</value></field>")
        };
        format!("<item>{}</item>", cells.iter().map(cell).collect::<String>())
    }

    #[test]
    fn a_row_says_who_is_there_and_how_much_is_kept() {
        let whole = [
            ("room", "lunch@rooms.example"),
            ("title", ""),
            ("occupants", "2"),
            ("owner", "bob@a.example"),
            ("public", "yes"),
            ("persistent", "no"),
            ("bytes", "700"),
        ];
        let room = Room {
            address: BareJid::parse("lunch@rooms.example").unwrap(),
            title: None,
            occupants: 2,
            owner: Some(BareJid::parse("bob@a.example").unwrap()),
            is_public: true,
            is_persistent: false,
            bytes: 700,
        };
        assert_eq!(read_rows(&answer(&row(&whole)), read_room), Ok(vec![room]));
        for without in [0, 2, 6] {
            let mut cells = whole.to_vec();
            cells.remove(without);
            let read = read_rows(&answer(&row(&cells)), read_room);
            assert_eq!(read, Err(RequestError::Unreadable));
        }
    }

    #[test]
    fn a_room_is_shown_with_its_configuration_and_its_people() {
        let inside = format!(
            "<field var='room'><value>lunch@rooms.example</value></field>\
             <field var='locked'><value>no</value></field><field var='configuration'>\
             <value>name=a=b</value><value>password=no</value><value>?</value></field>{}",
            row(&[("kind", "occupant"), ("who", "bob@a.example/x"), ("what", "visitor")])
        );
        let shown = read_shown(&answer(&inside)).unwrap();
        let config = [("name", "a=b"), ("password", "no")];
        assert_eq!(shown.configuration, config.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert!(!shown.is_locked);
        let people = read_rows(&answer(&inside), read_person).unwrap();
        assert_eq!((people[0].is_here, people[0].what.as_str()), (true, "visitor"));
        assert_eq!(read_shown(&answer("")), Err(RequestError::Unreadable));
        let bad = answer(&row(&[("kind", "occupant"), ("what", "visitor")]));
        assert_eq!(read_rows(&bad, read_person), Err(RequestError::Unreadable));
    }
}
