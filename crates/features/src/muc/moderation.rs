//! XEP-0425, Moderated Message Retraction: a moderator takes back what somebody else has said. It is
//! taken in both versions of the protocol, and told in both.

use whoelse_core::keeper::{After, Touches};
use whoelse_core::kit::{Answer, Reply};
use whoelse_core::{Node, Time};
use whoelse_store::{Direction, NewMessage, NewRow};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Child, Class, Condition, FullJid, Outgoing, Stanza, StanzaError, ns};

use super::affiliation::Role;
use super::asked::Asked;
use super::invitation::reason;
use super::logged::must_be_logged;
use super::room::{Room, Told};
use super::{keep, logged, occupant_id, tombstone};
use crate::retraction::retracted;
use crate::unstored;

/// What a moderator wants.
struct Wish {
    /// The id of the message in the room's archive.
    of: String,
    reason: Option<String>,
}

impl Wish {
    /// Reads a request of either version.
    fn read(stanza: &Stanza, payload: &Child) -> Option<Wish> {
        let of = stanza.child_attr(payload, "id")?.to_string();
        let inside = stanza.grandchildren(payload);
        let (inside, retract) = match payload.ns() {
            ns::FASTEN => {
                let moderate = inside.iter().find(|it| it.is("moderate", ns::MODERATE_OLD))?;
                (stanza.grandchildren(moderate), ns::RETRACT_OLD)
            }
            _ => (inside, ns::RETRACT),
        };
        inside.iter().find(|it| it.is("retract", retract))?;
        Some(Wish { of, reason: reason(stanza, &inside) })
    }
}

/// A moderator of a room.
struct Moderator {
    address: String,
    occupant: String,
}

impl Room {
    fn moderator(&self, device: &FullJid) -> Result<Moderator, StanzaError> {
        let occupant = self.occupant(device);
        let moderates = occupant.filter(|it| it.standing.role == Role::Moderator);
        let moderator = moderates.ok_or_else(|| {
            StanzaError::new(Condition::Forbidden)
                .with_text("only moderators of this room may do this")
        })?;
        let address = self.address_of(&moderator.nick);
        Ok(Moderator { address, occupant: moderator.id.clone() })
    }
}

/// Takes back a message: its place in the archive says so from then on, and all are told.
pub(super) async fn moderate(asked: Asked) -> Answer {
    let bad = || StanzaError::new(Condition::BadRequest);
    let wish = Wish::read(&asked.stanza, &asked.payload).ok_or_else(bad)?;
    asked.pay_for_telling();
    let Asked { node, from, live, .. } = asked;
    live.look(|room| {
        room.moderator(&from)?;
        must_be_logged(&node, &room.config)
    })?;
    let none = || {
        StanzaError::new(Condition::ItemNotFound).with_text("there is no such message in this room")
    };
    let seq = node.archive_seq(live.archive, &wish.of).ok_or_else(none)?;
    // It may be what was said a moment ago.
    live.has_said(&node).await;
    let (own, saying) = (node.clone(), live.begin_saying());
    let changed = node.keeper.change(Touches::AtMost(6), move |tx| {
        Box::pin(async move {
            let refused = |error| Ok((Err(error), After::new()));
            let moderator = match live.still(|room| room.moderator(&from)) {
                Ok(moderator) => moderator,
                Err(error) => return refused(error),
            };
            let now = own.clock.now();
            let word = Word::of(&moderator, &wish, now);
            let row = tx.archived(live.archive, seq).await?;
            // What the room itself has said is nobody's.
            let row = row.filter(|row| row.resource.is_some());
            let left = row.and_then(|row| tombstone::of(&row, word.tombstone));
            let Some(left) = left else { return refused(none()) };
            tx.replace_archived(live.archive, seq, &left).await?;
            let row = NewMessage {
                stanza: word.told.bytes.clone(),
                first: NewRow {
                    archive: live.archive,
                    peer: own.key_of(live.address().as_str()),
                    direction: Direction::Out,
                },
                ..NewMessage::default()
            };
            let number = keep::append(&own, tx, row, now).await?;
            let then: After = vec![Box::new(move |node| {
                let told = addressed(node, live.address(), &word.told, (live.archive, number));
                let _ = live.act(node, |room| {
                    room.history.forget(&wish.of);
                    ((), vec![Told::All(told)])
                });
                drop(saying);
            })];
            Ok((Ok(Reply::empty()), then))
        })
    });
    changed.await.map_err(|error| unstored(&error))?
}

/// What a moderation leaves, and what is told of it.
struct Word {
    tombstone: Element,
    /// Without addresses.
    told: Outgoing,
}

impl Word {
    fn of(moderator: &Moderator, wish: &Wish, now: Time) -> Word {
        let id = whoelse_stream::hex::encode(&whoelse_stream::token::random::<8>());
        let with_reason = |element: Element| match &wish.reason {
            Some(reason) => element.text_child("reason", reason),
            None => element,
        };
        let moderated = || {
            Element::new("moderated")
                .xmlns(ns::MODERATE)
                .attr("by", &moderator.address)
                .child(occupant_id::element(&moderator.occupant))
        };
        let retract = Element::new("retract").xmlns(ns::RETRACT).attr("id", &wish.of);
        let old = Element::new("moderated")
            .xmlns(ns::MODERATE_OLD)
            .attr("by", &moderator.address)
            .child(Element::new("retract").xmlns(ns::RETRACT_OLD));
        let old =
            Element::new("apply-to").xmlns(ns::FASTEN).attr("id", &wish.of).child(with_reason(old));
        let told = Element::new("message")
            .attr("type", "groupchat")
            .attr("id", &id)
            .child(with_reason(retract.child(moderated())))
            .child(old)
            .outgoing(Class::Groupchat);
        let tombstone = with_reason(retracted(now, Some(&id)).child(moderated()));
        Word { tombstone, told }
    }
}

/// The room says it, under this number of its archive.
fn addressed(
    node: &Node,
    room: &whoelse_xmpp::BareJid,
    told: &Outgoing,
    (archive, number): (i64, Option<i64>),
) -> Outgoing {
    let id = number.map(|seq| logged::stanza_id(room, &node.archive_id(archive, seq)));
    whoelse_core::delivery::addressed(told, room.as_str(), &id.unwrap_or_default())
}
