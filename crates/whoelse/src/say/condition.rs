//! Reasons as one word for programs (docs/scripting.md).
//!
//! If the server gave a condition of RFC 6120 or of `urn:whoelse:errors:0`, it is used.

use whoelse_client::{ConnectError, Ending, LoginError, Refusal, RegisterError, RequestError};
use whoelse_p2p::{Closing, Failure, Refused};

/// Returns the word for a refused message.
pub fn of_refusal(why: &Refusal) -> &'static str {
    match why {
        Refusal::BlockedYou => "blocked-you",
        Refusal::BlockedByYou => "blocked",
        Refusal::NoSuchUser => "no-such-user",
        Refusal::MailboxFull => "mailbox-full",
        Refusal::RemoteServer => "remote-server-not-found",
        Refusal::Unreachable => "service-unavailable",
        Refusal::NotAllowed(_) => "not-allowed",
        Refusal::Other(_) => "undefined-condition",
    }
}

/// Returns the word for a refused request of private chats.
pub fn of_private(why: &Refused) -> &'static str {
    match why {
        Refused::NotBuilt => "not-built",
        Refused::NotLoggedIn => "not-logged-in",
        Refused::AlreadyOpen => "already-open",
        Refused::AlreadyAsked => "already-asked",
        Refused::CannotDoIt => "cannot-do-it",
        Refused::NoRequest => "no-request",
        Refused::NoneOpen => "none-open",
        Refused::Closing => "closing",
        Refused::TooMany => "too-many-waiting",
        Refused::NoDevice => "no-device",
        Refused::NothingToTrust => "nothing-to-trust",
        Refused::State(_) => "state",
    }
}

/// Returns the word for a private chat that did not open.
pub fn of_failure(why: &Failure) -> &'static str {
    match why {
        Failure::TimedOut => "timeout",
        Failure::GivenUp => "given-up",
        Failure::Gone => "gone",
        Failure::LoggedOut => "not-logged-in",
        Failure::Nonsense => "nonsense",
        Failure::NoWay => "no-way",
        Failure::NoCommonWay => "no-common-way",
        Failure::KeyChanged { .. } => "key-changed",
        Failure::NotTrusted => "not-trusted",
        Failure::Local(_) => "network",
    }
}

/// Returns the word for a private chat that has ended.
pub fn of_closing(why: Closing) -> &'static str {
    match why {
        Closing::ByMe => "asked",
        Closing::ByThem => "closed",
        Closing::Lost => "lost",
        Closing::Blocked => "blocked",
        Closing::Violation => "violation",
        Closing::Replaced => "replaced",
        Closing::OtherAccount => "other-account",
        Closing::Renamed => "renamed",
    }
}

/// Returns the word for a failed request.
pub fn of_request(why: &RequestError) -> &'static str {
    match why {
        RequestError::Refused(error) => match error.app {
            Some((name, _)) => name,
            None => error.condition.name(),
        },
        RequestError::TimedOut => "timeout",
        RequestError::ConnectionLost => "connection-lost",
        RequestError::NotLoggedIn => "not-logged-in",
        RequestError::Renamed => "renamed",
        RequestError::TooMany => "too-many-waiting",
        RequestError::Unreadable => "unreadable-answer",
    }
}

/// Returns the word for a failed login.
pub fn of_login(why: &LoginError) -> &'static str {
    match why {
        LoginError::Connect(why) => of_connect(why),
        LoginError::WrongPassword { .. } => "wrong-password",
        LoginError::FormerPassword { .. } => "password-changed",
        LoginError::TokenRefused { .. } | LoginError::NotRemembered => "not-remembered",
        LoginError::Refused { .. } => "refused",
        LoginError::NotNow { .. } => "resource-constraint",
        LoginError::AlreadyLoggedIn => "already-logged-in",
        LoginError::NotOverThisChannel
        | LoginError::NewPin { .. }
        | LoginError::OnlyPlain { .. } => "untrusted",
        LoginError::NotAName => "bad-name",
        LoginError::LoggedInAlready => "logged-in",
    }
}

/// Returns the word for an account that was not made.
pub fn of_register(why: &RegisterError) -> &'static str {
    match why {
        RegisterError::Connect(why) => of_connect(why),
        RegisterError::Taken => "conflict",
        RegisterError::Untrusted => "untrusted",
        RegisterError::NotAName => "bad-name",
        RegisterError::Refused(_) => "refused",
    }
}

/// Returns the word for a failed connection.
pub fn of_connect(why: &ConnectError) -> &'static str {
    match why {
        ConnectError::Refused { .. }
        | ConnectError::Unreachable { .. }
        | ConnectError::NotOffered { .. } => "no-server",
        ConnectError::TimedOut { .. } => "timeout",
        ConnectError::Renamed { .. } => "renamed",
        ConnectError::NoEncryption => "no-encryption",
        ConnectError::Handshake(_) => "handshake",
        ConnectError::Busy(_) | ConnectError::Server(_) => "refused",
        ConnectError::Ended => "connection-lost",
        ConnectError::Stranger { .. } => "not-xmpp",
        ConnectError::Unknown { .. } | ConnectError::Changed { .. } => "untrusted",
        ConnectError::State(_) => "state",
    }
}

/// Returns the word for a session that ended.
pub fn of_ending(why: &Ending) -> &'static str {
    match why {
        Ending::Asked => "asked",
        Ending::Idle(_) => "idle",
        Ending::Replaced => "replaced",
        Ending::NewPassword => "password",
        Ending::Revoked => "revoked",
        Ending::Refused(_) => "refused",
        Ending::Server(_) => "server",
        Ending::Untrusted(_) => "untrusted",
    }
}
