//! `remove USER`: USER is no contact any more; neither sees the other.

use whoelse_client::roster;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "remove",
    usage: "remove USER",
    help: "Take USER out of your contacts; neither of you sees the other online any more.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = args.word()?;
    args.end()?;
    let whom = seat.somebody_else(whom, "you cannot remove yourself")?;
    let name = seat.name(&whom);
    if !seat.contact(&whom).await?.is_some_and(|contact| contact.listed) {
        return Err(Fault::say("not-a-contact", format!("{name} is none of your contacts")));
    }
    let removed = seat.client.request(roster::remove(&whom)).await;
    removed.map_err(|why| Fault::of(why, Some(&name)))?;
    Ok(Answer::Words(format!("{name} is none of your contacts any more")))
}
