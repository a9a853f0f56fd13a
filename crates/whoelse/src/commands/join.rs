//! `join ROOM [NICK]`: enter a room, and again at every login. A room that is not there is made, after a
//! question.

use serde::Deserialize;
use strsim::osa_distance;
use whoelse_client::rooms::{NotEntered, Wanted, bookmark, govern, service};
use whoelse_xmpp::{BareJid, Condition};

use super::password::Secret;
use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::room;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "join",
    usage: "join ROOM [NICK]",
    help: "Enter ROOM (such as #lunch), now and at every login; NICK is your name there.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

/// What is wanted, as a line or an object says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The room, as it was typed.
    pub room: String,
    /// The nickname.
    pub nick: Option<String>,
    /// The room's password.
    pub password: Option<Secret>,
    /// Whether a room that is not there is made.
    #[serde(default)]
    pub create: bool,
}

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let room = args.word()?.to_owned();
    let nick = args.text().ok().map(|nick| nick.trim().to_owned());
    join(seat, Join { room, nick, ..Join::default() }).await
}

/// Enters a room, or asks what is missing.
pub async fn join(seat: &Seat<'_>, wanted: Join) -> Result<Answer, Fault> {
    let me = seat.me()?;
    let room = seat.room(&wanted.room).await?;
    let name = seat.room_name(&room);
    let noted = bookmark::find(seat.client, &room).await;
    let known = noted.as_ref().ok().and_then(Option::as_ref);
    let there = seat.rooms.view(&room).await.filter(|view| !view.is_entering);
    let own = me.to_bare().local().map(str::to_owned).unwrap_or_default();
    let nick = wanted.nick.clone();
    let nick = nick.or_else(|| there.as_ref().map(|view| view.me.nick.clone()));
    let nick = nick.or_else(|| known?.nick.clone()).unwrap_or(own);
    let password = wanted.password.as_ref().map(|word| word.0.clone());
    let password = password.or_else(|| known?.password.clone());
    if there.is_none() && !wanted.create {
        let info = service::info(seat.client, &room).await;
        if info.map_err(|why| Fault::of(why, Some(&name)))?.is_none() {
            return no_such_room(seat, wanted, &room).await;
        }
    }
    let entered = seat.rooms.enter(&room, &nick, password.clone(), wanted.create).await;
    let entered = match entered {
        Err(NotEntered::Refused { why, .. })
            if why.condition == Condition::NotAuthorized && seat.may_ask =>
        {
            let words = match password {
                Some(_) => format!("that is not the password of {name}"),
                None => format!("{name} has a password"),
            };
            return Ok(Answer::AskRoom(Question { asked: Asked::Password(wanted), words }));
        }
        Err(NotEntered::NoSuchRoom) => return no_such_room(seat, wanted, &room).await,
        entered => entered.map_err(|why| seat.not_entered(&why, &room))?,
    };
    let mut words = match entered {
        Wanted::Made => Some(configure(seat, &room).await?),
        _ if there.is_some_and(|view| view.me.nick == nick) => {
            Some(format!("you are in {name} already"))
        }
        _ => None,
    };
    // What cannot be read is not written over.
    let noted = match noted {
        Ok(known) => bookmark::note(seat.client, &room, known, (&nick, password.as_deref())).await,
        Err(why) => Err(why),
    };
    if noted.is_err() {
        let not_noted = format!("{name} could not be noted: join {name} after the next login");
        words = Some(words.map_or(not_noted.clone(), |words| format!("{words}; {not_noted}")));
    }
    let room = seat.rooms.name(&room);
    Ok(Answer::Joined { room, nick, made: entered == Wanted::Made, words })
}

/// Configures a room that was made, and returns the sentence that says what it is.
async fn configure(seat: &Seat<'_>, room: &BareJid) -> Result<String, Fault> {
    let for_everyone = matches!(seat.client.contacts().await, Ok(None));
    let (public, whois) = if for_everyone { ("1", "anyone") } else { ("0", "moderators") };
    let fields = [
        ("muc#roomconfig_persistentroom", "1"),
        ("muc#roomconfig_membersonly", "0"),
        ("muc#roomconfig_moderatedroom", "0"),
        ("muc#roomconfig_publicroom", public),
        ("muc#roomconfig_whois", whois),
        // Servers have different names for the archive; a field that a room does not have is left out.
        ("muc#roomconfig_enablearchiving", "1"),
        ("mam", "1"),
    ];
    let name = seat.room_name(room);
    if let Err(why) = govern::configure(seat.client, room, &fields).await {
        // Nobody else could enter it, so it is taken back.
        seat.rooms.leave(room).await;
        let why = crate::say::words::request_error(&why, None);
        return Err(Fault::say("not-made", format!("{name} could not be made: {why}")));
    }
    Ok(room::made(&name, for_everyone))
}

/// Asks whether to make a room, or says that there is none.
async fn no_such_room(seat: &Seat<'_>, wanted: Join, room: &BareJid) -> Result<Answer, Fault> {
    let name = seat.room_name(room);
    let near = nearest(seat, room).await.map(|near| seat.room_name(&near));
    let words = match near {
        Some(near) => format!("there is no {name}; did you mean {near}?"),
        None => format!("there is no {name}"),
    };
    if !seat.may_ask {
        return Err(Fault::say("no-such-room", format!("{words}; \"create\": true makes it")));
    }
    let asked = Asked::Make(Join { create: true, ..wanted });
    Ok(Answer::AskRoom(Question { asked, words }))
}

/// Returns the room that was probably meant: one that everybody finds, or that is noted.
async fn nearest(seat: &Seat<'_>, room: &BareJid) -> Option<BareJid> {
    let typed = room.local()?;
    let listed = service::listed(seat.client, room.domain()).await.unwrap_or_default();
    let noted = bookmark::all(seat.client).await.unwrap_or_default();
    let all = listed.into_iter().map(|it| it.room).chain(noted.into_iter().map(|it| it.room));
    let same = all.filter(|it| it.domain() == room.domain() && it != room);
    let slips = same.filter_map(|it| Some((osa_distance(typed, it.local()?), it)));
    let (slips, near) = slips.min_by_key(|(slips, _)| *slips)?;
    (slips <= typed.chars().count().div_ceil(3)).then_some(near)
}

/// A question about a room, which a dialogue asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What is asked, with what is to be done after the answer.
    pub asked: Asked,
    /// The sentence before it; safe for a terminal.
    pub words: String,
}

/// What is asked about a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Whether to make it.
    Make(Join),
    /// Its password.
    Password(Join),
    /// Whether to destroy it.
    Destroy(BareJid),
}
