//! What became of each message, told once, for faces that want to know (XEP-0198 and RFC 6120, 8.3).
//!
//! A count says that the server has handled a message, not that it took it: a refusal is handled,
//! too, and may come after the acknowledgement. What the server answers after that comes after
//! the refusal, so it is asked one thing more, and only its answer is the verdict.

use std::collections::BTreeMap;

use whoelse_xmpp::BareJid;

use crate::events::Event;
use crate::order::Mine;

/// The messages without a verdict. Held are as many as may be on their way.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// Whether anybody wants to know.
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

    /// How many messages have no verdict.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// A message sets out.
    pub(super) fn begin(&mut self, mine: &Mine) -> Option<Event> {
        if !self.wanted {
            return None;
        }
        self.open.insert(mine.id.clone(), mine.to.clone());
        Some(Event::Sent { id: mine.id.clone(), to: mine.to.clone() })
    }

    /// People are called something else from now on.
    pub(super) fn rename(&mut self, called: impl Fn(&BareJid) -> BareJid) {
        self.open.values_mut().for_each(|to| *to = called(to));
    }

    /// A message came back; that is its verdict.
    pub(super) fn refused(&mut self, id: &str) {
        self.open.remove(id);
    }

    /// The server has these, and refused none that is still open.
    pub(super) fn confirmed(&mut self, mine: Vec<Mine>) -> Vec<Event> {
        let mut events = Vec::new();
        for Mine { id, to, .. } in mine {
            if self.open.remove(&id).is_some() {
                events.push(Event::Acknowledged { id, to });
            }
        }
        events
    }

    /// Nobody will ever say what became of this one.
    pub(super) fn unknown(&mut self, Mine { id, to, .. }: Mine) -> Option<Event> {
        let open = self.open.remove(&id).is_some();
        (open || !self.wanted).then_some(Event::Unconfirmed { id, to })
    }
}
