//! Presence for which a session had no room: the newest of each device, until there is room; and
//! whose presence, whose events, and what of the roster is to be looked up and told anew, beyond
//! that.

use std::collections::{BTreeMap, BTreeSet};

use whoelse_xmpp::{BareJid, Jid, Outgoing, Stanza};

use super::Queued;

/// The most senders that are noted by name; beyond, what everybody says is told anew.
const NOTED: usize = 1_000;

/// What is to be told anew to a session, when it has room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Anew {
    /// Whose presence.
    pub whose: Whose,
    /// Whose events.
    pub events_of: Whose,
    /// The requests to see the owner from this address on, by address.
    pub requests_from: Option<BareJid>,
    /// Who no longer asks, as far as is noted.
    pub withdrawn: BTreeSet<BareJid>,
}

/// Whose presence, or whose events, are to be told anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// Theirs.
    These(BTreeSet<BareJid>),
    /// Those of everybody whom the session sees.
    Everybody,
}

impl Default for Whose {
    fn default() -> Whose {
        Whose::These(BTreeSet::new())
    }
}

impl Whose {
    /// Whether it is nobody.
    pub fn is_nobodys(&self) -> bool {
        matches!(self, Whose::These(these) if these.is_empty())
    }

    fn note(&mut self, who: BareJid) {
        if let Whose::These(these) = self {
            these.insert(who);
            if these.len() > NOTED {
                *self = Whose::Everybody;
            }
        }
    }

    /// Whether they are among them.
    pub fn has(&self, who: &BareJid) -> bool {
        match self {
            Whose::These(these) => these.contains(who),
            Whose::Everybody => true,
        }
    }

    /// Adds others.
    pub fn add(&mut self, more: Whose) {
        match more {
            Whose::Everybody => *self = Whose::Everybody,
            Whose::These(these) => these.into_iter().for_each(|who| self.note(who)),
        }
    }
}

impl Anew {
    fn is_nothing(&self) -> bool {
        self.is_nothing_but_events() && self.events_of.is_nobodys()
    }

    fn is_nothing_but_events(&self) -> bool {
        self.requests_from.is_none() && self.withdrawn.is_empty() && self.whose.is_nobodys()
    }

    /// Adds what else is to be told.
    pub fn add(&mut self, more: Anew) {
        self.whose.add(more.whose);
        self.events_of.add(more.events_of);
        if let Some(from) = more.requests_from {
            self.note_request(from);
        }
        more.withdrawn.into_iter().for_each(|who| self.note_withdrawal(who));
    }

    /// Beyond a thousand it is not told: the client may show a request that nobody makes any more.
    fn note_withdrawal(&mut self, who: BareJid) {
        if self.withdrawn.len() < NOTED {
            self.withdrawn.insert(who);
        }
    }

    fn note_request(&mut self, from: BareJid) {
        if self.requests_from.as_ref().is_none_or(|first| from < *first) {
            self.requests_from = Some(from);
        }
    }
}

/// What is late.
pub(super) struct Late {
    /// The most bytes of presence that are kept.
    most: usize,
    /// The newest presence of each device, and before those what is said of the account.
    newest: BTreeMap<Jid, Queued>,
    bytes: usize,
    anew: Anew,
    /// Whether somebody has been asked to tell it anew.
    is_asked: bool,
    /// The version of the roster after which nothing was pushed. What changes is not pushed then,
    /// so that no version comes before an older one.
    roster_after: Option<i64>,
    /// Whether somebody tells what the roster has after it.
    roster_is_told: bool,
}

impl Late {
    pub fn new(most: usize) -> Late {
        let (newest, anew) = (BTreeMap::new(), Anew::default());
        let (roster_after, roster_is_told) = (None, false);
        Late { most, newest, bytes: 0, anew, is_asked: false, roster_after, roster_is_told }
    }

    /// The bytes of the presence that is kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether any presence is late: what comes now must not overtake it.
    pub fn has_presence(&self) -> bool {
        !self.newest.is_empty()
    }

    /// Keeps a presence in place of an older one of the same device. If there is no room here
    /// either, its sender is only noted.
    pub fn put(&mut self, item: Queued) {
        let Some(from) = sender_of(&item.stanza) else { return };
        let who = from.to_bare();
        if self.anew.whose.has(&who) {
            return;
        }
        match from.resource() {
            Some(_) => self.remove(&from),
            None => self.remove_all_of(&who),
        }
        let bytes = item.len() + from.as_str().len();
        if self.bytes + bytes <= self.most {
            self.bytes += bytes;
            self.newest.insert(from, item);
            return;
        }
        self.remove_all_of(&who);
        self.anew.whose.note(who);
    }

    /// Notes that an event could not be told.
    pub fn miss_event(&mut self, event: &Outgoing) {
        if let Some(from) = sender_of(event) {
            self.anew.events_of.note(from.to_bare());
        }
    }

    fn remove_all_of(&mut self, who: &BareJid) {
        let from_there = self.newest.range(Jid::from(who.clone())..).map(|(device, _)| device);
        let near = from_there.take_while(|device| device.as_str().starts_with(who.as_str()));
        let devices: Vec<Jid> =
            near.filter(|device| device.bare() == who.as_str()).cloned().collect();
        devices.iter().for_each(|device| self.remove(device));
    }

    fn remove(&mut self, from: &Jid) {
        if let Some(item) = self.newest.remove(from) {
            self.bytes -= item.len() + from.as_str().len();
        }
    }

    /// Takes the presence that is kept, to be queued now.
    pub fn take_presence(&mut self) -> impl Iterator<Item = Queued> {
        self.bytes = 0;
        std::mem::take(&mut self.newest).into_values()
    }

    /// Notes a request to see the owner that could not be told.
    pub fn note_request(&mut self, from: BareJid) {
        self.anew.note_request(from);
    }

    /// Notes that the word by which somebody no longer asks could not be told.
    pub fn note_withdrawal(&mut self, who: BareJid) {
        self.anew.note_withdrawal(who);
    }

    /// Adds what is to be told anew.
    pub fn add(&mut self, more: Anew) {
        self.anew.add(more);
    }

    /// Forgets presence, events, and who asks: all are told when the session is available again. The
    /// roster is pushed to it all the same.
    pub fn forget_presence(&mut self) {
        (self.newest, self.bytes) = (BTreeMap::new(), 0);
        let withdrawn = std::mem::take(&mut self.anew.withdrawn);
        self.anew = Anew { withdrawn, ..Anew::default() };
    }

    /// Notes that no change of the roster was pushed after this version. Returns whether all were
    /// until now.
    pub fn miss_roster(&mut self, after: i64) -> bool {
        let is_first = self.roster_after.is_none();
        self.roster_after.get_or_insert(after);
        is_first
    }

    /// Notes that the roster was told up to this version, or all of it.
    pub fn has_roster(&mut self, after: Option<i64>) {
        self.roster_after = after;
        self.roster_is_told &= after.is_some();
    }

    /// The version after which no change of the roster was pushed.
    pub fn roster_after(&self) -> Option<i64> {
        self.roster_after
    }

    /// Whether the caller is to tell what the roster has after it: nobody else does.
    pub fn begin_roster(&mut self) -> bool {
        self.roster_after.is_some() && !std::mem::replace(&mut self.roster_is_told, true)
    }

    /// Notes that nobody tells it any more.
    pub fn leave_roster(&mut self) {
        self.roster_is_told = false;
    }

    /// Whether something is to be told anew for which there is room, and nobody was asked yet.
    pub fn ask(&mut self, room_for_events: bool) -> bool {
        let misses_roster = self.roster_after.is_some() && !self.roster_is_told;
        let misses_events = room_for_events && !self.anew.events_of.is_nobodys();
        let misses = misses_roster || misses_events || !self.anew.is_nothing_but_events();
        misses && !std::mem::replace(&mut self.is_asked, true)
    }

    /// Notes that whoever was asked is gone.
    pub fn forget_asking(&mut self) {
        self.is_asked = false;
    }

    /// Takes what is to be told anew; more may be asked for from now on.
    pub fn take_anew(&mut self) -> Anew {
        self.is_asked = false;
        std::mem::take(&mut self.anew)
    }

    /// Whether nothing is late.
    pub fn is_empty(&self) -> bool {
        self.newest.is_empty()
            && self.anew.is_nothing()
            && !self.is_asked
            && self.roster_after.is_none()
    }
}

/// Whose presence or event this is. Only what is late is read again.
fn sender_of(late: &Outgoing) -> Option<Jid> {
    let stanza = Stanza::parse(late.bytes.clone()).ok()?;
    Jid::parse(stanza.from()?).ok()
}
