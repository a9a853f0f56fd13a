//! What can be typed: one file per command, each with its `COMMAND` (name, usage, help, function).
//!
//! A command sees the client library and a [`Seat`] to answer on; how lines come in and go out is
//! the face's business (`terminal/`). The help is made from [`ALL`].

mod block;
mod blocked;
mod broadcast;
mod help;
mod history;
mod login;
mod logout;
pub mod message;
mod private;
mod quit;
mod trust;
mod unblock;
mod who;
mod whosince;

use std::future::Future;
use std::pin::Pin;

use whoelse_client::{Client, RequestError};
use whoelse_xmpp::{BareJid, FullJid};

use crate::terminal::render;

/// Every command, in the order in which the help shows them.
pub const ALL: &[Command] = &[
    message::COMMAND,
    broadcast::COMMAND,
    who::COMMAND,
    whosince::COMMAND,
    block::COMMAND,
    unblock::COMMAND,
    blocked::COMMAND,
    history::COMMAND,
    login::COMMAND,
    logout::COMMAND,
    trust::COMMAND,
    help::COMMAND,
    quit::COMMAND,
];

/// One command.
pub struct Command {
    /// The first word of the line.
    pub name: &'static str,
    /// How the line looks.
    pub usage: &'static str,
    /// What it does, in one line.
    pub help: &'static str,
    /// Whether one has to be logged in.
    pub when: When,
    /// Does it.
    pub run: Run,
}

/// When a command can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Logged in or not.
    Always,
    /// Only when logged in.
    LoggedIn,
}

/// What a command's function looks like; each is an `async fn` behind a `Box::pin`.
pub type Run = for<'a> fn(&'a Seat<'a>, Args<'a>) -> Doing<'a>;

/// A command at work.
pub type Doing<'a> = Pin<Box<dyn Future<Output = Result<Then, Fault>> + 'a>>;

/// What is to happen after a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// The next line is read.
    Go,
    /// The login dialogue begins, for this name if one was given.
    Login(Option<String>),
    /// The program ends.
    Quit,
}

/// Why a command did nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It was not written as it should be; its usage is shown.
    Usage,
    /// This is why.
    Say(String),
}

/// What a command works with.
pub struct Seat<'a> {
    /// The session.
    pub client: &'a Client,
    /// Takes a line of the answer. The text is safe for a terminal already.
    pub say: &'a dyn Fn(String),
}

impl Seat<'_> {
    /// My own address.
    pub fn me(&self) -> Result<FullJid, Fault> {
        self.client.me().ok_or_else(|| Fault::Say("log in first".to_owned()))
    }

    /// The address of somebody else, from a name of the own domain or a whole address.
    pub fn somebody_else(&self, typed: &str, if_me: &str) -> Result<BareJid, Fault> {
        let me = self.me()?;
        let them = address(typed, me.domain())?;
        if them == me.to_bare() { Err(Fault::Say(if_me.to_owned())) } else { Ok(them) }
    }

    /// A person's name as it is shown.
    pub fn name(&self, who: &BareJid) -> String {
        render::name(who, self.client.domain())
    }
}

/// `bob` for somebody of the own domain, `bob@other.example` for somebody elsewhere.
pub fn address(typed: &str, domain: &str) -> Result<BareJid, Fault> {
    let parsed = match typed.contains('@') {
        true => BareJid::parse(typed),
        false => BareJid::new(Some(typed), domain),
    };
    match parsed {
        Ok(jid) if jid.local().is_some() => Ok(jid),
        _ => Err(Fault::Say(format!("'{}' is not a name", crate::terminal::text::line(typed)))),
    }
}

impl Fault {
    /// A request that failed, in words. `whom` is the person it was about.
    pub fn of(error: RequestError, whom: Option<&str>) -> Fault {
        Fault::Say(render::request_error(&error, whom))
    }
}

/// The rest of a line, taken piece by piece.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a>(&'a str);

impl<'a> Args<'a> {
    /// The next word.
    pub fn word(&mut self) -> Result<&'a str, Fault> {
        self.optional_word().ok_or(Fault::Usage)
    }

    /// The next word, if there is one.
    pub fn optional_word(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    /// Everything to the end of the line, spaces kept; one space after the last word separates.
    /// Nothing but spaces is nothing.
    pub fn text(&mut self) -> Result<&'a str, Fault> {
        let text = std::mem::take(&mut self.0);
        if text.trim().is_empty() { Err(Fault::Usage) } else { Ok(text) }
    }

    /// There must be nothing more.
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

/// The command of that name.
pub fn find(name: &str) -> Option<&'static Command> {
    ALL.iter().chain(private::COMMANDS).find(|command| command.name == name)
}

/// Does what a line says. Everything that goes wrong is one line of answer.
pub async fn obey(line: &str, seat: &Seat<'_>) -> Then {
    let Some((name, args)) = split(line) else { return Then::Go };
    // Whether a command exists is no secret, but first things first: log in.
    let command = find(name);
    let allowed_now = command.is_some_and(|command| command.when == When::Always);
    if !allowed_now && seat.client.me().is_none() {
        (seat.say)("log in first".to_owned());
        return Then::Go;
    }
    let Some(command) = command else {
        let name = crate::terminal::text::line(name);
        (seat.say)(format!("unknown command '{name}'; `help` lists them all"));
        return Then::Go;
    };
    match (command.run)(seat, args).await {
        Ok(then) => then,
        Err(fault) => {
            (seat.say)(match fault {
                Fault::Usage => format!("usage: {}", command.usage),
                Fault::Say(why) => why,
            });
            Then::Go
        }
    }
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
        for command in ALL.iter().chain(private::COMMANDS) {
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
            assert!(matches!(of(nonsense), Err(Fault::Say(_))), "{nonsense}");
        }
    }
}
