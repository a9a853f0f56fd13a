//! What is posted to be stored: rows, and what follows when they are.

use std::sync::Arc;

use whoelse_store::{Appended, NewMessage};

use crate::node::Node;

/// Rows that are stored together or not at all, and whoever waits to hear of it.
pub(crate) trait Post: Send {
    /// What is to be stored; the lane stamps it. It is asked for once.
    fn rows(&mut self) -> Option<NewMessage>;

    /// It is committed, or not: delivers it, and tells whoever posted it.
    fn finish(self: Box<Self>, node: &Arc<Node>, outcome: Result<Appended, Unstored>);
}

/// Why nothing is known to be stored.
pub(crate) enum Unstored {
    /// It is refused.
    Failed(whoelse_store::Error),
    /// Whether it is stored was not known when the server stopped: nobody is told anything, so
    /// whoever sent it sends it again, under the same id.
    Unknown,
}

impl From<whoelse_store::Error> for Unstored {
    fn from(error: whoelse_store::Error) -> Unstored {
        Unstored::Failed(error)
    }
}
