//! XEP-0045, 7: one room as a state machine: entering it, who is there, what is said, leaving it. It
//! knows no task and no clock; what arrives goes in, and steps come out.
//!
//! A message of mine stays *unheard* until the room tells it to everybody, me too: that is the
//! verdict on it. A room that is entered again shows what was said lately, so what is among that was
//! told, and the rest is sent again under the same id.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use whoelse_xmpp::{BareJid, Condition, FullJid, Jid, Kind, Outgoing, Stanza, StanzaError, ns};

use super::event::{Exit, NotEntered, NotSaid, RoomEvent, Speech, Wanted};
use super::occupant::Occupant;
use super::reading::{Reading, Unread};
use super::user::{Item, Said};
use super::write::{self, Presence, Wish};
use crate::message::parse_time;
use crate::request::ANSWER_WITHIN;

/// Messages of mine that a room may not have told yet.
pub(super) const MAX_UNHEARD: usize = 100;
/// Messages that are remembered, so that none is shown twice when a room is entered again. A room of
/// our server shows 20.
const REMEMBERED: usize = 200;
/// Occupants that are known; more are not listed.
const MAX_OCCUPANTS: usize = 10_000;
/// A room that puts this device out is entered again this often, not more.
const COME_BACK_AFTER: Duration = Duration::from_secs(60);

/// A room.
#[derive(Debug)]
pub(super) struct Room {
    address: BareJid,
    nick: String,
    password: Option<String>,
    phase: Phase,
    me: Occupant,
    others: BTreeMap<String, Occupant>,
    /// The accounts behind occupant ids (XEP-0421), where the room has shown them.
    accounts: HashMap<String, BareJid>,
    topic: String,
    unheard: VecDeque<Unheard>,
    seen: VecDeque<String>,
    reading: Reading,
    /// A nickname that was asked for, and until when the room may answer.
    renaming: Option<(String, Instant)>,
    /// Whether I have made it just now, and am about to configure it.
    is_made: bool,
    /// When it was last entered again by itself.
    came_back: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Presence was sent.
    Entering { why: Wanted, by: Instant },
    /// The room has said that I am there. It tells what was said before.
    Arrived,
    /// It has told all of that.
    Settled,
    /// I have left, and wait for what the room has told before it heard that.
    Leaving { by: Instant },
}

/// A message of mine that the room has not told yet.
#[derive(Debug)]
struct Unheard {
    id: String,
    text: String,
    /// Whether it was sent since the room was entered.
    sent: bool,
}

/// What follows from something.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Send(Presence),
    /// Something to all, by its id.
    Say {
        id: String,
        stanza: Outgoing,
    },
    Tell(RoomEvent),
    /// Whoever has asked to enter it, or for a nickname, is answered. The room stays.
    Answer(Result<Wanted, NotEntered>),
    /// It was not entered, for this reason, and is to be forgotten.
    NotEntered(Wanted, NotEntered),
    /// There was no such room, and the service has begun to make one, which nobody wanted.
    Cancel,
    /// I am not there any more; it is to be forgotten.
    Gone,
    /// The same, and the room is no more.
    Destroyed,
}

impl Room {
    /// Begins to enter a room.
    pub(super) fn enter(
        place: &FullJid,
        password: Option<String>,
        why: Wanted,
        now: Instant,
    ) -> (Room, Vec<Step>) {
        let nick = place.resource().to_owned();
        let mut room = Room {
            address: place.to_bare(),
            me: nobody(&nick),
            nick,
            password,
            phase: Phase::Settled,
            others: BTreeMap::new(),
            accounts: HashMap::new(),
            topic: String::new(),
            unheard: VecDeque::new(),
            seen: VecDeque::new(),
            reading: Reading::default(),
            renaming: None,
            is_made: false,
            came_back: None,
        };
        let steps = room.begin(why, now);
        (room, steps)
    }

    /// Sends presence that enters.
    fn begin(&mut self, why: Wanted, now: Instant) -> Vec<Step> {
        // What the room has told it does not tell again.
        let mut steps = if self.is_there() { self.show_held() } else { Vec::new() };
        self.phase = Phase::Entering { why, by: now + ANSWER_WITHIN };
        self.reading.wait_until(now + ANSWER_WITHIN);
        self.others.clear();
        self.unheard.iter_mut().for_each(|it| it.sent = false);
        // It is entered by the present nickname.
        steps.extend(self.give_up_renaming());
        let Ok(place) = self.address.with_resource(&self.nick) else { return steps };
        steps.push(Step::Send(write::enter(&place, self.password.as_deref())));
        steps
    }

    /// Enters it again, in a new session; perhaps under another address, since the domain was renamed.
    pub(super) fn enter_again(&mut self, address: BareJid, now: Instant) -> Vec<Step> {
        self.address = address;
        let why = match self.phase {
            Phase::Entering { why, .. } => why,
            Phase::Arrived | Phase::Settled | Phase::Leaving { .. } => Wanted::Again,
        };
        self.begin(why, now)
    }

    /// Asks for another nickname.
    pub(super) fn rename(&mut self, nick: &str, now: Instant) -> Result<Vec<Step>, StanzaError> {
        let place = self.address.with_resource(nick);
        let place = place.map_err(|_| StanzaError::new(Condition::JidMalformed))?;
        self.renaming = Some((nick.to_owned(), now + ANSWER_WITHIN));
        Ok(vec![Step::Send(write::rename(&place))])
    }

    /// Answers whoever waits for another nickname, which the room has not answered.
    fn give_up_renaming(&mut self) -> Vec<Step> {
        let answer = self.renaming.take().map(|_| Step::Answer(Err(NotEntered::TimedOut)));
        answer.into_iter().collect()
    }

    /// Returns whether it is being entered by this address, and nobody waits for that.
    pub(super) fn is_entering_by_itself(&self, place: &FullJid) -> bool {
        let by_itself = |why| matches!(why, Wanted::Bookmark | Wanted::Elsewhere | Wanted::Again);
        matches!(self.phase, Phase::Entering { why, .. } if by_itself(why))
            && self.nick == place.resource()
    }

    /// Takes note that a presence for which somebody waits never left.
    pub(super) fn handle_presence_not_sent(&mut self, wish: Wish, place: &FullJid) -> Vec<Step> {
        let nick = place.resource();
        match (wish, self.phase) {
            (Wish::Enter, Phase::Entering { why, .. }) if self.nick == nick => {
                self.not_entered(why, NotEntered::NotSent)
            }
            (Wish::Rename, _) => {
                let unsent = self.renaming.take_if(|(to, _)| to == nick);
                unsent.map(|_| Step::Answer(Err(NotEntered::NotSent))).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Leaves it. Where something of mine is unheard, the room stays until it has said that I am gone:
    /// what it has told before that comes before that.
    pub(super) fn leave(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = self.farewell();
        if self.is_heard() || self.is_entering() {
            steps.extend(self.end());
            steps.push(Step::Gone);
        } else {
            self.phase = Phase::Leaving { by: now + ANSWER_WITHIN };
        }
        steps
    }

    /// Sends presence that leaves.
    fn farewell(&self) -> Vec<Step> {
        let place = self.address.with_resource(&self.nick);
        place.iter().map(|place| Step::Send(write::leave(place))).collect()
    }

    /// Ends everything that was open here.
    pub(super) fn end(&mut self) -> Vec<Step> {
        let unheard = self.unheard.drain(..);
        unheard.map(|it| Step::Tell(RoomEvent::Unconfirmed { id: it.id })).collect()
    }

    /// Says something to all, as soon as I am there.
    pub(super) fn say(&mut self, id: String, text: String) -> Result<Vec<Step>, NotSaid> {
        if self.unheard.len() >= MAX_UNHEARD {
            return Err(NotSaid::TooMany);
        }
        let waits = match self.phase {
            Phase::Entering { .. } => true,
            Phase::Arrived => self.unheard.iter().any(|it| !it.sent),
            Phase::Settled => false,
            Phase::Leaving { .. } => return Err(NotSaid::NotThere),
        };
        let mut steps = vec![Step::Tell(RoomEvent::Sent { id: id.clone() })];
        if !waits {
            let stanza = write::say(&self.address, &id, &text);
            steps.push(Step::Say { id: id.clone(), stanza });
        }
        self.unheard.push_back(Unheard { id, text, sent: !waits });
        Ok(steps)
    }

    /// Takes note that a message of mine never left, which was to be said since the room was entered.
    /// While it is entered again, that goes after the entry like all others.
    pub(super) fn handle_not_sent(&mut self, id: String) -> Vec<Step> {
        let unsent = self.unheard.iter().position(|it| it.sent && it.id == id);
        let unsent = unsent.and_then(|place| self.unheard.remove(place));
        unsent.map(|it| Step::Tell(RoomEvent::NotSent { id: it.id })).into_iter().collect()
    }

    /// Shows only what is new when it is entered: what comes after this mark.
    pub(super) fn show_only_after(&mut self, mark: String, now: Instant) {
        self.reading.hold(mark, now + ANSWER_WITHIN);
    }

    /// What was read in it.
    pub(super) fn reading(&mut self) -> &mut Reading {
        &mut self.reading
    }

    /// Shows what was held until it is known what of it is new.
    fn show_held(&mut self) -> Vec<Step> {
        let Unread { more, speeches } = self.reading.release();
        let more = more.then_some(Step::Tell(RoomEvent::More));
        let new = speeches.into_iter().map(|speech| Step::Tell(RoomEvent::Said(speech)));
        more.into_iter().chain(new).collect()
    }

    pub(super) fn nick(&self) -> &str {
        &self.nick
    }

    pub(super) fn me(&self) -> &Occupant {
        &self.me
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    pub(super) fn others(&self) -> impl Iterator<Item = &Occupant> {
        self.others.values()
    }

    /// Returns the account of an occupant, if the room shows it.
    pub(super) fn account_of(&self, nick: &str) -> Option<BareJid> {
        self.others.get(nick)?.who.clone()
    }

    pub(super) fn is_entering(&self) -> bool {
        matches!(self.phase, Phase::Entering { .. })
    }

    /// Returns whether the room has said that I am there.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.phase, Phase::Arrived | Phase::Settled)
    }

    /// Returns whether I have left, and only wait for the last words of the room.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving { .. })
    }

    /// Returns whether the room has told all that I have said.
    pub(super) fn is_heard(&self) -> bool {
        self.unheard.is_empty()
    }

    /// Returns when [`Room::handle_time`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let phase = match self.phase {
            Phase::Entering { by, .. } | Phase::Leaving { by } => Some(by),
            Phase::Arrived | Phase::Settled => None,
        };
        let renaming = self.renaming.as_ref().map(|(_, by)| *by);
        phase.into_iter().chain(renaming).chain(self.held_by()).min()
    }

    /// Returns when what is held is shown, though the room has not said that this is all.
    fn held_by(&self) -> Option<Instant> {
        self.reading.held_by().filter(|_| self.is_there())
    }

    /// Begins to wait anew for whatever the room has not answered.
    pub(super) fn wait_anew(&mut self, now: Instant) {
        if let Phase::Entering { by, .. } | Phase::Leaving { by } = &mut self.phase {
            *by = now + ANSWER_WITHIN;
        }
        self.renaming.iter_mut().for_each(|(_, by)| *by = now + ANSWER_WITHIN);
        self.reading.wait_until(now + ANSWER_WITHIN);
    }

    /// Does what is due.
    pub(super) fn handle_time(&mut self, now: Instant) -> Vec<Step> {
        match self.phase {
            Phase::Entering { why, by } if by <= now => {
                // The room may let me in later, and nobody would know that I am there.
                let mut steps = self.farewell();
                steps.extend(self.not_entered(why, NotEntered::TimedOut));
                steps
            }
            Phase::Leaving { by } if by <= now => {
                let mut steps = self.end();
                steps.push(Step::Gone);
                steps
            }
            _ if self.renaming.as_ref().is_some_and(|(_, by)| *by <= now) => {
                self.give_up_renaming()
            }
            _ if self.held_by().is_some_and(|by| by <= now) => self.show_held(),
            _ => Vec::new(),
        }
    }

    fn not_entered(&mut self, why: Wanted, how: NotEntered) -> Vec<Step> {
        let mut steps = self.end();
        steps.push(Step::NotEntered(why, how));
        steps
    }

    /// Takes a presence or message from the room or an address in it. What is said by whom I have
    /// blocked is left out.
    pub(super) fn handle(
        &mut self,
        stanza: &Stanza,
        blocked: &BTreeSet<BareJid>,
        now: Instant,
    ) -> Vec<Step> {
        let mut steps = self.read(stanza, blocked, now);
        if self.is_leaving() {
            let is_about_mine = |step: &Step| {
                matches!(
                    step,
                    Step::Gone
                        | Step::Destroyed
                        | Step::Tell(
                            RoomEvent::Acknowledged { .. }
                                | RoomEvent::Refused { .. }
                                | RoomEvent::Unconfirmed { .. }
                        )
                )
            };
            steps.retain(is_about_mine);
        }
        steps
    }

    fn read(&mut self, stanza: &Stanza, blocked: &BTreeSet<BareJid>, now: Instant) -> Vec<Step> {
        let Some(Ok(from)) = stanza.from().map(Jid::parse) else { return Vec::new() };
        match (stanza.kind(), stanza.type_(), from.resource()) {
            (Kind::Presence, Some("error"), _) => self.handle_refusal(stanza),
            (Kind::Presence, None, Some(nick)) => self.handle_available(stanza, nick),
            (Kind::Presence, Some("unavailable"), Some(nick)) => {
                self.handle_unavailable(stanza, nick, now)
            }
            (Kind::Message, Some("error"), _) => self.handle_bounce(stanza, now),
            (Kind::Message, Some("groupchat"), nick) => self.handle_speech(stanza, nick, blocked),
            (Kind::Message, _, nick) => self.handle_whisper(stanza, nick, blocked),
            _ => Vec::new(),
        }
    }

    // ---- presence ----

    fn handle_refusal(&mut self, stanza: &Stanza) -> Vec<Step> {
        let why = StanzaError::read(stanza);
        let why = why.unwrap_or_else(|| StanzaError::new(Condition::UndefinedCondition));
        let nick = self.nick.clone();
        match self.phase {
            Phase::Entering { why: wanted, .. } => {
                self.not_entered(wanted, NotEntered::Refused { nick, why })
            }
            _ => {
                let refused = |(nick, _)| Step::Answer(Err(NotEntered::Refused { nick, why }));
                self.renaming.take().map(refused).into_iter().collect()
            }
        }
    }

    fn handle_available(&mut self, stanza: &Stanza, nick: &str) -> Vec<Step> {
        let said = Said::read(stanza);
        let occupant = occupant(nick, &said.item);
        if let (Some(id), Some(who)) = (occupant_id(stanza), &occupant.who)
            && self.accounts.len() < MAX_OCCUPANTS
        {
            self.accounts.insert(id, who.clone());
        }
        let is_me = said.has(110) || nick == self.nick;
        match (is_me, self.phase) {
            (true, Phase::Entering { why, .. }) => self.arrive(occupant, why, &said),
            (true, _) => {
                let before = std::mem::replace(&mut self.me, occupant.clone());
                let renamed = std::mem::replace(&mut self.nick, nick.to_owned()) != nick;
                let mut steps = Vec::new();
                // Some rooms rename whoever comes, and say so in this presence alone.
                if renamed {
                    let (from, to) = (before.nick.clone(), nick.to_owned());
                    steps.push(Step::Tell(RoomEvent::Renamed { from, to, is_me: true }));
                }
                steps.extend(standing(&before, &occupant, true));
                steps
            }
            (false, phase) => {
                if self.others.len() >= MAX_OCCUPANTS && !self.others.contains_key(nick) {
                    return Vec::new();
                }
                let before = self.others.insert(nick.to_owned(), occupant.clone());
                match (before, phase) {
                    (_, Phase::Entering { .. }) => Vec::new(),
                    (None, _) => vec![Step::Tell(RoomEvent::Came(occupant))],
                    (Some(before), _) => standing(&before, &occupant, false),
                }
            }
        }
    }

    /// 7.2.2: the last presence of those that follow an entry is my own.
    fn arrive(&mut self, me: Occupant, why: Wanted, said: &Said) -> Vec<Step> {
        let is_new = said.has(201);
        if is_new && why != Wanted::Made {
            let mut steps = vec![Step::Cancel];
            steps.extend(self.not_entered(why, NotEntered::NoSuchRoom));
            return steps;
        }
        // Somebody else has made it in the meantime.
        let why = if why == Wanted::Made && !is_new { Wanted::Asked } else { why };
        self.phase = Phase::Arrived;
        self.is_made = why == Wanted::Made;
        self.nick.clone_from(&me.nick);
        self.me = me;
        self.others.remove(&self.nick);
        let entered = RoomEvent::Entered {
            nick: self.nick.clone(),
            others: self.others.values().cloned().collect(),
            why,
            shows_addresses: said.has(100),
        };
        vec![Step::Tell(entered), Step::Answer(Ok(why))]
    }

    fn handle_unavailable(&mut self, stanza: &Stanza, nick: &str, now: Instant) -> Vec<Step> {
        let said = Said::read(stanza);
        let is_me = said.has(110) || nick == self.nick;
        if said.has(303)
            && let Some(to) = &said.item.nick
        {
            return self.handle_renamed(nick, to, is_me);
        }
        let (by, reason) = (said.item.by.clone(), said.item.reason.clone());
        // 10.9: each occupant is told of themselves that the room is no more. What others send with their
        // presence is not the room's word.
        if is_me {
            return self.put_out(said, by, reason, now);
        }
        let was_there = self.others.remove(nick).is_some();
        let how = exit_of(&said.codes).unwrap_or(Exit::Asked);
        match was_there && !self.is_entering() {
            true => {
                let nick = nick.to_owned();
                vec![Step::Tell(RoomEvent::Went { nick, how, by, reason })]
            }
            false => Vec::new(),
        }
    }

    fn handle_renamed(&mut self, from: &str, to: &str, is_me: bool) -> Vec<Step> {
        let renamed = |is_me| {
            let (from, to) = (from.to_owned(), to.to_owned());
            Step::Tell(RoomEvent::Renamed { from, to, is_me })
        };
        if is_me {
            self.nick = to.to_owned();
            self.me.nick = to.to_owned();
            let mut steps = vec![renamed(true)];
            if self.renaming.take().is_some() {
                steps.push(Step::Answer(Ok(Wanted::Asked)));
            }
            return steps;
        }
        match self.others.remove(from) {
            Some(occupant) => {
                self.others.insert(to.to_owned(), Occupant { nick: to.to_owned(), ..occupant });
                vec![renamed(false)]
            }
            None => Vec::new(),
        }
    }

    fn put_out(
        &mut self,
        said: Said,
        by: Option<String>,
        mut reason: Option<String>,
        now: Instant,
    ) -> Vec<Step> {
        let how = match (said.destroyed, said.codes.contains(&333)) {
            (Some(destroyed), _) => {
                reason = destroyed.reason.or(reason);
                let how = Exit::Destroyed { venue: destroyed.venue };
                let left = Step::Tell(RoomEvent::Left { how, by, reason });
                let mut steps = self.end();
                steps.extend([left, Step::Destroyed]);
                return steps;
            }
            (None, true) if !self.is_leaving() => return self.come_back(now),
            (None, true) => None,
            (None, false) => exit_of(&said.codes),
        };
        match (how, self.phase) {
            // That is the answer to an earlier leaving.
            (None, Phase::Entering { .. }) => Vec::new(),
            (how, _) => {
                let how = how.unwrap_or(Exit::Asked);
                let mut steps = self.end();
                steps.push(Step::Tell(RoomEvent::Left { how, by, reason }));
                steps.push(Step::Gone);
                steps
            }
        }
    }

    /// The room has put this device out since it took too little, or has forgotten it: it is entered
    /// again, unless that has just been tried.
    fn come_back(&mut self, now: Instant) -> Vec<Step> {
        let back = self.came_back.is_none_or(|at| at + COME_BACK_AFTER <= now);
        let how = Exit::TooSlow { back };
        let left = Step::Tell(RoomEvent::Left { how, by: None, reason: None });
        if !back {
            let mut steps = self.end();
            steps.extend([left, Step::Gone]);
            return steps;
        }
        self.came_back = Some(now);
        let mut steps = vec![left];
        steps.extend(self.begin(Wanted::Again, now));
        steps
    }

    // ---- messages ----

    /// A message of mine has come back.
    fn handle_bounce(&mut self, stanza: &Stanza, now: Instant) -> Vec<Step> {
        let Some(place) = self.unheard.iter().position(|it| Some(it.id.as_str()) == stanza.id())
        else {
            return Vec::new();
        };
        // It was sent before the room was entered again, and goes again after that.
        if self.is_entering() {
            return Vec::new();
        }
        let why = StanzaError::read(stanza);
        let why = why.unwrap_or_else(|| StanzaError::new(Condition::UndefinedCondition));
        let may_come_back = self.came_back.is_none_or(|at| at + COME_BACK_AFTER <= now);
        // 7.4: only who is not in the room hears this.
        if why.condition == Condition::NotAcceptable && may_come_back && !self.is_leaving() {
            return self.come_back(now);
        }
        let refused = self.unheard.remove(place).map(|it| it.id);
        refused.map(|id| Step::Tell(RoomEvent::Refused { id, why })).into_iter().collect()
    }

    fn handle_speech(
        &mut self,
        stanza: &Stanza,
        nick: Option<&str>,
        blocked: &BTreeSet<BareJid>,
    ) -> Vec<Step> {
        let at = self.told_at(stanza);
        let archived = archive_id(stanza, &self.address);
        if let Some(id) = &archived {
            self.reading.hear(id);
        }
        let body = stanza.child_text("body", ns::CLIENT).filter(|body| !body.is_empty());
        let Some(text) = body else { return self.handle_news(stanza, nick, at) };
        let mine = nick == Some(self.nick.as_str());
        let key = key(stanza, nick, &text, &self.address);
        let known = self.remember(key);
        if mine
            && let Some(place) =
                self.unheard.iter().position(|it| Some(it.id.as_str()) == stanza.id())
        {
            let told = self.unheard.remove(place).map(|it| it.id);
            self.reading.show_own(archived);
            return told.map(|id| Step::Tell(RoomEvent::Acknowledged { id })).into_iter().collect();
        }
        if known && at.is_some() {
            return Vec::new();
        }
        let who = self.account(stanza, nick, at.is_none());
        if who.as_ref().is_some_and(|who| blocked.contains(who)) {
            return Vec::new();
        }
        let id = archived.clone().or_else(|| stanza.id().map(str::to_owned));
        let (nick, text) = (nick.map(str::to_owned), text.to_string());
        let speech = Speech { nick, who, text, id, at, is_private: false };
        if self.reading.holds(&speech) {
            return Vec::new();
        }
        // What is said now comes after everything that was said before.
        let mut steps = self.show_held();
        self.reading.show(archived);
        steps.push(Step::Tell(RoomEvent::Said(speech)));
        steps
    }

    /// What has no text: the topic, or news of the room.
    fn handle_news(
        &mut self,
        stanza: &Stanza,
        nick: Option<&str>,
        at: Option<SystemTime>,
    ) -> Vec<Step> {
        if let Some(text) = stanza.child_text("subject", ns::CLIENT) {
            let is_first = self.phase == Phase::Arrived;
            let before = std::mem::replace(&mut self.topic, text.to_string());
            let mut steps = self.show_held();
            // Whoever comes back knows it.
            if !(is_first && self.topic == before) {
                let (by, text) = (nick.map(str::to_owned), text.to_string());
                steps.push(Step::Tell(RoomEvent::Topic { by, text, at }));
            }
            // 7.2.15: it is the last thing that follows an entry.
            if is_first {
                self.phase = Phase::Settled;
                let unsent = self.unheard.iter_mut().filter(|it| !it.sent);
                steps.extend(unsent.map(|it| {
                    it.sent = true;
                    let stanza = write::say(&self.address, &it.id, &it.text);
                    Step::Say { id: it.id.clone(), stanza }
                }));
            }
            return steps;
        }
        let said = Said::read(stanza);
        // What I have wanted myself is told otherwise.
        if std::mem::take(&mut self.is_made) {
            return Vec::new();
        }
        match (nick, said.has(172), said.has(173)) {
            (None, true, _) => vec![Step::Tell(RoomEvent::ShowsAddresses(true))],
            (None, false, true) => vec![Step::Tell(RoomEvent::ShowsAddresses(false))],
            _ => Vec::new(),
        }
    }

    /// 7.5: somebody says something to me alone.
    fn handle_whisper(
        &mut self,
        stanza: &Stanza,
        nick: Option<&str>,
        blocked: &BTreeSet<BareJid>,
    ) -> Vec<Step> {
        let Some(text) = stanza.child_text("body", ns::CLIENT).filter(|body| !body.is_empty())
        else {
            return Vec::new();
        };
        let who = self.account(stanza, nick, true);
        if who.as_ref().is_some_and(|who| blocked.contains(who)) {
            return Vec::new();
        }
        let (nick, text, id) =
            (nick.map(str::to_owned), text.to_string(), stanza.id().map(str::to_owned));
        let at = self.told_at(stanza);
        vec![Step::Tell(RoomEvent::Said(Speech { nick, who, text, id, at, is_private: true }))]
    }

    /// Returns when something was said before, if the room or its service says so.
    fn told_at(&self, stanza: &Stanza) -> Option<SystemTime> {
        let is_rooms = |by: &str| by == self.address.as_str() || by == self.address.domain();
        let delay = stanza.children().iter().find(|child| {
            child.is("delay", ns::DELAY)
                && stanza.child_attr(child, "from").is_some_and(|by| is_rooms(&by))
        })?;
        parse_time(&stanza.child_attr(delay, "stamp")?)
    }

    /// Returns the account behind a message: by its occupant id, or, of what is said now, by the
    /// nickname. Who was called so before may have been somebody else.
    fn account(&self, stanza: &Stanza, nick: Option<&str>, is_now: bool) -> Option<BareJid> {
        match occupant_id(stanza) {
            Some(id) if self.accounts.contains_key(&id) => self.accounts.get(&id).cloned(),
            _ if is_now => self.account_of(nick?),
            _ => None,
        }
    }

    /// Returns whether this was there before, and remembers it.
    fn remember(&mut self, key: String) -> bool {
        if self.seen.contains(&key) {
            return true;
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(key);
        false
    }
}

fn nobody(nick: &str) -> Occupant {
    occupant(nick, &Item::default())
}

fn occupant(nick: &str, item: &Item) -> Occupant {
    let (affiliation, role) = (item.affiliation, item.role);
    Occupant { nick: nick.to_owned(), who: item.who.clone(), affiliation, role }
}

/// What is told of somebody who is there and has become something else.
fn standing(before: &Occupant, now: &Occupant, is_me: bool) -> Vec<Step> {
    if (before.affiliation, before.role) == (now.affiliation, now.role) {
        return Vec::new();
    }
    let Occupant { nick, affiliation, role, .. } = now.clone();
    vec![Step::Tell(RoomEvent::Standing { nick, is_me, affiliation, role })]
}

/// 15.6: how somebody came to leave. Without any of these they wanted to.
fn exit_of(codes: &[u16]) -> Option<Exit> {
    let known = |code: &u16| match code {
        301 => Some(Exit::Banned),
        321 => Some(Exit::NoMember),
        322 => Some(Exit::MembersOnly),
        332 => Some(Exit::Shutdown),
        333 => Some(Exit::TooSlow { back: false }),
        _ => None,
    };
    let kicked = codes.contains(&307).then_some(Exit::Kicked);
    codes.iter().find_map(known).or(kicked)
}

fn occupant_id(stanza: &Stanza) -> Option<String> {
    let child = stanza.child("occupant-id", ns::OCCUPANT_ID)?;
    stanza.child_attr(child, "id").map(String::from)
}

/// Returns the number that the room's archive has given a message.
fn archive_id(stanza: &Stanza, room: &BareJid) -> Option<String> {
    let own = stanza.children().iter().find(|child| {
        child.is("stanza-id", ns::STANZA_ID)
            && stanza.child_attr(child, "by").is_some_and(|by| by == room.as_str())
    })?;
    stanza.child_attr(own, "id").map(String::from)
}

/// Returns what tells a message from others.
fn key(stanza: &Stanza, nick: Option<&str>, text: &str, room: &BareJid) -> String {
    let id = archive_id(stanza, room).or_else(|| stanza.id().map(str::to_owned));
    format!("{}\n{}", nick.unwrap_or_default(), id.as_deref().unwrap_or(text))
}

#[cfg(test)]
mod tests;
