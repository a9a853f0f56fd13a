//! XEP-0045, 7.5: what one occupant says to another alone.
//!
//! It is of two people: it lies in the archive of each of them before anybody hears it, and in none of
//! the room's. It is for the devices that are there, and waits for no other.

use std::sync::Arc;

use whoelse_core::account::Account;
use whoelse_core::carbon_tap::{self, SaidThere};
use whoelse_core::route::{Addressed, Origin, Routed, Telling, keep_at_service};
use whoelse_core::session::{HeldRoom, Session};
use whoelse_core::storage_policy::StoragePolicy;
use whoelse_core::{Node, Time, audience, delivery};
use whoelse_store::{Direction, NewBody, NewMessage, NewRow};
use whoelse_xmpp::{Class, Condition, FullJid, Jid, Outgoing, Stanza, StanzaError};

use super::affiliation::Role;
use super::config::PrivateMessages;
use super::occupant_id;
use super::presence::{self, Said};
use super::room::{Occupant, Room, nobody};
use super::rooms::{Live, Saying};
use super::seat::{self, Seat};

/// The bytes that are added to what is heard, beside two addresses: an id in an archive.
const ADDED: usize = 128;

/// Something that is said to one occupant.
struct Whisper {
    /// The occupant, by number: whoever has the nickname later is somebody else.
    to: u64,
    /// The nickname of who says it.
    by: String,
    /// As it is heard, and as whoever says it has it, both without the sender's address.
    heard: Outgoing,
    sent: Outgoing,
    /// The seats of the occupant.
    seats: Vec<Arc<Seat>>,
    is_to_oneself: bool,
    /// Whether whoever says it sees whose nickname it is for.
    sees: bool,
}

/// A seat, and the room in it that is held for something.
type Place = (Arc<Seat>, HeldRoom);

impl Room {
    /// Whether an occupant may write to one alone.
    pub(super) fn may_whisper(&self, occupant: &Occupant) -> bool {
        let role = occupant.standing.role;
        match self.config.private_messages {
            PrivateMessages::Anyone => true,
            PrivateMessages::Participants => role >= Role::Participant,
            PrivateMessages::Moderators => role >= Role::Moderator,
            PrivateMessages::Nobody => false,
        }
    }

    /// Whoever has this seat, if they may write to one alone.
    fn whisperer(&self, jid: &FullJid) -> Result<&Occupant, StanzaError> {
        let occupant = self.speaker(jid)?;
        match self.may_whisper(occupant) {
            true => Ok(occupant),
            false => Err(StanzaError::new(Condition::Forbidden)
                .with_text("you may not write to one alone in this room")),
        }
    }

    /// Judges a message to one occupant, and returns how it is told.
    fn whisper(&self, jid: &FullJid, nick: &str, said: Said<'_>) -> Result<Whisper, StanzaError> {
        let occupant = self.whisperer(jid)?;
        let (to, other) = self.occupant_named(nick)?;
        let content = said.content(Class::Message, |child| self.is_ours(said.stanza, child));
        let mut words = occupant_id::element(&occupant.id).finish().to_vec();
        // By this it is known as what one occupant says to another.
        let x = presence::user(None, &[]).finish();
        words.extend_from_slice(&x);
        let address = seat::to(&self.address_of(&other.nick));
        Ok(Whisper {
            to,
            by: occupant.nick.clone(),
            heard: content.with_children(&words),
            sent: content.with_children(&x).with_attributes(&address),
            seats: other.seats.iter().map(|sitting| sitting.seat.clone()).collect(),
            is_to_oneself: other.nick == occupant.nick,
            sees: occupant.sees_addresses(&self.config),
        })
    }

    /// Whether this may still be said when it is about to be stored, and somebody is left who hears it.
    fn may_still_whisper(
        &self,
        jid: &FullJid,
        to: u64,
        places: &[Place],
    ) -> Result<(), StanzaError> {
        self.whisperer(jid)?;
        let is_place = |seat: &Arc<Seat>| places.iter().any(|(place, _)| Arc::ptr_eq(place, seat));
        let other = self.occupants.get(&to);
        match other.is_some_and(|it| it.seats.iter().any(|sitting| is_place(&sitting.seat))) {
            true => Ok(()),
            false => Err(nobody()),
        }
    }
}

/// Takes a message of somebody to an address in a room.
pub(super) fn to_one(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    (session, live): (Arc<Session>, Arc<Live>),
) -> Routed {
    let is_kept = of.storage(node) == StoragePolicy::Archived && node.settings().history.is_some();
    match is_kept {
        true => keep(node, origin, of, (session, live)),
        false => pass(node, origin, of, (session, live)),
    }
}

/// Tells it, after what was said before.
fn pass(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    (session, live): (Arc<Session>, Arc<Live>),
) -> Routed {
    live.clone().in_turn(node, move |node| match Private::judge(node, &of, (&session, live)) {
        Ok(private) => {
            private.tell(None, None);
            origin.done();
            Routed::Done
        }
        Err(error) => of.refuse(node, &origin, &error),
    })
}

/// Keeps it in the archives of both, as far as they keep it, and then tells it.
fn keep(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    (session, live): (Arc<Session>, Arc<Live>),
) -> Routed {
    let private = match Private::judge(node, &of, (&session, live.clone())) {
        Ok(private) => private,
        Err(error) => return of.refuse(node, &origin, &error),
    };
    let keepers = private.keepers();
    let archive = match (keepers.heard, &session.account) {
        (false, Some(own)) if keepers.sent => own.archive,
        (true, _) => private.recipient.archive,
        _ => {
            drop(private);
            return pass(node, origin, of, (session, live));
        }
    };
    let saying = live.begin_saying();
    let kept = Kept { private, keepers, _saying: saying };
    keep_at_service(node, origin, of, (archive, Box::new(kept)))
}

/// Who of the two keeps it in their archive (XEP-0441).
#[derive(Debug, Clone, Copy)]
struct Keepers {
    heard: bool,
    sent: bool,
}

/// Something that one occupant says to another, which was judged.
struct Private {
    node: Arc<Node>,
    live: Arc<Live>,
    /// The session that says it.
    session: Arc<Session>,
    recipient: Arc<Account>,
    whisper: Whisper,
    /// Where it is told: room is held for it there, so whatever is let in finds some.
    places: Vec<Place>,
    /// The message as it came, and its address.
    stanza: Stanza,
    to: Jid,
}

impl Private {
    fn judge(
        node: &Arc<Node>,
        of: &Addressed,
        (session, live): (&Arc<Session>, Arc<Live>),
    ) -> Result<Private, StanzaError> {
        let nick = of.to().resource().unwrap_or_default();
        let whisper = live.look(|room| room.whisper(&session.jid, nick, Said::of(of)))?;
        let recipient =
            whisper.seats.first().ok_or_else(nobody)?.listener(node, session, whisper.sees)?;
        let sender = session.sender(!audience::knows(node, &recipient, &session.jid));
        let addresses = of.to().as_str().len() + whisper.by.len() + recipient.jid().as_str().len();
        let bytes = whisper.heard.bytes.len() + addresses + ADDED;
        let place = |seat: &Arc<Seat>| Some((seat.clone(), seat.hold_room(bytes, sender)?));
        let places: Vec<Place> = whisper.seats.iter().filter_map(place).collect();
        if places.is_empty() {
            return Err(StanzaError::new(Condition::ResourceConstraint)
                .with_text("too much waits there, try again later"));
        }
        let (node, session) = (node.clone(), session.clone());
        let (stanza, to) = (of.stanza().clone(), of.to().clone());
        Ok(Private { node, live, session, recipient, whisper, places, stanza, to })
    }

    /// Whether it may still be said.
    fn check(&self) -> Result<(), StanzaError> {
        let Private { live, session, whisper, places, .. } = self;
        live.still(|room| room.may_still_whisper(&session.jid, whisper.to, places))?;
        match self.is_heard() {
            true => Ok(()),
            false => Err(StanzaError::new(Condition::ServiceUnavailable)),
        }
    }

    /// Whether the recipient hears from whoever says it.
    fn is_heard(&self) -> bool {
        audience::hears(&self.node, &self.recipient, &self.session.jid)
    }

    fn keepers(&self) -> Keepers {
        let Private { node, live, session, recipient, whisper, to, .. } = self;
        let from = delivery::full(live.address().as_str(), &whisper.by);
        let keeps = |own: &Account, other: &Jid| node.wiring.archives(node, own, other);
        let own = session.account.as_ref().filter(|_| !whisper.is_to_oneself);
        Keepers {
            heard: Jid::parse(&from).is_ok_and(|from| keeps(recipient, &from)),
            sent: own.is_some_and(|own| keeps(own, to)),
        }
    }

    /// What is kept of it, without stamps: the row of who hears it, and that of who says it, each as
    /// they are shown it, or the one of the two that is kept.
    fn rows(&self, keepers: Keepers) -> NewMessage {
        let Private { session, recipient, whisper, .. } = self;
        let peer = self.node.key_of(self.live.address().as_str());
        let row = |archive, direction| NewRow { archive, peer: peer.clone(), direction };
        let own = session.account.as_ref().filter(|_| keepers.sent);
        if let (false, Some(own)) = (keepers.heard, own) {
            return NewMessage {
                resource: Some(session.resource().to_owned()),
                stanza: whisper.sent.bytes.clone(),
                first: row(own.archive, Direction::Out),
                ..NewMessage::default()
            };
        }
        let to = seat::to(recipient.jid().as_str());
        NewMessage {
            resource: Some(whisper.by.clone()),
            stanza: whisper.heard.with_attributes(&to).bytes,
            first: row(recipient.archive, Direction::Heard),
            second: own.map(|own| row(own.archive, Direction::Out)),
            second_body: own.map(|_| NewBody {
                resource: Some(session.resource().to_owned()),
                stanza: whisper.sent.bytes.clone(),
            }),
            ..NewMessage::default()
        }
    }

    /// Tells it to whoever is still there, and then the sender's other devices there. `number` and
    /// `own`: its numbers in the archives of the two, if it is kept.
    fn tell(self, number: Option<i64>, own: Option<i64>) {
        // Its sender may have been blocked since it was stored: then it stays in the archive.
        let is_heard = self.is_heard();
        let Private { node, live, session, recipient, whisper, places, stanza, to } = self;
        let id = number.map(|number| carbon_tap::stanza_id(&node, &recipient, number));
        let from = delivery::full(live.address().as_str(), &whisper.by);
        let message = delivery::addressed(&whisper.heard, &from, &id.unwrap_or_default());
        let others = live.look(|room| {
            for (seat, held) in places.into_iter().filter(|_| is_heard) {
                if room.has(&seat.jid) {
                    seat.tell_held(&message, held);
                }
            }
            room.devices_of(&session.jid)
        });
        if whisper.is_to_oneself {
            // All of them have heard it.
            return;
        }
        let sent = delivery::addressed(&whisper.sent, session.jid.as_str(), &[]);
        let said = SaidThere { to: &to, stanza: &stanza, message: &sent, number: own };
        let is_there = |device: &str| others.iter().any(|it| it.resource() == device);
        carbon_tap::of_said_there(&node, &session, &said, &is_there);
    }
}

/// Something that one occupant says to another, on its way into the archives.
struct Kept {
    private: Private,
    keepers: Keepers,
    /// What comes after it in the room waits for it.
    _saying: Saying,
}

impl Telling for Kept {
    fn stored(&mut self, _: Time) -> Result<NewMessage, StanzaError> {
        self.private.check()?;
        Ok(self.private.rows(self.keepers))
    }

    fn tell(self: Box<Self>, _: &Arc<Node>, seq: i64, own: Option<i64>) {
        match self.keepers.heard {
            true => self.private.tell(Some(seq), own),
            false => self.private.tell(None, Some(seq)),
        }
    }
}
