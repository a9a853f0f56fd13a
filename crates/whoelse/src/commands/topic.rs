//! `topic ROOM [TEXT]`: what a room is about.

use super::message::check_text;
use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::room;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "topic",
    usage: "topic ROOM [TEXT]",
    help: "Say what ROOM is about from now on; without TEXT, show what it is about.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let typed = args.word()?;
    if let Ok(text) = args.text() {
        return set(seat, typed, text).await;
    }
    let room = seat.room(typed).await?;
    let (view, name) = (seat.view(&room).await?, seat.room_name(&room));
    Ok(Answer::Words(match view.topic.is_empty() {
        true => format!("{name} has no topic"),
        false => room::topic(None, &view.topic, true, &name),
    }))
}

/// Sets the topic; nothing takes it back. The room tells everybody, so there is nothing to say.
pub async fn set(seat: &Seat<'_>, typed: &str, text: &str) -> Result<Answer, Fault> {
    let room = seat.room(typed).await?;
    if !text.is_empty() {
        check_text(text)?;
    }
    let set = seat.rooms.set_topic(&room, text).await;
    set.map(|()| Answer::Done).map_err(|why| {
        let words = room::topic_not_set(&why, &seat.room_name(&room));
        Fault::say(room::condition_of_saying(&why), words)
    })
}
