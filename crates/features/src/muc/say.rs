//! XEP-0045, 7.4, 7.5, 7.8 and 8.1: messages to a room, and to an address in it.

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::paying::cost;
use whoelse_core::route::{Addressed, Origin, Routed};
use whoelse_core::session::Session;
use whoelse_core::storage_policy::StoragePolicy;
use whoelse_xmpp::{Condition, StanzaError};

use super::logged::is_logged;
use super::message::not_here;
use super::presence::Said;
use super::rooms::{Live, Rooms};
use super::subject::Subject;
use super::{aside, keep, private};

/// Takes a message to a room, or to an address in it.
pub(super) fn message(node: &Arc<Node>, origin: Origin, of: Addressed) -> Routed {
    let type_ = of.stanza().type_().map(str::to_owned);
    let Origin::Session { session, .. } = &origin else {
        // Nothing bounces into a room.
        origin.done();
        return Routed::Done;
    };
    if type_.as_deref() == Some("error") {
        origin.done();
        return Routed::Done;
    }
    let session = session.clone();
    let here = Rooms::of(node).here(&of.to().to_bare());
    match (type_.as_deref(), of.to().resource().map(str::to_owned)) {
        (Some("groupchat"), None) => match here {
            Some(live) => to_all(node, origin, of, &session, live),
            // Nobody is there, so its sender is not.
            None => of.refuse(node, &origin, &not_here()),
        },
        (Some("groupchat"), Some(_)) => {
            let error = StanzaError::new(Condition::BadRequest)
                .with_text("what is said to one alone is no groupchat");
            of.refuse(node, &origin, &error)
        }
        (_, None) => aside::take(node, origin, of, (&session, here)),
        (_, Some(_)) => match here {
            Some(live) => private::to_one(node, origin, of, (session, live)),
            None => of.refuse(node, &origin, &not_here()),
        },
    }
}

/// 7.4: tells everybody. What the archive is to have is committed before it is told.
fn to_all(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    session: &Arc<Session>,
    live: Arc<Live>,
) -> Routed {
    let sets_subject = Subject::is_set_by(of.stanza());
    let is_kept = of.storage_in_room(node) == StoragePolicy::Archived;
    let is_logged = live.look(|room| is_logged(node, &room.config));
    if !(sets_subject || is_kept && is_logged) {
        let session = session.clone();
        // After what is on its way there.
        return live
            .clone()
            .in_turn(node, move |node| at_once(node, origin, &of, (&session, &live, is_kept)));
    }
    let spoken = live.look(|room| Ok((room.speak(&session.jid, Said::of(&of))?, room.count())));
    let (speech, occupants) = match spoken {
        Ok(spoken) => spoken,
        Err(error) => return of.refuse(node, &origin, &error),
    };
    // Both change what is remembered in a transaction of their own.
    let is_change = sets_subject || speech.retraction.is_some();
    let change = if is_change { cost::CHANGE } else { 0 };
    let paid = pay(node, session, change + of_words(of.stanza().bytes().len(), occupants));
    let told = match sets_subject {
        true => keep::subject(node, origin, of, (live, speech, is_logged)),
        false => keep::in_archive(node, origin, of, (live, speech)),
    };
    told.and(paid)
}

/// Tells everybody what no archive is to have.
fn at_once(
    node: &Arc<Node>,
    origin: Origin,
    of: &Addressed,
    (session, live, is_kept): (&Arc<Session>, &Arc<Live>, bool),
) -> Routed {
    let now = node.clock.now();
    let spoken = live.act(node, |room| match room.speak(&session.jid, Said::of(of)) {
        Ok(speech) => {
            let told = room.tell_speech(speech, now, None, is_kept);
            (Ok(room.count()), vec![told])
        }
        Err(error) => (Err(error), Vec::new()),
    });
    match spoken.unwrap_or_else(|_| Err(not_here())) {
        Ok(occupants) => {
            origin.done();
            pay(node, session, of_words(of.stanza().bytes().len(), occupants))
        }
        Err(error) => of.refuse(node, &origin, &error),
    }
}

/// What is said to many counts as more than it is: once more for every 32 occupants. So who floods a
/// large room is slowed down sooner, and nobody else is (security row 44).
fn of_words(bytes: usize, occupants: usize) -> u64 {
    bytes as u64 * occupants as u64 / 32
}

fn pay(node: &Arc<Node>, session: &Session, bytes: u64) -> Routed {
    match node.pay_for_work_of(session, bytes) {
        None => Routed::Done,
        Some(until) => {
            let node = node.clone();
            Routed::Waits(Box::pin(async move { node.clock.sleep_until(until).await }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_many_counts_as_more_than_it_is() {
        for (bytes, occupants, counts) in [(300, 2, 18), (300, 32, 300), (300, 1_000, 9_375)] {
            assert_eq!(of_words(bytes, occupants), counts);
        }
    }
}
