//! What is said to a service, or to an address at it. Requests to the service itself are answered by
//! handlers, like those to the server; all else is for what the service has declared to take it.

use std::sync::Arc;

use whoelse_xmpp::{BareJid, Condition, Edit, Jid, Kind, Outgoing, Stanza, StanzaError};

use super::in_flight::{InFlight, Places};
use super::{Origin, Routed, refused, request};
use crate::kit::{self, BoxFuture, Target};
use crate::node::Node;
use crate::presence::directed;
use crate::rewriting;
use crate::session::Session;
use crate::storage_policy::StoragePolicy;

/// A stanza to a service, as what takes it gets it. It was checked, and the taps of its sender have
/// let it pass.
pub struct Addressed(InFlight);

impl Addressed {
    /// The sender.
    pub fn from(&self) -> &Jid {
        &self.0.from
    }

    /// The recipient: the service, or an address at it.
    pub fn to(&self) -> &Jid {
        &self.0.to
    }

    /// The stanza as it arrived.
    pub fn stanza(&self) -> &Stanza {
        &self.0.stanza
    }

    /// The language of the sender's stream, if the stanza has none of its own.
    pub fn lang(&self) -> Option<&str> {
        self.0.lang.as_deref()
    }

    /// The children that are left out of what is forwarded, by index, sorted.
    pub fn strip(&self) -> &[usize] {
        &self.0.strip
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.0.is_request()
    }

    /// How it is kept, if it is said to one person.
    pub fn storage(&self, node: &Node) -> StoragePolicy {
        node.wiring.storage_policy(&self.0.stanza)
    }

    /// How it is kept, if it is said to a room.
    pub fn storage_in_room(&self, node: &Node) -> StoragePolicy {
        node.wiring.storage_policy_in_room(&self.0.stanza)
    }

    pub(super) fn into_flight(self) -> InFlight {
        self.0
    }

    /// Returns it to its sender.
    pub fn refuse(&self, node: &Node, origin: &Origin, error: &StanzaError) -> Routed {
        refused(node, origin, &self.0.stanza, error)
    }

    /// What answers it, a request to an address at the service, on behalf of the account behind that
    /// address: as if a stranger had asked the account, by this address of theirs. Nobody hears who the
    /// account is. `None`: nothing answers it.
    pub fn on_behalf(
        &self,
        node: &Arc<Node>,
        asker: Jid,
        account: &BareJid,
    ) -> Option<BoxFuture<'static, kit::Answer>> {
        let edit = Edit { attributes: &[("to", Some(account.as_str()))], ..Edit::default() };
        let stanza = Stanza::parse(self.0.stanza.edited(&edit)?).ok()?;
        request::for_stranger(node, asker, &stanza)
    }

    /// Answers it, a request, by what this work gives, like a handler: on a task of its own, at the
    /// latest when the deadline has come.
    pub fn answer(
        self,
        node: &Arc<Node>,
        origin: Origin,
        work: BoxFuture<'static, kit::Answer>,
    ) -> Routed {
        request::by(node, self.0, origin, work)
    }
}

/// Handles a stanza of a session to a service.
pub(super) fn to_service(
    node: &Arc<Node>,
    key: &'static str,
    flight: InFlight,
    origin: Origin,
) -> Routed {
    if let Origin::Session { session, ticket } = &origin {
        if flight.is_request() && flight.to.local().is_none() && flight.to.is_bare() {
            let asks = (session.clone(), *ticket);
            return request::of_session(node, asks, flight.stanza, Target::Service(key));
        }
        // The service is told at its end by the bare address, whatever resources it was sent to.
        let to = Jid::from(flight.to.to_bare());
        if let Err(error) = directed::note(node, session, &flight.stanza, &to) {
            return refused(node, &origin, &flight.stanza, &error);
        }
    }
    take(node, key, flight, origin)
}

/// Gives a stanza to what the service has declared to take it.
pub(super) fn take(
    node: &Arc<Node>,
    key: &'static str,
    flight: InFlight,
    origin: Origin,
) -> Routed {
    if let Some(take) = node.wiring.service_of(key).and_then(|service| service.take) {
        return take(node, origin, Addressed(flight));
    }
    if comes_back(&flight) {
        let error = StanzaError::new(Condition::ServiceUnavailable);
        return refused(node, &origin, &flight.stanza, &error);
    }
    origin.done();
    Routed::Done
}

/// Whether a stanza is returned where nothing takes it: alike for every address.
fn comes_back(flight: &InFlight) -> bool {
    match flight.stanza.kind() {
        Kind::Message => !matches!(flight.stanza.type_(), Some("error" | "headline")),
        _ => flight.is_request(),
    }
}

/// Tells a service that a session to which it was shown is gone, or no longer available: `presence`
/// says so, without an address.
pub(crate) fn tell_gone(
    node: &Arc<Node>,
    key: &'static str,
    session: &Arc<Session>,
    (to, presence): (&Jid, &Outgoing),
) {
    let presence = presence.with_attributes(&rewriting::attribute("to", to.as_str()));
    let Ok(stanza) = Stanza::parse(presence.bytes) else { return };
    let flight = InFlight {
        from: session.jid.clone().into(),
        to: to.clone(),
        stanza,
        lang: None,
        strip: Places::new(),
        storage: StoragePolicy::Never,
        sender: None,
        copy: None,
        replaces: None,
    };
    if let Routed::Waits(rest) = take(node, key, flight, Origin::Ended(session.clone())) {
        tokio::spawn(rest);
    }
}
