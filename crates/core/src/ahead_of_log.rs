//! Messages of the log that a session got before it reads the log: they were addressed to it alone
//! (RFC 6121, 8.5.3.1), and it was not available; or to another one alone, which never had them.
//!
//! When the log is read after all, by this session or, once they are confirmed, by any, they are
//! passed over. And what a client says of them counts for the cursor only when nothing before them
//! is open: a confirmation of one must not take along messages that still wait.

use std::collections::{BTreeMap, BTreeSet};

/// So many are remembered for an account, as long as the server runs. The oldest beyond that may
/// come again when the log is read. (That the cursor has passed them does not say so: another
/// session can be reading behind it.)
const MOST: usize = 64;

/// Their numbers, and who has them.
#[derive(Debug, Default)]
pub(crate) struct AheadOfLog {
    had: BTreeMap<i64, Had>,
    late: BTreeSet<i64>,
}

#[derive(Debug)]
struct Had {
    /// The session it was handed to.
    session: u64,
    /// Its client has said so.
    confirmed: bool,
}

impl AheadOfLog {
    /// One is handed to a session.
    pub fn note(&mut self, seq: i64, session: u64) {
        self.had.insert(seq, Had { session, confirmed: false });
        if self.had.len() > MOST {
            self.had.pop_first();
        }
    }

    /// Whether a session that reads the log passes it over.
    pub fn is_had(&self, seq: i64, session: u64) -> bool {
        self.had.get(&seq).is_some_and(|had| had.confirmed || had.session == session)
    }

    /// Whether this session answers for it: it was handed to it, and is not confirmed.
    pub fn is_due_from(&self, seq: i64, session: u64) -> bool {
        self.had.get(&seq).is_some_and(|had| had.session == session && !had.confirmed)
    }

    /// Whether a client has it for certain.
    pub fn is_confirmed(&self, seq: i64) -> bool {
        self.had.get(&seq).is_some_and(|had| had.confirmed)
    }

    /// The client it was handed to has it.
    pub fn confirm(&mut self, seq: i64) {
        if let Some(had) = self.had.get_mut(&seq) {
            had.confirmed = true;
        }
    }

    /// The highest that is confirmed up to this number.
    pub fn confirmed_up_to(&self, seq: i64) -> Option<i64> {
        let mut up_to = self.had.range(..=seq).rev();
        up_to.find(|(_, had)| had.confirmed).map(|(seq, _)| *seq)
    }

    /// One that nobody could be handed was stored once more, and is for all now, whatever its
    /// address says.
    pub fn note_late(&mut self, seq: i64) {
        self.late.insert(seq);
        if self.late.len() > MOST {
            self.late.pop_first();
        }
    }

    /// Whether this is one of those.
    pub fn is_late(&self, seq: i64) -> bool {
        self.late.contains(&seq)
    }

    /// Whether none was handed out early.
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
