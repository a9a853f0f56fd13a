//! Every error of this crate: why there is no connection, no login, no account, no answer, and why
//! something was not sent.
//!
//! The server's messages are kept in its own words. [`ConnectError`] alone knows which errors are
//! permanent and which are temporary.

use std::fmt;

use whoelse_xmpp::StanzaError;

use crate::pins::Fingerprint;
use crate::refusal::Refusal;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectError {
    /// Nobody listens there.
    Refused {
        /// The address.
        address: String,
    },
    /// There is no route to the address.
    Unreachable {
        /// The address.
        address: String,
        /// The system's error.
        why: String,
    },
    /// The address accepts connections but does not answer.
    TimedOut {
        /// The address.
        address: String,
    },
    /// The domain's records say that it has no server for clients.
    NotOffered {
        /// The domain.
        domain: String,
    },
    /// The server says that its domain has another name. It is not authenticated, so nothing
    /// happens by itself.
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
    /// The connection ended without an error.
    Ended,
    /// The peer is no XMPP server, or begins TLS in another way.
    Stranger {
        /// The address.
        address: String,
        /// What it is.
        who: Stranger,
    },
    /// No authority vouches for the certificate, and it is not pinned.
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
        /// The pinned one.
        pinned: Fingerprint,
    },
    /// The pins cannot be read or written.
    State(String),
}

impl ConnectError {
    /// Returns whether a server has closed the connection, as it does when it restarts or is
    /// overloaded: trying again soon can help.
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
            // Perhaps a network with a captive portal.
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

/// A peer that does not speak what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// A web server.
    Http,
    /// A server of SSH.
    Ssh,
    /// A server that greets with a line, such as mail or FTP.
    Greeter,
    /// A server that begins with TLS, where STARTTLS was expected.
    Tls,
    /// An XMPP server that does not begin with TLS, where that was expected.
    StartTls,
    /// Anything else.
    Unknown,
}

/// Why a login failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginError {
    /// There is no connection, or none that is to be trusted.
    Connect(ConnectError),
    /// Name or password is wrong. It may be tried again.
    WrongPassword {
        /// The server's text about it.
        text: Option<String>,
    },
    /// It is a former password of this account. Another one may be tried.
    FormerPassword {
        /// The server's text about it, which says when the password was changed.
        text: Option<String>,
    },
    /// The login that is remembered on this computer is no good any more, and is forgotten. A
    /// password lets in.
    TokenRefused {
        /// The server's text about it.
        text: Option<String>,
    },
    /// No login of this name is remembered on this computer that could be used now. A password lets
    /// in.
    NotRemembered,
    /// The server refuses this account now; trying again at once does not help.
    Refused {
        /// Why, in the server's words.
        text: String,
    },
    /// The server begins no session of this account now: there are too many, or it has logged in too
    /// often. Trying again later can help.
    NotNow {
        /// Why, in the server's words.
        text: String,
    },
    /// Another session of this account is open, and there can be only one.
    AlreadyLoggedIn,
    /// The certificate is not trusted, and the server cannot prove over this channel that it knows
    /// the account. Nothing was sent.
    NotOverThisChannel,
    /// The certificate has changed, and the server proved over this very channel that it knows
    /// the account. If the new certificate is trusted now, the login can be repeated.
    NewPin {
        /// The new certificate.
        fingerprint: Fingerprint,
    },
    /// The server offers only PLAIN, and its certificate was only trusted on first use. Nothing
    /// was sent; if the certificate is accepted now, the login can be repeated.
    OnlyPlain {
        /// The certificate.
        fingerprint: Fingerprint,
    },
    /// No account can have this name.
    NotAName,
    /// This client is logged in.
    LoggedInAlready,
}

/// Why an account was not made, or a name not probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegisterError {
    /// There is no connection.
    Connect(ConnectError),
    /// Somebody else has the name.
    Taken,
    /// The certificate is not trusted, so the password was not sent.
    Untrusted,
    /// No account can have this name.
    NotAName,
    /// Anything else, in the server's words.
    Refused(String),
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// The addressee refused.
    Refused(StanzaError),
    /// No answer came in time.
    TimedOut,
    /// The connection broke before the answer came, so it is unknown whether it was done.
    ConnectionLost,
    /// There is no session.
    NotLoggedIn,
    /// It was not sent: its payload names somebody by the old name of the domain. The caller has
    /// to build it again with the new one.
    Renamed,
    /// Too many requests are waiting already.
    TooMany,
    /// The answer is not valid.
    Unreadable,
}

impl RequestError {
    /// Returns whether the addressee has answered.
    pub fn is_answer(&self) -> bool {
        match self {
            RequestError::Refused(_) | RequestError::Unreadable => true,
            RequestError::TimedOut
            | RequestError::ConnectionLost
            | RequestError::NotLoggedIn
            | RequestError::Renamed
            | RequestError::TooMany => false,
        }
    }
}

/// Why a message was not even queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotSent {
    /// There is no session.
    NotLoggedIn,
    /// There is no connection, and the queue of lines is full.
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

/// Why a message was not stored by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The server, or the other side, refused it.
    Refused(Refusal),
    /// The connection broke before it was acknowledged, so its fate is unknown.
    ConnectionLost,
    /// It was not acknowledged in time.
    TimedOut,
    /// The server does not support acknowledgements.
    NotCounted,
}

/// Why the password was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordError {
    /// The present password was wrong.
    Wrong,
    /// The server did not do it; if the connection was lost, that is unknown.
    Request(RequestError),
}
