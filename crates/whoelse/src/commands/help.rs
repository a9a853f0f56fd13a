//! `help [COMMAND]`: what can be typed.

use super::{ALL, Answer, Args, Fault, Seat, TypedCommand, When, find};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "help",
    usage: "help [COMMAND]",
    help: "Explain COMMAND, or list all of them.",
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(_seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let about = args.optional_word();
    args.end()?;
    let Some(name) = about else {
        return Ok(Answer::Help(ALL.iter().map(entry).collect()));
    };
    match find(name) {
        Some(command) => Ok(Answer::Help(vec![entry(command)])),
        None => Err(Fault::unknown_command(name)),
    }
}

fn entry(command: &TypedCommand) -> (&'static str, &'static str) {
    (command.usage, command.help)
}
