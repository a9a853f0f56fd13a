//! How much of somebody's work, an account's or a room's, is on its way through the keeper: posted
//! there, and not finished.

use std::sync::atomic::{AtomicU32, Ordering};

/// How much was posted and how much of it is finished, each in the order of the keeper's lane. The
/// counts may wrap around.
#[derive(Debug, Default)]
pub struct Underway {
    begun: AtomicU32,
    finished: AtomicU32,
}

impl Underway {
    /// Counts work that is about to be posted.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether anything was ever posted.
    pub fn was_ever(&self) -> bool {
        self.mark() != 0
    }

    /// Returns how much is on its way.
    pub(crate) fn count(&self) -> u32 {
        // Whatever is finished was begun, so it is read first.
        let finished = self.finished.load(Ordering::Acquire);
        self.begun.load(Ordering::Acquire).wrapping_sub(finished)
    }

    /// Counts work that is committed or refused, after its recipient has it.
    pub fn finish(&self) {
        self.finished.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether anything is on its way.
    pub fn is_open(&self) -> bool {
        self.finished.load(Ordering::Acquire) != self.begun.load(Ordering::Acquire)
    }

    /// Returns a mark: how much has been posted so far.
    pub(crate) fn mark(&self) -> u32 {
        self.begun.load(Ordering::Acquire)
    }

    /// Whether everything that had been posted up to this mark is finished.
    pub(crate) fn is_past(&self, mark: u32) -> bool {
        // Never more than half of the number range is on its way, so the comparison may wrap
        // around.
        self.finished.load(Ordering::Acquire).wrapping_sub(mark) < u32::MAX / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_posted_later_is_not_waited_for() {
        let underway = Underway::default();
        assert!(!underway.was_ever());
        underway.begin();
        let mark = underway.mark();
        underway.begin();
        assert!(underway.is_open() && !underway.is_past(mark));

        underway.finish();

        assert!(underway.is_open() && underway.is_past(mark));
        underway.finish();
        assert!(!underway.is_open() && underway.is_past(underway.mark()) && underway.was_ever());
    }

    #[test]
    fn the_counts_may_go_round() {
        let underway =
            Underway { begun: AtomicU32::new(u32::MAX), finished: AtomicU32::new(u32::MAX) };
        underway.begin();

        let mark = underway.mark();

        assert!(!underway.is_past(mark));
        underway.finish();
        assert!(underway.is_past(mark) && !underway.is_open());
    }
}
