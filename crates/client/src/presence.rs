//! RFC 6121, 4, for a client: who is online, and when somebody's first device comes online or last
//! one goes offline.
//!
//! A person with three devices comes and goes once. After a login the server first sends who is
//! there already; nothing of that is an event until [`PresenceMap::settled`].

use std::collections::{BTreeMap, BTreeSet};

use whoelse_xmpp::{BareJid, FullJid, Jid, Kind, Stanza};

use crate::events::Event;

/// Devices that are tracked, over all people. Further ones are ignored.
const MAX_DEVICES: usize = 200_000;

/// Somebody came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The first device came online.
    Came(BareJid),
    /// The last device went offline.
    Went(BareJid),
}

/// Who is online, as far as this session sees.
#[derive(Debug)]
pub struct PresenceMap {
    me: BareJid,
    devices: BTreeMap<BareJid, BTreeSet<String>>,
    count: usize,
    /// While the server sends the initial presences, there are no events.
    settling: bool,
    /// Who was online in the previous session, if there was one.
    before: Option<BTreeSet<BareJid>>,
}

impl PresenceMap {
    /// Makes an empty map for the account `me`, whose own devices cause no events. It is settling.
    pub fn new(me: BareJid) -> PresenceMap {
        PresenceMap { me, devices: BTreeMap::new(), count: 0, settling: true, before: None }
    }

    /// Starts anew for a new session; remembers who was online for comparison.
    pub fn restart(&mut self) {
        let there = std::mem::take(&mut self.devices).into_keys();
        if self.settling {
            // The previous session ended while settling: the state before it counts.
            if let Some(before) = &mut self.before {
                before.extend(there);
            }
        } else {
            self.before = Some(there.collect());
        }
        self.count = 0;
        self.settling = true;
    }

    /// Renames people, including the own account.
    pub fn rename(&mut self, called: impl Fn(&BareJid) -> BareJid) {
        self.me = called(&self.me);
        let devices = std::mem::take(&mut self.devices).into_iter();
        self.devices = devices.map(|(who, there)| (called(&who), there)).collect();
        let before = self.before.take();
        self.before = before.map(|there| there.iter().map(called).collect());
    }

    /// Returns whether somebody is online, as far as is known.
    pub fn is_online(&self, who: &BareJid) -> bool {
        self.devices.contains_key(who)
    }

    /// Returns the devices of somebody that are online, as far as is known.
    pub fn devices(&self, who: &BareJid) -> Vec<FullJid> {
        let devices = self.devices.get(who).into_iter().flatten();
        devices.filter_map(|resource| who.with_resource(resource).ok()).collect()
    }

    /// Takes a presence stanza. Anything but "available" and "unavailable" changes nothing.
    pub fn handle(&mut self, stanza: &Stanza) -> Option<Change> {
        if stanza.kind() != Kind::Presence {
            return None;
        }
        let from = Jid::parse(stanza.from()?).ok()?;
        match stanza.type_() {
            None => self.available(&from),
            Some("unavailable") => self.unavailable(&from),
            Some(_) => None,
        }
    }

    /// Ends settling: from now on changes are events. Returns what changed since the previous
    /// session, if there was one.
    pub fn settled(&mut self) -> Vec<Change> {
        self.settling = false;
        let Some(before) = self.before.take() else { return Vec::new() };
        let gone = before.iter().filter(|who| !self.devices.contains_key(*who));
        let came = self.devices.keys().filter(|who| !before.contains(*who));
        gone.cloned().map(Change::Went).chain(came.cloned().map(Change::Came)).collect()
    }

    fn available(&mut self, from: &Jid) -> Option<Change> {
        let who = from.to_bare();
        if who == self.me || who.local().is_none() || self.count >= MAX_DEVICES {
            return None;
        }
        let devices = self.devices.entry(who.clone()).or_default();
        let first = devices.is_empty();
        if devices.insert(from.resource().unwrap_or_default().to_owned()) {
            self.count += 1;
        }
        (first && !self.settling).then_some(Change::Came(who))
    }

    fn unavailable(&mut self, from: &Jid) -> Option<Change> {
        let who = from.to_bare();
        let devices = self.devices.get_mut(&who)?;
        match from.resource() {
            Some(resource) => {
                if devices.remove(resource) {
                    self.count -= 1;
                }
            }
            // Without a resource it is for the whole account.
            None => {
                self.count -= devices.len();
                devices.clear();
            }
        }
        if !devices.is_empty() {
            return None;
        }
        self.devices.remove(&who);
        (!self.settling).then_some(Change::Went(who))
    }
}

impl From<Change> for Event {
    fn from(change: Change) -> Event {
        match change {
            Change::Came(who) => Event::CameOnline(who),
            Change::Went(who) => Event::WentOffline(who),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn bare(text: &str) -> BareJid {
        BareJid::parse(text).unwrap()
    }

    fn stanza(xml: &'static str) -> Stanza {
        Stanza::parse(xml.as_bytes()).unwrap()
    }

    fn settled() -> PresenceMap {
        let mut book = PresenceMap::new(bare("me@a.example"));
        book.settled();
        book
    }

    #[test]
    fn the_first_device_comes_and_the_last_one_goes() {
        let mut book = settled();

        let changes = [
            "<presence from='bob@a.example/desk'/>",
            "<presence from='bob@a.example/phone'/>",
            "<presence from='bob@a.example/phone'><show>away</show></presence>",
            "<presence from='bob@a.example/desk' type='unavailable'/>",
            "<presence from='bob@a.example/phone' type='unavailable'/>",
            "<presence from='bob@a.example/phone' type='unavailable'/>",
        ]
        .map(|xml| book.handle(&stanza(xml)));

        let bob = bare("bob@a.example");
        let expected =
            [Some(Change::Came(bob.clone())), None, None, None, Some(Change::Went(bob)), None];
        assert_eq!(changes, expected);
    }

    #[test]
    fn my_own_devices_are_no_news() {
        let mut book = settled();

        assert_eq!(book.handle(&stanza("<presence from='me@a.example/phone'/>")), None);
        let gone = stanza("<presence from='me@a.example/phone' type='unavailable'/>");
        assert_eq!(book.handle(&gone), None);
    }

    #[test]
    fn who_is_there_at_login_is_no_news_but_going_is() {
        let mut book = PresenceMap::new(bare("me@a.example"));

        assert_eq!(book.handle(&stanza("<presence from='bob@a.example/x'/>")), None);
        assert_eq!(book.settled(), []);

        let gone = stanza("<presence from='bob@a.example/x' type='unavailable'/>");
        assert_eq!(book.handle(&gone), Some(Change::Went(bare("bob@a.example"))));
    }

    #[test]
    fn after_a_new_session_the_difference_to_the_one_before_is_told() {
        let mut book = settled();
        book.handle(&stanza("<presence from='bob@a.example/x'/>"));
        book.handle(&stanza("<presence from='carol@a.example/x'/>"));

        book.restart();
        assert_eq!(book.handle(&stanza("<presence from='carol@a.example/y'/>")), None);
        assert_eq!(book.handle(&stanza("<presence from='dave@a.example/y'/>")), None);

        let changes = [Change::Went(bare("bob@a.example")), Change::Came(bare("dave@a.example"))];
        assert_eq!(book.settled(), changes);
    }

    #[test]
    fn two_losses_in_a_row_forget_nobody() {
        let mut book = settled();
        book.handle(&stanza("<presence from='bob@a.example/x'/>"));

        book.restart();
        book.restart();

        assert_eq!(book.settled(), [Change::Went(bare("bob@a.example"))]);
    }

    #[test]
    fn an_address_without_a_resource_speaks_for_all_devices() {
        let mut book = settled();
        book.handle(&stanza("<presence from='bob@a.example/x'/>"));
        book.handle(&stanza("<presence from='bob@a.example/y'/>"));

        let gone = stanza("<presence from='bob@a.example' type='unavailable'/>");

        assert_eq!(book.handle(&gone), Some(Change::Went(bare("bob@a.example"))));
    }

    #[test]
    fn subscriptions_errors_and_nonsense_change_nothing() {
        let mut book = settled();

        for xml in [
            "<presence from='bob@a.example' type='subscribe'/>",
            "<presence from='bob@a.example/x' type='error'/>",
            "<presence from='@@@'/>",
            "<presence/>",
            "<presence from='a.example'/>",
            "<message from='bob@a.example/x'/>",
        ] {
            assert_eq!(book.handle(&stanza(xml)), None, "{xml}");
        }
    }
}
