//! A message that is kept: handed to the keeper, and delivered after it is committed.

use std::sync::Arc;

use whoelse_store::{self as store, Direction, NewMessage, NewRow};
use whoelse_xmpp::{Condition, StanzaError, ns};

use super::in_flight::{Answer, InFlight};
use super::{Origin, Routed, answered, finish};
use crate::account::Account;
use crate::keeper::{Append, Work};
use crate::node::Node;
use crate::storage_policy::{StoragePolicy, storage_policy};

/// Bytes of the longest id by which a repeat is known (XEP-0359); a longer one is none.
const ORIGIN_ID: usize = 256;

/// Keeps a message for an account, if its mailbox has room.
pub(super) fn keep(
    node: &Arc<Node>,
    account: Arc<Account>,
    flight: InFlight,
    origin: Origin,
) -> Routed {
    let bytes = flight.stanza.bytes().len() as u64;
    if account.reserve(bytes, &node.settings().limits) {
        return post(node, account, flight, origin, bytes);
    }
    let node = node.clone();
    // The estimate only grows between two counts; a fresh count decides.
    Routed::Waits(Box::pin(async move {
        let counted = node.recount(&account).await;
        let refused = match counted.map(|_| account.reserve(bytes, &node.settings().limits)) {
            Ok(true) => return finish(post(&node, account, flight, origin, bytes)).await,
            Ok(false) => StanzaError::new(Condition::ResourceConstraint)
                .with_text("the mailbox is full")
                .with_app("mailbox-full", ns::WHOELSE_ERRORS),
            Err(error) => {
                node.store_failing("mailbox_not_counted", Some(account.jid()), &error);
                StanzaError::new(Condition::InternalServerError)
            }
        };
        answered(&node, origin, flight, Answer::Refused(refused));
    }))
}

/// Hands it to the keeper; so many bytes are reserved for it in the mailbox.
fn post(
    node: &Arc<Node>,
    account: Arc<Account>,
    flight: InFlight,
    origin: Origin,
    reserved: u64,
) -> Routed {
    let append = Append::new(node, account, flight, origin, Some(reserved));
    let full = append.origin.charge(append.stanza.bytes.len());
    append.recipient.arriving.begin();
    let work = Work::Append(Box::new(append));
    match node.keeper.try_post(work) {
        Ok(()) => full.map_or(Routed::Done, Routed::Waits),
        Err(work) => {
            let node = node.clone();
            Routed::Waits(Box::pin(async move {
                // The server is stopping: unhandled, so the client sends it again.
                let _ = node.keeper.post(work).await;
            }))
        }
    }
}

impl Append {
    /// What the keeper has to write of a message for an account: its own row before the sender's,
    /// which is not looked at.
    pub(crate) fn new(
        node: &Node,
        recipient: Arc<Account>,
        mut flight: InFlight,
        origin: Origin,
        reserved: Option<u64>,
    ) -> Append {
        let passing = storage_policy(&node.wiring, &flight.stanza) == StoragePolicy::UntilDelivered;
        let stanza = flight.for_log();
        let message = NewMessage {
            // The lane stamps it.
            at: 0,
            kept_at: 0,
            origin: by_repeat(node, &recipient, &flight),
            resource: flight.from.resource().map(str::to_owned),
            stanza: stanza.bytes.clone(),
            first: NewRow {
                archive: recipient.archive,
                peer: node.key_of(flight.from.bare()),
                direction: if passing { Direction::Passing } else { Direction::In },
            },
            second: flight.copy.take(),
        };
        Append { message: Some(message), origin, flight, recipient, passing, reserved, stanza }
    }
}

/// By what a repeat of it is known, if its sender has given it an id.
fn by_repeat(node: &Node, recipient: &Account, flight: &InFlight) -> Option<store::Origin> {
    let sender = flight.sender?;
    let child = flight.stanza.child("origin-id", ns::STANZA_ID)?;
    let id = flight.stanza.child_attr(child, "id").filter(|id| id.len() <= ORIGIN_ID)?;
    let recipient = node.key_of(recipient.jid().as_str());
    Some(store::Origin { sender, recipient, id: id.to_string() })
}
