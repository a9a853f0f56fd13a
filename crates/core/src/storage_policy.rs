//! Which messages are kept in the log, and how long, as one pure function (XEP-0160, XEP-0313,
//! XEP-0334).

use whoelse_xmpp::payload::hints::Hint;
use whoelse_xmpp::{Kind, Stanza, ns};

/// How a message is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoragePolicy {
    /// In the log, and in the archives of both sides.
    Archived,
    /// In the log if nobody takes it, until somebody has; in no archive.
    UntilDelivered,
    /// Nowhere: whoever is there hears it.
    Never,
}

/// Decides by the type of the message, what it says and what its sender wishes.
///
/// A chat or normal message is kept if it has a body or an encrypted payload, or asks to be
/// stored. `no-store` keeps it nowhere, whatever else it asks for; `no-permanent-store` lets it
/// wait for an absent recipient and no longer.
///
/// A hint moves the server within what RFC 6121, 8.5 leaves open. Headlines, groupchat and errors
/// are never stored there, so `store` does not change that; and the hints of an error belong to
/// the message that it answers (XEP-0334, 5).
pub fn storage_policy(stanza: &Stanza) -> StoragePolicy {
    if !is_conversation(stanza) || Hint::NoStore.is_in(stanza) {
        return StoragePolicy::Never;
    }
    if !Hint::Store.is_in(stanza) && !has_content(stanza) {
        return StoragePolicy::Never;
    }
    match Hint::NoPermanentStore.is_in(stanza) {
        true => StoragePolicy::UntilDelivered,
        false => StoragePolicy::Archived,
    }
}

/// Whether a message that is kept nowhere and that nobody takes comes back to its sender.
///
/// RFC 6121, 8.5.2.2.1: what is not stored is answered `service-unavailable`. Chat states,
/// receipts and their like are let go instead (XEP-0160, 3): nobody has written them. Somebody does
/// wait for an answer to a session that is proposed (XEP-0353), and need not wait for nobody.
pub fn comes_back(stanza: &Stanza) -> bool {
    is_conversation(stanza) && (has_content(stanza) || proposes(stanza))
}

/// Whether a message proposes a session, which rings a device (XEP-0353, 3.1).
fn proposes(stanza: &Stanza) -> bool {
    stanza.has("propose", ns::JINGLE_MESSAGE)
}

/// A message of type chat or normal; a type that nobody knows is normal (RFC 6121, 5.2.2).
fn is_conversation(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Message
        && !matches!(stanza.type_(), Some("error" | "groupchat" | "headline"))
}

/// Whether a message says something to a person: a body, or a payload nobody but they can read.
/// Also what counts as activity (behaviour.md, TIMEOUT).
pub fn has_content(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Message
        && stanza.children().iter().any(|child| {
            matches!(
                (child.name(), child.ns()),
                ("body", ns::CLIENT)
                    | ("encryption", ns::EME)
                    | ("encrypted", "eu.siacs.conversations.axolotl" | "urn:xmpp:omemo:2")
                    | ("openpgp", "urn:xmpp:openpgp:0")
                    | ("x", "jabber:x:encrypted")
            )
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CONTENTS: [&str; 6] = [
        "<body>hi</body>",
        "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
        "<encrypted xmlns='urn:xmpp:omemo:2'/>",
        "<openpgp xmlns='urn:xmpp:openpgp:0'/>",
        "<x xmlns='jabber:x:encrypted'/>",
        "<encryption xmlns='urn:xmpp:eme:0' namespace='x'/>",
    ];
    const STATE: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";

    fn message(type_: &str, children: &str) -> Stanza {
        let type_ = if type_.is_empty() { String::new() } else { format!(" type='{type_}'") };
        Stanza::parse(format!("<message{type_}>{children}</message>")).unwrap()
    }

    fn with_hints(content: &str, hints: &[&str]) -> String {
        let hints = hints.iter().map(|hint| format!("<{hint} xmlns='urn:xmpp:hints'/>"));
        content.to_owned() + &hints.collect::<String>()
    }

    #[test]
    fn every_hint_beside_every_content_in_every_type() {
        use StoragePolicy::{Archived, Never, UntilDelivered};
        // With content, and without.
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
                for content in CONTENTS {
                    let stanza = message(type_, &with_hints(content, hints));
                    assert_eq!(storage_policy(&stanza), full, "{type_} {content} {hints:?}");
                }
                let stanza = message(type_, &with_hints(STATE, hints));
                assert_eq!(storage_policy(&stanza), empty, "{type_} {hints:?}");
            }
            for type_ in ["error", "groupchat", "headline"] {
                let stanza = message(type_, &with_hints(CONTENTS[0], hints));
                assert_eq!(storage_policy(&stanza), Never, "{type_} {hints:?}");
            }
        }
    }

    #[test]
    fn only_what_a_person_wrote_or_proposed_comes_back() {
        for content in CONTENTS {
            assert!(comes_back(&message("chat", &with_hints(content, &["no-store"]))), "{content}");
        }
        assert!(!comes_back(&message("chat", STATE)));
        for (word, back) in [("propose", true), ("proceed", false), ("retract", false)] {
            let said = message("chat", &format!("<{word} xmlns='urn:xmpp:jingle-message:0'/>"));
            assert_eq!(
                (comes_back(&said), storage_policy(&said)),
                (back, StoragePolicy::Never),
                "{word}"
            );
        }
        for type_ in ["error", "headline", "groupchat"] {
            assert!(!comes_back(&message(type_, CONTENTS[0])), "{type_}");
        }
    }

    #[test]
    fn a_hint_in_another_namespace_is_none() {
        let stanza = message("chat", "<body>hi</body><no-store xmlns='urn:x'/>");

        assert_eq!(storage_policy(&stanza), StoragePolicy::Archived);
    }

    #[test]
    fn only_messages_are_kept() {
        let stanza = Stanza::parse("<presence><body>hi</body></presence>").unwrap();

        assert_eq!(storage_policy(&stanza), StoragePolicy::Never);
    }
}
