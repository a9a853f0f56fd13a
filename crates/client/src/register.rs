//! XEP-0077 for a client: whether a name is free, and making an account.
//!
//! A registration with only the name asks whether it is taken: `conflict` means taken,
//! `not-acceptable` means free. A server with closed registration does not tell.

use whoelse_xmpp::{Condition, StanzaError};

use crate::error::RegisterError;

/// What is known about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// The account exists.
    Known,
    /// The name is free and can be registered.
    Free,
    /// The server has closed registration, so it does not tell.
    Closed,
}

/// Returns what the refusal of a registration with only the name means.
pub(crate) fn probed(error: &StanzaError) -> Result<Probe, RegisterError> {
    match error.condition {
        Condition::Conflict => Ok(Probe::Known),
        Condition::NotAcceptable => Ok(Probe::Free),
        Condition::NotAllowed | Condition::ServiceUnavailable | Condition::Forbidden => {
            Ok(Probe::Closed)
        }
        Condition::JidMalformed | Condition::BadRequest => Err(RegisterError::NotAName),
        _ => Err(refused(error)),
    }
}

/// Returns what the refusal of a registration means.
pub(crate) fn refused(error: &StanzaError) -> RegisterError {
    match error.condition {
        Condition::Conflict => RegisterError::Taken,
        Condition::JidMalformed => RegisterError::NotAName,
        other => RegisterError::Refused(
            error.text.clone().unwrap_or_else(|| format!("the server refused: {}", other.name())),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_whether_a_name_is_taken() {
        let of = |condition| probed(&StanzaError::new(condition));

        assert_eq!(of(Condition::Conflict), Ok(Probe::Known));
        assert_eq!(of(Condition::NotAcceptable), Ok(Probe::Free));
        assert_eq!(of(Condition::NotAllowed), Ok(Probe::Closed));
        assert_eq!(of(Condition::JidMalformed), Err(RegisterError::NotAName));
        assert!(matches!(of(Condition::ResourceConstraint), Err(RegisterError::Refused(_))));
    }

    #[test]
    fn a_refused_registration_says_why() {
        let error = StanzaError::new(Condition::ResourceConstraint).with_text("try in 5 s");

        assert_eq!(refused(&error), RegisterError::Refused("try in 5 s".to_owned()));
        assert_eq!(refused(&StanzaError::new(Condition::Conflict)), RegisterError::Taken);
    }
}
