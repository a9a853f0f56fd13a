//! What is said in a room (XEP-0045), and what must be true of it.
//!
//! - **What a device hears while it is there is a piece of the archive without a gap** (XEP-0313), in
//!   its order and with its ids, each once. A stay begins when the device is told that it is there, and
//!   ends when it is told that it is not, or with its session.
//! - What was acknowledged is in the archive, once, whatever happened to the server; what was refused
//!   is not.
//! - Who says something is who has said it.
//! - What a moderator has taken back is a tombstone in the end (XEP-0425), and nothing else is.

use std::collections::{HashMap, HashSet};

use whoelse_xmpp::{Kind, Stanza, ns};

/// The room.
pub const ROOM: &str = "talk@conference.localhost";
const MAM: &str = "urn:xmpp:mam:2";
/// Messages of a page of the archive.
const PAGE: usize = 100;

/// What a device knows about what it has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing yet, or its session was lost before it knew.
    Open,
    /// The server has acknowledged it.
    Acknowledged,
    /// The server has answered with an error.
    Refused,
}

#[derive(Debug)]
struct Said {
    account: usize,
    device: usize,
    fate: Fate,
}

/// A message of the archive.
#[derive(Debug, Clone)]
struct Kept {
    id: String,
    /// Which it is; none, if it is a tombstone or a word of the room.
    said: Option<usize>,
    is_tombstone: bool,
}

/// Everything that was said and heard in the room.
#[derive(Debug, Default)]
pub struct Talk {
    said: Vec<Said>,
    /// The ids that a device has heard in each of its stays, by device.
    stays: Vec<(usize, Vec<String>)>,
    /// The present stay of each device that is there.
    here: HashMap<usize, usize>,
    /// What has this id, as somebody has heard it.
    ids: HashMap<String, usize>,
    /// Ids that were to be taken back, and whether that is certain.
    moderated: HashMap<String, bool>,
    moderations: Vec<String>,
    archive: Vec<Kept>,
    is_read: bool,
    disk: bool,
    history: bool,
}

impl Talk {
    /// `disk`: the store may fail. `history`: the room has an archive.
    pub fn new(disk: bool, history: bool) -> Talk {
        Talk { disk, history, ..Talk::default() }
    }

    // --- said ---

    /// Whether a device is in the room, as far as it knows.
    pub fn is_here(&self, device: usize) -> bool {
        self.here.contains_key(&device)
    }

    /// A device says something. Returns its number and the stanza.
    pub fn say(&mut self, account: usize, device: usize) -> (usize, String) {
        let number = self.said.len();
        self.said.push(Said { account, device, fate: Fate::Open });
        let body = format!("<body>r{number}</body>");
        let xml = format!("<message to='{ROOM}' type='groupchat' id='r{number}'>{body}</message>");
        (number, xml)
    }

    /// A moderator takes something back that was heard, perhaps. Returns the request.
    pub fn moderate(&mut self, which: usize) -> Option<String> {
        let mut ids: Vec<&String> = self.ids.keys().collect();
        ids.sort_unstable();
        let id = (*ids.get(which % ids.len().max(1))?).clone();
        self.moderated.entry(id.clone()).or_insert(false);
        self.moderations.push(id.clone());
        let number = self.moderations.len() - 1;
        Some(format!(
            "<iq type='set' id='moderate{number}' to='{ROOM}'>\
             <moderate xmlns='urn:xmpp:message-moderate:1' id='{id}'>\
             <retract xmlns='urn:xmpp:message-retract:1'/></moderate></iq>"
        ))
    }

    /// The request for the next page of the archive, unless all of it is read.
    pub fn next_page(&self) -> Option<String> {
        let after = self.archive.last().map(|kept| format!("<after>{}</after>", kept.id));
        let after = after.unwrap_or_default();
        (self.history && !self.is_read).then(|| {
            format!(
                "<iq type='set' id='archive' to='{ROOM}'><query xmlns='{MAM}'>\
                 <set xmlns='http://jabber.org/protocol/rsm'><max>{PAGE}</max>{after}</set>\
                 </query></iq>"
            )
        })
    }

    /// Records that the server has acknowledged what has this id.
    pub fn acknowledged(&mut self, number: usize) {
        if let Some(said) = self.said.get_mut(number)
            && said.fate == Fate::Open
        {
            said.fate = Fate::Acknowledged;
        }
    }

    /// Records that the server has answered with an error.
    pub fn refused(&mut self, device: usize, id: &str) -> Result<(), String> {
        let number = number(id, "r").ok_or_else(|| format!("`{id}` was never said"))?;
        let said = self.said.get_mut(number).ok_or("an error for nothing")?;
        if said.device != device {
            return Err(format!(
                "device {device} hears that {id} was refused, which is not its own"
            ));
        }
        said.fate = Fate::Refused;
        Ok(())
    }

    /// A device has lost its session, and is not there any more.
    pub fn session_lost(&mut self, device: usize) {
        self.here.remove(&device);
    }

    // --- heard ---

    /// Takes what the room says, or the server of it. Returns whether it was that.
    pub fn heard(&mut self, device: usize, stanza: &Stanza) -> Result<bool, String> {
        let is_rooms = stanza.from().is_some_and(|from| from.split('/').next() == Some(ROOM));
        if !is_rooms {
            return Ok(false);
        }
        match stanza.kind() {
            Kind::Presence => self.stays_or_goes(device, stanza),
            Kind::Message if stanza.type_() == Some("error") => {
                self.refused(device, stanza.id().unwrap_or_default())?;
            }
            Kind::Message if stanza.has("result", MAM) => self.keep(stanza)?,
            Kind::Message => self.told(device, stanza)?,
            _ => self.answered(stanza)?,
        }
        Ok(true)
    }

    fn stays_or_goes(&mut self, device: usize, stanza: &Stanza) {
        let text = String::from_utf8_lossy(stanza.bytes());
        // What concerns oneself.
        if !text.contains("code='110'") || stanza.type_() == Some("error") {
            return;
        }
        // Somebody who takes another nickname is there.
        match stanza.type_() == Some("unavailable") && !text.contains("code='303'") {
            true => {
                self.here.remove(&device);
            }
            false => {
                if !self.here.contains_key(&device) {
                    self.stays.push((device, Vec::new()));
                    self.here.insert(device, self.stays.len() - 1);
                }
            }
        }
    }

    fn told(&mut self, device: usize, stanza: &Stanza) -> Result<(), String> {
        let text = String::from_utf8_lossy(stanza.bytes()).into_owned();
        let body = stanza.child_text("body", ns::CLIENT);
        let id = stanza.child("stanza-id", ns::STANZA_ID);
        let id = id.and_then(|child| stanza.child_attr(child, "id")).map(|id| id.to_string());
        let number = match &body {
            Some(body) => Some(self.author(stanza, body)?),
            None => None,
        };
        let Some(id) = id else {
            return match self.history && body.is_some() {
                true => Err(format!("it is told and in no archive: {text}")),
                false => Ok(()),
            };
        };
        if let Some(number) = number
            && let Some(other) = self.ids.insert(id.clone(), number)
            && other != number
        {
            return Err(format!("r{other} and r{number} have one id: {text}"));
        }
        let stay = self.here.get(&device).and_then(|stay| self.stays.get_mut(*stay));
        let (_, heard) = stay.ok_or_else(|| format!("device {device} is not there: {text}"))?;
        heard.push(id);
        Ok(())
    }

    /// Which message it is, if who says it has said that.
    fn author(&self, stanza: &Stanza, body: &str) -> Result<usize, String> {
        let text = || String::from_utf8_lossy(stanza.bytes()).into_owned();
        let number = number(body, "r").filter(|number| *number < self.said.len());
        let number = number.ok_or_else(|| format!("nobody has said {}", text()))?;
        let said = &self.said[number];
        let nick = stanza.from().and_then(|from| from.split('/').nth(1));
        match nick == Some(nickname(said.account).as_str()) {
            true if said.fate == Fate::Refused => {
                Err(format!("it was refused, and is heard: {}", text()))
            }
            true => Ok(number),
            false => Err(format!("{said:?} is not who said this: {}", text())),
        }
    }

    fn answered(&mut self, stanza: &Stanza) -> Result<(), String> {
        let id = stanza.id().unwrap_or_default();
        let text = String::from_utf8_lossy(stanza.bytes());
        let is_well = stanza.type_() == Some("result");
        if id == "archive" {
            if !is_well {
                return Err(format!("the archive is not read: {text}"));
            }
            self.is_read = text.contains("complete='true'");
        }
        if let Some(number) = number(id, "moderate")
            && let Some(of) = self.moderations.get(number)
        {
            match is_well {
                true => {
                    self.moderated.insert(of.clone(), true);
                }
                // They may not be a moderator there any more, and then they are told so.
                false if self.disk || text.contains("forbidden") => {}
                false => return Err(format!("{of} is not taken back: {text}")),
            }
        }
        Ok(())
    }

    /// Takes a message of the archive.
    fn keep(&mut self, stanza: &Stanza) -> Result<(), String> {
        let text = String::from_utf8_lossy(stanza.bytes()).into_owned();
        let part = |after: &str, end: &str| {
            let (_, rest) = text.split_once(after)?;
            Some(rest.split_once(end)?.0.to_owned())
        };
        let id = stanza.child("result", MAM).and_then(|child| stanza.child_attr(child, "id"));
        let id = id.ok_or_else(|| format!("a result without an id: {text}"))?.to_string();
        let said = part("<body>", "</body>").and_then(|body| number(&body, "r"));
        let is_tombstone = text.contains("<retracted ");
        if said.is_none() && !is_tombstone && !text.contains("<retract ") {
            return Err(format!("what is this? {text}"));
        }
        self.archive.push(Kept { id, said, is_tombstone });
        Ok(())
    }

    // --- what must be true ---

    /// Checks everything, when the archive is read.
    pub fn check(&self) -> Result<(), String> {
        if !self.history {
            return Ok(());
        }
        let places: HashMap<&str, usize> =
            self.archive.iter().enumerate().map(|(place, it)| (it.id.as_str(), place)).collect();
        if places.len() != self.archive.len() {
            return Err("an id stands twice in the archive".to_owned());
        }
        self.check_stays(&places)?;
        let mut kept = HashSet::new();
        for it in &self.archive {
            let known = self.ids.get(&it.id).copied();
            if it.said.is_some() && known.is_some() && it.said != known {
                return Err(format!("{it:?} was heard as r{known:?}"));
            }
            let Some(number) = it.said.or(known) else { continue };
            if !kept.insert(number) {
                return Err(format!("r{number} is twice in the archive"));
            }
            if self.said.get(number).is_none_or(|said| said.fate == Fate::Refused) {
                return Err(format!("r{number} was refused, and is in the archive"));
            }
            match (self.moderated.get(&it.id), it.is_tombstone) {
                (Some(true), false) => {
                    return Err(format!("r{number} was taken back, and is there"));
                }
                (None, true) => return Err(format!("nobody has taken back r{number}")),
                _ => {}
            }
        }
        let lost = self
            .said
            .iter()
            .enumerate()
            .find(|(number, said)| said.fate == Fate::Acknowledged && !kept.contains(number));
        // What nobody has heard and was taken back has no number; nobody takes back such.
        lost.map_or(Ok(()), |(number, said)| {
            Err(format!("r{number} was acknowledged, and is lost: {said:?}"))
        })
    }

    /// What was heard in a stay is a piece of the archive, without a gap.
    fn check_stays(&self, places: &HashMap<&str, usize>) -> Result<(), String> {
        for (device, heard) in &self.stays {
            let mut before: Option<usize> = None;
            for id in heard {
                let place = places.get(id.as_str()).copied();
                let place = place.ok_or_else(|| format!("device {device} has heard {id}, lost"))?;
                if before.is_some_and(|before| place != before + 1) {
                    let missing = before.and_then(|before| self.archive.get(before + 1));
                    return Err(format!(
                        "device {device} was there and heard {id} at {place} after {before:?}, and \
                         not {missing:?}"
                    ));
                }
                before = Some(place);
            }
        }
        Ok(())
    }

    /// Returns how much was said and acknowledged, how often something was heard, and how many
    /// messages were taken back.
    pub fn counts(&self) -> (usize, usize, usize) {
        let said = self.said.iter().filter(|said| said.fate == Fate::Acknowledged).count();
        let heard = self.stays.iter().map(|(_, heard)| heard.len()).sum();
        (said, heard, self.moderated.values().filter(|certain| **certain).count())
    }
}

/// The nickname of an account's devices.
pub fn nickname(account: usize) -> String {
    format!("u{account}")
}

fn number(id: &str, prefix: &str) -> Option<usize> {
    id.strip_prefix(prefix)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stanza(text: &str) -> Stanza {
        Stanza::parse(text.to_owned()).unwrap()
    }

    fn presence(type_: &str) -> Stanza {
        let x = "<x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x>";
        stanza(&format!("<presence from='{ROOM}/u0'{type_}>{x}</presence>"))
    }

    fn live(number: usize) -> Stanza {
        stanza(&format!(
            "<message from='{ROOM}/u0' type='groupchat'><body>r{number}</body>\
             <stanza-id xmlns='urn:xmpp:sid:0' id='i{number}' by='{ROOM}'/></message>"
        ))
    }

    fn kept(number: usize, content: &str) -> Stanza {
        stanza(&format!(
            "<message from='{ROOM}'><result xmlns='{MAM}' id='i{number}'><forwarded><message>\
             {content}</message></forwarded></result></message>"
        ))
    }

    /// Four messages that are acknowledged; device 1 is there.
    fn four() -> Talk {
        let mut talk = Talk::new(false, true);
        for number in 0..4 {
            let _ = talk.say(0, 0);
            talk.acknowledged(number);
        }
        talk.heard(1, &presence("")).unwrap();
        talk
    }

    fn hear(talk: &mut Talk, numbers: &[usize]) {
        numbers.iter().for_each(|number| assert!(talk.heard(1, &live(*number)).unwrap()));
    }

    fn archive(talk: &mut Talk, numbers: &[usize]) {
        for number in numbers {
            talk.heard(1, &kept(*number, &format!("<body>r{number}</body>"))).unwrap();
        }
    }

    #[test]
    fn a_piece_of_the_archive_is_well_and_so_are_two_stays_with_a_gap_between_them() {
        let mut talk = four();
        hear(&mut talk, &[1]);
        talk.heard(1, &presence(" type='unavailable'")).unwrap();
        talk.heard(1, &presence("")).unwrap();
        hear(&mut talk, &[3]);
        archive(&mut talk, &[0, 1, 2, 3]);

        talk.check().unwrap();
        assert_eq!(talk.counts(), (4, 2, 0));
    }

    #[test]
    fn a_gap_disorder_and_what_is_heard_twice_are_seen() {
        for numbers in [&[0, 2][..], &[1, 0], &[1, 1]] {
            let mut talk = four();
            hear(&mut talk, numbers);
            archive(&mut talk, &[0, 1, 2, 3]);

            assert!(talk.check().unwrap_err().contains("was there"), "{numbers:?}");
        }
    }

    #[test]
    fn what_was_acknowledged_or_heard_and_is_in_no_archive_is_seen() {
        let mut talk = four();
        archive(&mut talk, &[0, 1, 3]);
        assert!(talk.check().unwrap_err().contains("r2 was acknowledged"));

        let mut talk = four();
        hear(&mut talk, &[2]);
        archive(&mut talk, &[0, 1, 3]);
        assert!(talk.check().unwrap_err().contains("lost"));
    }

    #[test]
    fn what_was_refused_must_be_nowhere_and_nothing_twice() {
        let mut talk = four();
        talk.refused(0, "r1").unwrap();
        assert!(talk.heard(1, &live(1)).is_err());
        archive(&mut talk, &[0, 1, 2, 3]);
        assert!(talk.check().unwrap_err().contains("refused"));

        let mut talk = four();
        archive(&mut talk, &[0, 1, 2, 3]);
        talk.heard(1, &kept(9, "<body>r3</body>")).unwrap();
        assert!(talk.check().unwrap_err().contains("twice"));
    }

    #[test]
    fn who_is_not_there_hears_nothing_and_nobody_speaks_for_another() {
        let mut talk = four();
        assert!(talk.heard(2, &live(0)).is_err());
        talk.session_lost(1);
        assert!(talk.heard(1, &live(0)).is_err());

        let mut talk = four();
        let forged = live(0);
        let forged = String::from_utf8_lossy(forged.bytes()).replace("/u0", "/u1");
        assert!(talk.heard(1, &stanza(&forged)).unwrap_err().contains("not who"));
    }

    #[test]
    fn what_was_taken_back_is_a_tombstone_and_nothing_else_is() {
        let stone = "<retracted xmlns='urn:xmpp:message-retract:1'/>";
        let taken = |tombstone: usize| {
            let mut talk = four();
            hear(&mut talk, &[0, 1]);
            let request = talk.moderate(1).unwrap();
            assert!(request.contains("id='i1'"), "{request}");
            talk.heard(1, &stanza(&format!("<iq type='result' id='moderate0' from='{ROOM}'/>")))
                .unwrap();
            for number in 0..4 {
                let content = match number == tombstone {
                    true => stone.to_owned(),
                    false => format!("<body>r{number}</body>"),
                };
                talk.heard(1, &kept(number, &content)).unwrap();
            }
            talk.check()
        };

        taken(1).unwrap();
        assert!(taken(0).unwrap_err().contains("nobody has taken back r0"));
        assert!(taken(9).unwrap_err().contains("was taken back"));
    }
}
