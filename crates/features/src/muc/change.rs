//! XEP-0045, 8 to 10: what moderators, admins and owners change: roles, affiliations, the
//! configuration, and whether there is the room at all. Each change is judged whole before any of it
//! is made.

use std::collections::BTreeMap;

use whoelse_core::Time;
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Condition, FullJid, StanzaError, nickname};

use super::affiliation::{Affiliation, Role, Standing, may_change_affiliation, may_change_role};
use super::config::Config;
use super::limits::LIST_BYTES;
use super::presence::{self, About};
use super::room::{Listed, Room, Told, Why, bytes_in_list};

/// One thing that is wanted of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// The occupant of this nickname gets this role.
    Role { nick: String, role: Role, reason: Option<String> },
    /// Somebody gets this affiliation, and perhaps a nickname is kept for them.
    Affiliation { who: BareJid, to: Affiliation, nick: Option<String>, reason: Option<String> },
}

impl Wish {
    /// Whom it is about: a nickname, or an address.
    pub fn about(&self) -> (Option<&str>, Option<&BareJid>) {
        match self {
            Wish::Role { nick, .. } => (Some(nick), None),
            Wish::Affiliation { who, .. } => (None, Some(who)),
        }
    }

    /// Whether it is about everybody of a domain.
    pub fn names_a_domain(&self) -> bool {
        self.about().1.is_some_and(|who| who.local().is_none())
    }
}

/// Who wants it.
pub(super) struct Asker<'a> {
    /// The device, which may be in the room.
    pub device: &'a FullJid,
    /// The person.
    pub who: &'a BareJid,
}

/// What changes of the lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewStanding {
    pub who: BareJid,
    pub to: Affiliation,
    pub nick: Option<String>,
    pub reason: Option<String>,
}

/// Changes that were judged, and can be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// Of the lists, which are stored.
    pub affiliations: Vec<NewStanding>,
    /// Of roles: an occupant by number, the role, and why.
    roles: Vec<(u64, Role, Option<String>)>,
    /// The nickname of who makes them.
    actor: Option<String>,
}

impl Judged {
    /// Changes of the lists, by nobody in the room.
    pub fn of(affiliations: Vec<NewStanding>) -> Judged {
        Judged { affiliations, ..Judged::default() }
    }
}

impl Room {
    /// Judges all that is wanted at once: all of it can be made, or none. `most`: how many the lists may
    /// name.
    pub(super) fn judge(
        &self,
        asker: &Asker<'_>,
        wishes: &[Wish],
        most: usize,
    ) -> Result<Judged, StanzaError> {
        let occupant = self.occupant(asker.device);
        let affiliation = self.affiliation(asker.who);
        let role = occupant.map_or(Role::None, |occupant| occupant.standing.role);
        let is = Standing { affiliation, role };
        let actor = occupant.map(|occupant| occupant.nick.clone());
        let mut judged = Judged { actor, ..Judged::default() };
        for wish in wishes {
            match wish {
                Wish::Role { nick, role, reason } => {
                    let found = self.occupant_named(nick);
                    // Who may change nothing learns nothing of who is here.
                    if is.role != Role::Moderator {
                        return Err(StanzaError::new(Condition::Forbidden));
                    }
                    let (number, whom) = found?;
                    may_change_role(is, whom.standing, *role)?;
                    judged.roles.push((number, *role, reason.clone()));
                }
                Wish::Affiliation { who, to, nick, reason } => {
                    may_change_affiliation(affiliation, self.shown_affiliation(who), *to)?;
                    if who == asker.who && *to == Affiliation::Outcast {
                        return Err(StanzaError::new(Condition::Conflict)
                            .with_text("nobody puts out themselves"));
                    }
                    let nick = self.kept_for(who, *to, nick.as_deref(), &judged)?;
                    judged.affiliations.push(NewStanding {
                        who: who.clone(),
                        to: *to,
                        nick,
                        reason: reason.clone(),
                    });
                }
            }
        }
        self.judge_lists(&judged.affiliations, most)?;
        Ok(judged)
    }

    /// Judges what comes of changes of the lists: an owner is left, and there are not too many.
    pub(super) fn judge_lists(
        &self,
        changes: &[NewStanding],
        most: usize,
    ) -> Result<(), StanzaError> {
        if changes.is_empty() {
            return Ok(());
        }
        let to: BTreeMap<&BareJid, Affiliation> =
            changes.iter().map(|change| (&change.who, change.to)).collect();
        let stays_owner = |(who, listed): (&BareJid, &Listed)| {
            listed.affiliation == Affiliation::Owner && !to.contains_key(who)
        };
        if !to.values().any(|it| *it == Affiliation::Owner) && !self.lists.iter().any(stays_owner) {
            return Err(StanzaError::new(Condition::Conflict)
                .with_text("a room has an owner: name another one first"));
        }
        let gone = to.keys().filter(|who| self.lists.contains_key(**who)).count();
        let come = to.values().filter(|it| it.is_listed()).count();
        let (before, after) = (self.lists.len(), self.lists.len() - gone + come);
        let listed = changes.iter().filter(|change| change.to.is_listed());
        let bytes = listed.map(|change| bytes_in_list(&change.who, change.nick.as_deref()));
        let more: usize = bytes.sum();
        let is_full = after > most && after > before;
        if is_full || more > 0 && self.list_bytes() + more > LIST_BYTES {
            return Err(StanzaError::new(Condition::ResourceConstraint)
                .with_text("the lists of this room name as many as they may"));
        }
        Ok(())
    }

    /// The nickname that is kept for somebody from now on: the one that is asked for, or else as before.
    /// Nothing is kept for those who must not enter, or are nothing.
    pub(super) fn kept_for(
        &self,
        who: &BareJid,
        to: Affiliation,
        nick: Option<&str>,
        judged: &Judged,
    ) -> Result<Option<String>, StanzaError> {
        if !to.belongs() {
            return Ok(None);
        }
        let Some(nick) = nick else { return Ok(self.kept_nick(who).map(str::to_owned)) };
        // What is kept is what one can enter by.
        let unacceptable = || StanzaError::new(Condition::NotAcceptable);
        let seat = self.address.with_resource(nick).map_err(|_| unacceptable())?;
        let nick = seat.resource();
        let key = Room::check_nickname(nick).map_err(|_| unacceptable())?;
        let is_taken = |it: &NewStanding| {
            it.nick.as_deref().and_then(nickname::comparable).as_deref() == Some(key.as_str())
        };
        let is_used = self.named(nick).is_some_and(|(_, occupant)| occupant.who != *who);
        match is_used || self.is_kept(&key, who) || judged.affiliations.iter().any(is_taken) {
            true => Err(StanzaError::new(Condition::Conflict)
                .with_text("somebody else is called this here")),
            false => Ok(Some(nick.to_owned())),
        }
    }

    /// Makes changes that were judged, after they are stored.
    pub(super) fn make(&mut self, judged: &Judged, now: Time) -> Vec<Told> {
        let mut told = Vec::new();
        for change in &judged.affiliations {
            told.extend(self.set_affiliation(change, judged.actor.as_deref(), now));
        }
        for (number, role, reason) in &judged.roles {
            let Some(occupant) = self.occupants.get(number) else { continue };
            let why = Why { codes: &[], reason: reason.as_deref(), actor: judged.actor.as_deref() };
            told.extend(match role {
                Role::None => {
                    let why = Why { codes: &[307], ..why };
                    self.remove(*number, &presence::unavailable(), why)
                }
                role => {
                    let to = Standing { role: *role, ..occupant.standing };
                    self.set_standing(*number, to, why)
                }
            });
        }
        told
    }

    /// Makes somebody something else, and tells of them where they are here.
    pub(super) fn set_affiliation(
        &mut self,
        change: &NewStanding,
        actor: Option<&str>,
        now: Time,
    ) -> Vec<Told> {
        let before = self.lists.get(&change.who);
        let since = match before {
            Some(before) if before.affiliation == change.to => before.since,
            _ => now,
        };
        let (affiliation, nick) = (change.to, change.nick.clone());
        let listed = Listed { affiliation, nick, since, is_nobodys: false };
        self.set_listed(change.who.clone(), change.to.is_listed().then_some(listed));
        // A domain that is listed is so for all of its people who are not listed themselves.
        let concerns = |who: &BareJid| {
            *who == change.who
                || change.who.local().is_none() && who.domain() == change.who.domain()
        };
        let numbers: Vec<u64> = self
            .occupants
            .iter()
            .filter(|(_, occupant)| concerns(&occupant.who))
            .map(|(number, _)| *number)
            .collect();
        let why = Why { codes: &[], reason: change.reason.as_deref(), actor };
        let told = numbers.into_iter().flat_map(|number| self.follow_affiliation(number, why));
        told.collect()
    }

    /// Takes somebody out of the lists: there is no such account any more. A room whose owner it was goes
    /// to the eldest admin.
    pub(super) fn forget(&mut self, who: &BareJid, now: Time) -> Vec<Told> {
        if !self.lists.contains_key(who) {
            return Vec::new();
        }
        let gone =
            NewStanding { who: who.clone(), to: Affiliation::None, nick: None, reason: None };
        let mut told = self.set_affiliation(&gone, None, now);
        if let Some(heir) = self.heir() {
            told.extend(self.set_affiliation(&heir, None, now));
        }
        told
    }

    /// Who owns the room from now on, if nobody does: who has been an admin for the longest time.
    fn heir(&self) -> Option<NewStanding> {
        let of = |affiliation| {
            self.lists.iter().filter(move |(_, listed)| listed.gives() == affiliation)
        };
        if of(Affiliation::Owner).next().is_some() {
            return None;
        }
        let (who, listed) = of(Affiliation::Admin).min_by_key(|(who, it)| (it.since, *who))?;
        let nick = listed.nick.clone();
        Some(NewStanding { who: who.clone(), to: Affiliation::Owner, nick, reason: None })
    }

    /// Gives an occupant what follows from the lists: another standing, or a way out.
    fn follow_affiliation(&mut self, number: u64, why: Why<'_>) -> Vec<Told> {
        let Some(occupant) = self.occupants.get(&number) else { return Vec::new() };
        let before = occupant.standing;
        let affiliation = self.affiliation(&occupant.who);
        if affiliation == before.affiliation {
            return Vec::new();
        }
        let code = match affiliation {
            Affiliation::Outcast => Some(301),
            Affiliation::None if self.config.members_only => Some(321),
            _ => None,
        };
        if let Some(code) = code {
            if let Some(occupant) = self.occupants.get_mut(&number) {
                occupant.standing.affiliation = affiliation;
            }
            return self.remove(number, &presence::unavailable(), Why { codes: &[code], ..why });
        }
        let role = affiliation.role(self.config.moderated);
        self.set_standing(number, Standing { affiliation, role }, why)
    }

    /// 10.2: configures the room, and tells what has changed. `keeps`: whether the server keeps history.
    pub(super) fn configure(&mut self, config: Config, keeps: bool) -> Vec<Told> {
        let was_locked = std::mem::replace(&mut self.locked, false);
        let before = std::mem::replace(&mut self.config, config);
        if was_locked && before == self.config {
            return Vec::new();
        }
        let mut told = Vec::new();
        if self.config.members_only && !before.members_only {
            let strangers: Vec<u64> = self
                .occupants
                .iter()
                .filter(|(_, occupant)| !occupant.standing.affiliation.belongs())
                .map(|(number, _)| *number)
                .collect();
            for number in strangers {
                let why = Why { codes: &[322], ..Why::default() };
                told.extend(self.remove(number, &presence::unavailable(), why));
            }
        }
        for (number, occupant) in &self.occupants {
            let role = occupant.standing.role;
            told.extend(match (before.tells_of(role), self.config.tells_of(role)) {
                (false, true) => self.show(*number),
                (true, false) => self.hide(occupant),
                _ => Vec::new(),
            });
        }
        let codes = codes_of_change(&before, &self.config, keeps);
        if !codes.is_empty() {
            told.push(Told::All(presence::configured(&self.address, &codes)));
        }
        told
    }

    /// 10.9: puts everybody out, since the room is no more.
    pub(super) fn destroy(&mut self, destroy: &Element) -> Vec<Told> {
        let standing = Standing { affiliation: Affiliation::None, role: Role::None };
        let mut told = Vec::new();
        for occupant in self.occupants.values() {
            let item = presence::item(standing, About::default());
            let x = presence::user(Some(item), &[]).child(destroy.clone());
            let address = self.address_of(&occupant.nick);
            let content = presence::unavailable();
            let stanza = presence::from(&content, &address, &occupant.id, Some(x));
            told.extend(
                occupant.seats.iter().map(|it| Told::Last(it.seat.clone(), stanza.clone())),
            );
        }
        self.clear();
        told
    }
}

/// 10.2.1: what all are told of a new configuration.
fn codes_of_change(before: &Config, after: &Config, keeps: bool) -> Vec<u16> {
    let mut codes = Vec::new();
    match (before.is_non_anonymous(), after.is_non_anonymous()) {
        (false, true) => codes.push(172),
        (true, false) => codes.push(173),
        _ => {}
    }
    match (before.logging, after.logging) {
        (false, true) if keeps => codes.push(170),
        (true, false) if keeps => codes.push(171),
        _ => {}
    }
    if codes.is_empty() && before != after {
        codes.push(104);
    }
    codes
}
