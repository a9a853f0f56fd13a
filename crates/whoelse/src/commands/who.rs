//! `whoelse`: who else is online.

use whoelse_client::commands;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "whoelse",
    usage: "whoelse",
    help: "List everyone else who is online.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, args: Args<'_>) -> Result<Answer, Fault> {
    args.end()?;
    let accounts = commands::whoelse(seat.client).await.map_err(|why| Fault::of(why, None))?;
    Ok(Answer::People { people: accounts, if_none: "nobody else is online" })
}
