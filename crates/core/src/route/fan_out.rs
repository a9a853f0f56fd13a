//! One stanza to many: the sender's half once, and one shared encoding for every local recipient.
//!
//! Nobody's account is looked at together with the speaker's: each recipient's half sees the
//! speaker's address only.

use whoelse_xmpp::{BareJid, Class, Outgoing};

use crate::account::Account;
use crate::audience::{self, Audience};
use crate::node::Node;

/// How far a fan-out came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// Accounts of which at least one device took it.
    pub taken: usize,
    /// Accounts that do not want to hear the speaker.
    pub closed: usize,
}

/// Gives one stanza, which has no `to`, to everybody of an audience. Presence goes to the available
/// devices of each account, a message to those that take messages.
///
/// Work for as many queues as the audience has accounts: whoever begins it has spent its fan-out
/// ([`crate::session::Session::fan_out`]).
pub fn fan_out(node: &Node, speaker: &Account, audience: Audience, stanza: &Outgoing) -> Reached {
    let mut reached = Reached::default();
    audience::each(node, speaker, audience, |recipient| {
        match receive(node, recipient, speaker.jid(), stanza) {
            Received::Taken => reached.taken += 1,
            Received::NobodyThere => {}
            Received::Closed => reached.closed += 1,
        }
    });
    reached
}

/// Gives one stanza, which has no `to`, to the account of one address. Who is not in memory has no
/// device that could hear it.
pub(crate) fn tell(node: &Node, from: &BareJid, to: &BareJid, stanza: &Outgoing) {
    if let Some(recipient) = node.here(to) {
        receive(node, &recipient, from, stanza);
    }
}

/// What became of a stanza at one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    Taken,
    NobodyThere,
    Closed,
}

/// The recipient's half.
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
