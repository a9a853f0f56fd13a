//! What is said in a room and kept: it is committed before it is told, as a row of the room's archive,
//! as the room's subject, or as both.

use std::sync::Arc;

use whoelse_core::keeper::{After, Touches};
use whoelse_core::route::{Addressed, Origin, Routed, Telling, keep_at_service};
use whoelse_core::{Node, Time};
use whoelse_store::{Appended, Direction, Error, NewMessage, NewRow, RoomSubject, Tx};
use whoelse_xmpp::StanzaError;

use super::message::Speech;
use super::rooms::{Live, Saying};
use super::tombstone;
use crate::unstored;

/// What is kept of something that is said, without stamps.
fn row(node: &Node, live: &Live, speech: &Speech) -> NewMessage {
    let peer = node.key_of(speech.device.bare());
    NewMessage {
        resource: Some(speech.by.clone()),
        stanza: speech.content.bytes.clone(),
        // The room says it, so nothing of it waits for anybody.
        first: NewRow { archive: live.archive, peer, direction: Direction::Out },
        ..NewMessage::default()
    }
}

/// Appends a row in a change that keeps something else as well; returns its number.
pub(super) async fn append(
    node: &Node,
    tx: &mut Tx,
    row: NewMessage,
    at: Time,
) -> Result<Option<i64>, Error> {
    let stamped = NewMessage { at: at.told().0, kept_at: node.even_time().0, ..row };
    Ok(match tx.append(&[stamped]).await?.first() {
        Some(Appended::Stored { first, .. }) => Some(*first),
        _ => None,
    })
}

/// Keeps something that is said, and then tells it.
pub(super) fn in_archive(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    (live, speech): (Arc<Live>, Speech),
) -> Routed {
    let (archive, saying) = (live.archive, live.begin_saying());
    let row = row(node, &live, &speech);
    let kept = Kept { live, speech, row, at: Time::default(), _saying: saying };
    keep_at_service(node, origin, of, (archive, Box::new(kept)))
}

/// Something that is said, on its way into the archive.
struct Kept {
    live: Arc<Live>,
    speech: Speech,
    row: NewMessage,
    at: Time,
    /// What comes after it in the room waits for it.
    _saying: Saying,
}

impl Telling for Kept {
    fn stored(&mut self, at: Time) -> Result<NewMessage, StanzaError> {
        self.live.may_speak(&self.speech.device, false)?;
        self.at = at;
        Ok(std::mem::take(&mut self.row))
    }

    fn tell(self: Box<Self>, node: &Arc<Node>, seq: i64, _: Option<i64>) {
        let retraction = self.speech.retraction.clone();
        self.live.tell_speech(node, self.speech, (self.at, Some(seq)));
        if let Some(retraction) = retraction {
            tombstone::retract(node, self.live, retraction, self.at);
        }
    }
}

/// 8.1: keeps a subject, in the archive as well if that is to have it, and then tells everybody.
pub(super) fn subject(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    (live, speech, is_archived): (Arc<Live>, Speech, bool),
) -> Routed {
    let (node, saying) = (node.clone(), live.begin_saying());
    Routed::Waits(Box::pin(async move {
        let (now, own) = (node.clock.now(), node.clone());
        let row = row(&node, &live, &speech);
        let stored =
            RoomSubject { stanza: speech.content.bytes.to_vec(), by: speech.by.clone(), at: now.0 };
        let kept = node.keeper.change(Touches::AtMost(4), move |tx| {
            Box::pin(async move {
                if let Err(error) = live.may_speak(&speech.device, true) {
                    return Ok((Err(error), After::new()));
                }
                let number = match is_archived {
                    true => append(&own, tx, row, now).await?,
                    false => None,
                };
                tx.set_room_subject(live.id, &stored).await?;
                let then: After = vec![Box::new(move |node| {
                    live.note_change();
                    live.tell_speech(node, speech, (now, number));
                    drop(saying);
                })];
                Ok((Ok(()), then))
            })
        });
        match kept.await.unwrap_or_else(|error| Err(unstored(&error))) {
            Ok(()) => origin.done(),
            Err(error) => {
                of.refuse(&node, &origin, &error);
            }
        }
    }))
}
