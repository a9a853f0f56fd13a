//! Delivery from an account to its sessions: encodes once per account, appends to each queue.

mod drain;
pub(crate) mod ended;

pub use crate::rewriting::full;
pub(crate) use drain::READERS as LOG_READERS;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use whoelse_store::{Direction, LoggedMessage};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Kind, Outgoing, Stanza, StanzaError, ns};

use crate::account::Account;
use crate::audience;
use crate::carbon_tap::{self, Number};
use crate::clock::Time;
use crate::node::Node;
use crate::route::{Append, Origin, Taken};
use crate::session::{Due, Queued, Session};
use crate::who_gets::{Recipients, Sessions, who_gets};

impl Session {
    /// Answers a stanza of this session with an error.
    pub fn answer_error(&self, stanza: &Stanza, error: &StanzaError) {
        if let Some(answer) = error.answer(stanza, stanza.to(), Some(self.jid.as_str())) {
            self.push(answer);
        }
    }
}

/// Delivers a message that the keeper has committed, under `seq` in the recipient's archive and
/// perhaps under another number in the sender's. Returns the sessions that took it.
pub(crate) fn deliver_kept(
    node: &Arc<Node>,
    append: &Append,
    seq: i64,
    sent: Option<i64>,
) -> Taken {
    let (to, flight) = (&append.recipient, &append.flight);
    // A message that one device left behind is now for all devices, whatever its address says.
    let again = matches!(append.origin, Origin::Ended(_));
    if again {
        to.ahead_of_log().note_late(seq);
    }
    // Its sender may have been blocked after it was accepted: it stays in the log and is not
    // delivered.
    let is_heard = audience::hears(node, to, &flight.from);
    let resource = flight.to.resource().filter(|_| !again);
    let mut targets = match is_heard {
        true => kept_targets(to, resource),
        false => Sessions::new(),
    };
    if !targets.is_empty() {
        let mut add = Vec::new();
        if !append.passing {
            stanza_id(&mut add, node, to, seq);
        }
        let mut stanza = addressed(&append.stanza, flight.from.as_str(), &add);
        stanza.class = Class::Kept(seq as u64);
        let push = |session: &Session, is_alone| {
            session.push_kept(Queued::new(stanza.clone(), Due::Logged), is_alone)
        };
        let mut is_refused = false;
        for session in &targets {
            let is_alone = resource == Some(session.resource());
            is_refused |= push(session, is_alone).is_err() && is_alone;
        }
        if is_refused {
            // The one device has ended meanwhile, or does not read the log and is full: it is as if it
            // were not there.
            targets = kept_targets(to, None);
            targets.iter().for_each(|session| _ = push(session, false));
        }
    }
    let shown = (!append.passing).then_some(seq);
    if is_heard {
        let number = Number { logged: Some(seq), shown: shown.is_some() };
        carbon_tap::of_received(node, to, (flight, None), (&targets, again), number);
    }
    // A message to oneself is one row.
    let number = if flight.is_to_oneself() { shown } else { sent };
    Taken::of(flight, number, to.id, &targets)
}

/// Returns the sessions that take a kept message now; they may have changed during its commit.
fn kept_targets(to: &Account, resource: Option<&str>) -> Sessions {
    match who_gets(Kind::Message, Some("chat"), resource, to) {
        Recipients::Deliver(targets) => targets,
        _ => Sessions::new(),
    }
}

/// Makes the stanza that a session of the owner gets for a row of the log: with its number, and
/// with the time at which it was said unless `is_live` counts this age as now.
pub(crate) fn from_log(
    node: &Node,
    own: &Account,
    row: LoggedMessage,
    is_live: impl Fn(Duration) -> bool,
) -> Outgoing {
    let from = node.address_of(&row.peer, row.resource.as_deref().unwrap_or_default());
    let mut add = Vec::new();
    let age = node.even_time().since(Time(row.kept_at));
    if !is_live(age) {
        add.extend_from_slice(&delay(node, Time(row.at)));
    }
    // A message that no archive will show has no number there.
    if row.direction != Direction::Passing {
        stanza_id(&mut add, node, own, row.seq);
    }
    let stored = Outgoing::from_encoded(Kind::Message, row.stanza, Class::Message);
    let mut stanza = addressed(&stored, &from, &add);
    stanza.class = Class::Kept(row.seq as u64);
    stanza
}

/// Makes the stanza of a message that waited, for a session that gets it outside its turn in the log:
/// its confirmation counts for nothing. `None` if the owner does not want to hear from its sender any
/// more.
pub fn of_what_waited(node: &Node, own: &Account, row: LoggedMessage) -> Option<Outgoing> {
    let is_wanted = drain::is_wanted(node, own, &row);
    is_wanted.then(|| Outgoing { class: Class::Message, ..from_log(node, own, row, |_| false) })
}

/// Adds the sender's address and children to a stanza that was encoded for the log.
pub fn addressed(stored: &Outgoing, from: &str, add: &[u8]) -> Outgoing {
    let mut attribute = b" from='".to_vec();
    whoelse_xmpp::write::escape(&mut attribute, from);
    attribute.push(b'\'');
    let (name, end) = (stored.after_name as usize, stored.before_end as usize);
    let mut bytes = Vec::with_capacity(stored.bytes.len() + attribute.len() + add.len());
    bytes.extend_from_slice(&stored.bytes[..name]);
    bytes.extend_from_slice(&attribute);
    bytes.extend_from_slice(&stored.bytes[name..end]);
    bytes.extend_from_slice(add);
    bytes.extend_from_slice(&stored.bytes[end..]);
    Outgoing {
        bytes: bytes.into(),
        after_name: stored.after_name,
        before_end: (end + attribute.len() + add.len()) as u32,
        class: stored.class,
    }
}

/// XEP-0359: the number in the recipient's archive, in its public form.
fn stanza_id(out: &mut Vec<u8>, node: &Node, owner: &Account, seq: i64) {
    out.extend_from_slice(&carbon_tap::stanza_id(node, owner, seq));
}

/// XEP-0203: when it was said.
pub(crate) fn delay(node: &Node, at: Time) -> Bytes {
    let delay = Element::new("delay")
        .xmlns(ns::DELAY)
        .attr("from", &node.domain_name())
        .attr("stamp", &at.stamp());
    delay.finish()
}
