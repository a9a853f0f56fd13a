//! Changes of who is what in a room, on their way through the lane: judged there, stored, and made in
//! memory after that.

use std::sync::Arc;

use whoelse_core::keeper::{After, Touches};
use whoelse_core::{Node, Time};
use whoelse_store::{Error, RoomAffiliation, Tx};
use whoelse_xmpp::{BareJid, Condition, StanzaError};

use super::change::{Judged, NewStanding};
use super::room::Room;
use super::rooms::Live;
use crate::unstored;

/// Judges changes of at most so many entries when it is their turn, stores them, and makes them.
pub(super) async fn change(
    node: &Arc<Node>,
    live: Arc<Live>,
    most: usize,
    judge: impl FnOnce(&Room) -> Result<Judged, StanzaError> + Send + 'static,
) -> Result<(), StanzaError> {
    change_by(node, live, (most, None), judge).await
}

/// Likewise, on the word of somebody whose account, of this number, has to be there: of one that was
/// removed meanwhile nothing is written down, since nobody would take it out of the lists again.
pub(super) async fn change_by(
    node: &Arc<Node>,
    live: Arc<Live>,
    (most, by): (usize, Option<(BareJid, i64)>),
    judge: impl FnOnce(&Room) -> Result<Judged, StanzaError> + Send + 'static,
) -> Result<(), StanzaError> {
    let (own, now) = (node.clone(), node.clock.now());
    let changed = node.keeper.change(Touches::AtMost(most as u64), move |tx| {
        Box::pin(async move {
            if let Some((who, account)) = by
                && own.account_number(tx, &who).await? != Some(account)
            {
                return Ok((Err(StanzaError::new(Condition::NotAllowed)), After::new()));
            }
            let judged = match live.still(judge) {
                Ok(judged) => judged,
                Err(error) => return Ok((Err(error), After::new())),
            };
            store(tx, &own, &live, (&judged.affiliations, now)).await?;
            let then: After = vec![Box::new(move |node| {
                live.note_change();
                let _ = live.act(node, |room| ((), room.make(&judged, now)));
            })];
            Ok((Ok(()), then))
        })
    });
    changed.await.map_err(|error| unstored(&error))?
}

/// Stores entries of the lists.
async fn store(
    tx: &mut Tx,
    node: &Node,
    live: &Live,
    (changes, now): (&[NewStanding], Time),
) -> Result<(), Error> {
    for change in changes {
        let who = node.key_of(change.who.as_str());
        if !change.to.is_listed() {
            tx.remove_room_affiliation(live.id, &who).await?;
            continue;
        }
        let since = live.look(|room| room.since(&change.who, change.to)).unwrap_or(now).0;
        let (affiliation, nick) = (change.to.number(), change.nick.clone());
        tx.set_room_affiliation(live.id, &RoomAffiliation { who, affiliation, nick, since })
            .await?;
    }
    Ok(())
}
