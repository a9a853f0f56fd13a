//! Lasting conditions in the log: a full disk, a database that is away, no file descriptors left.
//!
//! Such a condition can show with every message. The log says once that it has begun, now and then
//! how often it showed, and once that it is over; the metrics count what failed. Every error that
//! can repeat without end is logged here and nowhere else; a tidy test checks this.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use whoelse_store::Error;

use crate::clock::{Clock, Steady};

/// What [`Lasting::failing`] says of a task that has panicked.
pub const FAULT_OF_OURS: &str = "a fault of ours, which the standard error has told about";

/// The disk is full, or fails: something could not be written or read.
const DISK_FULL: &str = "disk_full";
/// The database cannot be reached.
pub(crate) const DATABASE_LOST: &str = "database_lost";

/// How often a condition that lasts is logged again.
const AGAIN: Duration = Duration::from_secs(60);
/// A condition that did not show for this long is over, unless a success ended it sooner. Some
/// things are tried only once a minute.
const QUIET: Duration = Duration::from_secs(150);
/// A success this soon after a failure does not end the condition: small writes may work while
/// large ones fail.
const DOUBTFUL: Duration = Duration::from_secs(10);
/// How often to look which conditions are over.
pub(crate) const LOOK: Duration = Duration::from_secs(30);

/// The conditions that last at this moment, by name. The names are this program's, so there are
/// few.
pub struct Lasting {
    clock: Clock,
    /// Held for a look or a count.
    met: Mutex<HashMap<&'static str, Met>>,
    /// Whether there are any: a fast check for callers that report a success.
    any: AtomicBool,
}

/// How often a condition showed, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Met {
    /// How often, since it began.
    pub times: u64,
    since: Steady,
    last: Steady,
    said: Steady,
}

impl Met {
    /// How long it has lasted.
    pub fn lasted(&self) -> Duration {
        self.last.since(self.since)
    }
}

impl Lasting {
    /// Returns no conditions; `clock` says when one shows.
    pub fn new(clock: Clock) -> Lasting {
        Lasting { clock, met: Mutex::default(), any: AtomicBool::default() }
    }

    /// Notes that the condition showed. Returns what to log, if it is time to log something.
    pub fn met(&self, condition: &'static str, now: Steady) -> Option<Met> {
        self.any.store(true, Ordering::Release);
        let mut all = self.met.lock();
        let begun = Met { times: 0, since: now, last: now, said: now };
        let met = all.entry(condition).or_insert(begun);
        met.times += 1;
        met.last = now;
        let due = met.times == 1 || now.since(met.said) >= AGAIN;
        if due {
            met.said = now;
        }
        due.then_some(*met)
    }

    /// Notes a success that contradicts this condition. Returns what to log, if the condition had
    /// begun and is over now.
    pub fn over(&self, condition: &str, now: Steady) -> Option<Met> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut all = self.met.lock();
        all.get(condition).filter(|met| now.since(met.last) >= DOUBTFUL)?;
        let met = all.remove(condition);
        self.any.store(!all.is_empty(), Ordering::Release);
        met
    }

    /// Returns the conditions that did not show for a while.
    pub fn quiet(&self, now: Steady) -> Vec<(&'static str, Met)> {
        let mut all = self.met.lock();
        let mut over: Vec<_> = all.extract_if(|_, met| now.since(met.last) >= QUIET).collect();
        over.sort_unstable_by_key(|(condition, _)| *condition);
        self.any.store(!all.is_empty(), Ordering::Release);
        over
    }
}

impl Lasting {
    /// Logs a failure that may repeat. `event` names it; `account` is the account that it hit this
    /// time.
    pub fn failing(&self, event: &'static str, account: Option<&dyn Display>, error: &dyn Display) {
        if let Some(met) = self.met(event, self.clock.steady()) {
            let account = account.map(tracing::field::display);
            let (times, seconds) = (met.times, met.lasted().as_secs());
            tracing::error!(account, %error, times, seconds, "{event}");
        }
    }

    /// Like [`Lasting::failing`], for an error of the store. A full disk and an unreachable database
    /// are each one condition, whatever meets them; `event` then says what did. What is no fault is not
    /// logged.
    pub fn store_failing(&self, event: &'static str, account: Option<&dyn Display>, error: &Error) {
        let condition = match error {
            Error::Full(_) => DISK_FULL,
            Error::Lost(_) => DATABASE_LOST,
            // The server is stopping, or whatever it was about has been removed meanwhile.
            Error::Closed | Error::Gone(_) => return,
            _ => return self.failing(event, account, error),
        };
        if let Some(met) = self.met(condition, self.clock.steady()) {
            let (times, seconds) = (met.times, met.lasted().as_secs());
            tracing::error!(met_by = event, %error, times, seconds, "{condition}");
        }
    }

    /// Notes that something was written: neither is the disk full, nor the database away.
    pub(crate) fn store_works(&self) {
        for condition in [DISK_FULL, DATABASE_LOST] {
            self.works(condition);
        }
    }

    /// Notes that what had failed under this name works again.
    pub fn works(&self, condition: &'static str) {
        if let Some(met) = self.over(condition, self.clock.steady()) {
            say_over(condition, met);
        }
    }

    /// Logs which conditions are over because they did not show for a while.
    pub(crate) fn look_for_quiet(&self) {
        for (condition, met) in self.quiet(self.clock.steady()) {
            say_over(condition, met);
        }
    }
}

fn say_over(condition: &'static str, met: Met) {
    tracing::info!(
        condition,
        times = met.times,
        seconds = met.lasted().as_secs(),
        "condition_over"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;

    fn at(seconds: i64) -> Steady {
        Steady(seconds * 1_000_000)
    }

    #[test]
    fn a_condition_is_said_once_and_then_once_a_minute() {
        let lasting = Lasting::new(Clock::manual(Time(0)));

        let said: Vec<u64> = (0..600)
            .flat_map(|tenth| lasting.met("disk_full", Steady(tenth * 500_000)))
            .map(|met| met.times)
            .collect();

        assert_eq!(said, [1, 121, 241, 361, 481]);
    }

    #[test]
    fn conditions_are_counted_apart() {
        let lasting = Lasting::new(Clock::manual(Time(0)));
        lasting.met("disk_full", at(0));

        assert!(lasting.met("accepting_paused", at(1)).is_some());
        assert_eq!(lasting.met("disk_full", at(1)), None);
    }

    #[test]
    fn the_end_is_said_once_with_how_often_and_how_long() {
        let lasting = Lasting::new(Clock::manual(Time(0)));
        assert_eq!(lasting.over("disk_full", at(0)), None);
        for second in 0..7 {
            lasting.met("disk_full", at(second));
            // A small write that has found room says nothing about the large ones.
            assert_eq!(lasting.over("disk_full", at(second)), None);
        }

        let met = lasting.over("disk_full", at(16));

        assert_eq!(met.map(|met| (met.times, met.lasted().as_secs())), Some((7, 6)));
        assert_eq!(lasting.over("disk_full", at(17)), None);
        // After that it may begin again.
        assert!(lasting.met("disk_full", at(18)).is_some());
    }

    #[test]
    fn what_nobody_meets_any_more_is_over() {
        let lasting = Lasting::new(Clock::manual(Time(0)));
        lasting.met("disk_full", at(0));
        lasting.met("metrics_failed", at(140));

        assert_eq!(lasting.quiet(at(149)), []);
        let over: Vec<_> = lasting.quiet(at(150)).into_iter().map(|(name, _)| name).collect();
        assert_eq!(over, ["disk_full"]);
        assert_eq!(lasting.quiet(at(151)), []);
    }
}
