//! Events and refusals in words (docs/behaviour.md). Pure functions: what comes out is safe for a
//! terminal, and ready to be printed by any face.

use std::time::SystemTime;

use chrono::{DateTime, Local};
use whoelse_client::roster::Contact;
use whoelse_client::{
    ConnectError, Ending, Event, LoginError, Message, Refusal, RegisterError, RequestError,
    Stranger, SubscriptionType,
};
use whoelse_p2p::Happening;
use whoelse_xmpp::BareJid;

use super::certificate::{self, Reader};
use super::fold::{cut, quoted, width};
use super::paint::{Line, Paint};
use super::said::Said;
use super::{private, text};
use crate::commands::{self, Answer};

/// What is said when the password has been changed.
pub const NEW_PASSWORD: &str = "your password is changed";

/// Columns that one's own name may take before what is typed.
const MOST_OF_A_NAME: usize = 20;

/// A person's name: the localpart for somebody of the own domain, else the whole address.
pub fn name(who: &BareJid, domain: &str) -> String {
    match who.local() {
        Some(local) if who.domain() == domain => text::line(local),
        _ => text::line(who.as_str()),
    }
}

/// Whether it is the server itself, and no person.
pub fn is_the_server(who: &BareJid, domain: &str) -> bool {
    who.local().is_none() && who.domain() == domain
}

/// What anything looks like, line by line. For a person at a terminal it is said at this time.
pub fn said(said: &Said<'_>, domain: &str, now: Option<SystemTime>) -> Vec<Line> {
    match said {
        Said::Connected { .. } => Vec::new(),
        Said::Event(Event::LoggedIn { me }) if now.is_some() => {
            let name = name(&me.to_bare(), domain);
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
        Said::Prompt(prompt) => vec![Line::from(prompt.trim_end())],
        Said::Answer { answer, .. } => self::answer(answer, domain),
        Said::Failed { words, .. } => vec![Line::default().and_painted(words, Paint::Failure)],
        Said::Words(words) => vec![Line::from(words.as_str())],
        Said::Notice(words) => vec![Line::of_ours(&format!("* {words}"))],
    }
}

/// What stands before a command from now on, if this changes it: who is typing.
pub fn prompt(said: &Said<'_>, domain: &str) -> Option<String> {
    match said {
        Said::Event(Event::LoggedIn { me }) => {
            Some(format!("{}> ", cut(&name(&me.to_bare(), domain), MOST_OF_A_NAME)))
        }
        Said::Event(Event::LoggedOut(_)) => Some("> ".to_owned()),
        _ => None,
    }
}

/// What a command answered, line by line.
fn answer(answer: &Answer, domain: &str) -> Vec<Line> {
    let words = match answer {
        Answer::Messages { messages, .. } if !messages.is_empty() => {
            return messages.iter().map(|one| message(one, domain, None)).collect();
        }
        Answer::Done | Answer::Login(_) | Answer::AskPasswords | Answer::Quit => Vec::new(),
        Answer::NewPassword(_) => vec![NEW_PASSWORD.to_owned()],
        Answer::Words(words) | Answer::Trusted(words) => vec![words.clone()],
        Answer::People { people, if_none } if people.is_empty() => {
            vec![(*if_none).to_owned()]
        }
        Answer::People { people, .. } => people.iter().map(|who| name(who, domain)).collect(),
        Answer::Contacts(contacts) if contacts.is_empty() => {
            vec!["you have no contacts; `add USER` asks somebody to be one".to_owned()]
        }
        Answer::Contacts(contacts) => {
            let names: Vec<_> = contacts.iter().map(|one| called(one, domain)).collect();
            let widest = names.iter().map(|name| width(name)).max().unwrap_or_default();
            let line = |(name, one): (&String, &Contact)| {
                let blanks = " ".repeat(widest - width(name));
                format!("{name}{blanks}  {}", standing(one, domain))
            };
            names.iter().zip(contacts).map(line).collect()
        }
        Answer::Messages { with, .. } => vec![format!("no messages with {}", name(with, domain))],
        Answer::Fingerprints { of, fingerprints } => {
            private::fingerprints(of, fingerprints, domain)
        }
        Answer::Help(entries) => {
            // One entry is not a table.
            let width = entries.iter().map(|(usage, _)| usage.len()).max().unwrap_or_default();
            let width = if entries.len() > 1 { width } else { 0 };
            entries.iter().map(|(usage, help)| format!("{usage:width$}  {help}")).collect()
        }
    };
    words.into_iter().map(Line::from).collect()
}

/// What to make of a new name that nobody has proved.
pub fn said_renamed(domain: &str) -> String {
    format!(
        "whoever answers says, without proof, that this server is now {}; still trying",
        text::line(domain)
    )
}

/// A contact by both names.
fn called(contact: &Contact, domain: &str) -> String {
    let name = name(&contact.jid, domain);
    match contact.name.as_deref().map(text::line) {
        Some(called) if called != name => format!("{name} ({called})"),
        _ => name,
    }
}

/// How things stand with a contact.
fn standing(contact: &Contact, domain: &str) -> String {
    let theirs = match (contact.seen, contact.asked, contact.online) {
        (true, _, true) => "online",
        (true, _, false) => "offline",
        (false, true, _) => "asked, no answer yet",
        (false, false, _) => "not seen by you",
    };
    match (contact.asks, contact.sees_me) {
        (true, _) => {
            let name = name(&contact.jid, domain);
            format!("{theirs}; asks to see you: allow {name}, or deny {name}")
        }
        (false, true) => theirs.to_owned(),
        (false, false) => format!("{theirs}; does not see you"),
    }
}

/// What an event looks like, if it is to be seen.
pub fn event(event: &Event, domain: &str) -> Option<String> {
    Some(match event {
        Event::LoggedIn { .. } => "Welcome".to_owned(),
        Event::Message(it) => message(it, domain, None).text().to_owned(),
        Event::CameOnline(who) => format!("* {} logged in", name(who, domain)),
        Event::WentOffline(who) => format!("* {} logged out", name(who, domain)),
        // Whoever looks at a screen is told what went wrong, not what went well.
        Event::Sent { .. } | Event::Acknowledged { .. } => return None,
        Event::Unconfirmed { to, .. } => format!("* {}", unconfirmed(to, domain)),
        Event::NotSent { to, word, .. } => format!("* {}", not_sent(*word, to, domain)),
        Event::NotDelivered { to, why, .. } => refusal(why, &name(to, domain), to.domain()),
        Event::Asks(who) => {
            let name = name(who, domain);
            format!("* {name} asks to see when you are online: allow {name}, or deny {name}")
        }
        Event::Allowed(who) => {
            format!("* {} lets you see when they are online", name(who, domain))
        }
        Event::Denied(who) => {
            format!("* {} does not let you see when they are online", name(who, domain))
        }
        Event::ShuttingDown => "* the server is shutting down".to_owned(),
        Event::ConnectionLost => "* connection lost, reconnecting…".to_owned(),
        Event::Resumed => "* connected again, nothing was lost".to_owned(),
        Event::Reconnected => "* connected again".to_owned(),
        Event::Renamed { domain } => format!("* this server is now {}", text::line(domain)),
        Event::SaidRenamed { domain } => format!("* {}", said_renamed(domain)),
        Event::LoggedOut(ending) => format!("* {}", self::ending(ending)),
    })
}

/// A message, with its day and time if it was kept, and with the time if that is to be said.
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
    spoken(&time, mark, &name(&message.from, domain), &message.text)
}

/// A message of a private chat.
pub fn private_message(from: &BareJid, text: &str, domain: &str, now: Option<SystemTime>) -> Line {
    spoken(&live(now), "[private] ", &name(from, domain), text)
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

/// A time on this computer's clock.
fn clock(at: SystemTime, format: &str) -> String {
    DateTime::<Local>::from(at).format(format).to_string()
}

/// Nobody will say any more what became of a message.
pub fn unconfirmed(to: &BareJid, domain: &str) -> String {
    format!("nobody knows whether your message to {} arrived", name(to, domain))
}

/// The program ends, and this never left.
pub fn not_sent(word: Option<SubscriptionType>, to: &BareJid, domain: &str) -> String {
    let name = name(to, domain);
    match word {
        None => format!("your message to {name} was not sent"),
        Some(word) => format!("not sent: {} {name}", commands::said_by(word)),
    }
}

/// Why somebody was not reached.
pub fn refusal(why: &Refusal, name: &str, their_domain: &str) -> String {
    match why {
        Refusal::BlockedYou => format!("{name} has blocked you"),
        Refusal::BlockedByYou => format!("you have blocked {name}"),
        Refusal::NoSuchUser => format!("there is no user {name}"),
        Refusal::MailboxFull => format!("{name}'s mailbox is full"),
        Refusal::RemoteServer => format!("cannot reach {}", text::line(their_domain)),
        Refusal::Unreachable => format!("{name} cannot be reached"),
        Refusal::NotAllowed(None) => "you are not allowed to do that".to_owned(),
        Refusal::NotAllowed(Some(words)) | Refusal::Other(words) => {
            format!("{name} was not reached: {}", text::line(words))
        }
    }
}

/// Why a request came to nothing. `whom` is the person it was about, as shown.
pub fn request_error(why: &RequestError, whom: Option<&str>) -> String {
    match why {
        RequestError::Refused(error) => match (Refusal::of(error), whom) {
            (Refusal::NotAllowed(words), _) => {
                let words = words.as_deref().map(text::line);
                words.unwrap_or_else(|| "you are not allowed to do that".to_owned())
            }
            (Refusal::Other(words), _) => format!("the server refused: {}", text::line(&words)),
            (Refusal::MailboxFull, _) => {
                let words = error.text.as_deref().map(text::line);
                words.unwrap_or_else(|| "the server has no room for that".to_owned())
            }
            (why, Some(whom)) => refusal(&why, whom, whom),
            (_, None) => match &error.text {
                Some(words) => format!("the server refused: {}", text::line(words)),
                None => "the server does not offer that".to_owned(),
            },
        },
        RequestError::TimedOut => "the server did not answer in time".to_owned(),
        RequestError::ConnectionLost => {
            "the connection was lost before the answer came; try again".to_owned()
        }
        RequestError::NotLoggedIn => "log in first".to_owned(),
        RequestError::Renamed => "the server has another name now; try again".to_owned(),
        RequestError::TooMany => "too many lines wait for the connection".to_owned(),
        RequestError::Unreadable => "the server's answer makes no sense".to_owned(),
    }
}

/// Why a session ended.
pub fn ending(ending: &Ending) -> String {
    match ending {
        Ending::Asked => "logged out".to_owned(),
        Ending::Idle(Some(words)) => text::line(words),
        Ending::Idle(None) => "logged out without activity".to_owned(),
        Ending::Replaced => "logged out: this account logged in elsewhere".to_owned(),
        Ending::Refused(words) | Ending::Server(words) => {
            format!("logged out: {}", text::line(words))
        }
        Ending::Untrusted(why) => format!("logged out: {}", connect_error(why)),
    }
}

/// Why there is no connection.
pub fn connect_error(why: &ConnectError) -> String {
    connect_error_for(why, Reader::Typing)
}

/// The same for whoever reads it there.
pub fn connect_error_for(why: &ConnectError, reader: Reader) -> String {
    match why {
        ConnectError::Refused { address } => {
            format!("no server answers at {}; start one with `whoelse server`", text::line(address))
        }
        ConnectError::Unreachable { address, why } => {
            format!("cannot reach {}: {}", text::line(address), text::line(why))
        }
        ConnectError::TimedOut { address } => {
            format!("{} does not answer", text::line(address))
        }
        ConnectError::NotOffered { domain } => {
            let domain = text::line(domain);
            format!("{domain} says that it has no server for clients; --host names one")
        }
        ConnectError::Renamed { domain } => {
            let domain = text::line(domain);
            format!(
                "this server says that it is {domain} now: log in as NAME@{domain}, with \
                 `whoelse client --user NAME@{domain}`, and with --host and PORT if that name does \
                 not lead here"
            )
        }
        ConnectError::NoEncryption => {
            "the server offers no encryption, so nothing was sent to it".to_owned()
        }
        ConnectError::Handshake(words) => format!("no encryption: {}", text::line(words)),
        ConnectError::Busy(words) | ConnectError::Server(words) => text::line(words),
        ConnectError::Ended => "the server closed the connection".to_owned(),
        ConnectError::Stranger { address, who } => {
            let address = text::line(address);
            match who {
                Stranger::Http => format!("{address} is a web server (HTTP), not an XMPP server"),
                Stranger::Ssh => format!("{address} is an SSH server, not an XMPP server"),
                Stranger::Greeter => {
                    format!("{address} is a server of mail or files, not an XMPP server")
                }
                Stranger::Tls => format!(
                    "{address} wants TLS from the first byte on; `--direct-tls` begins with it"
                ),
                Stranger::StartTls => format!(
                    "{address} does not begin with TLS; leave `--direct-tls` out, and it is asked for"
                ),
                Stranger::Unknown => format!("{address} does not speak XMPP"),
            }
        }
        ConnectError::Unknown { fingerprint, fault } => {
            certificate::unknown(*fingerprint, fault, reader)
        }
        ConnectError::Changed { fingerprint, pinned } => {
            certificate::changed(*fingerprint, *pinned, reader)
        }
        ConnectError::State(words) => {
            format!(
                "cannot keep the server's certificate in mind: {} (--state-dir names another place)",
                text::line(words)
            )
        }
    }
}

/// Why a login failed. `who` is the name as typed.
pub fn login_error(why: &LoginError, who: &str) -> String {
    login_error_for(why, who, Reader::Typing)
}

/// The same for whoever reads it there.
pub fn login_error_for(why: &LoginError, who: &str, reader: Reader) -> String {
    match why {
        LoginError::Connect(why) => connect_error_for(why, reader),
        LoginError::WrongPassword { text: words } => {
            words.as_deref().map_or_else(|| "wrong password".to_owned(), text::line)
        }
        LoginError::Refused { text: words } => text::line(words),
        LoginError::AlreadyLoggedIn => format!("{} is already logged in", text::line(who)),
        LoginError::NotOverThisChannel => "the server's certificate is not trusted, and the \
             server cannot prove over this connection that it knows your password; nothing was \
             sent"
            .to_owned(),
        LoginError::NewPin { fingerprint } => certificate::proved(*fingerprint),
        LoginError::OnlyPlain { fingerprint } => certificate::only_plain(*fingerprint, reader),
        LoginError::NotAName => format!("{} is not a name", quoted(who)),
        LoginError::LoggedInAlready => "you are logged in already".to_owned(),
    }
}

/// Why an account was not made.
pub fn register_error(why: &RegisterError, who: &str) -> String {
    match why {
        RegisterError::Connect(why) => connect_error(why),
        RegisterError::Taken => format!("there is a user {} already", text::line(who)),
        RegisterError::Refused(words) => text::line(words),
        RegisterError::NotAName => format!("{} is not a name", quoted(who)),
        RegisterError::Untrusted => {
            "no account is made over a certificate that is not trusted".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;
    use whoelse_xmpp::{Condition, StanzaError};

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
            online: false,
        };
        let called = Some("Bob\n* eve".to_owned());
        let contacts = vec![
            Contact { seen: true, sees_me: true, online: true, name: called, ..one("bob") },
            Contact { asked: true, ..one("carol") },
            Contact { seen: true, ..one("dave") },
            Contact { asks: true, listed: false, ..one("eve") },
        ];

        assert_eq!(
            texts(answer(&Answer::Contacts(contacts), HERE)),
            [
                "bob (Bob\\u{a}* eve)  online",
                "carol                asked, no answer yet; does not see you",
                "dave                 offline; does not see you",
                "eve                  not seen by you; asks to see you: allow eve, or deny eve",
            ]
        );
        assert!(texts(answer(&Answer::Contacts(vec![]), HERE))[0].contains("no contacts"));
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

    #[test]
    fn the_servers_words_are_made_safe_too() {
        let error = StanzaError::new(Condition::BadRequest).with_text("no\n* eve logged in\u{9b}");

        let words = request_error(&RequestError::Refused(error), None);

        assert_eq!(words, "the server refused: no\\u{a}* eve logged in\\u{9b}");
        let words = "blocked\u{1b}".to_owned();
        assert_eq!(login_error(&LoginError::Refused { text: words }, "bob"), "blocked\\u{1b}");
    }

    #[test]
    fn a_login_that_fails_says_so() {
        let wrong = LoginError::WrongPassword { text: None };
        assert_eq!(login_error(&wrong, "bob"), "wrong password");
        assert_eq!(login_error(&LoginError::AlreadyLoggedIn, "bob"), "bob is already logged in");
    }

    #[test]
    fn a_missing_server_is_told_with_what_to_do() {
        let why = ConnectError::Refused { address: "localhost:5222".to_owned() };

        assert_eq!(
            connect_error(&why),
            "no server answers at localhost:5222; start one with `whoelse server`"
        );
    }
}
