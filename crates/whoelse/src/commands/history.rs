//! `history USER [N]`: the last messages with USER, or of a room.

use whoelse_client::rooms::{archive, service};
use whoelse_client::{blocking, history};
use whoelse_xmpp::BareJid;

use super::rooms_kit::refused;
use super::{Answer, Args, Fault, Seat, TypedCommand, When, address};
use crate::number;
use crate::say::room::Deed;

/// How many are shown by default, and at most.
const USUAL: u16 = 20;
const MOST: u16 = 500;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "history",
    usage: "history USER [N]",
    help: "Show the last N messages with USER or of a room (20 unless you say; 1 to 500).",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whose = args.word()?;
    if let Some(room) = seat.room_among_people(whose).await? {
        let count = args.optional_word().map_or(Ok(USUAL), count)?;
        args.end().map_err(|_| Fault::usage("history ROOM [N]"))?;
        return of_room(seat, &room, count).await;
    }
    let with = address(whose, &seat.client.domain())?;
    let count = args.optional_word().map_or(Ok(USUAL), count)?;
    args.end()?;
    let name = seat.name(&with);
    let messages = history::last(seat.client, &with, count)
        .await
        .map_err(|why| Fault::of(why, Some(&name)))?;
    Ok(Answer::Messages { with, messages })
}

/// Returns what was said in a room, if it keeps that (XEP-0313).
async fn of_room(seat: &Seat<'_>, room: &BareJid, count: u16) -> Result<Answer, Fault> {
    let name = seat.room_name(room);
    let info = service::info(seat.client, room).await;
    match info.map_err(|why| Fault::of(why, Some(&name)))? {
        None => return Err(Fault::say("no-such-room", format!("there is no {name}"))),
        Some(info) if !info.keeps_history() => {
            let words = format!(
                "{name} keeps no history; what was said lately is shown to whoever enters it"
            );
            return Err(Fault::say("no-history", words));
        }
        Some(_) => {}
    }
    let mut messages = archive::last(seat.client, room, count).await.map_err(|why| {
        let (by, what) = ("those who may enter", "read what was said");
        refused(&why, Deed { room: &name, by, what, whom: &name, by_nick: false })
    })?;
    if messages.iter().any(|said| said.who.is_some()) {
        // What they say now is not shown either. Where nobody can be blocked, nobody is.
        let blocked = blocking::list(seat.client).await.unwrap_or_default();
        messages.retain(|said| said.who.as_ref().is_none_or(|who| !blocked.contains(who)));
    }
    Ok(Answer::RoomMessages { room: seat.rooms.name(room), messages })
}

fn count(typed: &str) -> Result<u16, Fault> {
    match number::whole(typed) {
        Some(count) if (1..=MOST).contains(&count) => Ok(count),
        _ => Err(Fault::say("bad-number", format!("N must be a whole number from 1 to {MOST}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_five_hundred_messages_can_be_asked_for() {
        assert_eq!((count("1"), count("500")), (Ok(1), Ok(500)));
        for bad in ["0", "501", "-1", "+5", "", "x", "70000"] {
            assert!(matches!(count(bad), Err(Fault::Say { .. })), "{bad}");
        }
    }
}
