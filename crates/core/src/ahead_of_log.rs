//! Messages that a session got before it reads the log: messages addressed to an unavailable
//! session alone (RFC 6121, 8.5.3.1), and messages to another session that never had them.
//!
//! A later read of the log skips them: for this session at once, for the others once they are
//! confirmed. A client's confirmation of such a message moves the cursor only if no message before
//! it is open: messages that still wait must not be confirmed along with it.

use std::collections::{BTreeMap, BTreeSet};

/// How many such messages are remembered for an account, as long as the server runs. The oldest
/// ones beyond this may come twice when the log is read. (They cannot be dropped when the cursor
/// passes them: another session may still be reading at an earlier place.)
const MOST: usize = 64;

/// The numbers of these messages, and who has each.
#[derive(Debug, Default)]
pub(crate) struct AheadOfLog {
    had: BTreeMap<i64, Had>,
    late: BTreeSet<i64>,
}

#[derive(Debug)]
struct Had {
    /// The session that got it.
    session: u64,
    /// Whether the client has confirmed it.
    confirmed: bool,
}

impl AheadOfLog {
    /// Notes that a message is handed to a session.
    pub fn note(&mut self, seq: i64, session: u64) {
        self.had.insert(seq, Had { session, confirmed: false });
        if self.had.len() > MOST {
            self.had.pop_first();
        }
    }

    /// Whether a session may be handed this message, and all that it has not confirmed is still remembered.
    pub fn has_room_for(&self, seq: i64, session: u64) -> bool {
        let open = |had: &&Had| had.session == session && !had.confirmed;
        let is_kept = self.had.len() < MOST || self.had.keys().next().is_some_and(|it| *it < seq);
        is_kept && self.had.values().filter(open).count() < MOST / 2
    }

    /// Notes that a session has no room for a message that it was noted to get.
    pub fn take_back(&mut self, seq: i64, session: u64) {
        if self.is_due_from(seq, session) {
            self.had.remove(&seq);
        }
    }

    /// Whether a session that reads the log skips this message.
    pub fn is_had(&self, seq: i64, session: u64) -> bool {
        self.had.get(&seq).is_some_and(|had| had.confirmed || had.session == session)
    }

    /// Whether this session is responsible for the message: it got it, and has not confirmed it.
    pub fn is_due_from(&self, seq: i64, session: u64) -> bool {
        self.had.get(&seq).is_some_and(|had| had.session == session && !had.confirmed)
    }

    /// Whether it is remembered that anybody got this message.
    pub fn is_noted(&self, seq: i64) -> bool {
        self.had.contains_key(&seq)
    }

    /// Whether a client has confirmed this message.
    pub fn is_confirmed(&self, seq: i64) -> bool {
        self.had.get(&seq).is_some_and(|had| had.confirmed)
    }

    /// Notes that the client of the session that got it has confirmed it.
    pub fn confirm(&mut self, seq: i64) {
        if let Some(had) = self.had.get_mut(&seq) {
            had.confirmed = true;
        }
    }

    /// Returns the highest confirmed number up to this number.
    pub fn confirmed_up_to(&self, seq: i64) -> Option<i64> {
        let mut up_to = self.had.range(..=seq).rev();
        up_to.find(|(_, had)| had.confirmed).map(|(seq, _)| *seq)
    }

    /// Notes that a message which could be handed to nobody was stored once more. It is now for all
    /// devices, whatever its address says.
    pub fn note_late(&mut self, seq: i64) {
        self.late.insert(seq);
        if self.late.len() > MOST {
            self.late.pop_first();
        }
    }

    /// Whether this message was stored once more for all devices.
    pub fn is_late(&self, seq: i64) -> bool {
        self.late.contains(&seq)
    }

    /// Whether no message was handed out ahead of the log.
    pub fn is_empty(&self) -> bool {
        self.had.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_confirmed_is_had_by_all_and_what_is_not_by_its_session() {
        let mut early = AheadOfLog::default();
        early.note(7, 1);

        assert!(early.is_had(7, 1) && !early.is_had(7, 2) && !early.is_had(8, 1));
        assert_eq!(early.confirmed_up_to(9), None);

        early.confirm(7);

        assert!(early.is_had(7, 2));
        assert_eq!((early.confirmed_up_to(9), early.confirmed_up_to(6)), (Some(7), None));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut early = AheadOfLog::default();
        for seq in 1..=MOST as i64 + 2 {
            early.note(seq, 1);
        }
        assert!(!early.is_had(2, 1) && early.is_had(3, 1));
    }
}
