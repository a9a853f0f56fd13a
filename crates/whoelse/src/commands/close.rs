//! `close ROOM`: only members may be in a room.

use whoelse_client::rooms::govern;

use super::rooms_kit::refused;
use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::room::Deed;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "close",
    usage: "close ROOM",
    help: "Let only members be in ROOM; who is there and is none leaves. For its owners.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, args: Args<'_>) -> Result<Answer, Fault> {
    let name = set_members_only(seat, args, "1").await?;
    Ok(Answer::Words(format!(
        "only members may be in {name} now; invite USER {name}, or grant USER {name} member, makes \
         somebody one"
    )))
}

/// Says whether only members may be in a room, and returns its name.
pub async fn set_members_only(
    seat: &Seat<'_>,
    mut args: Args<'_>,
    yes: &str,
) -> Result<String, Fault> {
    let room = args.word()?;
    args.end()?;
    let room = seat.room(room).await?;
    let name = seat.room_name(&room);
    let fields = [("muc#roomconfig_membersonly", yes)];
    govern::configure(seat.client, &room, &fields).await.map_err(|why| {
        let (by, what) = ("owners", "say who may enter it");
        refused(&why, Deed { room: &name, by, what, whom: &name, by_nick: false })
    })?;
    Ok(name)
}
