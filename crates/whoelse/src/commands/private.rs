//! `private USER TEXT`: say something in a private chat.

use super::message::check_text;
use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "private",
    usage: "private USER TEXT",
    help: "Send TEXT to USER over the private chat that is open.",
    // An open private chat goes on without a session.
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let to = args.word()?;
    send(seat, to, args.text()?, whoelse_client::token()).await
}

/// Sends the text under this id.
pub async fn send(seat: &Seat<'_>, to: &str, text: &str, id: String) -> Result<Answer, Fault> {
    let to = seat.other(to)?;
    check_text(text)?;
    let sent = seat.private.send(&to, text, id).await;
    sent.map(|()| Answer::Done).map_err(|why| seat.private_fault(&why, &to))
}
