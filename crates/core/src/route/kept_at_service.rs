//! A message to a service that keeps it: posted to the keeper, and told after it is committed.

use std::sync::Arc;

use whoelse_store::{Appended, NewMessage, Repeat};
use whoelse_xmpp::{Condition, Stanza, StanzaError};

use super::kept::{by_repeat, unstored};
use super::{Addressed, Origin, Routed};
use crate::clock::Time;
use crate::keeper::{Post, Unstored, Work};
use crate::node::Node;

/// What somebody says at an address of a service, on its way into an archive there.
pub trait Telling: Send {
    /// What is stored of it, without stamps, or why it may not be said after all. Called once, after
    /// everything that was posted before is stored and what was changed is in memory; `at` will be its
    /// stamp.
    fn stored(&mut self, at: Time) -> Result<NewMessage, StanzaError>;

    /// It is stored, under this number in its archive, and perhaps under another in a second one:
    /// tells it.
    fn tell(self: Box<Self>, node: &Arc<Node>, seq: i64, second: Option<i64>);
}

/// Keeps what is said at an address of a service in this archive, and then tells it. What is there
/// already, by its origin-id, is not told again (XEP-0359).
pub fn keep_at_service(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    (archive, what): (i64, Box<dyn Telling>),
) -> Routed {
    let flight = of.into_flight();
    let bytes = flight.stanza.bytes().len();
    let full = origin.charge(node, bytes);
    let repeat = by_repeat(node, archive, &flight);
    let kept = Kept { origin, stanza: flight.stanza, bytes, repeat, refused: None, what };
    super::post(node, Work::Post(Box::new(kept)), full)
}

struct Kept {
    origin: Origin,
    stanza: Stanza,
    bytes: usize,
    repeat: Option<Repeat>,
    /// Why it may not be said.
    refused: Option<StanzaError>,
    what: Box<dyn Telling>,
}

impl Post for Kept {
    fn rows(&mut self, at: Time) -> NewMessage {
        match self.what.stored(at) {
            Ok(message) => NewMessage { repeat: self.repeat.take(), ..message },
            Err(error) => {
                self.refused = Some(error);
                // It is for no archive, so it is not kept.
                NewMessage::default()
            }
        }
    }

    fn finish(self: Box<Self>, node: &Arc<Node>, outcome: Result<Appended, Unstored>) {
        let Kept { origin, stanza, bytes, refused, what, .. } = *self;
        let refused = match outcome {
            Ok(Appended::Stored { first, second }) => {
                node.counters.messages.kept.inc();
                what.tell(node, first, second);
                None
            }
            Ok(Appended::Repeat) => {
                node.counters.messages.repeated.inc();
                None
            }
            Ok(Appended::Gone) => {
                Some(refused.unwrap_or_else(|| StanzaError::new(Condition::ServiceUnavailable)))
            }
            Err(Unstored::Unknown) => return,
            Err(Unstored::Failed(error)) => {
                node.store_failing("message_not_stored", None, &error);
                Some(unstored())
            }
        };
        origin.discharge(bytes);
        match refused {
            Some(error) => {
                super::refused(node, &origin, &stanza, &error);
            }
            None => origin.done(),
        }
    }
}
