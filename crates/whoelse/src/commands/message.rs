//! `message USER TEXT`: USER sees it at once, or at the next login. `message ROOM TEXT`: everybody in
//! ROOM sees it.

use whoelse_client::message::MAX_TEXT;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "message",
    usage: "message USER TEXT",
    help: "Send TEXT to USER, or to a room such as #lunch; kept for USER if not online.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let to = args.word()?;
    let text = match args.text() {
        Ok(text) => text,
        Err(_) => return Err(seat.usage_for(to, "message ROOM TEXT").await),
    };
    send(seat, to, text, whoelse_client::token()).await
}

/// Sends the text under this id.
pub async fn send(seat: &Seat<'_>, to: &str, text: &str, id: String) -> Result<Answer, Fault> {
    if let Some(room) = seat.room_among_people(to).await? {
        check_text(text)?;
        let said = seat.rooms.say(&room, id.to_string(), text).await;
        return said.map(|()| Answer::Done).map_err(|why| seat.not_said(&why, &room));
    }
    let to = seat.somebody_else(to, "you cannot send a message to yourself")?;
    check_text(text)?;
    let sent = seat.client.message_as(id, &to, text).await;
    sent.map(|()| Answer::Done).map_err(Fault::not_sent)
}

/// Refuses an empty text, and one that is too long, with its length.
pub fn check_text(text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::say("empty", "the text is empty"));
    }
    match text.chars().count() {
        length if length > MAX_TEXT => Err(Fault::say(
            "too-long",
            format!("the text is too long: {length} characters, at most {MAX_TEXT} are allowed"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_ten_thousand_characters_passes_and_one_more_does_not() {
        assert_eq!(check_text(&"ä".repeat(10_000)), Ok(()));
        assert!(matches!(check_text(&"ä".repeat(10_001)), Err(Fault::Say { .. })));
        assert!(matches!(check_text(" \n"), Err(Fault::Say { .. })));
    }
}
