//! A message that is kept: posted to the keeper, and delivered after it is committed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use whoelse_store::{Appended, Direction, NewMessage, NewRow, Repeat};
use whoelse_xmpp::{Condition, Outgoing, StanzaError, ns};

use super::in_flight::{Answer, InFlight};
use super::{Origin, Routed, answered, finish, replaced};
use crate::account::Account;
use crate::clock::Time;
use crate::delivery;
use crate::keeper::{Post, Unstored, Work};
use crate::mailbox::{Relation, Whose};
use crate::node::Node;
use crate::storage_policy::StoragePolicy;

/// The longest id, in bytes, by which a repeat is recognised (XEP-0359); a longer one is ignored.
const ORIGIN_ID: usize = 256;

/// Keeps a message for an account, if its mailbox has room. What it replaces is looked for first.
pub(super) fn keep(
    node: &Arc<Node>,
    account: Arc<Account>,
    mut flight: InFlight,
    origin: Origin,
) -> Routed {
    if flight.replaces.is_none() {
        return reserve(node, account, flight, origin);
    }
    let node = node.clone();
    Routed::Waits(Box::pin(async move {
        let looked = replaced::heard(&node, &account, &mut flight).await;
        finish(match looked {
            Ok(()) => reserve(&node, account, flight, origin),
            Err(error) => answered(&node, origin, &flight, Answer::Refused(error)),
        })
        .await;
    }))
}

/// Takes room in the account's mailbox, and posts the message.
fn reserve(node: &Arc<Node>, account: Arc<Account>, flight: InFlight, origin: Origin) -> Routed {
    let bytes = flight.stanza.bytes().len() as u64;
    let sender = flight.from.clone();
    let reserve = move |node: &Node, account: &Account| {
        let is = node.relation(account, &sender);
        let whose = Whose { address: &sender, is };
        let has_room = account.mailbox().reserve(whose, bytes, &node.settings().limits);
        has_room.then_some(Reserved { bytes, is })
    };
    if let Some(reserved) = reserve(node, &account) {
        return post(node, account, flight, origin, reserved);
    }
    // The numbers only grow between two counts, so a fresh count decides.
    let confirmed = account.confirmed.load(Ordering::Acquire);
    if account.mailbox().is_counted_at(confirmed) {
        return answered(node, origin, &flight, Answer::Refused(mailbox_full()));
    }
    let node = node.clone();
    Routed::Waits(Box::pin(async move {
        let counted = node.recount(&account).await;
        let refused = match counted.map(|()| reserve(&node, &account)) {
            Ok(Some(reserved)) => {
                return finish(post(&node, account, flight, origin, reserved)).await;
            }
            Ok(None) => mailbox_full(),
            Err(error) => {
                node.store_failing("mailbox_not_counted", Some(account.jid()), &error);
                StanzaError::new(Condition::InternalServerError)
            }
        };
        answered(&node, origin, &flight, Answer::Refused(refused));
    }))
}

/// The answer to whoever has no room in a mailbox. Whether others fill it is not told.
fn mailbox_full() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint)
        .with_text("the mailbox is full")
        .with_app("mailbox-full", ns::WHOELSE_ERRORS)
}

/// The room in the mailbox that was taken for a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    bytes: u64,
    /// What its sender was to the owner then.
    is: Relation,
}

/// Posts the message to the keeper; this room is reserved for it in the mailbox.
fn post(
    node: &Arc<Node>,
    account: Arc<Account>,
    flight: InFlight,
    origin: Origin,
    reserved: Reserved,
) -> Routed {
    let append = Append::new(node, account, flight, origin, Some(reserved));
    let full = append.origin.charge(node, append.stanza.bytes.len());
    append.recipient.arriving.begin();
    super::post(node, Work::Post(Box::new(append)), full)
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
    /// The room that was reserved for it in the recipient's mailbox, if any was.
    reserved: Option<Reserved>,
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
        reserved: Option<Reserved>,
    ) -> Append {
        let passing = flight.storage == StoragePolicy::UntilDelivered
            || !node.wiring.archives(node, &recipient, &flight.from);
        let stanza = flight.for_log();
        let message = NewMessage {
            // The lane stamps it.
            at: 0,
            kept_at: 0,
            repeat: by_repeat(node, recipient.archive, &flight),
            resource: flight.from.resource().map(str::to_owned),
            stanza: stanza.bytes.clone(),
            first: NewRow {
                archive: recipient.archive,
                peer: node.key_of(flight.from.bare()),
                direction: if passing { Direction::Passing } else { Direction::In },
            },
            second: flight.copy.take(),
            second_body: None,
            replaces: flight.replaces.take().map_or_else(Vec::new, |replaces| replaces.found),
        };
        Append { message, origin, flight, recipient, passing, reserved, stanza }
    }
}

/// The answer to whoever says something that cannot be stored.
pub(super) fn unstored() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint)
        .with_text("the server cannot store messages right now, try again later")
}

/// By what a repeat is recognised in an archive, if the sender has given the message an id.
pub(super) fn by_repeat(node: &Node, archive: i64, flight: &InFlight) -> Option<Repeat> {
    let sender = flight.sender?;
    let child = flight.stanza.child("origin-id", ns::STANZA_ID)?;
    let id = flight.stanza.child_attr(child, "id").filter(|id| id.len() <= ORIGIN_ID)?;
    Some(node.repeat_key.of(sender, archive, &id))
}

impl Append {
    /// Counts it in the recipient's mailbox, if it was stored, and gives back what was reserved.
    fn count(&self, node: &Node, outcome: &Result<Appended, Unstored>) {
        let sender = &self.flight.from;
        let is = match self.reserved {
            Some(reserved) => reserved.is,
            None => node.relation(&self.recipient, sender),
        };
        let whose = Whose { address: sender, is };
        let mut mailbox = self.recipient.mailbox();
        if let Ok(Appended::Stored { first, .. }) = outcome {
            mailbox.arrived(whose, self.stanza.bytes.len() as u64, *first);
        }
        if let Some(reserved) = self.reserved {
            mailbox.release(whose, reserved.bytes);
        }
    }
}

impl Post for Append {
    fn rows(&mut self, _: Time) -> NewMessage {
        std::mem::take(&mut self.message)
    }

    fn finish(self: Box<Self>, node: &Arc<Node>, outcome: Result<Appended, Unstored>) {
        self.count(node, &outcome);
        if let (Origin::Ended(session), Ok(_)) = (&self.origin, &outcome) {
            session.stored_again();
        }
        let answer = match outcome {
            Ok(Appended::Stored { first, second }) => {
                node.counters.messages.kept.inc();
                Some(Answer::Taken(delivery::deliver_kept(node, &self, first, second)))
            }
            Ok(Appended::Repeat) => {
                node.counters.messages.repeated.inc();
                Some(Answer::Repeated)
            }
            // The account was removed meanwhile: the answer is the same as if it had never existed.
            Ok(Appended::Gone) => {
                Some(Answer::Refused(StanzaError::new(Condition::ServiceUnavailable)))
            }
            Err(why) => {
                if let Unstored::Failed(error) = &why {
                    node.store_failing("message_not_stored", Some(self.recipient.jid()), error);
                }
                match (&self.origin, why) {
                    // Nobody hears a refusal of what a session has left behind, and nobody says it
                    // again: twice is better than not at all.
                    (Origin::Ended(session), _) => {
                        let stanza = self.flight.stanza.clone();
                        node.keeper.store_later(node, session.clone(), stanza);
                        None
                    }
                    (_, Unstored::Failed(_)) => Some(Answer::Refused(unstored())),
                    (_, Unstored::Unknown) => return,
                }
            }
        };
        self.origin.discharge(self.stanza.bytes.len());
        if let Some(answer) = answer {
            answered(node, self.origin, &self.flight, answer);
        }
        // Last, so that the next stanza stays after this one, and its copies after these copies.
        self.recipient.arriving.finish();
    }
}
