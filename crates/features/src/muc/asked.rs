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

impl Asked {
    /// Charges whoever asks for so many bytes more than they have sent: they say more when that is paid.
    pub fn pay(&self, bytes: u64) {
        let _ = self.node.pay_for_work_of(&self.session, bytes);
    }

    /// Charges whoever asks for what everybody in the room is told of it.
    pub fn pay_for_telling(&self) {
        self.pay_for_telling_of(1);
    }

    /// Charges whoever asks for what everybody in the room is told of everybody.
    pub fn pay_for_meeting(&self) {
        self.pay(self.live.cost_of_meeting());
    }

    /// Charges whoever asks for what everybody in the room is told of so many things.
    pub fn pay_for_telling_of(&self, things: usize) {
        self.pay(things as u64 * self.live.cost_of_telling());
    }
}
