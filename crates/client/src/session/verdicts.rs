//! The fate of each message, reported once to interfaces that ask for it (XEP-0198 and RFC 6120,
//! 8.3).
//!
//! A count says that the server has handled a message, not that it accepted it: a refusal is
//! handled, too, and may come after the acknowledgement. But the answer to a later request comes
//! after the refusal, so a request is sent, and its answer is the verdict.

use std::collections::BTreeMap;

use whoelse_xmpp::BareJid;

use crate::events::Event;
use crate::order::Mine;

/// The messages without a verdict; bounded by how many may be in flight.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// Whether verdicts are asked for.
    wanted: bool,
    open: BTreeMap<String, BareJid>,
}

impl Verdicts {
    pub(super) fn new(wanted: bool) -> Verdicts {
        Verdicts { wanted, open: BTreeMap::new() }
    }

    pub(super) fn are_wanted(&self) -> bool {
        self.wanted
    }

    /// Returns how many messages have no verdict.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Adds a message.
    pub(super) fn begin(&mut self, mine: &Mine) -> Option<Event> {
        if !self.wanted {
            return None;
        }
        self.open.insert(mine.id.clone(), mine.to.clone());
        Some(Event::Sent { id: mine.id.clone(), to: mine.to.clone() })
    }

    /// Applies a rename of the domain.
    pub(super) fn rename(&mut self, called: impl Fn(&BareJid) -> BareJid) {
        self.open.values_mut().for_each(|to| *to = called(to));
    }

    /// Removes a refused message; the refusal is its verdict.
    pub(super) fn refused(&mut self, id: &str) {
        self.open.remove(id);
    }

    /// Confirms those of these that were not refused.
    pub(super) fn confirmed(&mut self, mine: Vec<Mine>) -> Vec<Event> {
        let mut events = Vec::new();
        for Mine { id, to, .. } in mine {
            if self.open.remove(&id).is_some() {
                events.push(Event::Acknowledged { id, to });
            }
        }
        events
    }

    /// Reports that the fate of this one will stay unknown.
    pub(super) fn unknown(&mut self, Mine { id, to, .. }: Mine) -> Option<Event> {
        let open = self.open.remove(&id).is_some();
        (open || !self.wanted).then_some(Event::Unconfirmed { id, to })
    }
}
