//! What the tasks around the actor leave for it when they have done, or seen, something.

use iroh::endpoint::Connection;
use whoelse_xmpp::{BareJid, FullJid};

use crate::endpoint::Net;
use crate::events::{Closing, Path};
use crate::line::Unconfirmed;

/// What a task leaves when it has done, or seen, something.
#[derive(Debug)]
pub(crate) enum Note {
    /// Whether any device of somebody can do it, as far as is known.
    Able { whom: BareJid, able: bool },
    /// This device is on the network, or cannot be.
    Here(Result<Net, String>),
    /// A device did not agree to what it was asked, or did not answer.
    Unanswered { of: FullJid, sid: String },
    /// The other end was dialled.
    Dialled { wanted: Wanted, connection: Option<Connection> },
    /// A line has something to tell.
    Line { id: u64, news: News },
    /// Whom the account has blocked; nothing if that could not be heard.
    Blocklist(Option<Vec<BareJid>>),
}

/// A line that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub(crate) whom: BareJid,
    pub(crate) sid: String,
    /// Both ends have said where they are, so there may be a direct way.
    pub(crate) direct: bool,
}

/// What a line has to tell.
#[derive(Debug)]
pub(crate) enum News {
    /// The other end has said who it is.
    Greeted,
    /// It takes this way.
    Takes(Path),
    /// They wrote.
    Message(String),
    /// A message of mine is on its way.
    Sent(String),
    /// They have a message of mine.
    Arrived(String),
    /// They confirm nothing.
    Silent,
    /// It has ended; of these messages nobody knows whether they arrived.
    Ended { why: Closing, unconfirmed: Vec<Unconfirmed> },
}
