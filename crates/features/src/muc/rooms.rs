//! Rooms in memory: how they are found, made, held and forgotten.
//!
//! A room holds itself while somebody is in it; beside that, whoever asks holds it. So nothing of a
//! room is in memory that nobody needs, and the database has all that outlives its occupants.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use whoelse_core::keeper::{After, Touches};
use whoelse_core::paying::cost;
use whoelse_core::route::Routed;
use whoelse_core::session::{PushRefused, Session};
use whoelse_core::underway::Underway;
use whoelse_core::{Node, Steady, Time};
use whoelse_store::{RoomAffiliation, RoomRow};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Condition, FullJid, StanzaError};

use super::affiliation::Affiliation;
use super::config::{Config, is_written};
use super::limits::{BYTES_OF_A_MEETING, BYTES_OF_ONE, Limits, Makers};
use super::logged::{is_logged, lately};
use super::message::{Speech, not_here};
use super::photos::Photos;
use super::room::{Listed, Room, Told};
use super::seat::Seat;
use super::subject::Subject;
use super::{KEY, readable};
use crate::{nobodys, unstored};

/// How long a room waits for its first configuration (10.1).
const LOCKED: Duration = Duration::from_secs(600);
/// The bytes of a room's secret.
const SECRET: usize = 32;

/// The rooms that are in memory.
#[derive(Default)]
pub(crate) struct Rooms {
    /// Held for a look or a change, never across an await.
    by_address: Mutex<HashMap<BareJid, Weak<Live>>>,
    loads: Loads,
}

/// The rooms that are being loaded, and how often something of each has changed in the store meanwhile:
/// what was read before is old then. What happens to other rooms makes nobody load one again.
#[derive(Default)]
struct Loads(Mutex<HashMap<BareJid, Arc<AtomicU64>>>);

impl Loads {
    /// Notes that a room is about to be loaded, until this is dropped.
    fn begin<'a>(&'a self, address: &'a BareJid) -> Load<'a> {
        let changes = self.0.lock().entry(address.clone()).or_default().clone();
        let before = changes.load(Ordering::Acquire);
        Load { loads: self, address, changes, before }
    }

    fn note_change(&self, address: &BareJid) {
        if let Some(changes) = self.0.lock().get(address) {
            changes.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn note_change_of_all(&self) {
        for changes in self.0.lock().values() {
            changes.fetch_add(1, Ordering::AcqRel);
        }
    }
}

struct Load<'a> {
    loads: &'a Loads,
    address: &'a BareJid,
    changes: Arc<AtomicU64>,
    before: u64,
}

impl Load<'_> {
    fn is_old(&self) -> bool {
        self.changes.load(Ordering::Acquire) != self.before
    }
}

impl Drop for Load<'_> {
    fn drop(&mut self) {
        let mut loads = self.loads.0.lock();
        // The map has one, and this.
        if Arc::strong_count(&self.changes) == 2 {
            loads.remove(self.address);
        }
    }
}

/// A room in memory.
pub(crate) struct Live {
    /// Its number in the store.
    pub id: i64,
    /// The number of its archive.
    pub archive: i64,
    address: BareJid,
    /// What is said and on its way into the archive. What else happens in the room comes after it.
    underway: Underway,
    rooms: Weak<Rooms>,
    /// Everything that happens in a room happens under this lock, and what its occupants are told is
    /// queued under it: so all of them have one order. Never held across an await; taken before the
    /// locks of sessions.
    state: Mutex<State>,
}

struct State {
    room: Room,
    /// While somebody is in it.
    holds_itself: Option<Arc<Live>>,
    /// Whether it is about to be no more, or is no more. From then on nothing happens in it.
    going: bool,
    /// When it was loaded.
    since: Steady,
}

/// Something that is said in a room, on its way into the archive.
pub(super) struct Saying(Arc<Live>);

impl Drop for Saying {
    fn drop(&mut self) {
        self.0.underway.finish();
    }
}

/// The room is no more; there may be another one of its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone;

impl Rooms {
    /// The rooms of this server.
    pub fn of(node: &Node) -> Arc<Rooms> {
        node.slots.get_or_default()
    }

    /// Returns a room that is in memory.
    pub fn here(&self, address: &BareJid) -> Option<Arc<Live>> {
        let found = self.by_address.lock().get(address).and_then(Weak::upgrade);
        found.filter(|live| !live.is_going())
    }

    /// All rooms that are in memory.
    fn all(&self) -> Vec<Arc<Live>> {
        self.by_address.lock().values().filter_map(Weak::upgrade).collect()
    }

    /// Returns a room, loaded if it has to be; `None` if there is none.
    pub async fn find(
        self: &Arc<Rooms>,
        node: &Node,
        address: &BareJid,
    ) -> Result<Option<Arc<Live>>, StanzaError> {
        loop {
            let found = self.by_address.lock().get(address).and_then(Weak::upgrade);
            match found {
                Some(live) if !live.is_going() => return Ok(Some(live)),
                // Whether it is no more is known when that is committed.
                Some(_) => node.keeper.caught_up().await,
                None => {}
            }
            let load = self.loads.begin(address);
            let Some(live) = self.load(node, address).await? else { return Ok(None) };
            // Dropped after the lock: the last one to hold a room takes it.
            let existing;
            let mut by_address = self.by_address.lock();
            existing = by_address.get(address).and_then(Weak::upgrade);
            match &existing {
                Some(live) if !live.is_going() => return Ok(existing.clone()),
                _ if load.is_old() => {}
                _ => {
                    by_address.insert(address.clone(), Arc::downgrade(&live));
                    return Ok(Some(live));
                }
            }
        }
    }

    /// Returns a room, as [`Rooms::find`] does, or what one hears who names none.
    pub async fn need(
        self: &Arc<Rooms>,
        node: &Node,
        address: &BareJid,
    ) -> Result<Arc<Live>, StanzaError> {
        self.find(node, address).await?.ok_or_else(|| no_room(address))
    }

    /// Returns a room for a session, as [`Rooms::find`] does; if it has to be loaded, the session pays for
    /// that.
    pub async fn find_for(
        self: &Arc<Rooms>,
        node: &Node,
        session: &Session,
        address: &BareJid,
    ) -> Result<Option<Arc<Live>>, StanzaError> {
        if let Some(live) = self.here(address) {
            return Ok(Some(live));
        }
        let found = self.find(node, address).await?;
        if let Some(live) = &found {
            let _ = node.pay_for_work_of(session, live.cost_of_loading());
        }
        Ok(found)
    }

    async fn load(
        self: &Arc<Rooms>,
        node: &Node,
        address: &BareJid,
    ) -> Result<Option<Arc<Live>>, StanzaError> {
        let Some(name) = address.local() else { return Ok(None) };
        let row = node.store.room(node.domain().id, name).await;
        let Some(row) = readable(node, address, row)? else { return Ok(None) };
        let lists = readable(node, address, node.store.room_affiliations(row.id).await)?;
        let archive = row.archive;
        let live = Live::new(self, node, address.clone(), row, lists);
        if live.look(|room| is_logged(node, &room.config)) {
            let said = lately(node, address, archive).await?;
            live.state.lock().room.history = said;
        }
        Ok(Some(live))
    }

    /// Makes a room for somebody who enters one that is not there, and makes them its owner. Whoever
    /// has made it meanwhile owns it.
    pub async fn create(
        self: &Arc<Rooms>,
        node: &Arc<Node>,
        address: &BareJid,
        owner: &Seat,
        is_administrator: bool,
    ) -> Result<(), StanzaError> {
        let may = match node.settings().of::<Limits>().create {
            Makers::Everyone => true,
            Makers::Administrators => is_administrator,
        };
        if !may {
            let name = address.local().unwrap_or_default();
            return Err(StanzaError::new(Condition::NotAllowed).with_text(format!(
                "there is no room {name}, and only administrators make rooms"
            )));
        }
        self.make(node, address, (owner.who(), owner.account), (None, too_many)).await?;
        Ok(())
    }

    /// Makes a room that this account, of this number, owns; without a configuration it waits for one.
    /// Returns whether there was none of its name. `too_many` makes the error for who has made so many
    /// that it is as many as one may: not for who owns them, since anybody can be made an owner.
    pub(super) async fn make(
        self: &Arc<Rooms>,
        node: &Arc<Node>,
        address: &BareJid,
        (who, account): (BareJid, i64),
        (config, too_many): (Option<Config>, impl FnOnce(u64) -> StanzaError + Send + 'static),
    ) -> Result<bool, StanzaError> {
        let most = node.settings().of::<Limits>().made;
        let name = address.local().unwrap_or_default().to_owned();
        let (domain, key) = (node.domain().id, node.key_of(who.as_str()));
        let (now, rooms, own) = (node.clock.now().0, self.clone(), node.clone());
        let made_at = address.clone();
        let secret = whoelse_stream::token::random::<SECRET>();
        let made = node.keeper.change(Touches::AtMost(4), move |tx| {
            Box::pin(async move {
                let owns = Affiliation::Owner.number();
                // Of an account that was removed nothing is written down any more.
                if own.account_number(tx, &who).await? != Some(account) {
                    return Ok((Err(StanzaError::new(Condition::NotAllowed)), After::new()));
                }
                if tx.count_rooms_made(account).await? >= most {
                    return Ok((Err(too_many(most)), After::new()));
                }
                let Some(row) = tx.create_room(domain, &name, Some(account), b"", &secret).await?
                else {
                    return Ok((Ok(false), After::new()));
                };
                if let Some(config) = config {
                    tx.configure_room(row.id, config.stored(&config.written())).await?;
                }
                let owner = RoomAffiliation { who: key, affiliation: owns, nick: None, since: now };
                tx.set_room_affiliation(row.id, &owner).await?;
                let then: After = vec![Box::new(move |_| rooms.loads.note_change(&made_at))];
                Ok((Ok(true), then))
            })
        });
        made.await.map_err(|error| unstored(&error))?
    }

    /// Ends rooms that have waited too long for their first configuration.
    pub async fn end_locked(node: &Arc<Node>) {
        let now = node.clock.steady();
        for live in Rooms::of(node).all() {
            let is_late = {
                let state = live.state.lock();
                state.room.locked && now.since(state.since) >= LOCKED
            };
            if is_late {
                // The keeper has logged what fails; it is tried again.
                let _ = live.destroy(node, Element::new("destroy"), |room| room.locked).await;
            }
        }
    }

    /// Takes an address out of the lists of all rooms in memory: there is no such account any more.
    pub fn forget(&self, node: &Arc<Node>, who: &BareJid, now: Time) {
        self.loads.note_change_of_all();
        for live in self.all() {
            let _ = live.act(node, |room| ((), room.forget(who, now)));
        }
    }

    /// Takes from an address what it was given in all rooms in memory, while nobody had it.
    pub fn void(&self, node: &Arc<Node>, who: &BareJid) {
        self.loads.note_change_of_all();
        for live in self.all() {
            let _ = live.act(node, |room| (room.void(who), Vec::new()));
        }
    }
}

impl Live {
    fn new(
        rooms: &Arc<Rooms>,
        node: &Node,
        address: BareJid,
        row: RoomRow,
        lists: Vec<RoomAffiliation>,
    ) -> Arc<Live> {
        let mut room = Room::new(address.clone(), Config::read(&row.config), row.secret);
        room.locked = !is_written(&row.config);
        room.subject = row.subject.map(Subject::of);
        room.photos = Photos::of(row.photos.as_deref());
        for RoomAffiliation { who, affiliation, nick, since } in lists {
            let who = BareJid::parse(&node.address_of(&who, ""));
            let is_nobodys = nobodys::is_nobodys(affiliation);
            let affiliation = Affiliation::of_number(nobodys::shown(affiliation));
            if let (Ok(who), Some(affiliation)) = (who, affiliation) {
                let listed = Listed { affiliation, nick, since: Time(since), is_nobodys };
                room.set_listed(who, Some(listed));
            }
        }
        let since = node.clock.steady();
        let state = Mutex::new(State { room, holds_itself: None, going: false, since });
        Arc::new(Live {
            id: row.id,
            archive: row.archive,
            address,
            underway: Underway::default(),
            rooms: Arc::downgrade(rooms),
            state,
        })
    }

    /// Its address.
    pub fn address(&self) -> &BareJid {
        &self.address
    }

    fn is_going(&self) -> bool {
        self.state.lock().going
    }

    // --- what is said ---

    /// Counts something that is said and about to be posted, until what this returns is dropped.
    pub(super) fn begin_saying(self: &Arc<Live>) -> Saying {
        self.underway.begin();
        Saying(self.clone())
    }

    /// Whether something is on its way into the archive.
    pub(super) fn is_saying(&self) -> bool {
        self.underway.is_open()
    }

    /// Waits until everything that is on its way into the archive now is told.
    pub(super) async fn has_said(&self, node: &Node) {
        node.keeper.settled(&self.underway).await;
    }

    /// Does something after everything that is on its way into an archive now is told: at once, if
    /// nothing is.
    pub(super) fn in_turn(
        self: &Arc<Live>,
        node: &Arc<Node>,
        then: impl FnOnce(&Arc<Node>) -> Routed + Send + 'static,
    ) -> Routed {
        if !self.is_saying() {
            return then(node);
        }
        let (node, live) = (node.clone(), self.clone());
        Routed::Waits(Box::pin(async move {
            live.has_said(&node).await;
            if let Routed::Waits(rest) = then(&node) {
                rest.await;
            }
        }))
    }

    /// Looks whether something may still be done, when it is about to be stored: in a room that goes,
    /// nothing may.
    pub(super) fn still<R>(
        &self,
        may: impl FnOnce(&Room) -> Result<R, StanzaError>,
    ) -> Result<R, StanzaError> {
        let state = self.state.lock();
        match state.going {
            true => Err(not_here()),
            false => may(&state.room),
        }
    }

    /// Whether somebody may still speak to all, likewise.
    pub(super) fn may_speak(&self, jid: &FullJid, sets_subject: bool) -> Result<(), StanzaError> {
        self.still(|room| room.may_speak(jid, sets_subject).map(drop))
    }

    /// Tells everybody something that is stored: when, and under which number of the archive.
    pub(super) fn tell_speech(
        self: &Arc<Live>,
        node: &Arc<Node>,
        speech: Speech,
        (at, seq): (Time, Option<i64>),
    ) {
        let id = seq.map(|seq| node.archive_id(self.archive, seq));
        // A room that goes meanwhile has nobody who could hear it.
        let _ =
            self.act(node, |room| ((), vec![room.tell_speech(speech, at, id.as_deref(), true)]));
    }

    /// Looks at the room.
    pub fn look<R>(&self, look: impl FnOnce(&Room) -> R) -> R {
        look(&self.state.lock().room)
    }

    /// Does something in the room, and tells what comes of it.
    pub fn act<R>(
        self: &Arc<Live>,
        node: &Arc<Node>,
        act: impl FnOnce(&mut Room) -> (R, Vec<Told>),
    ) -> Result<R, Gone> {
        let mut state = self.state.lock();
        if state.going {
            return Err(Gone);
        }
        let (result, told) = act(&mut state.room);
        tell(&mut state.room, told);
        let is_empty = state.room.is_empty();
        state.holds_itself = (!is_empty).then(|| self.clone());
        let passes = state.passes();
        drop(state);
        if passes {
            self.go_if_empty(node);
        }
        Ok(result)
    }

    /// 7.14: a room that does not stay goes when the last occupant has left it.
    fn go_if_empty(self: &Arc<Live>, node: &Arc<Node>) {
        let live = self.clone();
        // It is done again if the commit fails that it shares with others.
        let goes = Arc::new(AtomicBool::new(false));
        node.keeper.submit(Touches::AtMost(4), move |tx| {
            let (live, goes) = (live.clone(), goes.clone());
            Box::pin(async move {
                // Somebody may have come meanwhile.
                {
                    let mut state = live.state.lock();
                    if !(state.passes() || goes.load(Ordering::Acquire)) {
                        return Ok(((), After::new()));
                    }
                    state.going = true;
                    goes.store(true, Ordering::Release);
                }
                tx.remove_room(live.id).await?;
                let then: After = vec![Box::new(move |node| live.is_removed(node))];
                Ok(((), then))
            })
        });
    }

    /// 10.9: destroys the room, if `may` says so when it is done, and tells its occupants. Returns
    /// whether it may.
    pub(super) async fn destroy(
        self: &Arc<Live>,
        node: &Arc<Node>,
        word: Element,
        may: impl FnOnce(&Room) -> bool + Send + 'static,
    ) -> Result<bool, StanzaError> {
        let live = self.clone();
        let destroyed = node.keeper.change(Touches::AtMost(4), move |tx| {
            Box::pin(async move {
                if live.is_going() || !live.look(may) {
                    return Ok((false, After::new()));
                }
                tx.remove_room(live.id).await?;
                let then: After = vec![Box::new(move |node| {
                    live.end(&word);
                    live.is_removed(node);
                })];
                Ok((true, then))
            })
        });
        destroyed.await.map_err(|error| unstored(&error))
    }

    /// Tells its occupants that there is no room any more; nobody enters it from then on.
    fn end(&self, word: &Element) {
        let mut state = self.state.lock();
        state.going = true;
        let told = state.room.destroy(word);
        tell(&mut state.room, told);
        let held = state.holds_itself.take();
        drop(state);
        // After the lock, which is the room's own.
        drop(held);
    }

    /// The store has no room any more; what it had goes in pieces.
    fn is_removed(&self, node: &Arc<Node>) {
        self.note_change();
        let node = node.clone();
        tokio::spawn(async move { remove_gone(&node).await });
    }

    /// Notes that something of the room has changed in the store.
    pub(super) fn note_change(&self) {
        if let Some(rooms) = self.rooms.upgrade() {
            rooms.loads.note_change(&self.address);
        }
    }

    /// What it counts as, in bytes, to tell everybody in it something.
    pub fn cost_of_telling(&self) -> u64 {
        self.look(Room::cost_of_telling)
    }

    /// What it counts as, in bytes, to tell everybody in it of everybody.
    pub fn cost_of_meeting(&self) -> u64 {
        let count = self.look(Room::count) as u64;
        BYTES_OF_A_MEETING * count * count
    }

    /// What it counts as, in bytes, that somebody has made the server load it.
    pub fn cost_of_loading(&self) -> u64 {
        cost::CHANGE + BYTES_OF_ONE * self.look(|room| room.lists.len()) as u64
    }
}

impl State {
    /// Whether the room does not stay as it is: nobody is in it, and it was not made to stay.
    fn passes(&self) -> bool {
        let stays = self.room.config.persistent && !self.room.locked;
        self.room.is_empty() && !stays && !self.going
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(rooms) = self.rooms.upgrade() {
            // Whoever has read what was said here, and not put it into memory yet, may have read too
            // little. A room that was only looked at has said nothing: if that counted, those who load
            // rooms at the same time would make each other load them again, for ever.
            if self.underway.was_ever() {
                rooms.loads.note_change(&self.address);
            }
            let mut by_address = rooms.by_address.lock();
            // Another one may have its place.
            if by_address.get(&self.address).is_some_and(|it| it.strong_count() == 0) {
                by_address.remove(&self.address);
            }
        }
    }
}

/// Queues what somebody is told. A seat that has no room for it is lost, and that is told as well.
fn tell(room: &mut Room, told: Vec<Told>) {
    let mut left = VecDeque::from(told);
    while let Some(told) = left.pop_front() {
        let full: Vec<FullJid> = match &told {
            Told::To(seat, stanza) => {
                let is_here = room.has(&seat.jid);
                let is_full = is_here && seat.tell(stanza) == Err(PushRefused::NoRoom);
                is_full.then(|| seat.jid.clone()).into_iter().collect()
            }
            Told::All(stanza) => room
                .all_seats()
                .filter(|seat| seat.tell(stanza) == Err(PushRefused::NoRoom))
                .map(|seat| seat.jid.clone())
                .collect(),
            Told::Last(seat, stanza) => {
                seat.tell_last(stanza);
                Vec::new()
            }
        };
        for jid in full {
            left.extend(room.lose(&jid));
        }
    }
}

/// Removes in pieces what is left of rooms that are gone. What a failure leaves goes the next time.
pub(super) async fn remove_gone(node: &Node) {
    // A row of an archive can take its body along.
    let removed = node.keeper.in_pieces(|tx, most| {
        Box::pin(async move { Ok(2 * tx.remove_gone_rooms(most / 2).await?) })
    });
    // The keeper has logged it.
    let _ = removed.await;
}

/// Removes the rooms in which nobody can be at a start, and that were not made to stay.
pub(super) async fn remove_passing(node: &Node) {
    // Each is a few rows.
    const AT_ONCE: u64 = 100;
    loop {
        let removed = node.keeper.change(Touches::AtMost(4 * AT_ONCE), |tx| {
            Box::pin(async move { Ok((tx.remove_passing_rooms(AT_ONCE).await?, After::new())) })
        });
        // The keeper has logged what fails.
        if removed.await.unwrap_or(0) < AT_ONCE {
            break;
        }
    }
    remove_gone(node).await;
}

/// The address of a room of this name.
pub(super) fn address_of(node: &Node, name: &str) -> Option<BareJid> {
    let service = node.service_address(KEY)?;
    BareJid::new(Some(name), service.domain()).ok()
}

/// What one hears who names a room that is not there.
pub(super) fn no_room(address: &BareJid) -> StanzaError {
    let name = address.local().unwrap_or_default();
    StanzaError::new(Condition::ItemNotFound).with_text(format!("there is no room {name}"))
}

fn too_many(most: u64) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_text(format!(
        "you have made {most} rooms that are still there, which are as many as one may"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use whoelse_core::Clock;
    use whoelse_core::settings::Settings;
    use whoelse_store::{Location, Store};

    use super::*;

    #[tokio::test]
    async fn a_room_is_loaded_again_only_if_something_was_said_in_it_meanwhile() {
        let store = Store::open(&Location::Memory).await.unwrap();
        let clock = Clock::manual(Time(1_767_225_600_000_000));
        let domain = Some("localhost");
        let node = Node::start(Settings::default(), clock, store.clone(), crate::ALL, domain);
        let node = node.await.unwrap();
        let mut tx = store.begin().await.unwrap();
        let lunch = tx.create_room(node.domain().id, "lunch", None, b"", b"secret").await.unwrap();
        tx.commit().await.unwrap();
        let (rooms, address) = (Rooms::of(&node), address_of(&node, "lunch").unwrap());
        let (load, other) = (rooms.loads.begin(&address), address_of(&node, "dinner").unwrap());
        let of_other = rooms.loads.begin(&other);

        let live = rooms.find(&node, &address).await.unwrap().unwrap();
        assert_eq!(live.id, lunch.unwrap().id);
        drop(live);

        assert!(!load.is_old());
        // What was said there may be missing from what others have just read.
        let live = rooms.find(&node, &address).await.unwrap().unwrap();
        drop(live.begin_saying());
        drop(live);
        assert!(load.is_old() && !of_other.is_old());
        drop((load, of_other));
        assert!(rooms.loads.0.lock().is_empty());
        node.stop().await;
    }
}
