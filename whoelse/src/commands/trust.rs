//! `trust FINGERPRINT|USER`: accept, after a warning, the server's certificate or the key of a
//! device.

use whoelse_client::Fingerprint;

use super::{Answer, Args, Command, Fault, Seat, When};

pub const COMMAND: Command = Command {
    name: "trust",
    usage: "trust FINGERPRINT|USER",
    help: "Trust the server's certificate with this SHA-256 fingerprint, or the changed keys of \
           USER's devices.",
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let what = args.word()?;
    args.end()?;
    if let Some(fingerprint) = Fingerprint::parse(what) {
        seat.client.trust(fingerprint).await;
        let next = if seat.client.me().is_none() { "; `login` goes on" } else { "" };
        return Ok(Answer::Words(format!("that certificate is trusted from now on{next}")));
    }
    if looks_like_a_fingerprint(what) {
        let words = "FINGERPRINT must be 64 hexadecimal digits, colons allowed";
        return Err(Fault::say("bad-fingerprint", words));
    }
    let whom = seat.other(what)?;
    match seat.private.trust(&whom).await {
        Ok(()) => {
            let name = seat.name(&whom);
            Ok(Answer::Words(format!("{name}'s new key is trusted from now on; ask again")))
        }
        Err(why) => Err(seat.private_fault(&why, &whom)),
    }
}

/// Nobody is called so who wants to be called at all.
fn looks_like_a_fingerprint(typed: &str) -> bool {
    let hexadecimal = |c: char| c.is_ascii_hexdigit() || c == ':';
    typed.contains(':') || typed.len() >= 32 && typed.chars().all(hexadecimal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_apart_from_a_fingerprint_with_a_mistake_in_it() {
        for name in ["bob", "bob@b.example", "deadbeef"] {
            assert!(!looks_like_a_fingerprint(name), "{name}");
        }
        for mistake in ["ab:cd", &"a".repeat(63), &"F".repeat(65)] {
            assert!(looks_like_a_fingerprint(mistake), "{mistake}");
        }
    }
}
