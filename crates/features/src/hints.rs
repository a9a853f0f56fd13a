//! XEP-0334, Message Processing Hints: a sender asks servers not to do something with a message, or
//! to do it although they would not.
//!
//! This file handles the hints about storing; [`carbons`](crate::carbons) handles the one about
//! copies. Hints are never taken out.

use whoelse_core::kit::Feature;
use whoelse_core::storage_policy::StoragePolicy;
use whoelse_xmpp::Stanza;
use whoelse_xmpp::payload::hints::Hint;

/// XEP-0334. It names no feature for service discovery.
pub const FEATURE: Feature = Feature {
    name: "hints",
    xeps: &[(334, "1.0.0")],
    disco: &[],
    wire: |w| w.storage(keep),
    ..Feature::PLAIN
};

/// `no-store` keeps a message nowhere, whatever else it asks for. `store` keeps one without
/// content. `no-permanent-store` lets a message wait for an absent recipient and no longer.
///
/// A hint decides only what RFC 6121, 8.5 leaves open, so this is asked of conversations alone: the
/// hints of an error belong to the message that it answers (5).
fn keep(message: &Stanza, policy: StoragePolicy) -> StoragePolicy {
    let is_kept = policy != StoragePolicy::Never || Hint::Store.is_in(message);
    if Hint::NoStore.is_in(message) || !is_kept {
        return StoragePolicy::Never;
    }
    match Hint::NoPermanentStore.is_in(message) {
        true => StoragePolicy::UntilDelivered,
        false => StoragePolicy::Archived,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashSet;
    use whoelse_core::kit::Wiring;

    const BODY: &str = "<body>hi</body>";
    const STATE: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";

    fn kept(type_: &str, content: &str, hints: &[&str]) -> StoragePolicy {
        let type_ = if type_.is_empty() { String::new() } else { format!(" type='{type_}'") };
        let hints = hints.iter().map(|hint| format!("<{hint} xmlns='urn:xmpp:hints'/>"));
        let children = content.to_owned() + &hints.collect::<String>();
        let stanza = Stanza::parse(format!("<message{type_}>{children}</message>")).unwrap();
        Wiring::of(&[FEATURE], &HashSet::new()).unwrap().storage_policy(&stanza)
    }

    #[test]
    fn every_hint_beside_a_body_and_without_one_in_every_type() {
        use StoragePolicy::{Archived, Never, UntilDelivered};
        // The same hints on a message with content, and on one without.
        let table: [(&[&str], StoragePolicy, StoragePolicy); 9] = [
            (&[], Archived, Never),
            (&["store"], Archived, Archived),
            (&["no-copy"], Archived, Never),
            (&["no-store"], Never, Never),
            (&["no-permanent-store"], UntilDelivered, Never),
            (&["store", "no-permanent-store"], UntilDelivered, UntilDelivered),
            (&["store", "no-store"], Never, Never),
            (&["no-permanent-store", "no-store"], Never, Never),
            (&["store", "no-copy"], Archived, Archived),
        ];
        for (hints, full, empty) in table {
            for type_ in ["", "chat", "normal", "unheard-of"] {
                assert_eq!(kept(type_, BODY, hints), full, "{type_} {hints:?}");
                assert_eq!(kept(type_, STATE, hints), empty, "{type_} {hints:?}");
            }
            for type_ in ["error", "groupchat", "headline"] {
                assert_eq!(kept(type_, BODY, hints), Never, "{type_} {hints:?}");
            }
        }
    }

    #[test]
    fn a_hint_in_another_namespace_is_none() {
        let content = "<body>hi</body><no-store xmlns='urn:x'/>";

        assert_eq!(kept("chat", content, &[]), StoragePolicy::Archived);
    }
}
