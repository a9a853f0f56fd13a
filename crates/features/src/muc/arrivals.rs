//! Who enters a room is told of everybody in it. A client that enters many rooms at once could be told
//! more than its queue takes, and would lose the last of them (333). So it enters one after the other, as
//! fast as it reads. That waits here and not on its connection: what the client confirms has to be read.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use whoelse_core::Node;
use whoelse_core::route::{Addressed, Origin, Routed};
use whoelse_core::session::Session;
use whoelse_xmpp::{BareJid, Condition, Kind, StanzaError, ns};

use super::enter::session;
use super::history;
use super::limits::LONGEST_SUBJECT;
use super::room::Room;
use super::rooms::Rooms;
use super::take_now;

/// The most bytes of one session that wait: some hundred rooms. Who enters then does not wait, and may
/// lose the seat; what would have to follow is refused.
const MOST: usize = 256 << 10;

/// In the slot of a session: what it has said to rooms that it is about to enter. Held for a look or a
/// change.
#[derive(Default)]
struct Arrivals(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// Oldest first.
    next: VecDeque<(Origin, Addressed)>,
    bytes: usize,
    /// The room whose turn it is.
    now: Option<BareJid>,
}

/// Takes a stanza to a room: at once, or after what the session has said to that room before, or when it
/// has room for what it is told there.
pub(super) fn in_turn(node: &Arc<Node>, origin: Origin, of: Addressed) -> Routed {
    let Some(session) = session(&origin) else { return take_now(node, origin, of) };
    let needs = bytes_to_enter(node, &of);
    let look = |waiting: &Waiting| (waiting.has(&of), !waiting.is_done());
    let before = session.slots.get::<Arrivals>().map(|it| look(&it.0.lock()));
    let (follows, others_wait) = before.unwrap_or_default();
    let has_room = needs.is_none_or(|bytes| !others_wait && session.has_room_to_enter(bytes));
    if !follows && has_room {
        return take_now(node, origin, of);
    }
    let arrivals = session.slots.get_or_default::<Arrivals>();
    let mut waiting = arrivals.0.lock();
    if waiting.bytes + of.stanza().bytes().len() > MOST {
        drop(waiting);
        if !follows || of.stanza().kind() == Kind::Presence {
            return take_now(node, origin, of);
        }
        let error = StanzaError::new(Condition::ResourceConstraint);
        return of.refuse(node, &origin, &error.with_text("you are not in this room yet"));
    }
    let is_first = waiting.is_done();
    waiting.bytes += of.stanza().bytes().len();
    waiting.next.push_back((origin, of));
    drop(waiting);
    if is_first {
        tokio::spawn(one_by_one(node.clone(), session, arrivals));
    }
    Routed::Done
}

/// Takes all that waits, each when there is room for what comes of it. A session that is over, or has
/// lost its connection, reads nothing: then nothing waits.
async fn one_by_one(node: Arc<Node>, session: Arc<Session>, arrivals: Arc<Arrivals>) {
    loop {
        let bytes = arrivals.0.lock().next.front().and_then(|(_, of)| bytes_to_enter(&node, of));
        if let Some(bytes) = bytes {
            session.room_to_enter(bytes).await;
        }
        let Some((origin, of)) = arrivals.0.lock().take() else { return };
        // Nobody enters any more, and no room is loaded or made for that.
        if session.is_gone() && bytes.is_some() {
            origin.done();
            continue;
        }
        if let Routed::Waits(rest) = take_now(&node, origin, of) {
            rest.await;
        }
    }
}

impl Waiting {
    /// Whether something to this room waits, or is being taken.
    fn has(&self, of: &Addressed) -> bool {
        let room = of.to().bare();
        self.now.as_ref().is_some_and(|now| now == room)
            || self.next.iter().any(|(_, other)| other.to().bare() == room)
    }

    /// Whether nothing waits, and nothing is being taken.
    fn is_done(&self) -> bool {
        self.next.is_empty() && self.now.is_none()
    }

    /// Takes the next one; it is its room's turn until this is called again.
    fn take(&mut self) -> Option<(Origin, Addressed)> {
        let next = self.next.pop_front();
        self.now = next.as_ref().map(|(_, of)| of.to().to_bare());
        self.bytes -= next.as_ref().map_or(0, |(_, of)| of.stanza().bytes().len());
        next
    }
}

/// About how many bytes the sender of this is told by it as somebody who enters; `None`: it is nobody who
/// enters.
fn bytes_to_enter(node: &Node, of: &Addressed) -> Option<usize> {
    let stanza = of.stanza();
    let enters = stanza.kind() == Kind::Presence && stanza.type_().is_none();
    if !enters || !stanza.has("x", ns::MUC) {
        return None;
    }
    Some(match Rooms::of(node).here(&of.to().to_bare()) {
        Some(live) => live.look(Room::bytes_to_enter),
        // Nobody is there, but something was said.
        None => history::MOST_BYTES + LONGEST_SUBJECT,
    })
}
