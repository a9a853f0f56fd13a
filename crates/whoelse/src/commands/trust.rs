//! `trust FINGERPRINT|USER`: accepts the server's certificate after a warning and continues the
//! login, or accepts the key of a device.

use whoelse_client::Fingerprint;

use super::{Answer, Args, Fault, Seat, TypedCommand, When};

pub const COMMAND: TypedCommand = TypedCommand {
    name: "trust",
    usage: "trust FINGERPRINT|USER",
    help: "Trust the server's certificate with this SHA-256 fingerprint, or the changed keys of \
           USER's devices.",
    when: When::Always,
    run: |seat, args| Box::pin(run(seat, args)),
};

async fn run(seat: &Seat<'_>, mut args: Args<'_>) -> Result<Answer, Fault> {
    let mut whole = args;
    let what = args.word()?;
    // Copying may have put blanks and line breaks into it.
    let typed = whole.text()?;
    if let Some(fingerprint) = Fingerprint::parse(typed) {
        seat.client.trust(fingerprint).await;
        let words = "that certificate is trusted from now on".to_owned();
        return Ok(match seat.client.me() {
            Some(_) => Answer::Words(words),
            None => Answer::Trusted(words),
        });
    }
    if looks_like_a_fingerprint(typed) {
        let digits = typed.chars().filter(char::is_ascii_hexdigit).count();
        let words = format!("a fingerprint has 64 hexadecimal digits, and that has {digits}");
        return Err(Fault::say("bad-fingerprint", words));
    }
    args.end()?;
    let whom = seat.other(what)?;
    match seat.private.trust(&whom).await {
        Ok(()) => {
            let name = seat.name(&whom);
            Ok(Answer::Words(format!("{name}'s new key is trusted from now on; ask again")))
        }
        Err(why) => Err(seat.private_fault(&why, &whom)),
    }
}

/// Returns whether a text is a fingerprint; nobody has such a name.
fn looks_like_a_fingerprint(typed: &str) -> bool {
    let hexadecimal = |c: char| c.is_ascii_hexdigit() || c == ':' || c.is_whitespace();
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
        let cut = format!("{}\n    {}", "a".repeat(40), "b".repeat(23));
        for mistake in ["ab:cd", &"a".repeat(63), &"F".repeat(65), &cut] {
            assert!(looks_like_a_fingerprint(mistake), "{mistake}");
        }
    }
}
