//! `accept USER`: say yes to a request for a private chat.

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "accept",
    usage: "accept USER",
    help: "Accept USER's request for a private chat; only then does USER learn your addresses.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = seat.other(args.word()?)?;
    args.end()?;
    let name = seat.name(&whom);
    match seat.private.accept(&whom).await {
        Ok(()) => Ok(Answer::Words(format!("connecting to {name}"))),
        Err(why) => Err(Fault::of_private(&why, &name)),
    }
}
