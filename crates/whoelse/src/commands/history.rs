//! `history USER [N]`: the last messages with USER.

use whoelse_client::history;

use super::{Answer, Args, Fault, Seat, TypedCommand, When, address};
use crate::number;

/// How many are shown by default, and at most.
const USUAL: u16 = 20;
const MOST: u16 = 500;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "history",
    usage: "history USER [N]",
    help: "Show the last N messages with USER (20 unless you say; 1 to 500).",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let with = address(args.word()?, &seat.client.domain())?;
    let count = args.optional_word().map_or(Ok(USUAL), count)?;
    args.end()?;
    let name = seat.name(&with);
    let messages = history::last(seat.client, &with, count)
        .await
        .map_err(|why| Fault::of(why, Some(&name)))?;
    Ok(Answer::Messages { with, messages })
}

fn count(typed: &str) -> Result<u16, Fault> {
    match number::whole(typed) {
        Some(count) if (1..=MOST).contains(&count) => Ok(count),
        _ => Err(Fault::say("bad-number", format!("N must be a whole number from 1 to {MOST}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_five_hundred_messages_can_be_asked_for() {
        assert_eq!((count("1"), count("500")), (Ok(1), Ok(500)));
        for bad in ["0", "501", "-1", "+5", "", "x", "70000"] {
            assert!(matches!(count(bad), Err(Fault::Say { .. })), "{bad}");
        }
    }
}
