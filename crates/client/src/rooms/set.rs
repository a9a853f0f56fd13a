//! All rooms of a session as a state machine: which are entered at a login, again after a new session,
//! or since another device has noted them (XEP-0402).
//!
//! A room is here from when it is to be entered until it is left. Nothing but an order of the user
//! makes a room.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use whoelse_xmpp::{BareJid, Condition, FullJid, Jid, Outgoing, Stanza, StanzaError};

use super::bookmark::{Bookmark, Change};
use super::displayed::Displayed;
use super::event::{Exit, NotEntered, NotSaid, RoomEvent, RoomName, RoomNews, Wanted};
use super::invitation;
use super::occupant::Occupant;
use super::room::{Room, Step};
use super::write::{self, Presence, Wish};
use crate::error::RequestError;

/// Rooms that a session is in: fewer than it may claim addresses.
const MAX_ROOMS: usize = 500;

/// A room as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomView {
    /// Which.
    pub room: RoomName,
    /// Whether the room has not yet said that I am there.
    pub is_entering: bool,
    /// What I am there.
    pub me: Occupant,
    /// Who else is there.
    pub others: Vec<Occupant>,
    /// What it is about; empty: nothing.
    pub topic: String,
}

/// What the set wants to be done.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// Messages and presence from this address are the set's.
    Claim(BareJid),
    /// They are not any more.
    Release(BareJid),
    Send(Presence),
    /// Something is said to all in a room.
    Say {
        room: BareJid,
        id: String,
        stanza: Outgoing,
    },
    Tell(RoomNews),
    /// Whoever waits to enter this room is answered.
    Answer(BareJid, Result<Wanted, NotEntered>),
    /// It is marked that a room was read.
    Mark(Displayed),
    /// The room that was begun and nobody wanted is taken back.
    Cancel(BareJid),
    /// The room is no more: it is not entered at a login any more.
    Unnote(BareJid),
}

/// The rooms.
#[derive(Debug, Default)]
pub(super) struct RoomSet {
    me: Option<FullJid>,
    /// Whether the connection is lost, and no room can answer.
    is_away: bool,
    /// The domain of the own server's rooms.
    service: Option<String>,
    blocked: BTreeSet<BareJid>,
    rooms: BTreeMap<BareJid, Room>,
    /// Those that are entered at every login, as far as is known.
    noted: BTreeSet<BareJid>,
    /// Those that the user has entered here, and whose new bookmark has not been told yet: it moves
    /// nobody, even if the room has put me out by then.
    asked: BTreeSet<BareJid>,
    /// Presence that found no room among the lines that wait for the connection, and that nobody waits
    /// for: leaving a room, and entering one by itself. Each room has one address here at most, since no
    /// other presence to it leaves before.
    unsent: BTreeSet<(FullJid, Wish)>,
    read: Read,
    actions: VecDeque<Action>,
}

/// What is known of what was read.
#[derive(Debug, Default)]
struct Read {
    /// Whether only what is new is shown.
    is_wanted: bool,
    /// The marks as they were at the login, of rooms that are not here.
    marks: BTreeMap<BareJid, String>,
    /// The room whose mark is on its way: one at a time, the newest of each.
    marking: Option<BareJid>,
    /// Whether the account takes no marks, in this session.
    is_refused: bool,
}

impl RoomSet {
    /// Returns the next thing to do.
    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    // ---- the session ----

    /// Begins with a new login.
    pub(super) fn handle_login(&mut self, me: FullJid) {
        self.handle_logged_out();
        self.me = Some(me);
    }

    /// Takes note that the connection is lost: nothing is given up meanwhile.
    pub(super) fn handle_loss(&mut self) {
        self.is_away = true;
        // It goes again when I do something; nobody waits for it meanwhile.
        self.read.marking = None;
    }

    /// Takes note that it is back, in the same session: rooms have their time to answer anew.
    pub(super) fn handle_resumed(&mut self, now: Instant) {
        self.is_away = false;
        self.rooms.values_mut().for_each(|room| room.wait_anew(now));
        self.send_unsent(now);
    }

    /// Takes note that a presence never left, since too many lines wait for the connection.
    pub(super) fn handle_presence_not_sent(&mut self, wish: Wish, place: FullJid, now: Instant) {
        let address = place.to_bare();
        let Some(room) = self.rooms.get_mut(&address).filter(|_| wish != Wish::Leave) else {
            if wish == Wish::Leave && self.me.is_some() {
                self.keep_unsent(place, wish, now);
            }
            return;
        };
        if wish == Wish::Enter && room.is_entering_by_itself(&place) {
            self.keep_unsent(place, wish, now);
            return;
        }
        let steps = room.handle_presence_not_sent(wish, &place);
        self.take(&address, steps);
    }

    fn keep_unsent(&mut self, place: FullJid, wish: Wish, now: Instant) {
        self.unsent.insert((place, wish));
        // The connection may be back already.
        if !self.is_away {
            self.send_unsent(now);
        }
    }

    fn send_unsent(&mut self, now: Instant) {
        for (place, wish) in std::mem::take(&mut self.unsent) {
            let address = place.to_bare();
            if wish == Wish::Leave {
                self.actions.push_back(Action::Send(write::leave(&place)));
            } else if let Some(room) = self.rooms.get_mut(&address)
                && room.is_entering_by_itself(&place)
            {
                let steps = room.enter_again(address.clone(), now);
                self.take(&address, steps);
            }
        }
    }

    /// Enters every room again, in a new session.
    pub(super) fn handle_reconnected(&mut self, me: FullJid, now: Instant) {
        self.is_away = false;
        // The new session is in no room.
        self.unsent.clear();
        self.read.marking = None;
        let former = self.me.as_ref().map(|me| me.domain().to_owned());
        let renamed = |room: BareJid| match &former {
            Some(former) => renamed(room, former, me.domain()),
            None => room,
        };
        let noted = std::mem::take(&mut self.noted);
        self.noted = noted.into_iter().map(renamed).collect();
        let rooms = std::mem::take(&mut self.rooms);
        let rooms: Vec<(BareJid, BareJid, Room)> =
            rooms.into_iter().map(|(known, room)| (renamed(known.clone()), known, room)).collect();
        self.me = Some(me);
        for (address, known, mut room) in rooms {
            // Whoever waits has named it by the former name of the domain.
            if address != known {
                self.answer(&known, Err(NotEntered::TimedOut));
            }
            if room.is_leaving() {
                let mut steps = room.end();
                steps.push(Step::Gone);
                self.take(&address, steps);
                continue;
            }
            let steps = room.enter_again(address.clone(), now);
            self.rooms.insert(address.clone(), room);
            self.actions.push_back(Action::Claim(address.clone()));
            self.take(&address, steps);
        }
    }

    /// Forgets everything: there is no session any more.
    pub(super) fn handle_logged_out(&mut self) {
        let rooms = std::mem::take(&mut self.rooms);
        for (address, mut room) in rooms {
            self.answer(&address, Err(NotEntered::NotLoggedIn));
            let steps = room.end();
            self.take(&address, steps);
        }
        self.noted.clear();
        self.asked.clear();
        self.unsent.clear();
        self.read = Read { is_wanted: self.read.is_wanted, ..Read::default() };
        self.blocked.clear();
        self.service = None;
        self.is_away = false;
        self.me = None;
    }

    /// Takes note of where rooms are.
    pub(super) fn handle_service(&mut self, service: Option<String>) {
        self.service = service;
    }

    /// Takes note of whom the account has blocked, besides whom it is known to have.
    pub(super) fn handle_blocked(&mut self, whom: impl IntoIterator<Item = BareJid>) {
        self.blocked.extend(whom);
    }

    /// Takes note of whom it has unblocked; nobody stands for all.
    pub(super) fn handle_unblocked(&mut self, whom: &[BareJid]) {
        match whom.is_empty() {
            true => self.blocked.clear(),
            false => self.blocked.retain(|who| !whom.contains(who)),
        }
    }

    // ---- bookmarks ----

    /// Takes the bookmarks as they are after a login: enters what is noted, and leaves what was noted
    /// before and is not any more.
    pub(super) fn handle_bookmarks(&mut self, bookmarks: Vec<Bookmark>, now: Instant) {
        let noted = bookmarks.iter().filter(|it| it.autojoin).map(|it| it.room.clone()).collect();
        let gone: Vec<BareJid> = self.noted.difference(&noted).cloned().collect();
        gone.into_iter().for_each(|room| self.leave_elsewhere(&room, now));
        for bookmark in bookmarks.into_iter().filter(|it| it.autojoin) {
            self.follow(bookmark, Wanted::Bookmark, now);
        }
    }

    /// Follows what a device has done to the bookmarks.
    pub(super) fn handle_change(&mut self, change: Change, now: Instant) {
        match change {
            Change::Set(bookmark) if bookmark.autojoin => {
                self.follow(bookmark, Wanted::Elsewhere, now);
            }
            Change::Set(Bookmark { room, .. }) | Change::Removed(room) => {
                self.leave_elsewhere(&room, now);
            }
            Change::Cleared => {
                let noted: Vec<BareJid> = self.noted.iter().cloned().collect();
                noted.into_iter().for_each(|room| self.leave_elsewhere(&room, now));
            }
        }
    }

    fn follow(&mut self, bookmark: Bookmark, why: Wanted, now: Instant) {
        // Who was put out of a room does not come back since it is noted.
        let is_known = !self.noted.insert(bookmark.room.clone());
        let is_mine = self.asked.remove(&bookmark.room);
        if is_known || is_mine || self.rooms.contains_key(&bookmark.room) {
            return;
        }
        let own = self.me.as_ref().and_then(|me| me.to_bare().local().map(str::to_owned));
        let Some(nick) = bookmark.nick.or(own) else { return };
        let entered = self.enter(&bookmark.room, &nick, bookmark.password, why, now);
        if let Err(how) = entered {
            self.tell(&bookmark.room, RoomEvent::NotEntered(*how));
            return;
        }
        if why == Wanted::Bookmark
            && let Some(mark) = self.read.marks.get(&bookmark.room)
            && let Some(room) = self.rooms.get_mut(&bookmark.room)
        {
            room.show_only_after(mark.clone(), now);
        }
    }

    fn leave_elsewhere(&mut self, room: &BareJid, now: Instant) {
        if self.noted.remove(room) && self.leave(room, now) {
            let (by, reason) = (None, None);
            self.tell(room, RoomEvent::Left { how: Exit::Elsewhere, by, reason });
        }
    }

    // ---- what was read ----

    /// From the next login on, shows only what is new.
    pub(super) fn show_only_what_is_new(&mut self) {
        self.read.is_wanted = true;
    }

    pub(super) fn shows_only_what_is_new(&self) -> bool {
        self.read.is_wanted
    }

    /// Takes the marks as they are after a login.
    pub(super) fn handle_marks(&mut self, marks: Vec<Displayed>) {
        if self.read.is_wanted {
            self.read.marks = marks.into_iter().map(|mark| (mark.room, mark.id)).collect();
        }
    }

    /// Follows what a device of mine has marked.
    pub(super) fn handle_mark(&mut self, mark: Displayed) {
        if !self.read.is_wanted {
            return;
        }
        match self.rooms.get_mut(&mark.room) {
            Some(room) => room.reading().handle_mark(mark.id),
            // Of others only what is known already: it may have too many.
            None => {
                self.read.marks.entry(mark.room).and_modify(|known| *known = mark.id);
            }
        }
    }

    /// Takes note that I have read what was shown.
    pub(super) fn read(&mut self) {
        if self.read.is_wanted && self.me.is_some() {
            self.rooms.values_mut().for_each(|room| room.reading().read());
            self.mark_next();
        }
    }

    /// Takes note of what has become of a mark.
    pub(super) fn handle_marked(&mut self, mark: Displayed, done: Result<(), RequestError>) {
        if self.read.marking.as_ref() != Some(&mark.room) {
            return;
        }
        self.read.marking = None;
        match done {
            Ok(()) => self.handle_mark(mark),
            Err(RequestError::Refused(_)) => self.read.is_refused = true,
            // It is tried again when I do something.
            Err(_) => return,
        }
        self.mark_next();
    }

    fn mark_next(&mut self) {
        let Read { is_wanted, is_refused, .. } = self.read;
        if self.read.marking.is_some() || is_refused || !is_wanted || self.is_away {
            return;
        }
        let unmarked = self.rooms.iter_mut().find_map(|(address, room)| {
            let id = room.reading().unmarked()?.to_owned();
            Some(Displayed { room: address.clone(), id })
        });
        if let Some(mark) = unmarked {
            self.read.marking = Some(mark.room.clone());
            self.actions.push_back(Action::Mark(mark));
        }
    }

    // ---- what the user wants ----

    /// Enters a room, or takes another nickname in one.
    pub(super) fn enter(
        &mut self,
        address: &BareJid,
        nick: &str,
        password: Option<String>,
        why: Wanted,
        now: Instant,
    ) -> Result<(), Box<NotEntered>> {
        if self.me.is_none() {
            return Err(Box::new(NotEntered::NotLoggedIn));
        }
        let refused = |why| Box::new(NotEntered::Refused { nick: nick.to_owned(), why });
        if let Some(room) = self.rooms.get_mut(address).filter(|room| room.is_there()) {
            if room.nick() == nick {
                self.answer(address, Ok(Wanted::Asked));
                return Ok(());
            }
            let steps = room.rename(nick, now).map_err(refused)?;
            self.take(address, steps);
            return Ok(());
        }
        if self.rooms.len() >= MAX_ROOMS {
            return Err(Box::new(NotEntered::TooMany));
        }
        if matches!(why, Wanted::Asked | Wanted::Made) && !self.noted.contains(address) {
            self.asked.insert(address.clone());
        }
        let place = address.with_resource(nick);
        let place = place.map_err(|_| refused(StanzaError::new(Condition::JidMalformed)))?;
        let (room, steps) = Room::enter(&place, password, why, now);
        if let Some(mut before) = self.rooms.insert(address.clone(), room) {
            let steps = before.end();
            self.take(address, steps);
        }
        self.actions.push_back(Action::Claim(address.clone()));
        self.take(address, steps);
        Ok(())
    }

    /// Leaves a room. Returns whether I was in it, or about to be.
    pub(super) fn leave(&mut self, address: &BareJid, now: Instant) -> bool {
        let room = self.rooms.get_mut(address).filter(|room| !room.is_leaving());
        let Some(room) = room else { return false };
        self.asked.remove(address);
        let steps = room.leave(now);
        self.take(address, steps);
        true
    }

    /// Says something in a room.
    pub(super) fn say(&mut self, room: &BareJid, id: String, text: String) -> Result<(), NotSaid> {
        let steps = match (&self.me, self.rooms.get_mut(room)) {
            (None, _) => return Err(NotSaid::NotLoggedIn),
            (_, None) => return Err(NotSaid::NotThere),
            (_, Some(there)) => there.say(id, text)?,
        };
        self.take(room, steps);
        Ok(())
    }

    /// Takes note that something that was said never left.
    pub(super) fn handle_not_sent(&mut self, room: &BareJid, id: String) {
        let steps = self.rooms.get_mut(room).map(|room| room.handle_not_sent(id));
        self.take(room, steps.unwrap_or_default());
    }

    /// Returns every room as it is now.
    pub(super) fn views(&self) -> Vec<RoomView> {
        self.rooms.keys().filter_map(|address| self.view(address)).collect()
    }

    /// Returns this room as it is now, if I am in it or about to be.
    pub(super) fn view(&self, address: &BareJid) -> Option<RoomView> {
        let room = self.rooms.get(address).filter(|room| !room.is_leaving())?;
        Some(RoomView {
            room: self.name(address),
            is_entering: room.is_entering(),
            me: Occupant { nick: room.nick().to_owned(), ..room.me().clone() },
            others: room.others().cloned().collect(),
            topic: room.topic().to_owned(),
        })
    }

    /// Returns whether all that I have said was told, and no mark is on its way.
    pub(super) fn is_heard(&self) -> bool {
        self.read.marking.is_none() && self.rooms.values().all(Room::is_heard)
    }

    // ---- what arrives ----

    /// Takes a stanza from a room, or an invitation. Returns whether it was one of these.
    pub(super) fn handle(&mut self, stanza: &Stanza, now: Instant) -> bool {
        let Some(Ok(from)) = stanza.from().map(Jid::parse) else { return false };
        if stanza.type_() != Some("error")
            && stanza.type_() != Some("groupchat")
            && let Some((room, event)) = invitation::read(stanza)
        {
            let event = self.with_inviter(event, &from);
            let by = match &event {
                RoomEvent::Invited { by, .. } => by.clone(),
                RoomEvent::Declined { by, .. } => Some(by.clone()),
                _ => None,
            };
            let is_blocked = by.is_some_and(|by| self.blocked.contains(&by));
            let is_there = matches!(event, RoomEvent::Invited { .. }) && self.is_there(&room);
            if !is_blocked && !is_there {
                self.tell(&room, event);
            }
            return true;
        }
        let address = from.to_bare();
        let Some(room) = self.rooms.get_mut(&address) else { return false };
        let steps = room.handle(stanza, &self.blocked, now);
        self.take(&address, steps);
        // What I have said may count as read by now.
        self.mark_next();
        true
    }

    /// An occupant who invites directly does so by an address in the room, which is not theirs.
    fn with_inviter(&self, event: RoomEvent, from: &Jid) -> RoomEvent {
        match (event, self.rooms.get(&from.to_bare()), from.resource()) {
            (RoomEvent::Invited { reason, .. }, Some(room), Some(nick)) => {
                RoomEvent::Invited { by: room.account_of(nick), reason }
            }
            (event, _, _) => event,
        }
    }

    /// Returns whether I am in a room.
    pub(super) fn is_there(&self, room: &BareJid) -> bool {
        self.rooms.get(room).is_some_and(Room::is_there)
    }

    /// Returns when [`RoomSet::handle_time`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.rooms.values().filter_map(Room::next_deadline).min().filter(|_| !self.is_away)
    }

    /// Does what is due.
    pub(super) fn handle_time(&mut self, now: Instant) {
        if self.is_away {
            return;
        }
        let mut due = Vec::new();
        for (address, room) in &mut self.rooms {
            let steps = room.handle_time(now);
            if !steps.is_empty() {
                due.push((address.clone(), steps));
            }
        }
        due.into_iter().for_each(|(address, steps)| self.take(&address, steps));
    }

    // ---- what follows ----

    fn take(&mut self, address: &BareJid, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Send(stanza) => self.actions.push_back(Action::Send(stanza)),
                Step::Say { id, stanza } => {
                    let room = address.clone();
                    self.actions.push_back(Action::Say { room, id, stanza });
                }
                Step::Tell(event) => self.tell(address, event),
                Step::Answer(answer) => self.answer(address, answer),
                Step::NotEntered(why, how) => {
                    self.asked.remove(address);
                    // Whoever has asked is answered; what was to happen by itself is told.
                    if matches!(why, Wanted::Bookmark | Wanted::Elsewhere | Wanted::Again) {
                        self.tell(address, RoomEvent::NotEntered(how.clone()));
                    }
                    self.forget(address, how);
                }
                Step::Cancel => self.actions.push_back(Action::Cancel(address.clone())),
                Step::Gone => self.forget(address, NotEntered::Left),
                Step::Destroyed => {
                    self.forget(address, NotEntered::Left);
                    self.noted.remove(address);
                    self.actions.push_back(Action::Unnote(address.clone()));
                }
            }
        }
    }

    /// Takes a room out of the set. Whoever waits to enter it, or for a nickname there, waits no more.
    fn forget(&mut self, address: &BareJid, why: NotEntered) {
        self.rooms.remove(address);
        self.actions.push_back(Action::Release(address.clone()));
        self.answer(address, Err(why));
    }

    fn answer(&mut self, room: &BareJid, answer: Result<Wanted, NotEntered>) {
        self.actions.push_back(Action::Answer(room.clone(), answer));
    }

    fn tell(&mut self, room: &BareJid, what: RoomEvent) {
        let room = self.name(room);
        self.actions.push_back(Action::Tell(RoomNews { room, what }));
    }

    fn name(&self, address: &BareJid) -> RoomName {
        let is_local = self.service.as_deref() == Some(address.domain());
        RoomName { address: address.clone(), is_local }
    }
}

/// Returns a room's address after the domain may have been renamed.
fn renamed(room: BareJid, former: &str, now: &str) -> BareJid {
    let label = room.domain().strip_suffix(former).filter(|label| label.ends_with('.'));
    let domain = label.map(|label| format!("{label}{now}"));
    domain.and_then(|domain| BareJid::new(room.local(), &domain).ok()).unwrap_or(room)
}

#[cfg(test)]
mod tests;
