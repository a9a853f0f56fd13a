//! Who speaks: where a stanza comes from, who is charged for it, and who is told what became of it.

use std::sync::Arc;

use whoelse_xmpp::{FullJid, Jid, Stanza, StanzaError};

use crate::kit::BoxFuture;
use crate::session::{Session, Ticket};

/// Who speaks.
pub enum Origin {
    /// A live login, and the place of what it said in its count.
    Session {
        /// The login.
        session: Arc<Session>,
        /// The place.
        ticket: Ticket,
    },
    /// A login that is over: what it leaves behind is answered, or kept, in its name.
    Ended(FullJid),
}

impl Origin {
    /// The address in whose name it is said.
    pub fn address(&self) -> &Jid {
        match self {
            Origin::Session { session, .. } => &session.jid,
            Origin::Ended(jid) => jid,
        }
    }

    /// So many bytes that it has said are on their way to the log. If that is as many as may be, it
    /// says no more before this has finished.
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

    /// So many of those bytes have arrived, or never will.
    pub(crate) fn discharge(&self, bytes: usize) {
        match self {
            Origin::Session { session, .. } => {
                session.arrived(bytes);
                session.account.sending.finish();
            }
            Origin::Ended(_) => {}
        }
    }

    /// Sends a stanza of its back with an error.
    pub fn refuse(&self, stanza: &Stanza, error: &StanzaError) {
        match self {
            Origin::Session { session, .. } => session.answer_error(stanza, error),
            Origin::Ended(_) => {}
        }
    }

    /// What it said is handled: committed, if it had to be.
    pub fn done(&self) {
        match self {
            Origin::Session { session, ticket } => session.done(*ticket),
            Origin::Ended(_) => {}
        }
    }
}
