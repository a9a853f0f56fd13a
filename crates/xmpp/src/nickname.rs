//! RFC 8266: nicknames, which people choose in a room, and which of them are one.

use std::borrow::Cow;

use precis_profiles::Nickname;
use precis_profiles::precis_core::profile::{Rules, stabilize};

/// Returns the form in which a nickname is compared: two nicknames of one form would be taken for one
/// another. `None`: the text is no nickname, since there is nothing to be seen of it.
///
/// The text is one that can be the resource of an address. What the profile's tables do not know (they
/// are those of Unicode 6.3) is compared as it is.
pub fn comparable(nickname: &str) -> Option<String> {
    if nickname.trim().is_empty() {
        return None;
    }
    let compare = |text: &str| -> Option<String> {
        stabilize(text, |s| {
            let profile = Nickname::new();
            let mapped = profile.additional_mapping_rule(s)?;
            let mapped = profile.case_mapping_rule(mapped)?;
            profile.normalization_rule(mapped)
        })
        .ok()
        .map(Cow::into_owned)
    };
    let compared = compare(nickname).unwrap_or_else(|| nickname.to_owned());
    (!compared.is_empty()).then_some(compared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nicknames_that_look_alike_are_one() {
        for (one, other) in [
            ("bob", "Bob"),
            ("bob", " bob "),
            ("two  words", "Two words"),
            ("Ⅳ", "iv"),
            ("ÄRGER", "ärger"),
            ("A\u{308}rger", "ärger"),
            ("Σίσυφος", "σίσυφος"),
            ("☺", "☺"),
            ("🦀", "🦀"),
        ] {
            assert_eq!(comparable(one), comparable(other), "{one}");
            assert!(comparable(one).is_some(), "{one}");
        }
        assert_ne!(comparable("bob"), comparable("bobby"));
        assert_ne!(comparable("🦀"), comparable("🦐"));
    }

    #[test]
    fn what_cannot_be_seen_is_no_nickname() {
        for text in ["", " ", "\u{3000}"] {
            assert_eq!(comparable(text), None, "{text:?}");
        }
    }
}
