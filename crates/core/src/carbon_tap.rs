//! XEP-0280, as far as the rules have a part in it: which sessions want copies of messages that are
//! delivered elsewhere, and the moment at which a feature makes them.
//!
//! That is after delivery has chosen its targets, on the same task and so in the same order; a copy
//! is never copied. Where nobody wants one it costs two looks at a counter.

use std::sync::Arc;

use bytes::Bytes;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Outgoing, Stanza, ns};

use crate::account::Account;
use crate::node::Node;
use crate::session::{Queued, Session};

/// A message that has just been delivered, or that nobody was there to take.
pub struct Delivered<'a> {
    /// The server.
    pub node: &'a Node,
    /// The message as it was sent.
    pub stanza: &'a Stanza,
    /// The session that sent it; `None` when it comes again from one that it never reached.
    pub origin: Option<&'a Session>,
    /// Who sent it.
    pub sender: &'a Account,
    /// Whom it was for.
    pub recipient: &'a Account,
    /// The sessions that got it.
    pub targets: &'a [Arc<Session>],
    /// The message with its sender's address and without a number.
    outgoing: &'a Outgoing,
    /// Its number in the recipient's log.
    logged: Option<i64>,
    /// Its number in the recipient's archive, and in the sender's, if they show it.
    archived: (Option<i64>, Option<i64>),
}

impl Delivered<'_> {
    /// The message as `owner` of an archive sees it, one of the two sides: with its number there
    /// (XEP-0359), if it has one.
    pub fn seen_by(&self, owner: &Account) -> Outgoing {
        let (received, sent) = self.archived;
        let archived = if owner.id == self.recipient.id { received } else { sent };
        match archived {
            Some(seq) => self.outgoing.with_children(&stanza_id(self.node, owner, seq)),
            None => self.outgoing.clone(),
        }
    }

    /// Hands a copy of what the recipient got to another session of theirs. Not to one that still
    /// reads the log, where the message comes by itself.
    pub fn copy_received(&self, session: &Session, copy: &Outgoing) {
        // While nobody takes it, it waits in the log for the first who becomes available.
        if self.targets.is_empty() && !session.is_available() {
            return;
        }
        session.push_copy(addressed_to(session, copy), self.logged);
    }

    /// Hands a copy of what was sent to another session of the sender.
    pub fn copy_sent(&self, session: &Session, copy: &Outgoing) {
        session.push_copy(addressed_to(session, copy), None);
    }
}

/// A message that was committed under these numbers, the recipient's and the sender's, for the taps
/// that copy.
pub(crate) fn of_kept(
    node: &Node,
    append: &crate::keeper::Append,
    (seq, sent): (i64, Option<i64>),
    targets: &[Arc<Session>],
) {
    let (sender, recipient) = (&append.sender, &append.recipient);
    if !are_wanted(node, sender, recipient) {
        return;
    }
    let from = crate::delivery::full(sender.jid().as_str(), &append.sender_resource);
    let outgoing = crate::delivery::addressed(&append.stanza, &from, &[]);
    let again;
    let stanza = match &append.origin {
        Some((_, _, stanza)) => stanza,
        None => match Stanza::parse(append.stanza.bytes.clone()) {
            Ok(stanza) => {
                again = stanza;
                &again
            }
            Err(_) => return,
        },
    };
    let received = (!append.passing).then_some(seq);
    // To oneself it is one row.
    let sent = if sender.id == recipient.id { received } else { sent };
    node.wiring.run_copies(&Delivered {
        node,
        stanza,
        origin: append.origin.as_ref().map(|(session, ..)| &**session),
        sender,
        recipient,
        targets,
        outgoing: &outgoing,
        logged: Some(seq),
        archived: (received, sent),
    });
}

/// A message that passed, for the taps that copy.
pub(crate) fn of_passed(
    node: &Node,
    (stanza, outgoing): (&Stanza, &Outgoing),
    origin: &Session,
    recipient: &Account,
    targets: &[Arc<Session>],
) {
    let sender = &*origin.account;
    if !are_wanted(node, sender, recipient) {
        return;
    }
    node.wiring.run_copies(&Delivered {
        node,
        stanza,
        origin: Some(origin),
        sender,
        recipient,
        targets,
        outgoing,
        logged: None,
        archived: (None, None),
    });
}

/// Whether any session of either side wants copies.
pub(crate) fn are_wanted(node: &Node, sender: &Account, recipient: &Account) -> bool {
    node.wiring.wants_copies(sender) || node.wiring.wants_copies(recipient)
}

/// XEP-0359: the number in somebody's archive, in its public form.
pub(crate) fn stanza_id(node: &Node, owner: &Account, seq: i64) -> Bytes {
    Element::new("stanza-id")
        .xmlns(ns::STANZA_ID)
        .attr("id", &node.archive_id(owner.archive, seq))
        .attr("by", owner.jid().as_str())
        .finish()
}

fn addressed_to(session: &Session, copy: &Outgoing) -> Queued {
    let mut to = b" to='".to_vec();
    whoelse_xmpp::write::escape(&mut to, session.jid.as_str());
    to.push(b'\'');
    // It is nobody's only copy: lost with its session, it is not stored again.
    Queued { stanza: Outgoing { class: Class::Message, ..copy.clone() }, to: to.into() }
}
