//! `destroy ROOM`: a room is no more, for everybody.

use whoelse_client::rooms::{bookmark, govern};
use whoelse_xmpp::BareJid;

use super::join::{Asked, Question};
use super::rooms_kit::refused;
use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::room::Deed;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "destroy",
    usage: "destroy ROOM",
    help: "Destroy ROOM with all that was said in it, after a question. For its owners.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let room = args.word()?;
    args.end()?;
    let room = seat.room(room).await?;
    if !seat.may_ask {
        return destroy(seat, &room).await;
    }
    let name = seat.room_name(&room);
    let words = format!("{name} would be gone for everybody, with all that was said in it");
    Ok(Answer::AskRoom(Question { asked: Asked::Destroy(room), words }))
}

/// Destroys it.
pub async fn destroy(seat: &Seat<'_>, room: &BareJid) -> Result<Answer, Fault> {
    let name = seat.room_name(room);
    govern::destroy(seat.client, room).await.map_err(|why| {
        let (by, what) = ("owners", "destroy it");
        refused(&why, Deed { room: &name, by, what, whom: &name, by_nick: false })
    })?;
    // Whoever is in it takes it back by itself.
    let _ = bookmark::unnote(seat.client, room).await;
    Ok(Answer::Words(format!("{name} is destroyed")))
}
