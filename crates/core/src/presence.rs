//! RFC 6121, 4: presence, sent to those who may see it: everybody, or the subscribers.
//!
//! A presence is encoded once; each receiver's queue gets the same bytes and its own ` to='…'`.

mod amended;
mod anew;
pub(crate) mod directed;
pub(crate) mod probe;
pub(crate) mod said;

use std::sync::Arc;

use smallvec::SmallVec;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, FullJid, Jid, Kind, Outgoing, Stanza};

use crate::account::Account;
use crate::audience::{self, Audience};
use crate::delivery;
use crate::hosts::Host;
use crate::node::Node;
use crate::rewriting;
use crate::roster::{Roster, addressed};
use crate::route::fan_out::{fan_out, tell};
use crate::route::{Origin, to_service};
use crate::session::{Session, Ticket, Whose};

pub(crate) use amended::amended;
pub use amended::say_again;
pub(crate) use said::Said;

/// Broadcasts a presence, available or unavailable, of one of the user's own sessions. `said` is
/// what was read in it; `lang` is the stream's, for a presence without its own (RFC 6120, 4.7.4).
pub(crate) fn broadcast(
    node: &Arc<Node>,
    (session, ticket): (&Arc<Session>, Ticket),
    (stanza, said): (&Stanza, &Said),
    lang: Option<&str>,
) {
    let from = session.jid.as_str();
    let encoded = rewriting::for_recipient(stanza, from, lang, None, &said.drop, Class::Presence);
    if stanza.type_() == Some("unavailable") {
        become_unavailable(node, (session, ticket), encoded);
    } else {
        become_available(node, (session, ticket), encoded, said.priority);
        // What features add may have changed since it was read; then nobody has said that yet.
        if let Some(own) = session.account.as_ref().filter(|own| own.swaps() != said.swaps) {
            amended::say_again_of(node, own, session);
        }
    }
}

fn become_available(
    node: &Arc<Node>,
    (session, ticket): (&Arc<Session>, Ticket),
    presence: Outgoing,
    priority: i8,
) {
    let initial = !session.is_available();
    // Those who get it later are told when it was sent (XEP-0203).
    let told = presence.with_children(&delivery::delay(node, node.clock.now()));
    if session.set_presence(Some((told, priority))) {
        hand_on_unread(node, session);
        say_available(node, (session, ticket), &presence, initial);
    }
}

/// Lets others have what waits in the log for a session alone, if it does not read there any more.
fn hand_on_unread(node: &Arc<Node>, session: &Arc<Session>) {
    if !session.reads_log() && session.waits_alone() {
        delivery::ended::left_in_log(node, session, node.ends.begin());
    }
}

/// Tells of a session that has just become available, or said so anew.
fn say_available(
    node: &Arc<Node>,
    (session, ticket): (&Arc<Session>, Ticket),
    presence: &Outgoing,
    initial: bool,
) {
    let Some(own) = &session.account else { return };
    let first = node.online.enter(own);
    let roster = own.roster();
    let origin = Origin::Session { session: session.clone(), ticket };
    fan_out(node, &origin, Audience::Viewers, presence);
    take_back(node, (own, &session.jid), &roster);
    if initial {
        tell_about_others(node, own, session);
        deliver_requests(node, own, session);
    }
    if first {
        node.wiring.tell_online(node, own, true);
    }
    if initial {
        node.wiring.tell_available(node, session);
    }
    // Another task may have ended the session meanwhile, and have said so before this was said.
    if session.is_gone() {
        // A newcomer that has its name now speaks for itself.
        if !own.session(session.resource()).is_some_and(|it| it.is_available()) {
            let gone = unavailable(session.jid.as_str());
            fan_out(node, &Origin::Ended(session.clone()), Audience::Viewers, &gone);
        }
        go(node, own, None);
    }
}

fn become_unavailable(
    node: &Arc<Node>,
    (session, ticket): (&Arc<Session>, Ticket),
    presence: Outgoing,
) {
    let was_available = session.is_available();
    session.set_presence(None);
    hand_on_unread(node, session);
    if was_available {
        // RFC 6121, 4.5.2: the session that has just become unavailable gets it, too.
        session.push_presence(&presence, &session.to_attribute());
    }
    let origin = Origin::Session { session: session.clone(), ticket };
    say_unavailable(node, &origin, was_available, &session.take_directed(), &presence);
    if let Some(own) = session.account.as_ref().filter(|_| was_available) {
        go(node, own, Some(presence));
    }
}

/// RFC 6121, 4.5.2: tells those who see the account, and those to whom the session has sent
/// directed presence, that the session is gone.
fn say_unavailable(
    node: &Arc<Node>,
    origin: &Origin,
    was_available: bool,
    directed: &[Jid],
    presence: &Outgoing,
) {
    if was_available {
        fan_out(node, origin, Audience::Viewers, presence);
    }
    directed::say_unavailable(node, origin, was_available, directed, presence);
}

/// Handles a session of the account that is no longer available; perhaps it was the last one.
/// `word` is the unavailable presence that its user sent, if any.
fn go(node: &Arc<Node>, account: &Arc<Account>, word: Option<Outgoing>) {
    if node.online.leave(account) {
        account.note_gone(word, node.clock.now());
        node.wiring.tell_online(node, account, false);
    }
}

/// Handles the end of a session that may have sent no unavailable presence.
///
/// `was_available`: it had sent presence, and not taken it back, when it ended. `directed`: the
/// addresses to which it had sent directed presence.
pub(crate) fn end(
    node: &Arc<Node>,
    session: &Arc<Session>,
    was_available: bool,
    directed: Vec<Jid>,
) {
    let presence = unavailable(session.jid.as_str());
    let origin = Origin::Ended(session.clone());
    say_unavailable(node, &origin, was_available, &directed, &presence);
    if let Some(own) = session.account.as_ref().filter(|_| was_available) {
        go(node, own, None);
    }
}

/// An unavailable presence without an address.
pub fn unavailable(from: &str) -> Outgoing {
    Element::new("presence")
        .attr("from", from)
        .attr("type", "unavailable")
        .outgoing(Class::Presence)
}

/// Repairs a race: a subscription can end while presence is being broadcast. A contact that has
/// lost it was told that the account is gone, perhaps before this presence came. `before` is the
/// roster when the broadcast began.
fn take_back(node: &Node, (own, device): (&Account, &FullJid), before: &Arc<Roster>) {
    let now = own.roster();
    if node.contacts.are_shared() || Arc::ptr_eq(before, &now) {
        return;
    }
    for jid in before.subscribers().filter(|jid| !now.shows_to(jid)) {
        tell(node, own.jid(), jid, &unavailable(device.as_str()));
    }
}

/// RFC 6121, 4.3.2: returns the state of `subject` for somebody of this address: the presence of
/// each available device, without `to`. `None`: they may not see it.
///
/// It is sent when somebody probes, becomes available, or gets a subscription.
pub(crate) fn present_state(
    node: &Node,
    subject: &Account,
    asker: &BareJid,
) -> Option<Vec<(FullJid, Outgoing)>> {
    if !audience::sees(node, subject, asker) {
        return None;
    }
    let mut state = Vec::new();
    subject.each_session(|device| {
        if let Some(presence) = device.presence() {
            state.push((device.jid.clone(), presence));
        }
    });
    Some(state)
}

/// Tells a session that has just become available who is here (RFC 6121, 4.3: as if it had probed
/// everybody).
fn tell_about_others(node: &Node, own: &Account, session: &Session) {
    audience::each_subject(node, Some(own), |subject| {
        if !audience::hears(node, own, subject.jid()) {
            return;
        }
        for (device, presence) in present_state(node, subject, own.jid()).unwrap_or_default() {
            if device != session.jid {
                session.push_presence(&presence, &own.to_attribute);
            }
        }
    });
}

/// RFC 6121, 3.1.3: delivers the unanswered subscription requests, again at each login.
fn deliver_requests(node: &Node, own: &Account, session: &Session) {
    if node.contacts.are_shared() {
        return;
    }
    for (from, contact) in own.roster().requests() {
        // A contact who was blocked since is not heard; the request waits until the block ends.
        if audience::hears(node, own, from)
            && !session.push_request(addressed(contact.request.clone(), from, own.jid()), from)
        {
            // This one and the others are told when there is room.
            return;
        }
    }
}

/// An account's answer to a presence, without a `to`.
pub(crate) enum Answer {
    Nothing,
    /// How the account is, or its devices are.
    State(SmallVec<[Outgoing; 2]>),
    /// A word about the subscription.
    Word(Outgoing),
}

/// RFC 6121, 3.1.3, with the shared roster: the subscription that the address `asker` asks for
/// exists already. It is granted at once on behalf of `to`, unless its owner has blocked them.
pub(crate) fn granted(node: &Node, contact: Option<&Account>, to: &Jid, asker: &BareJid) -> Answer {
    let Some(_) = contact.filter(|contact| audience::hears(node, contact, asker)) else {
        return Answer::Nothing;
    };
    let granted = Element::new("presence").attr("from", to.bare()).attr("type", "subscribed");
    Answer::Word(granted.outgoing(Class::Presence))
}

/// Shows `subject` to `viewer`, who may see it from now on: sends the presence of each device.
pub(crate) fn show(node: &Arc<Node>, subject: &Arc<Account>, viewer: &BareJid) {
    let Some(state) = present_state(node, subject, viewer) else { return };
    for (_, presence) in state {
        tell(node, subject.jid(), viewer, &presence);
    }
    node.wiring.tell_shown(node, subject, viewer);
}

/// Takes `subject` away from `viewer`, who is no longer subscribed: each available device is gone.
pub(crate) fn take_away(node: &Node, subject: &Account, viewer: &BareJid) {
    if !node.wiring.shows(subject, viewer) {
        return;
    }
    for device in subject.sessions() {
        if device.is_available() {
            tell(node, subject.jid(), viewer, &unavailable(device.jid.as_str()));
        }
    }
}

/// Takes `subject` away from `viewer`, whom it has just blocked. The devices that `viewer` has seen
/// are gone: all if it is subscribed, or those that have sent it directed presence.
pub fn hide(node: &Arc<Node>, subject: &Account, viewer: &BareJid) {
    if let Host::Service(key) = node.host_of(viewer) {
        for device in subject.sessions().iter().filter(|it| it.forget_directed_to(viewer)) {
            let gone = unavailable(device.jid.as_str());
            to_service::tell_gone(node, key, device, (viewer, &gone));
        }
        return;
    }
    let subscribed = audience::is_subscribed(node, subject, viewer);
    for device in subject.sessions() {
        let directed = device.forget_directed_to(viewer);
        if directed || subscribed && device.is_available() {
            tell(node, subject.jid(), viewer, &unavailable(device.jid.as_str()));
        }
    }
}

/// Tells an account and somebody whom it has just unblocked each other's present state, as far as
/// they may know it. What the other has told meanwhile the account has missed.
pub fn show_again(node: &Arc<Node>, account: &Arc<Account>, other: &BareJid) {
    if tell_state(node, account, other) {
        node.wiring.tell_shown(node, account, other);
    }
    if let Some(other) = node.here(other) {
        tell_state(node, &other, account.jid());
    }
    for session in account.sessions().into_iter().filter(|session| session.is_available()) {
        session.miss_events(Whose::These([other.clone()].into()));
        session.wake();
    }
}

/// Tells `viewer` which devices of `subject` are available, or that there is none. Returns whether
/// they may know it.
fn tell_state(node: &Node, subject: &Account, viewer: &BareJid) -> bool {
    let Some(state) = present_state(node, subject, viewer) else { return false };
    if state.is_empty() {
        tell(node, subject.jid(), viewer, &unavailable(subject.jid().as_str()));
    }
    for (_, presence) in state {
        tell(node, subject.jid(), viewer, &presence);
    }
    true
}

/// Whether a presence is about a subscription, or a probe: such a presence is for an account, never
/// for one of its devices (RFC 6121, 3.1.3 and 8.5.3).
pub(crate) fn is_for_account(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Presence
        && !matches!(stanza.type_(), None | Some("unavailable" | "error"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_store::{Location, Store};

    use super::*;
    use crate::clock::{Clock, Steady, Time};
    use crate::principal::{Principal, Rights};
    use crate::route::Routed;
    use crate::route::tests::{Blocked, Missed, Shown, device, hears, jid, node, node_with, says};
    use crate::sessions::Hold;
    use crate::settings::{Contacts, Limits, Settings};

    #[tokio::test]
    async fn a_session_that_ends_while_it_is_said_to_be_here_is_said_to_be_gone() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let domain = tx.ensure_domain("localhost").await.unwrap();
        for name in ["alice", "bob"] {
            tx.create_account(domain, name, &[], 1).await.unwrap().unwrap();
        }
        tx.commit().await.unwrap();
        let clock = Clock::manual(Time(1_767_225_600_000_000));
        let settings = Settings::default();
        let node = Node::start(settings, clock, store, &[], Some("localhost")).await.unwrap();
        let mut holds = Vec::new();
        for jid in ["alice@localhost", "bob@localhost"] {
            let account = node.account(&BareJid::parse(jid).unwrap()).await.unwrap().unwrap();
            let principal = Principal::of(&account, Rights::Own);
            holds.push(node.bind(&principal, Some("desk")).await.unwrap());
        }
        let [alice, bob] = holds.try_into().ok().unwrap();
        let here = || Element::new("presence").text("here").outgoing(Class::Presence);
        let said = |hold: &Hold| hold.session.received(hold.epoch).unwrap().unwrap();
        become_available(&node, (&alice.session, said(&alice)), here(), 0);

        let ticket = said(&bob);
        assert!(bob.session.set_presence(Some((here(), 0))));
        node.end(&bob.session).await;
        say_available(&node, (&bob.session, ticket), &here(), true);

        let mut out = whoelse_stream::Output::default();
        let limits = Limits::default();
        alice.session.take(alice.epoch, Steady(0), &limits, &mut out, 1 << 20).unwrap();
        let heard = String::from_utf8(out.take()).unwrap();
        let (here, gone) = (heard.rfind("here<"), heard.rfind("type='unavailable'"));
        assert!(here.is_some() && gone > here, "{heard}");
        assert_eq!(node.census().online, 1);
    }

    async fn said(routed: Routed) {
        if let Routed::Waits(rest) = routed {
            rest.await;
        }
    }

    /// Who was told to features as somebody who gets this device's owner's presence from then on.
    fn shown_to(device: &Hold) -> Vec<BareJid> {
        std::mem::take(&mut *device.session.own().get_or_default::<Shown>().0.lock())
    }

    #[tokio::test]
    async fn features_are_told_who_gets_somebodys_presence_from_now_on() {
        let node = node_with(Contacts::Roster, &["alice", "bob"]).await;
        let alice = device(&node, "alice", "desk").await;
        let bob = device(&node, "bob", "desk").await;

        said(says(&node, &alice, "<presence to='bob@localhost' type='subscribe'/>")).await;
        assert_eq!((shown_to(&alice), shown_to(&bob)), (vec![], vec![]));
        said(says(&node, &bob, "<presence to='alice@localhost' type='subscribed'/>")).await;
        assert_eq!((shown_to(&alice), shown_to(&bob)), (vec![], vec![jid("alice")]));
        said(says(&node, &bob, "<presence to='alice@localhost' type='unsubscribed'/>")).await;

        assert_eq!((shown_to(&alice), shown_to(&bob)), (vec![], vec![]));
    }

    #[tokio::test]
    async fn who_is_unblocked_gets_presence_again_and_was_not_heard_meanwhile() {
        let node = node(&["alice", "bob"]).await;
        let bob = device(&node, "bob", "desk").await;
        let account = bob.session.own().clone();

        account.put(Arc::new(Blocked(jid("alice").into())));
        show_again(&node, &account, &jid("alice"));
        assert!(shown_to(&bob).is_empty(), "who is still blocked gets nothing");
        account.put(Arc::new(Blocked(jid("nobody").into())));
        show_again(&node, &account, &jid("alice"));
        hears(&node, &bob);
        node.tell_anew(&bob.session).await;

        assert_eq!(shown_to(&bob), [jid("alice")]);
        let missed = bob.session.slots.get::<Missed>().unwrap();
        assert_eq!(missed.0, Whose::These([jid("alice")].into()));
    }
}
