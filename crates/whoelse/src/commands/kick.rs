//! `kick NICK ROOM [REASON]`: put somebody out of a room, who may come back.

use whoelse_client::rooms::{Role, govern};

use super::rooms_kit::{find, name_and_room, refused};
use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::room::Deed;
use crate::say::text;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "kick",
    usage: "kick NICK ROOM [REASON]",
    help: "Put NICK out of ROOM; they may come back. For its moderators.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let (nick, room) = name_and_room(&mut args)?;
    let reason = args.text().ok();
    let room = seat.room(&room).await?;
    let view = seat.view(&room).await?;
    let name = seat.room_name(&room);
    let whom = find(&view.others, &nick).map_or(nick.as_str(), |it| it.nick.as_str());
    let shown = text::line(whom);
    let done = govern::set_role(seat.client, &room, (whom, Role::None), reason).await;
    done.map_err(|why| {
        let (by, what) = ("moderators", "put others out");
        refused(&why, Deed { room: &name, by, what, whom: &shown, by_nick: true })
    })?;
    // The room tells everybody, so there is nothing to say.
    Ok(Answer::Done)
}
