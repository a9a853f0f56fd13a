//! `blocked`: whom I have blocked.

use whoelse_client::blocking;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "blocked",
    usage: "blocked",
    help: "List everyone you have blocked.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, args: Args<'_>) -> Result<Answer, Fault> {
    args.end()?;
    let list = blocking::list(seat.client).await.map_err(|why| Fault::of(why, None))?;
    Ok(Answer::People { people: list, if_none: "you have blocked nobody" })
}
