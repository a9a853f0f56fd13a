//! Every error of this crate: why there is no connection, no login, no account, no answer, and why
//! something was not sent.
//!
//! What a server says stands in its own words. Which error is for good and which will pass is asked
//! of [`ConnectError`] alone.

use std::fmt;

use whoelse_xmpp::StanzaError;

use crate::pins::Fingerprint;
use crate::refusal::Refusal;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectError {
    /// Nobody listens there.
    Refused {
        /// Where.
        address: String,
    },
    /// There is no way there.
    Unreachable {
        /// Where.
        address: String,
        /// The system's words.
        why: String,
    },
    /// Somebody is there but does not answer.
    TimedOut {
        /// Where.
        address: String,
    },
    /// The domain says in its records that it has no server for clients.
    NotOffered {
        /// Which.
        domain: String,
    },
    /// The server says that its domain has another name. It has not shown who it is, so nothing
    /// follows from it by itself.
    Renamed {
        /// The name.
        domain: String,
    },
    /// The server does not offer TLS.
    NoEncryption,
    /// The TLS handshake failed.
    Handshake(String),
    /// The server is going down or has too much to do, in its own words.
    Busy(String),
    /// The server ended the stream for another reason, in its own words.
    Server(String),
    /// The connection ended without a word.
    Ended,
    /// Somebody else than a server of XMPP listens there, or TLS begins otherwise.
    Stranger {
        /// Where.
        address: String,
        /// Who.
        who: Stranger,
    },
    /// Nobody vouches for the certificate, and it is not pinned.
    Unknown {
        /// The certificate.
        fingerprint: Fingerprint,
        /// What is wrong with it.
        fault: String,
    },
    /// The certificate is not the one that was pinned.
    Changed {
        /// The certificate.
        fingerprint: Fingerprint,
        /// The one expected.
        pinned: Fingerprint,
    },
    /// The pins cannot be read or written.
    State(String),
}

impl ConnectError {
    /// Whether there is a server that has closed the connection, as it does when it is restarted or
    /// has too much to do: trying again soon can help.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, ConnectError::Busy(_) | ConnectError::Ended)
    }

    /// Whether trying again later can help.
    pub(crate) fn is_temporary(&self) -> bool {
        match self {
            ConnectError::Refused { .. }
            | ConnectError::Unreachable { .. }
            | ConnectError::TimedOut { .. }
            | ConnectError::Handshake(_)
            | ConnectError::Busy(_)
            | ConnectError::Server(_)
            // In a café, perhaps, whose network wants to be greeted first.
            | ConnectError::Stranger { .. }
            | ConnectError::Ended => true,
            ConnectError::NotOffered { .. }
            | ConnectError::Renamed { .. }
            | ConnectError::NoEncryption
            | ConnectError::Unknown { .. }
            | ConnectError::Changed { .. }
            | ConnectError::State(_) => false,
        }
    }
}

/// Somebody who does not speak what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// A web server.
    Http,
    /// A server of SSH.
    Ssh,
    /// One that greets with a line: of mail, or of files.
    Greeter,
    /// One that begins with TLS, where STARTTLS was expected.
    Tls,
    /// One of XMPP that does not begin with TLS, where that was expected.
    StartTls,
    /// Anybody else.
    Unknown,
}

/// Why nobody was logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginError {
    /// There is no connection, or none that is to be trusted.
    Connect(ConnectError),
    /// Name and password do not belong together. It may be tried again.
    WrongPassword {
        /// What the server says about it.
        text: Option<String>,
    },
    /// The server does not let this account in now; trying again at once is no use.
    Refused {
        /// Why, in the server's words.
        text: String,
    },
    /// Another session of this account is open, and there can be only one.
    AlreadyLoggedIn,
    /// The certificate is not trusted, and the server cannot prove over this channel that it
    /// knows the account. Nothing was sent.
    NotOverThisChannel,
    /// The certificate has changed, and the server proved over this very channel that it knows
    /// the account. If the new certificate is trusted now, the login can be repeated.
    NewPin {
        /// The new certificate.
        fingerprint: Fingerprint,
    },
    /// The server knows no way to log in but being told the password, and nothing but first sight
    /// speaks for its certificate. Nothing was sent; if the certificate is trusted now, the login
    /// can be repeated.
    OnlyPlain {
        /// The certificate.
        fingerprint: Fingerprint,
    },
    /// The name is not one an account can have.
    NotAName,
    /// This client is logged in.
    LoggedInAlready,
}

/// Why an account was not made, or a name not looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterError {
    /// There is no connection.
    Connect(ConnectError),
    /// Somebody else has the name.
    Taken,
    /// The certificate is not trusted; a password is never told over such a channel.
    Untrusted,
    /// The name is not one an account can have.
    NotAName,
    /// Anything else, in the server's words.
    Refused(String),
}

/// Why there is no answer, or not the one hoped for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// The one who was asked refused.
    Refused(StanzaError),
    /// No answer came in time.
    TimedOut,
    /// The connection broke before the answer came, so nobody knows whether it was done.
    ConnectionLost,
    /// There is no session to ask in.
    NotLoggedIn,
    /// It was not asked: it names somebody by a name that the domain has no more. Whoever makes it
    /// anew calls them by the new one.
    Renamed,
    /// Too many requests are waiting already.
    TooMany,
    /// The answer makes no sense.
    Unreadable,
}

/// Why a message was not even kept for sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// There is no session.
    NotLoggedIn,
    /// There is no connection, and as many lines wait for one as may.
    TooMany,
}

impl fmt::Display for NotSent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotSent::NotLoggedIn => "not logged in",
            NotSent::TooMany => "too many lines wait for the connection",
        })
    }
}

impl std::error::Error for NotSent {}

/// Why a message was not delivered into the server's hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The server, or the other side, refused it.
    Refused(Refusal),
    /// The connection broke before it was acknowledged, so nobody knows.
    ConnectionLost,
    /// It was not acknowledged in time.
    TimedOut,
    /// The server does not say what it has stored.
    NotCounted,
}

/// Why the password was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordError {
    /// What was said to be the present one is not.
    Wrong,
    /// The server did not do it; where the connection was lost, nobody knows.
    Request(RequestError),
}
