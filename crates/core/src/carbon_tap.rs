//! The two moments at which a feature makes copies of a message, one for each side's other devices.
//!
//! Received messages are copied when delivery has chosen its targets, sent messages when the
//! recipient's half has answered, or a service has told what was said to somebody there. They run on
//! the same task and so in the same order; a copy is never copied. Where nobody wants copies, each
//! costs one look-up.

use std::sync::Arc;

use bytes::Bytes;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Jid, Outgoing, Stanza, ns};

use crate::account::Account;
use crate::node::Node;
use crate::rewriting;
use crate::route::{InFlight, Taken};
use crate::session::{Due, Queued, Session};

/// A message that a session has sent and that was not refused.
pub struct Sent<'a> {
    node: &'a Node,
    /// The account that sent it.
    pub account: &'a Account,
    /// The number of the session that sent it.
    by: u64,
    /// Whom it was for.
    pub to: &'a Jid,
    stanza: &'a Stanza,
    /// The message without a number, made when it is needed.
    message: &'a dyn Fn() -> Outgoing,
    /// Its number in the sender's archive, if it is there.
    number: Option<i64>,
    /// Whether another device of the sender, by its resource, needs no copy.
    knows: &'a dyn Fn(&str) -> bool,
}

/// What a session has said to somebody at a service.
pub struct SaidThere<'a> {
    /// The address there.
    pub to: &'a Jid,
    /// The message as it was sent.
    pub stanza: &'a Stanza,
    /// The message as the sender's archive has it, without a number.
    pub message: &'a Outgoing,
    /// Its number there, if it is kept.
    pub number: Option<i64>,
}

/// A message that an account has just been given, whether or not a device was there to take it.
pub struct Received<'a> {
    node: &'a Node,
    /// The account.
    pub account: &'a Account,
    /// Who sent it.
    pub from: &'a Jid,
    /// Whether it is delivered again, after a device that never confirmed it.
    pub again: bool,
    /// The devices that got it.
    targets: &'a [Arc<Session>],
    flight: &'a InFlight,
    /// The message as those devices got it, without a number, if it was encoded at all.
    outgoing: Option<&'a Outgoing>,
    number: Number,
}

/// The number of a message in an archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Number {
    /// Its seq in the log, if it is kept there.
    pub logged: Option<i64>,
    /// Whether the archive will show it.
    pub shown: bool,
}

impl Sent<'_> {
    /// The message as it was sent.
    pub fn stanza(&self) -> &Stanza {
        self.stanza
    }

    /// Whether this session of the sender sent it or got it, or is not where it was said, and so needs
    /// no copy.
    pub fn is_known_to(&self, session: &Session) -> bool {
        session.id == self.by || (self.knows)(session.resource())
    }

    /// The message as the sender's archive shows it: with its number there (XEP-0359), if it has
    /// one.
    pub fn message(&self) -> Outgoing {
        numbered(self.node, self.account, (self.message)(), self.number)
    }

    /// Hands a copy to another session of the sender.
    pub fn copy(&self, session: &Session, copy: &Outgoing) {
        // Copies of what one says oneself have a share like a sender's.
        let oneself = session.sender(false);
        session.push_copy(addressed_to(session, copy, Due::Passing(oneself)), None);
    }
}

impl Received<'_> {
    /// The message as it was sent.
    pub fn stanza(&self) -> &Stanza {
        &self.flight.stanza
    }

    /// Whether a device got it.
    pub fn is_known_to(&self, session: &Session) -> bool {
        self.targets.iter().any(|target| target.id == session.id)
    }

    /// The message as the recipient's archive shows it: with its number there (XEP-0359), if it has
    /// one.
    pub fn message(&self) -> Outgoing {
        let message = self.outgoing.cloned();
        let message = message.unwrap_or_else(|| self.flight.outgoing(Class::Message));
        let shown = self.number.logged.filter(|_| self.number.shown);
        numbered(self.node, self.account, message, shown)
    }

    /// Hands a copy to another session of the recipient. A session that still reads the log gets
    /// none: it will read the message there.
    pub fn copy(&self, session: &Session, copy: &Outgoing) {
        // While no session takes it, it waits in the log for the first one that becomes available.
        if self.targets.is_empty() && !session.is_available() {
            return;
        }
        let due = match self.number.logged {
            Some(_) => Due::Logged,
            None => self.flight.passes(self.node, self.account),
        };
        session.push_copy(addressed_to(session, copy, due), self.number.logged);
    }
}

/// Runs after the recipient's half has answered: makes copies of what this session has sent.
pub(crate) fn of_sent(node: &Node, session: &Session, flight: &InFlight, taken: &Taken) {
    if let Some(account) = session.account.as_deref().filter(|it| node.wiring.wants_copies(it)) {
        node.wiring.run_sent(&Sent {
            node,
            account,
            by: session.id,
            to: &flight.to,
            stanza: &flight.stanza,
            message: &|| flight.outgoing(Class::Message),
            number: taken.number,
            knows: &|device| taken.by.iter().any(|one| one == device),
        });
    }
}

/// Runs after a service has told what this session has said to somebody there: makes copies for those
/// of its account's other devices, by their resources, that are there too.
pub fn of_said_there(
    node: &Node,
    session: &Session,
    said: &SaidThere<'_>,
    is_there: &dyn Fn(&str) -> bool,
) {
    if let Some(account) = session.account.as_deref().filter(|it| node.wiring.wants_copies(it)) {
        node.wiring.run_sent(&Sent {
            node,
            account,
            by: session.id,
            to: said.to,
            stanza: said.stanza,
            message: &|| said.message.clone(),
            number: said.number,
            knows: &|device| !is_there(device),
        });
    }
}

/// Runs after delivery has chosen its targets: makes copies of what this account got. `outgoing` is
/// what the targets got, without a number, if it was encoded at all.
pub(crate) fn of_received(
    node: &Node,
    account: &Account,
    (flight, outgoing): (&InFlight, Option<&Outgoing>),
    (targets, again): (&[Arc<Session>], bool),
    number: Number,
) {
    if node.wiring.wants_copies(account) {
        let from = &flight.from;
        node.wiring.run_received(&Received {
            node,
            account,
            from,
            again,
            targets,
            flight,
            outgoing,
            number,
        });
    }
}

/// XEP-0359: the number in somebody's archive, in its public form.
pub fn stanza_id(node: &Node, owner: &Account, seq: i64) -> Bytes {
    Element::new("stanza-id")
        .xmlns(ns::STANZA_ID)
        .attr("id", &node.archive_id(owner.archive, seq))
        .attr("by", owner.jid().as_str())
        .finish()
}

fn numbered(node: &Node, owner: &Account, message: Outgoing, number: Option<i64>) -> Outgoing {
    match number {
        Some(seq) => message.with_children(&stanza_id(node, owner, seq)),
        None => message,
    }
}

fn addressed_to(session: &Session, copy: &Outgoing, due: Due) -> Queued {
    let to = rewriting::attribute("to", session.jid.as_str());
    // A copy is nobody's only copy: if it is lost with its session, it is not stored again.
    Queued { stanza: Outgoing { class: Class::Message, ..copy.clone() }, to: to.into(), due }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_store::{Location, Store};
    use whoelse_xmpp::BareJid;

    use super::*;
    use crate::clock::{Clock, Time};
    use crate::settings::Settings;

    #[tokio::test]
    async fn a_stanza_id_is_of_the_archive_and_not_of_the_account() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let (settings, clock) = (Settings::default(), Clock::manual(Time(1)));
        let node = Node::start(settings, clock, store, &[], Some("a.example")).await.unwrap();
        let bob = Account::new(3, 8, BareJid::parse("bob@a.example").unwrap(), Vec::new(), 0);

        let child = String::from_utf8(stanza_id(&node, &bob, 5).to_vec()).unwrap();

        let id = child.split(['"', '\'']).find(|part| part.len() == 32).unwrap();
        assert_eq!(node.archive_seq(bob.archive, id), Some(5));
        assert_eq!(node.archive_seq(bob.id, id), None);
        node.stop().await;
    }
}
