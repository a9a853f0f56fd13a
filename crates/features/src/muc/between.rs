//! XEP-0045, 6.6: what one occupant asks another.
//!
//! A request to an occupant is passed on to one of their devices, by an id of the room's own, and the
//! answer comes back from their address in the room. What devices of the person share, their vCard and
//! their nodes, is answered by the server as for a stranger: whoever knows a nickname learns no more by
//! it than who knows nothing, and nobody's address.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use whoelse_core::account::Account;
use whoelse_core::kit::Reply;
use whoelse_core::question::{PassedOn, Unanswered, answer_to};
use whoelse_core::route::{Addressed, Origin, Routed};
use whoelse_core::session::{Sender, Session};
use whoelse_core::{Node, audience};
use whoelse_xmpp::{Condition, ErrorType, FullJid, Jid, Stanza, StanzaError, ns};

use super::limits::MOST_ASKED;
use super::room::Room;
use super::rooms::Live;
use super::seat::Seat;

/// The longest answer of one occupant to another: whoever asks pays for it, and does not choose it.
const LONGEST_ANSWER: usize = 16 << 10;

/// How much more a session may ask others before it has its answers.
struct Asking(Arc<Semaphore>);

impl Default for Asking {
    fn default() -> Asking {
        Asking(Arc::new(Semaphore::new(MOST_ASKED)))
    }
}

impl Asking {
    /// Counts one more, until what this returns is dropped. `None`: there are as many as may be.
    fn begin(session: &Session) -> Option<OwnedSemaphorePermit> {
        session.slots.get_or_default::<Asking>().0.clone().try_acquire_owned().ok()
    }
}

/// Whom a request is for.
struct Whom {
    /// The address in the room of whoever asks.
    by: String,
    /// The device of the other whose presence everybody sees.
    seat: Arc<Seat>,
    /// Whether it is the device that asks.
    is_oneself: bool,
    /// Whether whoever asks sees whose nickname it is.
    sees: bool,
}

impl Room {
    /// Judges a request of an occupant to the one of this nickname.
    fn ask(&self, jid: &FullJid, nick: &str, asked: &Stanza) -> Result<Whom, StanzaError> {
        let asker = self.occupant(jid).ok_or_else(super::message::not_here)?;
        let (_, other) = self.occupant_named(nick)?;
        let is_oneself = asker.nick == other.nick;
        // Whoever may not write to one alone has nothing done by them either; what somebody is, every
        // occupant may ask.
        if asked.type_() == Some("set") && !is_oneself && !self.may_whisper(asker) {
            return Err(StanzaError::new(Condition::Forbidden)
                .with_text("you may not ask this of one alone in this room"));
        }
        let by = self.address_of(&asker.nick);
        let sees = asker.sees_addresses(&self.config);
        Ok(Whom { by, seat: other.shown_seat().clone(), is_oneself, sees })
    }
}

/// Takes a request of somebody who is in a room to an address in it.
pub(super) fn pass(node: &Arc<Node>, origin: Origin, of: Addressed, live: &Arc<Live>) -> Routed {
    let Origin::Session { session, .. } = &origin else {
        origin.done();
        return Routed::Done;
    };
    let session = session.clone();
    let nick = of.to().resource().unwrap_or_default();
    let whom = match live.look(|room| room.ask(&session.jid, nick, of.stanza())) {
        Ok(whom) => whom,
        Err(error) => return of.refuse(node, &origin, &error),
    };
    let asks = |name, ns| of.stanza().type_() == Some("get") && of.stanza().has(name, ns);
    if whom.is_oneself && asks("ping", ns::PING) {
        // XEP-0410: the room says it, and not another device of theirs.
        return of.answer(node, origin, Box::pin(async { Ok(Reply::empty()) }));
    }
    let owner = match whom.seat.listener(node, &session, whom.sees) {
        Ok(owner) => owner,
        Err(error) => return of.refuse(node, &origin, &error),
    };
    match asks("vCard", ns::VCARD) || asks("pubsub", ns::PUBSUB) {
        true => on_behalf(node, origin, of, (&session, &whom, &owner)),
        false => to_device(node, origin, of, (&session, &whom, &owner)),
    }
}

/// Answers on behalf of an account.
fn on_behalf(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    (session, whom, owner): (&Arc<Session>, &Whom, &Account),
) -> Routed {
    let by = Jid::parse(&whom.by).ok();
    let Some(work) = by.and_then(|by| of.on_behalf(node, by, owner.jid())) else {
        let error = StanzaError::new(Condition::ServiceUnavailable);
        return of.refuse(node, &origin, &error);
    };
    let (own, session) = (node.clone(), session.clone());
    of.answer(
        node,
        origin,
        Box::pin(async move {
            let answer = session.in_reading_turn(own.clock.steady(), work).await;
            if let Ok(Reply::Result(payload)) = &answer {
                let _ = own.pay_for_work_of(&session, payload.len() as u64);
            }
            answer
        }),
    )
}

/// Asks a device, and goes on: whoever asks says more meanwhile.
fn to_device(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    (session, whom, owner): (&Arc<Session>, &Whom, &Arc<Account>),
) -> Routed {
    let Some(open) = Asking::begin(session) else {
        let error = waits("you have asked as much as may be open at once");
        return of.refuse(node, &origin, &error);
    };
    let Some(device) = whom.seat.session() else {
        let error = StanzaError::new(Condition::ServiceUnavailable);
        return of.refuse(node, &origin, &error);
    };
    let request = PassedOn {
        stanza: of.stanza(),
        lang: of.lang(),
        strip: of.strip(),
        from: &whom.by,
        sender: session.sender(!audience::knows(node, owner, &session.jid)),
    };
    let answer = node.pass_on(device, &request);
    let (node, session, stanza) = (node.clone(), session.clone(), of.stanza().clone());
    let answerer = Sender { account: owner.id, is_stranger: true };
    tokio::spawn(async move {
        let answer = answer.await;
        drop(open);
        if let Err(error) = tell(&node, &session, (&stanza, answer), answerer) {
            session.answer_error(&stanza, &error);
        }
    });
    origin.done();
    Routed::Done
}

/// Gives whoever has asked the answer.
fn tell(
    node: &Node,
    session: &Session,
    (request, answer): (&Stanza, Result<Stanza, Unanswered>),
    answerer: Sender,
) -> Result<(), StanzaError> {
    let answer = answer.map_err(|why| match why {
        Unanswered::Busy => waits("too much waits there, try again later"),
        Unanswered::Silent => StanzaError::new(Condition::RemoteServerTimeout)
            .with_text("no answer came within a minute"),
        Unanswered::Gone => StanzaError::new(Condition::ServiceUnavailable),
        Unanswered::Malformed => StanzaError::new(Condition::BadRequest),
    })?;
    if answer.bytes().len() > LONGEST_ANSWER {
        return Err(StanzaError::new(Condition::NotAcceptable)
            .with_text("the answer is longer than one occupant may give another"));
    }
    // Whoever owes has to wait before they say more. Whoever answers has paid for the same bytes.
    let _ = node.pay_for_work_of(session, answer.bytes().len() as u64);
    let told = answer_to(request, &answer).ok_or(StanzaError::new(Condition::BadRequest))?;
    let to = super::seat::to(session.jid.as_str());
    session.push_from(&told, &to, answerer).map_err(|_| waits("the answer found no room"))
}

fn waits(text: &str) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait).with_text(text)
}
