//! XEP-0045, 7.2, 7.6, 7.7 and 7.14: presence to an address in a room.

use std::sync::Arc;

use whoelse_core::paying::cost;
use whoelse_core::principal::Rights;
use whoelse_core::route::{Addressed, Origin, Routed};
use whoelse_core::session::Session;
use whoelse_core::{Node, Steady};
use whoelse_xmpp::{BareJid, Condition, StanzaError, ns};

use super::history::Wish;
use super::limits::Limits;
use super::presence::Said;
use super::room::{Entry, Room, Told, refused};
use super::rooms::{Live, Rooms};
use super::seat::Seat;

/// How often a room that goes while somebody enters it is looked for again.
const TRIES: usize = 5;
/// So many bytes that one is told for oneself alone count as one.
const BYTES_TO_READ: u64 = 8;

/// Takes a presence to an address in a room.
pub(super) fn presence(node: &Arc<Node>, origin: Origin, said: Addressed) -> Routed {
    match (said.stanza().type_(), session(&origin)) {
        (None, Some(session)) => arrive(node, origin, said, &session),
        (Some("unavailable"), Some(session)) => leave(node, origin, said, session),
        // Nobody subscribes to a room (7.1), and nothing bounces into one.
        _ => {
            origin.done();
            Routed::Done
        }
    }
}

pub(super) fn session(origin: &Origin) -> Option<Arc<Session>> {
    match origin {
        Origin::Session { session, .. } | Origin::Ended(session) => Some(session.clone()),
        Origin::Account(_) | Origin::Server(_) | Origin::Entity(_) => None,
    }
}

/// 7.14: leaves a room, after what is on its way into the archive. Who is not there leaves nothing.
fn leave(node: &Arc<Node>, origin: Origin, of: Addressed, session: Arc<Session>) -> Routed {
    let Some(live) = Rooms::of(node).here(&of.to().to_bare()) else {
        origin.done();
        return Routed::Done;
    };
    live.clone().in_turn(node, move |node| {
        let left = live.act(node, |room| {
            let cost = room.cost_of_telling();
            let told = room.leave_of(&session, Some(Said::of(&of)));
            (if told.is_empty() { 0 } else { cost }, told)
        });
        let _ = node.pay_for_work_of(&session, left.unwrap_or(0));
        origin.done();
        Routed::Done
    })
}

/// Takes the presence of somebody who wants to be in a room, or is.
fn arrive(node: &Arc<Node>, origin: Origin, of: Addressed, session: &Arc<Session>) -> Routed {
    let Some(nick) = of.to().resource().map(str::to_owned) else {
        let error = StanzaError::new(Condition::JidMalformed)
            .with_text("say by which nickname: room@service/nickname");
        return of.refuse(node, &origin, &refused(error));
    };
    let address = of.to().to_bare();
    let enters = of.stanza().has("x", ns::MUC);
    match Rooms::of(node).here(&address) {
        // It follows what was said before.
        Some(live) if live.is_saying() => later(node, origin, of, session.clone()),
        Some(live) => match try_here(node, &live, session, (&of, &nick)) {
            Some(answer) => answered(node, &origin, &of, answer),
            None => later(node, origin, of, session.clone()),
        },
        None if enters => later(node, origin, of, session.clone()),
        None => {
            not_here(session, &address, &nick);
            origin.done();
            Routed::Done
        }
    }
}

/// What comes of a presence: until when its sender says nothing more, if that is paid for later.
type Came = Result<Option<Steady>, StanzaError>;

/// Enters a room that is in memory, or changes presence there. `None`: it is no more.
fn try_here(
    node: &Arc<Node>,
    live: &Arc<Live>,
    session: &Arc<Session>,
    (of, nick): (&Addressed, &str),
) -> Option<Came> {
    let Some(seat) = Seat::of(session) else {
        return Some(Err(StanzaError::new(Condition::NotAllowed)));
    };
    let x = of.stanza().child("x", ns::MUC);
    let (jid, address) = (seat.jid.clone(), of.to().to_bare());
    let most = node.settings().of::<Limits>().occupants;
    let keeps = node.settings().history.is_some();
    let now = node.clock.now();
    let act = |room: &mut Room| -> (Result<u64, StanzaError>, Vec<Told>) {
        // Another session may have its address by now, and its seat.
        if session.is_gone() {
            return (Ok(0), Vec::new());
        }
        // Of a session that has ended there is nobody any more who hears anything.
        let mut told = match room.has(&jid) && !room.has_seat_of(session) {
            true => room.leave(&jid, None),
            false => Vec::new(),
        };
        let came = match x {
            Some(x) => {
                let password = of.stanza().grandchildren(x);
                let password = password.iter().find(|child| child.is("password", ns::MUC));
                let password = password.map(|child| of.stanza().text_of(child));
                let entry = Entry {
                    seat,
                    nick,
                    said: Said::of(of),
                    password: password.as_deref(),
                    history: Wish::read(of.stanza(), x),
                    keeps,
                    most,
                };
                room.enter(entry, now)
            }
            None => match room.change_presence(&jid, nick, Said::of(of)) {
                Some(told) => told,
                None => {
                    not_here(session, &address, nick);
                    Ok(Vec::new())
                }
            },
        };
        match came {
            Ok(came) => {
                let cost = cost_of(room, &came);
                told.extend(came);
                (Ok(cost), told)
            }
            Err(error) => (Err(error), told),
        }
    };
    let came = live.act(node, act).ok()?;
    if session.is_gone() || !session.has_shown_itself_to(of.to()) {
        // It ended before it entered, or has taken its presence back, or blocked the room: so nobody else
        // takes it away.
        let _ = live.act(node, |room| ((), room.leave_of(session, None)));
    }
    Some(came.map(|bytes| node.pay_for_work_of(session, bytes)))
}

/// What a presence counts as, in bytes: it is told to everybody, and whoever enters is told of everybody,
/// and what was said.
fn cost_of(room: &Room, told: &[Told]) -> u64 {
    let bytes = told.iter().map(|told| match told {
        Told::To(_, stanza) | Told::Last(_, stanza) => stanza.bytes.len() as u64 / BYTES_TO_READ,
        Told::All(_) => room.cost_of_telling(),
    });
    bytes.sum::<u64>().max(room.cost_of_telling())
}

fn not_here(session: &Arc<Session>, address: &BareJid, nick: &str) {
    if let Some(seat) = Seat::of(session) {
        seat.tell_last(&Room::not_here(address, nick));
    }
}

fn answered(node: &Arc<Node>, origin: &Origin, of: &Addressed, came: Came) -> Routed {
    match came {
        Err(error) => of.refuse(node, origin, &refused(error)),
        Ok(covered) => {
            origin.done();
            match covered {
                None => Routed::Done,
                Some(until) => {
                    let node = node.clone();
                    Routed::Waits(Box::pin(async move { node.clock.sleep_until(until).await }))
                }
            }
        }
    }
}

/// Enters a room that has to be loaded, or made.
fn later(node: &Arc<Node>, origin: Origin, of: Addressed, session: Arc<Session>) -> Routed {
    let node = node.clone();
    Routed::Waits(Box::pin(async move {
        let came = find_and_enter(&node, &of, &session).await;
        if let Routed::Waits(rest) = answered(&node, &origin, &of, came) {
            rest.await;
        }
    }))
}

async fn find_and_enter(node: &Arc<Node>, of: &Addressed, session: &Arc<Session>) -> Came {
    let address = of.to().to_bare();
    let nick = of.to().resource().unwrap_or_default();
    let rooms = Rooms::of(node);
    for _ in 0..TRIES {
        match rooms.find_for(node, session, &address).await? {
            Some(live) => {
                live.has_said(node).await;
                if let Some(came) = try_here(node, &live, session, (of, nick)) {
                    return came;
                }
            }
            None if !of.stanza().has("x", ns::MUC) => {
                not_here(session, &address, nick);
                return Ok(None);
            }
            None => {
                let Some(seat) = Seat::of(session) else {
                    return Err(StanzaError::new(Condition::NotAllowed));
                };
                Room::check_nickname(nick)?;
                let is_administrator = node.rights(session) >= Rights::Administrator;
                // The room is made, and goes again; or is refused by what is looked up.
                node.work_turn(session, 2 * cost::CHANGE).await;
                rooms.create(node, &address, &seat, is_administrator).await?;
            }
        }
    }
    Err(StanzaError::new(Condition::ResourceConstraint).with_text("try again later"))
}
