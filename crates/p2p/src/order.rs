//! Orders of the handle to the task of private chats, each with a channel for its answer.

use tokio::sync::oneshot;
use whoelse_xmpp::BareJid;

use crate::events::{Asked, Fingerprint, Refused, Stopped};

/// An order with a channel for its answer.
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

/// The channel for an answer.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Refused>>;
