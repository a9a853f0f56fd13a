//! behaviour.md, Passwords: how long a new one has to be.
//!
//! A password that exists is never judged: whoever has a short one goes on logging in with it.

use std::fmt::Display;

use whoelse_stream::secret::Password;
use whoelse_xmpp::{Condition, StanzaError};

use crate::node::Node;
use crate::settings::ShortPasswords;

impl Node {
    /// Tells the log of a password that somebody has chosen for themselves, if it is short: `short`
    /// says what is wrong with it, as [`judge_password`](Node::judge_password) does.
    pub fn warn_of_short_password(&self, account: &dyn Display, short: Option<&str>) {
        if let Some(why) = short {
            tracing::warn!(%account, why, "password_short");
        }
    }

    /// Judges a new password by its length. One that is too short is refused (`not-acceptable`)
    /// where the server has a configuration. In the quick start it may be used, and what is wrong
    /// with it is given back, for whoever chose it.
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
