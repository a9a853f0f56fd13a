//! RFC 6120, 4.9, for a client: which stream errors end a session for good, and which are worth
//! another attempt.

use whoelse_xmpp::{BareJid, StreamCondition, StreamError, ns};

use crate::error::{ConnectError, LoginError};
use crate::events::Ending;

/// What the end of a stream means for the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// The session is over; only the user may log in again.
    Over(Ending),
    /// The domain has this name now; connect again under it.
    Renamed(String),
    /// The server shuts down, and perhaps comes back.
    ShuttingDown,
    /// Connect again.
    TryAgain,
}

/// What a stream error means for the session.
pub(crate) fn of(error: &StreamError) -> StreamEnd {
    let words = || error.text.clone();
    match error.condition {
        StreamCondition::PolicyViolation if error.app == Some(("idle", ns::WHOELSE_ERRORS)) => {
            StreamEnd::Over(Ending::Idle(words()))
        }
        StreamCondition::Reset if error.app == Some(("password-changed", ns::WHOELSE_ERRORS)) => {
            StreamEnd::Over(Ending::NewPassword)
        }
        StreamCondition::Reset if error.app == Some(("device-revoked", ns::WHOELSE_ERRORS)) => {
            StreamEnd::Over(Ending::Revoked)
        }
        StreamCondition::Conflict => StreamEnd::Over(Ending::Replaced),
        StreamCondition::SystemShutdown => StreamEnd::ShuttingDown,
        StreamCondition::HostGone if renamed(error).is_some() => {
            StreamEnd::Renamed(renamed(error).unwrap_or_default())
        }
        // Without the new name, reconnecting is not possible.
        StreamCondition::PolicyViolation
        | StreamCondition::NotAuthorized
        | StreamCondition::HostGone => {
            let said = words().unwrap_or_else(|| "the server ended the session".to_owned());
            StreamEnd::Over(Ending::Server(said))
        }
        _ => StreamEnd::TryAgain,
    }
}

/// Returns the domain's new name, if the server gives a valid one.
pub(crate) fn renamed(error: &StreamError) -> Option<String> {
    let name = BareJid::new(None, error.renamed.as_deref()?).ok()?;
    Some(name.domain().to_owned())
}

/// Returns what a failed login means for a session that reconnects; `None`: try again.
pub(crate) fn of_login(fault: LoginError) -> Option<Ending> {
    let said = |words: &str| Some(Ending::Refused(words.to_owned()));
    match fault {
        LoginError::Connect(fault) if fault.is_temporary() => None,
        // Said before the server is authenticated, so it means no more than no answer.
        LoginError::Connect(ConnectError::Renamed { .. }) => None,
        LoginError::Connect(fault) => Some(Ending::Untrusted(fault)),
        LoginError::WrongPassword { text: Some(text) } | LoginError::Refused { text } => {
            Some(Ending::Refused(text))
        }
        LoginError::FormerPassword { .. } => Some(Ending::NewPassword),
        LoginError::TokenRefused { text: Some(text) } => Some(Ending::Refused(text)),
        LoginError::TokenRefused { text: None } | LoginError::NotRemembered => {
            said("this login is not remembered any more")
        }
        LoginError::WrongPassword { text: None } => said("wrong password"),
        LoginError::AlreadyLoggedIn => Some(Ending::Replaced),
        LoginError::NotAName => said("the name is not known any more"),
        LoginError::OnlyPlain { .. } => {
            said("the server asks for the password itself, over a certificate that is only pinned")
        }
        LoginError::NotOverThisChannel | LoginError::NewPin { .. } => {
            said("the server's certificate is not trusted")
        }
        LoginError::NotNow { .. } | LoginError::LoggedInAlready => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(condition: StreamCondition, text: Option<&str>) -> StreamError {
        StreamError { text: text.map(str::to_owned), ..StreamError::new(condition) }
    }

    #[test]
    fn idleness_ends_a_session_in_the_servers_words() {
        let words = "logged out after 30 s without activity";
        let idle = StreamError {
            app: Some(("idle", ns::WHOELSE_ERRORS)),
            ..error(StreamCondition::PolicyViolation, Some(words))
        };

        assert_eq!(of(&idle), StreamEnd::Over(Ending::Idle(Some(words.to_owned()))));
    }

    #[test]
    fn a_session_of_an_old_password_does_not_come_back_by_itself() {
        let changed = error(StreamCondition::Reset, None);
        let changed = changed.with_app("password-changed", ns::WHOELSE_ERRORS);

        assert_eq!(of(&changed), StreamEnd::Over(Ending::NewPassword));
    }

    #[test]
    fn a_device_that_was_logged_out_does_not_come_back_by_itself() {
        let revoked = error(StreamCondition::Reset, None);
        let revoked = revoked.with_app("device-revoked", ns::WHOELSE_ERRORS);

        assert_eq!(of(&revoked), StreamEnd::Over(Ending::Revoked));
    }

    #[test]
    fn a_domain_that_has_another_name_is_sought_under_it_if_it_can_be_one() {
        let to = "chat.example".to_owned();
        assert_eq!(of(&StreamError::renamed("Chat.example")), StreamEnd::Renamed(to));
        for nonsense in ["", "a b", "bob@chat.example", "chat.example/x"] {
            let end = of(&StreamError::renamed(nonsense));
            assert!(matches!(end, StreamEnd::Over(Ending::Server(_))), "{nonsense}");
        }
        let elsewhere = ConnectError::Renamed { domain: "chat.example".to_owned() };
        assert_eq!(of_login(LoginError::Connect(elsewhere)), None);
    }

    #[test]
    fn a_domain_that_has_another_name_is_not_asked_for_again() {
        let words = "this server is now chat.example";
        let gone = error(StreamCondition::HostGone, Some(words));

        assert_eq!(of(&gone), StreamEnd::Over(Ending::Server(words.to_owned())));
    }

    #[test]
    fn a_session_that_was_replaced_does_not_fight_back() {
        assert_eq!(of(&error(StreamCondition::Conflict, None)), StreamEnd::Over(Ending::Replaced));
    }

    #[test]
    fn a_server_that_goes_down_is_awaited() {
        assert_eq!(of(&error(StreamCondition::SystemShutdown, None)), StreamEnd::ShuttingDown);
        assert_eq!(of(&error(StreamCondition::Reset, None)), StreamEnd::TryAgain);
        assert_eq!(of(&error(StreamCondition::ConnectionTimeout, None)), StreamEnd::TryAgain);
    }

    #[test]
    fn a_session_that_may_not_come_back_ends() {
        let refused = LoginError::Refused { text: "blocked for 60 s".to_owned() };
        assert_eq!(of_login(refused), Some(Ending::Refused("blocked for 60 s".to_owned())));
        assert!(of_login(LoginError::WrongPassword { text: None }).is_some());
        assert!(of_login(LoginError::Connect(ConnectError::NoEncryption)).is_some());
    }

    #[test]
    fn a_server_that_cannot_be_reached_is_tried_again() {
        assert_eq!(of_login(LoginError::Connect(ConnectError::Ended)), None);
        let words = "too many connections".to_owned();
        assert_eq!(of_login(LoginError::Connect(ConnectError::Server(words))), None);
    }
}
