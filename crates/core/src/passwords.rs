//! Password length (behaviour.md, Passwords): how long a new password has to be.
//!
//! An existing password is never judged: a user with a short one can still log in with it.

use std::fmt::Display;

use whoelse_stream::secret::Password;
use whoelse_xmpp::{Condition, StanzaError};

use crate::node::Node;
use crate::settings::ShortPasswords;

impl Node {
    /// Logs that a user has chosen a short password, if it is short: `short` says what is wrong
    /// with it, as [`judge_password`](Node::judge_password) returns it.
    pub fn warn_of_short_password(&self, account: &dyn Display, short: Option<&str>) {
        if let Some(why) = short {
            tracing::warn!(%account, why, "password_short");
        }
    }

    /// Judges a new password by its length. With a configuration, one that is too short is refused
    /// (`not-acceptable`). In the quick start it is accepted, and the result says what is wrong
    /// with it, for the user who chose it.
    pub fn judge_password(&self, password: &Password) -> Result<Option<String>, StanzaError> {
        let settings = self.settings();
        let least = settings.limits.password_min;
        if password.length() >= least {
            return Ok(None);
        }
        let why = format!("the password is shorter than {least} characters");
        match settings.short_passwords {
            ShortPasswords::Warned => Ok(Some(why)),
            ShortPasswords::Refused => Err(StanzaError::new(Condition::NotAcceptable)
                .with_text(format!("{why}; choose a longer one"))),
        }
    }
}
