//! `rename USER NAME`: what I call USER in my contacts.

use whoelse_client::roster;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::say::text;

/// Longest name, in bytes; servers have a bound as well (RFC 6121, 2.3.3).
const LONGEST: usize = 1_000;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "rename",
    usage: "rename USER NAME",
    help: "Call USER by NAME in your contacts.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let whom = args.word()?;
    let called = args.text()?.trim();
    let whom = seat.somebody_else(whom, "you cannot rename yourself")?;
    let name = seat.name(&whom);
    if called.len() > LONGEST {
        return Err(Fault::say("too-long", format!("a name has at most {LONGEST} bytes")));
    }
    let Some(contact) = seat.contact(&whom).await?.filter(|contact| contact.listed) else {
        return Err(Fault::say("not-a-contact", format!("{name} is none of your contacts")));
    };
    let renamed = seat.client.request(roster::rename(&contact, called)).await;
    renamed.map_err(|why| Fault::of(why, Some(&name)))?;
    Ok(Answer::Words(format!("{name} is called {}", text::line(called))))
}
