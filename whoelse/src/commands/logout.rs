//! `logout`: end the session; the program stays.

use std::time::Duration;

use super::{Answer, Args, Command, Fault, Seat, When};

/// How long what was sent before may take to be acknowledged.
const SETTLE: Duration = Duration::from_secs(1);

pub const COMMAND: Command = Command {
    name: "logout",
    usage: "logout",
    help: "Log out; the program stays, and `login` works.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, args: Args<'_>) -> Result<Answer, Fault> {
    args.end()?;
    // Refusals of what was sent just before are still heard.
    seat.client.settle(SETTLE).await;
    seat.client.logout().await;
    Ok(Answer::Done)
}
