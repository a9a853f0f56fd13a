//! Messages for one device alone that it has not confirmed: they wait for it in the log, since its queue
//! had no room or it reads there, or they are on their way to it. No other device gets them. Until it
//! has confirmed them, or somebody else has them, no confirmation moves the account's cursor past them.

use std::collections::BTreeMap;

/// The numbers of such messages, by session.
#[derive(Debug, Default)]
pub(crate) struct WaitingAlone {
    of: BTreeMap<u64, Waiting>,
    /// The highest number that was confirmed and does not count yet.
    held_back: i64,
}

/// What waits for one session. Each is the first and the last number of a range: the log and the queue
/// know which of it they are.
#[derive(Debug, Default)]
struct Waiting {
    /// What waits in the log.
    in_log: Option<(i64, i64)>,
    /// What is queued, or sent.
    open: Option<(i64, i64)>,
    /// Whether the session has ended, and what was open is handed on.
    is_left: bool,
    /// Whether somebody hands on what waits in the log.
    is_handed_on: bool,
}

/// What has to be done about what waits for a session that does not read the log, or has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// To hand on what waits in the log, from the first number to the last.
    HandOn(i64, i64),
    /// To confirm what was open, and is handed on: nothing waits any more.
    Confirm,
    /// Nothing.
    Nothing,
}

impl Waiting {
    fn first(&self) -> Option<i64> {
        let first = |range: Option<(i64, i64)>| range.map(|(first, _)| first);
        first(self.in_log).into_iter().chain(first(self.open)).min()
    }

    fn next(&self) -> Next {
        match (self.in_log, self.open) {
            (Some((first, last)), _) => Next::HandOn(first, last),
            (None, Some(_)) if self.is_left => Next::Confirm,
            (None, _) => Next::Nothing,
        }
    }
}

fn widen(range: &mut Option<(i64, i64)>, seq: i64) {
    let (first, last) = range.unwrap_or((seq, seq));
    *range = Some((first.min(seq), last.max(seq)));
}

impl WaitingAlone {
    /// Notes that a message waits in the log for a session alone.
    pub fn note_in_log(&mut self, session: u64, seq: i64) {
        widen(&mut self.of.entry(session).or_default().in_log, seq);
    }

    /// Notes that a message is queued for a session alone.
    pub fn note_open(&mut self, session: u64, seq: i64) {
        widen(&mut self.of.entry(session).or_default().open, seq);
    }

    /// Notes that a message from the log is queued for a session. If it is in the range of what waits
    /// there for it alone, it may be one of them.
    pub fn note_logged(&mut self, session: u64, seq: i64) {
        let in_log = self.of.get(&session).and_then(|waiting| waiting.in_log);
        if in_log.is_some_and(|(first, last)| (first..=last).contains(&seq)) {
            self.note_open(session, seq);
        }
    }

    /// Notes that nothing waits in the log for a session alone up to this number.
    pub fn came(&mut self, session: u64, up_to: i64) {
        self.change(session, |waiting| {
            waiting.in_log = waiting.in_log.filter(|(_, last)| up_to < *last);
            waiting.in_log.iter_mut().for_each(|range| range.0 = range.0.max(up_to + 1));
        });
    }

    /// Notes that a session has confirmed something. `first_open` is the first number of a range that it
    /// has not. Returns false if nothing was open.
    pub fn confirmed(
        &mut self,
        session: u64,
        first_open: impl FnOnce(i64, i64) -> Option<i64>,
    ) -> bool {
        let was_open = self.of.get(&session).is_some_and(|waiting| waiting.open.is_some());
        if was_open {
            self.change(session, |waiting| {
                waiting.open = waiting
                    .open
                    .and_then(|(first, last)| first_open(first, last).map(|first| (first, last)));
            });
        }
        was_open
    }

    /// Notes that a session has ended, and what was open is handed on.
    pub fn leave(&mut self, session: u64) {
        self.change(session, |waiting| waiting.is_left = true);
    }

    /// Begins to hand on what waits for a session in the log. Returns false if nothing does, or somebody
    /// does that already.
    pub fn begin(&mut self, session: u64) -> bool {
        let Some(waiting) = self.of.get_mut(&session) else { return false };
        let is_due = waiting.next() != Next::Nothing;
        is_due && !std::mem::replace(&mut waiting.is_handed_on, true)
    }

    /// What whoever has begun does next, if the session does not read the log. If there is nothing, this
    /// was the end.
    pub fn next(&mut self, session: u64, reads_log: bool) -> Next {
        let Some(waiting) = self.of.get_mut(&session) else { return Next::Nothing };
        let next = if reads_log { Next::Nothing } else { waiting.next() };
        waiting.is_handed_on = next != Next::Nothing;
        next
    }

    /// Whether anything waits for a session.
    pub fn is_for(&self, session: u64) -> bool {
        self.of.contains_key(&session)
    }

    /// What waits for a session in the log, from the first number to the last.
    #[cfg(test)]
    pub fn in_log(&self, session: u64) -> Option<(i64, i64)> {
        self.of.get(&session)?.in_log
    }

    /// Notes that nothing waits for a session any more.
    pub fn end(&mut self, session: u64) {
        self.of.remove(&session);
    }

    /// Returns how much of a confirmation counts now. The rest is held back.
    pub fn confirm(&mut self, seq: i64) -> i64 {
        let first = self.of.values().filter_map(Waiting::first).min();
        let Some(first) = first.filter(|first| *first <= seq) else { return seq };
        self.held_back = self.held_back.max(seq);
        first - 1
    }

    /// What was held back; it has to be confirmed again when less waits.
    pub fn held_back(&self) -> i64 {
        self.held_back
    }

    /// The same, as far as a session need not read it in the log: what others have that was for them alone
    /// is none of its business, but what waits for it alone is.
    pub fn held_back_for(&self, session: u64) -> i64 {
        if self.is_for(session) { 0 } else { self.held_back }
    }

    /// Changes what waits for a session, and forgets it if nothing does.
    fn change(&mut self, session: u64, change: impl FnOnce(&mut Waiting)) {
        let Some(waiting) = self.of.get_mut(&session) else { return };
        change(waiting);
        if waiting.first().is_none() {
            self.of.remove(&session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_confirmed_past_the_first_message_that_waits_for_any_session() {
        let mut waiting = WaitingAlone::default();
        assert_eq!(waiting.confirm(9), 9);
        waiting.note_in_log(1, 5);
        waiting.note_in_log(1, 7);
        waiting.note_open(2, 6);

        assert_eq!((waiting.confirm(4), waiting.confirm(8)), (4, 4));
        waiting.came(1, 5);
        assert_eq!((waiting.in_log(1), waiting.confirm(8)), (Some((6, 7)), 5));
        waiting.came(1, 7);
        assert_eq!((waiting.in_log(1), waiting.confirm(8)), (None, 5));
        assert_eq!((waiting.held_back_for(1), waiting.held_back_for(2)), (8, 0));
        assert!(waiting.confirmed(2, |_, _| None));

        assert_eq!((waiting.held_back(), waiting.confirm(8)), (8, 8));
        assert!(!waiting.confirmed(2, |_, _| None));
    }

    #[test]
    fn what_comes_from_the_log_waits_until_it_is_confirmed() {
        let mut waiting = WaitingAlone::default();
        waiting.note_in_log(1, 5);
        waiting.note_in_log(1, 7);
        for seq in 4..=8 {
            waiting.note_logged(1, seq);
        }
        waiting.came(1, 8);

        assert_eq!(waiting.confirm(9), 4);
        assert!(waiting.confirmed(1, |first, last| {
            assert_eq!((first, last), (5, 7));
            Some(6)
        }));
        assert_eq!(waiting.confirm(9), 5);
    }

    #[test]
    fn one_hands_on_what_waits_and_only_when_the_session_does_not_read_it() {
        let mut waiting = WaitingAlone::default();
        assert!(!waiting.begin(1));
        waiting.note_open(1, 5);
        assert!(!waiting.begin(1));
        waiting.note_in_log(1, 7);

        assert!(waiting.begin(1) && !waiting.begin(1));
        assert_eq!(waiting.next(1, true), Next::Nothing);
        assert!(waiting.begin(1) && !waiting.begin(1));
        assert_eq!(waiting.next(1, false), Next::HandOn(7, 7));
        waiting.came(1, 7);
        assert_eq!(waiting.next(1, false), Next::Nothing);
        waiting.leave(1);
        assert!(waiting.begin(1));
        assert_eq!((waiting.next(1, false), waiting.confirm(9)), (Next::Confirm, 4));
        waiting.end(1);

        assert_eq!((waiting.next(1, false), waiting.confirm(9)), (Next::Nothing, 9));
    }
}
