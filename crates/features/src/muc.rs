//! XEP-0045, Multi-User Chat: rooms, in which one sentence goes to many (docs/design/rooms.md).

mod admin;
mod affiliation;
mod archive;
mod arrivals;
mod aside;
mod ask;
mod asked;
mod between;
mod card;
mod change;
mod config;
mod discovery;
mod enter;
mod history;
mod invitation;
mod keep;
mod limits;
mod lists;
mod logged;
mod message;
mod moderation;
mod occupant_id;
pub(crate) mod operate;
mod owner;
mod photos;
mod presence;
mod private;
mod register;
mod room;
mod rooms;
mod say;
mod seat;
mod subject;
mod tombstone;
mod voice;

use std::sync::Arc;
use std::time::Duration;

use whoelse_core::Node;
use whoelse_core::kit::service::Identity;
use whoelse_core::kit::{Feature, Service};
use whoelse_core::route::{Addressed, Origin, Routed};
use whoelse_store::{Error, RoomAffiliation, Tx};
use whoelse_xmpp::{BareJid, Condition, Kind, StanzaError};

use affiliation::Affiliation;
use limits::Limits;
use rooms::Rooms;

use crate::nobodys::NOBODYS;

/// XEP-0045, XEP-0410, XEP-0421, XEP-0486, and the keeping of XEP-0249.
pub const FEATURE: Feature = Feature {
    name: "rooms",
    xeps: &[
        (45, "1.35.5"),
        (249, "1.2"),
        (410, "1.1.0"),
        (421, "1.0.1"),
        (424, "0.4.2"),
        (425, "0.3.0"),
        (486, "0.1.0"),
    ],
    settings: &[limits::SETTINGS],
    wire: |w| {
        w.service(&SERVICE);
        w.storage(invitation::keep);
        w.started(|node| Box::pin(async move { rooms::remove_passing(&node).await }));
        w.every(SWEEP, |node| Box::pin(async move { sweep(node).await }));
        w.name_gone(|node, tx, who, most| Box::pin(forget(node, tx, who, most)));
        w.name_taken(|node, tx, who, most| Box::pin(void(node, tx, who, most)));
    },
    ..Feature::PLAIN
};

/// The service.
pub static SERVICE: Service = Service {
    key: KEY,
    label: |settings| settings.of::<Limits>().label.clone(),
    identity: Identity { category: "conference", type_: "text", name: "Rooms" },
    features: discovery::features,
    info: None,
    items: Some(discovery::of_service),
    take: Some(take),
};

/// The key of the service.
pub(crate) const KEY: &str = "rooms";
/// How often rooms are looked for that wait too long for their first configuration.
const SWEEP: Duration = Duration::from_secs(60);

/// Takes whatever is for a room, or for an occupant of one.
fn take(node: &Arc<Node>, origin: Origin, of: Addressed) -> Routed {
    if of.to().local().is_none() {
        return to_service(node, origin, &of);
    }
    arrivals::in_turn(node, origin, of)
}

/// Takes it when it is its turn.
fn take_now(node: &Arc<Node>, origin: Origin, of: Addressed) -> Routed {
    match of.stanza().kind() {
        Kind::Presence => enter::presence(node, origin, of),
        Kind::Message => say::message(node, origin, of),
        Kind::Iq => ask::request(node, origin, of),
        Kind::Other => {
            origin.done();
            Routed::Done
        }
    }
}

/// Whatever is for the service itself, or for a resource of it, is for nobody.
fn to_service(node: &Arc<Node>, origin: Origin, of: &Addressed) -> Routed {
    let is_answered = match of.stanza().kind() {
        Kind::Message => of.stanza().type_() != Some("error"),
        _ => of.is_request(),
    };
    if is_answered {
        return of.refuse(node, &origin, &StanzaError::new(Condition::ServiceUnavailable));
    }
    origin.done();
    Routed::Done
}

async fn sweep(node: Arc<Node>) {
    Rooms::end_locked(&node).await;
    let left = node.store.is_gone_room_left().await;
    if left.unwrap_or(false) {
        rooms::remove_gone(&node).await;
    }
}

/// Takes a removed account out of the lists of rooms, in at most so many rows. A room that nobody owns
/// by that goes to the eldest admin.
async fn forget(node: &Arc<Node>, tx: &mut Tx, who: &str, most: u64) -> Result<u64, Error> {
    let now = node.clock.now();
    // Each room may have an heir.
    let rooms = tx.forget_room_name(who, (most / 2).max(1)).await?;
    for room in &rooms {
        if tx.has_room_affiliation(*room, Affiliation::Owner.number()).await? {
            continue;
        }
        if let Some(eldest) = tx.eldest_in_room(*room, Affiliation::Admin.number()).await? {
            let affiliation = Affiliation::Owner.number();
            let heir = RoomAffiliation { affiliation, since: now.0, ..eldest };
            tx.set_room_affiliation(*room, &heir).await?;
        }
    }
    // What is in memory forgets as well, though this is not committed yet: the account is gone.
    if let Ok(jid) = BareJid::parse(&node.address_of(who, "")) {
        Rooms::of(node).forget(node, &jid, now);
    }
    // A room that was loaded before the commit may still have the name: so the last piece is one
    // that finds nothing, after the commit of all others.
    Ok(if rooms.is_empty() { 0 } else { most })
}

/// Takes from a name what it was given in rooms while nobody had it, in at most so many rows. Whoever was
/// put out stays so.
async fn void(node: &Arc<Node>, tx: &mut Tx, who: &str, most: u64) -> Result<u64, Error> {
    let rights = Affiliation::Member.number()..=Affiliation::Owner.number();
    let voided = tx.void_room_affiliations(who, (rights, NOBODYS), most).await?;
    if let Ok(jid) = BareJid::parse(&node.address_of(who, "")) {
        Rooms::of(node).void(node, &jid);
    }
    // As above: a room may be loaded before the commit.
    Ok(if voided == 0 { 0 } else { most })
}

/// Returns what was read from the store for an answer; see [`crate::readable`].
fn readable<T>(node: &Node, address: &BareJid, read: Result<T, Error>) -> Result<T, StanzaError> {
    crate::readable(node, "room_unreadable", Some(address), read)
}
