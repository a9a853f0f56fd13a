//! A request to a room, as whatever answers it gets it.

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::session::Session;
use whoelse_xmpp::{BareJid, Child, FullJid, Stanza};

use super::rooms::Live;

/// A request to a room.
pub(super) struct Asked {
    pub node: Arc<Node>,
    /// The session that asks.
    pub session: Arc<Session>,
    /// Its device, and the person.
    pub from: FullJid,
    pub who: BareJid,
    /// The room.
    pub live: Arc<Live>,
    /// The request, and its payload.
    pub stanza: Stanza,
    pub payload: Child,
}
