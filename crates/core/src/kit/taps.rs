//! The extension points, all in one file. A new tap is a design decision; a new listener is not.

use std::sync::Arc;

use smallvec::SmallVec;
use whoelse_xmpp::{BareJid, Jid, Stanza, StanzaError};

use crate::account::Account;
use crate::carbon_tap::{Received, Sent};
use crate::node::Node;
use crate::session::Session;
use crate::storage_policy::StoragePolicy;

/// The order in which the taps on a passing stanza run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// May it pass at all?
    Guard,
    /// What must be taken out of it or put into it?
    Mark,
}

/// What a tap says of a passing stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// Let it go on.
    On,
    /// Drop it without a word.
    Drop,
    /// Send it back.
    Refuse(StanzaError),
}

/// A stanza on its way, as a tap sees it.
pub struct Passing<'a> {
    /// The server.
    pub node: &'a Node,
    /// The stanza as it arrived.
    pub stanza: &'a Stanza,
    /// Whose tap this is: the sender's account on the way out, the recipient's on the way in.
    pub account: &'a Account,
    /// Who sends it.
    pub from: &'a Jid,
    /// Whom it is addressed to.
    pub to: &'a Jid,
    /// Children that are left out of what is forwarded, by their place.
    pub strip: SmallVec<[usize; 2]>,
}

/// Are copies to be made of what an account sends or gets?
pub type WantsCopies = fn(&Account) -> bool;
/// A session has sent a message: copies may be made for the others of its account.
pub type SentTap = fn(&Sent<'_>);
/// An account was given a message: copies may be made for those of its sessions that did not get it.
pub type ReceivedTap = fn(&Received<'_>);
/// May somebody of this address see what the account does?
pub type VisibilityTap = fn(&Account, &BareJid) -> bool;
/// How is a message kept, when so much was decided before? Asked of chat and normal messages alone.
pub type StorageTap = fn(&Stanza, StoragePolicy) -> StoragePolicy;
/// Does a stanza show that a person sits at the client?
pub type ActivityTap = fn(&Stanza) -> bool;
/// A session says to all that it is available or not; what it says is told afterwards.
pub type PresenceTap = fn(&Session, &Stanza);
/// A client sends an element that is no stanza.
pub type ElementTap = fn(&Session);
/// An account came online (true) or went offline.
pub type OnlineTap = fn(&Arc<Node>, &Arc<Account>, bool);
/// A session became available.
pub type SessionTap = fn(&Arc<Node>, &Arc<Session>);
/// An account was made (true) or removed.
pub type AccountTap = fn(&Arc<Node>, &Arc<Account>, bool);
/// An account may not come in any more: it was removed, or an administrator has blocked it.
pub type BarredTap = fn(&Node, &Account);
/// Something to be done from time to time.
pub type Periodic = fn(Arc<Node>) -> super::BoxFuture<'static, ()>;
