//! XEP-0045, 7.13 and 8.6: a visitor asks for a voice, and a moderator gives it.

use std::sync::Arc;

use whoelse_core::Node;
use whoelse_core::kit::command::Values;
use whoelse_core::route::Addressed;
use whoelse_core::session::Session;
use whoelse_xmpp::payload::xmpp_parsers::data_forms::DataForm;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, FullJid, Outgoing, StanzaError, ns};

use super::affiliation::Role;
use super::change::{Asker, Wish};
use super::limits::BYTES_OF_ONE;
use super::message::not_here;
use super::room::Room;
use super::rooms::Live;
use super::seat::Seat;
use crate::form::{self, begun, field};

/// Takes a form about a voice. `None`: it is none.
pub(super) fn take(
    node: &Arc<Node>,
    of: &Addressed,
    session: &Arc<Session>,
    live: &Arc<Live>,
) -> Option<Result<(), StanzaError>> {
    let stanza = of.stanza();
    let x = stanza.child("x", ns::DATA)?;
    let form = form::values(stanza.payload::<DataForm>(x).ok()?);
    if form.get(form::FORM_TYPE) != Some(ns::MUC_REQUEST) {
        return None;
    }
    Some(match form.get("muc#request_allow") {
        None => ask(node, session, live),
        Some("1" | "true") => give(node, session, live, &form),
        // Who says no says it to nobody.
        Some(_) => Ok(()),
    })
}

/// 7.13: tells the moderators that a visitor wants to speak.
fn ask(node: &Node, session: &Session, live: &Live) -> Result<(), StanzaError> {
    let asked = live.look(|room| room.ask_for_voice(&session.jid))?;
    let Some(Question { message, moderators }) = asked else { return Ok(()) };
    let _ = node.pay_for_work_of(session, BYTES_OF_ONE * moderators.len() as u64);
    for seat in moderators {
        seat.tell_for(&message, session.sender(true));
    }
    Ok(())
}

/// 8.6: gives somebody a voice.
fn give(
    node: &Arc<Node>,
    session: &Arc<Session>,
    live: &Arc<Live>,
    form: &Values,
) -> Result<(), StanzaError> {
    let nick = form.need("muc#roomnick")?.to_owned();
    let _ = node.pay_for_work_of(session, live.cost_of_telling());
    let now = node.clock.now();
    let (device, who) = (&session.jid, session.jid.to_bare());
    let wish = [Wish::Role { nick, role: Role::Participant, reason: None }];
    let given =
        live.act(node, |room| match room.judge(&Asker { device, who: &who }, &wish, usize::MAX) {
            Ok(judged) => (Ok(()), room.make(&judged, now)),
            Err(error) => (Err(error), Vec::new()),
        });
    given.unwrap_or_else(|_| Err(not_here()))
}

/// The question whether somebody may speak, and the seats of those who are asked.
struct Question {
    message: Outgoing,
    moderators: Vec<Arc<Seat>>,
}

impl Room {
    /// Returns the question to the moderators whether an occupant may speak, and who they are; nothing,
    /// if the occupant may already.
    fn ask_for_voice(&self, seat: &FullJid) -> Result<Option<Question>, StanzaError> {
        let Some(occupant) = self.occupant(seat) else { return Err(not_here()) };
        if occupant.standing.role > Role::Visitor {
            return Ok(None);
        }
        let form = begun("form", Some("Somebody asks for a voice"), Some(ns::MUC_REQUEST))
            .child(field("muc#role", "list-single", "The role", Role::Participant.word()))
            .child(field("muc#jid", "jid-single", "Who asks", seat.as_str()))
            .child(field("muc#roomnick", "text-single", "By which nickname", &occupant.nick))
            .child(field("muc#request_allow", "boolean", "They may speak", "0"));
        let message = Element::new("message")
            .attr("from", self.address.as_str())
            .child(form)
            .outgoing(Class::Message);
        let moderators = self
            .occupants
            .values()
            .filter(|occupant| occupant.standing.role == Role::Moderator)
            .flat_map(|occupant| occupant.seats.iter().map(|sitting| sitting.seat.clone()));
        Ok(Some(Question { message, moderators: moderators.collect() }))
    }
}
