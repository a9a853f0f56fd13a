//! What a session tells its face: everything that arrives without having been asked for.

use std::time::SystemTime;

use whoelse_xmpp::{BareJid, FullJid};

use crate::error::ConnectError;
use crate::refusal::Refusal;
use crate::subscription::SubscriptionType;

/// One thing that happened. Texts and names are as their senders wrote them; making them safe for
/// a terminal is the face's work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Logged in, for the first time or again. What arrived while away follows.
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
    /// A message of mine is on its way, or kept until there is a connection. Told only if
    /// [`Config::verdicts`](crate::Config::verdicts) asks for it; a verdict follows: acknowledged,
    /// not delivered, or unconfirmed.
    Sent {
        /// Its id.
        id: String,
        /// To whom it is going.
        to: BareJid,
    },
    /// The server has taken a message of mine, and did not refuse it. Told only if it is asked for.
    Acknowledged {
        /// Its id.
        id: String,
        /// To whom it is going.
        to: BareJid,
    },
    /// The session ended before the server said what became of a message of mine.
    Unconfirmed {
        /// Its id.
        id: String,
        /// To whom it was going.
        to: BareJid,
    },
    /// The session ended before this had left: there was no connection to send it over.
    NotSent {
        /// Its id.
        id: String,
        /// To whom it was to go.
        to: BareJid,
        /// What it was; a message, if nothing.
        word: Option<SubscriptionType>,
    },
    /// A message could not be delivered.
    NotDelivered {
        /// Its id.
        id: String,
        /// To whom it was going.
        to: BareJid,
        /// Why it came back.
        why: Refusal,
    },
    /// Somebody asks to see when I am online; told again at every login until it is answered.
    Asks(BareJid),
    /// Somebody lets me see when they are online.
    Allowed(BareJid),
    /// Somebody does not let me see when they are online, or not any more.
    Denied(BareJid),
    /// The server says that it is shutting down; the connection goes with it.
    ShuttingDown,
    /// The connection broke; the session is trying to get it back.
    ConnectionLost,
    /// The connection is back, and the session is where it was: nothing lost, nothing twice.
    Resumed,
    /// The connection is back in a new session; unacknowledged messages were sent again.
    Reconnected,
    /// The domain has another name, under which the session goes on; everybody here is called by
    /// it. A new session follows.
    Renamed {
        /// The new name.
        domain: String,
    },
    /// Whoever answers in the server's place says, before anything is proved, that the domain has
    /// another name. Told once while the session is trying to come back, which it goes on doing.
    SaidRenamed {
        /// The name that was said.
        domain: String,
    },
    /// The session has ended, and is not taken up again without a new login.
    LoggedOut(Ending),
}

/// A message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who wrote it.
    pub from: BareJid,
    /// What they wrote.
    pub text: String,
    /// Its number in my archive, if my server keeps it there.
    pub id: Option<String>,
    /// When, if the server kept it for a while.
    pub at: Option<SystemTime>,
    /// Whether it went to everybody online.
    pub broadcast: bool,
}

/// Why a session ended for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The user logged out.
    Asked,
    /// Too long without activity; the server's own words.
    Idle(Option<String>),
    /// The same account logged in elsewhere and took the place of this session.
    Replaced,
    /// The server refused the login when the connection came back.
    Refused(String),
    /// The server ended it, in its own words.
    Server(String),
    /// The way to the server is not to be trusted any more.
    Untrusted(ConnectError),
}
