//! The commands of private chats, which come with a later version: known, so that nobody wonders
//! about a typing mistake, and not listed, because they do nothing yet.

use super::{Command, Fault, When};

/// What each of them answers.
const NOT_YET: &str = "private chats are not available in this version";

pub const COMMANDS: &[Command] = &[
    not_yet("startprivate", "startprivate USER"),
    not_yet("accept", "accept USER"),
    not_yet("decline", "decline USER"),
    not_yet("private", "private USER TEXT"),
    not_yet("stopprivate", "stopprivate USER"),
];

const fn not_yet(name: &'static str, usage: &'static str) -> Command {
    Command {
        name,
        usage,
        help: NOT_YET,
        when: When::LoggedIn,
        run: |_, _| Box::pin(async { Err(Fault::say("not-implemented", NOT_YET)) }),
    }
}
