//! `deny USER`: USER may not see when I am online; revokes a permission.

use whoelse_client::SubscriptionType;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "deny",
    usage: "deny USER",
    help: "Do not let USER see when you are online; also takes back `allow`.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = args.word()?;
    args.end()?;
    let whom = seat.somebody_else(whom, "you cannot deny yourself")?;
    let name = seat.name(&whom);
    // Sent in any case, since an answer given in advance is in no list.
    seat.contact(&whom).await?;
    seat.say_to(&whom, SubscriptionType::Unsubscribed).await?;
    Ok(Answer::Words(format!("{name} does not see when you are online")))
}
