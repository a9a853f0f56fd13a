//! Room that is held in a session for something that is on its way to it: what comes before that does
//! not take it, so whoever was let in is not refused in the end.

use std::sync::Arc;

use bytes::Bytes;
use whoelse_xmpp::Outgoing;

use super::room::{Due, Sender};
use super::{PushRefused, Queued, Session};

/// Room for something that passes. It is given back when this is dropped.
pub struct HeldRoom {
    session: Arc<Session>,
    due: Due,
    bytes: usize,
}

impl Session {
    /// Holds room for so many bytes that pass from this sender: it is their share as if they waited
    /// already.
    pub fn hold_room(
        self: &Arc<Session>,
        bytes: usize,
        sender: Sender,
    ) -> Result<HeldRoom, PushRefused> {
        let due = Due::Passing(sender);
        let mut state = self.lock();
        if state.gone {
            return Err(PushRefused::Gone);
        }
        if !state.room.has_room_for(due, bytes, 0) {
            return Err(PushRefused::NoRoom);
        }
        state.room.take(due, bytes);
        drop(state);
        Ok(HeldRoom { session: self.clone(), due, bytes })
    }
}

impl HeldRoom {
    /// Queues what it was held for; ` to='…'` is inserted when it is written. A session that is over
    /// gets nothing any more.
    pub fn push(self, stanza: &Outgoing, to: &Bytes) {
        let item = Queued { stanza: stanza.clone(), to: to.clone(), due: self.due };
        let state = self.session.lock();
        if !state.gone {
            self.session.append(state, item);
        }
    }
}

impl Drop for HeldRoom {
    fn drop(&mut self) {
        self.session.lock().room.release(self.due, self.bytes);
    }
}

impl std::fmt::Debug for HeldRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HeldRoom({}, {} bytes)", self.session.jid, self.bytes)
    }
}
