//! behaviour.md, Log in: which names a new account may have.
//!
//! The name of an existing account is never judged: its user can still log in.

use whoelse_xmpp::{BareJid, Condition, StanzaError};

use crate::node::Node;

impl Node {
    /// Judges the name of a new account. Refuses it (`policy-violation`) if people could take it
    /// for the server: if it is a name that the server has or had, or begins like a notice.
    pub(crate) fn judge_name(&self, account: &BareJid) -> Result<(), StanzaError> {
        let name = account.local().unwrap_or_default();
        if !name.starts_with(char::is_alphanumeric) {
            return Err(refused("a name begins with a letter or a digit".to_owned()));
        }
        let folded = name.to_lowercase();
        match self.own_names().iter().any(|own| own.to_lowercase() == folded) {
            true => Err(refused(format!("{name} is a name of the server itself"))),
            false => Ok(()),
        }
    }

    /// Judges the name of an account that somebody makes for themselves. Also refuses the name of
    /// an administrator: whoever made the account would have the rights, so only the operator makes
    /// it (security row 47).
    pub(crate) fn judge_chosen_name(&self, account: &BareJid) -> Result<(), StanzaError> {
        self.judge_name(account)?;
        match self.is_admin(account) {
            true => {
                let name = account.local().unwrap_or_default();
                Err(refused(format!("{name} is a name that the operator gives")))
            }
            false => Ok(()),
        }
    }
}

fn refused(why: String) -> StanzaError {
    StanzaError::new(Condition::PolicyViolation).with_text(format!("{why}; choose another one"))
}
