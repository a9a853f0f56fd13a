//! RFC 6120, 8.3, for a client: the reason in a stanza error.
//!
//! For a local sender the server adds a condition of its own (`urn:whoelse:errors:0`,
//! docs/protocol.md); without one, the reason is unknown.

use whoelse_xmpp::{Condition, StanzaError, ns};

/// Why a person could not be reached, or a request was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// They have blocked me.
    BlockedYou,
    /// I have blocked them.
    BlockedByYou,
    /// There is no such user here.
    NoSuchUser,
    /// Their offline storage is full.
    MailboxFull,
    /// Their server cannot be reached.
    RemoteServer,
    /// They cannot be reached, and the server does not say why.
    Unreachable,
    /// I may not do that.
    NotAllowed(Option<String>),
    /// Anything else: the server's text, or the name of the condition.
    Other(String),
}

impl Refusal {
    /// Returns the meaning of an error.
    pub fn of(error: &StanzaError) -> Refusal {
        match error.app {
            Some(("blocked-you", ns::WHOELSE_ERRORS)) => return Refusal::BlockedYou,
            Some(("no-such-user", ns::WHOELSE_ERRORS)) => return Refusal::NoSuchUser,
            Some(("mailbox-full", ns::WHOELSE_ERRORS)) => return Refusal::MailboxFull,
            Some(("blocked", ns::BLOCKING_ERRORS)) => return Refusal::BlockedByYou,
            _ => {}
        }
        match error.condition {
            // With another text, the server has run out of something else, for instance disk
            // space.
            Condition::ResourceConstraint => match &error.text {
                Some(words) => Refusal::Other(words.clone()),
                None => Refusal::MailboxFull,
            },
            Condition::RemoteServerNotFound | Condition::RemoteServerTimeout => {
                Refusal::RemoteServer
            }
            Condition::ServiceUnavailable
            | Condition::RecipientUnavailable
            | Condition::ItemNotFound
            | Condition::Gone => Refusal::Unreachable,
            Condition::Forbidden | Condition::NotAllowed | Condition::NotAuthorized => {
                Refusal::NotAllowed(error.text.clone())
            }
            other => Refusal::Other(error.text.clone().unwrap_or_else(|| other.name().to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_conditions_say_why() {
        let refused = |name, ns| {
            Refusal::of(&StanzaError::new(Condition::ServiceUnavailable).with_app(name, ns))
        };

        assert_eq!(refused("blocked-you", ns::WHOELSE_ERRORS), Refusal::BlockedYou);
        assert_eq!(refused("no-such-user", ns::WHOELSE_ERRORS), Refusal::NoSuchUser);
        assert_eq!(refused("blocked", ns::BLOCKING_ERRORS), Refusal::BlockedByYou);
        assert_eq!(refused("blocked-you", "urn:somebody:else"), Refusal::Unreachable);
    }

    #[test]
    fn a_standard_condition_alone_says_what_it_can() {
        let of = |condition| Refusal::of(&StanzaError::new(condition));

        assert_eq!(of(Condition::ServiceUnavailable), Refusal::Unreachable);
        assert_eq!(of(Condition::ResourceConstraint), Refusal::MailboxFull);
        assert_eq!(of(Condition::RemoteServerNotFound), Refusal::RemoteServer);
        assert_eq!(of(Condition::Forbidden), Refusal::NotAllowed(None));
    }

    #[test]
    fn a_full_mailbox_is_told_apart_from_a_full_disk() {
        let full = StanzaError::new(Condition::ResourceConstraint);

        let mailbox = full.clone().with_text("full").with_app("mailbox-full", ns::WHOELSE_ERRORS);
        assert_eq!(Refusal::of(&mailbox), Refusal::MailboxFull);
        let disk = full.with_text("cannot store messages right now");
        let words = "cannot store messages right now".to_owned();
        assert_eq!(Refusal::of(&disk), Refusal::Other(words));
    }

    #[test]
    fn an_unexpected_error_is_told_in_the_servers_words() {
        let error = StanzaError::new(Condition::BadRequest).with_text("no such thing");

        assert_eq!(Refusal::of(&error), Refusal::Other("no such thing".to_owned()));
    }
}
