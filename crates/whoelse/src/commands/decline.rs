//! `decline USER`: say no to a request for a private chat.

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "decline",
    usage: "decline USER",
    help: "Decline USER's request for a private chat.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = seat.other(args.word()?)?;
    args.end()?;
    let name = seat.name(&whom);
    match seat.private.decline(&whom).await {
        Ok(()) => Ok(Answer::Words(format!("{name} is told that you declined"))),
        Err(why) => Err(Fault::of_private(&why, &name)),
    }
}
