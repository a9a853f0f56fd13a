//! The life of a stanza, from the moment a session sent it: checked, addressed, and either kept,
//! passed on, or answered.
//!
//! Everything here runs on the sender's task. What can be done without waiting is done at once;
//! the rest comes back as a future, and only that sender's reading pauses for it.

pub mod fan_out;
mod from_session;
mod kept;
mod passing;
mod request;
mod subscription;
mod to_account;

use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{
    Class, Condition, Jid, Kind, Outgoing, Stanza, StanzaError, StreamCondition, StreamError, ns,
};

use crate::account::Account;
use crate::audience;
use crate::carbon_tap;
use crate::hosts::Host;
use crate::keeper::{Append, Work};
use crate::kit::{BoxFuture, Flow, Passing, Reply, SessionCx, Target, Verb};
use crate::lasting::FAULT_OF_OURS;
use crate::node::{Node, Seek};
use crate::presence::{self, Said};
use crate::rewriting;
use crate::roster::change::Wish;
use crate::roster::{self, SubscriptionType};
use crate::session::{Queued, Session, Ticket};
use crate::sessions::Hold;
use crate::storage_policy::{self, StoragePolicy};
use crate::who_gets::{Recipients, who_gets};

/// What became of a stanza, for the connection that read it.
pub enum Routed {
    /// All is done, or on its way.
    Done,
    /// Nothing more of this session may be read before this has finished.
    Waits(BoxFuture<'static, ()>),
    /// The stream must end.
    End(StreamError),
    /// Another connection has the session: this one has nothing to say any more.
    Superseded,
}

/// Takes one stanza from the connection that holds a session. The stream's `xml:lang` is added
/// where a stanza for somebody has none.
pub fn handle(node: &Arc<Node>, hold: &Hold, stanza: Stanza, lang: Option<&str>) -> Routed {
    let session = &hold.session;
    if stanza.kind() == Kind::Other {
        return Routed::End(StreamError::new(StreamCondition::UnsupportedStanzaType));
    }
    if let Some(from) = stanza.from()
        && !is_own(session, from)
    {
        // RFC 6120, 8.1.2.1: anybody else's address ends the stream.
        return Routed::End(StreamError::new(StreamCondition::InvalidFrom));
    }
    let Ok(ticket) = session.received(hold.epoch) else { return Routed::Superseded };
    note_activity(node, session, &stanza);
    node.counters.received.inc(stanza.kind());
    let read = Said::read(node, &stanza);
    let letter = InFlight {
        node: node.clone(),
        session: session.clone(),
        ticket,
        lang: lang.map(str::to_owned).filter(|_| stanza.lang().is_none()),
        stanza,
        said: read.as_ref().cloned().unwrap_or_default(),
    };
    match read.and_then(|_| letter.address()) {
        Ok(Address::Server) => letter.for_server(),
        Ok(Address::Broadcast) => letter.broadcast(),
        Ok(Address::Account(to)) => letter.for_account(to),
        Err(error) => letter.refuse(&error),
    }
}

/// A stanza's `from` may name the session itself or its account.
fn is_own(session: &Session, from: &str) -> bool {
    Jid::parse(from).is_ok_and(|from| match from.resource() {
        Some(_) => from == *session.jid,
        None => from == **session.account.jid(),
    })
}

/// behaviour.md, TIMEOUT: a message that says something, an ad-hoc command, or a request that is
/// marked as typed by hand.
fn note_activity(node: &Node, session: &Session, stanza: &Stanza) {
    let active = match stanza.kind() {
        Kind::Message => storage_policy::has_content(stanza),
        Kind::Iq => {
            stanza.has("command", ns::COMMANDS) || stanza.has("by-hand", ns::WHOELSE_ACTIVITY)
        }
        Kind::Presence | Kind::Other => false,
    };
    if active {
        session.touch(node.clock.moment());
    }
}

/// Whom a stanza is for.
enum Address {
    /// A presence without an address.
    Broadcast,
    /// The domain itself.
    Server,
    /// A local account or one of its sessions.
    Account(Jid),
}

/// Children of a stanza, by their place.
type Places = SmallVec<[usize; 2]>;

/// The end whose taps are run.
#[derive(Clone, Copy)]
enum Way {
    /// The sender's.
    Out,
    /// The recipient's.
    In,
}

/// A stanza under way: what arrived, from which session, and its place in the count.
struct InFlight {
    node: Arc<Node>,
    session: Arc<Session>,
    ticket: Ticket,
    lang: Option<String>,
    stanza: Stanza,
    /// What a presence says.
    said: Said,
}

impl InFlight {
    fn done(&self) -> Routed {
        self.session.done(self.ticket);
        Routed::Done
    }

    fn refuse(&self, error: &StanzaError) -> Routed {
        if self.stanza.kind() == Kind::Message {
            self.node.counters.messages.refused.inc();
        }
        self.session.answer_error(&self.stanza, error);
        self.done()
    }

    fn refuse_with(&self, condition: Condition) -> Routed {
        self.refuse(&StanzaError::new(condition))
    }

    fn address(&self) -> Result<Address, StanzaError> {
        self.check_iq()?;
        let Some(to) = self.stanza.to() else {
            return Ok(match self.stanza.kind() {
                Kind::Presence => Address::Broadcast,
                // RFC 6120, 10.3: without an address it is for the sender's own account.
                _ => Address::Account(self.session.account.jid().clone().into()),
            });
        };
        let to = Jid::parse(to).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
        match self.node.hosts().find(&to) {
            Host::Server => Ok(Address::Server),
            Host::Account => Ok(Address::Account(to)),
            Host::Remote(domain) => Err(StanzaError::new(Condition::RemoteServerNotFound)
                .with_text(format!("cannot reach {domain}"))),
        }
    }

    /// Runs the taps of one end; `strip` grows by what they leave out of what is forwarded.
    fn taps(
        &self,
        way: Way,
        (from, to): (&Jid, &Jid),
        account: &Account,
        strip: Places,
    ) -> Result<Places, Flow> {
        let mut passing = Passing {
            node: &self.node,
            stanza: &self.stanza,
            account,
            from,
            sender: &self.session.account,
            to,
            strip,
        };
        let flow = match way {
            Way::Out => self.node.wiring.run_outgoing(&mut passing),
            Way::In => self.node.wiring.run_incoming(&mut passing),
        };
        match flow {
            Flow::On => Ok(passing.strip),
            stop => Err(stop),
        }
    }
}

async fn finish(routed: Routed) {
    if let Routed::Waits(rest) = routed {
        rest.await;
    }
}
