//! From an account to its sessions: encoded once per account, appended to each queue.

mod drain;

pub(crate) use drain::READERS as LOG_READERS;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use whoelse_store::{Direction, LoggedMessage};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Condition, Kind, Outgoing, Stanza, StanzaError, ns};

use crate::account::Account;
use crate::carbon_tap;
use crate::clock::Time;
use crate::keeper::{Append, Work};
use crate::node::Node;
use crate::session::{Had, Queued, Session};
use crate::storage_policy::{StoragePolicy, storage_policy};
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
/// perhaps under another number in the sender's.
pub(crate) fn deliver_kept(node: &Arc<Node>, append: &Append, seq: i64, sent: Option<i64>) {
    let to = &append.recipient;
    to.note_undelivered(|waiting| {
        waiting.messages += 1;
        waiting.bytes += append.stanza.bytes.len() as u64;
        waiting.came += 1;
        waiting.came_bytes += append.stanza.bytes.len() as u64;
        waiting.last = seq;
    });
    if append.origin.is_none() {
        to.ahead_of_log().note_late(seq);
    }
    let targets = kept_targets(append);
    if !targets.is_empty() {
        let from = full(append.sender.jid().as_str(), &append.sender_resource);
        let mut add = Vec::new();
        if !append.passing {
            stanza_id(&mut add, node, to, seq);
        }
        let mut stanza = addressed(&append.stanza, &from, &add);
        stanza.class = Class::Kept(seq as u64);
        for session in &targets {
            // Refused is fine: it is in the log and will be read from there.
            let _ = session.push_queued(Queued { stanza: stanza.clone(), to: Bytes::new() });
        }
    }
    carbon_tap::of_kept(node, append, (seq, sent), &targets);
}

/// Who takes a kept message now; the sessions may have changed while it was committed.
fn kept_targets(append: &Append) -> Sessions {
    match who_gets(Kind::Message, Some("chat"), append.resource.as_deref(), &append.recipient) {
        Recipients::Deliver(targets) => targets,
        _ => Sessions::new(),
    }
}

/// A row of the log as it goes out to a session of its owner: with its number, and the time it
/// was said unless that is now.
pub(crate) fn from_log(node: &Node, session: &Session, row: LoggedMessage) -> Outgoing {
    let from = node.address_of(&row.peer, row.resource.as_deref().unwrap_or_default());
    let mut add = Vec::new();
    let age = node.even_time().since(Time(row.kept_at));
    if !session.is_live(age, node.clock.steady()) {
        add.extend_from_slice(&delay(node, Time(row.at)));
    }
    // What no archive will show has no number there.
    if row.direction != Direction::Passing {
        stanza_id(&mut add, node, &session.account, row.seq);
    }
    let stored = Outgoing::from_encoded(Kind::Message, row.stanza, Class::Message);
    let mut stanza = addressed(&stored, &from, &add);
    stanza.class = Class::Kept(row.seq as u64);
    stanza
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

/// An address from its bare form and a resource, which may be empty.
pub fn full(bare: &str, resource: &str) -> String {
    match resource {
        "" => bare.to_owned(),
        resource => format!("{bare}/{resource}"),
    }
}

/// What becomes of stanzas that a session never confirmed, when it ends (architecture §7).
///
/// Messages of the log stay with the cursor. A message that passed because somebody was there to
/// take it goes to the log now; requests are answered; groupchat is the room's to know; the rest
/// is dropped. Nothing bounces to a person.
pub(crate) async fn undelivered(node: &Arc<Node>, session: &Session, left: Vec<Queued>) {
    for item in left {
        match item.stanza.class {
            Class::Kept(0) => store_late(node, session, &item.stanza).await,
            Class::Kept(seq) | Class::AheadOfLog(seq) => {
                hand_on(node, session, item, seq as i64).await;
            }
            Class::IqRequest | Class::Groupchat => bounce(node, session, &item.stanza).await,
            Class::Message | Class::Presence | Class::IqAnswer | Class::Nonza => {}
        }
    }
}

/// A message of the log that a session leaves behind. It waits for the next login; what went to all
/// devices needs nothing else.
///
/// What was for this one alone does: any other device that is there, and was not given it, moves the
/// cursor past it with the next message that it confirms. So another one answers for it from here
/// on: one that has it anyway, or one that gets it now, available or not. Where there is none, but
/// the cursor has passed it, it is stored once more.
async fn hand_on(node: &Arc<Node>, session: &Session, item: Queued, seq: i64) {
    let account = &session.account;
    let Ok(parsed) = Stanza::parse(item.stanza.bytes.clone()) else { return };
    let to = parsed.to().and_then(|to| whoelse_xmpp::Jid::parse(to).ok());
    let Some(alone) = to.as_ref().and_then(|to| to.resource()) else { return };
    {
        let early = account.ahead_of_log();
        let is_due = alone == session.resource() || early.is_due_from(seq, session.id);
        if !is_due || early.is_confirmed(seq) || early.is_late(seq) {
            return;
        }
    }
    for other in account.sessions() {
        match other.has_had(seq, alone) {
            Had::Not => {}
            Had::Yes => return,
            Had::Unconfirmed => return account.ahead_of_log().note(seq, other.id),
        }
    }
    let mut others = match who_gets(Kind::Message, Some("chat"), None, account) {
        Recipients::Deliver(others) => others,
        _ => Sessions::default(),
    };
    // One that is there is better than one that may come back.
    others.sort_by_key(|other| !other.is_attached());
    let past = account.sessions().into_iter().filter(|other| other.will_confirm_past(seq));
    // Who got a copy when it came has it; if that is lost as well, it is in the archive.
    let archived =
        storage_policy(&parsed) == StoragePolicy::Archived && node.settings().history.is_some();
    let mut is_copied = false;
    for other in others.into_iter().chain(past) {
        if archived && other.has_copy(seq) {
            is_copied = true;
        } else if other.push_ahead_of_log(item.clone(), seq).is_ok() {
            return;
        }
    }
    if !is_copied && seq <= account.confirmed.load(Ordering::Acquire) {
        store_late(node, session, &item.stanza).await;
    }
}

async fn store_late(node: &Arc<Node>, session: &Session, stanza: &Outgoing) {
    let Ok(parsed) = Stanza::parse(stanza.bytes.clone()) else { return };
    let Some(from) = parsed.from().and_then(|from| whoelse_xmpp::Jid::parse(from).ok()) else {
        return;
    };
    let Ok(Some(sender)) = node.account(&from.to_bare()).await else { return };
    // It may carry the number it had before; it gets a new one.
    let children = parsed.children().iter().enumerate();
    let numbers = children.filter(|(_, child)| child.is("stanza-id", ns::STANZA_ID));
    let numbers: Vec<usize> = numbers.map(|(place, _)| place).collect();
    let append = Append {
        reserved: None,
        origin: None,
        sender_resource: from.resource().unwrap_or_default().to_owned(),
        sender,
        recipient: session.account.clone(),
        resource: None,
        // It was checked when it was sent; its own copy must not look like a repeat.
        origin_id: None,
        passing: storage_policy(&parsed) == StoragePolicy::UntilDelivered,
        stanza: crate::rewriting::for_log(&parsed, None, None, &numbers),
    };
    let _ = node.keeper.post(Work::Append(Box::new(append))).await;
}

async fn bounce(node: &Arc<Node>, session: &Session, stanza: &Outgoing) {
    let Ok(parsed) = Stanza::parse(stanza.bytes.clone()) else { return };
    let error = StanzaError::new(Condition::ServiceUnavailable);
    let Some(answer) = error.answer(&parsed, Some(session.jid.as_str()), parsed.from()) else {
        return;
    };
    let Some(asker) = parsed.from().and_then(|from| whoelse_xmpp::FullJid::parse(from).ok()) else {
        return;
    };
    if let Ok(Some(account)) = node.account(&asker.to_bare()).await
        && let Some(asking) = account.session(asker.resource())
    {
        asking.push(answer);
    }
}
