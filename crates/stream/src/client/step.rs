//! The steps of the connecting machine: what it tells its driver.

use crate::features::Features;
use crate::pump::Opened;
use crate::sasl::Refusal;
use crate::scram::ScramError;
use crate::sm;
use std::fmt;
use whoelse_xmpp::{FullJid, Stanza, StanzaError, StreamError};

/// An event of a stream, or a question to the driver.
#[derive(Debug)]
pub enum Step {
    /// The server is ready for TLS. Do the handshake, and answer with
    /// [`Machine::tls_started`](super::Machine::tls_started).
    StartTls,
    /// The channel is ready: log in, ask whether a name is known, or register.
    Ready(Features),
    /// A login that was to begin no session has succeeded. End the stream.
    Proved,
    /// The server refuses the login. Unless it closes the stream, another login may be tried.
    AuthFailed(Refusal),
    /// The server's answer about a name; the stream is ready again.
    Probed(Probe),
    /// Whether the account was made; the stream is ready again.
    Registered(Result<(), StanzaError>),
    /// The server refuses the resource. Ask for another with
    /// [`Machine::bind`](super::Machine::bind).
    BindRefused(StanzaError),
    /// The session is gone, and a new one is being bound. The server had handled this many of our
    /// stanzas, if it still knows.
    NotResumed {
        /// The count.
        h: Option<u32>,
    },
    /// The session is open.
    Open(Opening),
    /// A stanza. It counts for stream management once the session is open.
    Stanza(Stanza),
    /// An element of stream management.
    Sm(sm::Element),
    /// Another element of the stream.
    Element(Stanza),
    /// The server has closed the stream.
    Closed,
    /// An error ended the stream: the server's, or ours about what it sent.
    Error(StreamError),
    /// We ended the stream, because going on would be unsafe or make no sense.
    GaveUp(Reason),
}

impl From<Opened> for Step {
    fn from(opened: Opened) -> Step {
        match opened {
            Opened::Stanza(stanza) => Step::Stanza(stanza),
            Opened::Sm(element) => Step::Sm(element),
            Opened::Element(element) => Step::Element(element),
        }
    }
}

/// How a session was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// It is new.
    Bound {
        /// Its full address.
        jid: FullJid,
        /// What stream management grants; `None` if stanzas are not counted. Both counters start
        /// now.
        sm: Option<sm::Enabled>,
    },
    /// It was resumed.
    Resumed {
        /// How many of our stanzas the server has handled; the others are to be sent again.
        h: u32,
    },
}

/// The session to resume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumption {
    /// The id that the server gave it.
    pub previd: String,
    /// How many of its stanzas we have handled.
    pub h: u32,
}

/// A server's answer to a registration with a name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// The account exists.
    Known,
    /// The account does not exist, and could be made.
    Free,
    /// The server does not say.
    Refused(StanzaError),
}

/// Why we ended a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The server offers no TLS, or takes its offer back.
    NoTls,
    /// The server does not prove that it knows our password, or an attacker sits in between.
    Scram(ScramError),
    /// The server says that the login succeeded, although it cannot have at this point.
    Unproved,
    /// The server offers no resource binding.
    NoBinding,
    /// The server sent something that is not allowed at this point.
    Unexpected,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NoTls => f.write_str("the server offers no encryption"),
            Reason::Scram(error @ ScramError::Downgrade) => {
                write!(f, "the login is not safe here: {error}")
            }
            Reason::Scram(error) => write!(f, "the server did not prove who it is: {error}"),
            Reason::Unproved => f.write_str("the server did not prove who it is"),
            Reason::NoBinding => f.write_str("the server offers no session"),
            Reason::Unexpected => f.write_str("the server said something out of place"),
        }
    }
}

impl std::error::Error for Reason {}

/// Why a request was not even sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The stream is not at a point at which it can be sent.
    NotReady,
    /// The channel is not trusted with a password, see
    /// [`Machine::trust_channel`](super::Machine::trust_channel).
    Untrusted,
    /// The server offers no way to log in that we speak.
    NoMechanism,
    /// The server's offer contradicts itself in a way that only an attacker in between would cause
    /// (XEP-0440, 3).
    Downgrade,
    /// The server offers only mechanisms that send the password, and has offered better before
    /// (XEP-0474, 6).
    OnlyPlain,
    /// The name is malformed.
    BadName,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Denied::NotReady => "the connection is not ready for that",
            Denied::Untrusted => "the server's certificate is not trusted with a password",
            Denied::NoMechanism => "the server offers no way to log in that we know",
            Denied::Downgrade => "somebody between us and the server weakens the login",
            Denied::OnlyPlain => {
                "the server asks for the password itself, which it never did before; perhaps \
                 somebody is between us and the server"
            }
            Denied::BadName => "that is no name",
        })
    }
}

impl std::error::Error for Denied {}
