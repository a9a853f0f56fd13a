//! What the commands of rooms share: how rooms and people in them are named on a line, and what is said
//! when a room refuses.

use whoelse_client::RequestError;
use whoelse_client::rooms::{NotEntered, NotSaid, Occupant, RoomView};
use whoelse_xmpp::{BareJid, nickname};

use super::{Args, Fault, Seat};
use crate::say::condition;
use crate::say::fold::quoted;
use crate::say::room::{self, Deed};

impl Seat<'_> {
    /// Returns a room: `#lunch` or `lunch` of the own server, or a whole address.
    pub async fn room(&self, typed: &str) -> Result<BareJid, Fault> {
        // Without a session nobody says where rooms are, however long it is waited for.
        self.me()?;
        let not_a_room = || {
            let words = format!("{} is not a room; rooms are typed as #lunch", quoted(typed));
            Fault::say("bad-room", words)
        };
        let name = typed.strip_prefix('#').unwrap_or(typed);
        let address = match name.contains('@') {
            true => BareJid::parse(name),
            false => match self.rooms.service().await.map_err(|why| Fault::of(why, None))? {
                Some(service) => BareJid::new(Some(name), &service),
                None => return Err(Fault::say("no-rooms", "this server has no rooms")),
            },
        };
        let address = address.map_err(|_| not_a_room())?;
        if address.local().is_some() { Ok(address) } else { Err(not_a_room()) }
    }

    /// Returns a room where people can be meant, too: `#lunch`, or an address where rooms are.
    pub async fn room_among_people(&self, typed: &str) -> Result<Option<BareJid>, Fault> {
        if typed.starts_with('#') {
            return self.room(typed).await.map(Some);
        }
        let address = Some(typed).filter(|typed| typed.contains('@'));
        let Some(Ok(address)) = address.map(BareJid::parse) else { return Ok(None) };
        let is_room =
            self.rooms.name(&address).is_local || self.rooms.view(&address).await.is_some();
        Ok((is_room && address.local().is_some()).then_some(address))
    }

    /// Returns the usage of a line about somebody, or else, if it names a room, the one about rooms.
    pub async fn usage_for(&self, typed: &str, if_room: &'static str) -> Fault {
        match self.room_among_people(typed).await {
            Ok(Some(_)) => Fault::usage(if_room),
            Ok(None) => Fault::Usage,
            Err(why) => why,
        }
    }

    /// Returns the name of a room as it is shown.
    pub fn room_name(&self, room: &BareJid) -> String {
        room::called(&self.rooms.name(room))
    }

    /// Returns a room in which I am.
    pub async fn view(&self, room: &BareJid) -> Result<RoomView, Fault> {
        let view = self.rooms.view(room).await.filter(|view| !view.is_entering);
        view.ok_or_else(|| self.not_said(&NotSaid::NotThere, room))
    }

    /// Returns the failure of something that was not said in a room.
    pub fn not_said(&self, why: &NotSaid, room: &BareJid) -> Fault {
        let words = room::not_said(why, &self.room_name(room));
        Fault::say(room::condition_of_saying(why), words)
    }

    /// Returns the failure of entering a room.
    pub fn not_entered(&self, why: &NotEntered, room: &BareJid) -> Fault {
        let words = room::not_entered(why, &self.room_name(room));
        Fault::say(room::condition_of_entry(why), words)
    }

    /// Returns the account behind a nickname in a room, if I see it; otherwise the account of that
    /// name. Also returns how to name them.
    pub async fn person_in(&self, typed: &str, room: &BareJid) -> Result<(BareJid, String), Fault> {
        let view = self.rooms.view(room).await;
        let occupant = view.as_ref().and_then(|view| find(&view.others, typed));
        match occupant.and_then(|occupant| occupant.who.clone()) {
            Some(who) => {
                let name = self.name(&who);
                let shown = match name == typed {
                    true => name,
                    false => format!("{} ({name})", crate::say::text::line(typed)),
                };
                Ok((who, shown))
            }
            None => {
                let who = self.somebody_else(typed, "that is you")?;
                let name = self.name(&who);
                Ok((who, name))
            }
        }
    }
}

/// Finds an occupant by a nickname, compared as rooms do (RFC 8266).
pub fn find<'a>(occupants: &'a [Occupant], typed: &str) -> Option<&'a Occupant> {
    let exact = occupants.iter().find(|it| it.nick == typed);
    let key = nickname::comparable(typed);
    let alike = |it: &&Occupant| key.is_some() && nickname::comparable(&it.nick) == key;
    exact.or_else(|| occupants.iter().find(alike))
}

/// Reads a name, which may be several words, and then a room: everything before the first word that
/// begins with `#`, or else, and before an address, one word.
pub fn name_and_room(args: &mut Args<'_>) -> Result<(String, String), Fault> {
    let mut words = vec![args.word()?.to_owned()];
    let mut rest = *args;
    let is_address = rest.optional_word().is_some_and(|word| word.contains('@'));
    rest = if is_address { Args::default() } else { *args };
    while let Some(word) = rest.optional_word() {
        if word.starts_with('#') {
            *args = rest;
            return Ok((words.join(" "), word.to_owned()));
        }
        words.push(word.to_owned());
    }
    Ok((words.swap_remove(0), args.word()?.to_owned()))
}

/// Returns the failure of a deed in a room.
pub fn refused(why: &RequestError, deed: Deed<'_>) -> Fault {
    Fault::say(condition::of_request(why), room::deed_refused(why, deed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::commands::split;

    fn read(line: &str) -> Option<(String, String, String)> {
        let (_, mut args) = split(line).unwrap();
        let (name, room) = name_and_room(&mut args).ok()?;
        Some((name, room, args.text().unwrap_or_default().to_owned()))
    }

    #[test]
    fn a_nickname_may_have_blanks_before_a_room_that_begins_with_its_mark() {
        let of = |line| read(line).map(|(name, room, rest)| format!("{name}|{room}|{rest}"));

        assert_eq!(of("kick bob #lunch").as_deref(), Some("bob|#lunch|"));
        assert_eq!(
            of("kick two words #lunch too loud").as_deref(),
            Some("two words|#lunch|too loud")
        );
        assert_eq!(of("kick bob lunch too loud").as_deref(), Some("bob|lunch|too loud"));
        assert_eq!(of("kick bob lunch@rooms.x #1").as_deref(), Some("bob|lunch@rooms.x|#1"));
        assert_eq!(of("kick bob"), None);
        assert_eq!(of("kick"), None);
    }

    #[test]
    fn nicknames_that_look_alike_are_one() {
        let one = |nick: &str| Occupant {
            nick: nick.to_owned(),
            who: None,
            affiliation: Default::default(),
            role: Default::default(),
        };
        let all = [one("Bob"), one("bobby")];

        assert_eq!(find(&all, "bob").unwrap().nick, "Bob");
        assert_eq!(find(&all, "Bobby").unwrap().nick, "bobby");
        assert!(find(&all, "carol").is_none());
    }
}
