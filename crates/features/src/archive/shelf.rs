//! An archive as whoever reads it sees it: whose it is, and how its rows are shown.

use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::{Node, delivery};
use whoelse_store::{Direction, LoggedMessage};
use whoelse_xmpp::{BareJid, Class, Jid, Kind, Outgoing, Stanza};

/// An archive, and how it is shown to whoever reads it.
pub(crate) trait Shelf: Send + Sync {
    /// Its number in the store.
    fn archive(&self) -> i64;

    /// Whose it is.
    fn address(&self) -> &BareJid;

    /// How it is searched for messages with this address; `None`: whoever reads it finds none.
    fn with(&self, address: &Jid) -> Option<With>;

    /// Whether a row is with this address. Asked if [`With::look`] says so.
    fn is_with(&self, row: &LoggedMessage, address: &Jid) -> bool;

    /// The message of a row, as it is shown.
    fn message(&self, row: &LoggedMessage) -> Outgoing;
}

/// How an archive is searched for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct With {
    /// The key of a peer, which has an index.
    pub peer: Option<String>,
    /// Whether the messages themselves have to be looked at.
    pub look: bool,
}

/// The archive of an account, for its owner.
pub(super) struct OwnShelf {
    pub node: Arc<Node>,
    pub own: Arc<Account>,
}

impl OwnShelf {
    /// The full address of the sender, under the domain's present name.
    fn sender(&self, row: &LoggedMessage) -> String {
        let resource = row.resource.as_deref().unwrap_or_default();
        match row.direction {
            Direction::Out => delivery::full(self.own.jid().as_str(), resource),
            Direction::In | Direction::Passing | Direction::Heard => {
                self.node.address_of(&row.peer, resource)
            }
        }
    }
}

impl Shelf for OwnShelf {
    fn archive(&self) -> i64 {
        self.own.archive
    }

    fn address(&self) -> &BareJid {
        self.own.jid()
    }

    fn with(&self, address: &Jid) -> Option<With> {
        let peer = self.node.key_of(address.to_bare().as_str());
        // The log knows only bare addresses.
        Some(With { peer: Some(peer), look: address.resource().is_some() })
    }

    fn is_with(&self, row: &LoggedMessage, address: &Jid) -> bool {
        let stanza = Stanza::parse(row.stanza.clone()).ok();
        let to = stanza.as_ref().and_then(|stanza| stanza.to());
        self.sender(row) == address.as_str() || to == Some(address.as_str())
    }

    fn message(&self, row: &LoggedMessage) -> Outgoing {
        let kept = Outgoing::from_encoded(Kind::Message, row.stanza.clone(), Class::Message);
        delivery::addressed(&kept, &self.sender(row), &[])
    }
}
