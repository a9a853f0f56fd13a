//! RFC 6121, 4: presence, told to those who may see it: everybody, or the subscribers.
//!
//! A presence is encoded once; each receiver's queue gets the same bytes and its own ` to='…'`.

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
use crate::node::Node;
use crate::rewriting;
use crate::roster::{Roster, addressed};
use crate::route::fan_out::{fan_out, tell};
use crate::session::Session;

pub(crate) use said::Said;

/// A broadcast presence: available, or unavailable, from one of the user's own sessions, with what
/// was read in it. `lang` is the stream's, for a presence without its own (RFC 6120, 4.7.4).
pub(crate) fn broadcast(
    node: &Arc<Node>,
    session: &Arc<Session>,
    (stanza, said): (&Stanza, &Said),
    lang: Option<&str>,
) {
    let from = session.jid.as_str();
    let encoded = rewriting::for_recipient(stanza, from, lang, None, &said.drop, Class::Presence);
    if stanza.type_() == Some("unavailable") {
        become_unavailable(node, session, encoded);
    } else {
        become_available(node, session, encoded, said.priority);
    }
}

fn become_available(node: &Arc<Node>, session: &Arc<Session>, presence: Outgoing, priority: i8) {
    let account = session.account.clone();
    let initial = !session.is_available();
    // Whoever is told of it later is told when it was said (XEP-0203).
    let told = presence.with_children(&delivery::delay(node, node.clock.now()));
    if !session.set_presence(Some((told, priority))) {
        return;
    }
    let first = node.note_online(&account);
    let roster = account.roster();
    fan_out(node, &account, Audience::Viewers, &presence);
    take_back(node, session, &roster);
    if initial {
        tell_about_others(node, session);
        deliver_requests(node, session);
    }
    if first {
        node.wiring.tell_online(node, &account, true);
    }
    if initial {
        node.wiring.tell_available(node, session);
    }
}

fn become_unavailable(node: &Arc<Node>, session: &Arc<Session>, presence: Outgoing) {
    let was_available = session.is_available();
    session.set_presence(None);
    if was_available {
        // RFC 6121, 4.5.2: the one that has just become unavailable hears it, too.
        session.push_addressed(&presence, &session.account.to_attribute);
    }
    say_unavailable(node, session, was_available, &session.take_directed(), &presence);
    if was_available {
        go(node, session, Some(presence));
    }
}

/// RFC 6121, 4.5.2: those who see the account hear that one of its sessions is gone, and so do those
/// to whom the session has sent its presence directly.
fn say_unavailable(
    node: &Arc<Node>,
    session: &Session,
    was_available: bool,
    directed: &[Jid],
    presence: &Outgoing,
) {
    let account = &session.account;
    if was_available {
        fan_out(node, account, Audience::Viewers, presence);
    }
    directed::say_unavailable(node, account, was_available, directed, presence);
}

/// A session that was available is not any more; perhaps it was the last one of the account. `word`
/// is what its user said in going.
fn go(node: &Arc<Node>, session: &Session, word: Option<Outgoing>) {
    let account = &session.account;
    if node.note_offline(account) {
        account.note_gone(word, node.clock.now());
        node.wiring.tell_online(node, account, false);
    }
}

/// The session is over, with or without a word.
///
/// `was_available`: it had sent presence, and not taken it back, when it ended. `directed`: to whom
/// it had sent presence directly.
pub(crate) fn end(
    node: &Arc<Node>,
    session: &Arc<Session>,
    was_available: bool,
    directed: Vec<Jid>,
) {
    let presence = unavailable(session.jid.as_str());
    say_unavailable(node, session, was_available, &directed, &presence);
    if was_available {
        go(node, session, None);
    }
}

/// An unavailable presence without an address.
pub fn unavailable(from: &str) -> Outgoing {
    Element::new("presence")
        .attr("from", from)
        .attr("type", "unavailable")
        .outgoing(Class::Presence)
}

/// A subscription can end while presence is being told: who has lost it was told that the account is
/// gone, perhaps before this presence came. `before` is the roster as it was when the telling began.
fn take_back(node: &Node, session: &Session, before: &Arc<Roster>) {
    let now = session.account.roster();
    if node.settings().contacts.are_shared() || Arc::ptr_eq(before, &now) {
        return;
    }
    for jid in before.subscribers().filter(|jid| !now.shows_to(jid)) {
        tell(node, session.account.jid(), jid, &unavailable(session.jid.as_str()));
    }
}

/// RFC 6121, 4.3.2: how things stand with `subject`, for somebody of this address: each available
/// device with its presence, which has no `to`. `None`: they may not see it.
///
/// Told when somebody asks, when they become available, and when they get a subscription.
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

/// A session that has just become available learns who is here (RFC 6121, 4.3: as if it had
/// probed everybody).
fn tell_about_others(node: &Node, session: &Session) {
    let own = &session.account;
    audience::each_subject(node, own, |subject| {
        if !audience::hears(node, own, subject.jid()) {
            return;
        }
        for (device, presence) in present_state(node, subject, own.jid()).unwrap_or_default() {
            if device != session.jid {
                session.push_addressed(&presence, &own.to_attribute);
            }
        }
    });
}

/// RFC 6121, 3.1.3: requests that wait for an answer come at each login, until they have one.
fn deliver_requests(node: &Arc<Node>, session: &Arc<Session>) {
    if node.settings().contacts.are_shared() {
        return;
    }
    let own = &session.account;
    for (from, contact) in own.roster().requests() {
        // Who was blocked since then is not heard; the request waits for the day this ends.
        if audience::hears(node, own, from) {
            session.push(addressed(contact.request.clone(), from, own.jid()));
        }
    }
}

/// What an account answers to a presence: presences without a `to`.
pub(crate) type Answer = SmallVec<[Outgoing; 2]>;

/// RFC 6121, 3.1.3, where everybody sees everybody: the subscription that somebody of the address
/// `asker` asks for exists, and is granted at once on behalf of `to`, unless its owner has blocked
/// them.
pub(crate) fn granted(node: &Node, contact: Option<&Account>, to: &Jid, asker: &BareJid) -> Answer {
    let Some(_) = contact.filter(|contact| audience::hears(node, contact, asker)) else {
        return Answer::new();
    };
    let granted = Element::new("presence").attr("from", to.bare()).attr("type", "subscribed");
    Answer::from_iter([granted.outgoing(Class::Presence)])
}

/// Shows `subject` to `viewer`, who may see it from now on: every available device.
pub(crate) fn show(node: &Node, subject: &Account, viewer: &BareJid) {
    for (_, presence) in present_state(node, subject, viewer).unwrap_or_default() {
        tell(node, subject.jid(), viewer, &presence);
    }
}

/// Takes `subject` away from `viewer`, who is no longer subscribed: every available device is gone.
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

/// Takes `subject` away from `viewer`, whom it has just blocked: the devices are gone that `viewer`
/// has seen, because it is subscribed, or because they have sent their presence directly.
pub fn hide(node: &Node, subject: &Account, viewer: &BareJid) {
    let subscribed = audience::is_subscribed(node, subject, viewer);
    for device in subject.sessions() {
        let directed = device.forget_directed_to(viewer);
        if directed || subscribed && device.is_available() {
            tell(node, subject.jid(), viewer, &unavailable(device.jid.as_str()));
        }
    }
}

/// An account has just unblocked somebody: each is told how things stand with the other now, as far
/// as they may know it.
pub fn show_again(node: &Node, account: &Account, other: &BareJid) {
    tell_state(node, account, other);
    if let Some(other) = node.here(other) {
        tell_state(node, &other, account.jid());
    }
}

/// Tells `viewer` which devices of `subject` are available, or that there is none.
fn tell_state(node: &Node, subject: &Account, viewer: &BareJid) {
    match present_state(node, subject, viewer) {
        None => {}
        Some(state) if state.is_empty() => {
            tell(node, subject.jid(), viewer, &unavailable(subject.jid().as_str()));
        }
        Some(state) => {
            for (_, presence) in state {
                tell(node, subject.jid(), viewer, &presence);
            }
        }
    }
}

/// RFC 6121, 3.1.3 and 8.5.3: the words of subscription and probes are for an account, never for
/// one of its devices.
pub(crate) fn is_for_account(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Presence
        && !matches!(stanza.type_(), None | Some("unavailable" | "error"))
}
