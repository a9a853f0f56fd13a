//! What goes between the two halves: a stanza to the recipient's, an answer back. Neither holds
//! anything that could not be sent over a wire.

use std::sync::Arc;

use compact_str::CompactString;
use smallvec::SmallVec;
use whoelse_store::{NewRow, Replaced};
use whoelse_xmpp::{Class, Jid, Kind, Outgoing, Stanza, StanzaError};

use crate::account::Account;
use crate::audience;
use crate::kit;
use crate::kit::Target;
use crate::kit::taps::Replacing;
use crate::node::Node;
use crate::presence::said::says_how;
use crate::rewriting;
use crate::session::{Due, Sender, Session};
use crate::storage_policy::StoragePolicy;

/// Indices of children of a stanza.
pub(crate) type Places = SmallVec<[usize; 2]>;

/// A stanza that its sender may send, on its way to the recipient's account.
pub(crate) struct InFlight {
    /// The sender.
    pub from: Jid,
    /// The recipient.
    pub to: Jid,
    /// The stanza as it arrived.
    pub stanza: Stanza,
    /// The language of the sender's stream, if the stanza has none of its own.
    pub lang: Option<CompactString>,
    /// The children that are left out of the forwarded stanza, by index.
    pub strip: Places,
    /// How the stanza is kept, if it is a message. It is decided once, and says the same to both
    /// halves.
    pub storage: StoragePolicy,
    /// The account of the sender, by which a repeat is recognised; the server itself has none.
    pub sender: Option<i64>,
    /// The row for the sender's archive, in case the message is kept: appended after the
    /// recipient's, and stored only with it.
    pub copy: Option<NewRow>,
    /// What it puts in the place of earlier messages, if that is what it is for.
    pub replaces: Option<Replaces>,
}

/// What a message puts in the place of earlier ones.
pub(crate) struct Replaces {
    /// Which of them, and by what.
    pub meant: Box<dyn Replacing>,
    /// Messages before this time are of whoever had the sender's name before.
    pub since: i64,
    /// What is found so far.
    pub found: Vec<Replaced>,
}

/// The recipient's half's result for a stanza.
pub(crate) enum Answer {
    /// Some device has it, or the log does, or it is dropped and its sender is not told. There is
    /// one answer for all of that: the sender's own copies would tell a difference.
    Taken(Taken),
    /// The recipient has it already, and so the sender's devices have their copies.
    Repeated,
    /// The stanza is refused with this error.
    Refused(StanzaError),
    /// A request that the asker's own server answers, since the asker has this relation to the
    /// address.
    Asked(Target),
    /// A request that was answered on behalf of the account.
    Replied(kit::Answer),
}

/// The devices that took a message, as far as its sender's half has to know.
#[derive(Default)]
pub(crate) struct Taken {
    /// The number of the message in the sender's archive, if it is there.
    pub number: Option<i64>,
    /// The sender's own devices that took it, if it was sent to oneself.
    pub by: Vec<CompactString>,
}

impl Taken {
    /// Notes that these devices of the account `recipient` took a stanza, which has this number in
    /// its sender's archive.
    pub fn of(
        flight: &InFlight,
        number: Option<i64>,
        recipient: i64,
        targets: &[Arc<Session>],
    ) -> Taken {
        let by = match flight.sender == Some(recipient) {
            true => targets.iter().map(|device| device.resource().into()).collect(),
            false => Vec::new(),
        };
        Taken { number, by }
    }
}

impl InFlight {
    /// Whether the stanza is a request.
    pub fn is_request(&self) -> bool {
        self.stanza.kind() == Kind::Iq && matches!(self.stanza.type_(), Some("get" | "set"))
    }

    /// What the stanza is to a device of its recipient, if it is not kept.
    pub fn passes(&self, node: &Node, recipient: &Account) -> Due {
        let is_stranger = !audience::knows(node, recipient, &self.from);
        match !is_stranger && says_how(&self.stanza) {
            true => Due::Presence,
            false => Due::Passing(Sender { account: self.sender.unwrap_or_default(), is_stranger }),
        }
    }

    /// Whether the stanza is for the account that sent it.
    pub fn is_to_oneself(&self) -> bool {
        self.from.bare() == self.to.bare()
    }

    /// Returns the stanza as its recipient gets it.
    pub fn outgoing(&self, class: Class) -> Outgoing {
        rewriting::for_recipient(
            &self.stanza,
            self.from.as_str(),
            self.lang.as_deref(),
            self.added_to(),
            &self.strip,
            class,
        )
    }

    /// Returns the stanza as the log keeps it.
    pub fn for_log(&self) -> Outgoing {
        rewriting::for_log(&self.stanza, self.lang.as_deref(), self.added_to(), &self.strip)
    }

    /// The address to put in: a stanza without one is for the sender's own account.
    fn added_to(&self) -> Option<&str> {
        (!self.stanza.is_addressed()).then(|| self.to.as_str())
    }
}
