//! RFC 6121, 4.3: a client asks how things stand with a contact.

use std::sync::Arc;

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Jid, Outgoing};

use super::unavailable;
use crate::account::Account;
use crate::delivery;
use crate::node::Node;
use crate::session::Session;
use crate::settings::Contacts;

/// RFC 6121, 4.3.2: answers a probe for `to`, which is an account or one of its devices; `subject`
/// is the account, if there is one.
///
/// Who may not see it hears `unsubscribed`, whether it exists or not. Where everybody may see
/// everybody that would be untrue, and nobody answers.
pub(crate) fn answer(
    node: &Arc<Node>,
    asker: &Arc<Session>,
    subject: Option<&Arc<Account>>,
    to: &Jid,
) {
    let own = &asker.account;
    let seen = subject.filter(|subject| subject.id == own.id || node.sees(subject, own));
    let Some(subject) = seen else {
        if node.settings().contacts == Contacts::Roster {
            let refused = Element::new("presence")
                .attr("from", to.bare())
                .attr("to", own.jid().as_str())
                .attr("type", "unsubscribed");
            asker.push(refused.outgoing(Class::Presence));
        }
        return;
    };
    let mut any = false;
    for session in subject.sessions() {
        let meant = to.resource().is_none_or(|resource| resource == session.resource());
        if let Some(presence) = session.presence().filter(|_| meant) {
            asker.push_addressed(&presence, &own.to_attribute);
            any = true;
        }
    }
    if !any {
        asker.push_addressed(&last(node, subject, to), &own.to_attribute);
    }
}

/// What is told of an account, or of a device, that is not available.
///
/// A device that is gone while others are there speaks for itself alone. A contact who is not there
/// at all is told of by their own last word, from where it was said, or else by the server, which
/// speaks for the account: from the bare address, whatever was asked. The time is told as long as
/// the account has been in memory since.
fn last(node: &Node, subject: &Account, to: &Jid) -> Outgoing {
    if subject.is_online() {
        return unavailable(to.as_str());
    }
    let account = || unavailable(subject.jid().as_str());
    let Some((word, at)) = subject.last_gone() else { return account() };
    let word = word.filter(|_| to.is_bare()).unwrap_or_else(account);
    word.with_children(&delivery::delay(node, at))
}
