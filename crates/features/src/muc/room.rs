//! The rules of a room as a state machine: who comes, who goes, what changes about them, and what each
//! occupant is told of it. It knows no task, no store and no clock.
//!
//! An occupant is a nickname, with the seats of one person. What concerns the person is told to each
//! of their seats as what concerns themselves (110); others see the person come with the first seat
//! and go with the last.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use whoelse_core::session::Session;
use whoelse_core::{Time, delivery};
use whoelse_xmpp::{BareJid, Condition, FullJid, Outgoing, StanzaError, nickname, ns};

use super::affiliation::{Affiliation, Role, Standing};
use super::config::Config;
use super::history::{History, Wish};
use super::limits::{BYTES_OF_ONE, LONGEST_NICKNAME, LONGEST_SUBJECT};
use super::occupant_id;
use super::photos::Photos;
use super::presence::{self, About, Said};
use super::seat::Seat;
use super::subject::Subject;

/// About how many bytes a room adds to a presence: whose it is, and to whom it goes.
const BYTES_AROUND: usize = 400;

/// A room.
pub(crate) struct Room {
    /// Its address.
    pub address: BareJid,
    /// Its configuration.
    pub config: Config,
    /// Who is what, whether they are here or not, by bare address or domain. Changed by
    /// [`Room::set_listed`] alone.
    pub(super) lists: BTreeMap<BareJid, Listed>,
    /// For whom of these a nickname is kept, in the form in which it is compared.
    kept: HashMap<String, BareJid>,
    /// Whether it waits for its first configuration: only its owner enters.
    pub locked: bool,
    /// What it is about.
    pub(super) subject: Option<Subject>,
    /// What it shows.
    pub(super) photos: Photos,
    /// What was said lately.
    pub(super) history: History,
    secret: Vec<u8>,
    /// The occupants, in the order in which they came.
    pub(super) occupants: BTreeMap<u64, Occupant>,
    next: u64,
    /// Whose a nickname is, in the form in which it is compared.
    nicks: HashMap<String, u64>,
    /// Whose a seat is.
    seats: HashMap<FullJid, u64>,
}

/// What somebody is to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// What.
    pub affiliation: Affiliation,
    /// The nickname that is kept for them.
    pub nick: Option<String>,
    /// Since when.
    pub since: Time,
    /// Whether it gives nothing: nobody had the name when it was given, and somebody has registered it
    /// since ([`crate::nobodys`]).
    pub is_nobodys: bool,
}

/// What an entry of the lists holds, in bytes.
pub(super) fn bytes_in_list(who: &BareJid, nick: Option<&str>) -> usize {
    who.as_str().len() + nick.map_or(0, str::len)
}

impl Listed {
    /// What it gives.
    pub fn gives(&self) -> Affiliation {
        if self.is_nobodys { Affiliation::None } else { self.affiliation }
    }
}

/// Somebody in a room, by a nickname.
pub(super) struct Occupant {
    pub nick: String,
    pub who: BareJid,
    pub standing: Standing,
    /// XEP-0421.
    pub id: String,
    /// The seats, in the order in which they were taken. There is one at least.
    pub seats: Vec<Sitting>,
    /// The seat whose presence others see.
    shown: FullJid,
}

/// A seat, and the presence that its device has said, without addresses.
pub(super) struct Sitting {
    pub seat: Arc<Seat>,
    presence: Outgoing,
}

/// Somebody who wants to enter.
pub(super) struct Entry<'a> {
    pub seat: Seat,
    pub nick: &'a str,
    pub said: Said<'a>,
    pub password: Option<&'a str>,
    pub history: Wish,
    /// Whether the server keeps history.
    pub keeps: bool,
    /// The most occupants that the server lets in.
    pub most: usize,
}

/// What somebody is told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// One seat is told this.
    To(Arc<Seat>, Outgoing),
    /// One that is no seat any more is told this last.
    Last(Arc<Seat>, Outgoing),
    /// Everybody in the room is told this, which has no `to`.
    All(Outgoing),
}

/// Why somebody leaves, or changes, who has not said so.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Why<'a> {
    /// The status codes that say it.
    pub codes: &'a [u16],
    /// In words.
    pub reason: Option<&'a str>,
    /// The nickname of who has done it.
    pub actor: Option<&'a str>,
}

impl Occupant {
    fn shown(&self) -> &Sitting {
        let shown = self.seats.iter().find(|sitting| sitting.seat.jid == self.shown);
        // There is one at least.
        shown.unwrap_or(&self.seats[0])
    }

    /// The real address behind the presence that others see.
    pub fn shown_jid(&self) -> &FullJid {
        &self.shown().seat.jid
    }

    /// The seat whose presence others see.
    pub fn shown_seat(&self) -> &Arc<Seat> {
        &self.shown().seat
    }

    pub fn sees_addresses(&self, config: &Config) -> bool {
        config.is_non_anonymous() || self.standing.role == Role::Moderator
    }
}

impl Room {
    pub fn new(address: BareJid, config: Config, secret: Vec<u8>) -> Room {
        Room {
            address,
            config,
            lists: BTreeMap::new(),
            kept: HashMap::new(),
            locked: false,
            subject: None,
            photos: Photos::default(),
            history: History::default(),
            secret,
            occupants: BTreeMap::new(),
            next: 0,
            nicks: HashMap::new(),
            seats: HashMap::new(),
        }
    }

    // --- who is what ---

    /// Notes what somebody is to the room from now on; nothing, without it.
    pub(super) fn set_listed(&mut self, who: BareJid, listed: Option<Listed>) {
        let key = |listed: &Listed| listed.nick.as_deref().and_then(nickname::comparable);
        if let Some(before) = self.lists.remove(&who).as_ref().and_then(key)
            && self.kept.get(&before) == Some(&who)
        {
            self.kept.remove(&before);
        }
        let Some(listed) = listed else { return };
        if let Some(key) = key(&listed) {
            self.kept.insert(key, who.clone());
        }
        self.lists.insert(who, listed);
    }

    /// Returns what somebody is to the room: what they are themselves, or what their domain is.
    pub fn affiliation(&self, who: &BareJid) -> Affiliation {
        let own = self.lists.get(who).filter(|listed| !listed.is_nobodys);
        own.or_else(|| self.listed_domain(who)).map_or(Affiliation::None, |it| it.affiliation)
    }

    /// Returns what the lists show of somebody, whether it gives them anything or not.
    pub(super) fn shown_affiliation(&self, who: &BareJid) -> Affiliation {
        let own = self.lists.get(who);
        own.or_else(|| self.listed_domain(who)).map_or(Affiliation::None, |it| it.affiliation)
    }

    fn listed_domain(&self, who: &BareJid) -> Option<&Listed> {
        let domain = BareJid::new(None, who.domain()).ok()?;
        self.lists.get(&domain).filter(|_| who.local().is_some())
    }

    /// Takes from a name what it was given while nobody had it.
    pub fn void(&mut self, who: &BareJid) {
        if let Some(listed) = self.lists.get_mut(who).filter(|it| it.affiliation.belongs()) {
            listed.is_nobodys = true;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.occupants.is_empty()
    }

    /// The occupant who has this seat.
    pub(super) fn occupant(&self, seat: &FullJid) -> Option<&Occupant> {
        self.occupants.get(self.seats.get(seat)?)
    }

    /// About how many bytes somebody is told who enters.
    pub(super) fn bytes_to_enter(&self) -> usize {
        let shown = |occupant: &Occupant| occupant.shown().presence.bytes.len() + BYTES_AROUND;
        let all = self.occupants.values().filter(|it| self.config.tells_of(it.standing.role));
        all.map(shown).sum::<usize>() + self.history.bytes() + LONGEST_SUBJECT
    }

    /// What it counts as, in bytes, to tell everybody in it something.
    pub(super) fn cost_of_telling(&self) -> u64 {
        BYTES_OF_ONE * self.count() as u64
    }

    /// Whether this session is here, and not another one of its address.
    pub(super) fn has_seat_of(&self, session: &Arc<Session>) -> bool {
        let occupant = self.occupant(&session.jid);
        let mut seats = occupant.into_iter().flat_map(|occupant| &occupant.seats);
        seats.any(|it| it.seat.session().is_some_and(|seated| Arc::ptr_eq(seated, session)))
    }

    /// The bytes of the addresses and nicknames in its lists.
    pub(super) fn list_bytes(&self) -> usize {
        self.lists.iter().map(|(who, listed)| bytes_in_list(who, listed.nick.as_deref())).sum()
    }

    /// Whether this device is here.
    pub fn has(&self, seat: &FullJid) -> bool {
        self.seats.contains_key(seat)
    }

    /// The occupant of this nickname.
    pub(super) fn named(&self, nick: &str) -> Option<(u64, &Occupant)> {
        let number = *self.nicks.get(&nickname::comparable(nick)?)?;
        Some((number, self.occupants.get(&number)?))
    }

    /// The occupant of this nickname, or what one hears who names nobody.
    pub(super) fn occupant_named(&self, nick: &str) -> Result<(u64, &Occupant), StanzaError> {
        self.named(nick).ok_or_else(nobody)
    }

    /// The devices of the occupant who has this seat.
    pub(super) fn devices_of(&self, seat: &FullJid) -> Vec<FullJid> {
        let seats = self.occupant(seat).map(|occupant| occupant.seats.iter());
        seats.into_iter().flatten().map(|sitting| sitting.seat.jid.clone()).collect()
    }

    /// What the occupant who has this seat is.
    pub(super) fn standing(&self, seat: &FullJid) -> Option<Standing> {
        self.occupant(seat).map(|occupant| occupant.standing)
    }

    /// The nickname that is kept for somebody.
    pub fn kept_nick(&self, who: &BareJid) -> Option<&str> {
        self.lists.get(who)?.nick.as_deref()
    }

    /// Since when somebody is this.
    pub(super) fn since(&self, who: &BareJid, what: Affiliation) -> Option<Time> {
        self.lists.get(who).filter(|it| it.affiliation == what).map(|it| it.since)
    }

    /// The address of an occupant.
    pub(super) fn address_of(&self, nick: &str) -> String {
        format!("{}/{nick}", self.address)
    }

    // --- what is told ---

    /// Tells of an occupant: others, if others are told of such; and each of the occupant's seats.
    /// `content` has no addresses.
    fn tell_of(
        &self,
        occupant: &Occupant,
        content: &Outgoing,
        about: About<'_>,
        codes: &[u16],
    ) -> Vec<Told> {
        let mut told = match self.config.tells_of(occupant.standing.role) {
            true => self.tell_others(occupant, content, (occupant.standing, about), codes),
            false => Vec::new(),
        };
        let codes: Vec<u16> = [110].into_iter().chain(codes.iter().copied()).collect();
        told.extend(occupant.seats.iter().map(|sitting| {
            let about = About { jid: Some(sitting.seat.jid.as_str()), ..about };
            let stanza = self.worded(occupant, content, (occupant.standing, about), &codes);
            Told::To(sitting.seat.clone(), stanza)
        }));
        told
    }

    /// Tells all others of an occupant, as if it had this standing.
    fn tell_others(
        &self,
        occupant: &Occupant,
        content: &Outgoing,
        (standing, about): (Standing, About<'_>),
        codes: &[u16],
    ) -> Vec<Told> {
        let jid = occupant.shown().seat.jid.as_str();
        let with = |jid: Option<&str>| {
            self.worded(occupant, content, (standing, About { jid, ..about }), codes)
        };
        let mut told = Vec::new();
        let (mut open, mut hidden) = (None, None);
        for other in self.occupants.values().filter(|other| other.nick != occupant.nick) {
            let stanza = match other.sees_addresses(&self.config) {
                true => open.get_or_insert_with(|| with(Some(jid))),
                false => hidden.get_or_insert_with(|| with(None)),
            };
            told.extend(other.seats.iter().map(|it| Told::To(it.seat.clone(), stanza.clone())));
        }
        told
    }

    /// Adds to content what the room says about an occupant.
    fn worded(
        &self,
        occupant: &Occupant,
        content: &Outgoing,
        (standing, about): (Standing, About<'_>),
        codes: &[u16],
    ) -> Outgoing {
        let x = presence::user(Some(presence::item(standing, about)), codes);
        presence::from(content, &self.address_of(&occupant.nick), &occupant.id, Some(x))
    }

    /// 7.1: all that a seat is told when it is taken: what the room shows, who is here, that it is here
    /// itself, what was said, and what it is about.
    fn tell_all(
        &self,
        number: u64,
        seat: &FullJid,
        codes: &[u16],
        wish: (Wish, Time),
    ) -> Vec<Told> {
        let Some(occupant) = self.occupants.get(&number) else { return Vec::new() };
        let Some(sitting) = occupant.seats.iter().find(|it| it.seat.jid == *seat) else {
            return Vec::new();
        };
        let sees = occupant.sees_addresses(&self.config);
        let mut stanzas: Vec<Outgoing> = self.photos.to_tell(&self.address).into_iter().collect();
        for (_, other) in self.occupants.iter().filter(|(other, _)| **other != number) {
            if self.config.tells_of(other.standing.role) {
                let shown = other.shown();
                let jid = sees.then_some(shown.seat.jid.as_str());
                let about = (other.standing, About { jid, ..About::default() });
                stanzas.push(self.worded(other, &shown.presence, about, &[]));
            }
        }
        let codes: Vec<u16> = [110].into_iter().chain(codes.iter().copied()).collect();
        let about = About { jid: Some(seat.as_str()), ..About::default() };
        let oneself = (occupant.standing, about);
        stanzas.push(self.worded(occupant, &sitting.presence, oneself, &codes));
        stanzas.extend(self.history.asked_for(&wish.0, self.config.history, wish.1, &self.address));
        stanzas.push(Subject::to_tell(self.subject.as_ref(), &self.address));
        stanzas.into_iter().map(|stanza| Told::To(sitting.seat.clone(), stanza)).collect()
    }

    // --- who comes ---

    /// Takes a presence to an address in the room by which somebody wants to be there: enters it, or,
    /// if they are there, takes another nickname or begins anew (7.2.1).
    pub(super) fn enter(&mut self, entry: Entry<'_>, now: Time) -> Result<Vec<Told>, StanzaError> {
        let (jid, who) = (entry.seat.jid.clone(), entry.seat.who());
        if let Some(occupant) = self.occupant(&jid) {
            let is_same = occupant.nick == entry.nick;
            return match is_same {
                true => Ok(self.begin_anew(&jid, &entry, now)),
                false => self.rename(&jid, entry.nick, entry.said),
            };
        }
        let affiliation = self.may_enter(&who, entry.password)?;
        let key = self.may_be_called(&who, entry.nick)?;
        if let Some(number) = self.nicks.get(&key).copied() {
            self.sit(number, entry.seat, entry.said.presence());
            let mut codes = self.codes_of_entry(entry.keeps);
            if self.occupants.get(&number).is_some_and(|occupant| occupant.nick != entry.nick) {
                codes.push(210);
            }
            return Ok(self.tell_all(number, &jid, &codes, (entry.history, now)));
        }
        let most =
            self.config.most_occupants.map_or(entry.most, |most| entry.most.min(most as usize));
        if self.occupants.len() >= most && !affiliation.governs() {
            return Err(StanzaError::new(Condition::ServiceUnavailable)
                .with_text("there are as many in this room as may be"));
        }
        let number = self.next;
        self.next += 1;
        let id = occupant_id::of(&self.secret, entry.seat.account);
        let occupant = Occupant {
            nick: entry.nick.to_owned(),
            who,
            standing: Standing { affiliation, role: affiliation.role(self.config.moderated) },
            id,
            seats: Vec::new(),
            shown: jid.clone(),
        };
        self.occupants.insert(number, occupant);
        self.nicks.insert(key, number);
        self.sit(number, entry.seat, entry.said.presence());
        let mut told = self.show(number);
        let codes = self.codes_of_entry(entry.keeps);
        told.extend(self.tell_all(number, &jid, &codes, (entry.history, now)));
        Ok(told)
    }

    fn sit(&mut self, number: u64, seat: Seat, presence: Outgoing) {
        if let Some(occupant) = self.occupants.get_mut(&number) {
            self.seats.insert(seat.jid.clone(), number);
            occupant.seats.push(Sitting { seat: Arc::new(seat), presence });
        }
    }

    /// Tells others of an occupant who is here, if others are told of such.
    pub(super) fn show(&self, number: u64) -> Vec<Told> {
        let Some(occupant) = self.occupants.get(&number) else { return Vec::new() };
        if !self.config.tells_of(occupant.standing.role) {
            return Vec::new();
        }
        let about = (occupant.standing, About::default());
        self.tell_others(occupant, &occupant.shown().presence, about, &[])
    }

    /// Tells others that an occupant is gone, who is here.
    pub(super) fn hide(&self, occupant: &Occupant) -> Vec<Told> {
        let standing = Standing { role: Role::None, ..occupant.standing };
        let about = (standing, About::default());
        self.tell_others(occupant, &presence::unavailable(), about, &[])
    }

    /// What somebody is told of the room who enters it (7.2.3).
    fn codes_of_entry(&self, keeps: bool) -> Vec<u16> {
        let mut codes = Vec::new();
        if self.config.is_non_anonymous() {
            codes.push(100);
        }
        if self.config.logging && keeps {
            codes.push(170);
        }
        if self.locked {
            codes.push(201);
        }
        codes
    }

    /// 7.2: whether somebody may enter, and as what.
    pub(super) fn may_enter(
        &self,
        who: &BareJid,
        password: Option<&str>,
    ) -> Result<Affiliation, StanzaError> {
        let affiliation = self.affiliation(who);
        let refuse = |condition, text: &str| Err(StanzaError::new(condition).with_text(text));
        if affiliation == Affiliation::Outcast {
            return refuse(Condition::Forbidden, "you may not enter this room");
        }
        if self.locked && affiliation != Affiliation::Owner {
            return Err(StanzaError::new(Condition::ItemNotFound));
        }
        if self.config.members_only && !affiliation.belongs() {
            return refuse(Condition::RegistrationRequired, "only members may enter this room");
        }
        let needs = !self.config.password.is_empty() && affiliation != Affiliation::Owner;
        if needs && password != Some(self.config.password.as_str()) {
            return refuse(Condition::NotAuthorized, "this room has a password");
        }
        Ok(affiliation)
    }

    /// 7.2.9: whether somebody may be called this here. Returns the form in which it is compared.
    fn may_be_called(&self, who: &BareJid, nick: &str) -> Result<String, StanzaError> {
        let key = Room::check_nickname(nick)?;
        let is_somebody_elses =
            |number: &u64| self.occupants.get(number).is_some_and(|occupant| occupant.who != *who);
        if self.nicks.get(&key).is_some_and(is_somebody_elses) || self.is_kept(&key, who) {
            return Err(StanzaError::new(Condition::Conflict)
                .with_text("somebody else is called this here"));
        }
        Ok(key)
    }

    /// Whether anybody can be called this. Returns the form in which it is compared.
    pub(super) fn check_nickname(nick: &str) -> Result<String, StanzaError> {
        let key = nickname::comparable(nick).filter(|_| nick.len() <= LONGEST_NICKNAME);
        key.ok_or_else(|| {
            StanzaError::new(Condition::JidMalformed).with_text("nobody can be called this")
        })
    }

    /// Whether a nickname is kept for somebody else.
    pub(super) fn is_kept(&self, key: &str, who: &BareJid) -> bool {
        self.kept.get(key).is_some_and(|of| of != who)
    }

    /// 7.2.1: a client that enters where it is has lost what it knew of the room.
    fn begin_anew(&mut self, jid: &FullJid, entry: &Entry<'_>, now: Time) -> Vec<Told> {
        let Some(number) = self.seats.get(jid).copied() else { return Vec::new() };
        self.note_presence(number, jid, entry.said.presence());
        let mut told = self.show(number);
        let codes = self.codes_of_entry(entry.keeps);
        told.extend(self.tell_all(number, jid, &codes, (entry.history, now)));
        told
    }

    // --- what changes about them ---

    /// Takes a presence to an occupant's own address from somebody who does not enter: they are here,
    /// and say how they are (7.7), or take another nickname (7.6). `None`: they are not here (7.2.14).
    pub(super) fn change_presence(
        &mut self,
        jid: &FullJid,
        nick: &str,
        said: Said<'_>,
    ) -> Option<Result<Vec<Told>, StanzaError>> {
        let number = *self.seats.get(jid)?;
        if self.occupants.get(&number)?.nick != nick {
            return Some(self.rename(jid, nick, said));
        }
        self.note_presence(number, jid, said.presence());
        let occupant = self.occupants.get(&number)?;
        Some(Ok(self.tell_of(occupant, &occupant.shown().presence, About::default(), &[])))
    }

    /// Notes what a device has said; from now on others see that.
    fn note_presence(&mut self, number: u64, jid: &FullJid, presence: Outgoing) {
        let Some(occupant) = self.occupants.get_mut(&number) else { return };
        if let Some(sitting) = occupant.seats.iter_mut().find(|it| it.seat.jid == *jid) {
            sitting.presence = presence;
            occupant.shown = jid.clone();
        }
    }

    /// 7.6: an occupant takes another nickname, with all of their seats: it is the person who is called
    /// so.
    fn rename(
        &mut self,
        jid: &FullJid,
        nick: &str,
        said: Said<'_>,
    ) -> Result<Vec<Told>, StanzaError> {
        let Some(number) = self.seats.get(jid).copied() else { return Ok(Vec::new()) };
        let Some(occupant) = self.occupants.get(&number) else { return Ok(Vec::new()) };
        let key = self.may_be_called(&occupant.who, nick)?;
        // The same person may be here by the other name as well; nobody is here twice by one.
        if self.nicks.get(&key).is_some_and(|other| *other != number) {
            return Err(StanzaError::new(Condition::Conflict)
                .with_text("you are called this here already, on another device"));
        }
        let about = About { nick: Some(nick), ..About::default() };
        let mut told = self.tell_of(occupant, &presence::unavailable(), about, &[303]);
        let old = nickname::comparable(&occupant.nick);
        self.nicks.remove(&old.unwrap_or_default());
        self.nicks.insert(key, number);
        if let Some(occupant) = self.occupants.get_mut(&number) {
            occupant.nick = nick.to_owned();
        }
        self.note_presence(number, jid, said.presence());
        if let Some(occupant) = self.occupants.get(&number) {
            let content = &occupant.shown().presence;
            told.extend(self.tell_of(occupant, content, About::default(), &[]));
        }
        Ok(told)
    }

    /// Gives an occupant another standing, and tells of it. Whoever others are no longer told of is gone
    /// for them.
    pub(super) fn set_standing(&mut self, number: u64, to: Standing, why: Why<'_>) -> Vec<Told> {
        let Some(occupant) = self.occupants.get_mut(&number) else { return Vec::new() };
        let before = std::mem::replace(&mut occupant.standing, to);
        if before == to {
            return Vec::new();
        }
        let Some(occupant) = self.occupants.get(&number) else { return Vec::new() };
        let about = About { actor: why.actor, reason: why.reason, ..About::default() };
        let mut told = self.tell_of(occupant, &occupant.shown().presence, about, why.codes);
        if self.config.tells_of(before.role) && !self.config.tells_of(to.role) {
            told.extend(self.hide(occupant));
        }
        told
    }

    // --- who goes ---

    /// 7.14: a device leaves; `said` is what it says to that, if it does.
    pub(super) fn leave(&mut self, jid: &FullJid, said: Option<Said<'_>>) -> Vec<Told> {
        let content = said.map_or_else(presence::unavailable, |said| said.presence());
        self.take_seat(jid, &content, Why::default())
    }

    /// Takes the seat of this session, and of no other one of its address.
    pub(super) fn leave_of(&mut self, session: &Arc<Session>, said: Option<Said<'_>>) -> Vec<Told> {
        match self.has_seat_of(session) {
            true => self.leave(&session.jid, said),
            false => Vec::new(),
        }
    }

    /// 11.1: takes the seat of a device for which there is no room any more. Nobody has kicked it (307).
    pub(super) fn lose(&mut self, jid: &FullJid) -> Vec<Told> {
        let why = Why { codes: &[333], ..Why::default() };
        self.take_seat(jid, &presence::unavailable(), why)
    }

    fn take_seat(&mut self, jid: &FullJid, content: &Outgoing, why: Why<'_>) -> Vec<Told> {
        let Some(number) = self.seats.get(jid).copied() else { return Vec::new() };
        let Some(occupant) = self.occupants.get_mut(&number) else { return Vec::new() };
        if occupant.seats.len() == 1 {
            return self.remove(number, content, why);
        }
        // The person is still here.
        let Some(place) = occupant.seats.iter().position(|it| it.seat.jid == *jid) else {
            return Vec::new();
        };
        let gone = occupant.seats.remove(place);
        let was_shown = occupant.shown == *jid;
        if was_shown && let Some(newest) = occupant.seats.last() {
            occupant.shown = newest.seat.jid.clone();
        }
        self.seats.remove(jid);
        let mut told = Vec::new();
        if let Some(occupant) = self.occupants.get(&number) {
            let standing = Standing { role: Role::None, ..occupant.standing };
            told.push(self.last(occupant, &gone.seat, content, standing, why));
        }
        if was_shown {
            told.extend(self.show(number));
        }
        told
    }

    /// Removes an occupant, with all of their seats, and tells everybody.
    pub(super) fn remove(&mut self, number: u64, content: &Outgoing, why: Why<'_>) -> Vec<Told> {
        let Some(mut occupant) = self.occupants.remove(&number) else { return Vec::new() };
        self.nicks.remove(&nickname::comparable(&occupant.nick).unwrap_or_default());
        for sitting in &occupant.seats {
            self.seats.remove(&sitting.seat.jid);
        }
        let shown = self.config.tells_of(occupant.standing.role);
        occupant.standing.role = Role::None;
        let standing = occupant.standing;
        let about = About { actor: why.actor, reason: why.reason, ..About::default() };
        let seats: Vec<Arc<Seat>> = occupant.seats.iter().map(|it| it.seat.clone()).collect();
        let mut told: Vec<Told> =
            seats.iter().map(|seat| self.last(&occupant, seat, content, standing, why)).collect();
        if shown {
            told.extend(self.tell_others(&occupant, content, (standing, about), why.codes));
        }
        told
    }

    /// What a seat is told last.
    fn last(
        &self,
        occupant: &Occupant,
        seat: &Arc<Seat>,
        content: &Outgoing,
        standing: Standing,
        why: Why<'_>,
    ) -> Told {
        let about = About {
            jid: Some(seat.jid.as_str()),
            actor: why.actor,
            reason: why.reason,
            nick: None,
        };
        let codes: Vec<u16> = [110].into_iter().chain(why.codes.iter().copied()).collect();
        Told::Last(seat.clone(), self.worded(occupant, content, (standing, about), &codes))
    }

    /// 7.2.14: what somebody is told who speaks as if they were here.
    pub(super) fn not_here(address: &BareJid, nick: &str) -> Outgoing {
        let standing = Standing { affiliation: Affiliation::None, role: Role::None };
        let about = About { reason: Some("You are not in the room."), ..About::default() };
        let x = presence::user(Some(presence::item(standing, about)), &[110, 307, 333]);
        delivery::addressed(&presence::unavailable(), &format!("{address}/{nick}"), &x.finish())
    }

    /// Nobody is here any more.
    pub(super) fn clear(&mut self) {
        self.occupants.clear();
        self.nicks.clear();
        self.seats.clear();
    }

    /// Everybody's seats.
    pub(super) fn all_seats(&self) -> impl Iterator<Item = &Arc<Seat>> {
        self.occupants.values().flat_map(|occupant| occupant.seats.iter().map(|it| &it.seat))
    }

    /// How many occupants there are.
    pub fn count(&self) -> usize {
        self.occupants.len()
    }
}

/// What one hears who names somebody who is not here.
pub(super) fn nobody() -> StanzaError {
    StanzaError::new(Condition::ItemNotFound).with_text("nobody is called this here")
}

/// The element that goes back with a presence that is refused (7.2).
pub(super) fn refused(error: StanzaError) -> StanzaError {
    error.with_payload(format!("<x xmlns='{}'/>", ns::MUC))
}

#[cfg(test)]
mod tests;
