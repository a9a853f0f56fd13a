//! Which messages are kept in the log, as one pure function (XEP-0160, XEP-0313, XEP-0334).

use whoelse_xmpp::{Kind, Stanza, ns};

/// Whether this is a message that the server answers for: it is in the log before it is handled.
///
/// A chat or normal message with a body or an encrypted payload, or one that asks to be stored,
/// unless it asks not to be.
pub fn is_keepable(stanza: &Stanza) -> bool {
    if stanza.kind() != Kind::Message || !matches!(stanza.type_(), None | Some("chat" | "normal")) {
        return false;
    }
    let hint = |name| stanza.has(name, ns::HINTS);
    if hint("no-store") || hint("no-permanent-store") {
        return false;
    }
    hint("store") || has_content(stanza)
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

    fn kept(xml: &'static str) -> bool {
        is_keepable(&Stanza::parse(xml).unwrap())
    }

    #[test]
    fn what_a_person_would_miss_is_kept() {
        assert!(kept("<message type='chat'><body>hi</body></message>"));
        assert!(kept("<message><body>hi</body></message>"));
        assert!(kept("<message type='normal'><body>hi</body></message>"));
        assert!(kept("<message><encrypted xmlns='eu.siacs.conversations.axolotl'/></message>"));
        assert!(kept("<message><encryption xmlns='urn:xmpp:eme:0' namespace='x'/></message>"));
        assert!(kept("<message><store xmlns='urn:xmpp:hints'/></message>"));
    }

    #[test]
    fn what_passes_is_not_kept() {
        assert!(!kept("<message type='headline'><body>hi</body></message>"));
        assert!(!kept("<message type='groupchat'><body>hi</body></message>"));
        assert!(!kept("<message type='error'><body>hi</body></message>"));
        assert!(!kept("<message type='chat'><composing xmlns='urn:x'/></message>"));
        assert!(!kept("<message><body>hi</body><no-store xmlns='urn:xmpp:hints'/></message>"));
        assert!(!kept("<presence><body>hi</body></presence>"));
    }
}
