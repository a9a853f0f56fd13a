//! `--json`: all output of the client, as one JSON object a line (docs/scripting.md).
//!
//! The names of events and fields are an interface: new ones may be added, none may change. Texts
//! are exact and not made safe as on a screen; characters that act on a terminal are escaped as
//! JSON escapes.

use std::io::{self, Write};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::ser::Formatter;
use whoelse_client::devices::Device;
use whoelse_client::roster::Contact;
use whoelse_client::{Event, Message};
use whoelse_p2p::{Fingerprint, Happening, Path};
use whoelse_xmpp::BareJid;

mod room;

use super::said::Said;
use crate::commands::{self, Answer};
use crate::say::{condition, name, private, text, words};
use room::{InRoom, Member, RoomEntry, SaidInRoom};

/// The content of a line.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Object {
    Connected { server: String, domain: String },
    Prompt { ask: String },
    Welcome { user: String, address: String },
    Message(Spoken),
    Broadcast(Spoken),
    Online { user: String },
    Offline { user: String },
    Asks { user: String },
    Allowed { user: String },
    Denied { user: String },
    PrivateRequest { user: String },
    PrivateRequestEnded { user: String, reason: &'static str },
    PrivateDevice { user: String, first: bool, code: String },
    PrivateOpen { user: String, path: &'static str },
    PrivatePath { user: String, path: &'static str },
    PrivateClosed { user: String, reason: &'static str, text: String },
    Sent { id: String, to: String },
    Acknowledged { id: String, to: String },
    Failed(Failed),
    Answer(Box<Given>),
    Notice { text: String },
    ConnectionLost,
    Resumed,
    Reconnected,
    Renamed { domain: String },
    ShuttingDown,
    LoggedOut { reason: &'static str, text: String },
}

/// A message.
#[derive(Debug, Serialize)]
struct Spoken {
    from: String,
    text: String,
    at: String,
    delayed: bool,
    private: bool,
    id: Option<String>,
    /// Set if the author is the server itself, and no person.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    server: bool,
}

/// A failure.
#[derive(Debug, Default, Serialize)]
struct Failed {
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    condition: &'static str,
    text: String,
}

/// The answer of a command.
#[derive(Debug, Default, Serialize)]
struct Given {
    command: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<Vec<Standing>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    with: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<Vec<Spoken>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nick: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<Vec<RoomEntry>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Vec<Member>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<Vec<SaidInRoom>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprints: Option<Vec<Compared>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Vec<Remembered>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commands: Option<Vec<Explained>>,
}

/// A device, with its fingerprint to compare.
#[derive(Debug, Serialize)]
struct Compared {
    device: String,
    code: String,
    changed: bool,
}

/// A device that logs in by a token, with the fields of `whoelse user devices --json`.
#[derive(Debug, Serialize)]
struct Remembered {
    device: u32,
    program: String,
    name: String,
    since: String,
    last_login: String,
    this: bool,
}

/// A contact and the state of the subscription.
#[derive(Debug, Serialize)]
struct Standing {
    user: String,
    name: Option<String>,
    online: bool,
    seen: bool,
    sees_me: bool,
    asked: bool,
    asks: bool,
    approved: bool,
}

/// The help of a command.
#[derive(Debug, Serialize)]
struct Explained {
    usage: &'static str,
    help: &'static str,
}

/// Returns a line, if there is anything to say. `now` is the time of a message that the server did
/// not keep.
pub fn object(said: &Said<'_>, domain: &str, now: SystemTime) -> Option<String> {
    let object = match said {
        Said::Connected { server } => {
            Object::Connected { server: server.clone(), domain: domain.to_owned() }
        }
        Said::Event(event) => self::event(event, domain, now),
        Said::Private(it) => happening(it, domain, now),
        Said::Room(news) => return InRoom::of(news, domain, now).map(|it| write(&it)),
        Said::Prompt(prompt) => Object::Prompt { ask: asked(prompt) },
        Said::Answer { command, answer } => {
            Object::Answer(Box::new(given(command, answer, domain, now)?))
        }
        Said::Failed { command, id, condition, words } => Object::Failed(Failed {
            command: *command,
            id: id.map(str::to_owned),
            condition,
            text: words.clone(),
            ..Failed::default()
        }),
        Said::Words(words) => Object::Notice { text: words.clone() },
        Said::Notice(words) => Object::Notice { text: (*words).to_owned() },
    };
    Some(write(&object))
}

fn event(event: &Event, domain: &str, now: SystemTime) -> Object {
    let name = |who: &BareJid| name(who, domain);
    match event {
        Event::LoggedIn { me } => {
            Object::Welcome { user: name(&me.to_bare()), address: me.to_string() }
        }
        Event::Message(it) if it.broadcast => Object::Broadcast(message(it, domain, now)),
        Event::Message(it) => Object::Message(message(it, domain, now)),
        Event::CameOnline(who) => Object::Online { user: name(who) },
        Event::WentOffline(who) => Object::Offline { user: name(who) },
        Event::Asks(who) => Object::Asks { user: name(who) },
        Event::Allowed(who) => Object::Allowed { user: name(who) },
        Event::Denied(who) => Object::Denied { user: name(who) },
        Event::Sent { id, to } => Object::Sent { id: id.clone(), to: name(to) },
        Event::Acknowledged { id, to } => Object::Acknowledged { id: id.clone(), to: name(to) },
        Event::Unconfirmed { id, to } => Object::Failed(Failed {
            id: Some(id.clone()),
            to: Some(name(to)),
            condition: "unconfirmed",
            text: words::unconfirmed(to, domain),
            ..Failed::default()
        }),
        Event::NotSent { id, to, word } => Object::Failed(Failed {
            command: word.map(commands::said_by),
            id: Some(id.clone()),
            to: Some(name(to)),
            condition: "not-sent",
            text: words::not_sent(word.map(commands::said_by), to, domain),
        }),
        Event::NotDelivered { id, to, why } => Object::Failed(Failed {
            id: Some(id.clone()),
            to: Some(name(to)),
            condition: condition::of_refusal(why),
            text: words::refusal(why, &name::of(to, domain), to.domain()),
            ..Failed::default()
        }),
        Event::ShuttingDown => Object::ShuttingDown,
        Event::ConnectionLost => Object::ConnectionLost,
        Event::Resumed => Object::Resumed,
        Event::Reconnected => Object::Reconnected,
        Event::SaidRenamed { domain } => Object::Notice { text: words::said_renamed(domain) },
        Event::Renamed { domain } => Object::Renamed { domain: domain.clone() },
        Event::LoggedOut(ending) => {
            Object::LoggedOut { reason: condition::of_ending(ending), text: words::ending(ending) }
        }
    }
}

fn happening(it: &Happening, domain: &str, now: SystemTime) -> Object {
    let name = |who: &BareJid| name(who, domain);
    let ended = |who, reason| Object::PrivateRequestEnded { user: name(who), reason };
    if let Some(it) = private::failed(it, domain) {
        return Object::Failed(Failed {
            to: Some(name(it.whom)),
            condition: it.condition,
            text: it.words,
            ..Failed::default()
        });
    }
    match it {
        Happening::Asks(who) => Object::PrivateRequest { user: name(who) },
        Happening::TookBack(who) => ended(who, "taken-back"),
        Happening::Lapsed(who) => ended(who, "lapsed"),
        Happening::AnsweredElsewhere(who) => ended(who, "answered-elsewhere"),
        Happening::NewDevice { whom, first, code } => {
            Object::PrivateDevice { user: name(whom), first: *first, code: code.clone() }
        }
        Happening::Opened { whom, path } => {
            Object::PrivateOpen { user: name(whom), path: way(*path) }
        }
        Happening::Moved { whom, path } => {
            Object::PrivatePath { user: name(whom), path: way(*path) }
        }
        Happening::Message { from, text } => Object::Message(Spoken {
            from: name(from),
            text: text.clone(),
            at: time(now),
            delayed: false,
            private: true,
            id: None,
            server: false,
        }),
        Happening::Sent { id, to } => Object::Sent { id: id.clone(), to: name(to) },
        Happening::Arrived { id, to } => Object::Acknowledged { id: id.clone(), to: name(to) },
        Happening::Unconfirmed { id, to, .. } => Object::Failed(Failed {
            id: Some(id.clone()),
            to: Some(name(to)),
            condition: "unconfirmed",
            text: private::unconfirmed(to, domain),
            ..Failed::default()
        }),
        Happening::Closed { whom, why } => Object::PrivateClosed {
            user: name(whom),
            reason: condition::of_closing(*why),
            text: private::closed(whom, *why, domain),
        },
        // The remaining events are sentences.
        other => Object::Notice { text: private::happening(other, domain).unwrap_or_default() },
    }
}

fn way(path: Path) -> &'static str {
    match path {
        Path::Direct => "direct",
        Path::Relay => "relay",
    }
}

fn given(command: &'static str, answer: &Answer, domain: &str, now: SystemTime) -> Option<Given> {
    let given = Given { command, ..Given::default() };
    Some(match answer {
        // Later events tell the fate of a message, and the end of a login or logout.
        Answer::Done if matches!(command, "message" | "private" | "stopprivate" | "logout") => {
            return None;
        }
        Answer::Login(_) | Answer::AskPasswords | Answer::AskRoom(_) | Answer::Quit => return None,
        Answer::Joined { room, nick, made, words } => Given {
            room: Some(crate::say::room::called(room)),
            nick: Some(nick.clone()),
            made: Some(*made),
            text: words.clone(),
            ..given
        },
        Answer::Rooms(rooms) => {
            Given { rooms: Some(rooms.iter().map(RoomEntry::of).collect()), ..given }
        }
        Answer::Members { room, me, others, away } => Given {
            room: Some(crate::say::room::called(room)),
            members: Some(room::members(me, others, away, domain)),
            ..given
        },
        Answer::RoomMessages { room, messages } => Given {
            room: Some(crate::say::room::called(room)),
            said: Some(messages.iter().map(|it| SaidInRoom::of(it, None, domain, now)).collect()),
            ..given
        },
        Answer::NewPassword(_) => Given { text: Some(words::NEW_PASSWORD.to_owned()), ..given },
        Answer::Done => given,
        Answer::Words(words) | Answer::Trusted(words) => {
            Given { text: Some(words.clone()), ..given }
        }
        Answer::People { people, .. } => {
            Given { users: Some(people.iter().map(|who| name(who, domain)).collect()), ..given }
        }
        Answer::Contacts(contacts) => Given {
            contacts: Some(contacts.iter().map(|one| standing(one, domain)).collect()),
            ..given
        },
        Answer::Fingerprints { of, fingerprints } => Given {
            with: Some(name(of, domain)),
            fingerprints: Some(fingerprints.iter().map(compared).collect()),
            ..given
        },
        Answer::Devices(devices) => {
            Given { devices: Some(devices.iter().map(remembered).collect()), ..given }
        }
        Answer::Messages { with, messages } => Given {
            with: Some(name(with, domain)),
            messages: Some(messages.iter().map(|it| message(it, domain, now)).collect()),
            ..given
        },
        Answer::Help(entries) => {
            let explained = |&(usage, help): &(_, _)| Explained { usage, help };
            Given { commands: Some(entries.iter().map(explained).collect()), ..given }
        }
    })
}

fn standing(contact: &Contact, domain: &str) -> Standing {
    Standing {
        user: name(&contact.jid, domain),
        name: contact.name.clone(),
        online: contact.online,
        seen: contact.seen,
        sees_me: contact.sees_me,
        asked: contact.asked,
        asks: contact.asks,
        approved: contact.approved,
    }
}

fn remembered(device: &Device) -> Remembered {
    Remembered {
        device: device.number,
        program: device.software.clone(),
        name: device.name.clone(),
        since: time(device.since),
        last_login: time(device.last_login),
        this: device.is_own,
    }
}

fn compared(one: &Fingerprint) -> Compared {
    Compared { device: one.device.clone(), code: one.code.clone(), changed: one.changed }
}

fn message(message: &Message, domain: &str, now: SystemTime) -> Spoken {
    Spoken {
        from: name(&message.from, domain),
        text: message.text.clone(),
        at: time(message.at.unwrap_or(now)),
        delayed: message.at.is_some(),
        private: false,
        id: message.id.clone(),
        server: name::is_the_server(&message.from, domain),
    }
}

/// Returns a person's name as it can be typed: the localpart for the own domain, else the whole
/// address.
fn name(who: &BareJid, domain: &str) -> String {
    match who.local() {
        Some(local) if who.domain() == domain => local.to_owned(),
        _ => who.to_string(),
    }
}

/// Names what a prompt asks for.
fn asked(prompt: &str) -> String {
    prompt.trim_end_matches([' ', ':', '?']).to_lowercase()
}

/// Formats a time as in RFC 3339, in UTC.
fn time(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn write(object: &impl Serialize) -> String {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut line, Harmless);
    // Writing to memory cannot fail, and every key is a string.
    let _ = object.serialize(&mut serializer);
    String::from_utf8_lossy(&line).into_owned()
}

/// Escapes what JSON allows in a string but a terminal might obey.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut begin = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| text::is_unsafe(*c)) {
            writer.write_all(&fragment.as_bytes()[begin..at])?;
            // All of them are below U+10000.
            write!(writer, "\\u{:04x}", u32::from(c))?;
            begin = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[begin..])
    }
}

#[cfg(test)]
mod tests;
