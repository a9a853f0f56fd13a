//! What a session knows of its user: the presence that they have sent, and to whom.

use std::collections::BTreeSet;

use whoelse_xmpp::{BareJid, Jid, Outgoing};

use super::TooMany;

#[derive(Default)]
pub(super) struct Person {
    /// The presence that was last broadcast, and its priority.
    pub presence: Option<(Outgoing, i8)>,
    /// The addresses of directed presence that was not taken back (RFC 6121, 4.6).
    directed: BTreeSet<Jid>,
}

impl Person {
    /// Remembers a directed presence to this address. Fails when `most` addresses are remembered.
    pub fn note_directed(&mut self, to: &Jid, most: usize) -> Result<(), TooMany> {
        if self.directed.contains(to) {
            return Ok(());
        }
        if self.directed.len() >= most {
            return Err(TooMany);
        }
        self.directed.insert(to.clone());
        Ok(())
    }

    /// Whether directed presence was sent to this device or its account.
    pub fn has_shown_itself_to(&self, jid: &Jid) -> bool {
        self.directed.contains(jid) || self.directed.contains(&Jid::from(jid.to_bare()))
    }

    /// Forgets the directed presence to this address, which was taken back.
    pub fn forget_directed(&mut self, to: &Jid) {
        self.directed.remove(to);
    }

    /// Forgets the directed presence to this account or its devices. Returns whether there was any.
    pub fn forget_directed_to(&mut self, to: &BareJid) -> bool {
        let before = self.directed.len();
        self.directed.retain(|directed| directed.bare() != to.as_str());
        self.directed.len() != before
    }

    /// Takes the addresses of all directed presence, and forgets them.
    pub fn take_directed(&mut self) -> Vec<Jid> {
        std::mem::take(&mut self.directed).into_iter().collect()
    }
}
