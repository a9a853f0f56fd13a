//! Output as lines for people (docs/behaviour.md). Pure functions, whose results are safe for a
//! terminal.

use std::time::SystemTime;

use chrono::{DateTime, Local};
use whoelse_client::devices::Device;
use whoelse_client::rooms::govern::Affiliated;
use whoelse_client::rooms::{Affiliation, Occupant, RoomEvent, RoomName, RoomNews, Speech};
use whoelse_client::roster::Contact;
use whoelse_client::{Event, Message};
use whoelse_p2p::Happening;
use whoelse_xmpp::BareJid;

use super::said::Said;
use crate::commands::{self, Answer, rooms};
use crate::say::fold::{cut, width};
use crate::say::name::{self, is_the_server};
use crate::say::paint::{Line, Paint};
use crate::say::{private, room, text, words};

/// Columns that one's own name may take in the prompt.
const MOST_OF_A_NAME: usize = 20;
/// Columns that a device's description of itself may take.
const MOST_OF_A_DEVICE: usize = 40;
/// Columns that a topic may take in a list.
const MOST_OF_A_TOPIC: usize = 40;

/// A time to the minute.
const MINUTE: &str = "%Y-%m-%d %H:%M";

/// Renders anything, line by line. `now` is the time to show, for a person at a terminal.
pub fn said(said: &Said<'_>, domain: &str, now: Option<SystemTime>) -> Vec<Line> {
    match said {
        Said::Connected { .. } => Vec::new(),
        Said::Event(Event::LoggedIn { me }) if now.is_some() => {
            let name = name::of(&me.to_bare(), domain);
            vec![Line::from(format!("Welcome, {name}. `help` lists what can be typed."))]
        }
        Said::Event(Event::Message(it)) => vec![message(it, domain, now)],
        Said::Event(it) => event(it, domain).iter().map(|it| Line::of_ours(it)).collect(),
        Said::Private(Happening::Message { from, text }) => {
            vec![private_message(from, text, domain, now)]
        }
        Said::Private(it) => {
            private::happening(it, domain).iter().map(|it| Line::of_ours(it)).collect()
        }
        Said::Room(it) => in_room(it, domain, now),
        Said::Prompt(prompt) => vec![Line::from(prompt.trim_end())],
        Said::Answer { answer, .. } => self::answer(answer, domain),
        Said::Failed { words, .. } => vec![Line::default().and_painted(words, Paint::Failure)],
        Said::Words(words) => vec![Line::from(words.as_str())],
        Said::Notice(words) => vec![Line::of_ours(&format!("* {words}"))],
    }
}

/// Returns the new prompt, if this changes it.
pub fn prompt(said: &Said<'_>, domain: &str) -> Option<String> {
    match said {
        Said::Event(Event::LoggedIn { me }) => {
            Some(format!("{}> ", cut(&name::of(&me.to_bare(), domain), MOST_OF_A_NAME)))
        }
        Said::Event(Event::LoggedOut(_)) => Some("> ".to_owned()),
        _ => None,
    }
}

/// Renders the answer of a command, line by line.
fn answer(answer: &Answer, domain: &str) -> Vec<Line> {
    let words = match answer {
        Answer::Messages { messages, .. } if !messages.is_empty() => {
            return messages.iter().map(|one| message(one, domain, None)).collect();
        }
        Answer::RoomMessages { room, messages } if !messages.is_empty() => {
            return messages.iter().map(|one| speech(one, room, None)).collect();
        }
        Answer::RoomMessages { room, .. } => {
            vec![format!("nothing was said in {}", room::called(room))]
        }
        // Who is there is told by the event.
        Answer::Joined { words, .. } => words.iter().cloned().collect(),
        Answer::Rooms(rooms) if rooms.is_empty() => {
            vec!["there are no rooms yet; join #NAME makes one".to_owned()]
        }
        Answer::Rooms(rooms) => {
            let names = rooms.iter().map(|one| room::called(&one.room)).collect();
            in_two_columns(names, rooms.iter().map(about_room))
        }
        Answer::Members { me, others, away, .. } => members(me, others, away, domain),
        Answer::Done
        | Answer::Login(_)
        | Answer::AskPasswords
        | Answer::AskRoom(_)
        | Answer::Quit => Vec::new(),
        Answer::NewPassword(_) => vec![words::NEW_PASSWORD.to_owned()],
        Answer::Words(words) | Answer::Trusted(words) => vec![words.clone()],
        Answer::People { people, if_none } if people.is_empty() => {
            vec![(*if_none).to_owned()]
        }
        Answer::People { people, .. } => people.iter().map(|who| name::of(who, domain)).collect(),
        Answer::Contacts(contacts) if contacts.is_empty() => {
            vec!["you have no contacts; `add USER` asks somebody to be one".to_owned()]
        }
        Answer::Contacts(contacts) => {
            let names = contacts.iter().map(|one| called(one, domain)).collect();
            let standings = contacts.iter().map(|one| standing(one, domain));
            in_two_columns(names, standings)
        }
        Answer::Messages { with, .. } => {
            vec![format!("no messages with {}", name::of(with, domain))]
        }
        Answer::Fingerprints { of, fingerprints } => {
            private::fingerprints(of, fingerprints, domain)
        }
        Answer::Devices(devices) if devices.is_empty() => {
            vec!["no device logs in without the password".to_owned()]
        }
        Answer::Devices(devices) => self::devices(devices),
        Answer::Help(entries) => {
            // A single entry is not padded as a table.
            let width = entries.iter().map(|(usage, _)| usage.len()).max().unwrap_or_default();
            let width = if entries.len() > 1 { width } else { 0 };
            entries.iter().map(|(usage, help)| format!("{usage:width$}  {help}")).collect()
        }
    };
    words.into_iter().map(Line::from).collect()
}

/// Says how I stand to a room.
fn about_room(one: &rooms::Entry) -> String {
    let mut said = Vec::new();
    if let Some((nick, others)) = &one.there {
        let others = match others {
            0 => "alone".to_owned(),
            1 => "with one other".to_owned(),
            more => format!("with {more} others"),
        };
        said.push(format!("you are there as {}, {others}", text::line(nick)));
    } else if one.is_noted {
        said.push("entered at every login, but you are not there now".to_owned());
    }
    if one.there.is_none() && one.is_listed {
        said.push("everybody finds it".to_owned());
    }
    if !one.topic.is_empty() {
        said.push(cut(&text::line(&one.topic), MOST_OF_A_TOPIC));
    }
    said.join("; ")
}

/// Says of each who is in a room what they are there, and then of who belongs to it and is not.
fn members(me: &Occupant, others: &[Occupant], away: &[Affiliated], domain: &str) -> Vec<String> {
    let named = |one: &Occupant| {
        let nick = text::line(&one.nick);
        match one.who.as_ref().map(|who| name::of(who, domain)) {
            Some(who) if who != nick => format!("{nick} ({who})"),
            _ => nick,
        }
    };
    let mut names = vec![named(me)];
    names.extend(others.iter().map(named));
    names.extend(away.iter().map(|one| name::of(&one.who, domain)));
    let standing = |one: &Occupant| room::standing(one.affiliation, one.role);
    let mut standings = vec![format!("{}; you", standing(me))];
    standings.extend(others.iter().map(standing));
    standings.extend(away.iter().map(|one| match one.affiliation {
        Affiliation::Outcast => "banned".to_owned(),
        affiliation => format!("{}, not there", affiliation.word()),
    }));
    in_two_columns(names, standings.into_iter())
}

/// Puts texts beside others, which begin at the same column.
fn in_two_columns(left: Vec<String>, right: impl Iterator<Item = String>) -> Vec<String> {
    let widest = left.iter().map(|text| width(text)).max().unwrap_or_default();
    let line = |(left, right): (&String, String)| {
        let blanks = " ".repeat(widest - width(left));
        format!("{left}{blanks}  {right}")
    };
    left.iter().zip(right).map(line).collect()
}

/// Says of each device which and what it is, and when it was here.
fn devices(devices: &[Device]) -> Vec<String> {
    let numbered = |device: &Device| {
        let mut what = vec![device.software.as_str(), device.name.as_str()];
        what.retain(|word| !word.is_empty());
        let what = cut(&text::line(&what.join(", ")), MOST_OF_A_DEVICE);
        format!("{}  {what}", device.number)
    };
    let times = |device: &Device| {
        let (since, last) = (clock(device.since, MINUTE), clock(device.last_login, MINUTE));
        let own = if device.is_own { "; this device" } else { "" };
        format!("since {since}, last login {last}{own}")
    };
    in_two_columns(devices.iter().map(numbered).collect(), devices.iter().map(times))
}

/// Returns both names of a contact.
fn called(contact: &Contact, domain: &str) -> String {
    let name = name::of(&contact.jid, domain);
    match contact.name.as_deref().map(text::line) {
        Some(called) if called != name => format!("{name} ({called})"),
        _ => name,
    }
}

/// Describes the state of the subscription with a contact.
fn standing(contact: &Contact, domain: &str) -> String {
    let theirs = match (contact.seen, contact.asked, contact.online) {
        (true, _, true) => "online",
        (true, _, false) => "offline",
        (false, true, _) => "asked, no answer yet",
        (false, false, _) => "not seen by you",
    };
    match (contact.asks, contact.sees_me) {
        (true, _) => {
            let name = name::of(&contact.jid, domain);
            format!("{theirs}; asks to see you: allow {name}, or deny {name}")
        }
        (false, true) => theirs.to_owned(),
        (false, false) if contact.approved => format!("{theirs}; sees you as soon as they ask"),
        (false, false) => format!("{theirs}; does not see you"),
    }
}

/// Renders an event, if it is to be shown.
pub fn event(event: &Event, domain: &str) -> Option<String> {
    Some(match event {
        Event::LoggedIn { .. } => "Welcome".to_owned(),
        Event::Message(it) => message(it, domain, None).text().to_owned(),
        Event::CameOnline(who) => format!("* {} logged in", name::of(who, domain)),
        Event::WentOffline(who) => format!("* {} logged out", name::of(who, domain)),
        // A person on a screen is told of failures, not of successes.
        Event::Sent { .. } | Event::Acknowledged { .. } => return None,
        Event::Unconfirmed { to, .. } => format!("* {}", words::unconfirmed(to, domain)),
        Event::NotSent { to, word, .. } => {
            format!("* {}", words::not_sent(word.map(commands::said_by), to, domain))
        }
        Event::NotDelivered { to, why, .. } => {
            words::refusal(why, &name::of(to, domain), to.domain())
        }
        Event::Asks(who) => {
            let name = name::of(who, domain);
            format!("* {name} asks to see when you are online: allow {name}, or deny {name}")
        }
        Event::Allowed(who) => {
            format!("* {} lets you see when they are online", name::of(who, domain))
        }
        Event::Denied(who) => {
            format!("* {} does not let you see when they are online", name::of(who, domain))
        }
        Event::ShuttingDown => "* the server is shutting down".to_owned(),
        Event::ConnectionLost => "* connection lost, reconnecting…".to_owned(),
        Event::Resumed => "* connected again, nothing was lost".to_owned(),
        Event::Reconnected => "* connected again".to_owned(),
        Event::Renamed { domain } => format!("* this server is now {}", text::line(domain)),
        Event::SaidRenamed { domain } => format!("* {}", words::said_renamed(domain)),
        Event::LoggedOut(ending) => format!("* {}", words::ending(ending)),
    })
}

/// Renders a message: with day and time if it was kept, otherwise with the time `now`, if given.
fn message(message: &Message, domain: &str, now: Option<SystemTime>) -> Line {
    let time = match message.at {
        Some(at) => clock(at, "[%Y-%m-%d %H:%M] "),
        None => live(now),
    };
    if is_the_server(&message.from, domain) {
        return Line::default()
            .and_painted(&time, Paint::Time)
            .and_painted("* ", Paint::Star)
            .and("from the server: ")
            .and(&text::lines(&message.text));
    }
    let mark = if message.broadcast { "[broadcast] " } else { "" };
    spoken(&time, mark, &name::of(&message.from, domain), &message.text)
}

/// Renders an event of a room.
fn in_room(news: &RoomNews, domain: &str, now: Option<SystemTime>) -> Vec<Line> {
    match &news.what {
        RoomEvent::Said(said) => vec![speech(said, &news.room, now)],
        // A refusal is shown as one.
        RoomEvent::Refused { .. } => {
            let words = room::news(news, domain);
            let words = words.as_deref().map(|words| words.trim_start_matches("* "));
            let refused = |words| Line::default().and_painted(words, Paint::Failure);
            words.into_iter().map(refused).collect()
        }
        _ => room::news(news, domain).iter().map(|it| Line::of_ours(it)).collect(),
    }
}

/// What somebody says in a room: with day and time if it was said before, otherwise with the time
/// `now`, if given.
fn speech(said: &Speech, room: &RoomName, now: Option<SystemTime>) -> Line {
    let time = match said.at {
        Some(at) => clock(at, "[%Y-%m-%d %H:%M] "),
        None => live(now),
    };
    let alone = if said.is_private { "[only to you] " } else { "" };
    let mark = format!("{alone}{}", room::called(room));
    let line = Line::default().and_painted(&time, Paint::Time).and_painted(&mark, Paint::Mark);
    let line = match said.nick.as_deref().map(text::line) {
        Some(nick) => line.and(" ").and_painted(&nick, Paint::Name),
        None => line,
    };
    line.and(": ").and(&text::lines(&said.text))
}

/// A message of a private chat.
pub fn private_message(from: &BareJid, text: &str, domain: &str, now: Option<SystemTime>) -> Line {
    spoken(&live(now), "[private] ", &name::of(from, domain), text)
}

fn spoken(time: &str, mark: &str, name: &str, text: &str) -> Line {
    Line::default()
        .and_painted(time, Paint::Time)
        .and_painted(mark, Paint::Mark)
        .and_painted(name, Paint::Name)
        .and(": ")
        .and(&text::lines(text))
}

fn live(now: Option<SystemTime>) -> String {
    now.map(|now| clock(now, "[%H:%M] ")).unwrap_or_default()
}

/// Formats a time by this computer's clock.
fn clock(at: SystemTime, format: &str) -> String {
    DateTime::<Local>::from(at).format(format).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use whoelse_client::{Ending, Refusal};

    const HERE: &str = "a.example";

    fn bob() -> BareJid {
        BareJid::parse("bob@a.example").unwrap()
    }

    fn from_bob(text: &str) -> Message {
        Message { from: bob(), text: text.to_owned(), id: None, at: None, broadcast: false }
    }

    fn shown(it: Event) -> String {
        event(&it, HERE).unwrap()
    }

    fn texts(lines: Vec<Line>) -> Vec<String> {
        lines.iter().map(|line| line.text().to_owned()).collect()
    }

    #[test]
    fn at_a_terminal_whatever_is_said_has_its_time_and_the_prompt_says_who_i_am() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let at_terminal = |it: &Said<'_>| texts(said(it, HERE, Some(now)));
        let all = Event::Message(Message { broadcast: true, ..from_bob("lunch?") });
        let private = Happening::Message { from: bob(), text: "hi".to_owned() };
        for (it, words) in [
            (Said::Event(&Event::Message(from_bob("hi"))), "bob: hi"),
            (Said::Event(&all), "[broadcast] bob: lunch?"),
            (Said::Private(&private), "[private] bob: hi"),
        ] {
            let lines = at_terminal(&it);
            // The zone is the tester's own, so only the shape is certain.
            assert!(lines[0].starts_with('[') && &lines[0][6..8] == "] ", "{lines:?}");
            assert_eq!(&lines[0][8..], words);
            assert_eq!(texts(said(&it, HERE, None)), [words], "a script's lines are as they were");
        }

        let me = whoelse_xmpp::FullJid::parse("bob@a.example/x").unwrap();
        let (came, went) = (Event::LoggedIn { me }, Event::LoggedOut(Ending::Asked));
        assert_eq!(
            at_terminal(&Said::Event(&came)),
            ["Welcome, bob. `help` lists what can be typed."]
        );
        assert_eq!(prompt(&Said::Event(&came), HERE).as_deref(), Some("bob> "));
        assert_eq!(prompt(&Said::Event(&went), HERE).as_deref(), Some("> "));
        assert_eq!(prompt(&Said::Notice("x"), HERE), None);
    }

    #[test]
    fn a_message_is_its_senders_name_and_the_text() {
        assert_eq!(shown(Event::Message(from_bob("hi"))), "bob: hi");
        let far = Message { from: BareJid::parse("bob@b.example").unwrap(), ..from_bob("hi") };
        assert_eq!(shown(Event::Message(far)), "bob@b.example: hi");
        let all = Message { broadcast: true, ..from_bob("hi") };
        assert_eq!(shown(Event::Message(all)), "[broadcast] bob: hi");
    }

    #[test]
    fn what_the_server_itself_says_is_a_notice_and_no_persons_line() {
        let says = |from: &str| {
            let from = BareJid::parse(from).unwrap();
            shown(Event::Message(Message { from, ..from_bob("down at noon\nfor an hour") }))
        };

        assert_eq!(says("a.example"), "* from the server: down at noon\n    for an hour");
        assert_eq!(says("a.example@a.example"), "a.example: down at noon\n    for an hour");
        assert_eq!(says("b.example"), "b.example: down at noon\n    for an hour");
    }

    #[test]
    fn a_kept_message_begins_with_its_time() {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let kept = Message { at: Some(then), ..from_bob("hi") };

        let shown = shown(Event::Message(kept));

        // The zone is the tester's own, so only the shape is certain.
        assert_eq!(&shown[..1], "[");
        assert_eq!(&shown[17..], "] bob: hi");
        assert!(shown.starts_with("[2026-11-1"), "{shown}");
    }

    #[test]
    fn no_message_looks_like_a_notice() {
        let forged = from_bob("hi\n* carol logged in\u{1b}[2K");

        let shown = shown(Event::Message(forged));

        assert_eq!(shown, "bob: hi\n    * carol logged in\\u{1b}[2K");
    }

    #[test]
    fn contacts_are_listed_with_how_things_stand() {
        let one = |local: &str| Contact {
            jid: BareJid::new(Some(local), HERE).unwrap(),
            name: None,
            listed: true,
            groups: vec![],
            seen: false,
            sees_me: false,
            asked: false,
            asks: false,
            approved: false,
            online: false,
        };
        let called = Some("Bob\n* eve".to_owned());
        let contacts = vec![
            Contact { seen: true, sees_me: true, online: true, name: called, ..one("bob") },
            Contact { asked: true, ..one("carol") },
            Contact { seen: true, ..one("dave") },
            Contact { asks: true, listed: false, ..one("eve") },
            Contact { approved: true, ..one("frank") },
        ];

        assert_eq!(
            texts(answer(&Answer::Contacts(contacts), HERE)),
            [
                "bob (Bob\\u{a}* eve)  online",
                "carol                asked, no answer yet; does not see you",
                "dave                 offline; does not see you",
                "eve                  not seen by you; asks to see you: allow eve, or deny eve",
                "frank                not seen by you; sees you as soon as they ask",
            ]
        );
        assert!(texts(answer(&Answer::Contacts(vec![]), HERE))[0].contains("no contacts"));
    }

    #[test]
    fn a_device_says_what_it_is_when_it_was_here_and_whether_it_is_this_one() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let phone = Device {
            number: 9,
            software: "AwesomeXMPP".to_owned(),
            name: "Kiva's\u{1b}[2J".to_owned(),
            since: at,
            last_login: at + Duration::from_secs(86_400),
            is_own: false,
        };
        let (name, software) = (String::new(), "whoelse".to_owned());
        let desk = Device { number: 10, software, name, is_own: true, ..phone.clone() };
        let (then, later) = (clock(phone.since, MINUTE), clock(phone.last_login, MINUTE));

        let shown = texts(answer(&Answer::Devices(vec![phone, desk]), HERE));
        let phone = format!("9  AwesomeXMPP, Kiva's\\u{{1b}}[2J  since {then}, last login {later}");
        let desk = format!("{:31}  since {then}, last login {later}; this device", "10  whoelse");
        assert_eq!(shown, [phone, desk]);
        let none = texts(answer(&Answer::Devices(vec![]), HERE));
        assert_eq!(none, ["no device logs in without the password"]);
    }

    #[test]
    fn notices_begin_with_a_star() {
        assert_eq!(shown(Event::CameOnline(bob())), "* bob logged in");
        assert_eq!(shown(Event::WentOffline(bob())), "* bob logged out");
        let asks = "* bob asks to see when you are online: allow bob, or deny bob";
        assert_eq!(shown(Event::Asks(bob())), asks);
        assert_eq!(shown(Event::Allowed(bob())), "* bob lets you see when they are online");
        assert_eq!(shown(Event::ConnectionLost), "* connection lost, reconnecting…");
        let idle = Ending::Idle(Some("logged out after 30 s without activity".to_owned()));
        assert_eq!(shown(Event::LoggedOut(idle)), "* logged out after 30 s without activity");
    }

    #[test]
    fn a_refusal_says_why_in_plain_words() {
        let refused = |why| shown(Event::NotDelivered { id: "m".to_owned(), to: bob(), why });

        assert_eq!(refused(Refusal::BlockedYou), "bob has blocked you");
        assert_eq!(refused(Refusal::NoSuchUser), "there is no user bob");
        assert_eq!(refused(Refusal::Unreachable), "bob cannot be reached");
        assert_eq!(refused(Refusal::MailboxFull), "bob's mailbox is full");
        assert_eq!(refused(Refusal::BlockedByYou), "you have blocked bob");
        let to = BareJid::parse("bob@other.example").unwrap();
        let far = Event::NotDelivered { id: "m".to_owned(), to, why: Refusal::RemoteServer };
        assert_eq!(shown(far), "cannot reach other.example");
    }
}
