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
use crate::session::{Due, Sender};

/// The result of a fan-out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reached {
    /// Accounts that have a device which took it.
    pub taken: usize,
    /// Accounts that do not want to hear the origin.
    pub closed: usize,
    /// Accounts whose devices have no room for more of it.
    pub full: usize,
}

/// Gives one stanza, which has no `to`, to everybody of an audience. Presence goes to the available
/// devices of each account, a message to those that take messages.
///
/// This fills as many queues as the audience has sessions, so the caller must have paid for it
/// ([`Node::fan_out_turn`]).
pub fn fan_out(node: &Node, origin: &Origin, audience: Audience, stanza: &Outgoing) -> Reached {
    let (mut reached, from) = (Reached::default(), origin.address().to_bare());
    let speaker = origin.account().map(|account| account.id);
    audience::each(node, origin.account().map(|it| &**it), audience, |recipient| {
        match receive(node, recipient, (&from, speaker), stanza) {
            Received::Taken => reached.taken += 1,
            Received::Full => reached.full += 1,
            Received::NobodyThere => {}
            Received::Closed => reached.closed += 1,
        }
    });
    reached
}

/// Gives one presence, which has no `to`, to the account of one address. An account that is not in
/// memory has no device that could get it.
pub(crate) fn tell(node: &Node, from: &BareJid, to: &BareJid, presence: &Outgoing) {
    if let Some(recipient) = node.here(to) {
        receive(node, &recipient, (from, None), presence);
    }
}

/// The result of a stanza at one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Received {
    Taken,
    NobodyThere,
    Closed,
    Full,
}

/// Runs the recipient's half. The number of the speaker's account is for the share; the server
/// itself has none, and what it says is its own word.
fn receive(
    node: &Node,
    recipient: &Account,
    (from, speaker): (&BareJid, Option<i64>),
    stanza: &Outgoing,
) -> Received {
    if !audience::hears(node, recipient, from) {
        return Received::Closed;
    }
    let taken = match (stanza.class, speaker) {
        (Class::Presence, _) => Ok(recipient.push_to_available(stanza)),
        (_, None) => recipient.push_message(stanza, Due::Own),
        (_, Some(account)) => {
            let is_stranger = !audience::knows(node, recipient, from);
            recipient.push_message(stanza, Due::Passing(Sender { account, is_stranger }))
        }
    };
    match taken {
        Ok(true) => Received::Taken,
        Ok(false) => Received::NobodyThere,
        Err(_) => Received::Full,
    }
}
