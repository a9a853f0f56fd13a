//! `stopprivate USER`: close a private chat, or take back the request for one.

use whoelse_p2p::Stopped;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "stopprivate",
    usage: "stopprivate USER",
    help: "Close the private chat with USER, or take back the request for one.",
    // An open private chat goes on without a session.
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = seat.other(args.word()?)?;
    args.end()?;
    match seat.private.stop(&whom).await {
        // An event tells when it is closed.
        Ok(Stopped::Closed) => Ok(Answer::Done),
        Ok(Stopped::TookBack) => {
            let name = seat.name(&whom);
            Ok(Answer::Words(format!("{name} is not asked for a private chat any more")))
        }
        Err(why) => Err(seat.private_fault(&why, &whom)),
    }
}
