//! `unblock USER`: hear from USER again.

use whoelse_client::blocking;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "unblock",
    usage: "unblock USER",
    help: "Hear from USER again.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = args.word()?;
    args.end()?;
    let whom = seat.somebody_else(whom, "you cannot unblock yourself")?;
    let name = seat.name(&whom);
    // XEP-0191 unblocks twice without an error, so the list is fetched to see whether this is new.
    // If it is not, the server still says whether the user exists.
    let list = blocking::list(seat.client).await.map_err(|why| Fault::of(why, None))?;
    blocking::unblock(seat.client, &whom).await.map_err(|why| Fault::of(why, Some(&name)))?;
    match list.contains(&whom) {
        true => Ok(Answer::Words(format!("{name} is not blocked any more"))),
        false => Err(Fault::say("not-blocked", format!("{name} is not blocked"))),
    }
}
