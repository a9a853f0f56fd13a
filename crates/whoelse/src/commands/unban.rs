//! `unban USER ROOM`: let somebody come back into a room.

use whoelse_client::rooms::{Affiliation, govern};

use super::rooms_kit::{name_and_room, refused};
use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::room::Deed;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "unban",
    usage: "unban USER ROOM",
    help: "Let USER come back into ROOM. For its admins.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let (whom, room) = name_and_room(&mut args)?;
    args.end()?;
    let whom = seat.somebody_else(&whom, "you are not banned")?;
    let room = seat.room(&room).await?;
    let (shown, name) = (seat.name(&whom), seat.room_name(&room));
    let fault = |why| {
        let (by, what) = ("admins", "let others come back");
        refused(&why, Deed { room: &name, by, what, whom: &shown, by_nick: false })
    };
    // Whoever is something else there must not become nothing by this.
    let banned = govern::list(seat.client, &room, Affiliation::Outcast).await.map_err(fault)?;
    if !banned.iter().any(|it| it.who == whom) {
        return Err(Fault::say("not-banned", format!("{shown} is not banned from {name}")));
    }
    let to = (&whom, Affiliation::None);
    govern::set_affiliation(seat.client, &room, to, None).await.map_err(fault)?;
    Ok(Answer::Words(format!("{shown} may enter {name} again")))
}
