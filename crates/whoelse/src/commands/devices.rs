//! `devices`: which devices log in to my account without the password.

use whoelse_client::devices;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "devices",
    usage: "devices",
    help: "List the devices that log in to your account without its password.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, args: Args<'_>) -> Result<Answer, Fault> {
    args.end()?;
    let list = devices::list(seat.client).await.map_err(|why| Fault::of(why, None))?;
    Ok(Answer::Devices(list))
}
