//! The origin of a stanza: who sends it, who is charged for it, and who gets the answer.

use std::sync::Arc;

use whoelse_xmpp::{FullJid, Jid, Stanza, StanzaError};

use crate::kit::BoxFuture;
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
    /// A session that is over: what it leaves behind is answered, or kept, in its name.
    Ended(FullJid),
}

impl Origin {
    /// The sender's address.
    pub fn address(&self) -> &Jid {
        match self {
            Origin::Session { session, .. } => &session.jid,
            Origin::Ended(jid) => jid,
        }
    }

    /// Charges the origin for this many bytes on their way through the keeper. If it has reached its
    /// bound, it says no more before they are delivered or refused.
    pub(crate) fn charge(&self, bytes: usize) -> Option<BoxFuture<'static, ()>> {
        match self {
            Origin::Session { session, .. } => {
                session.account.sending.begin();
                session.posted(bytes).then(|| {
                    let session = session.clone();
                    Box::pin(async move { session.settled().await }) as BoxFuture<'static, ()>
                })
            }
            Origin::Ended(_) => None,
        }
    }

    /// Takes back the charge for bytes that were committed or refused.
    pub(crate) fn discharge(&self, bytes: usize) {
        match self {
            Origin::Session { session, .. } => {
                session.arrived(bytes);
                session.account.sending.finish();
            }
            Origin::Ended(_) => {}
        }
    }

    /// Returns a stanza of the origin to it with an error.
    pub fn refuse(&self, stanza: &Stanza, error: &StanzaError) {
        match self {
            Origin::Session { session, .. } => session.answer_error(stanza, error),
            Origin::Ended(_) => {}
        }
    }

    /// Marks the stanza as handled: it is committed, if it had to be.
    pub fn done(&self) {
        match self {
            Origin::Session { session, ticket } => session.done(*ticket),
            Origin::Ended(_) => {}
        }
    }
}
