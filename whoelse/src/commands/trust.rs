//! `trust FINGERPRINT`: accept the server's certificate after a warning.

use whoelse_client::Fingerprint;

use super::{Args, Command, Fault, Seat, Then, When};

pub const COMMAND: Command = Command {
    name: "trust",
    usage: "trust FINGERPRINT",
    help: "Trust the server's certificate with this SHA-256 fingerprint from now on.",
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Then, Fault> {
    let fingerprint = Fingerprint::parse(args.word()?).ok_or_else(|| {
        Fault::Say("FINGERPRINT must be 64 hexadecimal digits, colons allowed".to_owned())
    })?;
    args.end()?;
    seat.client.trust(fingerprint).await;
    let next = if seat.client.me().is_none() { "; `login` goes on" } else { "" };
    (seat.say)(format!("that certificate is trusted from now on{next}"));
    Ok(Then::Go)
}
