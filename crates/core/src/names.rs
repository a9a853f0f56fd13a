//! behaviour.md, Log in: which names a new account may have.
//!
//! The name of an existing account is never judged: its user can still log in.

use std::time::Duration;

use whoelse_xmpp::{BareJid, Condition, StanzaError};

use crate::node::Node;

/// How long the name of a removed account is not to be had by registration: people who know it
/// would take the next one who has it for the same person.
pub(crate) const REMOVED_NAME: Duration = Duration::from_secs(30 * 86_400);
/// The most such names: more than a large school removes at the end of a year. When full, the names
/// of the accounts that lived shortest are forgotten first.
pub(crate) const REMOVED_NAMES: i64 = 10_000;

impl Node {
    /// Judges the name of a new account. Refuses it (`policy-violation`) if people could take it
    /// for the server: if it is a name that the server has or had, or begins like a notice.
    pub(crate) fn judge_name(&self, account: &BareJid) -> Result<(), StanzaError> {
        let name = name(account);
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
    /// an administrator, whose rights the account would have, and of an account that was removed
    /// lately: only the operator makes these (security row 47).
    pub(crate) async fn judge_chosen_name(&self, account: &BareJid) -> Result<(), StanzaError> {
        self.judge_name(account)?;
        if self.is_named_administrator(account) {
            let name = name(account);
            return Err(refused(format!("{name} is a name that the operator gives")));
        }
        let Some((domain, name)) = self.stored_at(account) else { return Ok(()) };
        let since = self.even_time().before(REMOVED_NAME);
        let was_removed = self.store.was_name_removed_since(domain, name, since.0).await;
        match was_removed.map_err(|error| self.internal(&error))? {
            true => Err(removed_lately(account)),
            false => Ok(()),
        }
    }
}

/// The refusal of a name that somebody else had until lately.
pub(crate) fn removed_lately(account: &BareJid) -> StanzaError {
    let name = name(account);
    let days = REMOVED_NAME.as_secs() / 86_400;
    refused(format!("{name} was somebody's name until lately, and is nobody's for {days} days"))
}

/// The refusal of a name that somebody has.
pub(crate) fn taken(account: &BareJid) -> StanzaError {
    let name = name(account);
    StanzaError::new(Condition::Conflict).with_text(format!("{name} is taken"))
}

/// Returns the name of an account of this server.
pub(crate) fn name(account: &BareJid) -> &str {
    account.local().unwrap_or_default()
}

fn refused(why: String) -> StanzaError {
    StanzaError::new(Condition::PolicyViolation).with_text(format!("{why}; choose another one"))
}
