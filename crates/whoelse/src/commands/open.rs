//! `open ROOM`: everybody may enter a room who is not banned.

use super::close::set_members_only;
use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "open",
    usage: "open ROOM",
    help: "Let everybody enter ROOM who is not banned. For its owners.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, args: Args<'_>) -> Result<Answer, Fault> {
    let name = set_members_only(seat, args, "0").await?;
    Ok(Answer::Words(format!("everybody may enter {name} now who is not banned")))
}
