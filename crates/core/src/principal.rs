//! Who has proved who they are: what is left of a login, and what is compared where a session takes
//! its place.
//!
//! A name proves nothing. Between the look-up of a verifier and the session its account can be
//! removed and made anew by somebody else, or get another password. So a [`Principal`] is an account
//! by its number, which no other account has had or will have, with the generation of the password
//! that was proved. `docs/design/principal.md` says more.

use std::sync::Arc;

use whoelse_xmpp::{BareJid, Condition, StanzaError};

use crate::account::Account;
use crate::node::Node;
use crate::session::Session;

/// Whoever has proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who that is.
    pub identity: Identity,
    /// What the way in gives them.
    pub rights: Rights,
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A person.
    Account(Proved),
    /// The server itself, as which an administrator acts who gives the admin socket no name.
    Server,
}

/// An account as it was when its verifier was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// Its number.
    pub account: i64,
    /// How often its password had been set.
    pub generation: i64,
    /// Its address, by which it is found in memory.
    pub address: BareJid,
}

/// What somebody may do, each with all that stands before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// What concerns their own account.
    Own,
    /// An administrator's commands: given to an account by the settings, see [`Node::rights`].
    Administrator,
    /// Everything: the operating system vouches for whoever is on the admin socket.
    Operator,
}

impl Principal {
    /// The server itself, which only the admin socket can be.
    pub fn server() -> Principal {
        Principal { identity: Identity::Server, rights: Rights::Operator }
    }

    /// An account as it is now, for a caller who has other reasons than a password to take somebody
    /// for it.
    pub fn of(account: &Account, rights: Rights) -> Principal {
        Principal { identity: Identity::Account(account.proved()), rights }
    }

    /// The account, if it is one.
    pub fn account(&self) -> Option<&Proved> {
        match &self.identity {
            Identity::Account(proved) => Some(proved),
            Identity::Server => None,
        }
    }
}

impl Node {
    /// What a session may do: what its way in gave, or what the settings give to its account at this
    /// moment. A line that leaves the file takes its right along from an open session, too.
    pub fn rights(&self, session: &Session) -> Rights {
        match self.is_admin(session.account.jid()) {
            true => session.rights().max(Rights::Administrator),
            false => session.rights(),
        }
    }

    /// An account that was proved, if it is still the same: `not-authorized` if it has been removed
    /// or got another password since.
    pub(crate) async fn account_as(&self, proved: &Proved) -> Result<Arc<Account>, StanzaError> {
        let account = self.look_up(&proved.address).await?;
        let account = account.filter(|account| account.is_as(proved));
        account.ok_or_else(|| StanzaError::new(Condition::NotAuthorized))
    }
}

#[cfg(test)]
mod tests;
