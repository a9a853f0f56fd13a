//! What the handle of private chats asks of their task, each with the place for its answer.

use tokio::sync::oneshot;
use whoelse_xmpp::BareJid;

use crate::events::{Asked, Fingerprint, Refused, Stopped};

/// A wish of the handle, with the place for its answer.
#[derive(Debug)]
pub(crate) enum Order {
    Ask(BareJid, Reply<Asked>),
    Accept(BareJid, Reply<()>),
    Decline(BareJid, Reply<()>),
    Send { to: BareJid, text: String, id: String, reply: Reply<()> },
    Stop(BareJid, Reply<Stopped>),
    Fingerprints(BareJid, Reply<Vec<Fingerprint>>),
    Trust(BareJid, Reply<()>),
    Close(oneshot::Sender<bool>),
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Refused>>;
