//! Notes of other tasks for the actor, about what they have done or seen.

use iroh::endpoint::Connection;
use whoelse_xmpp::{BareJid, FullJid};

use crate::endpoint::Net;
use crate::events::{Closing, Path};
use crate::line::Unconfirmed;

/// A note.
#[derive(Debug)]
pub(crate) enum Note {
    /// Whether any device of somebody supports private chats, as far as is known.
    Able { whom: BareJid, able: bool },
    /// This device is on the network, or cannot be.
    Here(Result<Net, String>),
    /// A device refused a request, or did not answer.
    Unanswered { of: FullJid, sid: String },
    /// The other end was dialled.
    Dialled { wanted: Wanted, connection: Option<Connection> },
    /// An event of a line.
    Line { id: u64, news: News },
    /// Whom the account has blocked; `None` if the list could not be read.
    Blocklist(Option<Vec<BareJid>>),
}

/// A line to make.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub(crate) whom: BareJid,
    pub(crate) sid: String,
    /// Whether both ends have named addresses, so that there may be a direct path.
    pub(crate) direct: bool,
}

/// An event of a line.
#[derive(Debug)]
pub(crate) enum News {
    /// The peer has identified itself.
    Greeted,
    /// It takes this path.
    Takes(Path),
    /// A message arrived.
    Message(String),
    /// A message of mine was sent.
    Sent(String),
    /// The peer has shown a message of mine.
    Arrived(String),
    /// The peer confirms nothing.
    Silent,
    /// It has ended; it is unknown whether these messages arrived.
    Ended { why: Closing, unconfirmed: Vec<Unconfirmed> },
}
