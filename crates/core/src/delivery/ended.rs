//! What happens to the stanzas that a session never confirmed, when it ends (architecture §7). Each
//! has an address and perhaps a row. Their senders' accounts are not loaded, and each stanza is
//! parsed once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use whoelse_xmpp::{Class, Condition, Jid, Kind, Stanza, StanzaError, ns};

use super::{drain, from_log};
use crate::boxed_future::BoxFuture;
use crate::hosts::Host;
use crate::in_progress::Begun;
use crate::keeper::Work;
use crate::node::Node;
use crate::route::{self, Append, InFlight, Origin, Routed};
use crate::session::{Due, Had, Queued, Session};
use crate::storage_policy::StoragePolicy;
use crate::waiting_alone::Next;
use crate::who_gets::{Recipients, Sessions, who_gets};

/// How long to wait until the log is read again that could not be read.
const AGAIN: Duration = Duration::from_secs(10);

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
            Class::Kept(_) | Class::AheadOfLog(_) => hand_on(node, session, (item, stanza)).await,
            _ => bounce(node, session, &stanza).await,
        }
    }
}

/// Hands on what waits in the log for a session alone, on a task of its own, if the session has ended, or
/// does not read there any more. The cursor stays before all that was for it alone until then, and until
/// what was stored once more for that is on the disk. If the log cannot be read, it is tried again, and
/// nobody waits for that by `ending`.
pub(crate) fn left_in_log(node: &Arc<Node>, session: &Arc<Session>, ending: Begun) {
    if session.begin_to_hand_on() {
        let (node, session) = (node.clone(), session.clone());
        tokio::spawn(async move {
            let handing = Handing { node, session, ending };
            handing.run().await;
        });
    }
}

/// What waits for a session alone, on its way to others.
struct Handing {
    node: Arc<Node>,
    session: Arc<Session>,
    ending: Begun,
}

/// Up to where what waited is handed on, and why no further.
#[derive(Clone, Copy)]
struct HandedOn {
    up_to: i64,
    /// Whether the session takes nothing more now.
    is_full: bool,
}

impl Handing {
    /// Returns early if the server stops, or is no more.
    async fn run(mut self) -> Option<()> {
        loop {
            match self.session.next_to_hand_on() {
                Next::Nothing => return Some(()),
                Next::Confirm => {
                    self = self.stored().await?;
                    self.node.confirm(&self.session, self.session.nothing_waits());
                }
                Next::HandOn(first, last) => {
                    let done = hand_on_page(&self.node, &self.session, (first, last)).await;
                    if let Some(HandedOn { up_to, .. }) = done {
                        self = self.stored().await?;
                        self.node.confirm(&self.session, self.session.no_longer_waits(up_to));
                    }
                    if done.is_none_or(|done| done.is_full) {
                        self = self.later().await?;
                    }
                }
            }
        }
    }

    /// Waits until what was stored once more is on the disk, before the cursor passes what it was stored
    /// for. What is handed on already is not handed on again meanwhile.
    async fn stored(mut self) -> Option<Handing> {
        loop {
            self.node.keeper.caught_up().await;
            if self.node.keeper.is_closed() {
                return None;
            }
            if self.session.has_stored_again() {
                return Some(self);
            }
            self = self.later().await?;
        }
    }

    /// Waits for a while, or until the session ends. The server may be gone by then.
    async fn later(self) -> Option<Handing> {
        let Handing { node, session, ending } = self;
        drop(ending);
        let (waiting, clock) = (Arc::downgrade(&node), node.clock.clone());
        drop(node);
        let is_gone = session.is_gone();
        tokio::select! {
            () = clock.sleep(AGAIN) => {}
            () = session.over(), if !is_gone => {}
        }
        let node = waiting.upgrade().filter(|node| !node.keeper.is_closed())?;
        let ending = node.ends.begin();
        Some(Handing { node, session, ending })
    }
}

/// Hands on what is in the first page of what waits in the log for a session alone, from the first number
/// to the last. `None`: the log cannot be read now.
async fn hand_on_page(
    node: &Arc<Node>,
    session: &Arc<Session>,
    (first, last): (i64, i64),
) -> Option<HandedOn> {
    let own = session.account.as_ref()?;
    let reader = drain::reader(node, own).await?;
    let read = drain::waiting(node, own.archive, first - 1, None).await;
    drop(reader);
    let rows = match read {
        Ok(waiting) => waiting.rows,
        Err(error) => {
            node.store_failing("log_unreadable", Some(own.jid()), &error);
            return None;
        }
    };
    let up_to = rows.last().map_or(last, |row| row.seq.min(last));
    for row in rows.into_iter().take_while(|row| row.seq <= last) {
        // Most of them are for all devices, and are looked at no further.
        let class = Class::Kept(row.seq as u64);
        let is_due = |stanza| due_alone(session, &stanza, class).is_some();
        if !Stanza::parse(row.stanza.clone()).is_ok_and(is_due)
            || !drain::is_wanted(node, own, &row)
        {
            continue;
        }
        let before = row.seq - 1;
        if session.reads_log() {
            return Some(HandedOn { up_to: before, is_full: false });
        }
        if !session.is_gone() && !own.ahead_of_log().has_room_for(row.seq, session.id) {
            return Some(HandedOn { up_to: before, is_full: true });
        }
        let item = Queued::new(from_log(node, own, row, |_| false), Due::Logged);
        if let Ok(stanza) = Stanza::parse(item.stanza.bytes.clone()) {
            hand_on(node, session, (item, stanza)).await;
        }
    }
    Some(HandedOn { up_to, is_full: false })
}

/// Returns the number and the address of a message of the log that this session alone has to have: it
/// was said to it alone, or handed to it. Nobody has confirmed it, and the log has it no second time.
fn due_alone(session: &Session, stanza: &Stanza, class: Class) -> Option<(i64, Jid)> {
    let (seq, was_handed_on) = match class {
        Class::Kept(seq) => (seq as i64, false),
        Class::AheadOfLog(seq) => (seq as i64, true),
        _ => return None,
    };
    let to = Jid::parse(stanza.to()?).ok()?;
    let early = session.account.as_ref()?.ahead_of_log();
    // Of many that were handed to it, the first are not remembered.
    let is_due = to.resource()? == session.resource()
        || early.is_due_from(seq, session.id)
        || was_handed_on && !early.is_noted(seq);
    (is_due && !early.is_confirmed(seq) && !early.is_late(seq)).then_some((seq, to))
}

/// Handles a message of the log that a session leaves behind. The message waits for the next login;
/// for a message to all devices that is enough.
///
/// A message to this session alone needs more: any other device that is online and did not get it
/// would move the cursor past it with the next message that it confirms. So another device becomes
/// responsible for it: one that has it already, or one that gets it now, available or not. A session
/// that is still there and does not read the log is the first to be asked. If there is no such device
/// and the cursor has passed the message, or the device has no room for it and would let it pass, it is
/// stored once more.
async fn hand_on(node: &Arc<Node>, session: &Arc<Session>, (item, stanza): (Queued, Stanza)) {
    let Some(account) = &session.account else { return };
    let Some((seq, to)) = due_alone(session, &stanza, item.stanza.class) else { return };
    let alone = to.resource().unwrap_or_default();
    for other in account.sessions() {
        match other.takes_over(seq, alone) {
            Had::Not => {}
            Had::Yes | Had::Unconfirmed => return,
        }
    }
    if session.push_ahead_of_log(item.clone(), seq).is_ok() {
        return;
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
    session.stores_again();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_store::faults::{Fault, Step};

    use super::*;
    use crate::route::finish;
    use crate::route::tests::{device, hears, kept, node, says};
    use crate::session::Drain;
    use crate::sessions::Hold;
    use crate::settings::Settings;

    /// How many messages for bob's phone alone are said: more than its queue has room for.
    const MANY: usize = 40;

    /// Bob's phone reads nothing, and messages for it alone wait in the log; his desk has confirmed what
    /// came after them.
    async fn full_phone_and_desk() -> (Arc<Node>, Hold, Hold) {
        let node = node(&["alice", "bob"]).await;
        let alice = device(&node, "alice", "desk").await;
        let desk = device(&node, "bob", "desk").await;
        let mut settings = Settings::clone(&node.settings());
        settings.limits.session_bytes = 1 << 20;
        node.change_settings(settings);
        let phone = device(&node, "bob", "phone").await;
        for n in 0..MANY {
            let text = format!("{n} {}", "x".repeat(60 << 10));
            let message = format!(
                "<message to='bob@localhost/phone' type='chat'><body>{text}</body></message>"
            );
            finish(says(&node, &alice, &message)).await;
            node.keeper.caught_up().await;
        }
        let waits = phone.session.own().waiting_alone().in_log(phone.session.id);
        let (_, last) = waits.unwrap();
        finish(says(&node, &alice, &kept("bob", "to all"))).await;
        node.keeper.caught_up().await;
        read(&node, &desk);
        assert!(is_held_back(&desk) && desk.session.own().waiting_alone().held_back() > last);
        (node, phone, desk)
    }

    /// Says twice as many more, which are short, to bob's phone, and then something to all of his devices.
    async fn say_many_more(node: &Arc<Node>) {
        let alice = device(node, "alice", "tablet").await;
        for n in MANY..3 * MANY {
            let message =
                format!("<message to='bob@localhost/phone' type='chat'><body>{n}</body></message>");
            finish(says(node, &alice, &message)).await;
        }
        finish(says(node, &alice, &kept("bob", "to all"))).await;
        node.keeper.caught_up().await;
    }

    /// Reads what came, and confirms it. Returns how many of those messages were in it.
    fn read(node: &Node, hold: &Hold) -> usize {
        let mut count = 0;
        loop {
            let heard = hears(node, hold);
            if heard.is_empty() {
                return count;
            }
            count += heard.matches("to='bob@localhost/phone'").count();
            node.confirm(&hold.session, hold.session.flushed(hold.epoch).unwrap());
        }
    }

    /// Reads what waits in the log as well.
    async fn read_all(node: &Arc<Node>, hold: &Hold) -> usize {
        let mut count = read(node, hold);
        while matches!(hold.session.drain_state(), Drain::After { .. }) {
            node.read_log(&hold.session).await;
            count += read(node, hold);
        }
        count
    }

    /// Whether something is confirmed that does not count yet.
    fn is_held_back(hold: &Hold) -> bool {
        let own = hold.session.own();
        own.confirmed.load(Ordering::Acquire) < own.waiting_alone().held_back()
    }

    #[tokio::test]
    async fn what_waits_for_a_device_alone_is_handed_on_when_it_no_longer_reads() {
        for says_so in
            ["<presence type='unavailable'/>", "<presence><priority>-1</priority></presence>"]
        {
            let (node, phone, desk) = full_phone_and_desk().await;
            assert!(is_held_back(&desk));

            finish(says(&node, &phone, says_so)).await;
            node.ends.none().await;

            let handed_on = read(&node, &desk);
            assert!((1..MANY).contains(&handed_on), "{handed_on}");
            assert_eq!(handed_on + read(&node, &phone), MANY);
            assert!(!is_held_back(&desk));
        }
    }

    #[tokio::test]
    async fn what_could_not_be_read_is_not_handed_on_if_the_device_reads_it_itself() {
        let (node, phone, desk) = full_phone_and_desk().await;
        node.store.set_faults(|_| Fault::Fails);
        finish(says(&node, &phone, "<presence type='unavailable'/>")).await;
        node.ends.none().await;
        node.store.clear_faults();

        finish(says(&node, &phone, "<presence/>")).await;
        assert_eq!(read_all(&node, &phone).await, MANY);
        node.end(&phone.session).await;
        node.clock.advance_to(node.clock.steady().after(AGAIN));
        tokio::task::yield_now().await;
        node.ends.none().await;

        assert_eq!(read(&node, &desk), 0);
        assert!(!is_held_back(&desk));
    }

    #[tokio::test]
    async fn what_could_not_be_read_when_a_device_ended_is_read_later() {
        let (node, phone, desk) = full_phone_and_desk().await;
        let waiting = phone.session.own().waiting_alone().in_log(phone.session.id);
        let (first, last) = waiting.unwrap();
        node.store.set_faults(|_| Fault::Fails);

        node.end(&phone.session).await;
        node.ends.none().await;
        assert!(is_held_back(&desk));
        node.store.clear_faults();
        let until = node.clock.steady().after(AGAIN);
        let mut had = 0;
        while is_held_back(&desk) {
            had += read(&node, &desk);
            node.clock.advance_to(until);
            tokio::task::yield_now().await;
        }

        assert_eq!(had, MANY);
        assert!(had > (last - first) as usize);
    }

    #[tokio::test]
    async fn many_that_wait_for_a_device_that_reads_no_more_come_to_it_once_each() {
        let (node, phone, desk) = full_phone_and_desk().await;
        say_many_more(&node).await;
        let mut had = read(&node, &phone);

        finish(says(&node, &phone, "<presence type='unavailable'/>")).await;
        node.ends.none().await;
        had += read(&node, &phone);
        assert!(had < 2 * MANY, "{had}");
        finish(says(&node, &phone, "<presence/>")).await;
        had += read_all(&node, &phone).await;

        assert_eq!(had, 3 * MANY);
        // The phone had no room for some of the long ones.
        assert!(read(&node, &desk) < MANY);
        assert!(!is_held_back(&desk));
    }

    #[tokio::test]
    async fn what_a_device_has_confirmed_comes_to_nobody_else_while_another_has_not_confirmed_its_own()
     {
        let (node, phone, desk) = full_phone_and_desk().await;
        node.end(&desk.session).await;

        let again = device(&node, "bob", "desk").await;

        assert!(!hears(&node, &again).contains("<message"));
        node.end(&phone.session).await;
        node.ends.none().await;
        assert_eq!(read_all(&node, &again).await, MANY);
        assert!(!is_held_back(&again));
    }

    #[tokio::test]
    async fn what_is_handed_on_while_the_store_takes_nothing_is_handed_on_once() {
        let (node, phone, desk) = full_phone_and_desk().await;
        say_many_more(&node).await;
        read(&node, &desk);
        node.end(&desk.session).await;

        node.store.set_faults(|step| match step {
            Step::Question => Fault::None,
            Step::Begin | Step::Statement | Step::Commit => Fault::Fails,
        });
        node.end(&phone.session).await;
        for _ in 0..5 {
            node.clock.advance_to(node.clock.steady().after(AGAIN));
            for _ in 0..9 {
                tokio::task::yield_now().await;
            }
            node.ends.none().await;
        }
        assert!(is_held_back(&phone));
        node.store.clear_faults();
        while is_held_back(&phone) {
            node.clock.advance_to(node.clock.steady().after(AGAIN));
            tokio::task::yield_now().await;
        }

        let later = device(&node, "bob", "later").await;
        assert_eq!(read(&node, &later), 3 * MANY);
    }

    #[tokio::test]
    async fn a_device_that_says_that_it_goes_and_ends_at_once_leaves_each_message_once() {
        let (node, phone, desk) = full_phone_and_desk().await;

        finish(says(&node, &phone, "<presence type='unavailable'/>")).await;
        node.end(&phone.session).await;
        node.ends.none().await;

        assert_eq!(read(&node, &desk), MANY);
        assert!(!is_held_back(&desk));
        let later = device(&node, "bob", "later").await;
        assert_eq!(read(&node, &later), 0);
    }

    #[tokio::test]
    async fn what_is_to_be_stored_once_more_is_passed_when_it_is_stored() {
        let node = node(&["alice", "bob"]).await;
        let alice = device(&node, "alice", "desk").await;
        let (phone, desk) =
            (device(&node, "bob", "phone").await, device(&node, "bob", "desk").await);
        let message = "<message to='bob@localhost/phone' type='chat'><body>hi</body></message>";
        finish(says(&node, &alice, message)).await;
        finish(says(&node, &alice, &kept("bob", "later"))).await;
        node.keeper.caught_up().await;
        read(&node, &desk);
        node.end(&desk.session).await;
        let confirmed = |hold: &Hold| hold.session.own().confirmed.load(Ordering::Acquire);

        node.store.set_faults(|_| Fault::Fails);
        node.end(&phone.session).await;
        node.ends.none().await;
        assert_eq!(confirmed(&phone), 0);
        node.store.clear_faults();
        while confirmed(&phone) == 0 {
            node.clock.advance_to(node.clock.steady().after(AGAIN));
            tokio::task::yield_now().await;
        }

        let later = device(&node, "bob", "later").await;
        assert_eq!(hears(&node, &later).matches("<body>hi</body>").count(), 1);
    }
}
