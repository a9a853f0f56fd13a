//! XEP-0045, 10: `muc#owner`, by which owners configure a room and destroy it.

use whoelse_core::keeper::{After, Touches};
use whoelse_core::kit::{Answer, Reply};
use whoelse_xmpp::payload::xmpp_parsers::data_forms::{DataForm, DataFormType};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Child, Condition, Jid, Stanza, StanzaError, ns};

use super::affiliation::Affiliation;
use super::asked::Asked;
use super::invitation::reason;
use super::limits::LONGEST_REASON;
use super::room::Room;
use crate::{form, unstored};

impl Room {
    fn is_owned_by(&self, who: &BareJid) -> bool {
        self.affiliation(who) == Affiliation::Owner
    }

    pub(super) fn owned_by(&self, who: &BareJid) -> Result<(), StanzaError> {
        match self.is_owned_by(who) {
            true => Ok(()),
            false => Err(StanzaError::new(Condition::Forbidden)
                .with_text("only the owners of a room may do this")),
        }
    }
}

/// Answers the form to fill in.
pub(super) fn form(asked: &Asked) -> Answer {
    let form = asked.live.look(|room| {
        room.owned_by(&asked.who)?;
        let name = room.address.local().unwrap_or_default();
        Ok(room.config.form(&format!("The room {name}")))
    })?;
    Ok(Reply::encoded(Element::new("query").xmlns(ns::MUC_OWNER).child(form).finish()))
}

/// Configures the room, leaves it as it is, or destroys it.
pub(super) async fn change(asked: Asked) -> Answer {
    let inside = asked.stanza.grandchildren(&asked.payload);
    let bad = || StanzaError::new(Condition::BadRequest);
    let [child] = &inside[..] else { return Err(bad()) };
    if child.is("destroy", ns::MUC_OWNER) {
        let word = venue(&asked.stanza, child)?;
        return destroy(asked, word).await;
    }
    if !child.is("x", ns::DATA) {
        return Err(bad());
    }
    let form = asked.stanza.payload::<DataForm>(child)?;
    match form.type_ {
        DataFormType::Submit => configure(asked, form).await,
        DataFormType::Cancel => cancel(asked).await,
        DataFormType::Form | DataFormType::Result_ => Err(bad()),
    }
}

/// 10.1.4: whoever cancels the first configuration has no room; a later one leaves it as it is.
async fn cancel(asked: Asked) -> Answer {
    asked.live.look(|room| room.owned_by(&asked.who))?;
    let is_meant = |room: &Room| room.locked;
    asked.live.destroy(&asked.node, Element::new("destroy"), is_meant).await?;
    Ok(Reply::empty())
}

async fn configure(asked: Asked, form: DataForm) -> Answer {
    let values = form::values(form);
    asked.pay_for_telling();
    let shows_otherwise = asked.live.look(|room| {
        room.owned_by(&asked.who)?;
        let mut config = room.config.clone();
        config.change(&values)?;
        Ok::<_, StanzaError>(config.shows_otherwise(&room.config))
    })?;
    if shows_otherwise {
        asked.pay_for_meeting();
    }
    let Asked { node, who, live, .. } = asked;
    let changed = node.keeper.change(Touches::AtMost(1), move |tx| {
        Box::pin(async move {
            let wanted = live.still(|room| {
                room.owned_by(&who)?;
                let mut config = room.config.clone();
                config.change(&values)?;
                Ok(config)
            });
            let config = match wanted {
                Ok(config) => config,
                Err(error) => return Ok((Err(error), After::new())),
            };
            let bytes = config.written();
            tx.configure_room(live.id, config.stored(&bytes)).await?;
            let then: After = vec![Box::new(move |node| {
                live.note_change();
                let keeps = node.settings().history.is_some();
                let _ = live.act(node, |room| ((), room.configure(config, keeps)));
            })];
            Ok((Ok(Reply::empty()), then))
        })
    });
    changed.await.map_err(|error| unstored(&error))?
}

/// 10.9: what is told of a destruction: where to go instead, and why.
fn venue(stanza: &Stanza, destroy: &Child) -> Result<Element, StanzaError> {
    let malformed = |_| StanzaError::new(Condition::JidMalformed);
    let venue = stanza.child_attr(destroy, "jid").filter(|venue| !venue.is_empty());
    let venue = venue.map(|venue| Jid::parse(&venue)).transpose().map_err(malformed)?;
    let inside = stanza.grandchildren(destroy);
    let password = inside.iter().find(|child| child.name() == "password");
    let password = password.map(|child| stanza.text_of(child));
    let password = password.filter(|it| !it.is_empty() && it.len() <= LONGEST_REASON);
    let word = Element::new("destroy").attr_opt("jid", venue.as_ref().map(Jid::as_str));
    let word = password.iter().fold(word, |it, password| it.text_child("password", password));
    let why = reason(stanza, &inside);
    Ok(why.iter().fold(word, |it, why| it.text_child("reason", why)))
}

async fn destroy(asked: Asked, word: Element) -> Answer {
    asked.live.look(|room| room.owned_by(&asked.who))?;
    let who = asked.who.clone();
    let destroyed = asked.live.destroy(&asked.node, word, move |room| room.is_owned_by(&who));
    match destroyed.await? {
        true => Ok(Reply::empty()),
        false => Err(StanzaError::new(Condition::ItemNotFound)),
    }
}
