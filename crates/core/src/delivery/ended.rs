//! What happens to the stanzas that a session never confirmed, when it ends (architecture §7). Each
//! has an address and perhaps a row. Their senders' accounts are not loaded, and each stanza is
//! parsed once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use whoelse_xmpp::{Class, Condition, Jid, Kind, Stanza, StanzaError, ns};

use super::{drain, from_log};
use crate::boxed_future::BoxFuture;
use crate::hosts::Host;
use crate::keeper::Work;
use crate::node::Node;
use crate::route::{self, Append, InFlight, Origin, Routed};
use crate::session::{Due, Had, Queued, Session};
use crate::storage_policy::StoragePolicy;
use crate::who_gets::{Recipients, Sessions, who_gets};

/// Handles what a session leaves behind. Messages of the log stay with the cursor. A message that
/// was passed on because a session was there to take it goes to the log now. Requests are answered.
/// Groupchat is for its sender to repeat, but a service hears itself that a session has ended. The rest
/// is dropped. No error goes back to a person.
pub(crate) async fn undelivered(node: &Arc<Node>, session: &Arc<Session>, left: Vec<Queued>) {
    for item in left {
        let class = item.stanza.class;
        if matches!(
            class,
            Class::Message
                | Class::Presence
                | Class::IqAnswer
                | Class::ArchivePage(_)
                | Class::Nonza
        ) {
            continue;
        }
        let Ok(stanza) = Stanza::parse(item.stanza.bytes.clone()) else { continue };
        match class {
            Class::Kept(0) => keep(node, session, stanza).await,
            Class::Kept(seq) | Class::AheadOfLog(seq) => {
                hand_on(node, session, (item, stanza), seq as i64).await;
            }
            _ => bounce(node, session, &stanza).await,
        }
    }
}

/// Handles what is left in the log for the session alone, from the first number to the last. If it cannot
/// be read, the cursor stays before it while the account is in memory.
pub(crate) async fn left_in_log(
    node: &Arc<Node>,
    session: &Arc<Session>,
    (first, last): (i64, i64),
) {
    let Some(own) = &session.account else { return };
    let mut after = first - 1;
    while after < last {
        let Some(reader) = drain::reader(node, own).await else { return };
        let read = drain::waiting(node, own.archive, after, None).await;
        drop(reader);
        let rows = match read {
            Ok(waiting) => waiting.rows,
            Err(error) => return node.store_failing("log_unreadable", Some(own.jid()), &error),
        };
        after = rows.last().map_or(last, |row| row.seq);
        for row in rows.into_iter().take_while(|row| row.seq <= last) {
            let seq = row.seq;
            if !drain::is_wanted(node, own, &row) {
                continue;
            }
            let item = Queued::new(from_log(node, own, row, |_| false), Due::Logged);
            if let Ok(stanza) = Stanza::parse(item.stanza.bytes.clone()) {
                hand_on(node, session, (item, stanza), seq).await;
            }
        }
    }
    let held_back = {
        let mut waiting = own.waiting_alone();
        waiting.end(session.id);
        waiting.held_back()
    };
    node.confirm(session, held_back);
}

/// Handles a message of the log that a session leaves behind. The message waits for the next login;
/// for a message to all devices that is enough.
///
/// A message to this session alone needs more: any other device that is online and did not get it
/// would move the cursor past it with the next message that it confirms. So another device becomes
/// responsible for it: one that has it already, or one that gets it now, available or not. If there
/// is no such device and the cursor has passed the message, or the device has no room for it and would
/// let it pass, it is stored once more.
async fn hand_on(
    node: &Arc<Node>,
    session: &Arc<Session>,
    (item, stanza): (Queued, Stanza),
    seq: i64,
) {
    let Some(account) = &session.account else { return };
    let to = stanza.to().and_then(|to| Jid::parse(to).ok());
    let Some(alone) = to.as_ref().and_then(|to| to.resource()) else { return };
    {
        let early = account.ahead_of_log();
        // Of many that were handed to it, the first are not remembered.
        let was_handed_on = matches!(item.stanza.class, Class::AheadOfLog(_));
        let is_due = alone == session.resource()
            || early.is_due_from(seq, session.id)
            || was_handed_on && !early.is_noted(seq);
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
    // A connected device is better than one that may be resumed.
    others.sort_by_key(|other| !other.is_attached());
    let past = account.sessions().into_iter().filter(|other| other.will_confirm_past(seq));
    // A device that got a copy when the message came has it; if that is lost too, the archive has
    // it.
    let from = stanza.from().and_then(|from| Jid::parse(from).ok());
    let archived = node.wiring.storage_policy(&stanza) == StoragePolicy::Archived
        && node.settings().history.is_some()
        && from.is_some_and(|from| node.wiring.archives(node, account, &from));
    let (mut is_copied, mut is_missed) = (false, false);
    for other in others.into_iter().chain(past) {
        if archived && other.has_copy(seq) {
            is_copied = true;
        } else if other.push_ahead_of_log(item.clone(), seq).is_ok() {
            return;
        } else {
            is_missed |= !other.will_read(seq);
        }
    }
    // What is held back is confirmed as soon as this session is done with.
    let held_back = account.waiting_alone().held_back();
    let passed_to = account.confirmed.load(Ordering::Acquire).max(held_back);
    if !is_copied && (is_missed || seq <= passed_to) {
        account.ahead_of_log().note_late(seq);
        keep(node, session, stanza).await;
    }
}

/// Stores a message that no device has, for all devices. If the store does not take it, it is tried
/// again later ([`Keeper::store_later`](crate::keeper::Keeper::store_later)).
async fn keep(node: &Arc<Node>, session: &Arc<Session>, stanza: Stanza) {
    let Some((append, full)) = append(node, session, stanza) else { return };
    let _ = node.keeper.post(Work::Post(Box::new(append))).await;
    if let Some(full) = full {
        full.await;
    }
}

/// Makes a message that a session has left behind one of the log, with what is charged for that.
pub(crate) fn append(
    node: &Arc<Node>,
    session: &Arc<Session>,
    stanza: Stanza,
) -> Option<(Append, Option<BoxFuture<'static, ()>>)> {
    let recipient = session.account.clone()?;
    let to = stanza.to().and_then(|to| Jid::parse(to).ok());
    let to = to.unwrap_or_else(|| recipient.jid().clone().into());
    let from = Jid::parse(stanza.from()?).ok()?;
    // The message may carry its earlier number; it gets a new one.
    let children = stanza.children().iter().enumerate();
    let numbers = children.filter(|(_, child)| child.is("stanza-id", ns::STANZA_ID));
    let strip = numbers.map(|(place, _)| place).collect();
    let storage = node.wiring.storage_policy(&stanza);
    let (lang, sender, copy, replaces) = (None, None, None, None);
    // The message was checked when it was sent; without its sender it does not look like a repeat.
    let flight = InFlight { from, to, stanza, lang, strip, storage, sender, copy, replaces };
    recipient.arriving.begin();
    let append = Append::new(node, recipient, flight, Origin::Ended(session.clone()), None);
    let full = append.origin.charge(node, append.stanza.bytes.len());
    Some((append, full))
}

/// Answers a request in place of a device that is gone.
async fn bounce(node: &Arc<Node>, session: &Arc<Session>, stanza: &Stanza) {
    let from = stanza.from().and_then(|from| Jid::parse(from).ok());
    let is_service = from.is_some_and(|from| matches!(node.host_of(&from), Host::Service(_)));
    if is_service && stanza.kind() == Kind::Message {
        return;
    }
    let error = StanzaError::new(Condition::ServiceUnavailable);
    let answer = error.answer(stanza, Some(session.jid.as_str()), stanza.from());
    let Some(Ok(answer)) = answer.map(|answer| Stanza::parse(answer.bytes)) else { return };
    let origin = Origin::Ended(session.clone());
    if let Routed::Waits(rest) = route::route(node, origin, answer, None) {
        rest.await;
    }
}
