//! `contacts`: my contacts and the state of each subscription.

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "contacts",
    usage: "contacts",
    help: "List your contacts: who is online, who has not answered you, who waits for your answer.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, args: Args<'_>) -> Result<Answer, Fault> {
    args.end()?;
    Ok(Answer::Contacts(seat.contacts().await?))
}
