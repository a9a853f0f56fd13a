//! Fan-out, one stanza to many: the sender's half runs once, and all local recipients share one
//! encoding.
//!
//! No account is looked at together with the origin's: each recipient's half sees only the
//! origin's address.

use bytes::Bytes;
use whoelse_xmpp::{BareJid, Class, Outgoing};

use super::Origin;
use crate::account::Account;
use crate::audience::{self, Audience};
use crate::node::Node;
use crate::rewriting;
use crate::session::{Due, PushRefused, Queued, Sender, Session, Whose};

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
            _ => recipient.push_message(stanza, speaker.message(node, recipient)),
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
    /// Is called for each session that wants it and has no room for it, under the same lock.
    pub misses: &'a dyn Fn(&Session),
}

/// Gives one event, a message without a `to`, to those of an audience who may hear it: to each
/// available session that wants it, whatever its priority, and addressed to that session. A session
/// without room for it misses it; when there is room again, whoever keeps what the speaker tells is
/// asked to tell what was missed ([`Wiring::missed`](crate::kit::Wiring::missed)).
///
/// As for [`fan_out`], the caller must have paid for it.
pub fn fan_out_to(
    node: &Node,
    origin: &Origin,
    listeners: &Listeners<'_>,
    event: &Outgoing,
) -> Reached {
    let (mut reached, speaker) = (Reached::default(), Speaker::of(origin));
    audience::each(node, origin.account().map(|it| &**it), listeners.audience, |recipient| {
        if (listeners.may)(recipient.jid()) {
            reached.count(receive(node, recipient, &speaker.address, || {
                let Listeners { wants, misses, .. } = listeners;
                recipient.push_to_those(event, speaker.event(node, recipient), wants, misses)
            }));
        }
    });
    reached
}

/// Who speaks, as far as a recipient's half may know it.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// The bare address.
    pub address: BareJid,
    /// The number of the account, which has a share of each recipient's room; the server itself has
    /// none, and what it says is its own word.
    pub account: Option<i64>,
}

impl Speaker {
    fn of(origin: &Origin) -> Speaker {
        let account = origin.account().map(|account| account.id);
        Speaker { address: origin.address().to_bare(), account }
    }

    fn message(&self, node: &Node, recipient: &Account) -> Due {
        self.sender(node, recipient).map_or(Due::Own, Due::Passing)
    }

    fn event(&self, node: &Node, recipient: &Account) -> Due {
        self.sender(node, recipient).map_or(Due::Own, Due::Event)
    }

    fn sender(&self, node: &Node, recipient: &Account) -> Option<Sender> {
        let is_stranger = || !audience::knows(node, recipient, &self.address);
        self.account.map(|account| Sender { account, is_stranger: is_stranger() })
    }
}

/// Tells one session an event that it begins to hear, or missed, as soon as it has room. Returns
/// false if the session is over or detached before: it is noted then that it missed what the speaker
/// tells.
pub async fn tell_session(
    node: &Node,
    speaker: &Speaker,
    session: &Session,
    event: &Outgoing,
) -> bool {
    let Some(recipient) = &session.account else { return false };
    if !audience::hears(node, recipient, &speaker.address) {
        return true;
    }
    let to = Bytes::from(rewriting::attribute("to", session.jid.as_str()));
    let item = Queued { stanza: event.clone(), to, due: speaker.event(node, recipient) };
    while session.room_for(item.due, item.len()).await {
        // Somebody else may have taken the room meanwhile.
        if session.push_queued(item.clone()).is_ok() {
            return true;
        }
    }
    session.miss_events(Whose::These([speaker.address.clone()].into()));
    false
}

/// Gives one presence, which has no `to`, to the account of one address. An account that is not in
/// memory has no device that could get it.
pub(crate) fn tell(node: &Node, from: &BareJid, to: &BareJid, presence: &Outgoing) {
    if let Some(recipient) = node.here(to) {
        receive(node, &recipient, from, || Ok(recipient.push_to_available(presence)));
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
