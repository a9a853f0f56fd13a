//! `leave ROOM`: leave a room, and enter it no more at a login.

use whoelse_client::rooms::{NotSaid, bookmark};

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "leave",
    usage: "leave ROOM",
    help: "Leave ROOM, and do not enter it at the next login.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let room = args.word()?;
    args.end()?;
    let room = seat.room(room).await?;
    let name = seat.room_name(&room);
    // First, so that the change of the bookmark finds nothing to leave.
    let was_there = seat.rooms.leave(&room).await;
    let was_noted = bookmark::unnote(seat.client, &room).await;
    match (was_there, was_noted) {
        (false, Ok(false)) => Err(seat.not_said(&NotSaid::NotThere, &room)),
        (false, Ok(true)) => {
            Ok(Answer::Words(format!("{name} is not entered at the next login any more")))
        }
        (true, Ok(_)) => Ok(Answer::Words(format!("you have left {name}"))),
        (_, Err(why)) => {
            let why = crate::say::words::request_error(&why, None);
            let words = format!("you are not in {name} now, but the next login enters it: {why}");
            Err(Fault::say("not-noted", words))
        }
    }
}
