//! One way for every stanza: from whoever speaks to whoever is meant.
//!
//! It has two halves. The sender's ([`from_session`]) sees the sender's account alone: what may be
//! said, and to whom; what needs nobody else branches off there. The recipient's ([`to_account`])
//! sees the recipient's account and the sender's *address*, and says what became of it in an
//! [`Answer`], a value that could be sent over a wire. On one node they call each other directly.
//!
//! Everything here runs on the sender's task. What can be done without waiting is done at once;
//! the rest comes back as a future, and only that sender's reading pauses for it.

pub mod fan_out;
mod from_session;
mod in_flight;
mod kept;
mod origin;
mod passing;
mod request;
mod subscription;
mod to_account;

pub(crate) use in_flight::{Answer, InFlight, Taken};
pub(crate) use kept::Append;
pub use origin::Origin;

use std::sync::Arc;

use whoelse_xmpp::{Jid, Kind, Stanza, StanzaError, StreamCondition, StreamError};

use crate::carbon_tap;
use crate::kit::BoxFuture;
use crate::node::Node;
use crate::session::Session;
use crate::sessions::Hold;
use crate::storage_policy;

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
        return element(node, hold, &stanza);
    }
    if let Some(from) = stanza.from()
        && !is_own(session, from)
    {
        // RFC 6120, 8.1.2.1: anybody else's address ends the stream.
        return Routed::End(StreamError::new(StreamCondition::InvalidFrom));
    }
    let Ok(ticket) = session.received(hold.epoch) else { return Routed::Superseded };
    note_activity(node, session, &stanza);
    node.counters.stanzas.received.inc(stanza.kind());
    route(node, Origin::Session { session: session.clone(), ticket }, stanza, lang)
}

/// Takes one stanza from whoever speaks to whoever is meant. `lang` is the language of the stream it
/// came by (RFC 6120, 4.7.4).
pub(crate) fn route(
    node: &Arc<Node>,
    origin: Origin,
    stanza: Stanza,
    lang: Option<&str>,
) -> Routed {
    match origin {
        Origin::Session { session, ticket } => {
            from_session::speak(node, (session, ticket), stanza, lang)
        }
        ended @ Origin::Ended(_) => of_ended(node, ended, stanza),
    }
}

/// What the server says in the name of a session that is over. Whoever is not in memory has no device
/// that could hear it.
fn of_ended(node: &Arc<Node>, origin: Origin, stanza: Stanza) -> Routed {
    let Some(Ok(to)) = stanza.to().map(Jid::parse) else { return Routed::Done };
    if node.here(&to.to_bare()).is_none() {
        return Routed::Done;
    }
    let (from, strip) = (origin.address().clone(), in_flight::Places::new());
    let flight = InFlight { from, to, stanza, lang: None, strip, sender: None, copy: None };
    to_account::to_account(node, flight, origin)
}

/// The recipient's half has answered: this is the end of the sender's.
pub(crate) fn answered(
    node: &Arc<Node>,
    origin: Origin,
    flight: InFlight,
    answer: Answer,
) -> Routed {
    let origin = match (answer, origin) {
        (Answer::Taken(taken), origin) => {
            if let Origin::Session { session, .. } = &origin
                && flight.stanza.kind() == Kind::Message
            {
                carbon_tap::of_sent(node, session, &flight, &taken);
            }
            origin
        }
        (Answer::Refused(error), origin) => {
            return refused(node, &origin, &flight.stanza, &error);
        }
        (Answer::Asked(target), Origin::Session { session, ticket }) => {
            return request::of_session(node, (session, ticket), flight.stanza, target);
        }
        (Answer::Replied(reply), Origin::Session { session, ticket }) => {
            return request::reply(node, (session, ticket), flight.stanza, reply);
        }
        (Answer::Dropped | Answer::Asked(_) | Answer::Replied(_), origin) => origin,
    };
    origin.done();
    Routed::Done
}

/// A stanza comes back to whoever said it.
fn refused(node: &Node, origin: &Origin, stanza: &Stanza, error: &StanzaError) -> Routed {
    if stanza.kind() == Kind::Message {
        node.counters.messages.refused.inc();
    }
    origin.refuse(stanza, error);
    origin.done();
    Routed::Done
}

/// An element that is no stanza is for the feature that knows it.
fn element(node: &Node, hold: &Hold, element: &Stanza) -> Routed {
    match node.wiring.element_tap(element) {
        None => Routed::End(StreamError::new(StreamCondition::UnsupportedStanzaType)),
        Some(_) if !hold.session.is_held_by(hold.epoch) => Routed::Superseded,
        Some(tap) => {
            tap(&hold.session);
            Routed::Done
        }
    }
}

/// A stanza's `from` may name the session itself or its account.
fn is_own(session: &Session, from: &str) -> bool {
    Jid::parse(from).is_ok_and(|from| match from.resource() {
        Some(_) => from == *session.jid,
        None => from == **session.account.jid(),
    })
}

/// behaviour.md, TIMEOUT: a message that says something, and what features count as activity.
fn note_activity(node: &Node, session: &Session, stanza: &Stanza) {
    if storage_policy::has_content(stanza) || node.wiring.is_activity(stanza) {
        session.touch(node.clock.moment());
    }
}

/// Waits for what a stanza still needs.
async fn finish(routed: Routed) {
    if let Routed::Waits(rest) = routed {
        rest.await;
    }
}
