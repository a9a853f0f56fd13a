//! `help [COMMAND]`: what can be typed.

use super::{ALL, Args, Command, Fault, Seat, Then, When, find};

pub const COMMAND: Command = Command {
    name: "help",
    usage: "help [COMMAND]",
    help: "Explain COMMAND, or list all of them.",
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Then, Fault> {
    let about = args.optional_word();
    args.end()?;
    match about {
        Some(name) => {
            let Some(command) = find(name) else {
                let name = crate::terminal::text::line(name);
                return Err(Fault::Say(format!("unknown command '{name}'; `help` lists them all")));
            };
            (seat.say)(entry(command, 0));
        }
        None => {
            let width = ALL.iter().map(|command| command.usage.len()).max().unwrap_or_default();
            ALL.iter().for_each(|command| (seat.say)(entry(command, width)));
        }
    }
    Ok(Then::Go)
}

fn entry(command: &Command, width: usize) -> String {
    format!("{:width$}  {}", command.usage, command.help)
}
