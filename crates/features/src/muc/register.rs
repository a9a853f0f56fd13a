//! XEP-0045, 7.10: registration with a room: whoever may enter becomes a member by their own word, and a
//! nickname is kept for them.
//!
//! A registration gives no right that its owners meant for those whom they have chosen: a room for
//! members alone takes none, nor one where only members have a voice, nor one with a password from who
//! is not in it. So there is nothing to configure, and nobody who has to approve.

use whoelse_core::kit::command::{Field, FieldKind};
use whoelse_core::kit::{Answer, Reply};
use whoelse_xmpp::payload::xmpp_parsers::data_forms::{DataForm, DataFormType};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Child, Condition, FullJid, Stanza, StanzaError, ns};

use super::affiliation::Affiliation;
use super::asked::Asked;
use super::change::{Judged, NewStanding};
use super::config::Config;
use super::limits::Limits;
use super::lists;
use super::room::{Listed, Room};
use crate::form;

const NICKNAME: Field = Field {
    var: "muc#register_roomnick",
    label: "The nickname that is kept for you",
    kind: FieldKind::TextSingle,
    required: true,
};

impl Config {
    /// Whether those who may enter may register.
    pub(super) fn takes_registrations(&self) -> bool {
        !self.members_only && !self.moderated
    }
}

impl Room {
    /// What somebody is by themselves, and not with all of their domain.
    fn listed_as(&self, who: &BareJid) -> Affiliation {
        self.lists.get(who).map_or(Affiliation::None, Listed::gives)
    }

    /// Whether somebody may register, or change what is registered.
    fn may_register(&self, from: &FullJid, who: &BareJid) -> Result<Affiliation, StanzaError> {
        let affiliation = self.listed_as(who);
        let may = match affiliation {
            Affiliation::Outcast => false,
            // Whoever is something with all of their domain is so no longer when the domain is nothing.
            Affiliation::None if self.affiliation(who) != Affiliation::None => false,
            Affiliation::None if self.locked => {
                return Err(StanzaError::new(Condition::ItemNotFound));
            }
            Affiliation::None => {
                let knows_password = self.config.password.is_empty() || self.has(from);
                self.config.takes_registrations() && knows_password && who.local().is_some()
            }
            Affiliation::Member | Affiliation::Admin | Affiliation::Owner => true,
        };
        match may {
            true => Ok(affiliation),
            false => Err(StanzaError::new(Condition::NotAllowed)
                .with_text("who is a member of this room is decided by its admins")),
        }
    }

    /// Judges a registration by this nickname. `most`: how many its lists may name.
    fn register(
        &self,
        from: &FullJid,
        who: &BareJid,
        nick: &str,
        most: usize,
    ) -> Result<Judged, StanzaError> {
        let to = self.may_register(from, who)?.max(Affiliation::Member);
        let nick = self.kept_for(who, to, Some(nick), &Judged::default())?;
        let change = NewStanding { who: who.clone(), to, nick, reason: None };
        // By their own word people take half of the lists, so there is room for those whom admins name.
        self.judge_lists(std::slice::from_ref(&change), most / 2)?;
        Ok(Judged::of(vec![change]))
    }

    /// Judges that somebody takes their registration back: a member is nothing any more, and for whoever
    /// governs the room no nickname is kept.
    fn unregister(&self, who: &BareJid) -> Result<Judged, StanzaError> {
        let is = self.listed_as(who);
        let to = match is {
            Affiliation::Member => Affiliation::None,
            Affiliation::Admin | Affiliation::Owner if self.kept_nick(who).is_some() => is,
            _ => {
                return Err(StanzaError::new(Condition::RegistrationRequired)
                    .with_text("you are not registered with this room"));
            }
        };
        Ok(Judged::of(vec![NewStanding { who: who.clone(), to, nick: None, reason: None }]))
    }
}

/// Answers what one has to say, or what one is registered as.
pub(super) fn form(asked: &Asked) -> Answer {
    let query = Element::new("query").xmlns(ns::REGISTER);
    let answer = asked.live.look(|room| {
        let affiliation = room.may_register(&asked.from, &asked.who)?;
        let query = match affiliation.belongs() {
            true => query.child(Element::new("registered")),
            false => query,
        };
        if let Some(nick) = room.kept_nick(&asked.who) {
            return Ok(query.text_child("username", nick));
        }
        const WHAT: &str = "Say by which nickname you want to be known in this room.";
        let name = room.address.local().unwrap_or_default();
        let title = format!("Registration with {name}");
        let form = form::to_fill_in(&title, Some(ns::MUC_REGISTER), &[NICKNAME]);
        Ok(query.text_child("instructions", WHAT).child(form))
    })?;
    Ok(Reply::encoded(answer.finish()))
}

/// What somebody wants of their registration.
enum Wish {
    /// To be known by this nickname.
    Nickname(String),
    /// XEP-0077, 3.2.
    Remove,
    /// Nothing any more.
    Cancel,
}

/// Registers somebody, or takes their registration back.
pub(super) async fn change(asked: Asked) -> Answer {
    let most = asked.node.settings().of::<Limits>().affiliations;
    let wish = read(&asked.stanza, &asked.payload)?;
    asked.pay_for_telling();
    let Asked { node, session, from, who, live, .. } = asked;
    match wish {
        Wish::Cancel => {}
        Wish::Nickname(nick) => {
            let account = session.account.as_ref().map(|account| account.id);
            let account = account.ok_or_else(|| StanzaError::new(Condition::NotAllowed))?;
            let by = Some((who.clone(), account));
            let judge = move |room: &Room| room.register(&from, &who, &nick, most);
            lists::change_by(&node, live, (1, by), judge).await?;
        }
        Wish::Remove => {
            let judge = move |room: &Room| room.unregister(&who);
            lists::change(&node, live, 1, judge).await?;
        }
    }
    Ok(Reply::empty())
}

fn read(stanza: &Stanza, query: &Child) -> Result<Wish, StanzaError> {
    let inside = stanza.grandchildren(query);
    match &inside[..] {
        [one] if one.is("remove", ns::REGISTER) => return Ok(Wish::Remove),
        [one] if one.is("x", ns::DATA) => {
            let form = stanza.payload::<DataForm>(one)?;
            match form.type_ {
                DataFormType::Cancel => return Ok(Wish::Cancel),
                DataFormType::Submit if form.form_type() == Some(ns::MUC_REGISTER) => {
                    let values = form::values(form);
                    return Ok(Wish::Nickname(values.need(NICKNAME.var)?.to_owned()));
                }
                _ => {}
            }
        }
        _ => {}
    }
    Err(StanzaError::new(Condition::BadRequest).with_text("fill in the form of this room"))
}
