//! A passing stanza, which is not kept: delivered at once, or after what is on its way to the same
//! account.

use std::sync::Arc;

use whoelse_xmpp::{Class, Condition, Kind, Outgoing, StanzaError};

use super::in_flight::{Answer, InFlight, Taken};
use super::{Origin, Routed, answered};
use crate::account::Account;
use crate::audience;
use crate::carbon_tap::{self, Number};
use crate::keeper::Work;
use crate::node::Node;
use crate::rewriting;
use crate::session::{Due, Queued, Session};
use crate::storage_policy;
use crate::who_gets::{Recipients, Sessions, who_gets};

/// Delivers a stanza now to these sessions of an account, to which nothing is on its way.
/// `keepable`: it goes to the log if none of them ever confirms it. `None`: none of them has room for
/// it, and it goes to the log at once.
pub(super) fn pass(
    node: &Node,
    account: &Account,
    flight: &InFlight,
    keepable: bool,
    targets: &[Arc<Session>],
) -> Option<Answer> {
    let class = if keepable { Class::Kept(0) } else { rewriting::class(&flight.stanza) };
    let outgoing = flight.outgoing(class);
    let due = flight.passes(node, account);
    match push(node, account, (flight, &outgoing, due), targets) {
        true => Some(taken(account, flight, targets)),
        false if keepable => None,
        false => Some(no_room(node, account, flight)),
    }
}

/// Delivers a stanza after what is still being committed to the account, whoever has sent that. What
/// comes after this stanza follows it in turn.
pub(super) fn follow(
    node: &Arc<Node>,
    account: Arc<Account>,
    flight: InFlight,
    origin: Origin,
) -> Routed {
    let outgoing = flight.outgoing(rewriting::class(&flight.stanza));
    let (due, bytes) = (flight.passes(node, &account), outgoing.bytes.len());
    if !account.let_follow(due, bytes, &node.settings().limits) {
        let answer = no_room(node, &account, &flight);
        return answered(node, origin, &flight, answer);
    }
    account.arriving.begin();
    let full = origin.charge(node, bytes);
    let ride = Work::Ride(Box::new(move |node: &Arc<Node>| {
        let (kind, type_) = (flight.stanza.kind(), flight.stanza.type_());
        let answer = match who_gets(kind, type_, flight.to.resource(), &account) {
            Recipients::Unavailable => {
                Answer::Refused(StanzaError::new(Condition::ServiceUnavailable))
            }
            // The sender may have been blocked after it was accepted.
            _ if !audience::hears(node, &account, &flight.from) => unheard(&outgoing),
            recipients => {
                let targets = match recipients {
                    Recipients::Deliver(targets) => targets,
                    _ => Sessions::new(),
                };
                match push(node, &account, (&flight, &outgoing, due), &targets) {
                    true => taken(&account, &flight, &targets),
                    false => no_room(node, &account, &flight),
                }
            }
        };
        account.has_followed(due, bytes);
        origin.discharge(bytes);
        answered(node, origin, &flight, answer);
        // Last, so that the next stanza stays after this one, and its copies after these copies.
        account.arriving.finish();
    }));
    super::post(node, ride, full)
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
            return follow(node, account, flight, origin);
        }
        carbon_tap::of_received(node, &account, (&flight, None), (&[], false), Number::default());
    }
    answered(node, origin, &flight, Answer::Taken(Taken::default()))
}

/// The stanza is delivered to nobody. Only a sender who waits for an answer gets one.
fn unheard(outgoing: &Outgoing) -> Answer {
    match outgoing.class == Class::IqRequest {
        true => Answer::Refused(StanzaError::new(Condition::ServiceUnavailable)),
        false => Answer::Taken(Taken::default()),
    }
}

/// Queues a stanza for these devices. Returns false if there are any and none has room for it.
fn push(
    node: &Node,
    account: &Account,
    (flight, outgoing, due): (&InFlight, &Outgoing, Due),
    targets: &[Arc<Session>],
) -> bool {
    let item = || Queued::new(outgoing.clone(), due);
    let taken = targets.iter().filter(|session| session.push_queued(item()).is_ok()).count();
    if taken == 0 && !targets.is_empty() {
        return false;
    }
    if flight.stanza.kind() == Kind::Message {
        if taken > 0 {
            node.counters.messages.passed.inc();
        }
        let message = (flight, Some(outgoing));
        carbon_tap::of_received(node, account, message, (targets, false), Number::default());
    }
    true
}

fn taken(account: &Account, flight: &InFlight, targets: &[Arc<Session>]) -> Answer {
    Answer::Taken(Taken::of(flight, None, account.id, targets))
}

/// The answer to a stanza for which no device has room. A request is answered as for nobody; what a
/// person has written, or what waits for an answer, comes back to a sender who may see the recipient.
/// Whoever may not must not learn from it who is there.
fn no_room(node: &Node, account: &Account, flight: &InFlight) -> Answer {
    node.counters.without_room.inc();
    if flight.is_request() {
        return Answer::Refused(StanzaError::new(Condition::ServiceUnavailable));
    }
    let sees = || audience::sees(node, account, &flight.from.to_bare());
    match storage_policy::is_written(&flight.stanza) && sees() {
        true => Answer::Refused(
            StanzaError::new(Condition::ResourceConstraint)
                .with_text("too much waits there, try again later"),
        ),
        // As if some device had taken it.
        false => Answer::Taken(Taken::default()),
    }
}
