//! XEP-0486, MUC Avatars: what a room shows of itself, a vCard, by whose photos it is recognised.
//!
//! Only the hashes of the photos are in memory (`photos.rs`).

use whoelse_core::keeper::{After, Touches};
use whoelse_core::kit::{Answer, Reply};
use whoelse_xmpp::{Condition, Stanza, StanzaError};

use super::asked::Asked;
use super::limits::Limits;
use super::photos::Photos;
use super::presence;
use super::readable;
use super::room::{Room, Told};
use crate::{unstored, vcard};

impl Room {
    /// Whether somebody sees what the room shows: they are in it, belong to it, or may enter.
    pub(super) fn shows_to(&self, asked: &Asked) -> Result<(), StanzaError> {
        match self.has(&asked.from) || self.affiliation(&asked.who).belongs() {
            true => Ok(()),
            false => self.may_enter(&asked.who, None).map(drop),
        }
    }

    /// Shows other photos, and says that something is different.
    fn show_photos(&mut self, photos: Photos) -> Vec<Told> {
        let before = std::mem::replace(&mut self.photos, photos);
        let mut told = vec![Told::All(presence::configured(&self.address, &[104]))];
        if before != self.photos {
            told.push(Told::All(self.photos.presence(&self.address)));
        }
        told
    }
}

/// Answers the vCard, to whoever may enter.
pub(super) async fn get(asked: Asked) -> Answer {
    asked.live.look(|room| room.shows_to(&asked))?;
    let node = &asked.node;
    let read = node.piece(node.store.room_card(asked.live.id));
    let card = asked.session.in_reading_turn(node.clock.steady(), read).await;
    let card = readable(node, &asked.live.look(|room| room.address.clone()), card)?;
    let card = card.ok_or_else(|| {
        StanzaError::new(Condition::ItemNotFound).with_text("this room shows no vCard")
    })?;
    asked.pay(card.len() as u64);
    Ok(Reply::encoded(card))
}

/// Stores another vCard, or none, for an owner; all are told that something is different.
pub(super) async fn set(asked: Asked) -> Answer {
    asked.live.look(|room| room.owned_by(&asked.who))?;
    let (card, photos) = read(&asked)?;
    asked.pay_for_telling();
    let Asked { node, who, live, .. } = asked;
    let changed = node.keeper.change(Touches::AtMost(1), move |tx| {
        Box::pin(async move {
            // They may have ceased to own it.
            if let Err(error) = live.still(|room| room.owned_by(&who)) {
                return Ok((Err(error), After::new()));
            }
            match card {
                Some(card) => tx.set_room_card(live.id, &photos.stored(), &card).await?,
                None => tx.remove_room_card(live.id).await?,
            }
            let then: After = vec![Box::new(move |node| {
                live.note_change();
                let _ = live.act(node, |room| ((), room.show_photos(photos)));
            })];
            Ok((Ok(Reply::empty()), then))
        })
    });
    changed.await.map_err(|error| unstored(&error))?
}

/// Reads a vCard; an empty one is none.
fn read(asked: &Asked) -> Result<(Option<Vec<u8>>, Photos), StanzaError> {
    let bad = || StanzaError::new(Condition::BadRequest);
    // One element is not longer than the stanza around it.
    let alone = asked.stanza.alone(std::slice::from_ref(&asked.payload), usize::MAX);
    let card = Stanza::parse(alone.ok_or_else(bad)?).map_err(|_| bad())?;
    if card.children().is_empty() {
        return Ok((None, Photos::default()));
    }
    let most = asked.node.settings().of::<Limits>().vcard_bytes;
    if card.bytes().len() as u64 > most {
        return Err(StanzaError::new(Condition::NotAcceptable)
            .with_text(format!("the vCard of a room has {most} bytes at most")));
    }
    let photos = Photos(vcard::photo_hashes(&card)?);
    Ok((Some(card.bytes().to_vec()), photos))
}
