//! `invite USER ROOM`: tell USER how to come.

use whoelse_client::rooms::Affiliation;

use super::rooms_kit::name_and_room;
use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::room;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "invite",
    usage: "invite USER ROOM",
    help: "Invite USER to ROOM; in a room for members only, USER becomes one.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let (whom, room) = name_and_room(&mut args)?;
    args.end()?;
    let whom = seat.somebody_else(&whom, "you cannot invite yourself")?;
    let room = seat.room(&room).await?;
    let view = seat.view(&room).await?;
    let (who, name) = (seat.name(&whom), seat.room_name(&room));
    let governs = view.me.affiliation >= Affiliation::Admin;
    match seat.rooms.invite(&room, &whom).await {
        Ok(()) => Ok(Answer::Words(format!("{who} is invited to {name}"))),
        Err(why) => {
            let words = room::not_invited(&why, &name, &who, governs);
            Err(Fault::say(room::condition_of_saying(&why), words))
        }
    }
}
