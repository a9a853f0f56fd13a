//! `fingerprint USER`: the codes by which two people verify that nobody is between them.

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "fingerprint",
    usage: "fingerprint USER",
    help: "Show the code of each device of USER that was met in a private chat, to compare by voice.",
    // An open private chat goes on without a session.
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = seat.other(args.word()?)?;
    args.end()?;
    match seat.private.fingerprints(&whom).await {
        Ok(fingerprints) => Ok(Answer::Fingerprints { of: whom, fingerprints }),
        Err(why) => Err(seat.private_fault(&why, &whom)),
    }
}
