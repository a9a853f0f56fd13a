//! One way for every stanza: from its origin to its recipient.
//!
//! It has two halves. The sender's half ([`from_session`]) sees the sender's account alone: it
//! checks what may be said, and to whom; stanzas that need nobody else branch off there. The
//! recipient's half ([`to_account`], or [`to_service`]) sees the recipient's account and the sender's *address*. Its
//! [`Answer`] says what became of the stanza, as a value that could be sent over a wire. On one
//! node the halves call each other directly.
//!
//! Everything here runs on the sender's task. What needs no waiting is done at once; the rest comes
//! back as a future, and only that sender's reading pauses for it.

pub mod fan_out;
mod from_session;
mod in_flight;
mod kept;
mod kept_at_service;
mod origin;
mod passing;
mod replaced;
mod request;
mod subscription;
mod to_account;
mod to_server;
pub(crate) mod to_service;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use in_flight::{Answer, InFlight, Taken};
pub(crate) use kept::Append;
pub use kept_at_service::{Telling, keep_at_service};
pub use origin::{Entity, Origin};
pub use to_service::Addressed;

use std::sync::Arc;

use whoelse_xmpp::{Jid, Kind, Stanza, StanzaError, StreamCondition, StreamError};

use crate::carbon_tap;
use crate::hosts::Host;
use crate::keeper::Work;
use crate::kit::BoxFuture;
use crate::node::Node;
use crate::session::{Session, Superseded};
use crate::sessions::Hold;
use crate::storage_policy;

/// The result of a stanza, for the connection that read it.
pub enum Routed {
    /// Everything is done, or on its way.
    Done,
    /// The connection may read nothing more of this session before this has finished.
    Waits(BoxFuture<'static, ()>),
    /// The stream must end.
    End(StreamError),
    /// Another connection holds the session: this one must end without another word.
    Superseded,
}

impl Routed {
    /// Both: what this one waits for, and then the other.
    pub fn and(self, other: Routed) -> Routed {
        match (self, other) {
            (Routed::Done, other) => other,
            (Routed::Waits(first), Routed::Waits(then)) => Routed::Waits(Box::pin(async move {
                first.await;
                then.await;
            })),
            (this, _) => this,
        }
    }
}

/// Takes one stanza from the connection that holds a session. If the stanza has no `xml:lang` and
/// goes to somebody else, it gets the stream's.
pub fn handle(node: &Arc<Node>, hold: &Hold, stanza: Stanza, lang: Option<&str>) -> Routed {
    let session = &hold.session;
    if stanza.kind() == Kind::Other {
        return element(node, hold, &stanza);
    }
    if let Some(from) = stanza.from()
        && !is_own(session, from)
    {
        // RFC 6120, 8.1.2.1: a `from` of anybody else ends the stream.
        return Routed::End(StreamError::new(StreamCondition::InvalidFrom));
    }
    let ticket = match session.received(hold.epoch) {
        Ok(Some(ticket)) => ticket,
        // Whoever was told that the session is over must hear nothing more of it.
        Ok(None) => return Routed::Done,
        Err(Superseded) => return Routed::Superseded,
    };
    note_activity(node, session, &stanza);
    node.counters.stanzas.received.inc(stanza.kind());
    route(node, Origin::Session { session: session.clone(), ticket }, stanza, lang)
}

/// Takes one stanza from its origin to its recipient. `lang` is the language of the stream on which
/// it came (RFC 6120, 4.7.4).
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
        silent
        @ (Origin::Ended(_) | Origin::Account(_) | Origin::Server(_) | Origin::Entity(_)) => {
            unanswered(node, silent, stanza)
        }
    }
}

/// Says a stanza in the name of a service of ours, or of an address at it. Nothing comes back: what it
/// has to know of the recipient, it is told by taps.
pub fn speak(node: &Arc<Node>, entity: Entity, stanza: Stanza) -> Routed {
    route(node, Origin::Entity(entity), stanza, None)
}

/// Sends a stanza in the name of an origin that gets no answer.
fn unanswered(node: &Arc<Node>, origin: Origin, stanza: Stanza) -> Routed {
    let Some(Ok(to)) = stanza.to().map(Jid::parse) else { return Routed::Done };
    let host = node.host_of(&to);
    // What a service says may be kept. Of anybody else, an account that is not in memory has no
    // device that could get it.
    let is_entity = matches!(origin, Origin::Entity(_));
    if host == Host::Account && !is_entity && node.here(&to.to_bare()).is_none() {
        return Routed::Done;
    }
    let key = match host {
        Host::Account => None,
        // No service speaks to another.
        Host::Service(key) if !is_entity => Some(key),
        Host::Service(_) | Host::Server | Host::Remote(_) => return Routed::Done,
    };
    let (from, strip) = (origin.address().clone(), in_flight::Places::new());
    let storage = node.wiring.storage_policy(&stanza);
    let sender = match &origin {
        Origin::Entity(entity) => entity.payer.as_ref().map(|payer| payer.id),
        _ => None,
    };
    let (lang, copy, replaces) = (None, None, None);
    let flight = InFlight { from, to, stanza, lang, strip, storage, sender, copy, replaces };
    match key {
        None => to_account::to_account(node, flight, origin),
        Some(key) => to_service::take(node, key, flight, origin),
    }
}

/// Posts work to the keeper. `full`: what the origin waits for before it says more, if it has
/// reached a bound; it waits for it also when it had to wait for a place in the lane.
pub(crate) fn post(node: &Arc<Node>, work: Work, full: Option<BoxFuture<'static, ()>>) -> Routed {
    match node.keeper.try_post(work) {
        Ok(()) => full.map_or(Routed::Done, Routed::Waits),
        Err(work) => {
            let node = node.clone();
            Routed::Waits(Box::pin(async move {
                // When the server is stopping the stanza stays unhandled, so its sender sends it
                // again.
                if node.keeper.post(work).await.is_ok()
                    && let Some(full) = full
                {
                    full.await;
                }
            }))
        }
    }
}

/// Ends the sender's half, after the recipient's half has answered.
pub(crate) fn answered(
    node: &Arc<Node>,
    origin: Origin,
    flight: &InFlight,
    answer: Answer,
) -> Routed {
    match answer {
        Answer::Taken(taken) => {
            if let Origin::Session { session, .. } = &origin
                && flight.stanza.kind() == Kind::Message
            {
                carbon_tap::of_sent(node, session, flight, &taken);
            }
        }
        Answer::Repeated => {}
        Answer::Refused(error) => return refused(node, &origin, &flight.stanza, &error),
        Answer::Asked(target) => {
            if let Origin::Session { session, ticket } = &origin {
                let origin = (session.clone(), *ticket);
                return request::of_session(node, origin, flight.stanza.clone(), target);
            }
        }
        Answer::Replied(reply) => {
            if let Origin::Session { session, ticket } = &origin {
                let origin = (session.clone(), *ticket);
                return request::reply(node, origin, flight.stanza.clone(), reply);
            }
        }
    }
    origin.done();
    Routed::Done
}

/// Returns a stanza to its sender.
fn refused(node: &Node, origin: &Origin, stanza: &Stanza, error: &StanzaError) -> Routed {
    if stanza.kind() == Kind::Message {
        node.counters.messages.refused.inc();
    }
    origin.refuse(stanza, error);
    origin.done();
    Routed::Done
}

/// Gives an element that is not a stanza to the feature that knows it.
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

/// Whether a stanza's `from` names the session itself or its account.
fn is_own(session: &Session, from: &str) -> bool {
    Jid::parse(from).is_ok_and(|from| match from.resource() {
        Some(_) => from == *session.jid,
        None => from.as_str() == session.jid.bare(),
    })
}

/// Whether a stanza counts as activity (behaviour.md, TIMEOUT): a message with content, or what
/// features count.
fn note_activity(node: &Node, session: &Session, stanza: &Stanza) {
    if storage_policy::has_content(stanza) || node.wiring.is_activity(stanza) {
        session.touch(node.clock.moment());
    }
}

/// Waits for what a stanza still needs.
pub(crate) async fn finish(routed: Routed) {
    if let Routed::Waits(rest) = routed {
        rest.await;
    }
}
