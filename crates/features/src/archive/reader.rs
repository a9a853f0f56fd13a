//! Somebody who reads an archive, in turn with others.

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::session::Session;
use whoelse_core::turns::Turns;
use whoelse_xmpp::{Condition, Jid, StanzaError};

use super::shelf::Shelf;
use crate::readable;

/// Somebody who reads an archive.
pub(crate) struct Reader {
    pub node: Arc<Node>,
    /// What they read.
    pub shelf: Arc<dyn Shelf>,
    /// Their address.
    pub to: Jid,
    turns: Arc<Turns>,
}

impl Reader {
    /// Somebody at this address reads this archive.
    pub fn new(node: Arc<Node>, shelf: Arc<dyn Shelf>, to: Jid) -> Reader {
        let turns = node.slots.get_or_default::<Turns>();
        Reader { node, shelf, to, turns }
    }

    /// The number of the archive.
    pub(super) fn archive(&self) -> i64 {
        self.shelf.archive()
    }

    /// Answers a request of a session when it is its turn: one of an account at a time, and one of all
    /// new accounts of a site.
    pub(super) async fn in_turn<T>(
        &self,
        session: &Session,
        reading: impl Future<Output = Result<T, StanzaError>>,
    ) -> Result<T, StanzaError> {
        session.in_reading_turn(self.node.clock.steady(), reading).await
    }

    /// Reads one piece of the store, when it is its turn.
    pub(super) async fn read<T>(
        &self,
        reading: impl Future<Output = Result<T, whoelse_store::Error>>,
    ) -> Result<T, StanzaError> {
        let settled = self.node.store.settle(self.archive());
        let read = self.turns.piece(settled, reading).await;
        readable(&self.node, "archive_unreadable", Some(self.shelf.address()), read)
    }

    /// XEP-0313, 4.3: finds the number of an id; an id that is not in the archive is `item-not-found`.
    pub(super) async fn number(&self, id: &str) -> Result<i64, StanzaError> {
        let missing = || StanzaError::new(Condition::ItemNotFound);
        let seq = self.node.archive_seq(self.archive(), id).ok_or_else(missing)?;
        match self.read(self.node.store.archive_has(self.archive(), seq)).await? {
            true => Ok(seq),
            false => Err(missing()),
        }
    }

    /// The id of a number of this archive.
    pub(super) fn id(&self, seq: i64) -> String {
        self.node.archive_id(self.archive(), seq)
    }
}
