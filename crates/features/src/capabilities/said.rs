//! XEP-0115, 4: what a client says of itself in its presence.

use compact_str::CompactString;
use whoelse_xmpp::{Stanza, ns};

/// The most bytes of it. No client has as many; one that says more has said nothing.
const LONGEST: usize = 1_024;

/// What a client says of itself: the same for all clients of one version that can do the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Said {
    /// The hash function. Clients of before 2008 name none (11).
    pub hash: Option<CompactString>,
    /// The software.
    pub node: CompactString,
    /// The hash of what it can do.
    pub ver: CompactString,
}

impl Said {
    /// Reads it in a presence, if it is there.
    pub fn read(presence: &Stanza) -> Option<Said> {
        let c = presence.child("c", ns::CAPS)?;
        let attr = |name| presence.child_attr(c, name);
        let said = Said { hash: attr("hash"), node: attr("node")?, ver: attr("ver")? };
        let hash = said.hash.as_ref().map_or(0, |hash| hash.len());
        (hash + said.node.len() + said.ver.len() <= LONGEST).then_some(said)
    }

    /// The node of service discovery about which its client is asked (6.2).
    pub fn question(&self) -> String {
        format!("{}#{}", self.node, self.ver)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(c: &str) -> Option<Said> {
        Said::read(&Stanza::parse(format!("<presence>{c}</presence>")).unwrap())
    }

    #[test]
    fn a_client_says_of_itself_what_it_is_and_what_it_can_do() {
        let c = "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
                 node='http://code.google.com/p/exodus' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>";

        let said = read(c).unwrap();

        let question = "http://code.google.com/p/exodus#QgayPKawpkPSDYmwT/WM94uAlu0=";
        assert_eq!((said.hash.as_deref(), said.question().as_str()), (Some("sha-1"), question));
    }

    #[test]
    fn what_is_incomplete_too_long_or_something_else_says_nothing() {
        let long = "x".repeat(LONGEST);
        for c in [
            "".to_owned(),
            "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' ver='x'/>".to_owned(),
            "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='x'/>".to_owned(),
            "<c xmlns='urn:x' hash='sha-1' node='x' ver='x'/>".to_owned(),
            format!("<c xmlns='http://jabber.org/protocol/caps' node='{long}' ver='x'/>"),
        ] {
            assert_eq!(read(&c), None, "{c}");
        }
    }
}
