//! The recipient's half (RFC 6121, 8): what an account does with a stanza for it. Of the sender it
//! knows only the address.

use std::sync::Arc;

use whoelse_xmpp::{Condition, Jid, Kind, StanzaError, ns};

use super::in_flight::{Answer, InFlight, Taken};
use super::{Origin, Routed, answered, finish, kept, passing, request};
use crate::account::Account;
use crate::audience;
use crate::kit::{Flow, Passing, Target};
use crate::node::{Node, Seek};
use crate::session::Session;
use crate::storage_policy::{self, StoragePolicy};
use crate::who_gets::{Recipients, who_gets};

/// Hands a stanza to its recipient's account, loaded if necessary. `origin` is the way back, and is
/// used for nothing else here.
pub(super) fn to_account(node: &Arc<Node>, flight: InFlight, origin: Origin) -> Routed {
    let bare = flight.to.to_bare();
    match node.seek(&bare) {
        Seek::Here(account) => deliver(node, account, flight, origin),
        Seek::Missing => nobody(node, flight, origin),
        Seek::NotLoaded => {
            origin.pays_for_loading(node);
            let node = node.clone();
            Routed::Waits(Box::pin(async move {
                finish(match node.look_up(&bare).await {
                    Ok(Some(account)) => deliver(&node, account, flight, origin),
                    Ok(None) => nobody(&node, flight, origin),
                    Err(error) => answered(&node, origin, &flight, Answer::Refused(error)),
                })
                .await;
            }))
        }
    }
}

/// The answer to what is dropped without a word: as if some device had taken it.
fn dropped() -> Answer {
    Answer::Taken(Taken::default())
}

fn refusal(condition: Condition) -> Answer {
    Answer::Refused(StanzaError::new(condition))
}

/// RFC 6121, 8.5.1: handles a stanza to no account. Says so only to senders who may see everybody.
///
/// Where it is hidden who exists, a message is answered as one to somebody who does not see the
/// sender. The one exception is what a person writes to somebody for the first time: a mistyped
/// name is told.
fn nobody(node: &Arc<Node>, flight: InFlight, origin: Origin) -> Routed {
    let hides = node.contacts.hide_who_exists();
    let answer = match (flight.stanza.kind(), flight.stanza.type_()) {
        (Kind::Message, Some("error")) => dropped(),
        (Kind::Message, _) if !hides => {
            let refused = StanzaError::new(Condition::ServiceUnavailable)
                .with_text(format!("there is no user {}", name(&flight.to)))
                .with_app("no-such-user", ns::WHOELSE_ERRORS);
            Answer::Refused(refused)
        }
        (Kind::Message, type_)
            if type_ == Some("groupchat")
                || is_for_one_device(&flight)
                || storage_policy::comes_back(&flight.stanza) =>
        {
            refusal(Condition::ServiceUnavailable)
        }
        (Kind::Iq, _) if flight.is_request() => hidden(&flight.to),
        _ => dropped(),
    };
    answered(node, origin, &flight, answer)
}

/// Whether a stanza is a message that only the device named may take (RFC 6121, 8.5.3.2.1).
fn is_for_one_device(flight: &InFlight) -> bool {
    flight.to.resource().is_some()
        && flight.stanza.kind() == Kind::Message
        && !matches!(flight.stanza.type_(), Some("chat" | "headline" | "error"))
}

fn name(jid: &Jid) -> &str {
    jid.local().unwrap_or(jid.domain())
}

/// Returns the answer to a request to an address that is hidden, or that nobody has: the same for
/// both, given before anything of an account could make a difference.
fn hidden(to: &Jid) -> Answer {
    Answer::Asked(if to.is_bare() { Target::Hidden } else { Target::HiddenDevice })
}

fn deliver(
    node: &Arc<Node>,
    account: Arc<Account>,
    mut flight: InFlight,
    origin: Origin,
) -> Routed {
    if flight.is_request() && is_hidden(node, &account, &flight) {
        let answer = hidden(&flight.to);
        return answered(node, origin, &flight, answer);
    }
    // It would tell a stranger which devices are connected, by whether it comes back.
    if node.contacts.hide_who_exists()
        && is_for_one_device(&flight)
        && is_hidden(node, &account, &flight)
    {
        return answered(node, origin, &flight, refusal(Condition::ServiceUnavailable));
    }
    // It would be in the sender's archive, where nothing is that was said to nobody.
    if flight.storage != StoragePolicy::Never
        && node.contacts.hide_who_exists()
        && !storage_policy::comes_back(&flight.stanza)
        && !is_seen(node, &account, &flight)
    {
        (flight.storage, flight.copy) = (StoragePolicy::Never, None);
    }
    match taps(node, &account, &mut flight) {
        Flow::On => {}
        Flow::Refuse(error) => return answered(node, origin, &flight, Answer::Refused(error)),
        Flow::Drop => return answered(node, origin, &flight, dropped()),
    }
    // What neither of the two has in an archive waits until it is delivered, and no longer.
    if flight.storage == StoragePolicy::Archived
        && flight.copy.is_none()
        && flight.replaces.is_none()
        && !node.wiring.archives(node, &account, &flight.from)
    {
        flight.storage = StoragePolicy::UntilDelivered;
    }
    let (kind, type_) = (flight.stanza.kind(), flight.stanza.type_());
    let recipients = who_gets(kind, type_, flight.to.resource(), &account);
    let keepable = flight.storage != StoragePolicy::Never;
    match recipients {
        Recipients::Unavailable => {
            answered(node, origin, &flight, refusal(Condition::ServiceUnavailable))
        }
        Recipients::Answer if kind == Kind::Iq => {
            request::of_account(node, account, flight, origin)
        }
        Recipients::Answer => answered(node, origin, &flight, dropped()),
        Recipients::NobodyThere if keepable => kept::keep(node, account, flight, origin),
        // No message is dropped in silence; but a sender who must not know whether the recipient is
        // online must not learn it from an error (RFC 6121, 8.5.2.2.1 leaves the choice).
        Recipients::NobodyThere
            if storage_policy::comes_back(&flight.stanza) && is_seen(node, &account, &flight) =>
        {
            answered(node, origin, &flight, refusal(Condition::ServiceUnavailable))
        }
        Recipients::Ignore | Recipients::NobodyThere => {
            passing::to_nobody(node, account, flight, origin)
        }
        Recipients::Deliver(targets) => {
            let taken = targets.iter().any(|session| session.is_attached());
            let archived =
                flight.storage == StoragePolicy::Archived && node.settings().history.is_some();
            // A stanza that passes after what is still on its way to the log might find nobody any
            // more.
            let follows = account.arriving.is_open();
            if archived || keepable && (!taken || follows) {
                return kept::keep(node, account, flight, origin);
            }
            if follows {
                return passing::follow(node, account, flight, origin);
            }
            match passing::pass(node, &account, &flight, keepable, &targets) {
                Some(answer) => answered(node, origin, &flight, answer),
                None => kept::keep(node, account, flight, origin),
            }
        }
    }
}

/// Runs the taps of the recipient's account, which may leave more out of the forwarded stanza.
fn taps(node: &Arc<Node>, account: &Account, flight: &mut InFlight) -> Flow {
    let strip = std::mem::take(&mut flight.strip);
    let (from, to) = (&flight.from, &flight.to);
    let mut passing =
        Passing { node, stanza: &flight.stanza, account: Some(account), from, to, strip };
    let flow = node.wiring.run_incoming(&mut passing);
    let mut strip = passing.strip;
    strip.sort_unstable();
    flight.strip = strip;
    flow
}

/// Whether the asker may ask nothing at this address: its owner does not show themselves to the
/// asker, by a subscription or by directed presence of this very device (RFC 6121, 8.5.3.1).
fn is_hidden(node: &Node, account: &Account, flight: &InFlight) -> bool {
    let shown = |device: Arc<Session>| device.has_shown_itself_to(&flight.from);
    let device = flight.to.resource().and_then(|resource| account.session(resource));
    !(is_seen(node, account, flight) || device.is_some_and(shown))
}

/// Whether the sender may see the account.
fn is_seen(node: &Node, account: &Account, flight: &InFlight) -> bool {
    audience::sees(node, account, &flight.from.to_bare())
}
