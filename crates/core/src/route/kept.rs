//! A message that is kept: posted to the keeper, and delivered after it is committed.

use std::sync::Arc;

use whoelse_store::{Appended, Direction, NewMessage, NewRow, Repeat};
use whoelse_xmpp::{Condition, Outgoing, StanzaError, ns};

use super::in_flight::{Answer, InFlight};
use super::{Origin, Routed, answered, finish};
use crate::account::Account;
use crate::delivery;
use crate::keeper::{Post, Unstored, Work};
use crate::node::Node;
use crate::storage_policy::StoragePolicy;

/// The longest id, in bytes, by which a repeat is recognised (XEP-0359); a longer one is ignored.
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
    // The estimate only grows between two counts, so a fresh count decides.
    Routed::Waits(Box::pin(async move {
        let counted = node.recount(&account).await;
        let refused = match counted.map(|_| account.reserve(bytes, &node.settings().limits)) {
            Ok(true) => {
                return finish(post(&node, account, flight, origin, bytes)).await;
            }
            Ok(false) => StanzaError::new(Condition::ResourceConstraint)
                .with_text("the mailbox is full")
                .with_app("mailbox-full", ns::WHOELSE_ERRORS),
            Err(error) => {
                node.store_failing("mailbox_not_counted", Some(account.jid()), &error);
                StanzaError::new(Condition::InternalServerError)
            }
        };
        answered(&node, origin, &flight, Answer::Refused(refused));
    }))
}

/// Posts the message to the keeper; this many bytes are reserved for it in the mailbox.
fn post(
    node: &Arc<Node>,
    account: Arc<Account>,
    flight: InFlight,
    origin: Origin,
    reserved: u64,
) -> Routed {
    let append = Append::new(node, account, flight, origin, Some(reserved));
    let full = append.origin.charge(node, append.stanza.bytes.len());
    append.recipient.arriving.begin();
    let work = Work::Post(Box::new(append));
    match node.keeper.try_post(work) {
        Ok(()) => full.map_or(Routed::Done, Routed::Waits),
        Err(work) => {
            let node = node.clone();
            Routed::Waits(Box::pin(async move {
                // The server is stopping: the stanza stays unhandled, so the client sends it again.
                let _ = node.keeper.post(work).await;
            }))
        }
    }
}

/// A message on its way into the log.
pub(crate) struct Append {
    /// Its rows: the recipient's, which decides, and perhaps the sender's. They are taken when they
    /// are written, and stamped then.
    message: NewMessage,
    /// The origin, which gets the answer.
    pub origin: Origin,
    /// The stanza, as the sender's half has passed it on.
    pub flight: InFlight,
    /// The recipient's account.
    pub recipient: Arc<Account>,
    /// Whether it is kept only until it is delivered.
    pub passing: bool,
    /// The bytes that were reserved for it in the recipient's mailbox, if any were.
    reserved: Option<u64>,
    /// Rewritten for the log: without `from`.
    pub stanza: Outgoing,
}

impl Append {
    /// Returns the rows that the keeper has to write of a message for an account: the account's own
    /// row before the sender's, which is not looked at.
    pub(crate) fn new(
        node: &Node,
        recipient: Arc<Account>,
        mut flight: InFlight,
        origin: Origin,
        reserved: Option<u64>,
    ) -> Append {
        let passing = flight.storage == StoragePolicy::UntilDelivered;
        let stanza = flight.for_log();
        let message = NewMessage {
            // The lane stamps it.
            at: 0,
            kept_at: 0,
            repeat: by_repeat(node, &recipient, &flight),
            resource: flight.from.resource().map(str::to_owned),
            stanza: stanza.bytes.clone(),
            first: NewRow {
                archive: recipient.archive,
                peer: node.key_of(flight.from.bare()),
                direction: if passing { Direction::Passing } else { Direction::In },
            },
            second: flight.copy.take(),
        };
        Append { message, origin, flight, recipient, passing, reserved, stanza }
    }
}

/// By what a repeat is recognised, if the sender has given the message an id.
fn by_repeat(node: &Node, recipient: &Account, flight: &InFlight) -> Option<Repeat> {
    let sender = flight.sender?;
    let child = flight.stanza.child("origin-id", ns::STANZA_ID)?;
    let id = flight.stanza.child_attr(child, "id").filter(|id| id.len() <= ORIGIN_ID)?;
    Some(node.repeat_key.of(sender, recipient.archive, &id))
}

impl Post for Append {
    fn rows(&mut self) -> NewMessage {
        std::mem::take(&mut self.message)
    }

    fn finish(self: Box<Self>, node: &Arc<Node>, outcome: Result<Appended, Unstored>) {
        if let Some(bytes) = self.reserved {
            self.recipient.note_undelivered(|waiting| {
                waiting.coming = waiting.coming.saturating_sub(1);
                waiting.coming_bytes = waiting.coming_bytes.saturating_sub(bytes);
            });
        }
        let answer = match outcome {
            Ok(Appended::Stored { first, second }) => {
                node.counters.messages.kept.inc();
                Answer::Taken(delivery::deliver_kept(node, &self, first, second))
            }
            Ok(Appended::Repeat) => {
                node.counters.messages.repeated.inc();
                Answer::Dropped
            }
            // The account was removed meanwhile: the answer is the same as if it had never existed.
            Ok(Appended::Gone) => Answer::Refused(StanzaError::new(Condition::ServiceUnavailable)),
            Err(Unstored::Unknown) => return,
            Err(Unstored::Failed(error)) => {
                node.store_failing("message_not_stored", Some(self.recipient.jid()), &error);
                Answer::Refused(
                    StanzaError::new(Condition::ResourceConstraint)
                        .with_text("the server cannot store messages right now, try again later"),
                )
            }
        };
        self.origin.discharge(self.stanza.bytes.len());
        answered(node, self.origin, &self.flight, answer);
        // Last, so that the next stanza stays after this one, and its copies after these copies.
        self.recipient.arriving.finish();
    }
}
