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
use crate::session::{Due, PushRefused, Sender, Session};

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

impl Reached {
    fn count(&mut self, received: Received) {
        match received {
            Received::Taken => self.taken += 1,
            Received::Full => self.full += 1,
            Received::NobodyThere => {}
            Received::Closed => self.closed += 1,
        }
    }
}

/// Gives one stanza, which has no `to`, to everybody of an audience. Presence goes to the available
/// devices of each account, a message to those that take messages.
///
/// This fills as many queues as the audience has sessions, so the caller must have paid for it
/// ([`Node::fan_out_turn`]).
pub fn fan_out(node: &Node, origin: &Origin, audience: Audience, stanza: &Outgoing) -> Reached {
    let (mut reached, speaker) = (Reached::default(), Speaker::of(origin));
    audience::each(node, origin.account().map(|it| &**it), audience, |recipient| {
        reached.count(receive(node, recipient, &speaker.address, || match stanza.class {
            Class::Presence => Ok(recipient.push_to_available(stanza)),
            _ => recipient.push_message(stanza, speaker.due(node, recipient)),
        }));
    });
    reached
}

/// Those of an audience to whom something goes that not everybody may hear and that not every client
/// wants.
pub struct Listeners<'a> {
    /// The audience, seen from the speaker.
    pub audience: Audience,
    /// Whether somebody of this address may hear it. Asked of the speaker's half.
    pub may: &'a dyn Fn(&BareJid) -> bool,
    /// Whether this session's client wants it. Asked of the recipient's half, under a lock: it must
    /// look at the session alone.
    pub wants: &'a dyn Fn(&Session) -> bool,
}

/// Gives one message, which has no `to`, to those of an audience who may hear it: to each available
/// session that wants it, whatever its priority, and addressed to that session.
///
/// As for [`fan_out`], the caller must have paid for it.
pub fn fan_out_to(
    node: &Node,
    origin: &Origin,
    listeners: &Listeners<'_>,
    message: &Outgoing,
) -> Reached {
    let (mut reached, speaker) = (Reached::default(), Speaker::of(origin));
    audience::each(node, origin.account().map(|it| &**it), listeners.audience, |recipient| {
        if (listeners.may)(recipient.jid()) {
            reached.count(receive(node, recipient, &speaker.address, || {
                recipient.push_to_those(message, speaker.due(node, recipient), listeners.wants)
            }));
        }
    });
    reached
}

/// Gives one presence, which has no `to`, to the account of one address. An account that is not in
/// memory has no device that could get it.
pub(crate) fn tell(node: &Node, from: &BareJid, to: &BareJid, presence: &Outgoing) {
    if let Some(recipient) = node.here(to) {
        receive(node, &recipient, from, || Ok(recipient.push_to_available(presence)));
    }
}

/// Who speaks, as far as a recipient's half may know it.
struct Speaker {
    address: BareJid,
    /// The number of the account, for the share; the server itself has none.
    account: Option<i64>,
}

impl Speaker {
    fn of(origin: &Origin) -> Speaker {
        let account = origin.account().map(|account| account.id);
        Speaker { address: origin.address().to_bare(), account }
    }

    /// What a message of theirs is to a recipient: what passes, or the server's own word.
    fn due(&self, node: &Node, recipient: &Account) -> Due {
        match self.account {
            None => Due::Own,
            Some(account) => {
                let is_stranger = !audience::knows(node, recipient, &self.address);
                Due::Passing(Sender { account, is_stranger })
            }
        }
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

/// Runs the recipient's half.
fn receive(
    node: &Node,
    recipient: &Account,
    from: &BareJid,
    push: impl FnOnce() -> Result<bool, PushRefused>,
) -> Received {
    if !audience::hears(node, recipient, from) {
        return Received::Closed;
    }
    match push() {
        Ok(true) => Received::Taken,
        Ok(false) => Received::NobodyThere,
        Err(_) => Received::Full,
    }
}

#[cfg(test)]
mod tests;
