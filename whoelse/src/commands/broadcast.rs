//! `broadcast TEXT`: everyone else online sees it.

use whoelse_client::commands::{self, Reach};

use super::message::check_length;
use super::{Args, Command, Fault, Seat, Then, When};

pub const COMMAND: Command = Command {
    name: "broadcast",
    usage: "broadcast TEXT",
    help: "Send TEXT to everyone else who is online.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Then, Fault> {
    let text = args.text()?;
    check_length(text)?;
    match commands::broadcast(seat.client, text).await {
        Ok(Reach::Everyone) => {}
        // Whom it did not reach is theirs to tell.
        Ok(Reach::NotEveryone) => (seat.say)("your broadcast did not reach everyone".to_owned()),
        Err(why) => return Err(Fault::of(why, None)),
    }
    Ok(Then::Go)
}
