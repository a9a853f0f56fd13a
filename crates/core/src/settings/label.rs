//! RFC 1035, 2.3.1: one label of a domain name, such as the one that a service has before the domain
//! of its server.

use std::fmt;
use std::str::FromStr;

use compact_str::CompactString;

/// The most characters of a label.
const LONGEST: usize = 63;

/// One label of a domain name: lower-case letters, digits and hyphens, which are neither first nor
/// last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(CompactString);

/// Why a text is no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotALabel;

impl Label {
    /// Makes a label that stands in the code. Anything else than a label fails the build.
    pub const fn fixed(text: &'static str) -> Label {
        assert!(is_label(text.as_bytes()));
        Label(CompactString::const_new(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = NotALabel;

    fn from_str(text: &str) -> Result<Label, NotALabel> {
        match is_label(text.as_bytes()) {
            true => Ok(Label(text.into())),
            false => Err(NotALabel),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NotALabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a label has lower-case letters, digits and hyphens inside, 63 of them at most")
    }
}

const fn is_label(text: &[u8]) -> bool {
    if text.is_empty() || text.len() > LONGEST {
        return false;
    }
    let mut at = 0;
    while at < text.len() {
        let is_inside = at > 0 && at + 1 < text.len();
        match text[at] {
            b'a'..=b'z' | b'0'..=b'9' => {}
            b'-' if is_inside => {}
            _ => return false,
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_stand_between_two_dots_is_a_label() {
        for text in ["conference", "a", "chat-2", "2", &"x".repeat(63)] {
            assert!(text.parse::<Label>().is_ok(), "{text}");
        }
        for text in ["", "a.b", "-a", "a-", "Chat", "a b", "ä", &"x".repeat(64)] {
            assert_eq!(text.parse::<Label>(), Err(NotALabel), "{text}");
        }
    }
}
