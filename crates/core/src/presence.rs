//! RFC 6121, 4: presence, told to those who may see it: everybody, or the subscribers.
//!
//! A presence is encoded once; each receiver's queue gets the same bytes and its own ` to='…'`.

pub(crate) mod directed;
pub(crate) mod probe;
pub(crate) mod said;

use std::sync::Arc;

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, Jid, Kind, Outgoing, Stanza};

use crate::account::Account;
use crate::delivery;
use crate::node::Node;
use crate::rewriting;
use crate::roster::Roster;
use crate::roster::change::addressed;
use crate::session::Session;
use crate::settings::Contacts;

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
    each_viewer(node, &account, |viewer| viewer.push_to_available(&presence));
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
        each_viewer(node, account, |viewer| viewer.push_to_available(presence));
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

/// Calls `tell` for everybody in memory to whom presence of `subject` goes, itself among them.
fn each_viewer(node: &Arc<Node>, subject: &Arc<Account>, tell: impl Fn(&Arc<Account>)) {
    match node.settings().contacts {
        Contacts::Everyone => {
            let viewers = node.online().into_iter();
            viewers.filter(|it| passes(node, subject, it)).for_each(|viewer| tell(&viewer));
        }
        Contacts::Roster => {
            tell(subject);
            let roster = subject.roster();
            let viewers = roster.subscribers().filter_map(|jid| node.here(jid));
            viewers.filter(|it| passes(node, subject, it)).for_each(|viewer| tell(&viewer));
        }
    }
}

/// A subscription can end while presence is being told: who has lost it was told that the account is
/// gone, perhaps before this presence came. `before` is the roster as it was when the telling began.
fn take_back(node: &Node, session: &Session, before: &Arc<Roster>) {
    let now = session.account.roster();
    if node.settings().contacts == Contacts::Everyone || Arc::ptr_eq(before, &now) {
        return;
    }
    for jid in before.subscribers().filter(|jid| !now.shows_to(jid)) {
        if let Some(viewer) = node.here(jid) {
            viewer.push_to_available(&unavailable(session.jid.as_str()));
        }
    }
}

/// Whether presence of `subject` goes to `viewer`.
fn passes(node: &Node, subject: &Account, viewer: &Account) -> bool {
    subject.id == viewer.id
        || node.is_open_between(subject, viewer) && node.is_subscribed(subject, viewer)
}

/// A session that has just become available learns who is here (RFC 6121, 4.3: as if it had
/// probed everybody).
fn tell_about_others(node: &Arc<Node>, session: &Arc<Session>) {
    let own = &session.account;
    let tell = |subject: &Arc<Account>| {
        if passes(node, subject, own) {
            for other in subject.sessions() {
                if other.id != session.id
                    && let Some(presence) = other.presence()
                {
                    session.push_addressed(&presence, &own.to_attribute);
                }
            }
        }
    };
    match node.settings().contacts {
        Contacts::Everyone => node.online().iter().for_each(tell),
        Contacts::Roster => {
            tell(own);
            let roster = own.roster();
            roster.subscriptions().filter_map(|jid| node.here(jid)).for_each(|it| tell(&it));
        }
    }
}

/// RFC 6121, 3.1.3: requests that wait for an answer come at each login, until they have one.
fn deliver_requests(node: &Arc<Node>, session: &Arc<Session>) {
    if node.settings().contacts == Contacts::Everyone {
        return;
    }
    let own = &session.account;
    for (from, contact) in own.roster().requests() {
        // Who was blocked since then is not heard; the request waits for the day this ends.
        if node.wiring.shows_to(own, from) {
            session.push(addressed(contact.request.clone(), from, own.jid()));
        }
    }
}

/// RFC 6121, 3.1.3, where everybody sees everybody: the subscription exists, and is granted at once
/// on the contact's behalf.
pub(crate) fn grant(asker: &Session, contact: &BareJid) {
    let granted = Element::new("presence").attr("type", "subscribed").finish();
    asker.push(addressed(granted, contact, asker.account.jid()));
}

/// Tells `viewer` which sessions of `subject` are available.
pub(crate) fn tell_here(subject: &Account, viewer: &Account) -> bool {
    let mut any = false;
    for session in subject.sessions() {
        if let Some(presence) = session.presence() {
            viewer.push_to_available(&presence);
            any = true;
        }
    }
    any
}

/// Tells `viewer` how things stand with `subject` now: every available session, or that there is
/// none. After an unblock.
pub fn tell_present_state(subject: &Account, viewer: &Account) {
    if !tell_here(subject, viewer) {
        viewer.push_to_available(&unavailable(subject.jid().as_str()));
    }
}

/// Tells `viewer` that every session of `subject` is gone: it is no longer subscribed.
pub(crate) fn tell_gone(subject: &Account, viewer: &Account) {
    for session in subject.sessions() {
        if session.is_available() {
            viewer.push_to_available(&unavailable(session.jid.as_str()));
        }
    }
}

/// Tells `viewer`, who has just been blocked, that the sessions of `subject` are gone which it has
/// seen: because it is subscribed, or because they have sent their presence directly.
pub fn hide(node: &Node, subject: &Account, viewer: &Account) {
    let subscribed = node.is_subscribed(subject, viewer);
    for session in subject.sessions() {
        let directed = session.forget_directed_to(viewer.jid());
        if directed || subscribed && session.is_available() {
            viewer.push_to_available(&unavailable(session.jid.as_str()));
        }
    }
}

/// RFC 6121, 3.1.3 and 8.5.3: the words of subscription and probes are for an account, never for
/// one of its devices.
pub(crate) fn is_for_account(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Presence
        && !matches!(stanza.type_(), None | Some("unavailable" | "error"))
}
