//! `block USER`: hear nothing from USER any more.

use whoelse_client::blocking;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "block",
    usage: "block USER",
    help: "Hear nothing from USER any more, and let USER not see you.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = args.word()?;
    args.end()?;
    let whom = seat.somebody_else(whom, "you cannot block yourself")?;
    let name = seat.name(&whom);
    // XEP-0191 blocks twice without an error, so the list is fetched to see whether this is new.
    let list = blocking::list(seat.client).await.map_err(|why| Fault::of(why, None))?;
    if list.contains(&whom) {
        return Err(Fault::say("already-blocked", format!("{name} is already blocked")));
    }
    blocking::block(seat.client, &whom).await.map_err(|why| Fault::of(why, Some(&name)))?;
    // A block does not put anybody out of a room, and a room does not always say who is there.
    let in_rooms = match seat.rooms.views().await.is_empty() {
        true => "",
        false => "; in rooms that you share they still see you, and what you say",
    };
    Ok(Answer::Words(format!("{name} is blocked{in_rooms}")))
}
