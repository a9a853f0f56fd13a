//! `forget N`: log one of my devices out; it needs the password from then on.

use whoelse_client::devices;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};
use crate::number;

pub const COMMAND: TypedCommand = TypedCommand {
    name: "forget",
    usage: "forget N",
    help: "Log device N of `devices` out: it needs the password from then on.",
    when: When::LoggedIn,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let typed = args.word()?;
    args.end()?;
    let number: u32 = number::whole(typed)
        .ok_or_else(|| Fault::say("bad-number", "N must be the number of a device"))?;
    let list = devices::list(seat.client).await.map_err(|why| Fault::of(why, None))?;
    match list.iter().find(|device| device.number == number) {
        None => {
            let words = format!("there is no device {number}; `devices` lists them");
            return Err(Fault::say("no-such-device", words));
        }
        // The server would let this session go on, with a token that is no good any more.
        Some(device) if device.is_own => {
            return Err(Fault::say("this-device", "that is this device; `logout` logs it out"));
        }
        Some(_) => {}
    }
    devices::forget(seat.client, number).await.map_err(|why| Fault::of(why, None))?;
    Ok(Answer::Words(format!("device {number} is logged out")))
}
