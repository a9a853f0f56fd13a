//! RFC 6120, 6 and 7: from a stream that waits for a login to an open session.

use std::time::Duration;

use tokio::time::timeout;
use whoelse_stream::client::{Denied, Opening, Step};
use whoelse_stream::sasl::Condition as SaslCondition;
use whoelse_stream::sm::Enabled;
use whoelse_stream::{Features, sasl::Refusal};
use whoelse_xmpp::{Condition, FullJid, StanzaError, StreamCondition, StreamError};

use crate::entry::{By, Entry};
use crate::error::{ConnectError, LoginError};
use crate::session::Granted;
use crate::wire::{CLOSE_WITHIN, Wire, no_connection};

/// How soon after a refusal the end of the stream is taken to be part of it.
const SAME_BREATH: Duration = Duration::from_millis(100);

/// A connection that has been logged in.
#[derive(Debug)]
pub(crate) struct Entered {
    pub(crate) wire: Wire,
    pub(crate) opened: Opened,
}

/// How the session opened.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A new session. `remembered` is how many stanzas of the old one the server had handled, if
    /// there was an old one and it still knows.
    New { me: FullJid, granted: Granted, remembered: Option<u32> },
    /// The old one was resumed; the server has handled `h` of our stanzas.
    Resumed { h: u32 },
}

/// A failed login, with the connection if another attempt is possible on it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) fault: LoginError,
    pub(crate) wire: Option<Wire>,
}

/// Logs in. Over a channel that is not trusted, only a mechanism that authenticates the server is
/// used, and the session is not used before the user has agreed.
pub(crate) async fn enter(mut wire: Wire, entry: &Entry) -> Result<Entered, Refused> {
    if wire.untrusted().is_some() && !wire.can_be_proved() {
        return Err(Refused { fault: LoginError::NotOverThisChannel, wire: None });
    }
    if let Err(denied) = wire.login(entry) {
        let fault = match (denied, &entry.by, wire.only_met()) {
            (Denied::Untrusted | Denied::NoMechanism, By::Token(_), _) => LoginError::NotRemembered,
            (Denied::Untrusted, By::Password(_), Some(fingerprint)) => {
                LoginError::OnlyPlain { fingerprint }
            }
            (denied, ..) => denied_login(denied),
        };
        return Err(Refused { fault, wire: Some(wire) });
    }
    let refused = match entry.by {
        By::Password(_) => refused_login,
        By::Token(_) => refused_token,
    };
    let entered = open(wire, refused).await?;
    match entered.wire.untrusted() {
        Some(fingerprint) if entered.wire.is_proved() => {
            entered.wire.close(CLOSE_WITHIN).await;
            Err(Refused { fault: LoginError::NewPin { fingerprint }, wire: None })
        }
        Some(_) => Err(Refused { fault: LoginError::NotOverThisChannel, wire: None }),
        None => Ok(entered),
    }
}

/// What a refusal means, and whether the stream has ended with it.
type OfRefusal = fn(Refusal, bool) -> LoginError;

/// Continues a login until the session is open.
pub(crate) async fn open(mut wire: Wire, refused: OfRefusal) -> Result<Entered, Refused> {
    let mut remembered = None;
    let fault = loop {
        match wire.step().await {
            Ok(Step::Open(Opening::Bound { jid, sm })) => {
                let granted = granted(sm, wire.features());
                let opened = Opened::New { me: jid, granted, remembered };
                return Ok(Entered { wire, opened });
            }
            Ok(Step::Open(Opening::Resumed { h })) => {
                return Ok(Entered { wire, opened: Opened::Resumed { h } });
            }
            Ok(Step::NotResumed { h }) => remembered = h,
            Ok(Step::AuthFailed(refusal)) => {
                // A server that allows no other attempt ends the stream right after the refusal.
                let end = timeout(SAME_BREATH, wire.step()).await;
                let ended = end.is_ok();
                let fault = match end {
                    Ok(Ok(Step::Error(error))) if is_crowded(&error) => not_now(error, refusal),
                    _ => refused(refusal, ended),
                };
                return Err(Refused { fault, wire: (!ended).then_some(wire) });
            }
            Ok(Step::BindRefused(error)) => break refused_bind(&error),
            // Under SASL2 this is how a login is refused for what is not about its credentials.
            Ok(Step::Error(error)) => break ended_login(error),
            // No stanza may arrive before the session is announced; it is ignored.
            Ok(Step::Stanza(_) | Step::Sm(_) | Step::Element(_)) => {}
            other => break LoginError::Connect(no_connection(other)),
        }
    };
    Err(Refused { fault, wire: None })
}

/// Another password may be tried unless the server has ended the stream.
pub(crate) fn refused_login(refusal: Refusal, ended: bool) -> LoginError {
    match (refusal.condition, refusal.text) {
        (SaslCondition::NotAuthorized, text) if !ended => LoginError::WrongPassword { text },
        (SaslCondition::CredentialsExpired, text) if !ended => LoginError::FormerPassword { text },
        (SaslCondition::NotAuthorized, None) => {
            LoginError::Refused { text: "wrong password".to_owned() }
        }
        (_, Some(text)) => LoginError::Refused { text },
        (other, None) => LoginError::Refused { text: other.to_string() },
    }
}

/// A token that is refused is no password: there is nothing that could be typed better. It is no good any
/// more, whether or not the stream goes on, unless the refusal is not about it.
fn refused_token(refusal: Refusal, ended: bool) -> LoginError {
    match refusal.condition {
        SaslCondition::TemporaryAuthFailure | SaslCondition::AccountDisabled => {
            refused_login(refusal, ended)
        }
        _ => LoginError::TokenRefused { text: refusal.text },
    }
}

/// Returns the fault of a login whose stream has ended with an error.
fn ended_login(error: StreamError) -> LoginError {
    match (error.condition, &error.text) {
        (StreamCondition::Conflict, _) => LoginError::AlreadyLoggedIn,
        (StreamCondition::PolicyViolation, Some(text)) => {
            LoginError::Refused { text: text.clone() }
        }
        (StreamCondition::ResourceConstraint, Some(text)) => {
            LoginError::NotNow { text: text.clone() }
        }
        _ => LoginError::Connect(no_connection(Ok(Step::Error(error)))),
    }
}

/// Whether the server has no room for a login right now, right or wrong: that may pass. In RFC 6120's
/// SASL the refusal before it says the same, but not how it is meant.
fn is_crowded(error: &StreamError) -> bool {
    error.condition == StreamCondition::ResourceConstraint
}

fn not_now(error: StreamError, refusal: Refusal) -> LoginError {
    let words = error.text.or(refusal.text);
    LoginError::NotNow { text: words.unwrap_or_else(|| refusal.condition.to_string()) }
}

fn refused_bind(error: &StanzaError) -> LoginError {
    let words =
        || error.text.clone().unwrap_or_else(|| format!("no session: {}", error.condition.name()));
    match error.condition {
        Condition::Conflict => LoginError::AlreadyLoggedIn,
        Condition::ResourceConstraint => LoginError::NotNow { text: words() },
        _ => LoginError::Refused { text: words() },
    }
}

fn denied_login(denied: Denied) -> LoginError {
    match denied {
        Denied::NotReady => LoginError::Connect(ConnectError::Ended),
        Denied::BadName => LoginError::NotAName,
        Denied::Untrusted | Denied::NoMechanism | Denied::Downgrade | Denied::OnlyPlain => {
            LoginError::Refused { text: denied.to_string() }
        }
    }
}

fn granted(counting: Option<Enabled>, offered: &Features) -> Granted {
    Granted {
        is_counted: counting.is_some(),
        resumption: counting.filter(|it| it.resume).and_then(|it| it.id),
        roster: offered.roster_versions,
        activity: offered.activity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_may_be_tried_again_and_a_block_may_not() {
        let wrong = Refusal::new(SaslCondition::NotAuthorized);
        let blocked =
            Refusal::new(SaslCondition::TemporaryAuthFailure).with_text("blocked for 60 s");

        let words = Some("the password was changed".to_owned());
        let changed = Refusal::new(SaslCondition::CredentialsExpired);
        let changed = changed.with_text("the password was changed");
        assert_eq!(refused_login(changed, false), LoginError::FormerPassword { text: words });
        let again = LoginError::WrongPassword { text: None };
        assert_eq!(refused_login(wrong.clone(), false), again);
        assert!(matches!(refused_login(wrong, true), LoginError::Refused { .. }));
        let text = "blocked for 60 s".to_owned();
        assert_eq!(refused_login(blocked, false), LoginError::Refused { text });
    }

    #[test]
    fn what_ends_the_stream_of_a_login_is_no_word_about_its_credentials() {
        let ended =
            |condition, text: &str| ended_login(StreamError::new(condition).with_text(text));
        let conflict = ended(StreamCondition::Conflict, "bob is already logged in");
        assert_eq!(conflict, LoginError::AlreadyLoggedIn);
        let blocked = LoginError::Refused { text: "blocked for 60 s".to_owned() };
        assert_eq!(ended(StreamCondition::PolicyViolation, "blocked for 60 s"), blocked);
        let away = ended(StreamCondition::InternalServerError, "try again later");
        let busy = ConnectError::Busy("try again later".to_owned());
        assert_eq!(away, LoginError::Connect(busy));
    }

    #[test]
    fn a_token_that_is_refused_is_told_from_a_password() {
        let of = |condition, ended| refused_token(Refusal::new(condition), ended);
        for condition in [
            SaslCondition::NotAuthorized,
            SaslCondition::CredentialsExpired,
            SaslCondition::InvalidMechanism,
        ] {
            for ended in [false, true] {
                assert_eq!(of(condition, ended), LoginError::TokenRefused { text: None });
            }
        }
        for condition in [SaslCondition::TemporaryAuthFailure, SaslCondition::AccountDisabled] {
            assert!(matches!(of(condition, false), LoginError::Refused { .. }), "it is kept");
        }
    }

    #[test]
    fn a_conflict_at_binding_is_another_session_and_what_is_too_much_now_may_pass() {
        let conflict = StanzaError::new(Condition::Conflict);
        assert_eq!(refused_bind(&conflict), LoginError::AlreadyLoggedIn);
        let text = || "this account has too many sessions".to_owned();
        let full = StanzaError::new(Condition::ResourceConstraint).with_text(text());
        assert_eq!(refused_bind(&full), LoginError::NotNow { text: text() });
        let full = StreamError::new(StreamCondition::ResourceConstraint).with_text(text());
        assert_eq!(ended_login(full), LoginError::NotNow { text: text() });
        let never = StanzaError::new(Condition::NotAllowed);
        assert!(matches!(refused_bind(&never), LoginError::Refused { .. }));
    }

    #[test]
    fn a_session_that_is_counted_but_not_resumable_is_not_resumed() {
        let enabled = |resume| Enabled { resume, id: Some("x".to_owned()), ..Enabled::default() };

        let session = granted(Some(enabled(false)), &Features::default());
        assert!(session.is_counted && session.resumption.is_none());
        assert_eq!(
            granted(Some(enabled(true)), &Features::default()).resumption.as_deref(),
            Some("x")
        );
        assert_eq!(granted(None, &Features::default()), Granted::default());
    }
}
