//! `allow USER`: USER may see when I am online.

use whoelse_client::SubscriptionType;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "allow",
    usage: "allow USER",
    help: "Let USER see when you are online, now or when they ask.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = args.word()?;
    args.end()?;
    let whom = seat.somebody_else(whom, "you cannot allow yourself")?;
    let name = seat.name(&whom);
    let contact = seat.contact(&whom).await?;
    if contact.as_ref().is_some_and(|contact| contact.sees_me) {
        let words = format!("{name} sees already when you are online");
        return Err(Fault::say("already-allowed", words));
    }
    seat.say_to(&whom, SubscriptionType::Subscribed).await?;
    let (asks, seen) = contact.map_or((false, false), |it| (it.asks, it.seen || it.asked));
    Ok(Answer::Words(match (asks, seen) {
        (true, true) => format!("{name} sees when you are online"),
        (true, false) => {
            format!("{name} sees when you are online; `add {name}` asks for the same")
        }
        (false, _) => format!("{name} will see when you are online as soon as they ask"),
    }))
}
