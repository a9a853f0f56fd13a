//! `message USER TEXT`: USER sees it at once, or at the next login.

use whoelse_client::NotSent;
use whoelse_client::message::MAX_TEXT;

use super::{Args, Command, Fault, Seat, Then, When};

pub const COMMAND: Command = Command {
    name: "message",
    usage: "message USER TEXT",
    help: "Send TEXT to USER; kept for them if they are not online.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Then, Fault> {
    let to = args.word()?;
    let text = args.text()?;
    let to = seat.somebody_else(to, "you cannot send a message to yourself")?;
    check_length(text)?;
    seat.client.message(&to, text).await.map(|()| Then::Go).map_err(|why| {
        Fault::Say(
            match why {
                NotSent::NotLoggedIn => "log in first",
                NotSent::TooMany => "not sent: too many lines wait for the connection",
            }
            .to_owned(),
        )
    })
}

/// A text that is too long is refused with its length.
pub fn check_length(text: &str) -> Result<(), Fault> {
    match text.chars().count() {
        length if length > MAX_TEXT => Err(Fault::Say(format!(
            "the text is too long: {length} characters, at most {MAX_TEXT} are allowed"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_ten_thousand_characters_passes_and_one_more_does_not() {
        assert_eq!(check_length(&"ä".repeat(10_000)), Ok(()));
        assert!(matches!(check_length(&"ä".repeat(10_001)), Err(Fault::Say(_))));
    }
}
