//! The origin of a stanza: who sends it, who is charged for it, and who gets the answer.

use std::sync::Arc;

use whoelse_xmpp::{BareJid, Jid, Stanza, StanzaError};

use crate::account::Account;
use crate::kit::BoxFuture;
use crate::node::Node;
use crate::session::{Session, Ticket};

/// The origin of a stanza.
pub enum Origin {
    /// A live session, and the ticket of the stanza.
    Session {
        /// The session.
        session: Arc<Session>,
        /// The ticket.
        ticket: Ticket,
    },
    /// A session that is over, or no longer available: what it leaves behind is answered, or kept, in
    /// its name, and others are told that it is gone.
    Ended(Arc<Session>),
    /// An account itself, by its bare address: the server speaks in its name, and nobody is
    /// answered.
    Account(Arc<Account>),
    /// The server itself, by its address.
    Server(BareJid),
    /// A service of ours, or an address at it.
    Entity(Entity),
}

/// A service of ours, or an address at it, as a speaker. It is never answered.
pub struct Entity {
    /// The address by which it speaks.
    pub address: Jid,
    /// The account for which it speaks, or on whose word: it pays, and what waits of it is its
    /// share. Nobody, if the server itself is the reason.
    pub payer: Option<Arc<Account>>,
}

impl Origin {
    /// The sender's address.
    pub fn address(&self) -> &Jid {
        match self {
            Origin::Session { session, .. } => &session.jid,
            Origin::Ended(session) => &session.jid,
            Origin::Account(account) => account.jid(),
            Origin::Server(address) => address,
            Origin::Entity(entity) => &entity.address,
        }
    }

    /// The sender's account, or the one that pays for it; the server itself has none.
    pub(crate) fn account(&self) -> Option<&Arc<Account>> {
        match self {
            Origin::Session { session, .. } | Origin::Ended(session) => session.account.as_ref(),
            Origin::Account(account) => Some(account),
            Origin::Server(_) => None,
            Origin::Entity(entity) => entity.payer.as_ref(),
        }
    }

    /// Has the session that speaks pay for an account that has to be read for it.
    pub(crate) fn pays_for_loading(&self, node: &Node) {
        if let Origin::Session { session, .. } = self {
            node.pay_for_loading(session);
        }
    }

    /// Charges the origin for this many bytes on their way through the keeper. If it has reached its
    /// bound, it says no more before they are delivered or refused; if its account has as much in the
    /// lane as one may have, before some of that is.
    pub(crate) fn charge(&self, node: &Node, bytes: usize) -> Option<BoxFuture<'static, ()>> {
        if let Some(account) = self.account() {
            account.sending.begin();
        }
        if let Origin::Session { session, .. } = self
            && session.posted(bytes)
        {
            let session = session.clone();
            return Some(Box::pin(async move { session.has_posted().await }));
        }
        let account = self.account().filter(|account| node.keeper.is_share_full(account))?;
        let (keeper, account) = (node.keeper.clone(), account.clone());
        Some(Box::pin(async move { keeper.has_room_for(&account).await }))
    }

    /// Takes back the charge for bytes that were committed or refused.
    pub(crate) fn discharge(&self, bytes: usize) {
        if let Origin::Session { session, .. } = self {
            session.arrived(bytes);
        }
        if let Some(account) = self.account() {
            account.sending.finish();
        }
    }

    /// Returns a stanza of the origin to it with an error.
    pub fn refuse(&self, stanza: &Stanza, error: &StanzaError) {
        match self {
            Origin::Session { session, .. } => session.answer_error(stanza, error),
            Origin::Ended(_) | Origin::Account(_) | Origin::Server(_) | Origin::Entity(_) => {}
        }
    }

    /// Marks the stanza as handled: it is committed, if it had to be.
    pub fn done(&self) {
        match self {
            Origin::Session { session, ticket } => session.done(*ticket),
            Origin::Ended(_) | Origin::Account(_) | Origin::Server(_) | Origin::Entity(_) => {}
        }
    }
}
