//! A seat: one device of somebody in a room.

use std::sync::Arc;

use bytes::Bytes;
use whoelse_core::account::Account;
use whoelse_core::session::{HeldRoom, PushRefused, Sender, Session};
use whoelse_core::{Node, audience};
use whoelse_xmpp::write::escape;
use whoelse_xmpp::{BareJid, Condition, FullJid, Jid, Outgoing, StanzaError};

use crate::blocking::{blocked_by_you, has_blocked};

/// One device in a room.
pub(crate) struct Seat {
    /// The real address.
    pub jid: FullJid,
    /// The account here of whom it is.
    pub account: i64,
    /// ` to='bob@host/desk'`, put into what all are told.
    to: Bytes,
    /// The session; none in tests of the rules.
    session: Option<Arc<Session>>,
}

impl Seat {
    /// The seat of a session. `None`: it is of no account, so it is nobody who could be in a room.
    pub fn of(session: &Arc<Session>) -> Option<Seat> {
        let account = session.account.as_ref()?.id;
        let jid = session.jid.clone();
        Some(Seat { to: to(jid.as_str()), jid, account, session: Some(session.clone()) })
    }

    #[cfg(test)]
    #[allow(clippy::unwrap_used)]
    pub fn named(jid: &str, account: i64) -> Seat {
        let jid = whoelse_xmpp::Jid::parse(jid).unwrap().to_full().unwrap();
        Seat { to: to(jid.as_str()), jid, account, session: None }
    }

    /// Whose it is.
    pub fn who(&self) -> BareJid {
        self.jid.to_bare()
    }

    /// The session.
    pub fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// Queues something that is said in the room. Fails if there is no room for it: then the seat is
    /// lost.
    pub fn tell(&self, stanza: &Outgoing) -> Result<(), PushRefused> {
        match &self.session {
            Some(session) => session.push_to_seat(stanza, &self.to),
            None => Ok(()),
        }
    }

    /// Queues the word that the seat is lost, for which there is always room.
    pub fn tell_last(&self, stanza: &Outgoing) {
        if let Some(session) = &self.session {
            session.push_last_word(stanza, &self.to);
        }
    }

    /// Queues something that one occupant says to another: what waits of it is its sender's share.
    /// Returns whether there was room.
    pub fn tell_for(&self, stanza: &Outgoing, sender: Sender) -> bool {
        match &self.session {
            Some(session) => session.push_from(stanza, &self.to, sender).is_ok(),
            None => true,
        }
    }

    /// Holds room for so many bytes that one occupant says to another, until they are told. `None`:
    /// there is none.
    pub fn hold_room(&self, bytes: usize, sender: Sender) -> Option<HeldRoom> {
        self.session.as_ref()?.hold_room(bytes + self.to.len(), sender).ok()
    }

    /// Queues something where room is held for it.
    pub fn tell_held(&self, stanza: &Outgoing, held: HeldRoom) {
        held.push(stanza, &self.to);
    }

    /// The account behind the seat, if it hears from this session: a block holds against whoever is
    /// behind a nickname. Else it is as if nobody were there. Whoever has blocked it themselves is told
    /// so, if they see whose nickname it is (`sees`): to others that would tell who is behind it.
    pub fn listener(
        &self,
        node: &Node,
        from: &Session,
        sees: bool,
    ) -> Result<Arc<Account>, StanzaError> {
        let account = node.here(&self.who()).filter(|it| it.id == self.account);
        let account = account.ok_or_else(|| StanzaError::new(Condition::ServiceUnavailable))?;
        let whom = Jid::from(account.jid().clone());
        let blocks = |own: &Arc<Account>| own.id != account.id && has_blocked(own, &whom);
        if sees && from.account.as_ref().is_some_and(blocks) {
            return Err(blocked_by_you(account.name()));
        }
        match audience::hears(node, &account, &from.jid) {
            true => Ok(account),
            false => Err(StanzaError::new(Condition::ServiceUnavailable)),
        }
    }
}

/// ` to='bob@host/desk'`, as it is put into what is queued or kept.
pub(super) fn to(address: &str) -> Bytes {
    let mut to = b" to='".to_vec();
    escape(&mut to, address);
    to.push(b'\'');
    to.into()
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seat({})", self.jid)
    }
}
