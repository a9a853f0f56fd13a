//! The sender's half, for a session: checks a stanza, and decides by its recipient where it goes.
//! It looks at no account but the sender's.

use std::sync::Arc;

use compact_str::CompactString;
use smallvec::SmallVec;
use whoelse_store::{Direction, NewRow};
use whoelse_xmpp::{Condition, Jid, Kind, Stanza, StanzaError};

use super::in_flight::{InFlight, Places};
use super::{
    Origin, Routed, finish, refused, replaced, request, subscription, to_account, to_server,
    to_service,
};
use crate::account::Account;
use crate::hosts::Host;
use crate::kit::taps::Replacing;
use crate::kit::{Flow, Passing, Target};
use crate::node::Node;
use crate::presence::{self, Said};
use crate::session::{Session, Ticket};
use crate::storage_policy::StoragePolicy;

/// A stanza of a session.
struct Speech {
    node: Arc<Node>,
    session: Arc<Session>,
    ticket: Ticket,
    stanza: Stanza,
    lang: Option<CompactString>,
    /// The content of a presence.
    said: Said,
}

/// The recipient of a stanza, seen from its sender.
enum Address {
    /// Everybody: a presence without an address.
    Everybody,
    /// The server itself.
    Server,
    /// An account or one of its devices, or a session of the server itself.
    Account(Jid),
    /// A service, by its key, or an address at it.
    Service(&'static str, Jid),
}

/// A stanza that its sender may send, with the session and the place that it has in its count.
type Passed = (Arc<Node>, (Arc<Session>, Ticket), InFlight);

/// Takes a stanza of a session; the ticket is its place in the count.
pub(super) fn speak(
    node: &Arc<Node>,
    (session, ticket): (Arc<Session>, Ticket),
    stanza: Stanza,
    lang: Option<&str>,
) -> Routed {
    let swaps = session.account.as_ref().map_or(0, |own| own.swaps());
    let stanza = presence::amended(node, &session, stanza);
    let read = Said::read(node, &stanza).map(|said| Said { swaps, ..said });
    let lang = lang.filter(|_| stanza.lang().is_none()).map(CompactString::new);
    let (said, wrong) = match read {
        Ok(said) => (said, None),
        Err(error) => (Said::default(), Some(error)),
    };
    let speech = Speech { node: node.clone(), session, ticket, stanza, lang, said };
    match wrong.map_or_else(|| speech.address(), Err) {
        Ok(Address::Server) => speech.for_server(),
        Ok(Address::Everybody) => speech.for_everybody(),
        Ok(Address::Account(to)) => speech.for_account(to),
        Ok(Address::Service(key, to)) => speech.for_service(key, to),
        Err(error) => speech.refuse(&error),
    }
}

/// RFC 6120, 8.2.3: checks the id, the type, and that a request has exactly one payload.
fn check_iq(node: &Node, stanza: &Stanza) -> Result<(), StanzaError> {
    if stanza.kind() != Kind::Iq {
        return Ok(());
    }
    let payloads = request::payloads(node, stanza).count();
    let sound = stanza.id().is_some()
        && match stanza.type_() {
            Some("get" | "set") => payloads == 1,
            Some("result") => payloads <= 1,
            Some("error") => true,
            _ => false,
        };
    if sound { Ok(()) } else { Err(StanzaError::new(Condition::BadRequest)) }
}

/// Makes the row of a message for its sender's archive. A message to oneself has only the
/// recipient's row.
fn own_row(node: &Node, own: &Account, storage: StoragePolicy, to: &Jid) -> Option<NewRow> {
    let is_archived = storage == StoragePolicy::Archived
        && node.settings().history.is_some()
        && own.jid().as_str() != to.bare()
        && node.wiring.archives(node, own, to);
    is_archived.then(|| NewRow {
        archive: own.archive,
        peer: node.key_of(to.bare()),
        direction: Direction::Out,
    })
}

/// Looks for what a message replaces in its sender's archive, and hands it on. The session says nothing
/// more before that, and all of it happens in the turn of its account to read much.
fn replace(
    node: &Arc<Node>,
    session: Arc<Session>,
    (mut flight, origin): (InFlight, Origin),
    meant: Box<dyn Replacing>,
) -> Routed {
    let node = node.clone();
    Routed::Waits(Box::pin(async move {
        let Some(own) = session.account.clone() else { return };
        // What it has said before is in the archive by then.
        node.keeper.caught_up_with(&own).await;
        let hand_on = async {
            let handed = match replaced::said(&node, &own, &flight, meant).await {
                Ok(replaces) => {
                    flight.replaces = Some(replaces);
                    to_account::to_account(&node, flight, origin)
                }
                Err(error) => refused(&node, &origin, &flight.stanza, &error),
            };
            finish(handed).await;
        };
        session.in_reading_turn(node.clock.steady(), hand_on).await;
    }))
}

impl Speech {
    fn done(&self) -> Routed {
        self.session.done(self.ticket);
        Routed::Done
    }

    fn refuse(self, error: &StanzaError) -> Routed {
        let origin = Origin::Session { session: self.session, ticket: self.ticket };
        refused(&self.node, &origin, &self.stanza, error)
    }

    fn refuse_with(self, condition: Condition) -> Routed {
        self.refuse(&StanzaError::new(condition))
    }

    fn address(&self) -> Result<Address, StanzaError> {
        check_iq(&self.node, &self.stanza)?;
        let Some(to) = self.stanza.to() else {
            return Ok(match (self.stanza.kind(), &self.session.account) {
                (Kind::Presence, _) => Address::Everybody,
                // RFC 6120, 10.3: a message without an address is for the sender's own account.
                (_, Some(own)) => Address::Account(own.jid().clone().into()),
                (_, None) => Address::Server,
            });
        };
        let to = Jid::parse(to).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
        match self.node.host_of(&to) {
            Host::Server => Ok(Address::Server),
            Host::Account => Ok(Address::Account(to)),
            Host::Service(key) => Ok(Address::Service(key, to)),
            Host::Remote(domain) => Err(StanzaError::new(Condition::RemoteServerNotFound)
                .with_text(format!("cannot reach {domain}"))),
        }
    }

    fn for_server(self) -> Routed {
        match (self.stanza.kind(), self.stanza.type_()) {
            (Kind::Iq, Some("get" | "set")) => {
                // The server itself asks about itself.
                let target = self.stanza.to().map_or(Target::Own, |_| Target::Server);
                request::of_session(&self.node, (self.session, self.ticket), self.stanza, target)
            }
            (Kind::Iq, _) => {
                self.session.answers(&self.stanza);
                self.done()
            }
            (Kind::Message, None | Some("chat" | "normal" | "groupchat")) => {
                self.refuse_with(Condition::ServiceUnavailable)
            }
            _ => self.done(),
        }
    }

    fn for_everybody(self) -> Routed {
        match self.stanza.type_() {
            None | Some("unavailable") => {}
            Some("error") => return self.done(),
            Some(_) => return self.refuse_with(Condition::BadRequest),
        }
        if self.session.account.is_none() {
            // The server has no presence.
            return self.done();
        }
        match self.node.pay_for_presence(&self.session, &self.stanza) {
            None => self.say_presence(),
            Some(covered) => Routed::Waits(Box::pin(async move {
                self.node.clock.sleep_until(covered).await;
                self.say_presence();
            })),
        }
    }

    fn say_presence(self) -> Routed {
        self.node.wiring.tell_presence(&self.node, &self.session, &self.stanza);
        let presence = (&self.stanza, &self.said);
        presence::broadcast(
            &self.node,
            (&self.session, self.ticket),
            presence,
            self.lang.as_deref(),
        );
        self.done()
    }

    fn for_account(self, to: Jid) -> Routed {
        let (node, (session, ticket), mut flight) = match self.pass(to) {
            Ok(passed) => passed,
            Err(stopped) => return stopped,
        };
        flight.storage = node.wiring.storage_policy(&flight.stanza);
        let own = session.account.as_ref();
        flight.copy = own.and_then(|own| own_row(&node, own, flight.storage, &flight.to));
        if flight.is_request() && flight.to.is_bare() && flight.is_to_oneself() {
            return request::of_session(&node, (session, ticket), flight.stanza, Target::Own);
        }
        if presence::is_for_account(&flight.stanza) {
            return subscription::say(&node, (session, ticket), flight);
        }
        let noted = presence::directed::note(&node, &session, &flight.stanza, &flight.to);
        let origin = Origin::Session { session: session.clone(), ticket };
        match noted {
            Ok(()) if flight.to.local().is_none() => to_server::to_server(&node, flight, origin),
            Ok(()) => match replaced::meant(&node, &flight) {
                Some(meant) => replace(&node, session, (flight, origin), meant),
                None => to_account::to_account(&node, flight, origin),
            },
            Err(error) => refused(&node, &origin, &flight.stanza, &error),
        }
    }

    fn for_service(self, key: &'static str, to: Jid) -> Routed {
        match self.pass(to) {
            Ok((node, (session, ticket), flight)) => {
                let origin = Origin::Session { session, ticket };
                to_service::to_service(&node, key, flight, origin)
            }
            Err(stopped) => stopped,
        }
    }

    /// Lets the stanza go on to a recipient, kept nowhere so far, unless a tap of the sender's account
    /// stops it. These taps need no other account, whoever the recipient is.
    fn pass(self, to: Jid) -> Result<Passed, Routed> {
        let from = Jid::from(self.session.jid.clone());
        let strip = match self.taps(&from, &to) {
            Ok(strip) => strip,
            Err(Flow::Refuse(error)) => return Err(self.refuse(&error)),
            Err(_) => return Err(self.done()),
        };
        let Speech { node, session, ticket, stanza, lang, .. } = self;
        let sender = session.account.as_ref().map(|own| own.id);
        let storage = StoragePolicy::Never;
        let (copy, replaces) = (None, None);
        let flight = InFlight { from, to, stanza, lang, strip, storage, sender, copy, replaces };
        Ok((node, (session, ticket), flight))
    }

    /// Runs the taps of the sender's account. Returns the children that they leave out of the
    /// forwarded stanza.
    fn taps(&self, from: &Jid, to: &Jid) -> Result<Places, Flow> {
        let mut passing = Passing {
            node: &self.node,
            stanza: &self.stanza,
            account: self.session.account.as_deref(),
            from,
            to,
            strip: SmallVec::clone(&self.said.drop),
        };
        match self.node.wiring.run_outgoing(&mut passing) {
            Flow::On => {
                passing.strip.sort_unstable();
                Ok(passing.strip)
            }
            stop => Err(stop),
        }
    }
}
