//! Addresses that listeners have claimed, such as rooms: messages and presence from there are theirs.

use std::collections::HashMap;

use whoelse_xmpp::{BareJid, Jid, Kind, Stanza};

use crate::kit::ListenerId;

/// Addresses that can be claimed at once: as many as a session of our server may send presence to.
const MAX_CLAIMS: usize = 1_000;

/// The claims. They outlive connections, and end with the session.
#[derive(Debug, Default)]
pub(super) struct Claims(HashMap<BareJid, ListenerId>);

impl Claims {
    /// Adds a claim; one too many is not added, and what comes from there is nobody's.
    pub(super) fn add(&mut self, address: BareJid, listener: ListenerId) {
        if self.0.len() < MAX_CLAIMS {
            self.0.insert(address, listener);
        }
    }

    /// Ends a claim.
    pub(super) fn end(&mut self, address: &BareJid) {
        self.0.remove(address);
    }

    /// Returns the listener of a message or presence, if it comes from a claimed address.
    pub(super) fn listener_of(&self, stanza: &Stanza) -> Option<ListenerId> {
        if self.0.is_empty() || !matches!(stanza.kind(), Kind::Message | Kind::Presence) {
            return None;
        }
        let from = Jid::parse(stanza.from()?).ok()?;
        self.0.get(&from.to_bare()).copied()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kit::Kit;

    #[test]
    fn what_comes_from_a_claimed_address_is_the_listeners_but_for_requests() {
        let room = BareJid::parse("lunch@rooms.a.example").unwrap();
        let id = Kit::default().listen(&["urn:x"]).id();
        let mut claims = Claims::default();
        claims.add(room.clone(), id);
        let of = |claims: &Claims, xml: &str| {
            claims.listener_of(&Stanza::parse(xml.as_bytes().to_vec()).unwrap())
        };

        for xml in [
            "<presence from='lunch@rooms.a.example/bob'/>",
            "<presence from='lunch@rooms.a.example' type='error'/>",
            "<message from='Lunch@rooms.a.example' type='groupchat'/>",
            "<message from='lunch@rooms.a.example/bob' type='error'/>",
        ] {
            assert_eq!(of(&claims, xml), Some(id), "{xml}");
        }
        for xml in [
            "<iq type='get' id='q' from='lunch@rooms.a.example/bob'/>",
            "<presence from='dinner@rooms.a.example/bob'/>",
            "<presence/>",
        ] {
            assert_eq!(of(&claims, xml), None, "{xml}");
        }
        claims.end(&room);
        assert_eq!(of(&claims, "<presence from='lunch@rooms.a.example/bob'/>"), None);
    }

    #[test]
    fn so_many_addresses_are_claimed_and_no_more() {
        let id = Kit::default().listen(&["urn:x"]).id();
        let mut claims = Claims::default();
        for n in 0..=MAX_CLAIMS {
            claims.add(BareJid::parse(&format!("r{n}@rooms.a.example")).unwrap(), id);
        }

        assert_eq!(claims.0.len(), MAX_CLAIMS);
    }
}
