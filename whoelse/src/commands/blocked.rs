//! `blocked`: whom I have blocked.

use whoelse_client::blocking;

use super::{Args, Command, Fault, Seat, Then, When};

pub const COMMAND: Command = Command {
    name: "blocked",
    usage: "blocked",
    help: "List everyone you have blocked.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, args: Args<'_>) -> Result<Then, Fault> {
    args.end()?;
    let list = blocking::list(seat.client).await.map_err(|why| Fault::of(why, None))?;
    list.iter().for_each(|who| (seat.say)(seat.name(who)));
    Ok(Then::Go)
}
