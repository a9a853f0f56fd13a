//! Fan-out, one stanza to many: the sender's half runs once, and all local recipients share one
//! encoding.
//!
//! No account is looked at together with the origin's: each recipient's half sees only the
//! origin's address.

use whoelse_xmpp::{BareJid, Class, Outgoing};

use super::Origin;
use crate::account::Account;
use crate::audience::{self, Audience};
use crate::node::Node;

/// The result of a fan-out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// Accounts that have a device which took it.
    pub taken: usize,
    /// Accounts that do not want to hear the origin.
    pub closed: usize,
}

/// Gives one stanza, which has no `to`, to everybody of an audience. Presence goes to the available
/// devices of each account, a message to those that take messages.
///
/// This fills as many queues as the audience has sessions, so the caller must have paid for it
/// ([`Node::fan_out_turn`]).
pub fn fan_out(node: &Node, origin: &Origin, audience: Audience, stanza: &Outgoing) -> Reached {
    let (mut reached, from) = (Reached::default(), origin.address().to_bare());
    audience::each(node, origin.account().map(|it| &**it), audience, |recipient| {
        match receive(node, recipient, &from, stanza) {
            Received::Taken => reached.taken += 1,
            Received::NobodyThere => {}
            Received::Closed => reached.closed += 1,
        }
    });
    reached
}

/// Gives one stanza, which has no `to`, to the account of one address. An account that is not in
/// memory has no device that could get it.
pub(crate) fn tell(node: &Node, from: &BareJid, to: &BareJid, stanza: &Outgoing) {
    if let Some(recipient) = node.here(to) {
        receive(node, &recipient, from, stanza);
    }
}

/// The result of a stanza at one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    Taken,
    NobodyThere,
    Closed,
}

/// Runs the recipient's half.
fn receive(node: &Node, recipient: &Account, from: &BareJid, stanza: &Outgoing) -> Received {
    if !audience::hears(node, recipient, from) {
        return Received::Closed;
    }
    let taken = match stanza.class {
        Class::Presence => recipient.push_to_available(stanza),
        _ => recipient.push_message(stanza),
    };
    if taken { Received::Taken } else { Received::NobodyThere }
}
