//! A message that puts something in the place of an earlier one (docs/design/retractions.md): the
//! earlier one is looked for before the message is posted, so the keeper waits for nothing, and the
//! place is taken in the same commit. Each half looks in the archive of its own account.
//!
//! All of it happens in the sender's turn to read much: one of an account at a time.

use whoelse_store::{Direction, Error, Replaced};
use whoelse_xmpp::{Condition, Stanza, StanzaError};

use super::in_flight::{InFlight, Replaces};
use crate::account::Account;
use crate::clock::Time;
use crate::kit::taps::Replacing;
use crate::node::Node;
use crate::storage_policy::StoragePolicy;
use crate::turns::Turns;

/// Messages that are read at once.
const STEP: i64 = 50;

/// Returns what a message of somebody replaces, if it will be in archives and replaces anything.
pub(super) fn meant(node: &Node, flight: &InFlight) -> Option<Box<dyn Replacing>> {
    match flight.storage == StoragePolicy::Archived && flight.sender.is_some() {
        true => node.wiring.replaces(node, &flight.stanza),
        false => None,
    }
}

/// The sender's half: finds what the owner of an archive has said to the recipient of this message,
/// when everything that they have said before is there.
pub(super) async fn said(
    node: &Node,
    own: &Account,
    flight: &InFlight,
    meant: Box<dyn Replacing>,
) -> Result<Replaces, StanzaError> {
    let look = async {
        let made = node.account_row(own.jid()).await?.map_or(i64::MAX, |row| row.created_at);
        let since = Time(made).told().0;
        let found = match flight.is_to_oneself() {
            // It is only received.
            true => None,
            false => {
                let is_said = |direction| direction == Direction::Out;
                newest(node, (own, flight.to.bare()), &*meant, (since, &is_said)).await?
            }
        };
        Ok((since, found))
    };
    let (since, found) = look.await.map_err(|error| unreadable(node, own, &error))?;
    Ok(Replaces { meant, since, found: found.into_iter().collect() })
}

/// The recipient's half: looks in the recipient's archive.
pub(super) async fn heard(
    node: &Node,
    own: &Account,
    flight: &mut InFlight,
) -> Result<(), StanzaError> {
    let Some(replaces) = flight.replaces.as_mut() else { return Ok(()) };
    if flight.storage != StoragePolicy::Archived {
        return Ok(());
    }
    let is_heard = |direction| matches!(direction, Direction::In | Direction::Passing);
    let (place, when) = ((own, flight.from.bare()), (replaces.since, &is_heard as _));
    let found = newest(node, place, &*replaces.meant, when).await;
    let found = found.map_err(|error| unreadable(node, own, &error))?;
    // The two archives share a body, if both have the message.
    let found = found.filter(|it| replaces.found.iter().all(|other| other.body != it.body));
    replaces.found.extend(found);
    Ok(())
}

fn unreadable(node: &Node, own: &Account, error: &Error) -> StanzaError {
    node.store_failing("archive_unreadable", Some(own.jid()), error);
    StanzaError::new(Condition::InternalServerError)
}

/// Finds the newest message that is meant, in the archive of an account with this peer, of those since
/// a time that went in the right direction. What must stay as it is, is not found.
async fn newest(
    node: &Node,
    (own, peer): (&Account, &str),
    meant: &dyn Replacing,
    (since, is_theirs): (i64, &(dyn Fn(Direction) -> bool + Sync)),
) -> Result<Option<Replaced>, Error> {
    let (turns, peer) = (node.slots.get_or_default::<Turns>(), node.key_of(peer));
    let (mut before, mut left) = (i64::MAX, i64::from(meant.among()));
    while left > 0 {
        let step = left.min(STEP);
        let reading = node.store.last_with(own.archive, &peer, before, step);
        let rows = turns.piece(node.store.settle(own.archive), reading).await?;
        for row in rows.iter().filter(|row| row.at >= since && is_theirs(row.direction)) {
            let Ok(earlier) = Stanza::parse(row.stanza.clone()) else { continue };
            if meant.is_meant(&earlier) {
                let by = meant.instead_of(&earlier);
                let place = (row.body, row.stanza.clone());
                return Ok(by.map(|by| Replaced { body: place.0, was: place.1, by: by.into() }));
            }
        }
        match rows.last() {
            Some(last) if rows.len() as i64 == step => before = last.seq,
            _ => break,
        }
        left -= step;
    }
    Ok(None)
}
