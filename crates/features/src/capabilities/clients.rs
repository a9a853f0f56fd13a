//! What the clients of sessions can do: known by what they say in their presence, or asked for
//! (XEP-0115, 6.2).
//!
//! What a client answers is believed of others only if it has the hash that they name. Anything else
//! counts for its own session alone, so nobody can make the server believe something of others
//! (security row 30).

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::kit::Wiring;
use whoelse_core::session::Session;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Stanza, StanzaError, ns};

use super::answer::{Answer, Wanted};
use super::known::{Capabilities, Known};
use super::said::Said;

/// Whether the client of a session wants to hear of nodes of this name (XEP-0163, 4.2).
pub fn wants(session: &Session, node: &str) -> bool {
    session.slots.look(|it: &Capabilities| it.wanted.has(node)).unwrap_or_default()
}

/// The nodes of which the client of a session wants to hear, if it has said what it can do.
pub fn wanted(session: &Session) -> Option<Arc<Wanted>> {
    session.slots.look(|it: &Capabilities| it.wanted.clone())
}

pub(super) fn wire(w: &mut Wiring) {
    w.presence(listen);
}

/// Reads what a client says of itself. What it says no more it can do no more; while it is asked
/// about something new, it wants what it wanted before.
fn listen(node: &Arc<Node>, session: &Arc<Session>, presence: &Stanza) {
    if presence.type_().is_some() {
        return;
    }
    let said = Said::read(presence);
    let is_as_before = session.slots.look(|it: &Capabilities| said.as_ref() == Some(&it.said));
    if is_as_before.unwrap_or(said.is_none()) {
        return;
    }
    let known = node.slots.get_or_default::<Known>();
    let mut known = known.lock();
    let Some(said) = said else { return session.slots.clear::<Capabilities>() };
    let before = wanted(session).unwrap_or_default();
    if let Some(found) = known.find(&said) {
        session.slots.put(found.clone());
        drop(known);
        return tell_what_is_new(node, session, &before, &found.wanted);
    }
    session.slots.put(Arc::new(Capabilities { said: said.clone(), wanted: before }));
    drop(known);
    let question = Element::new("query").xmlns(ns::DISCO_INFO).attr("node", &said.question());
    let answer = node.ask(session, question);
    let (node, session) = (node.clone(), session.clone());
    tokio::spawn(async move { answered(&node, &session, said, answer.await) });
}

/// Takes a client's answer. One that answers with an error or with something else wants nothing; one
/// that does not answer is asked again when it says the same again.
fn answered(
    node: &Arc<Node>,
    session: &Arc<Session>,
    said: Said,
    answer: Option<Result<Stanza, StanzaError>>,
) {
    let is_answered = answer.is_some();
    let answer = answer.and_then(Result::ok).and_then(|result| Answer::read(&result));
    let is_proved = answer.as_ref().is_some_and(|answer| answer.proves(&said));
    let wanted = answer.map(|answer| Arc::new(answer.wanted())).unwrap_or_default();

    let known = node.slots.get_or_default::<Known>();
    let mut known = known.lock();
    let now = Capabilities { said, wanted };
    let now = if is_proved { known.learn(now) } else { Arc::new(now) };
    let before = session.slots.get::<Capabilities>();
    // The client may say something else of itself by now.
    let Some(before) = before.filter(|before| before.said == now.said) else { return };
    match is_answered {
        true => session.slots.put(now.clone()),
        false => session.slots.clear::<Capabilities>(),
    }
    drop(known);
    tell_what_is_new(node, session, &before.wanted, &now.wanted);
}

/// Tells features what a session wants more than before. One that is not available yet is asked for
/// all that it wants when it is.
fn tell_what_is_new(node: &Arc<Node>, session: &Arc<Session>, before: &Wanted, now: &Wanted) {
    let new: Vec<&str> = now.names().filter(|name| !before.has(name)).collect();
    if session.is_available() && !new.is_empty() {
        node.wiring.tell_wants_more(node, session, &new);
    }
}
