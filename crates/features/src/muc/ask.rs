//! XEP-0045, 6, 7.10, 9 and 10, XEP-0410: requests to a room, and to an address in it; and answers to what
//! occupants were asked.

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::kit::{Answer, Reply};
use whoelse_core::route::{Addressed, Origin, Routed};
use whoelse_core::session::Session;
use whoelse_xmpp::{Condition, Jid, Stanza, StanzaError, ns};

use super::asked::Asked;
use super::rooms::{Rooms, no_room};
use super::{admin, archive, between, card, discovery, moderation, owner, register};

/// Takes a request to an address at the service, or what answers one.
pub(super) fn request(node: &Arc<Node>, origin: Origin, of: Addressed) -> Routed {
    if !of.is_request() {
        if let Origin::Session { session, .. } = &origin {
            session.answers(of.stanza());
        }
        origin.done();
        return Routed::Done;
    }
    let Origin::Session { session, .. } = &origin else {
        return of.refuse(node, &origin, &StanzaError::new(Condition::NotAllowed));
    };
    if of.to().resource().is_some()
        && let Some(live) = Rooms::of(node).here(&of.to().to_bare())
        && live.look(|room| room.has(&session.jid))
    {
        return between::pass(node, origin, of, &live);
    }
    let (session, to, stanza) = (session.clone(), of.to().clone(), of.stanza().clone());
    let own = node.clone();
    let work = Box::pin(async move { answer(own, session, &to, stanza).await });
    of.answer(node, origin, work)
}

async fn answer(node: Arc<Node>, session: Arc<Session>, to: &Jid, stanza: Stanza) -> Answer {
    let unavailable = || StanzaError::new(Condition::ServiceUnavailable);
    // A request has one payload (RFC 6120, 8.2.3).
    let payload = stanza.children().first().cloned().ok_or_else(unavailable)?;
    let (rooms, room) = (Rooms::of(&node), to.to_bare());
    let found = rooms.find_for(&node, &session, &room).await?;
    let live = found.ok_or_else(|| no_room(&room))?;
    let (from, who) = (session.jid.clone(), session.jid.to_bare());
    let asked = Asked { node, session, from, who, live, stanza, payload };
    if to.resource().is_some() {
        return Err(not_in(&asked));
    }
    let gets = asked.stanza.type_() == Some("get");
    match (asked.payload.ns(), asked.payload.name(), gets) {
        (ns::DISCO_INFO, "query", true) => discovery::info(&asked),
        (ns::DISCO_ITEMS, "query", true) => discovery::items(&asked),
        (ns::MUC_ADMIN, "query", true) => admin::list(&asked),
        (ns::MUC_ADMIN, "query", false) => admin::change(asked).await,
        (ns::MUC_OWNER, "query", true) => owner::form(&asked),
        (ns::MUC_OWNER, "query", false) => owner::change(asked).await,
        (ns::REGISTER, "query", true) => register::form(&asked),
        (ns::REGISTER, "query", false) => register::change(asked).await,
        (ns::VCARD, "vCard", true) => card::get(asked).await,
        (ns::VCARD, "vCard", false) => card::set(asked).await,
        (ns::PING, "ping", true) => Ok(Reply::empty()),
        (ns::MODERATE, "moderate", false) | (ns::FASTEN, "apply-to", false) => {
            moderation::moderate(asked).await
        }
        (ns::MAM, "query", _) | (ns::MAM, "metadata", true) => archive::answer(asked).await,
        _ => Err(unavailable()),
    }
}

/// 6.6: who is not in a room asks nobody in it. XEP-0410: whoever asks for themselves is told so.
fn not_in(asked: &Asked) -> StanzaError {
    match asked.payload.is("ping", ns::PING) {
        true => super::message::not_here(),
        false => StanzaError::new(Condition::BadRequest).with_text("you are not in this room"),
    }
}
