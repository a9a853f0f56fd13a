//! The last stanzas that were sent to people, to relate a refusal to one of them (RFC 6120, 8.3).

use std::collections::VecDeque;

use whoelse_xmpp::{BareJid, FullJid, Jid};

use crate::order::Mine;

/// Stanzas to which a refusal can be related.
const MAX_RECENT: usize = 1_000;

/// The last stanzas, in the order of sending.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<Mine>);

impl Recent {
    /// Adds a stanza.
    pub(super) fn note(&mut self, mine: &Mine) {
        if self.0.len() == MAX_RECENT {
            self.0.pop_front();
        }
        self.0.push_back(mine.clone());
    }

    /// Applies a rename of the domain.
    pub(super) fn rename(&mut self, called: impl Fn(&BareJid) -> BareJid) {
        self.0.iter_mut().for_each(|mine| mine.to = called(&mine.to));
    }

    /// Takes the refused stanza, if it is one of these. Only the recipient, their server or mine
    /// can refuse it.
    pub(super) fn take_refused(
        &mut self,
        id: &str,
        from: Option<&Jid>,
        me: &FullJid,
    ) -> Option<Mine> {
        let place = self.0.iter().position(|mine| mine.id == id)?;
        let to = &self.0.get(place)?.to;
        let may_say_so = from.is_none_or(|from| {
            from.to_bare() == *to
                || from.as_str() == to.domain()
                || from.as_str() == me.domain()
                || from.to_bare() == me.to_bare()
        });
        if may_say_so { self.0.remove(place) } else { None }
    }
}
