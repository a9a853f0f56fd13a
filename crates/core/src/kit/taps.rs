//! The extension points, all in one file. A new tap is a design decision; a new listener for a tap
//! is not.

use std::sync::Arc;

use smallvec::SmallVec;
use whoelse_store::{Error, Tx};
use whoelse_xmpp::{BareJid, Jid, Stanza, StanzaError};

use crate::account::Account;
use crate::carbon_tap::{Received, Sent};
use crate::node::Node;
use crate::session::{Session, Whose};
use crate::storage_policy::StoragePolicy;

/// The order in which the taps on a passing stanza run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// First: may the stanza pass at all?
    Guard,
    /// Then: what must be taken out of it or put into it?
    Mark,
}

/// The decision of a tap on a passing stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// Let it go on.
    On,
    /// Drop it without an answer.
    Drop,
    /// Send it back with this error.
    Refuse(StanzaError),
}

/// A stanza on its way, as a tap sees it.
pub struct Passing<'a> {
    /// The server.
    pub node: &'a Arc<Node>,
    /// The stanza as it arrived.
    pub stanza: &'a Stanza,
    /// The account whose tap this is: the sender's on the way out, the recipient's on the way in.
    /// None if the server itself is the sender.
    pub account: Option<&'a Account>,
    /// The sender.
    pub from: &'a Jid,
    /// The recipient.
    pub to: &'a Jid,
    /// The children that are left out of the forwarded stanza, by index.
    pub strip: SmallVec<[usize; 2]>,
}

/// Asks whether to make copies of what an account sends or gets.
pub type WantsCopies = fn(&Account) -> bool;
/// A session has sent a message: makes copies for the other sessions of its account.
pub type SentTap = fn(&Sent<'_>);
/// An account was given a message: makes copies for those of its sessions that did not get it.
pub type ReceivedTap = fn(&Received<'_>);
/// Asks whether somebody of this address, bare or of one device, may see what the account does.
pub type VisibilityTap = fn(&Account, &Jid) -> bool;
/// Decides how a message is kept, given the decision so far. Asked of chat and normal messages
/// alone.
pub type StorageTap = fn(&Stanza, StoragePolicy) -> StoragePolicy;
/// Asks whether an account keeps in its archive what passes between it and this address.
pub type ArchiveTap = fn(&Node, &Account, &Jid) -> bool;
/// A message is about to be kept: returns what it puts in the place of an earlier one; `None`: of none.
/// Asked of every message that will be in archives.
pub type ReplaceTap = fn(&Node, &Stanza) -> Option<Box<dyn Replacing>>;
/// What a message puts in the place of an earlier one, of the same sender to the same recipient: of the
/// newest that is meant.
pub trait Replacing: Send + Sync {
    /// Among how many of the last messages of the two it is looked for. The sender waits for that.
    fn among(&self) -> u32;

    /// Whether this earlier message is meant.
    fn is_meant(&self, earlier: &Stanza) -> bool;

    /// Returns what is kept in the place of a message that is meant, encoded as it was and without its
    /// sender; `None`: it stays.
    fn instead_of(&self, earlier: &Stanza) -> Option<Vec<u8>>;
}
/// Asks whether a stanza shows that a person sits at the client.
pub type ActivityTap = fn(&Stanza) -> bool;
/// A session broadcasts that it is available or not; called before the presence is sent on, and
/// before the session becomes what it says.
pub type PresenceTap = fn(&Arc<Node>, &Arc<Session>, &Stanza);
/// A client says that its session is available: returns the presence as others get it, whole; `None`: as
/// it is.
pub type AmendTap = fn(&Session, &Stanza, Occasion) -> Option<Vec<u8>>;
/// To whom a presence is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// To all who see the account.
    ToAll,
    /// To one address.
    ToOne,
    /// To all again, as it was amended before: something that is added to it has changed.
    Again,
}
/// A client sends an element that is not a stanza.
pub type ElementTap = fn(&Session);
/// An account came online (true) or went offline.
pub type OnlineTap = fn(&Arc<Node>, &Arc<Account>, bool);
/// A session became available.
pub type SessionTap = fn(&Arc<Node>, &Arc<Session>);
/// A session has room for what these accounts tell, and has missed some of it.
pub type MissedTap = fn(&Arc<Node>, &Arc<Session>, &Whose);
/// The client of an available session wants to hear of these, and did not before.
pub type WantsMoreTap = fn(&Arc<Node>, &Arc<Session>, &[&str]);
/// Somebody of this address gets the presence of the account from now on.
pub type ShownTap = fn(&Arc<Node>, &Arc<Account>, &BareJid);
/// The client of a new session has asked for something along with its login (XEP-0386).
pub type BindTap = fn(&Session);
/// Says something to the client of such a session.
pub type BoundTap =
    Box<dyn Fn(Arc<Node>, Arc<Session>) -> super::BoxFuture<'static, Vec<u8>> + Send + Sync>;
/// An account was made (true) or removed.
pub type AccountTap = fn(&Arc<Node>, &Arc<Account>, bool);
/// Something is to be done about the name of an account, by its key, wherever the feature has it stored,
/// in at most so many rows. Returns how many rows it has changed; when that is fewer, nothing is left.
pub type NameTap =
    for<'a> fn(&'a Arc<Node>, &'a mut Tx, &'a str, u64) -> super::BoxFuture<'a, Result<u64, Error>>;
/// What an account has open beside its sessions has to end: the account was removed, an
/// administrator has blocked it, or it has a new password.
pub type BarredTap = fn(&Node, &Account);
/// Periodic work.
pub type Periodic = fn(Arc<Node>) -> super::BoxFuture<'static, ()>;
