//! `whoelsesince SECONDS`: who else was online lately.

use whoelse_client::commands;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::number;

/// The longest time that can be asked for.
const MOST: u64 = 1 << 31;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "whoelsesince",
    usage: "whoelsesince SECONDS",
    help: "List everyone else who was online at any time in the past SECONDS.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let seconds = seconds(args.word()?)?;
    args.end()?;
    let accounts =
        commands::whoelse_since(seat.client, seconds).await.map_err(|why| Fault::of(why, None))?;
    Ok(Answer::People { people: accounts, if_none: "nobody else was online in that time" })
}

fn seconds(typed: &str) -> Result<u64, Fault> {
    match number::whole(typed) {
        Some(seconds) if seconds <= MOST => Ok(seconds),
        _ => {
            let words = format!("SECONDS must be a whole number from 0 to {MOST}");
            Err(Fault::say("bad-number", words))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_a_whole_number_up_to_two_to_the_31st() {
        assert_eq!(seconds("0"), Ok(0));
        assert_eq!(seconds("2147483648"), Ok(1 << 31));
        for bad in ["2147483649", "-1", "+5", "1.5", "x", "99999999999999999999", "0x10"] {
            assert!(matches!(seconds(bad), Err(Fault::Say { .. })), "{bad}");
        }
    }
}
