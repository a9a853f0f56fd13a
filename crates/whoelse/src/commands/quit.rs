//! `quit`: end the program. A login that is remembered is there for the next start.

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "quit",
    usage: "quit",
    help: "Log out and end the program.",
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(_seat: &Seat<'_>, args: Args<'_>) -> Result<Answer, Fault> {
    args.end()?;
    Ok(Answer::Quit)
}
