//! What goes between the two halves: a stanza down, an answer back. Neither holds anything that
//! could not be sent over a wire.

use std::sync::Arc;

use compact_str::CompactString;
use smallvec::SmallVec;
use whoelse_store::NewRow;
use whoelse_xmpp::{Class, Jid, Kind, Outgoing, Stanza, StanzaError};

use crate::kit;
use crate::kit::Target;
use crate::rewriting;
use crate::session::Session;

/// Children of a stanza, by their place.
pub(crate) type Places = SmallVec<[usize; 2]>;

/// A stanza that its sender may say, on its way to the account it is for.
pub(crate) struct InFlight {
    /// Who says it.
    pub from: Jid,
    /// Whom it is for.
    pub to: Jid,
    /// As it arrived.
    pub stanza: Stanza,
    /// The language of the sender's stream, where the stanza has none of its own.
    pub lang: Option<CompactString>,
    /// Children that are left out of what is forwarded, in their order.
    pub strip: Places,
    /// The account that says it, by which a repeat is known; none for the server's own.
    pub sender: Option<i64>,
    /// The sender's own row, should the message be kept: put after the recipient's, and stored only
    /// with it.
    pub copy: Option<NewRow>,
}

/// What the recipient's half says of a stanza.
pub(crate) enum Answer {
    /// Whoever was there has it, or the log does, or nobody was meant to be told.
    Taken(Taken),
    /// Nothing comes of it, and its sender is not told: the recipient wants to hear nothing of this,
    /// or has it already.
    Dropped,
    /// It comes back.
    Refused(StanzaError),
    /// A request that the asker's own server answers, since the asker stands so to this address.
    Asked(Target),
    /// A request was answered on behalf of the account.
    Replied(kit::Answer),
}

/// Who took a message, as far as its sender's half has to know.
#[derive(Default)]
pub(crate) struct Taken {
    /// Its number in the sender's archive, if it is there.
    pub number: Option<i64>,
    /// The sender's own devices that took it: it was sent to oneself.
    pub by: Vec<CompactString>,
}

impl Taken {
    /// These devices of an account took a stanza, which has this number in its sender's archive.
    pub fn of(flight: &InFlight, number: Option<i64>, targets: &[Arc<Session>]) -> Taken {
        let by = match flight.is_to_oneself() {
            true => targets.iter().map(|device| device.resource().into()).collect(),
            false => Vec::new(),
        };
        Taken { number, by }
    }
}

impl InFlight {
    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.stanza.kind() == Kind::Iq && matches!(self.stanza.type_(), Some("get" | "set"))
    }

    /// Whether it is for the account that sent it.
    pub fn is_to_oneself(&self) -> bool {
        self.from.bare() == self.to.bare()
    }

    /// As its recipient gets it.
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

    /// As the log keeps it.
    pub fn for_log(&self) -> Outgoing {
        rewriting::for_log(&self.stanza, self.lang.as_deref(), self.added_to(), &self.strip)
    }

    /// The address that is put in: a stanza without one is for the sender's own account.
    fn added_to(&self) -> Option<&str> {
        self.stanza.to().is_none().then(|| self.to.as_str())
    }
}
