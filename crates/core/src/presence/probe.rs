//! RFC 6121, 4.3: presence probes, by which a client asks for the state of a contact.

use smallvec::SmallVec;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, Jid, Outgoing};

use super::{Answer, present_state, unavailable};
use crate::account::Account;
use crate::delivery;
use crate::node::Node;

/// RFC 6121, 4.3.2: answers a probe by the address `asker` for `to`, which is an account or one of
/// its devices; `subject` is the account, if it exists.
///
/// An asker who may not see it gets `unsubscribed`, whether it exists or not. With the shared
/// roster that would be untrue, so there is no answer.
pub(crate) fn answer(node: &Node, subject: Option<&Account>, to: &Jid, asker: &BareJid) -> Answer {
    let state = subject.and_then(|subject| Some((subject, present_state(node, subject, asker)?)));
    let Some((subject, state)) = state else {
        // An asker who was shown an account and is now blocked knows that it exists.
        let known = subject.is_some_and(|subject| subject.roster().shows_to(asker));
        if known || !node.contacts.hide_who_exists() {
            return Answer::Nothing;
        }
        let refused = Element::new("presence").attr("from", to.bare()).attr("type", "unsubscribed");
        return Answer::Word(refused.outgoing(Class::Presence));
    };
    let meant = |device: &str| to.resource().is_none_or(|resource| resource == device);
    let mut answer: SmallVec<[Outgoing; 2]> = state
        .into_iter()
        .filter(|(device, _)| meant(device.resource()))
        .map(|(_, presence)| presence)
        .collect();
    if answer.is_empty() {
        answer.push(last(node, subject, to));
    }
    Answer::State(answer)
}

/// Returns the presence that is sent for an account, or a device, that is not available.
///
/// A device that is gone while others are available is answered for by itself. For a contact who is
/// offline, the answer is their own last unavailable presence, from the device that sent it. If
/// there is none, the server answers for the account, from the bare address, whatever was asked.
/// The time is told only if the account has stayed in memory since.
fn last(node: &Node, subject: &Account, to: &Jid) -> Outgoing {
    if subject.is_online() {
        return unavailable(to.as_str());
    }
    let account = || unavailable(subject.jid().as_str());
    let Some((word, at)) = subject.last_gone() else { return account() };
    let word = word.filter(|_| to.is_bare()).unwrap_or_else(account);
    word.with_children(&delivery::delay(node, at))
}
