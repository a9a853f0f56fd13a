//! Every kind of object once, as docs/scripting.md shows it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use whoelse_client::rooms::govern::Affiliated;
use whoelse_client::rooms::{
    Affiliation, Exit, NotEntered, Occupant, Role, RoomEvent, RoomName, RoomNews, Speech, Wanted,
};
use whoelse_client::{Ending, Refusal};
use whoelse_p2p::Closing;
use whoelse_xmpp::FullJid;

use super::*;
use crate::commands::rooms::Entry;
use crate::commands::{Fault, Obeyed};

const HERE: &str = "localhost";

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_356_180_250)
}

fn bob() -> BareJid {
    BareJid::parse("bob@localhost").unwrap()
}

fn from_bob(text: &str) -> Message {
    Message { from: bob(), text: text.to_owned(), id: None, at: None, broadcast: false }
}

fn of(said: &Said<'_>) -> String {
    object(said, HERE, now()).unwrap()
}

fn event(event: Event) -> String {
    of(&Said::Event(&event))
}

fn happened(happening: Happening) -> String {
    of(&Said::Private(&happening))
}

fn lunch() -> RoomName {
    let address = BareJid::parse("lunch@conference.localhost").unwrap();
    RoomName { address, is_local: true }
}

fn in_room(what: RoomEvent) -> String {
    of(&Said::Room(&RoomNews { room: lunch(), what }))
}

fn obeyed(command: &'static str, outcome: Result<Answer, Fault>) -> String {
    of(&Said::of(&Obeyed { command: Some(command), id: None, outcome }))
}

/// One object of each kind.
fn samples() -> Vec<String> {
    let me = FullJid::parse("alice@localhost/whoelse-x7k2mq").unwrap();
    let (id, to) = ("m1".to_owned(), bob());
    let kept = Message {
        id: Some("8Zk2".to_owned()),
        at: Some(now() - Duration::from_secs(3600)),
        ..from_bob("hello,\nalice")
    };
    let usage = ("whoelse", "List everyone else who is online.");
    let contact = Contact {
        jid: bob(),
        name: Some("Robert".to_owned()),
        listed: true,
        groups: vec![],
        seen: true,
        sees_me: true,
        asked: false,
        asks: false,
        approved: false,
        online: true,
    };
    let code = "12345 67890 12345 67890 12345 67890".to_owned();
    let rob = Occupant {
        nick: "rob".to_owned(),
        who: Some(bob()),
        affiliation: Affiliation::None,
        role: Role::Participant,
    };
    let said = Speech {
        nick: Some("rob".to_owned()),
        who: Some(bob()),
        text: "lunch?".to_owned(),
        id: Some("r1".to_owned()),
        at: Some(now()),
        is_private: false,
    };
    let device = "m4Rk0t".to_owned();
    let fingerprint = Fingerprint { device, code: code.clone(), changed: false };
    let phone = Device {
        number: 2,
        software: "AwesomeXMPP".to_owned(),
        name: "my phone".to_owned(),
        since: now() - Duration::from_secs(86_400),
        last_login: now(),
        is_own: false,
    };
    vec![
        of(&Said::Connected { server: "localhost:5222".to_owned() }),
        of(&Said::Prompt("Username: ")),
        event(Event::LoggedIn { me }),
        event(Event::Message(kept.clone())),
        event(Event::Message(Message { id: Some("8Zk3".to_owned()), ..from_bob("hi") })),
        event(Event::Message(Message { broadcast: true, ..from_bob("lunch?") })),
        event(Event::CameOnline(bob())),
        event(Event::WentOffline(bob())),
        event(Event::Asks(bob())),
        event(Event::Allowed(bob())),
        event(Event::Denied(bob())),
        happened(Happening::Asks(bob())),
        happened(Happening::TookBack(bob())),
        happened(Happening::NewDevice { whom: bob(), first: true, code: code.clone() }),
        happened(Happening::Opened { whom: bob(), path: Path::Direct }),
        happened(Happening::Moved { whom: bob(), path: Path::Relay }),
        happened(Happening::Message { from: bob(), text: "between us".to_owned() }),
        happened(Happening::Closed { whom: bob(), why: Closing::ByThem }),
        happened(Happening::Declined(bob())),
        in_room(RoomEvent::Entered {
            nick: "alice".to_owned(),
            others: vec![rob.clone()],
            why: Wanted::Bookmark,
            shows_addresses: true,
        }),
        in_room(RoomEvent::NotEntered(NotEntered::NoSuchRoom)),
        in_room(RoomEvent::Said(said.clone())),
        in_room(RoomEvent::Topic {
            by: Some("rob".to_owned()),
            text: "pizza".to_owned(),
            at: None,
        }),
        in_room(RoomEvent::Came(rob.clone())),
        in_room(RoomEvent::Went {
            nick: "rob".to_owned(),
            how: Exit::Kicked,
            by: Some("alice".to_owned()),
            reason: Some("too loud".to_owned()),
        }),
        in_room(RoomEvent::Renamed {
            from: "rob".to_owned(),
            to: "robert".to_owned(),
            is_me: false,
        }),
        in_room(RoomEvent::Standing {
            nick: "rob".to_owned(),
            is_me: false,
            affiliation: Affiliation::Admin,
            role: Role::Moderator,
        }),
        in_room(RoomEvent::ShowsAddresses(true)),
        in_room(RoomEvent::Invited { by: Some(bob()), reason: Some("food".to_owned()) }),
        in_room(RoomEvent::Declined { by: bob(), reason: None }),
        in_room(RoomEvent::Left {
            how: Exit::Destroyed { venue: None },
            by: None,
            reason: Some("summer".to_owned()),
        }),
        event(Event::Sent { id: id.clone(), to: to.clone() }),
        event(Event::Acknowledged { id: id.clone(), to: to.clone() }),
        event(Event::NotDelivered { id: id.clone(), to: to.clone(), why: Refusal::BlockedYou }),
        event(Event::Unconfirmed { id, to }),
        obeyed(
            "whoelse",
            Ok(Answer::People { people: vec![bob()], if_none: "nobody else is online" }),
        ),
        obeyed("contacts", Ok(Answer::Contacts(vec![contact]))),
        obeyed("history", Ok(Answer::Messages { with: bob(), messages: vec![kept] })),
        obeyed(
            "join",
            Ok(Answer::Joined {
                room: lunch(),
                nick: "alice".to_owned(),
                made: false,
                words: None,
            }),
        ),
        obeyed(
            "rooms",
            Ok(Answer::Rooms(vec![Entry {
                room: lunch(),
                there: Some(("alice".to_owned(), 1)),
                topic: "pizza".to_owned(),
                is_noted: true,
                is_listed: false,
            }])),
        ),
        obeyed(
            "members",
            Ok(Answer::Members {
                room: lunch(),
                me: Occupant {
                    nick: "alice".to_owned(),
                    who: BareJid::parse("alice@localhost").ok(),
                    affiliation: Affiliation::Owner,
                    role: Role::Moderator,
                },
                others: vec![],
                away: vec![Affiliated { who: bob(), affiliation: Affiliation::Member }],
            }),
        ),
        obeyed("history", Ok(Answer::RoomMessages { room: lunch(), messages: vec![said] })),
        obeyed(
            "fingerprint",
            Ok(Answer::Fingerprints { of: bob(), fingerprints: vec![fingerprint] }),
        ),
        obeyed("devices", Ok(Answer::Devices(vec![phone]))),
        obeyed("block", Ok(Answer::Words("bob is blocked".to_owned()))),
        obeyed("broadcast", Ok(Answer::Done)),
        obeyed("help", Ok(Answer::Help(vec![usage]))),
        obeyed("history", Err(Fault::Usage)),
        obeyed("block", Err(Fault::say("is-me", "you cannot block yourself"))),
        of(&Said::of(&Obeyed {
            command: Some("message"),
            id: Some("m2".to_owned()),
            outcome: Err(Fault::say("empty", "the text is empty")),
        })),
        of(&Said::Words("bob is new here".to_owned())),
        event(Event::ConnectionLost),
        event(Event::Resumed),
        event(Event::Reconnected),
        event(Event::Renamed { domain: "chat.example".to_owned() }),
        event(Event::SaidRenamed { domain: "chat.example".to_owned() }),
        event(Event::ShuttingDown),
        event(Event::LoggedOut(Ending::Idle(Some(
            "logged out after 60 s without activity".to_owned(),
        )))),
    ]
}

#[test]
fn every_object_stands_in_the_documents_as_it_is_written() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/scripting.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (before, rest) = page.split_once("```jsonl\n").unwrap();
    let (shown, after) = rest.split_once("```").unwrap();
    let written = samples().join("\n") + "\n";

    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, format!("{before}```jsonl\n{written}```{after}")).unwrap();
        return;
    }
    assert_eq!(shown, written, "UPDATE=1 cargo test -p whoelse json");
}

#[test]
fn every_object_is_one_line_and_begins_with_its_kind() {
    for line in samples() {
        assert!(line.starts_with("{\"event\":\"") && !line.contains('\n'), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(read["event"].is_string());
    }
}

#[test]
fn a_text_is_exact_and_cannot_act_on_a_terminal() {
    let text = "a\u{1b}[2J\u{9b}\u{202e}\u{2028}\u{7f}ß 👍🏽 \"\\\n";

    let line = event(Event::Message(from_bob(text)));

    let read: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["text"], text);
    assert!(!line.chars().any(text::is_unsafe), "{line}");
    assert!(line.contains("ß 👍🏽"));
}

#[test]
fn somebody_of_another_domain_is_called_by_the_whole_address() {
    let far = Message { from: BareJid::parse("bob@b.example").unwrap(), ..from_bob("hi") };

    assert!(event(Event::Message(far)).contains("\"from\":\"bob@b.example\""));
}

#[test]
fn what_a_command_leaves_to_events_is_no_object() {
    for (command, answer) in [
        ("message", Answer::Done),
        ("logout", Answer::Done),
        ("login", Answer::Login(None)),
        ("quit", Answer::Quit),
    ] {
        assert_eq!(object(&Said::Answer { command, answer: &answer }, HERE, now()), None);
    }
}
