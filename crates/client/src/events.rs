//! Events of a session: everything that arrives without a request.

use std::time::SystemTime;

use whoelse_xmpp::{BareJid, FullJid};

use crate::error::ConnectError;
use crate::refusal::Refusal;
use crate::subscription::SubscriptionType;

/// One event. Texts and names are as their senders wrote them; the interface makes them safe for a
/// terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Logged in, for the first time or again. Messages that arrived while away follow.
    LoggedIn {
        /// The address of this session.
        me: FullJid,
    },
    /// A message arrived.
    Message(Message),
    /// Somebody's first device came online.
    CameOnline(BareJid),
    /// Somebody's last device went offline.
    WentOffline(BareJid),
    /// A message of mine is on its way, or kept until there is a connection. Reported only if
    /// [`Config::verdicts`](crate::Config::verdicts) is set. A verdict follows: acknowledged, not
    /// delivered, or unconfirmed.
    Sent {
        /// Its id.
        id: String,
        /// To whom it is going.
        to: BareJid,
    },
    /// The server has accepted a message of mine. Reported only if verdicts are on.
    Acknowledged {
        /// Its id.
        id: String,
        /// Its recipient.
        to: BareJid,
    },
    /// The session ended before the fate of a message of mine was known.
    Unconfirmed {
        /// Its id.
        id: String,
        /// Its recipient.
        to: BareJid,
    },
    /// The session ended before this was sent: there was no connection.
    NotSent {
        /// Its id.
        id: String,
        /// Its recipient.
        to: BareJid,
        /// The subscription stanza; `None` for a message.
        word: Option<SubscriptionType>,
    },
    /// A message could not be delivered.
    NotDelivered {
        /// Its id.
        id: String,
        /// Its recipient.
        to: BareJid,
        /// The reason.
        why: Refusal,
    },
    /// Somebody asks to see when I am online; repeated at every login until it is answered.
    Asks(BareJid),
    /// Somebody lets me see when they are online.
    Allowed(BareJid),
    /// Somebody does not let me see when they are online, or not any more.
    Denied(BareJid),
    /// The server says that it is shutting down; the connection goes with it.
    ShuttingDown,
    /// The connection broke; the session is trying to get it back.
    ConnectionLost,
    /// The connection is back and the session was resumed: nothing is lost or duplicated.
    Resumed,
    /// The connection is back in a new session; unacknowledged messages were sent again.
    Reconnected,
    /// The domain has another name, under which the session goes on; all addresses in it change. A
    /// new session follows.
    Renamed {
        /// The new name.
        domain: String,
    },
    /// A server that is not authenticated says that the domain has another name. Reported once
    /// while the session goes on reconnecting.
    SaidRenamed {
        /// The claimed name.
        domain: String,
    },
    /// The session has ended for good; a new login is needed.
    LoggedOut(Ending),
}

/// A message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who wrote it.
    pub from: BareJid,
    /// What they wrote.
    pub text: String,
    /// Its id in my archive, if my server keeps it there.
    pub id: Option<String>,
    /// When the server stored it, if it did.
    pub at: Option<SystemTime>,
    /// Whether it was a broadcast.
    pub broadcast: bool,
}

/// Why a session ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The user logged out.
    Asked,
    /// Idle for too long; the server's own words.
    Idle(Option<String>),
    /// The same account logged in elsewhere and took the place of this session.
    Replaced,
    /// Somebody has changed the password elsewhere, and so ended all other sessions.
    NewPassword,
    /// This device was logged out, by its owner elsewhere or by an administrator: its login is not
    /// remembered any more.
    Revoked,
    /// The server refused the login on reconnecting.
    Refused(String),
    /// The server ended it, in its own words.
    Server(String),
    /// The connection to the server is no longer to be trusted.
    Untrusted(ConnectError),
}
