//! Waiting times before reconnecting.
//!
//! The first attempt comes almost at once, because most losses are short. Later ones come further
//! apart and are randomised, so that the clients of a restarted server do not all come back at
//! once.

use std::time::Duration;

use tokio::time::sleep;

use crate::error::ConnectError;

/// The longest waiting times before the first, second … attempt; the last one repeats.
const STEPS: [u64; 8] = [200, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000];
/// A connection that held this long makes the next first attempt quick again.
const HELD: Duration = Duration::from_secs(30);

/// The waiting times of one session.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: usize,
}

impl Backoff {
    /// Takes note that a connection broke, after it held for this time.
    pub(crate) fn connected_for(&mut self, time: Duration) {
        if time >= HELD {
            self.tries = 0;
        }
    }

    /// Returns how long to wait now: between half of this step and all of it.
    pub(crate) fn next(&mut self) -> Duration {
        let [random] = whoelse_stream::token::random::<1>();
        let step = STEPS.get(self.tries).or(STEPS.last()).copied().unwrap_or_default();
        self.tries = self.tries.saturating_add(1);
        Duration::from_millis(step / 2 + step * u64::from(random) / 512)
    }
}

/// A bounded number of attempts at what may pass: a server that closes the connection at once, or has no
/// room for a session right now.
#[derive(Debug)]
pub(crate) struct Tries {
    left: usize,
    backoff: Backoff,
}

impl Tries {
    pub(crate) fn new(tries: usize) -> Tries {
        Tries { left: tries, backoff: Backoff::default() }
    }

    /// Waits until the next attempt is due. Returns the fault if there is no next attempt, because
    /// this was the last or another would be in vain.
    pub(crate) async fn after(&mut self, fault: ConnectError) -> Result<(), ConnectError> {
        sleep(self.wait_after(fault)?).await;
        Ok(())
    }

    /// Waits until the next attempt is due, where trying again can help. Returns false if this was the
    /// last.
    pub(crate) async fn once_more(&mut self) -> bool {
        let Some(wait) = self.wait_once_more() else { return false };
        sleep(wait).await;
        true
    }

    fn wait_once_more(&mut self) -> Option<Duration> {
        self.left = self.left.saturating_sub(1);
        (self.left > 0).then(|| self.backoff.next())
    }

    fn wait_after(&mut self, fault: ConnectError) -> Result<Duration, ConnectError> {
        // A server that answered a moment ago, and does not now, is restarting.
        let was_there = self.backoff.tries > 0;
        // A server that timed out was waited for already.
        let is_silent = matches!(fault, ConnectError::TimedOut { .. });
        match fault.is_passing() || was_there && fault.is_temporary() && !is_silent {
            true => self.wait_once_more().ok_or(fault),
            false => Err(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_closes_is_tried_so_often_and_no_more() {
        let mut tries = Tries::new(3);

        let wait = tries.wait_after(ConnectError::Ended).unwrap_or_default();
        assert!(wait >= Duration::from_millis(100));
        let busy = ConnectError::Busy("the server has no room for more".to_owned());
        let longer = tries.wait_after(busy).unwrap_or_default();
        assert!(longer >= Duration::from_millis(250));
        assert_eq!(tries.wait_after(ConnectError::Ended), Err(ConnectError::Ended));
    }

    #[test]
    fn what_may_pass_is_tried_so_often_within_some_seconds_and_no_more() {
        let mut tries = Tries::new(6);
        let waits: Vec<Duration> = std::iter::from_fn(|| tries.wait_once_more()).take(9).collect();

        assert_eq!(waits.len(), 5);
        let all = waits.iter().sum();
        assert!((Duration::from_secs(3)..Duration::from_secs(8)).contains(&all), "{all:?}");
    }

    #[test]
    fn where_nobody_is_one_try_will_do_unless_somebody_was_there_a_moment_ago() {
        let nobody = || ConnectError::Refused { address: "a.example:5222".to_owned() };
        assert_eq!(Tries::new(3).wait_after(nobody()), Err(nobody()));

        let mut restarting = Tries::new(3);
        assert!(restarting.wait_after(ConnectError::Ended).is_ok());
        assert!(restarting.wait_after(nobody()).is_ok());
        assert_eq!(restarting.wait_after(nobody()), Err(nobody()));
    }

    #[test]
    fn a_server_that_hangs_is_waited_for_once_even_if_it_has_closed_before() {
        let hung = || ConnectError::TimedOut { address: "a.example:5222".to_owned() };
        assert_eq!(Tries::new(3).wait_after(hung()), Err(hung()));

        let mut tries = Tries::new(3);
        assert!(tries.wait_after(ConnectError::Ended).is_ok());
        assert_eq!(tries.wait_after(hung()), Err(hung()));
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        let mut tries = Tries::new(3);
        assert!(tries.wait_after(ConnectError::Ended).is_ok());
        assert!(tries.wait_after(ConnectError::NoEncryption).is_err());
        let words = "the server does not know the domain asked for".to_owned();
        assert!(Tries::new(3).wait_after(ConnectError::Server(words)).is_err());
    }

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
