//! How often a connection writes others' presence.
//!
//! When very many log in at once, as after a restart where everybody sees everybody, each of them
//! is told to all. Written one by one, these are as many system calls as there are pairs. So after
//! some at once, presence waits for more of it, a quarter of a second at most, and is written
//! together. Everything else is written as it comes, and takes along the presence before it.

use std::time::Duration;

use whoelse_core::Steady;

/// Writes at once: more than one person's changes, which are bounded as well.
const AT_ONCE: u32 = 32;
/// Then one each time.
const EACH: Duration = Duration::from_millis(250);

/// What a connection has left of its writes.
#[derive(Default)]
pub(super) struct PresencePace {
    /// When all of them are there again.
    full_at: Steady,
}

impl PresencePace {
    /// Notes a write of presence. Returns until when more of it should wait, if it should.
    pub fn wrote(&mut self, now: Steady) -> Option<Steady> {
        // Presence that goes along with something else must not make the next wait longer.
        let latest = now.after(EACH * (AT_ONCE + 1));
        self.full_at = self.full_at.max(now).after(EACH).min(latest);
        let over = self.full_at.since(now).checked_sub(EACH * AT_ONCE)?;
        (!over.is_zero()).then(|| now.after(over))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn some_are_written_at_once_and_then_four_a_second() {
        let (mut pace, mut now) = (PresencePace::default(), Steady(1_000_000));
        assert!((0..AT_ONCE).all(|_| pace.wrote(now).is_none()));

        for _ in 0..100 {
            let until = pace.wrote(now).unwrap();
            assert_eq!(until, now.after(EACH));
            now = until;
        }
    }

    #[test]
    fn no_wait_is_longer_than_one_time_however_often_presence_went_along() {
        let (mut pace, now) = (PresencePace::default(), Steady(1_000_000));
        for _ in 0..1_000 {
            assert!(pace.wrote(now).is_none_or(|until| until <= now.after(EACH)));
        }
    }

    #[test]
    fn who_writes_seldom_never_waits() {
        let (mut pace, mut now) = (PresencePace::default(), Steady(1_000_000));
        for _ in 0..1_000 {
            assert_eq!(pace.wrote(now), None);
            now = now.after(EACH);
        }
        now = now.after(EACH * AT_ONCE);
        assert!((0..AT_ONCE).all(|_| pace.wrote(now).is_none()));
        assert!(pace.wrote(now).is_some());
    }
}
