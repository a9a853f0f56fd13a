//! `trust FINGERPRINT`: accept the server's certificate after a warning.

use whoelse_client::Fingerprint;

use super::{Answer, Args, Command, Fault, Seat, When};

pub const COMMAND: Command = Command {
    name: "trust",
    usage: "trust FINGERPRINT",
    help: "Trust the server's certificate with this SHA-256 fingerprint from now on.",
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let fingerprint = Fingerprint::parse(args.word()?).ok_or_else(|| {
        Fault::say("bad-fingerprint", "FINGERPRINT must be 64 hexadecimal digits, colons allowed")
    })?;
    args.end()?;
    seat.client.trust(fingerprint).await;
    let next = if seat.client.me().is_none() { "; `login` goes on" } else { "" };
    Ok(Answer::Words(format!("that certificate is trusted from now on{next}")))
}
