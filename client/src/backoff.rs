//! How long to wait before the next try to reach the server.
//!
//! The first try comes almost at once, because most losses are short. Later ones come further
//! apart, each with some chance in it, so that the clients of a server that was restarted do not
//! all come back in the same moment.

use std::time::Duration;

/// The longest waiting times before the first, second … try; the last one repeats.
const STEPS: [u64; 8] = [200, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
/// A connection that held this long has earned a quick first try.
const HELD: Duration = Duration::from_secs(30);

/// The waiting times of one session.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: usize,
}

impl Backoff {
    /// A connection held for some time, and broke.
    pub(crate) fn connected_for(&mut self, time: Duration) {
        if time >= HELD {
            self.tries = 0;
        }
    }

    /// How long to wait now: between half of this step and all of it.
    pub(crate) fn next(&mut self) -> Duration {
        let [random] = whoelse_stream::token::random::<1>();
        let step = STEPS.get(self.tries).or(STEPS.last()).copied().unwrap_or_default();
        self.tries = self.tries.saturating_add(1);
        Duration::from_millis(step / 2 + step * u64::from(random) / 512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_come_at_once_at_first_and_then_further_apart() {
        let mut backoff = Backoff::default();

        for step in STEPS.iter().chain([&30_000, &30_000]) {
            let wait = backoff.next();
            let step = Duration::from_millis(*step);
            assert!(step / 2 <= wait && wait <= step, "{wait:?}");
        }
    }

    #[test]
    fn a_connection_that_held_is_sought_at_once_and_one_that_did_not_is_not() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.next();
        }

        backoff.connected_for(HELD - Duration::from_millis(1));
        assert!(backoff.next() >= Duration::from_secs(4));

        backoff.connected_for(HELD);
        assert!(backoff.next() < Duration::from_secs(1));
    }
}
