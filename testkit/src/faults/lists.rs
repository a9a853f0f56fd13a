//! The lists that accounts publish of their devices (XEP-0060, XEP-0163), and what must be true of
//! them: without one, an encrypted chat ends without a word.
//!
//! - A list is read as somebody has published it, never a mixture of two, and never nothing once one
//!   was accepted.
//! - It is not an older one: what was settled before another was published, and accepted, is read no
//!   more after that.
//! - A list that was refused is not read; without a failing disk none is refused.
//! - What a device was told last of its own account, if it wants to be told (XEP-0115), is what is read
//!   in the end; with rosters, of each contact, too. (Where everybody sees everybody, nobody is told of
//!   those who are not online.)

use std::collections::HashMap;

use whoelse_xmpp::{Kind, Stanza};

const NODE: &str = "eu.siacs.conversations.axolotl.devicelist";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const EVENT: &str = "http://jabber.org/protocol/pubsub#event";

/// What a device says about itself in its presence, and what it answers who asks (XEP-0115): it wants
/// to be told of the list.
pub const CAPABILITIES: &str = "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
    node='urn:device' ver='Osc8kqmG67jXgPVAqGcNkvG2gaI='/>";
pub const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info' \
    node='urn:device#Osc8kqmG67jXgPVAqGcNkvG2gaI='><identity category='client' type='pc' \
    name='device'/><feature var='eu.siacs.conversations.axolotl.devicelist+notify'/>\
    <feature var='http://jabber.org/protocol/caps'/>\
    <feature var='http://jabber.org/protocol/disco#info'/></query>";

/// What a device knows about a list that it has published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing yet.
    Underway,
    /// The server has answered that it is there.
    Accepted,
    /// The server has answered with an error.
    Refused,
    /// The session was lost before an answer: it may be there or not.
    Unknown,
}

#[derive(Debug)]
struct List {
    account: usize,
    device: usize,
    fate: Fate,
    /// When it was said, and when its fate was settled.
    said: usize,
    settled: Option<usize>,
}

#[derive(Debug)]
struct Look {
    account: usize,
    device: usize,
    said: usize,
    is_over: bool,
    /// What was read.
    found: Option<usize>,
}

/// Everything that was published and read.
#[derive(Debug, Default)]
pub struct Lists {
    lists: Vec<List>,
    looks: Vec<Look>,
    /// What each device was told last in its session of each account.
    told: HashMap<(usize, usize), usize>,
    /// How often somebody was told.
    events: usize,
    /// What has happened so far, counted: the order of everything that is compared here.
    moments: usize,
    disk: bool,
}

impl Lists {
    /// `disk`: the store may fail.
    pub fn new(disk: bool) -> Lists {
        Lists { disk, ..Lists::default() }
    }

    fn moment(&mut self) -> usize {
        self.moments += 1;
        self.moments
    }

    // --- said ---

    /// A device publishes a new list of its account. Returns the request.
    pub fn publish(&mut self, account: usize, device: usize) -> String {
        let (number, said) = (self.lists.len(), self.moment());
        let fate = Fate::Underway;
        self.lists.push(List { account, device, fate, said, settled: None });
        let devices: Vec<String> =
            devices(number).map(|id| format!("<device id='{id}'/>")).collect();
        format!(
            "<iq type='set' id='list{number}'><pubsub xmlns='{PUBSUB}'><publish node='{NODE}'>\
             <item id='current'><list xmlns='eu.siacs.conversations.axolotl'>{}</list></item>\
             </publish></pubsub></iq>",
            devices.concat()
        )
    }

    /// A device asks for the list of its account. Returns the request.
    pub fn look(&mut self, account: usize, device: usize) -> String {
        let (number, said) = (self.looks.len(), self.moment());
        self.looks.push(Look { account, device, said, is_over: false, found: None });
        format!(
            "<iq type='get' id='look{number}'><pubsub xmlns='{PUBSUB}'><items node='{NODE}'/>\
             </pubsub></iq>"
        )
    }

    /// A device has lost its session: what was not answered will not be.
    pub fn session_lost(&mut self, device: usize) {
        let now = self.moment();
        self.told.retain(|(of, _), _| *of != device);
        for list in self.lists.iter_mut().filter(|list| list.device == device) {
            if list.fate == Fate::Underway {
                (list.fate, list.settled) = (Fate::Unknown, Some(now));
            }
        }
        self.looks.iter_mut().filter(|look| look.device == device).for_each(|it| it.is_over = true);
    }

    // --- heard ---

    /// Takes an answer, if it is one to a request of these.
    pub fn answered(&mut self, stanza: &Stanza) -> Result<(), String> {
        let id = stanza.id().unwrap_or_default();
        let is_well = stanza.type_() == Some("result");
        let number = |prefix: &str| id.strip_prefix(prefix)?.parse::<usize>().ok();
        if stanza.kind() != Kind::Iq {
            return Ok(());
        }
        if let Some(number) = number("list") {
            return self.settled(number, is_well, stanza);
        }
        match number("look") {
            Some(number) => self.read(number, is_well, &String::from_utf8_lossy(stanza.bytes())),
            None => Ok(()),
        }
    }

    /// Takes a message to a device, if it is an event.
    pub fn told(&mut self, device: usize, message: &Stanza) -> Result<(), String> {
        if !message.has("event", EVENT) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(message.bytes());
        let whose = message.from().and_then(|from| from.strip_prefix("user")?.split('@').next());
        let account = whose.and_then(|number| number.parse().ok());
        let account = account.ok_or_else(|| format!("whose event is this? {text}"))?;
        let found = self.find(account, &text)?;
        let found = found.ok_or_else(|| format!("an event without a list: {text}"))?;
        if self.lists.get(found).is_some_and(|list| list.fate == Fate::Refused) {
            return Err(format!("list {found} was refused, and is told"));
        }
        self.events += 1;
        self.told.insert((device, account), found);
        Ok(())
    }

    fn settled(&mut self, number: usize, is_well: bool, stanza: &Stanza) -> Result<(), String> {
        if !is_well && !self.disk {
            let said = String::from_utf8_lossy(stanza.bytes());
            return Err(format!("list {number} was refused, and the disk is well: {said}"));
        }
        let now = self.moment();
        let list = self.lists.get_mut(number).ok_or("an answer to nothing")?;
        list.fate = if is_well { Fate::Accepted } else { Fate::Refused };
        list.settled = Some(now);
        Ok(())
    }

    fn read(&mut self, number: usize, is_well: bool, answer: &str) -> Result<(), String> {
        self.moment();
        let look = self.looks.get_mut(number).ok_or("an answer to nothing")?;
        look.is_over = true;
        let (account, said) = (look.account, look.said);
        let was_accepted = |list: &&List| {
            list.account == account
                && list.fate == Fate::Accepted
                && list.settled.is_some_and(|settled| settled < said)
        };
        if !is_well && answer.contains("resource-constraint") | answer.contains("internal") {
            return match self.disk {
                true => Ok(()),
                false => Err(format!("the list is not read, and the disk is well: {answer}")),
            };
        }
        let Some(found) = self.find(account, answer)? else {
            return match self.lists.iter().find(was_accepted) {
                Some(list) => Err(format!("no list is read, after {list:?}: {answer}")),
                None => Ok(()),
            };
        };
        if let Some(look) = self.looks.get_mut(number) {
            look.found = Some(found);
        }
        let list = &self.lists[found];
        if list.fate == Fate::Refused {
            return Err(format!("list {found} was refused, and is read"));
        }
        let newer =
            |it: &&List| was_accepted(it) && list.settled.is_some_and(|settled| settled < it.said);
        match self.lists.iter().find(newer) {
            Some(newer) => Err(format!("{list:?} is read after {newer:?}")),
            None => Ok(()),
        }
    }

    /// Returns the list that is in an answer, if there is one.
    fn find(&self, account: usize, answer: &str) -> Result<Option<usize>, String> {
        let ids = answer.split("<device ").skip(1).map(|rest| {
            let id = rest.split(['\'', '"']).nth(1).unwrap_or_default();
            id.parse::<usize>().map_err(|_| format!("what is this device? {answer}"))
        });
        let ids = ids.collect::<Result<Vec<usize>, String>>()?;
        let Some(first) = ids.first() else { return Ok(None) };
        let number = first / MOST_DEVICES;
        let is_own = self.lists.get(number).is_some_and(|list| list.account == account);
        match is_own && devices(number).eq(ids.iter().copied()) {
            true => Ok(Some(number)),
            false => Err(format!("nobody of user{account} has published {answer}")),
        }
    }

    /// Checks that a device was told last what is read now at an account, at which somebody has just
    /// looked.
    pub fn check_told(&self, device: usize, account: usize) -> Result<(), String> {
        let look = self.looks.iter().rfind(|look| look.account == account);
        let (read, told) = (look.and_then(|look| look.found), self.told.get(&(device, account)));
        match read == told.copied() {
            true => Ok(()),
            false => Err(format!(
                "of user{account} list {read:?} is read, and device {device} was told {told:?}"
            )),
        }
    }

    /// Returns how many lists were accepted, how many answers were read, and how often somebody was
    /// told.
    pub fn counts(&self) -> (usize, usize, usize) {
        let accepted = self.lists.iter().filter(|list| list.fate == Fate::Accepted).count();
        let read = self.looks.iter().filter(|look| look.is_over).count();
        (accepted, read, self.events)
    }

    /// Whether every question of a device was answered, as far as it can be.
    pub fn is_quiet(&self) -> bool {
        self.looks.iter().all(|look| look.is_over)
            && self.lists.iter().all(|list| list.fate != Fate::Underway)
    }
}

const MOST_DEVICES: usize = 10;

/// Returns the devices of a list: another number of others in each.
fn devices(list: usize) -> impl Iterator<Item = usize> {
    (0..1 + list % 4).map(move |device| list * MOST_DEVICES + device)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn answer(xml: &str) -> Stanza {
        Stanza::parse(xml.to_owned()).unwrap()
    }

    fn accepted(number: usize) -> Stanza {
        answer(&format!("<iq xmlns='jabber:client' type='result' id='list{number}'/>"))
    }

    /// The answer to a look, with the devices of these lists.
    fn shows(look: usize, lists: &[usize]) -> Stanza {
        let ids = lists.iter().flat_map(|list| devices(*list));
        let ids: Vec<String> = ids.map(|id| format!("<device id='{id}'/>")).collect();
        answer(&format!(
            "<iq xmlns='jabber:client' type='result' id='look{look}'><list>{}</list></iq>",
            ids.concat()
        ))
    }

    /// Two lists, of which the first was accepted before the second was said, and a look after that.
    fn two() -> Lists {
        let mut lists = Lists::new(false);
        lists.publish(0, 0);
        lists.answered(&accepted(0)).unwrap();
        lists.publish(0, 1);
        lists.look(0, 0);
        lists
    }

    #[test]
    fn while_a_list_is_not_answered_the_old_or_the_new_one_is_read() {
        for read in [0, 1] {
            two().answered(&shows(0, &[read])).unwrap();
        }
    }

    #[test]
    fn nothing_a_mixture_and_what_nobody_has_published_are_seen() {
        for read in [&[][..], &[0, 1], &[2]] {
            assert!(two().answered(&shows(0, read)).is_err(), "{read:?}");
        }
    }

    #[test]
    fn what_was_replaced_is_not_read_any_more() {
        let mut lists = two();
        lists.answered(&accepted(1)).unwrap();
        lists.look(0, 0);

        // It was asked for before the second was accepted.
        lists.answered(&shows(0, &[0])).unwrap();
        assert!(lists.answered(&shows(1, &[0])).is_err());
    }

    #[test]
    fn a_list_whose_session_was_lost_may_be_read_or_not_until_the_next_is_accepted() {
        let mut lists = two();
        lists.session_lost(1);
        for read in [0, 1] {
            let look = lists.looks.len();
            lists.look(0, 0);
            lists.answered(&shows(look, &[read])).unwrap();
        }
        lists.publish(0, 0);
        lists.answered(&accepted(2)).unwrap();
        lists.look(0, 0);
        let look = lists.looks.len() - 1;

        assert!(lists.answered(&shows(look, &[1])).is_err());
    }

    #[test]
    fn a_device_that_was_told_of_another_list_than_the_last_is_seen() {
        let event = |account: usize, list: usize| {
            let devices: Vec<String> =
                devices(list).map(|id| format!("<device id='{id}'/>")).collect();
            answer(&format!(
                "<message xmlns='jabber:client' from='user{account}@localhost'>\
                 <event xmlns='{EVENT}'>{}</event></message>",
                devices.concat()
            ))
        };
        let mut lists = two();
        lists.told(0, &event(0, 0)).unwrap();
        lists.answered(&shows(0, &[1])).unwrap();

        assert!(lists.check_told(0, 0).is_err());
        lists.told(0, &event(0, 1)).unwrap();
        lists.check_told(0, 0).unwrap();
        lists.check_told(0, 1).unwrap();
        assert!(lists.check_told(1, 0).is_err());
        lists.session_lost(0);
        assert!(lists.check_told(0, 0).is_err());
        assert!(lists.told(0, &event(1, 1)).is_err(), "it is of another account");
    }

    #[test]
    fn without_a_failing_disk_no_list_is_refused_and_a_refused_one_is_never_read() {
        let refused = "<iq xmlns='jabber:client' type='error' id='list1'/>";
        assert!(two().answered(&answer(refused)).is_err());
        let mut lists = two();
        lists.disk = true;
        lists.answered(&answer(refused)).unwrap();

        assert!(lists.answered(&shows(0, &[1])).is_err());
    }
}
