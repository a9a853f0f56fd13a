//! Wording of private chats (docs/behaviour.md): pure functions, safe for a terminal.

use whoelse_client::Refusal;
use whoelse_p2p::{Closing, Failure, Fingerprint, Happening, Path, Refused};
use whoelse_xmpp::BareJid;

use super::{condition, name, text, words};

/// Describes an event, if it is to be shown.
pub fn happening(it: &Happening, domain: &str) -> Option<String> {
    let name = |who: &BareJid| name::of(who, domain);
    Some(match it {
        // A person on a screen is told of failures, not of successes.
        Happening::Sent { .. } | Happening::Arrived { .. } => return None,
        Happening::Message { from, text } => {
            format!("[private] {}: {}", name(from), text::lines(text))
        }
        Happening::Asks(who) => {
            let name = name(who);
            format!("* {name} asks for a private chat: accept {name}, or decline {name}")
        }
        Happening::TookBack(who) => {
            format!("* {} does not ask for a private chat any more", name(who))
        }
        Happening::Lapsed(who) => {
            format!("* {}'s request for a private chat has lapsed", name(who))
        }
        Happening::AnsweredElsewhere(who) => {
            format!("* the private chat with {} was answered on another device", name(who))
        }
        Happening::Declined(_)
        | Happening::NoAnswer(_)
        | Happening::NotAsked { .. }
        | Happening::NotOpened { .. } => format!("* {}", failed(it, domain)?.words),
        Happening::NewDevice { whom, first, code } => {
            let name = name(whom);
            let what = if *first { "this is the first private chat with" } else { "new device of" };
            format!("* {what} {name}; its code is {code} (compare it with {name}, by voice)")
        }
        Happening::NotRemembered(why) => {
            format!("* the new device cannot be kept in mind: {}", text::line(why))
        }
        Happening::Opened { whom, path } => {
            format!("* private chat with {}: connected {}", name(whom), way(*path))
        }
        Happening::Moved { whom, path } => {
            format!("* private chat with {}: now connected {}", name(whom), way(*path))
        }
        Happening::Silent(who) => {
            let name = name(who);
            format!("* {name}'s client does not say that your private messages have arrived")
        }
        Happening::Unconfirmed { to, text, .. } => {
            format!("* {}: {}", unconfirmed(to, domain), text::lines(text))
        }
        Happening::Closed { whom, why } => format!("* {}", closed(whom, *why, domain)),
    })
}

/// A failed request of private chats: with whom, one word for programs, and words for people.
pub struct Failed<'a> {
    pub whom: &'a BareJid,
    pub condition: &'static str,
    pub words: String,
}

/// Returns the failure in an event, if it is one.
pub fn failed<'a>(it: &'a Happening, domain: &str) -> Option<Failed<'a>> {
    let name = |who: &BareJid| name::of(who, domain);
    let (whom, condition, words) = match it {
        Happening::Declined(whom) => {
            (whom, "declined", format!("{} has declined the private chat", name(whom)))
        }
        Happening::NoAnswer(whom) => {
            (whom, "no-answer", format!("{} has not answered within 60 s", name(whom)))
        }
        Happening::NotAsked { whom, why } => {
            let name = name(whom);
            let words = match why {
                Refusal::Unreachable => {
                    format!("{name} is not online, so there is no private chat")
                }
                why => words::refusal(why, &name, whom.domain()),
            };
            (whom, condition::of_refusal(why), words)
        }
        Happening::NotOpened { whom, why } => {
            let name = name(whom);
            let words = format!("no private chat with {name}: {}", failure(why, &name));
            (whom, condition::of_failure(why), words)
        }
        _ => return None,
    };
    Some(Failed { whom, condition, words })
}

fn failure(why: &Failure, name: &str) -> String {
    match why {
        Failure::TimedOut => format!("{name}'s client did not go on in time"),
        Failure::GivenUp => format!("{name} has given up"),
        Failure::Gone => format!("{name}'s client is not there any more"),
        Failure::LoggedOut => "the session has ended".to_owned(),
        Failure::Nonsense => format!("what {name}'s client says of itself makes no sense"),
        Failure::NoWay => "there is no way from one computer to the other".to_owned(),
        Failure::NoCommonWay => {
            "one of the two hides its addresses, and the other cannot use the server's relay"
                .to_owned()
        }
        Failure::KeyChanged { code } => format!(
            "WARNING: a device of {name} has another key than before. This may be somebody else. \
             If {name} reads you the same code, {code}, type `trust {name}` and ask again"
        ),
        Failure::NotTrusted => format!(
            "{name}'s client knows this device by another key; if {name} types `trust` and your \
             name, ask again"
        ),
        Failure::Local(words) => text::line(words),
    }
}

fn way(path: Path) -> &'static str {
    match path {
        Path::Direct => "directly",
        Path::Relay => "through the server's relay, which cannot read what passes",
    }
}

/// Says that the fate of a message stays unknown.
pub fn unconfirmed(to: &BareJid, domain: &str) -> String {
    format!("nobody knows whether your private message to {} arrived", name::of(to, domain))
}

/// Says why a private chat has ended.
pub fn closed(whom: &BareJid, why: Closing, domain: &str) -> String {
    let name = name::of(whom, domain);
    match why {
        Closing::ByMe => format!("the private chat with {name} is closed"),
        Closing::ByThem => format!("{name} has closed the private chat"),
        Closing::Lost => format!(
            "the private chat with {name} is lost: nothing is heard of {name}'s client any more"
        ),
        Closing::Blocked => format!("the private chat with {name} is closed: {name} is blocked"),
        Closing::Violation => format!(
            "the private chat with {name} is closed: {name}'s client said something that is not \
             allowed"
        ),
        Closing::Replaced => {
            format!("a new private chat with {name} takes the place of the old one")
        }
        Closing::OtherAccount => {
            format!("the private chat with {name} is closed: another account logged in here")
        }
        Closing::Renamed => {
            format!("the private chat with {name} is closed: the server has another name now")
        }
    }
}

/// Says why private chats refuse a request.
pub fn refused(why: &Refused, name: &str) -> String {
    match why {
        Refused::NotBuilt => "this program was built without private chats".to_owned(),
        Refused::NotLoggedIn => "log in first".to_owned(),
        Refused::AlreadyOpen => format!("a private chat with {name} is open already"),
        Refused::AlreadyAsked => {
            format!("{name} is asked already; `stopprivate {name}` takes it back")
        }
        Refused::CannotDoIt => format!("{name}'s client cannot have private chats"),
        Refused::NoRequest => format!("{name} does not ask for a private chat"),
        Refused::NoneOpen => format!("there is no private chat with {name}"),
        Refused::Closing => format!("the private chat with {name} is being closed already"),
        Refused::TooMany => {
            format!("not sent: too many private messages to {name} are unconfirmed")
        }
        Refused::NoDevice => format!("no device of {name} is known from a private chat"),
        Refused::NothingToTrust => format!("no device of {name} has shown a changed key"),
        Refused::State(words) => format!(
            "cannot keep the keys of private chats: {} (--state-dir names another place)",
            text::line(words)
        ),
    }
}

/// Returns the fingerprints of somebody's devices, line by line.
pub fn fingerprints(of: &BareJid, all: &[Fingerprint], domain: &str) -> Vec<String> {
    let name = name::of(of, domain);
    let first = format!("if {name} reads you the same code, nobody is between you:");
    let line = |one: &Fingerprint| {
        let note = if one.changed { "  CHANGED, refused until you type `trust`" } else { "" };
        format!("{}  (device {}){note}", one.code, text::line(&one.device))
    };
    std::iter::once(first).chain(all.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const HERE: &str = "a.example";

    fn bob() -> BareJid {
        BareJid::parse("bob@a.example").unwrap()
    }

    fn shown(it: Happening) -> String {
        happening(&it, HERE).unwrap()
    }

    #[test]
    fn a_private_message_is_marked_and_cannot_act_on_the_terminal() {
        let text = "hi\n* carol logged in\u{1b}[2K".to_owned();

        let shown = shown(Happening::Message { from: bob(), text });

        assert_eq!(shown, "[private] bob: hi\n    * carol logged in\\u{1b}[2K");
    }

    #[test]
    fn the_way_of_a_chat_is_said_when_it_opens_and_when_it_changes() {
        let opened = |path| shown(Happening::Opened { whom: bob(), path });
        assert_eq!(opened(Path::Direct), "* private chat with bob: connected directly");
        assert!(opened(Path::Relay).contains("connected through the server's relay"));
        let moved = Happening::Moved { whom: bob(), path: Path::Direct };
        assert_eq!(shown(moved), "* private chat with bob: now connected directly");
    }

    #[test]
    fn a_changed_key_is_a_warning_that_says_what_to_do() {
        let why = Failure::KeyChanged { code: "12345 67890".to_owned() };

        let shown = shown(Happening::NotOpened { whom: bob(), why });

        assert!(shown.contains("WARNING") && shown.contains("trust bob"), "{shown}");
        assert!(shown.contains("12345 67890"), "{shown}");
    }

    #[test]
    fn what_is_unconfirmed_is_given_back_with_its_text() {
        let it = Happening::Unconfirmed { id: "1".to_owned(), to: bob(), text: "hi".to_owned() };

        let words = "* nobody knows whether your private message to bob arrived: hi";
        assert_eq!(shown(it), words);
    }

    #[test]
    fn everything_that_comes_to_nothing_is_a_failure_with_a_word_for_programs() {
        for (it, condition) in [
            (Happening::Declined(bob()), "declined"),
            (Happening::NoAnswer(bob()), "no-answer"),
            (Happening::NotAsked { whom: bob(), why: Refusal::BlockedYou }, "blocked-you"),
            (Happening::NotOpened { whom: bob(), why: Failure::NoWay }, "no-way"),
        ] {
            assert_eq!(failed(&it, HERE).unwrap().condition, condition);
        }
        assert!(failed(&Happening::Asks(bob()), HERE).is_none());
    }
}
