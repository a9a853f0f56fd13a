//! XEP-0045, 8 and 9: `muc#admin`, by which moderators, admins and owners read lists and change them.

use std::collections::HashSet;

use whoelse_core::Node;
use whoelse_core::kit::{Answer, Reply};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Child, Condition, Jid, Stanza, StanzaError, ns};

use super::affiliation::{Affiliation, Role};
use super::asked::Asked;
use super::change::{Asker, Wish};
use super::invitation::reason;
use super::limits::{Limits, MOST_ITEMS};
use super::lists;
use super::message::not_here;
use super::room::Room;

/// Which list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Affiliation(Affiliation),
    Role(Role),
}

/// Answers a list.
pub(super) fn list(asked: &Asked) -> Answer {
    let inside = asked.stanza.grandchildren(&asked.payload);
    let [item] = items(&inside)[..] else { return Err(StanzaError::new(Condition::BadRequest)) };
    let attr = |name| asked.stanza.child_attr(item, name);
    let list = match (attr("affiliation"), attr("role")) {
        (Some(word), None) => Affiliation::of(&word).map(List::Affiliation),
        (None, Some(word)) => Role::of(&word).map(List::Role),
        _ => None,
    };
    let list = list.ok_or_else(|| StanzaError::new(Condition::BadRequest))?;
    let items = asked.live.look(|room| room.list(asked, list))?;
    let query = Element::new("query").xmlns(ns::MUC_ADMIN);
    let list = items.into_iter().fold(query, Element::child).finish();
    asked.pay(list.len() as u64);
    Ok(Reply::encoded(list))
}

fn items(inside: &[Child]) -> Vec<&Child> {
    inside.iter().filter(|child| child.is("item", ns::MUC_ADMIN)).collect()
}

impl Room {
    /// Lists who is what, for those who may know.
    fn list(&self, asked: &Asked, list: List) -> Result<Vec<Element>, StanzaError> {
        if !self.may_read(asked, list) {
            return Err(StanzaError::new(Condition::Forbidden)
                .with_text("this list is for others in this room"));
        }
        Ok(match list {
            List::Affiliation(affiliation) => {
                let listed = self.lists.iter().filter(|(_, it)| it.affiliation == affiliation);
                let item = |(who, it): (&BareJid, &super::room::Listed)| {
                    Element::new("item")
                        .attr("affiliation", it.affiliation.word())
                        .attr("jid", who.as_str())
                        .attr_opt("nick", it.nick.as_deref())
                };
                listed.map(item).collect()
            }
            List::Role(role) => {
                let listed = self.occupants.values().filter(|it| it.standing.role == role);
                let item = |it: &super::room::Occupant| {
                    Element::new("item")
                        .attr("affiliation", it.standing.affiliation.word())
                        .attr("jid", it.shown_jid().as_str())
                        .attr("nick", &it.nick)
                        .attr("role", role.word())
                };
                listed.map(item).collect()
            }
        })
    }

    /// Whether somebody may read a list (security row 29): of roles, moderators; of outcasts, those who
    /// govern; of friends of the room, where everybody sees who everybody is, all of these, here or not,
    /// since whoever encrypts for the room needs all of them.
    fn may_read(&self, asked: &Asked, list: List) -> bool {
        let affiliation = self.affiliation(&asked.who);
        match list {
            List::Role(_) => {
                self.standing(&asked.from).is_some_and(|is| is.role == Role::Moderator)
            }
            List::Affiliation(listed) if listed.belongs() => {
                affiliation.governs() || self.config.is_non_anonymous() && affiliation.belongs()
            }
            List::Affiliation(_) => affiliation.governs(),
        }
    }
}

/// Makes changes: all that are asked for, or none.
pub(super) async fn change(asked: Asked) -> Answer {
    let wishes = read(&asked.stanza, &asked.payload)?;
    asked.pay_for_telling_of(wishes.len());
    // Whoever is of a domain is what it is.
    if wishes.iter().any(Wish::names_a_domain) {
        asked.pay_for_meeting();
    }
    check(&asked.node, &wishes).await?;
    let stores = wishes.iter().any(|wish| matches!(wish, Wish::Affiliation { .. }));
    let most = asked.node.settings().of::<Limits>().affiliations;
    let now = asked.node.clock.now();
    if !stores {
        // Who is put out has said what they said before.
        asked.live.has_said(&asked.node).await;
        let made = asked.live.act(&asked.node, |room| {
            let asker = Asker { device: &asked.from, who: &asked.who };
            match room.judge(&asker, &wishes, most) {
                Ok(judged) => (Ok(Reply::empty()), room.make(&judged, now)),
                Err(error) => (Err(error), Vec::new()),
            }
        });
        return made.unwrap_or_else(|_| Err(not_here()));
    }
    let Asked { node, from, who, live, .. } = asked;
    let rows = wishes.len();
    let judge = move |room: &Room| room.judge(&Asker { device: &from, who: &who }, &wishes, most);
    lists::change(&node, live, rows, judge).await?;
    Ok(Reply::empty())
}

/// Where it is no secret who exists, nobody is made something in a room who does not: it is a typing
/// error. Elsewhere such a right is nobody's ([`crate::nobodys`]).
async fn check(node: &Node, wishes: &[Wish]) -> Result<(), StanzaError> {
    if node.contacts.hide_who_exists() {
        return Ok(());
    }
    for wish in wishes {
        let Wish::Affiliation { who, to, .. } = wish else { continue };
        if to.belongs() && node.is_local(who) && node.look_up(who).await?.is_none() {
            return Err(StanzaError::new(Condition::ItemNotFound)
                .with_text(format!("there is no user {}", who.local().unwrap_or_default()))
                .with_app("no-such-user", ns::WHOELSE_ERRORS));
        }
    }
    Ok(())
}

/// Reads what is wanted.
fn read(stanza: &Stanza, query: &Child) -> Result<Vec<Wish>, StanzaError> {
    let inside = stanza.grandchildren(query);
    let items = items(&inside);
    if items.is_empty() {
        return Err(StanzaError::new(Condition::BadRequest));
    }
    if items.len() > MOST_ITEMS {
        return Err(StanzaError::new(Condition::PolicyViolation)
            .with_text(format!("one request changes {MOST_ITEMS} people at most")));
    }
    let wishes: Vec<Wish> =
        items.into_iter().map(|item| wish(stanza, item)).collect::<Result<_, _>>()?;
    // All of them are judged by what is so before any of them is made.
    let mut about = HashSet::new();
    if !wishes.iter().all(|wish| about.insert(wish.about())) {
        return Err(StanzaError::new(Condition::BadRequest)
            .with_text("one request changes each person once"));
    }
    Ok(wishes)
}

/// 16.3: a role is changed by nickname, an affiliation by address, and never both at once.
fn wish(stanza: &Stanza, item: &Child) -> Result<Wish, StanzaError> {
    let bad = || StanzaError::new(Condition::BadRequest);
    let attr = |name| stanza.child_attr(item, name);
    let reason = reason(stanza, &stanza.grandchildren(item));
    match (attr("role"), attr("affiliation")) {
        (Some(role), None) => {
            let role = Role::of(&role).ok_or_else(bad)?;
            let nick = attr("nick").ok_or_else(bad)?.to_string();
            Ok(Wish::Role { nick, role, reason })
        }
        (None, Some(affiliation)) => {
            let to = Affiliation::of(&affiliation).ok_or_else(bad)?;
            let who = Jid::parse(&attr("jid").ok_or_else(bad)?)
                .map_err(|_| StanzaError::new(Condition::JidMalformed))?
                .to_bare();
            let nick = attr("nick").map(|nick| nick.to_string());
            Ok(Wish::Affiliation { who, to, nick, reason })
        }
        _ => Err(bad()),
    }
}
