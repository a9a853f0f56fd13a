//! The principal: the result of a login, and what is compared when a session takes its place.
//!
//! A name proves nothing. Between the look-up of a verifier and the start of the session, the
//! account can be removed and made anew by somebody else, or get another password. So a
//! [`Principal`] is an account by its number, which no other account has had or will have, with the
//! generation of the password that was proved. `docs/design/principal.md` says more.

use whoelse_stream::sasl2::UserAgentId;
use whoelse_xmpp::BareJid;

/// An authenticated identity with its rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The identity.
    pub identity: Identity,
    /// The rights that the way in gives.
    pub rights: Rights,
    /// By what the identity was proved.
    pub proof: Proof,
    /// The client's installation, if it has said which one it is.
    pub device: Option<UserAgentId>,
}

/// By what an identity was proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The password, just now; or the system vouches for it.
    Password,
    /// A token that the device was given. A person has typed nothing, so the account cannot be changed
    /// by it.
    Token {
        /// When the token was given by which the device comes next time, in even time: so it can be
        /// put out by taking that back. `None`: it has given up its token with this login.
        kept: Option<i64>,
    },
}

/// An identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// A user's account.
    Account(Proved),
    /// The server itself: an administrator who gives the admin socket no name acts as it.
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

/// The rights of a principal; each includes all those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// The right to act on their own account.
    Own,
    /// The right to an administrator's commands. The settings or the operator give it to an account,
    /// see [`crate::Node::rights`].
    Administrator,
    /// All rights: the operating system vouches for the user of the admin socket.
    Operator,
}

impl Principal {
    /// The principal of the server itself, which only the admin socket can be.
    pub fn server() -> Principal {
        let (rights, proof) = (Rights::Operator, Proof::Password);
        Principal { identity: Identity::Server, rights, proof, device: None }
    }

    /// The account, if the identity is one.
    pub fn account(&self) -> Option<&Proved> {
        match &self.identity {
            Identity::Account(proved) => Some(proved),
            Identity::Server => None,
        }
    }
}

#[cfg(test)]
mod tests;
