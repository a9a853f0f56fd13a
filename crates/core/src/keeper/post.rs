//! What is posted to be stored: rows, and what to do after the commit.

use std::sync::Arc;

use whoelse_store::{Appended, NewMessage};

use crate::clock::Time;
use crate::node::Node;

/// Rows that are stored together or not at all, and what waits for the result.
pub(crate) trait Post: Send {
    /// The rows to store, which the lane stamps with this time. Called once, when what was changed
    /// before is in memory.
    fn rows(&mut self, at: Time) -> NewMessage;

    /// Called after the commit or its failure: delivers the message, and tells whoever posted it.
    fn finish(self: Box<Self>, node: &Arc<Node>, outcome: Result<Appended, Unstored>);
}

/// Why rows are not known to be stored.
#[derive(Clone, Debug)]
pub(crate) enum Unstored {
    /// The store refused them, perhaps for the same reason as others.
    Failed(Arc<whoelse_store::Error>),
    /// It was not known whether they are stored when the server stopped. Nobody is told anything,
    /// so the sender sends the message again, under the same id.
    Unknown,
}

impl From<whoelse_store::Error> for Unstored {
    fn from(error: whoelse_store::Error) -> Unstored {
        Unstored::Failed(Arc::new(error))
    }
}
