//! `ban USER ROOM [REASON]`: put somebody out of a room for good.

use whoelse_client::rooms::{Affiliation, govern};

use super::rooms_kit::{name_and_room, refused};
use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::room::Deed;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "ban",
    usage: "ban USER ROOM [REASON]",
    help: "Put USER out of ROOM, and do not let them come back. For its admins.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let (whom, room) = name_and_room(&mut args)?;
    let reason = args.text().ok();
    let room = seat.room(&room).await?;
    let (whom, shown) = seat.person_in(&whom, &room).await?;
    let name = seat.room_name(&room);
    let to = (&whom, Affiliation::Outcast);
    govern::set_affiliation(seat.client, &room, to, reason).await.map_err(|why| {
        let (by, what) = ("admins", "ban others");
        refused(&why, Deed { room: &name, by, what, whom: &shown, by_nick: false })
    })?;
    Ok(Answer::Words(format!("{shown} is banned from {name}")))
}
