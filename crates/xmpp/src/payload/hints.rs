//! XEP-0334, Message Processing Hints: how the sender wants servers to handle a message.

use xso::{AsXml, FromXml};

use crate::{Stanza, ns};

/// One hint.
#[derive(FromXml, AsXml, Debug, Clone, Copy, PartialEq, Eq)]
#[xml(namespace = ns::HINTS)]
pub enum Hint {
    /// `no-permanent-store`: not in an archive; offline storage is allowed.
    #[xml(name = "no-permanent-store")]
    NoPermanentStore,
    /// `no-store`: neither in an archive nor in offline storage.
    #[xml(name = "no-store")]
    NoStore,
    /// `no-copy`: no carbon copies.
    #[xml(name = "no-copy")]
    NoCopy,
    /// `store`: stored, even if nothing else in the message would cause it.
    #[xml(name = "store")]
    Store,
}

impl Hint {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Hint::NoPermanentStore => "no-permanent-store",
            Hint::NoStore => "no-store",
            Hint::NoCopy => "no-copy",
            Hint::Store => "store",
        }
    }

    /// Whether a stanza has this hint.
    pub fn is_in(self, stanza: &Stanza) -> bool {
        stanza.has(self.name(), ns::HINTS)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ALL: [Hint; 4] = [Hint::NoPermanentStore, Hint::NoStore, Hint::NoCopy, Hint::Store];

    #[test]
    fn the_hints_of_the_example_are_found() {
        let stanza = Stanza::parse(
            "<message from='romeo@montague.lit/laptop' to='juliet@capulet.lit/laptop'>\
             <body>V unir avtug'f pybnx gb uvqr zr sebz gurve fvtug</body>\
             <no-copy xmlns=\"urn:xmpp:hints\"/><no-store xmlns=\"urn:xmpp:hints\"/></message>",
        )
        .unwrap();

        assert_eq!(ALL.map(|hint| hint.is_in(&stanza)), [false, true, true, false]);
    }

    #[test]
    fn a_hint_is_read_as_it_was_written() {
        for hint in ALL {
            let xml = xso::to_vec(&hint).unwrap();
            assert_eq!(xso::from_bytes::<Hint>(&xml).unwrap(), hint);
            assert_eq!(Stanza::parse(xml).unwrap().name(), hint.name());
        }
        assert!(xso::from_bytes::<Hint>(b"<unknown xmlns='urn:xmpp:hints'/>").is_err());
    }
}
