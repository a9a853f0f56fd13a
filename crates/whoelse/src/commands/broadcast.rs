//! `broadcast TEXT`: everyone else online sees it.

use whoelse_client::commands::{self, Reach};

use super::message::check_text;
use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "broadcast",
    usage: "broadcast TEXT",
    help: "Send TEXT to everyone else who is online.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    send(seat, args.text()?).await
}

/// Sends the text.
pub async fn send(seat: &Seat<'_>, text: &str) -> Result<Answer, Fault> {
    check_text(text)?;
    match commands::broadcast(seat.client, text).await {
        Ok(Reach::Everyone) => Ok(Answer::Done),
        // The server does not say whom it did not reach.
        Ok(Reach::NotEveryone) => {
            Ok(Answer::Words("your broadcast did not reach everyone".to_owned()))
        }
        Ok(Reach::Nobody) => Ok(Answer::Words("nobody else is online".to_owned())),
        Err(why) => Err(Fault::of(why, None)),
    }
}
