//! XEP-0280, Message Carbons: a user's other devices get what one of them sends and receives.
//!
//! Copies are made after delivery has been decided, so a copy is never copied, and no device gets a
//! copy of what it gets itself. Users cannot send any: see [`forgeries`](crate::forgeries).

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use whoelse_core::account::Account;
use whoelse_core::carbon_tap::{Received, Sent};
use whoelse_core::kit::{ANYWHERE, Answer, Feature, Reply, SessionCx, Target};
use whoelse_core::session::Session;
use whoelse_xmpp::payload::hints::Hint;
use whoelse_xmpp::payload::xmpp_parsers::carbons::{Disable, Enable};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Condition, ErrorType, Kind, Outgoing, Stanza, StanzaError, ns};

/// XEP-0280. `urn:xmpp:carbons:rules:0` is not named: a message that we refuse ourselves was never
/// sent, so neither it nor our error is copied.
pub const FEATURE: Feature = Feature {
    name: "carbons",
    xeps: &[(280, "1.0.1")],
    disco: &[ns::CARBONS],
    wire: |w| {
        w.set(ANYWHERE, enable);
        w.set(ANYWHERE, disable);
        w.bind((ns::CARBONS, "enable"), receive);
        w.copies(are_wanted, copy_sent, copy_received);
    },
    ..Feature::PLAIN
};

async fn enable(cx: SessionCx, _: Enable) -> Answer {
    switch(&cx, true)
}

async fn disable(cx: SessionCx, _: Disable) -> Answer {
    switch(&cx, false)
}

/// XEP-0280, 10.1: may be enabled repeatedly. The state lives with the session, across resumptions.
fn switch(cx: &SessionCx, on: bool) -> Answer {
    if cx.target != Target::Own {
        return Err(StanzaError::new(Condition::NotAllowed)
            .with_type(ErrorType::Cancel)
            .with_text("you can switch carbons for yourself alone"));
    }
    match on {
        true => receive(&cx.session),
        false => cx.session.slots.clear::<Receives>(),
    }
    Ok(Reply::empty())
}

/// Lets a session receive copies. The server itself, as which an administrator acts, gets no messages
/// to copy.
fn receive(session: &Session) {
    if let Some(account) = &session.account {
        let carbons = account.get_or_default::<Carbons>();
        session.slots.put(Arc::new(Receives::copies_of(carbons)));
    }
}

// --- which messages ---

/// A side of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Sender,
    Recipient,
}

/// XEP-0280, 6.1: whether a message is copied, except errors, which depend on what they answer.
fn is_eligible(stanza: &Stanza, side: Side) -> bool {
    if stanza.kind() != Kind::Message
        || stanza.has("private", ns::CARBONS)
        || Hint::NoCopy.is_in(stanza)
        || stanza.type_() == Some("groupchat")
    {
        return false;
    }
    let room = stanza.child("x", ns::MUC_USER);
    let invites = stanza.has("x", ns::CONFERENCE)
        || room.is_some_and(|room| {
            stanza.grandchildren(room).iter().any(|child| child.is("invite", ns::MUC_USER))
        });
    if invites {
        return true;
    }
    if room.is_some() {
        // A message between a user and a participant of a room; the room sends it to each device by
        // itself.
        return side == Side::Sender;
    }
    match stanza.type_() {
        Some("chat") => true,
        Some("headline" | "error") => is_for_people(stanza),
        _ => stanza.has("body", ns::CLIENT) || is_for_people(stanza),
    }
}

/// Whether it has a payload of instant messaging: receipts (XEP-0184), chat states (XEP-0085) or
/// markers (XEP-0333).
fn is_for_people(stanza: &Stanza) -> bool {
    let payloads = ["urn:xmpp:receipts", ns::CHAT_STATES, "urn:xmpp:chat-markers:0"];
    stanza.children().iter().any(|child| payloads.contains(&child.ns()))
}

/// In the slot of an account, once one of its sessions wants copies: how many of its sessions
/// receive copies, and the ids of recently sent messages that were copied, so that an error in
/// answer to one is recognised. Only the id is sure to come back with an error (RFC 6120, 8.3.1).
#[derive(Default)]
struct Carbons {
    receiving: AtomicUsize,
    keys: RandomState,
    /// Held for one look or one push.
    recent: Mutex<VecDeque<u64>>,
}

/// How many ids are remembered: errors come at once or not at all.
const RECENT: usize = 64;

/// In the slot of a session that receives copies: it is counted as long as this exists.
struct Receives(Arc<Carbons>);

impl Receives {
    fn copies_of(carbons: Arc<Carbons>) -> Receives {
        carbons.receiving.fetch_add(1, Ordering::AcqRel);
        Receives(carbons)
    }
}

impl Drop for Receives {
    fn drop(&mut self) {
        self.0.receiving.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Whether any session of an account receives copies.
fn are_wanted(account: &Account) -> bool {
    account.look(|it: &Carbons| it.receiving.load(Ordering::Acquire) > 0).unwrap_or_default()
}

impl Carbons {
    fn key(&self, id: &str, peer: &str) -> u64 {
        self.keys.hash_one((id, peer))
    }

    fn note(&self, id: &str, to: &str) {
        let mut recent = self.recent.lock();
        if recent.len() >= RECENT {
            recent.pop_front();
        }
        recent.push_back(self.key(id, to));
    }

    fn has(&self, id: &str, to: &str) -> bool {
        let key = self.key(id, to);
        self.recent.lock().contains(&key)
    }
}

// --- the copies ---

fn copy_sent(sent: &Sent<'_>) {
    let (stanza, account) = (sent.stanza(), sent.account);
    if stanza.type_() == Some("error") || !is_eligible(stanza, Side::Sender) {
        return;
    }
    if let (Some(carbons), Some(id)) = (account.get::<Carbons>(), stanza.id()) {
        carbons.note(id, sent.to.bare());
    }
    let others = others(account, |session| sent.is_known_to(session));
    each(
        &others,
        || wrap("sent", account, stanza, &sent.message()),
        |to, copy| sent.copy(to, copy),
    );
}

fn copy_received(received: &Received<'_>) {
    let (stanza, account, from) = (received.stanza(), received.account, received.from);
    let is_from_oneself = from.bare() == account.jid().as_str();
    let is_due = match stanza.type_() {
        // XEP-0280, 6.1: an error is copied if the message that it answers was.
        Some("error") => {
            let answers = |id| account.get::<Carbons>().is_some_and(|it| it.has(id, from.bare()));
            stanza.id().is_some_and(answers)
        }
        // A message to oneself was already copied as sent, so the other devices have it.
        _ => is_eligible(stanza, Side::Recipient) && (!is_from_oneself || received.again),
    };
    if !is_due {
        return;
    }
    let sent_it =
        |session: &Session| is_from_oneself && from.resource() == Some(session.resource());
    let others = others(account, |session| {
        received.is_known_to(session) || !received.again && sent_it(session)
    });
    let copy = || wrap("received", account, stanza, &received.message());
    each(&others, copy, |to, copy| received.copy(to, copy));
}

/// Returns the sessions of an account that want copies and do not have the message.
fn others(account: &Account, knows: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
    let mut others = account.sessions();
    others.retain(|session| session.slots.has::<Receives>() && !knows(session));
    others
}

/// Makes a copy once, if any session wants it, and hands it to each.
fn each(others: &[Arc<Session>], make: impl Fn() -> Outgoing, hand: impl Fn(&Session, &Outgoing)) {
    if others.is_empty() {
        return;
    }
    let copy = make();
    others.iter().for_each(|session| hand(session, &copy));
}

/// XEP-0280, 7 and 8: wraps the message in `<sent/>` or `<received/>`, from the account itself.
/// Each session's address is inserted when the copy is written.
fn wrap(name: &'static str, owner: &Account, stanza: &Stanza, message: &Outgoing) -> Outgoing {
    let message = message.with_attributes(b" xmlns='jabber:client'");
    let forwarded = Element::new("forwarded").xmlns(ns::FORWARD).raw(&message.bytes);
    Element::new("message")
        .attr("from", owner.jid().as_str())
        .attr_opt("type", stanza.type_())
        .child(Element::new(name).xmlns(ns::CARBONS).child(forwarded))
        .outgoing(Class::Message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_core::slots::Slots;

    fn eligible(type_: &str, children: &str) -> (bool, bool) {
        let type_ = if type_.is_empty() { String::new() } else { format!(" type='{type_}'") };
        let stanza = Stanza::parse(format!("<message{type_}>{children}</message>")).unwrap();
        (is_eligible(&stanza, Side::Sender), is_eligible(&stanza, Side::Recipient))
    }

    const BODY: &str = "<body>hi</body>";
    const BOTH: (bool, bool) = (true, true);
    const NEITHER: (bool, bool) = (false, false);

    #[test]
    fn what_people_say_to_each_other_is_copied() {
        for type_ in ["chat", "normal", "", "unheard-of"] {
            assert_eq!(eligible(type_, BODY), BOTH, "{type_}");
        }
        assert_eq!(eligible("chat", ""), BOTH);
        assert_eq!(eligible("normal", ""), NEITHER);
        assert_eq!(
            eligible("normal", "<event xmlns='http://jabber.org/protocol/pubsub#event'/>"),
            NEITHER
        );
    }

    #[test]
    fn what_goes_with_a_conversation_is_copied_in_any_type() {
        for payload in [
            "<received xmlns='urn:xmpp:receipts' id='1'/>",
            "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
            "<x xmlns='jabber:x:conference' jid='room@conference.localhost'/>",
        ] {
            for type_ in ["chat", "normal", "", "headline"] {
                assert_eq!(eligible(type_, payload), BOTH, "{type_} {payload}");
            }
            assert_eq!(eligible("groupchat", payload), NEITHER, "{payload}");
        }
    }

    #[test]
    fn news_and_rooms_are_not_copied() {
        assert_eq!(eligible("headline", BODY), NEITHER);
        assert_eq!(eligible("groupchat", BODY), NEITHER);
    }

    #[test]
    fn an_invitation_by_a_room_is_copied_and_what_a_participant_says_is_not() {
        let invite = "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b'/></x>";
        let marked = format!("{BODY}<x xmlns='http://jabber.org/protocol/muc#user'/>");

        assert_eq!(eligible("", invite), BOTH);
        assert_eq!(eligible("chat", &marked), (true, false));
    }

    #[test]
    fn who_asks_for_no_copies_gets_none_made() {
        for wish in ["<private xmlns='urn:xmpp:carbons:2'/>", "<no-copy xmlns='urn:xmpp:hints'/>"] {
            assert_eq!(eligible("chat", &format!("{BODY}{wish}")), NEITHER, "{wish}");
        }
        assert_eq!(eligible("chat", &format!("{BODY}<private xmlns='urn:x'/>")), BOTH);
    }

    #[test]
    fn what_was_sent_is_remembered_within_a_bound() {
        const BOB: &str = "bob@a.example";
        let sent = Carbons::default();

        for n in 0..=RECENT {
            sent.note(&n.to_string(), BOB);
        }

        assert!(sent.has("1", BOB) && sent.has(&RECENT.to_string(), BOB));
        assert!(!sent.has("0", BOB), "the oldest is forgotten");
        assert!(!sent.has("1", "eve@a.example"), "it was sent to somebody else");
    }

    #[test]
    fn an_account_wants_copies_as_long_as_one_of_its_sessions_does() {
        let carbons = Arc::new(Carbons::default());
        let slots = [Slots::default(), Slots::default()];
        let receiving = || carbons.receiving.load(Ordering::Acquire);

        for slots in &slots {
            slots.put(Arc::new(Receives::copies_of(carbons.clone())));
            slots.put(Arc::new(Receives::copies_of(carbons.clone())));
        }
        assert_eq!(receiving(), 2, "who asks twice is counted once");
        slots[0].clear::<Receives>();
        assert_eq!(receiving(), 1);
        drop(slots);
        assert_eq!(receiving(), 0);
    }
}
