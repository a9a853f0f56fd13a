//! Namespace names as the scanner returns them: common names need no allocation.
//!
//! Nothing is interned at run time. A stranger may invent as many namespaces as he likes; each
//! lives only as long as the stanza that named it.

use std::fmt;
use std::sync::Arc;

use crate::ns;

/// A namespace name, borrowed from the program if it is a known one.
#[derive(Clone)]
pub(crate) enum Namespace {
    /// One of the names in [`KNOWN`], or another constant of the program.
    Known(&'static str),
    /// Any other name. All elements in the namespace share it: it can be long.
    Other(Arc<str>),
}

impl Namespace {
    /// Makes the name `text`, without an allocation if it is a known one.
    pub(crate) fn new(text: &str) -> Namespace {
        Namespace::known(text.as_bytes()).unwrap_or_else(|| Namespace::Other(text.into()))
    }

    /// Returns the known name with these bytes, if there is one.
    pub(crate) fn known(bytes: &[u8]) -> Option<Namespace> {
        let length = bytes.len();
        let range = usize::from(*STARTS.get(length)?)..usize::from(*STARTS.get(length + 1)?);
        let mut candidates = SORTED.get(range)?.iter();
        candidates.find(|name| name.as_bytes() == bytes).map(|name| Namespace::Known(name))
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Namespace::Known(name) => name,
            Namespace::Other(name) => name,
        }
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Namespace) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Namespace {}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// The known names: those that this program uses, and those that clients put into every message.
const KNOWN: [&str; 56] = [
    "",
    ns::CLIENT,
    ns::SERVER,
    ns::STREAM,
    ns::STREAM_ERRORS,
    ns::STANZA_ERRORS,
    ns::TLS,
    ns::SASL,
    ns::BIND,
    ns::SESSION,
    ns::DISCO_INFO,
    ns::DISCO_ITEMS,
    ns::DATA,
    ns::COMMANDS,
    ns::RSM,
    ns::REGISTER,
    ns::REGISTER_FEATURE,
    ns::VERSION,
    ns::BLOCKING,
    ns::BLOCKING_ERRORS,
    ns::SM,
    ns::PING,
    ns::TIME,
    ns::DELAY,
    ns::CARBONS,
    ns::FORWARD,
    ns::MAM,
    ns::HINTS,
    ns::STANZA_ID,
    ns::EME,
    ns::SASL_CHANNEL_BINDING,
    ns::ROSTER,
    ns::WHOELSE_ERRORS,
    ns::WHOELSE_ACTIVITY,
    ns::WHOELSE_COMMANDS,
    // These are common, but nothing here handles them.
    "eu.siacs.conversations.axolotl",
    "http://jabber.org/protocol/address",
    "http://jabber.org/protocol/caps",
    "http://jabber.org/protocol/chatstates",
    "http://jabber.org/protocol/muc",
    "http://jabber.org/protocol/muc#user",
    "http://jabber.org/protocol/nick",
    "http://jabber.org/protocol/pubsub",
    "http://jabber.org/protocol/pubsub#event",
    "http://jabber.org/protocol/xhtml-im",
    "http://www.w3.org/1999/xhtml",
    "jabber:x:conference",
    "jabber:x:oob",
    "urn:xmpp:chat-markers:0",
    "urn:xmpp:message-correct:0",
    "urn:xmpp:omemo:2",
    "urn:xmpp:reactions:0",
    "urn:xmpp:receipts",
    "urn:xmpp:reply:0",
    "vcard-temp",
    "vcard-temp:x:update",
];

/// The length from which on no name is known.
const LENGTHS: usize = 64;

/// [`KNOWN`] sorted by length, and where each length begins.
const BY_LENGTH: ([&str; KNOWN.len()], [u8; LENGTHS + 1]) = {
    let mut sorted = KNOWN;
    let mut starts = [0; LENGTHS + 1];
    let mut filled = 0;
    let mut length = 0;
    while length < LENGTHS {
        starts[length] = filled as u8;
        let mut i = 0;
        while i < KNOWN.len() {
            if KNOWN[i].len() == length {
                sorted[filled] = KNOWN[i];
                filled += 1;
            }
            i += 1;
        }
        length += 1;
    }
    starts[LENGTHS] = filled as u8;
    assert!(filled == KNOWN.len(), "a known namespace is longer than LENGTHS");
    (sorted, starts)
};

static SORTED: [&str; KNOWN.len()] = BY_LENGTH.0;
static STARTS: [u8; LENGTHS + 1] = BY_LENGTH.1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_without_an_allocation() {
        for name in KNOWN {
            assert!(matches!(Namespace::new(name), Namespace::Known(found) if found == name));
        }
    }

    #[test]
    fn a_name_nobody_knows_is_kept_with_its_stanza_alone() {
        for text in ["urn:xmpp:ping!", "x", &"y".repeat(63), &"y".repeat(64), &"z".repeat(300)] {
            let name = Namespace::new(text);
            assert!(matches!(name, Namespace::Other(_)));
            assert_eq!(name.as_str(), text);
        }
    }
}
