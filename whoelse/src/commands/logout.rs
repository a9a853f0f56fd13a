//! `logout`: end the session; the program stays.

use super::{Args, Command, Fault, Seat, Then, When};

pub const COMMAND: Command = Command {
    name: "logout",
    usage: "logout",
    help: "Log out; the program stays, and `login` works.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, args: Args<'_>) -> Result<Then, Fault> {
    args.end()?;
    seat.client.logout().await;
    Ok(Then::Go)
}
