//! Messages for one device alone that wait for it in the log, since its queue had no room or it
//! reads there: no other device gets them. Until they have come to it, or it has ended and somebody
//! else has them, no confirmation moves the account's cursor past them.

use std::collections::BTreeMap;

/// The numbers of such messages, by session. They are kept as a range: the log knows which they are.
#[derive(Debug, Default)]
pub(crate) struct WaitingAlone {
    /// The first and the last number of each session.
    of: BTreeMap<u64, (i64, i64)>,
    /// The highest number that was confirmed and does not count yet.
    held_back: i64,
}

impl WaitingAlone {
    /// Notes that a message waits for a session alone.
    pub fn note(&mut self, session: u64, seq: i64) {
        let range = self.of.entry(session).or_insert((seq, seq));
        *range = (range.0.min(seq), range.1.max(seq));
    }

    /// Notes that everything up to this number has come to a session.
    pub fn came(&mut self, session: u64, up_to: i64) {
        let Some(range) = self.of.get_mut(&session) else { return };
        match up_to < range.1 {
            true => range.0 = range.0.max(up_to + 1),
            false => self.end(session),
        }
    }

    /// The first and the last number of what waits for a session.
    pub fn of(&self, session: u64) -> Option<(i64, i64)> {
        self.of.get(&session).copied()
    }

    /// Notes that nothing waits for a session any more.
    pub fn end(&mut self, session: u64) {
        self.of.remove(&session);
    }

    /// Returns how much of a confirmation counts now. The rest is held back.
    pub fn confirm(&mut self, seq: i64) -> i64 {
        let first = self.of.values().map(|(first, _)| *first).min();
        let Some(first) = first.filter(|first| *first <= seq) else { return seq };
        self.held_back = self.held_back.max(seq);
        first - 1
    }

    /// What was held back; it has to be confirmed again when less waits.
    pub fn held_back(&self) -> i64 {
        self.held_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_confirmed_past_the_first_message_that_waits_for_any_session() {
        let mut waiting = WaitingAlone::default();
        assert_eq!(waiting.confirm(9), 9);
        waiting.note(1, 5);
        waiting.note(1, 7);
        waiting.note(2, 6);

        assert_eq!((waiting.confirm(4), waiting.confirm(8)), (4, 4));
        waiting.came(1, 5);
        assert_eq!((waiting.of(1), waiting.confirm(8)), (Some((6, 7)), 5));
        waiting.came(1, 7);
        waiting.end(2);

        assert_eq!((waiting.of(1), waiting.held_back(), waiting.confirm(8)), (None, 8, 8));
    }
}
