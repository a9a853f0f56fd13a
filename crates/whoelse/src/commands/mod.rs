//! Commands of the prompt: one file per command, each with its `COMMAND` (name, usage, help,
//! function).
//!
//! A command uses the client library and returns an [`Answer`]; the interface (`terminal/`) reads
//! lines and shows answers. The help is made from [`ALL`].

mod accept;
mod add;
mod allow;
mod ban;
mod block;
mod blocked;
mod broadcast;
mod close;
mod contacts;
mod decline;
mod deny;
pub mod destroy;
mod devices;
mod fingerprint;
mod forget;
mod grant;
mod help;
mod history;
pub mod ids;
mod invite;
pub mod join;
mod kick;
mod leave;
mod login;
mod logout;
mod members;
pub mod message;
mod object;
mod open;
pub mod password;
mod private;
mod quit;
mod remove;
mod rename;
pub mod rooms;
mod rooms_kit;
mod startprivate;
mod stopprivate;
mod topic;
mod trust;
mod unban;
mod unblock;
mod who;
mod whosince;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use strsim::osa_distance;
use whoelse_client::devices::Device;
use whoelse_client::rooms::govern::Affiliated;
use whoelse_client::rooms::{Occupant, RoomName, Rooms, Speech};
use whoelse_client::roster::Contact;
use whoelse_client::{Client, Message, NotSent, RequestError, SubscriptionType};
use whoelse_p2p::{Fingerprint, PrivateChats, Refused};
use whoelse_xmpp::{BareJid, FullJid};

use crate::say::fold::quoted;
use crate::say::{self, condition, name, words};
use ids::Ids;

pub use object::{any_id, obey_object};

/// How long to wait for the contacts to be up to date; without a connection the last copy is
/// shown.
const SETTLE: Duration = Duration::from_secs(2);

/// Every command, in the order of the help.
pub const ALL: &[TypedCommand] = &[
    message::COMMAND,
    broadcast::COMMAND,
    who::COMMAND,
    whosince::COMMAND,
    contacts::COMMAND,
    add::COMMAND,
    allow::COMMAND,
    deny::COMMAND,
    remove::COMMAND,
    rename::COMMAND,
    block::COMMAND,
    unblock::COMMAND,
    blocked::COMMAND,
    startprivate::COMMAND,
    accept::COMMAND,
    decline::COMMAND,
    private::COMMAND,
    stopprivate::COMMAND,
    fingerprint::COMMAND,
    join::COMMAND,
    leave::COMMAND,
    rooms::COMMAND,
    members::COMMAND,
    topic::COMMAND,
    invite::COMMAND,
    kick::COMMAND,
    ban::COMMAND,
    unban::COMMAND,
    grant::COMMAND,
    close::COMMAND,
    open::COMMAND,
    destroy::COMMAND,
    history::COMMAND,
    login::COMMAND,
    logout::COMMAND,
    password::COMMAND,
    devices::COMMAND,
    forget::COMMAND,
    trust::COMMAND,
    help::COMMAND,
    quit::COMMAND,
];

/// Aliases from other programs.
const ALSO: &[(&str, &str)] = &[("?", "help"), ("exit", "quit")];

/// The longest word, in bytes, for which a similar command is suggested.
const MOST_MISTYPED: usize = 32;

/// One command that can be typed at the prompt.
pub struct TypedCommand {
    /// The first word of the line.
    pub name: &'static str,
    /// How the line looks.
    pub usage: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    /// Whether it needs a login.
    pub when: When,
    /// Does it.
    pub run: Run,
}

/// When a command is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Logged in or not.
    Always,
    /// Only when logged in.
    LoggedIn,
}

/// The type of a command's function; each is an `async fn` in a `Box::pin`.
pub type Run = for<'a> fn(&'a Seat<'a>, Args<'a>) -> Doing<'a>;

/// A running command.
pub type Doing<'a> = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + 'a>>;

/// The result of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Done, without words.
    Done,
    /// Done, with these words, which are safe for a terminal.
    Words(String),
    /// A list of people, in order.
    People {
        /// Who.
        people: Vec<BareJid>,
        /// The words for an empty list.
        if_none: &'static str,
    },
    /// My contacts.
    Contacts(Vec<Contact>),
    /// Messages of a conversation, oldest first.
    Messages {
        /// The other person.
        with: BareJid,
        /// The messages.
        messages: Vec<Message>,
    },
    /// The fingerprints of a person's devices, to compare.
    Fingerprints {
        /// The person.
        of: BareJid,
        /// The fingerprints.
        fingerprints: Vec<Fingerprint>,
    },
    /// The devices that log in to my account by a token.
    Devices(Vec<Device>),
    /// A room was entered, or a nickname taken in it.
    Joined {
        /// The room.
        room: RoomName,
        /// My nickname there.
        nick: String,
        /// Whether it was made by this.
        made: bool,
        /// What is said besides the event that tells who is there; safe for a terminal.
        words: Option<String>,
    },
    /// Rooms, in order.
    Rooms(Vec<rooms::Entry>),
    /// Who is in a room, and who belongs to it and is not there.
    Members {
        /// The room.
        room: RoomName,
        /// What I am there.
        me: Occupant,
        /// Who else is there.
        others: Vec<Occupant>,
        /// Who is not.
        away: Vec<Affiliated>,
    },
    /// What was said in a room, oldest first.
    RoomMessages {
        /// The room.
        room: RoomName,
        /// What was said.
        messages: Vec<Speech>,
    },
    /// Something about a room is asked before it is done.
    AskRoom(join::Question),
    /// Usages and explanations.
    Help(Vec<(&'static str, &'static str)>),
    /// The login dialogue begins, for this name if one was given.
    Login(Option<String>),
    /// The server's certificate is accepted; the words are shown, and the login goes on.
    Trusted(String),
    /// The dialogue for the present and a new password begins.
    AskPasswords,
    /// The password was changed to this one.
    NewPassword(password::Secret),
    /// The program ends.
    Quit,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Its syntax was wrong; its usage is shown.
    Usage,
    /// This reason.
    Say {
        /// The reason, as a word for programs (docs/scripting.md).
        condition: &'static str,
        /// The reason, as a line for people. The words are safe for a terminal.
        words: String,
    },
}

/// The result of a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Obeyed {
    /// The command's name, if it is one.
    pub command: Option<&'static str>,
    /// The id that the line gave its message.
    pub id: Option<String>,
    /// The answer or the failure.
    pub outcome: Result<Answer, Fault>,
}

impl Obeyed {
    /// Returns whether nothing was done because the domain of the addressee was renamed meanwhile.
    pub fn is_outdated(&self) -> bool {
        matches!(self.outcome, Err(Fault::Say { condition: "renamed", .. }))
    }
}

/// What a command works with.
pub struct Seat<'a> {
    /// The session.
    pub client: &'a Client,
    /// Its private chats.
    pub private: &'a PrivateChats,
    /// Its rooms.
    pub rooms: &'a Rooms,
    /// Whether something may be asked: there is a person, or a script that answers questions.
    pub may_ask: bool,
    /// The ids that programs have given to messages.
    pub ids: &'a Ids,
}

/// What has become of asking somebody to let me see when they are online.
pub enum Asked {
    /// The server has not taken the request.
    Refused,
    /// They had allowed it in advance.
    Granted,
    /// They have not answered yet.
    Waits,
}

impl Seat<'_> {
    /// Returns my own address.
    pub fn me(&self) -> Result<FullJid, Fault> {
        self.client.me().ok_or_else(Fault::not_logged_in)
    }

    /// Returns an address other than my own, from a name of the own domain or a whole address.
    pub fn somebody_else(&self, typed: &str, if_me: &str) -> Result<BareJid, Fault> {
        let me = self.me()?;
        let them = address(typed, me.domain())?;
        if them == me.to_bare() { Err(Fault::say("is-me", if_me)) } else { Ok(them) }
    }

    /// Returns anybody's address, with or without a session.
    pub fn other(&self, typed: &str) -> Result<BareJid, Fault> {
        address(typed, &self.client.domain())
    }

    /// Returns my contacts, after everything sent before has had its effect on them.
    pub async fn contacts(&self) -> Result<Vec<Contact>, Fault> {
        self.client.settle(SETTLE).await;
        self.client.contacts().await.map_err(Fault::not_sent)?.ok_or_else(|| {
            Fault::say(
                "no-roster",
                "everybody on this server is your contact; `whoelse` lists who is online",
            )
        })
    }

    /// Returns the contact, if they are in my contacts or ask to be.
    pub async fn contact(&self, who: &BareJid) -> Result<Option<Contact>, Fault> {
        Ok(self.contacts().await?.into_iter().find(|contact| contact.jid == *who))
    }

    /// Returns what has become of asking somebody, as the server's roster has it. Without an answer
    /// in time nothing was refused yet.
    pub async fn outcome_of_asking(&self, whom: &BareJid) -> Result<Asked, Fault> {
        let is_known = self.client.settle(SETTLE).await;
        let contacts = self.client.contacts().await.map_err(Fault::not_sent)?.unwrap_or_default();
        let contact = contacts.iter().find(|it| it.jid == *whom);
        Ok(match contact.map(|it| (it.seen, it.asked)) {
            Some((true, _)) => Asked::Granted,
            Some((false, true)) => Asked::Waits,
            _ if !is_known => Asked::Waits,
            _ => Asked::Refused,
        })
    }

    /// Sends a subscription stanza.
    pub async fn say_to(&self, whom: &BareJid, word: SubscriptionType) -> Result<(), Fault> {
        self.client.say_to(whom, word).await.map_err(Fault::not_sent)
    }

    /// Returns why a private chat refused. Without a session the reason is that.
    pub fn private_fault(&self, why: &Refused, whom: &BareJid) -> Fault {
        match self.client.me() {
            None if !matches!(why, Refused::TooMany | Refused::Closing) => Fault::not_logged_in(),
            _ => Fault::of_private(why, &self.name(whom)),
        }
    }

    /// Returns a person's name as it is shown.
    pub fn name(&self, who: &BareJid) -> String {
        name::of(who, &self.client.domain())
    }
}

/// Parses `bob` as somebody of the own domain, `bob@other.example` as somebody elsewhere.
pub fn address(typed: &str, domain: &str) -> Result<BareJid, Fault> {
    let parsed = match typed.contains('@') {
        true => BareJid::parse(typed),
        false => BareJid::new(Some(typed), domain),
    };
    match parsed {
        Ok(jid) if jid.local().is_some() => Ok(jid),
        _ => Err(Fault::say("bad-name", format!("{} is not a name", quoted(typed)))),
    }
}

/// Returns the command that sends this stanza.
pub fn said_by(word: SubscriptionType) -> &'static str {
    match word {
        SubscriptionType::Subscribe => add::COMMAND.name,
        SubscriptionType::Subscribed => allow::COMMAND.name,
        SubscriptionType::Unsubscribed => deny::COMMAND.name,
    }
}

impl Fault {
    /// Puts a failed request into words. `whom` is the person it was about.
    pub fn of(error: RequestError, whom: Option<&str>) -> Fault {
        Fault::say(condition::of_request(&error), words::request_error(&error, whom))
    }

    /// Puts a refusal of private chats into words. `whom` is the person it was about.
    pub fn of_private(why: &Refused, whom: &str) -> Fault {
        Fault::say(condition::of_private(why), say::private::refused(why, whom))
    }

    /// Returns a failure with a reason for programs and one for people.
    pub fn say(condition: &'static str, words: impl Into<String>) -> Fault {
        Fault::Say { condition, words: words.into() }
    }

    /// Returns that a line's syntax was wrong, with another usage than the one in the help.
    pub fn usage(usage: &str) -> Fault {
        Fault::say("usage", format!("usage: {usage}"))
    }

    /// Returns the failure of a line that the session did not take.
    fn not_sent(why: NotSent) -> Fault {
        match why {
            NotSent::NotLoggedIn => Fault::not_logged_in(),
            NotSent::TooMany => {
                Fault::say("too-many-waiting", "not sent: too many lines wait for the connection")
            }
        }
    }

    /// Returns what everything but `login`, `help` and `quit` answers without a session.
    pub fn not_logged_in() -> Fault {
        Fault::say("not-logged-in", "log in first")
    }

    fn unknown_command(name: &str) -> Fault {
        let typed = quoted(name);
        Fault::say(
            "unknown-command",
            match nearest(name) {
                Some(near) => format!("unknown command {typed}; did you mean `{near}`?"),
                None => format!("unknown command {typed}; `help` lists them all"),
            },
        )
    }
}

/// The rest of a line, read piece by piece.
#[derive(Debug, Clone, Copy, Default)]
pub struct Args<'a>(&'a str);

impl<'a> Args<'a> {
    /// Returns the next word.
    pub fn word(&mut self) -> Result<&'a str, Fault> {
        self.optional_word().ok_or(Fault::Usage)
    }

    /// Returns the next word, if there is one.
    pub fn optional_word(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    /// Returns the rest of the line with its spaces, after one separating space. Only spaces count
    /// as nothing.
    pub fn text(&mut self) -> Result<&'a str, Fault> {
        let text = std::mem::take(&mut self.0);
        if text.trim().is_empty() { Err(Fault::Usage) } else { Ok(text) }
    }

    /// Checks that nothing is left.
    pub fn end(&self) -> Result<(), Fault> {
        if self.0.trim().is_empty() { Ok(()) } else { Err(Fault::Usage) }
    }
}

/// Splits a line into a command's name and the rest.
pub fn split(line: &str) -> Option<(&str, Args<'_>)> {
    let line = line.trim_end_matches(['\r', '\n']);
    let mut args = Args(line);
    args.optional_word().map(|name| (name, args))
}

/// Returns the command of that name or alias. A slash before it is allowed, as in other programs.
pub fn find(typed: &str) -> Option<&'static TypedCommand> {
    let typed = typed.strip_prefix('/').unwrap_or(typed);
    let name = ALSO.iter().find(|(also, _)| *also == typed).map_or(typed, |(_, name)| name);
    ALL.iter().find(|command| command.name == name)
}

/// Returns the command that was probably meant: one that begins so, or differs by a letter or two.
fn nearest(typed: &str) -> Option<&'static str> {
    if typed.len() > MOST_MISTYPED {
        return None;
    }
    let typed = typed.trim_start_matches('/').to_lowercase();
    let length = typed.chars().count();
    let slips = |name: &str| match length >= 2 && name.starts_with(&typed) {
        true => usize::from(name.len() > typed.len()),
        false => osa_distance(&typed, name),
    };
    let all = ALL.iter().map(|command| (slips(command.name), command.name));
    let (slips, name) = all.min_by_key(|(slips, _)| *slips)?;
    (slips <= length / 3).then_some(name)
}

/// Runs a line; an empty line returns `None`.
pub async fn obey(line: &str, seat: &Seat<'_>) -> Option<Obeyed> {
    let (name, args) = split(line)?;
    let command = find(name);
    let outcome = match command {
        // That a command exists is no secret, but the missing login is the more useful error.
        _ if !is_allowed(command, seat) => Err(Fault::not_logged_in()),
        None => Err(Fault::unknown_command(name)),
        Some(command) => (command.run)(seat, args).await,
    };
    Some(Obeyed { command: command.map(|command| command.name), id: None, outcome })
}

fn is_allowed(command: Option<&TypedCommand>, seat: &Seat<'_>) -> bool {
    command.is_some_and(|command| command.when == When::Always) || seat.client.me().is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_argument_runs_to_the_end_of_the_line_spaces_kept() {
        let (name, mut args) = split("message bob  two  spaces \n").unwrap();

        assert_eq!(name, "message");
        assert_eq!(args.word(), Ok("bob"));
        assert_eq!(args.text(), Ok(" two  spaces "));
    }

    #[test]
    fn a_missing_argument_asks_for_the_usage() {
        for line in ["message", "message ", "message bob", "message bob ", "message bob   "] {
            let (_, mut args) = split(line).unwrap();
            assert_eq!(args.word().and_then(|_| args.text()), Err(Fault::Usage), "{line:?}");
        }
    }

    #[test]
    fn an_extra_argument_asks_for_the_usage() {
        let (_, args) = split("whoelse now").unwrap();
        assert_eq!(args.end(), Err(Fault::Usage));
        let (_, args) = split("whoelse  ").unwrap();
        assert_eq!(args.end(), Ok(()));
    }

    #[test]
    fn an_empty_line_is_no_command() {
        for line in ["", " ", "\n", "\t \r\n"] {
            assert!(split(line).is_none(), "{line:?}");
        }
    }

    #[test]
    fn every_command_is_found_by_its_name_and_its_usage_begins_with_it() {
        for command in ALL {
            assert_eq!(find(command.name).unwrap().usage, command.usage);
            assert_eq!(command.usage.split(' ').next(), Some(command.name));
            assert!(!command.help.is_empty() && !command.help.contains('\n'));
        }
        assert!(find("nonsense").is_none());
    }

    #[test]
    fn names_are_of_the_own_domain_unless_they_say_otherwise() {
        let of = |typed| address(typed, "a.example").map(|jid| jid.to_string());

        assert_eq!(of("bob"), Ok("bob@a.example".to_owned()));
        assert_eq!(of("Bob"), Ok("bob@a.example".to_owned()));
        assert_eq!(of("bob@other.example"), Ok("bob@other.example".to_owned()));
        for nonsense in ["@", "bob@", "@a.example", "a/b", "bob@a.example/x"] {
            assert!(matches!(of(nonsense), Err(Fault::Say { .. })), "{nonsense}");
        }
    }
}
