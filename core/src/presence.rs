//! RFC 6121, 4: presence, among accounts that all may see each other.
//!
//! A presence is encoded once; each receiver's queue gets the same bytes and its own ` to='…'`.

use std::sync::Arc;

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Outgoing, Stanza, ns};

use crate::account::Account;
use crate::node::Node;
use crate::rewriting;
use crate::session::Session;

/// A broadcast presence: available, or unavailable, from one of the user's own sessions.
pub(crate) fn broadcast(node: &Arc<Node>, session: &Arc<Session>, stanza: &Stanza) {
    // FIXME: RFC 6120, 4.7.4: a status text without a language should get that of the stream, as
    // messages do.
    let encoded =
        rewriting::for_recipient(stanza, session.jid.as_str(), None, None, &[], Class::Presence);
    if stanza.type_() == Some("unavailable") {
        become_unavailable(node, session, encoded);
    } else {
        become_available(node, session, encoded, priority(stanza));
    }
}

/// RFC 6121, 4.7.2.3: a whole number from -128 to 127; zero when absent or unreadable.
fn priority(stanza: &Stanza) -> i8 {
    let text = stanza.child_text("priority", ns::CLIENT);
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

fn become_available(node: &Arc<Node>, session: &Arc<Session>, presence: Outgoing, priority: i8) {
    let account = session.account.clone();
    let initial = !session.is_available();
    if !session.set_presence(Some((presence.clone(), priority))) {
        return;
    }
    let first = node.note_online(&account);
    tell_viewers(node, &account, &presence);
    if initial {
        tell_about_others(node, session);
    }
    if first {
        node.wiring.tell_online(node, &account, true);
    }
    if initial {
        node.wiring.tell_available(node, session);
    }
}

fn become_unavailable(node: &Arc<Node>, session: &Arc<Session>, presence: Outgoing) {
    if !session.is_available() {
        return;
    }
    session.set_presence(None);
    say_unavailable(node, session, presence);
}

fn say_unavailable(node: &Arc<Node>, session: &Session, presence: Outgoing) {
    let account = session.account.clone();
    tell_viewers(node, &account, &presence);
    if node.note_offline(&account) {
        node.wiring.tell_online(node, &account, false);
    }
}

/// The session is over, with or without a word: its viewers hear that it is gone.
///
/// `was_available`: it had sent presence, and not taken it back, when it ended.
pub(crate) fn end(node: &Arc<Node>, session: &Arc<Session>, was_available: bool) {
    if was_available {
        say_unavailable(node, session, unavailable(session.jid.as_str()));
    }
}

/// An unavailable presence without an address.
pub fn unavailable(from: &str) -> Outgoing {
    Element::new("presence")
        .attr("from", from)
        .attr("type", "unavailable")
        .outgoing(Class::Presence)
}

/// Everybody who may see the account, its own sessions among them.
fn tell_viewers(node: &Arc<Node>, subject: &Arc<Account>, presence: &Outgoing) {
    for viewer in node.online() {
        if viewer.id == subject.id || node.see_each_other(subject, &viewer) {
            viewer.push_to_available(presence);
        }
    }
}

/// A session that has just become available learns who is here (RFC 6121, 4.3: as if it had
/// probed everybody).
fn tell_about_others(node: &Arc<Node>, session: &Arc<Session>) {
    let own = &session.account;
    for subject in node.online() {
        if subject.id == own.id || node.see_each_other(&subject, own) {
            for other in subject.sessions() {
                if other.id != session.id
                    && let Some(presence) = other.presence()
                {
                    session.push_addressed(&presence, &own.to_attribute);
                }
            }
        }
    }
}

/// Tells `viewer` how things stand with `subject` now: every available session, or that there is
/// none. After an unblock, and in answer to a probe.
pub fn tell_present_state(subject: &Account, viewer: &Account) {
    let mut any = false;
    for session in subject.sessions() {
        if let Some(presence) = session.presence() {
            viewer.push_to_available(&presence);
            any = true;
        }
    }
    if !any {
        viewer.push_to_available(&unavailable(subject.jid().as_str()));
    }
}

/// Tells `viewer` that every session of `subject` is gone: after a block.
pub fn tell_gone(subject: &Account, viewer: &Account) {
    for session in subject.sessions() {
        if session.is_available() {
            viewer.push_to_available(&unavailable(session.jid.as_str()));
        }
    }
}

/// RFC 6121, 3 and 4.3, where everybody already sees everybody: a probe is answered with the
/// present state; a request to subscribe is granted at once on the contact's behalf, since the
/// subscription exists; the rest changes nothing.
pub(crate) fn answer_for(
    node: &Arc<Node>,
    asker: &Arc<Session>,
    subject: &Arc<Account>,
    type_: Option<&str>,
) {
    if subject.id != asker.account.id && !node.sees(subject, &asker.account) {
        return;
    }
    match type_ {
        Some("probe") => {
            for session in subject.sessions() {
                if let Some(presence) = session.presence() {
                    asker.push_addressed(&presence, &asker.account.to_attribute);
                }
            }
        }
        Some("subscribe") => {
            let granted = Element::new("presence")
                .attr("from", subject.jid().as_str())
                .attr("to", asker.account.jid().as_str())
                .attr("type", "subscribed");
            asker.push(granted.outgoing(Class::Presence));
        }
        _ => {}
    }
}
