//! The storage policy: which messages are kept in the log, and for how long, as one pure function.

use whoelse_xmpp::{Kind, Stanza, ns};

/// How a message is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoragePolicy {
    /// Stored in the log, and in the archives of both sides.
    Archived,
    /// Stored in the log if nobody takes it, until some device has it; in no archive.
    UntilDelivered,
    /// Not stored: only those who are online get it.
    Never,
}

/// Decides by the type of the message and its content; then `features` may change the decision.
///
/// A chat or normal message is kept if it has a body or an encrypted payload. Headlines, groupchat
/// and errors are never stored (RFC 6121, 8.5), whatever a feature says.
pub fn storage_policy(
    stanza: &Stanza,
    features: impl FnOnce(&Stanza, StoragePolicy) -> StoragePolicy,
) -> StoragePolicy {
    match is_conversation(stanza) {
        true => by_content(stanza, features),
        false => StoragePolicy::Never,
    }
}

/// Decides the same of what is said to all in a room, where a groupchat is the conversation.
pub fn storage_policy_in_room(
    stanza: &Stanza,
    features: impl FnOnce(&Stanza, StoragePolicy) -> StoragePolicy,
) -> StoragePolicy {
    match stanza.type_() == Some("groupchat") {
        true => by_content(stanza, features),
        false => StoragePolicy::Never,
    }
}

fn by_content(
    stanza: &Stanza,
    features: impl FnOnce(&Stanza, StoragePolicy) -> StoragePolicy,
) -> StoragePolicy {
    let policy = match has_content(stanza) {
        true => StoragePolicy::Archived,
        false => StoragePolicy::Never,
    };
    features(stanza, policy)
}

/// Whether a message that is not stored and that nobody takes is returned to its sender.
///
/// RFC 6121, 8.5.2.2.1: a message that is not stored is answered `service-unavailable`. Chat
/// states, receipts and their like are dropped instead: nobody wrote them. But a caller waits for
/// an answer to a proposed session (XEP-0353), and must not wait in vain.
pub fn comes_back(stanza: &Stanza) -> bool {
    is_conversation(stanza) && (has_content(stanza) || proposes(stanza))
}

/// Whether somebody has written a message, or waits for an answer to it, whatever its type: it is not
/// dropped without a word where the sender may be told that there is no room.
pub fn is_written(stanza: &Stanza) -> bool {
    stanza.type_() != Some("error") && (has_content(stanza) || proposes(stanza))
}

/// Whether a message proposes a session, which makes a device ring (XEP-0353, 3.1).
fn proposes(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Message && stanza.has("propose", ns::JINGLE_MESSAGE)
}

/// Whether a message is of type chat or normal; an unknown type is normal (RFC 6121, 5.2.2).
fn is_conversation(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Message
        && !matches!(stanza.type_(), Some("error" | "groupchat" | "headline"))
}

/// Whether a message has content for a person: a body, or a payload that only the recipient can
/// read. Such a message also counts as activity (behaviour.md, TIMEOUT).
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

    fn by_itself(stanza: &Stanza) -> StoragePolicy {
        storage_policy(stanza, |_, policy| policy)
    }

    fn message(type_: &str, children: &str) -> Stanza {
        let type_ = if type_.is_empty() { String::new() } else { format!(" type='{type_}'") };
        Stanza::parse(format!("<message{type_}>{children}</message>")).unwrap()
    }

    #[test]
    fn what_says_something_is_kept_in_a_conversation() {
        let keeps = |type_, said| by_itself(&message(type_, said));
        for type_ in ["", "chat", "normal", "unheard-of"] {
            for content in CONTENTS {
                assert_eq!(keeps(type_, content), StoragePolicy::Archived, "{type_} {content}");
            }
            assert_eq!(keeps(type_, STATE), StoragePolicy::Never, "{type_}");
        }
        for type_ in ["error", "groupchat", "headline"] {
            assert_eq!(keeps(type_, CONTENTS[0]), StoragePolicy::Never, "{type_}");
        }
    }

    #[test]
    fn only_what_a_person_wrote_or_proposed_comes_back() {
        for content in CONTENTS {
            assert!(comes_back(&message("chat", content)), "{content}");
        }
        assert!(!comes_back(&message("chat", STATE)));
        for (word, back) in [("propose", true), ("proceed", false), ("retract", false)] {
            let said = message("chat", &format!("<{word} xmlns='urn:xmpp:jingle-message:0'/>"));
            assert_eq!(
                (comes_back(&said), by_itself(&said)),
                (back, StoragePolicy::Never),
                "{word}"
            );
        }
        for type_ in ["error", "headline", "groupchat"] {
            assert!(!comes_back(&message(type_, CONTENTS[0])), "{type_}");
        }
    }

    #[test]
    fn only_messages_are_kept() {
        let stanza = Stanza::parse("<presence><body>hi</body></presence>").unwrap();

        assert_eq!(by_itself(&stanza), StoragePolicy::Never);
    }
}
