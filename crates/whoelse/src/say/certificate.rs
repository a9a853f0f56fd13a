//! Texts about a certificate that is not trusted, and what the reader can do.
//!
//! The advice is on a line of its own, narrow enough for any terminal, so that it can be copied
//! whole. It suits the place where it is read.

use whoelse_client::Fingerprint;

use super::text;

/// Where the reader is, which decides what can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// At the prompt.
    Typing,
    /// In a shell, after the program has ended.
    Gone,
}

/// No authority vouches for it.
pub fn unknown(fingerprint: Fingerprint, fault: &str, reader: Reader) -> String {
    format!(
        "nobody vouches for the server's certificate ({}). {}",
        text::line(fault),
        if_the_owner_says(fingerprint, reader)
    )
}

/// It differs from the pinned one.
pub fn changed(fingerprint: Fingerprint, pinned: Fingerprint, reader: Reader) -> String {
    format!(
        "WARNING: the server's certificate has changed. This may be somebody else who listens. \
         Until now its SHA-256 fingerprint was:\n    {}\n{}",
        pinned.digits(),
        if_the_owner_says(fingerprint, reader)
    )
}

/// The server has proved itself over a connection with another certificate.
pub fn proved(fingerprint: Fingerprint) -> String {
    format!(
        "the server proved over this very connection that it knows your password. The SHA-256 \
         fingerprint of its new certificate:\n    {}",
        fingerprint.digits()
    )
}

/// The server wants the password itself, and its certificate was only trusted on first use.
pub fn only_plain(fingerprint: Fingerprint, reader: Reader) -> String {
    format!(
        "the server asks for the password itself, which is not told over a certificate that is \
         only known by sight. {}",
        if_the_owner_says(fingerprint, reader)
    )
}

/// The fingerprint is shown where it has to be typed, and nowhere else.
fn if_the_owner_says(fingerprint: Fingerprint, reader: Reader) -> String {
    let digits = fingerprint.digits();
    match reader {
        Reader::Typing => format!(
            "If the server's owner says that its SHA-256 fingerprint is this one, type:\n    \
             trust {digits}"
        ),
        Reader::Gone => format!(
            "If the server's owner says that its SHA-256 fingerprint is this one, start again \
             with:\n    --trust {digits}"
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_advice_can_be_copied_and_followed_where_it_is_read() {
        let (new, old) = (Fingerprint::of(b"new"), Fingerprint::of(b"old"));
        for (reader, begin) in [(Reader::Typing, "    trust "), (Reader::Gone, "    --trust ")] {
            for words in [
                unknown(new, "self-signed", reader),
                changed(new, old, reader),
                only_plain(new, reader),
            ] {
                let advice = words.lines().last().unwrap();
                assert!(advice.chars().count() <= 80, "{advice}");
                let copied = advice.strip_prefix(begin).unwrap();
                assert_eq!(Fingerprint::parse(copied), Some(new), "{words}");
                assert_eq!(copied.split_whitespace().count(), 1);
            }
        }
    }

    #[test]
    fn a_changed_certificate_is_a_warning_with_both_fingerprints() {
        let (new, old) = (Fingerprint::of(b"new"), Fingerprint::of(b"old"));

        let words = changed(new, old, Reader::Typing);

        assert!(words.starts_with("WARNING"));
        assert!(words.contains(&old.digits()) && words.contains(&new.digits()));
    }

    #[test]
    fn what_is_wrong_with_a_certificate_cannot_act_on_the_terminal() {
        let words = unknown(Fingerprint::of(b"x"), "bad\n\u{1b}[2J", Reader::Typing);

        assert!(words.contains("(bad\\u{a}\\u{1b}[2J)"), "{words}");
    }
}
