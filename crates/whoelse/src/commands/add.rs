//! `add USER`: ask to see when USER is online.

use whoelse_client::SubscriptionType;

use super::{Answer, Args, Asked, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "add",
    usage: "add USER",
    help: "Make USER a contact, and ask to see when they are online.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = args.word()?;
    args.end()?;
    let whom = seat.somebody_else(whom, "you cannot add yourself")?;
    let name = seat.name(&whom);
    if let Some(contact) = seat.contact(&whom).await? {
        if contact.seen {
            return Err(Fault::say(
                "already-seen",
                format!("you see already when {name} is online"),
            ));
        }
        if contact.asked {
            let words = format!("{name} has been asked already, and has not answered yet");
            return Err(Fault::say("already-asked", words));
        }
    }
    seat.say_to(&whom, SubscriptionType::Subscribe).await?;
    Ok(match seat.outcome_of_asking(&whom).await? {
        // Why is told by the event of the refusal.
        Asked::Refused => Answer::Done,
        Asked::Granted => Answer::Words(format!("you see when {name} is online")),
        Asked::Waits => {
            Answer::Words(format!("{name} is asked to let you see when they are online"))
        }
    })
}
