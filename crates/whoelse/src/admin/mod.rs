//! All commands except chatting: running a server, and administering one that runs.
//!
//! A command prints its result on the standard output. If it fails it prints the reason on the
//! standard error and ends with status 1. `socket` finds the server, and `whoelse_client::admin`
//! has the requests.

pub mod announce;
pub mod ask;
pub mod backup;
pub mod clock;
pub mod config;
pub mod domain;
pub mod log;
pub mod reload;
pub mod rights;
pub mod room;
pub mod send;
pub mod server;
pub mod sessions;
mod show_room;
pub mod socket;
pub mod store;
mod systemd;
mod table;
pub mod user;
mod users;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use whoelse_client::RequestError;
use whoelse_xmpp::{Condition, in_words};

use crate::say::{text, words};
use crate::{commands, output};

/// The exit status after Ctrl-C, as shells report it.
const INTERRUPTED: u8 = 130;

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// One reason.
    Say(String),
    /// Several reasons.
    Many(Vec<String>),
    /// Ctrl-C.
    Interrupted,
}

impl Fault {
    fn say(why: &str) -> Fault {
        Fault::Say(why.to_owned())
    }
}

impl From<RequestError> for Fault {
    fn from(why: RequestError) -> Fault {
        Fault::Say(match &why {
            // The server's own sentence needs no words around it.
            RequestError::Refused(error) if error.text.is_some() => {
                error.text.clone().unwrap_or_default()
            }
            RequestError::Refused(error) if error.condition == Condition::InternalServerError => {
                "the server could not do that; its log says why".to_owned()
            }
            why => words::request_error(why, None),
        })
    }
}

impl From<commands::Fault> for Fault {
    fn from(why: commands::Fault) -> Fault {
        Fault::Say(match why {
            commands::Fault::Say { words, .. } => words,
            // Here clap reports errors of usage.
            commands::Fault::Usage => "`whoelse --help` tells how".to_owned(),
        })
    }
}

/// Runs a command that talks to a server.
pub fn run(command: impl Future<Output = Result<(), Fault>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(why) => return status(Err(Fault::Say(format!("cannot start: {}", in_words(&why))))),
    };
    let done = runtime.block_on(async {
        // Handled here and not by the system, since a terminal may have to be restored.
        let mut interrupted = signal(SignalKind::interrupt())
            .map_err(|why| Fault::Say(format!("cannot wait for Ctrl-C: {}", in_words(&why))))?;
        tokio::select! {
            done = command => done,
            _ = interrupted.recv() => Err(Fault::Interrupted),
        }
    });
    // A thread may still be blocked on reading a password.
    runtime.shutdown_background();
    status(done)
}

/// Reports the error, if there is one, and returns the exit status.
pub fn status(done: Result<(), Fault>) -> ExitCode {
    let reasons = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Fault::Interrupted) => {
            // The shell's prompt begins on a line of its own.
            let _ = writeln!(io::stderr());
            return ExitCode::from(INTERRUPTED);
        }
        Err(Fault::Say(why)) => vec![why],
        Err(Fault::Many(reasons)) => reasons,
    };
    for why in reasons {
        // Most of the text comes from elsewhere.
        output::complain(text::line(&why));
    }
    ExitCode::FAILURE
}

/// Prints a result that is already safe for a terminal.
fn say(result: impl fmt::Display) -> Result<(), Fault> {
    output::result(result).map_err(Fault::Say)
}

#[cfg(test)]
mod tests {
    use super::*;
    use whoelse_xmpp::StanzaError;

    #[test]
    fn the_servers_sentence_is_the_reason() {
        let error = StanzaError::new(Condition::Conflict).with_text("bob is taken");

        assert_eq!(Fault::from(RequestError::Refused(error)), Fault::say("bob is taken"));
    }

    #[test]
    fn a_server_without_a_sentence_gets_one() {
        let of = |why| match Fault::from(why) {
            Fault::Say(why) => why,
            other => format!("{other:?}"),
        };

        let bare = RequestError::Refused(StanzaError::new(Condition::InternalServerError));
        assert_eq!(of(bare), "the server could not do that; its log says why");
        let bare = RequestError::Refused(StanzaError::new(Condition::ItemNotFound));
        assert_eq!(of(bare), "the server does not offer that");
        assert_eq!(of(RequestError::TimedOut), "the server did not answer in time");
    }
}
