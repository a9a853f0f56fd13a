//! XEP-0077 from a client: whether a name is free, and making an account of it.
//!
//! A registration of the name alone asks whether it is taken: `conflict` means it is,
//! `not-acceptable` that it is free. With registration closed the server tells nothing.

use whoelse_xmpp::{Condition, StanzaError};

use crate::error::RegisterError;

/// What is known about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// There is such an account.
    Known,
    /// There is none, and it can be made.
    Free,
    /// The server makes no accounts for strangers, so it does not say.
    Closed,
}

/// What the refusal of a registration of the name alone says.
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

/// What the refusal of a registration says.
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
