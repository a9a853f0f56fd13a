//! Clock suspicion: whether to believe the wall clock; and *even time*, from which ages are
//! counted.
//!
//! An old message is deleted, but the wall cannot say how old it is: one start with a wrong year
//! would delete everything. While the server runs, a steady clock counts. Only the time that the
//! server was down has to be taken from the wall, and up to [`BELIEVED`] the wall is believed. More
//! than that, or a negative time, is doubted: it is not counted, and nothing is deleted, until
//! somebody vouches for the wall. This is pure: time is handed in.

use std::time::Duration;

use whoelse_store::{ClockDoubt, Heartbeat};

use crate::clock::{Time, micros};

/// How long a server may have been down, or how far a clock may jump ahead, without doubt.
pub const BELIEVED: Duration = Duration::from_secs(30 * 86_400);
/// After so long without another disagreement, summed over restarts, the wall is believed although
/// nobody vouches for it.
pub const ENOUGH: Duration = Duration::from_secs(86_400);
/// 2026-01-01T00:00:00Z. No server of ours existed before, so an earlier wall is wrong, however
/// long it stays so: a machine without a battery begins in 1970.
pub(crate) const EARLIEST: Time = Time(1_767_225_600_000_000);

/// Why the wall is doubted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// There is nothing to compare the wall with: the server has never run before.
    Unproven,
    /// The wall is earlier than it was before, by this much.
    Behind(Duration),
    /// The wall is later than it can be, by this much.
    Ahead(Duration),
}

impl Why {
    /// Reads a reason from its stored number: see [`ClockDoubt::gap`].
    pub fn of(gap: i64) -> Why {
        let by = Duration::from_micros(gap.unsigned_abs());
        match gap {
            0 => Why::Unproven,
            ..0 => Why::Behind(by),
            1.. => Why::Ahead(by),
        }
    }

    fn gap(self) -> i64 {
        match self {
            Why::Unproven => 0,
            Why::Behind(by) => -micros(by),
            Why::Ahead(by) => micros(by),
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Unproven => f.write_str("nothing is known yet to compare it with"),
            Why::Behind(by) => write!(f, "it went back by {}", length_in_words(*by)),
            Why::Ahead(by) => {
                write!(f, "it is ahead of what was expected by {}", length_in_words(*by))
            }
        }
    }
}

/// Formats a duration as people say it, in the largest unit that is exact enough.
fn length_in_words(length: Duration) -> String {
    match length.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Who or what says that the wall is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voucher {
    /// The system, which keeps it with a time server.
    System,
    /// The operator.
    Operator,
    /// Nobody, but the wall has been consistent for [`ENOUGH`].
    Uptime,
}

impl Voucher {
    /// A word for the log.
    pub fn name(self) -> &'static str {
        match self {
            Voucher::System => "system",
            Voucher::Operator => "operator",
            Voucher::Uptime => "uptime",
        }
    }
}

/// A doubt: the state while the wall is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// When it began, in even time. Messages kept since then are renewed when the doubt ends.
    pub since: Time,
    /// How long the server has been up since the last disagreement.
    pub up: Duration,
    /// How much time has passed by the wall that was not counted.
    pub claim: Duration,
    /// The latest reason.
    pub why: Why,
}

/// What was read from the clocks at one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The wall.
    pub wall: Time,
    /// Even time.
    pub even: Time,
    /// The doubt, if the wall is doubted.
    pub doubt: Option<Doubt>,
}

impl Reading {
    /// Makes the first look of a run, given the last one of the run before.
    pub fn at_start(last: Option<Reading>, wall: Time) -> Reading {
        let Some(last) = last else {
            let zero = Duration::ZERO;
            let doubt = Doubt { since: wall, up: zero, claim: zero, why: Why::Unproven };
            return Reading { wall, even: wall, doubt: Some(doubt) };
        };
        let down = wall.since(last.wall);
        let counted = if down <= BELIEVED { down } else { Duration::ZERO };
        let doubt = last.doubt_at(wall, counted, down - counted);
        Reading { wall, even: last.even.after(counted), doubt }
    }

    /// Makes the next look, this long after the one before.
    pub fn later(self, wall: Time, passed: Duration) -> Reading {
        let mut doubt = self.doubt_at(wall, passed, Duration::ZERO);
        if let Some(doubt) = &mut doubt
            && disagreement(self.wall, passed, wall).is_none()
        {
            doubt.up += passed;
        }
        Reading { wall, even: self.even.after(passed), doubt }
    }

    /// Returns the doubt after another look, or none. `claim` is the time beyond what is counted
    /// that a wall that was believed until then says has passed.
    fn doubt_at(&self, wall: Time, passed: Duration, claim: Duration) -> Option<Doubt> {
        let found = disagreement(self.wall, passed, wall);
        match (self.doubt, found) {
            (None, None) => None,
            (None, Some(why)) => Some(Doubt { since: self.even, up: Duration::ZERO, claim, why }),
            (Some(doubt), found) => {
                let mut claim = doubt.claim;
                // A wall that was never believed has not said how much time has passed. The change
                // by which it is set says more about that.
                if !claim.is_zero() {
                    let expected = self.wall.after(passed);
                    claim = (claim + wall.since(expected)).saturating_sub(expected.since(wall));
                }
                let (up, why) = match found {
                    Some(why) => (Duration::ZERO, why),
                    None => (doubt.up, doubt.why),
                };
                Some(Doubt { claim, up, why, ..doubt })
            }
        }
    }

    /// Whether the wall has been consistent for long enough to be believed without a witness.
    pub fn is_proven(&self) -> bool {
        self.wall >= EARLIEST && self.doubt.is_some_and(|doubt| doubt.up >= ENOUGH)
    }

    /// Returns the same look after somebody has vouched for the wall: the time that the wall says
    /// has passed counts.
    pub fn vouched_for(self) -> Reading {
        let claim = self.doubt.map(|doubt| doubt.claim).unwrap_or_default();
        Reading { even: self.even.after(claim), doubt: None, ..self }
    }
}

/// Whether the wall differs from what is possible, this long after the look before.
fn disagreement(before: Time, passed: Duration, wall: Time) -> Option<Why> {
    let ahead = wall.since(before.after(passed));
    if wall < before {
        Some(Why::Behind(before.since(wall)))
    } else if ahead > BELIEVED {
        Some(Why::Ahead(ahead))
    } else {
        None
    }
}

fn length(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

impl From<Reading> for Heartbeat {
    fn from(seen: Reading) -> Heartbeat {
        let doubt = seen.doubt.map(|doubt| ClockDoubt {
            since: doubt.since.0,
            up: micros(doubt.up),
            claim: micros(doubt.claim),
            gap: doubt.why.gap(),
        });
        Heartbeat { wall: seen.wall.0, even: seen.even.0, doubt }
    }
}

impl From<Heartbeat> for Reading {
    fn from(beat: Heartbeat) -> Reading {
        let doubt = beat.doubt.map(|doubt| Doubt {
            since: Time(doubt.since),
            up: length(doubt.up),
            claim: length(doubt.claim),
            why: Why::of(doubt.gap),
        });
        Reading { wall: Time(beat.wall), even: Time(beat.even), doubt }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);
    const HALF: Duration = Duration::from_secs(30);
    const NOW: Time = Time(1_800_000_000_000_000);
    const ZERO: Duration = Duration::ZERO;

    fn believed(wall: Time, even: Time) -> Reading {
        Reading { wall, even, doubt: None }
    }

    fn claim(seen: Reading) -> Duration {
        seen.doubt.unwrap_or_else(|| panic!("it is believed: {seen:?}")).claim
    }

    #[test]
    fn a_start_believes_a_wall_that_went_on_by_thirty_days_or_less() {
        let last = believed(NOW, NOW);
        for (wall, why, counted) in [
            (NOW, None, ZERO),
            (NOW.after(HALF), None, HALF),
            (NOW.after(DAY * 30), None, DAY * 30),
            (NOW.after(DAY * 31), Some(Why::Ahead(DAY * 31)), ZERO),
            (NOW.after(DAY * 400), Some(Why::Ahead(DAY * 400)), ZERO),
            (NOW.before(HALF), Some(Why::Behind(HALF)), ZERO),
            (Time(0), Some(Why::Behind(NOW.since(Time(0)))), ZERO),
        ] {
            let seen = Reading::at_start(Some(last), wall);

            assert_eq!(seen.doubt.map(|doubt| doubt.why), why, "{wall:?}");
            assert_eq!(seen.even, NOW.after(counted), "{wall:?}");
        }
    }

    #[test]
    fn the_first_start_of_all_has_nothing_to_compare_with() {
        let seen = Reading::at_start(None, NOW);

        assert_eq!(seen.doubt.map(|doubt| doubt.why), Some(Why::Unproven));
        assert_eq!(seen.even, NOW);
    }

    #[test]
    fn a_running_server_counts_what_has_passed_whatever_the_wall_says() {
        let last = believed(NOW, NOW);
        for (wall, why) in [
            (NOW.after(HALF), None),
            (NOW.after(HALF / 2), None),
            (NOW.after(DAY), None),
            (NOW.after(DAY * 30), None),
            (NOW.after(DAY * 31), Some(Why::Ahead(DAY * 31 - HALF))),
            (NOW.before(HALF), Some(Why::Behind(HALF))),
        ] {
            let seen = last.later(wall, HALF);

            assert_eq!(seen.doubt.map(|doubt| doubt.why), why, "{wall:?}");
            assert_eq!(seen.even, NOW.after(HALF), "{wall:?}");
            assert_eq!(seen.vouched_for().even, NOW.after(HALF), "{wall:?}");
        }
        // A machine that slept for this long has not jumped.
        assert_eq!(last.later(NOW.after(DAY * 60), DAY * 60).doubt, None);
    }

    #[test]
    fn what_a_long_absence_claims_counts_once_somebody_vouches_for_it() {
        let seen = Reading::at_start(Some(believed(NOW, NOW)), NOW.after(DAY * 400));

        assert_eq!(claim(seen), DAY * 400);
        let later = seen.later(NOW.after(DAY * 400 + HALF), HALF);
        assert_eq!(later.even, NOW.after(HALF));
        assert_eq!(
            later.vouched_for(),
            believed(NOW.after(DAY * 400 + HALF), NOW.after(DAY * 400 + HALF))
        );
    }

    #[test]
    fn a_wrong_start_that_is_put_right_claims_nothing() {
        let wrong = Reading::at_start(Some(believed(NOW, NOW)), NOW.after(DAY * 400));
        let running = wrong.later(NOW.after(HALF), HALF);
        let restarted = Reading::at_start(Some(wrong), NOW.after(HALF));

        for right in [running, restarted] {
            assert!(claim(right) <= HALF, "{right:?}");
            assert!(right.vouched_for().even <= NOW.after(HALF * 2), "{right:?}");
        }
    }

    #[test]
    fn a_wall_that_was_never_believed_claims_nothing_when_it_is_set() {
        // A machine without a battery: first in 1970, and later, with a network, right.
        let born = Reading::at_start(None, Time(0)).later(Time(30_000_000), HALF);
        let running = born.later(NOW, HALF);
        let restarted = Reading::at_start(Some(born), NOW);

        for set in [running, restarted] {
            assert_eq!(claim(set), ZERO, "{set:?}");
            assert!(set.vouched_for().even <= Time(0).after(HALF * 2), "{set:?}");
        }
    }

    #[test]
    fn a_day_of_uptime_over_restarts_is_enough_and_another_disagreement_begins_it_anew() {
        let mut seen = Reading::at_start(None, NOW);
        let mut wall = NOW;
        for _ in 0..3 {
            wall = wall.after(DAY / 4);
            seen = Reading::at_start(Some(seen.later(wall, DAY / 4)), wall);
            assert!(!seen.is_proven());
        }
        let proven = seen.later(wall.after(DAY / 4), DAY / 4);
        assert!(proven.is_proven());

        let set_back = seen.later(wall.before(HALF), HALF);
        assert_eq!(set_back.doubt.map(|doubt| doubt.up), Some(ZERO));
        let since = seen.doubt.map(|doubt| doubt.since);
        assert_eq!(set_back.doubt.map(|doubt| doubt.since), since);
    }

    #[test]
    fn no_uptime_proves_a_year_in_which_there_was_no_such_server() {
        let mut seen = Reading::at_start(None, Time(0));
        for day in 1..100 {
            seen = seen.later(Time(0).after(DAY * day), DAY);
        }

        assert!(!seen.is_proven());
        assert_eq!(seen.vouched_for().doubt, None);
    }

    #[test]
    fn what_was_seen_is_stored_and_comes_back() {
        let seen = Reading::at_start(Some(believed(NOW, Time(5))), NOW.before(HALF));

        for seen in [seen, seen.vouched_for(), Reading::at_start(None, NOW), seen.later(NOW, HALF)]
        {
            assert_eq!(Reading::from(Heartbeat::from(seen)), seen);
        }
    }

    #[test]
    fn lengths_are_said_in_a_unit_that_tells_enough() {
        for (length, words) in
            [(HALF, "30 s"), (DAY / 24, "60 min"), (DAY, "24 h"), (DAY * 400, "400 days")]
        {
            assert_eq!(length_in_words(length), words);
        }
    }
}
