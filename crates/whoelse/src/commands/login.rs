//! `login [USER]`: log in, after a logout or a refusal.

use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::name;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "login",
    usage: "login [USER]",
    help: "Log in; you are asked for what is missing.",
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let name = args.optional_word();
    args.end()?;
    match seat.client.me() {
        Some(me) => {
            let name = name::of(&me.to_bare(), &seat.client.domain());
            Err(Fault::say("logged-in", format!("you are logged in as {name}")))
        }
        None => Ok(Answer::Login(name.map(str::to_owned))),
    }
}
