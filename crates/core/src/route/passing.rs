//! A passing stanza, which is not kept: delivered at once, or after what is on its way to the same
//! account.

use std::sync::Arc;

use bytes::Bytes;
use whoelse_xmpp::{Class, Condition, Kind, Outgoing, StanzaError};

use super::in_flight::{Answer, InFlight, Taken};
use super::{Origin, Routed, answered};
use crate::account::Account;
use crate::audience;
use crate::carbon_tap::{self, Number};
use crate::keeper::Work;
use crate::node::Node;
use crate::rewriting;
use crate::session::{Queued, Session};
use crate::who_gets::{Recipients, who_gets};

/// Delivers a stanza now to these sessions of an account, to which nothing is on its way.
/// `keepable`: it goes to the log if none of them ever confirms it.
pub(super) fn pass(
    node: &Node,
    account: &Account,
    flight: &InFlight,
    keepable: bool,
    targets: &[Arc<Session>],
) -> Answer {
    push(node, account, (flight, &outgoing(flight, keepable)), targets)
}

fn outgoing(flight: &InFlight, keepable: bool) -> Outgoing {
    flight.outgoing(if keepable { Class::Kept(0) } else { rewriting::class(&flight.stanza) })
}

/// Delivers a stanza after what is still being committed to the account, whoever has sent that. What
/// comes after this stanza follows it in turn.
pub(super) fn follow(
    node: &Arc<Node>,
    account: Arc<Account>,
    flight: InFlight,
    origin: Origin,
    keepable: bool,
) -> Routed {
    let outgoing = outgoing(&flight, keepable);
    account.arriving.begin();
    let bytes = outgoing.bytes.len();
    let full = origin.charge(node, bytes);
    let ride = Work::Ride(Box::new(move |node: &Arc<Node>| {
        let (kind, type_) = (flight.stanza.kind(), flight.stanza.type_());
        let answer = match who_gets(kind, type_, flight.to.resource(), &account) {
            Recipients::Unavailable => {
                Answer::Refused(StanzaError::new(Condition::ServiceUnavailable))
            }
            // The sender may have been blocked after it was accepted.
            _ if !audience::hears(node, &account, &flight.from) => unheard(&outgoing),
            Recipients::Deliver(targets) => push(node, &account, (&flight, &outgoing), &targets),
            _ => push(node, &account, (&flight, &outgoing), &[]),
        };
        origin.discharge(bytes);
        answered(node, origin, &flight, answer);
        // Last, so that the next stanza stays after this one, and its copies after these copies.
        account.arriving.finish();
    }));
    match node.keeper.try_post(ride) {
        Ok(()) => full.map_or(Routed::Done, Routed::Waits),
        Err(ride) => {
            let node = node.clone();
            Routed::Waits(Box::pin(async move {
                // The server is stopping: the stanza stays unhandled, so its sender sends it again.
                let _ = node.keeper.post(ride).await;
            }))
        }
    }
}

/// Handles a stanza that no device takes and no log keeps. Copies of a message are made all the
/// same, in its turn.
pub(super) fn to_nobody(
    node: &Arc<Node>,
    account: Arc<Account>,
    flight: InFlight,
    origin: Origin,
) -> Routed {
    if flight.stanza.kind() == Kind::Message {
        if account.arriving.is_open() {
            return follow(node, account, flight, origin, false);
        }
        carbon_tap::of_received(node, &account, (&flight, None), (&[], false), Number::default());
    }
    answered(node, origin, &flight, Answer::Taken(Taken::default()))
}

/// The stanza is delivered to nobody. Only a sender who waits for an answer gets one.
fn unheard(outgoing: &Outgoing) -> Answer {
    match asks(outgoing) {
        true => Answer::Refused(StanzaError::new(Condition::ServiceUnavailable)),
        false => Answer::Taken(Taken::default()),
    }
}

/// Whether a stanza comes back when no device takes it.
fn asks(outgoing: &Outgoing) -> bool {
    outgoing.class == Class::IqRequest || outgoing.class == Class::Kept(0)
}

fn push(
    node: &Node,
    account: &Account,
    (flight, outgoing): (&InFlight, &Outgoing),
    targets: &[Arc<Session>],
) -> Answer {
    let item = || Queued { stanza: outgoing.clone(), to: Bytes::new() };
    let taken = targets.iter().filter(|session| session.push_queued(item()).is_ok()).count();
    if taken == 0 && asks(outgoing) {
        return Answer::Refused(StanzaError::new(Condition::ServiceUnavailable));
    }
    if flight.stanza.kind() == Kind::Message {
        if taken > 0 {
            node.counters.messages.passed.inc();
        }
        let message = (flight, Some(outgoing));
        carbon_tap::of_received(node, account, message, (targets, false), Number::default());
    }
    Answer::Taken(Taken::of(flight, None, account.id, targets))
}
