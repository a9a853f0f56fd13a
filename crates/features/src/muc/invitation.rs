//! XEP-0045, 7.8.2: somebody in a room invites somebody else into it, by the room; and they decline.

use std::sync::Arc;

use whoelse_core::hosts::Host;
use whoelse_core::paying::cost;
use whoelse_core::route::{self, Addressed, Entity, Origin, Routed};
use whoelse_core::session::Session;
use whoelse_core::storage_policy::StoragePolicy;
use whoelse_core::{Node, audience};
use whoelse_xmpp::payload::hints::Hint;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Child, Class, Condition, FullJid, Jid, Stanza, StanzaError, ns};

use super::affiliation::{Affiliation, Role};
use super::change::{Judged, NewStanding};
use super::limits::{LONGEST_REASON, Limits};
use super::lists;
use super::message::not_here;
use super::presence;
use super::room::Room;
use super::rooms::{Live, Rooms};

/// The most people whom one message invites: each is written to.
const MOST: usize = 20;

/// Somebody who is invited, and why.
struct Guest {
    who: BareJid,
    reason: Option<String>,
    /// XEP-0045, 7.9: the room continues a chat of two.
    continues: bool,
}

/// An invitation is kept for its recipient like a message with a body, mediated, and direct ones
/// (XEP-0249) as well; so is a decline.
pub(super) fn keep(stanza: &Stanza, policy: StoragePolicy) -> StoragePolicy {
    let is_one = |child: &Child| child.is("invite", ns::MUC_USER) || is_decline(child);
    let is_invitation = || {
        stanza.has("x", ns::CONFERENCE)
            || stanza
                .child("x", ns::MUC_USER)
                .is_some_and(|x| stanza.grandchildren(x).iter().any(is_one))
    };
    // What its sender says about it counts, as for a message with a body (XEP-0334).
    if policy != StoragePolicy::Never || Hint::NoStore.is_in(stanza) || !is_invitation() {
        return policy;
    }
    match Hint::NoPermanentStore.is_in(stanza) {
        true => StoragePolicy::UntilDelivered,
        false => StoragePolicy::Archived,
    }
}

impl Room {
    /// Whether somebody may invite others, and whether these become members by it.
    fn may_invite(&self, seat: &FullJid) -> Result<bool, StanzaError> {
        let Some(is) = self.standing(seat) else { return Err(not_here()) };
        let may = match self.config.members_only {
            true => is.affiliation.governs(),
            false => {
                self.config.invites && is.role >= Role::Participant || is.role == Role::Moderator
            }
        };
        match may {
            true => Ok(self.config.members_only),
            false => Err(StanzaError::new(Condition::Forbidden)
                .with_text("you may not invite others into this room")),
        }
    }
}

/// Invites people in the name of somebody who is in a room.
pub(super) fn invite(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    session: Arc<Session>,
    live: Arc<Live>,
) -> Routed {
    let node = node.clone();
    Routed::Waits(Box::pin(async move {
        match invite_all(&node, &of, &session, &live).await {
            Ok(()) => origin.done(),
            Err(error) => {
                of.refuse(&node, &origin, &error);
            }
        }
    }))
}

async fn invite_all(
    node: &Arc<Node>,
    of: &Addressed,
    session: &Arc<Session>,
    live: &Arc<Live>,
) -> Result<(), StanzaError> {
    let makes_members = live.look(|room| room.may_invite(&session.jid))?;
    let guests = guests(of.stanza())?;
    node.work_turn(session, cost_of_inviting(live, &guests, makes_members)).await;
    for guest in &guests {
        check(node, session, live, guest).await?;
    }
    if makes_members {
        add_members(node, live, &session.jid, &guests).await?;
    }
    for guest in guests {
        // They may have lost that right meanwhile.
        let password = live.still(|room| {
            room.may_invite(&session.jid)?;
            Ok(room.config.password.clone())
        })?;
        let invite = Element::new("invite").attr("from", session.jid.bare());
        let invite = guest.reason.iter().fold(invite, |it, why| it.text_child("reason", why));
        let invite = if guest.continues { invite.child(Element::new("continue")) } else { invite };
        let mut x = presence::user(Some(invite), &[]);
        if !password.is_empty() {
            x = x.text_child("password", &password);
        }
        tell(node, of, session, (&guest.who, x)).await;
    }
    Ok(())
}

/// Writes to somebody, by the room, what a session has said to it for them; its account pays.
async fn tell(node: &Arc<Node>, of: &Addressed, session: &Session, (who, x): (&BareJid, Element)) {
    let address = of.to().clone();
    let message = Element::new("message")
        .attr_opt("id", of.stanza().id())
        .attr("from", address.as_str())
        .attr("to", who.as_str())
        .child(x)
        .outgoing(Class::Message);
    let Ok(stanza) = Stanza::parse(message.bytes) else { return };
    let entity = Entity { address, payer: session.account.clone() };
    if let Routed::Waits(rest) = route::speak(node, entity, stanza) {
        rest.await;
    }
}

/// What it counts as, in bytes, to write to each of them.
fn cost_of_inviting(live: &Live, guests: &[Guest], makes_members: bool) -> u64 {
    let password = live.look(|room| room.config.password.len());
    let bytes = guests.iter().map(|guest| guest.reason.as_ref().map_or(0, String::len) + password);
    let written = guests.len() as u64 * cost::KEPT_MESSAGE + bytes.sum::<usize>() as u64;
    written + if makes_members { cost::CHANGE + live.cost_of_telling() } else { 0 }
}

/// Reads who is invited, each once.
fn guests(stanza: &Stanza) -> Result<Vec<Guest>, StanzaError> {
    let Some(x) = stanza.child("x", ns::MUC_USER) else { return Ok(Vec::new()) };
    let inside = stanza.grandchildren(x);
    let invites: Vec<&Child> =
        inside.iter().filter(|child| child.is("invite", ns::MUC_USER)).collect();
    if invites.len() > MOST {
        return Err(StanzaError::new(Condition::PolicyViolation)
            .with_text(format!("one message invites {MOST} people at most")));
    }
    let read = |invite: &&Child| {
        let to = stanza.child_attr(invite, "to").unwrap_or_default();
        let who = Jid::parse(&to)
            .map_err(|_| StanzaError::new(Condition::JidMalformed).with_text("who is invited?"))?
            .to_bare();
        let parts = stanza.grandchildren(invite);
        let continues = parts.iter().any(|child| child.is("continue", ns::MUC_USER));
        Ok(Guest { who, reason: reason(stanza, &parts), continues })
    };
    let mut guests: Vec<Guest> = Vec::new();
    for invite in &invites {
        let guest = read(invite)?;
        if guests.iter().all(|other| other.who != guest.who) {
            guests.push(guest);
        }
    }
    Ok(guests)
}

/// Reads the reason among these elements, as far as it is passed on.
pub(super) fn reason(stanza: &Stanza, inside: &[Child]) -> Option<String> {
    let reason = inside.iter().find(|child| child.name() == "reason")?;
    let mut text = stanza.text_of(reason).to_string();
    if text.len() > LONGEST_REASON {
        let end = (0..=LONGEST_REASON).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
    }
    (!text.is_empty()).then_some(text)
}

/// Whether somebody can be invited by this inviter.
async fn check(
    node: &Arc<Node>,
    session: &Session,
    live: &Arc<Live>,
    guest: &Guest,
) -> Result<(), StanzaError> {
    if live.look(|room| room.affiliation(&guest.who)) == Affiliation::Outcast {
        return Err(StanzaError::new(Condition::Forbidden)
            .with_text("who is invited may not enter this room"));
    }
    match node.host_of(&guest.who) {
        Host::Account => {}
        Host::Server | Host::Service(_) => {
            return Err(StanzaError::new(Condition::ItemNotFound));
        }
        Host::Remote(domain) => {
            return Err(StanzaError::new(Condition::RemoteServerNotFound)
                .with_text(format!("cannot reach {domain}")));
        }
    }
    match node.look_up(&guest.who).await? {
        // A block holds against whoever invites.
        Some(account) if audience::hears(node, &account, &session.jid) => Ok(()),
        None if !node.contacts.hide_who_exists() => {
            Err(StanzaError::new(Condition::ItemNotFound).with_text("there is no such user"))
        }
        // As for a message to somebody who takes none.
        _ => Err(StanzaError::new(Condition::ServiceUnavailable)),
    }
}

/// 9.3: whoever is invited into a room for members alone becomes one.
async fn add_members(
    node: &Arc<Node>,
    live: &Arc<Live>,
    by: &FullJid,
    guests: &[Guest],
) -> Result<(), StanzaError> {
    let by = by.clone();
    let whom: Vec<BareJid> = guests.iter().map(|guest| guest.who.clone()).collect();
    let most = node.settings().of::<Limits>().affiliations;
    let judge = move |room: &Room| {
        if !room.may_invite(&by)? {
            return Ok(Judged::default());
        }
        let is_new = |who: &BareJid| room.affiliation(who) == Affiliation::None;
        let member = |who| NewStanding { who, to: Affiliation::Member, nick: None, reason: None };
        let new: Vec<NewStanding> = whom.into_iter().filter(is_new).map(member).collect();
        room.judge_lists(&new, most)?;
        Ok(Judged::of(new))
    };
    lists::change(node, live.clone(), MOST, judge).await
}

/// Tells somebody who has invited somebody else that they do not come. Nothing is answered: who declines
/// does not hear whether the inviter is there, or is anybody.
pub(super) fn decline(
    node: &Arc<Node>,
    origin: Origin,
    of: Addressed,
    session: Arc<Session>,
) -> Routed {
    let node = node.clone();
    Routed::Waits(Box::pin(async move {
        match Rooms::of(&node).find_for(&node, &session, &of.to().to_bare()).await {
            Ok(Some(live)) => {
                tell_of_decline(&node, &of, &session, &live).await;
                origin.done();
            }
            Ok(None) => {
                of.refuse(&node, &origin, &not_here());
            }
            Err(error) => {
                of.refuse(&node, &origin, &error);
            }
        }
    }))
}

async fn tell_of_decline(
    node: &Arc<Node>,
    of: &Addressed,
    session: &Arc<Session>,
    live: &Arc<Live>,
) {
    let stanza = of.stanza();
    let Some(x) = stanza.child("x", ns::MUC_USER) else { return };
    let inside = stanza.grandchildren(x);
    let Some(decline) = inside.iter().find(|child| is_decline(child)) else { return };
    let Some(Ok(to)) = stanza.child_attr(decline, "to").map(|to| Jid::parse(&to)) else { return };
    let inviter = live.look(|room| {
        // Who is put out, or is there, declines nothing.
        if room.has(&session.jid)
            || room.affiliation(&session.jid.to_bare()) == Affiliation::Outcast
        {
            return None;
        }
        match to.bare() == room.address.as_str() {
            // By a nickname, where that is all that one knows.
            true => room.named(to.resource()?).map(|(_, occupant)| occupant.who.clone()),
            false => Some(to.to_bare()),
        }
    });
    let Some(inviter) = inviter.filter(|who| matches!(node.host_of(who), Host::Account)) else {
        return;
    };
    let why = reason(stanza, &stanza.grandchildren(decline));
    let bytes = cost::KEPT_MESSAGE + why.as_ref().map_or(0, String::len) as u64;
    node.work_turn(session, bytes).await;
    // A block holds against whoever declines.
    match node.look_up(&inviter).await {
        Ok(Some(account)) if audience::hears(node, &account, &session.jid) => {}
        _ => return,
    }
    let word = Element::new("decline").attr("from", session.jid.bare());
    let word = why.iter().fold(word, |it, why| it.text_child("reason", why));
    tell(node, of, session, (&inviter, presence::user(Some(word), &[]))).await;
}

/// Whether this, in a message to a room, says that somebody does not come.
pub(super) fn is_decline(child: &Child) -> bool {
    child.is("decline", ns::MUC_USER)
}
