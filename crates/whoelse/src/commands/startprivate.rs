//! `startprivate USER`: ask for a private chat.

use whoelse_p2p::Asked;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "startprivate",
    usage: "startprivate USER",
    help: "Ask USER for a private chat, which travels directly, past the server.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = args.word()?;
    args.end()?;
    let whom = seat.somebody_else(whom, "you cannot have a private chat with yourself")?;
    let name = seat.name(&whom);
    match seat.private.ask(&whom).await {
        Ok(Asked::New) => Ok(Answer::Words(format!("asking {name} for a private chat"))),
        Ok(Asked::Accepted) => Ok(Answer::Words(format!("connecting to {name}"))),
        Err(why) => Err(Fault::of_private(&why, &name)),
    }
}
