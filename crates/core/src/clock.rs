//! Time, handed in: the rules never ask the system what time it is.
//!
//! A clock tells two times, which are never mixed. *The wall* is a [`Time`]: it stamps what is
//! stored and shown to people, and it jumps when somebody sets the clock. [`Steady`] never jumps,
//! counts the machine's sleep too, and means nothing to another run: durations (a block, a timeout,
//! the wait for a resumption) are counted with it. What outlasts a restart is stored as a deadline
//! on the wall and read back with [`Moment::steady_at`], which bounds the time that is left.
//!
//! The node derives two more times, both a [`Time`]. *Even time* ([`Node::even_time`]) goes on over
//! restarts and is never set: ages are counted with it. *Unset time* ([`Node::unset_time`]) is what
//! the wall would say if nobody had set it since the start: deadlines that others are told use it.
//!
//! [`Node::even_time`]: crate::Node::even_time
//! [`Node::unset_time`]: crate::Node::unset_time
//!
//! A running server uses [`Clock::system`]. A scene uses [`Clock::manual`], which moves only when
//! the scene says so: both times together, or the wall alone.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

/// Microseconds in the smallest step of a stamp.
const STAMPED: i64 = 1000;
/// Seconds of the farthest offset from UTC that XML Schema knows: 14 hours.
const FARTHEST_ZONE: i64 = 14 * 3600;

/// A moment in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub i64);

impl Time {
    /// Never: later than every deadline.
    pub const NEVER: Time = Time(i64::MAX);

    /// The moment this much later.
    pub fn after(self, wait: Duration) -> Time {
        Time(self.0.saturating_add(micros(wait)))
    }

    /// The moment this much earlier, not before 1970.
    pub fn before(self, wait: Duration) -> Time {
        Time(self.0.saturating_sub(micros(wait)).max(0))
    }

    /// How long it is from `earlier` to this moment; zero if it is not earlier.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    /// Rounds this moment to what a [`stamp`](Time::stamp) can tell. A time that somebody is told
    /// and may ask for again is stored rounded: otherwise they would ask for an earlier moment.
    pub fn told(self) -> Time {
        Time(self.0.saturating_sub(self.0.rem_euclid(STAMPED)))
    }

    /// Returns the last moment that has the same stamp as this one.
    pub fn last_told_alike(self) -> Time {
        Time(self.told().0.saturating_add(STAMPED - 1))
    }

    /// XEP-0082: `2026-11-22T17:12:00.123Z`, in UTC.
    pub fn stamp(self) -> String {
        let millis = self.0.div_euclid(1000);
        let (seconds, millis) = (millis.div_euclid(1000), millis.rem_euclid(1000));
        let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }

    /// Reads an XEP-0082 DateTime, with `Z` or an offset; cuts off digits past microseconds. `None`
    /// also for a date that does not exist, such as a day that its month does not have or an hour
    /// that no day has. As in XML Schema there is no leap second, and 24:00:00 is the end of a day.
    pub fn parse_stamp(text: &str) -> Option<Time> {
        let digits = |range: std::ops::Range<usize>| -> Option<i64> {
            let part = text.get(range)?;
            part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
        };
        let at = |i: usize, c: u8| text.as_bytes().get(i) == Some(&c);
        let shape = at(4, b'-') && at(7, b'-') && at(10, b'T') && at(13, b':') && at(16, b':');
        let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
        let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
        let days = days(year, month, day);
        if !shape || civil(days) != (year, month, day) || minute > 59 || second > 59 {
            return None;
        }
        let rest = text.get(19..)?;
        let (fraction, zone) = match rest.strip_prefix('.') {
            Some(rest) => {
                let end = rest.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
                let (digits, zone) = rest.split_at(end);
                if digits.is_empty() {
                    return None;
                }
                let padded = format!("{digits:0<6}");
                (padded.get(..6)?.parse::<i64>().ok()?, zone)
            }
            None => (0, rest),
        };
        let of_day = hour * 3600 + minute * 60 + second;
        if hour > 23 && (of_day > 86_400 || fraction > 0) {
            return None;
        }
        let offset = match zone.as_bytes() {
            [b'Z'] => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
                let number = |a: &u8, b: &u8| -> Option<i64> {
                    (a.is_ascii_digit() && b.is_ascii_digit())
                        .then(|| i64::from(a - b'0') * 10 + i64::from(b - b'0'))
                };
                let (hours, minutes) = (number(h1, h2)?, number(m1, m2)?);
                let seconds = hours * 3600 + minutes * 60;
                if minutes > 59 || seconds > FARTHEST_ZONE {
                    return None;
                }
                if *sign == b'-' { -seconds } else { seconds }
            }
            _ => return None,
        };
        let seconds = days * 86_400 + of_day - offset;
        Some(Time(seconds * 1_000_000 + fraction))
    }
}

/// A moment on a clock that never jumps and that counts the machine's sleep, in microseconds since
/// an arbitrary start. It means something only to the run that took it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Steady(pub i64);

impl Steady {
    /// Never: later than every deadline.
    pub const NEVER: Steady = Steady(i64::MAX);

    /// The moment this much later.
    pub fn after(self, wait: Duration) -> Steady {
        Steady(self.0.saturating_add(micros(wait)))
    }

    /// How long it is from `earlier` to this moment; zero if it is not earlier.
    pub fn since(self, earlier: Steady) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }
}

/// The present moment by both clocks, for rules that count with one and store the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time on the wall.
    pub wall: Time,
    /// The same moment on the steady clock.
    pub steady: Steady,
}

impl Moment {
    /// Turns a stored deadline into steady time. No more is left of it than `at_most`, the duration
    /// that is set: the wall may have been set back since it was stored. A deadline that is over
    /// becomes now; an endless one stays endless.
    pub fn steady_at(self, stored: Time, at_most: Duration) -> Steady {
        match stored {
            Time::NEVER => Steady::NEVER,
            _ => self.steady.after(stored.since(self.wall).min(at_most)),
        }
    }

    /// Turns a deadline into the time that is stored and told to people. A deadline that is over
    /// becomes no later than now; an endless one stays endless.
    pub fn wall_at(self, deadline: Steady) -> Time {
        match deadline {
            Steady::NEVER => Time::NEVER,
            _ => Time(self.wall.0.saturating_add(deadline.0.saturating_sub(self.steady.0))),
        }
    }
}

/// A duration in microseconds, or the most that can be counted.
pub(crate) fn micros(wait: Duration) -> i64 {
    i64::try_from(wait.as_micros()).unwrap_or(i64::MAX)
}

/// Converts days since 1970-01-01 to year, month, day of the Gregorian calendar, by eras of 400
/// years.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

/// Where the time comes from.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

/// Asks the system whether it keeps its clock right.
pub type AskIfKept = fn() -> Pin<Box<dyn Future<Output = bool> + Send>>;

#[derive(Debug, Clone)]
enum Kind {
    System(Option<AskIfKept>),
    Manual(Arc<Mutex<Manual>>),
}

/// A clock that is moved by hand, and who waits on it, by deadline.
#[derive(Debug)]
struct Manual {
    wall: Time,
    /// Whether something keeps the wall right.
    kept: bool,
    steady: Steady,
    next_id: u64,
    waiting: BTreeMap<(Steady, u64), Waker>,
}

impl Clock {
    /// Returns the system's clock, with nothing to say whether it is kept right.
    pub fn system() -> Clock {
        Clock(Kind::System(None))
    }

    /// Returns the system's clock, with a function that asks whether the system keeps it right.
    pub fn system_kept(ask: AskIfKept) -> Clock {
        Clock(Kind::System(Some(ask)))
    }

    /// Returns a clock that says `start` until it is moved, and counts as kept right until it is
    /// set.
    pub fn manual(start: Time) -> Clock {
        let (next_id, waiting) = (0, BTreeMap::new());
        let manual = Manual { wall: start, kept: true, steady: BEGIN, next_id, waiting };
        Clock(Kind::Manual(Arc::new(Mutex::new(manual))))
    }

    /// The present moment on the wall: for stamps.
    pub fn now(&self) -> Time {
        match &self.0 {
            Kind::System(_) => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Time(micros(since))
            }
            Kind::Manual(manual) => manual.lock().wall,
        }
    }

    /// The present moment on the steady clock, for durations.
    pub fn steady(&self) -> Steady {
        match &self.0 {
            Kind::System(_) => {
                let since = clock_gettime(STEADY);
                Steady(since.tv_sec.saturating_mul(1_000_000).saturating_add(since.tv_nsec / 1000))
            }
            Kind::Manual(manual) => manual.lock().steady,
        }
    }

    /// The present moment by both clocks.
    pub fn moment(&self) -> Moment {
        Moment { wall: self.now(), steady: self.steady() }
    }

    /// Whether something keeps the wall right: a time server, by way of the system.
    pub async fn is_kept(&self) -> bool {
        let ask = match &self.0 {
            Kind::System(ask) => *ask,
            Kind::Manual(manual) => return manual.lock().kept,
        };
        match ask {
            Some(ask) => ask().await,
            None => false,
        }
    }

    /// Waits until `deadline`, at most [`LOOK`] longer if the machine slept meanwhile.
    pub async fn sleep_until(&self, deadline: Steady) {
        match &self.0 {
            Kind::System(_) if deadline == Steady::NEVER => std::future::pending().await,
            Kind::System(_) => loop {
                let left = deadline.since(self.steady());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LOOK)).await;
            },
            Kind::Manual(manual) => {
                ManualSleep { clock: manual.clone(), deadline, key: None }.await;
            }
        }
    }

    /// Waits for this duration.
    pub async fn sleep(&self, wait: Duration) {
        self.sleep_until(self.steady().after(wait)).await;
    }

    /// Moves a manual clock to its next deadline not after `limit`, or to `limit`, and wakes the
    /// tasks that waited for it; the wall moves as much. Returns whether a task was woken. Does
    /// nothing to the system's clock.
    pub fn advance_to(&self, limit: Steady) -> bool {
        let Kind::Manual(manual) = &self.0 else { return false };
        let woken: Vec<Waker> = {
            let mut manual = manual.lock();
            let next = manual.waiting.first_key_value().map(|(&(at, _), _)| at);
            let target = next.filter(|&at| at <= limit).unwrap_or(limit).max(manual.steady);
            manual.wall = manual.wall.after(target.since(manual.steady));
            manual.steady = target;
            let later = manual.waiting.split_off(&(Steady(target.0.saturating_add(1)), 0));
            std::mem::replace(&mut manual.waiting, later).into_values().collect()
        };
        let any = !woken.is_empty();
        woken.into_iter().for_each(Waker::wake);
        any
    }

    /// Sets the wall of a manual clock, as an operator sets a real one: wakes nobody, and changes
    /// no duration. After this the clock does not count as kept right, as on Linux. Does nothing to
    /// the system's clock.
    pub fn set_wall(&self, wall: Time) {
        if let Kind::Manual(manual) = &self.0 {
            let mut manual = manual.lock();
            manual.wall = wall;
            manual.kept = false;
        }
    }

    /// Marks the wall of a manual clock, as it is, as kept right again.
    pub fn keep_wall(&self) {
        if let Kind::Manual(manual) = &self.0 {
            manual.lock().kept = true;
        }
    }
}

/// The clock of [`Steady`]. Elsewhere than on Linux the monotonic one counts sleep already.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STEADY: ClockId = ClockId::Boottime;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const STEADY: ClockId = ClockId::Monotonic;

/// The longest single sleep. The runtime's timers stand still while the machine sleeps, so a far
/// deadline is checked again.
const LOOK: Duration = Duration::from_secs(60);

/// Where a manual clock's steady time begins: not where its wall does, so that a test notices if
/// one is taken for the other.
const BEGIN: Steady = Steady(1_000_000_000_000);

struct ManualSleep {
    clock: Arc<Mutex<Manual>>,
    deadline: Steady,
    key: Option<(Steady, u64)>,
}

impl Future for ManualSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut manual = clock.lock();
        if manual.steady >= self.deadline {
            return Poll::Ready(());
        }
        let deadline = self.deadline;
        let key = *self.key.get_or_insert_with(|| {
            manual.next_id += 1;
            (deadline, manual.next_id)
        });
        manual.waiting.insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for ManualSleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.lock().waiting.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_written_and_read_back() {
        let time = Time(1_795_367_520_123_000);

        assert_eq!(time.stamp(), "2026-11-22T17:12:00.123Z");
        assert_eq!(Time::parse_stamp(&time.stamp()), Some(time));
        assert_eq!(Time::parse_stamp("2026-11-22T18:12:00.123+01:00"), Some(time));
        assert_eq!(Time::parse_stamp("1969-07-21T02:56:15Z"), Some(Time(-14_159_025_000_000)));
        assert_eq!(Time(-14_159_025_000_000).stamp(), "1969-07-21T02:56:15.000Z");
    }

    #[test]
    fn what_is_no_stamp_is_refused() {
        for text in [
            "",
            "2026",
            "2026-11-22 17:12:00Z",
            "2026-11-22T17:12:00",
            "2026-11-22T17:12:00.",
            "2026-11-22T17:12:00.Z",
            "2026-11-22T17:12:00.é",
            "2026-11-22T17:12:00+1:00",
        ] {
            assert_eq!(Time::parse_stamp(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_is_one_that_the_calendar_has() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for year in [1600, 1900, 1970, 2024, 2026, 2100, 2400] {
            let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for month in 0..=13_usize {
                let length = month.checked_sub(1).and_then(|at| lengths.get(at)).copied();
                let length = length.map_or(0, |days| days + i64::from(month == 2 && leaps));
                for day in 0..=32 {
                    let text = format!("{year:04}-{month:02}-{day:02}T12:00:00Z");
                    let read = Time::parse_stamp(&text).map(Time::stamp);
                    let whole = text.replace('Z', ".000Z");
                    assert_eq!(read, (1..=length).contains(&day).then_some(whole), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_time_of_day_is_one_that_a_day_has() {
        for time in ["00:00:00Z", "23:59:59.999999999Z", "00:00:00+14:00", "23:59:59-14:00"] {
            assert!(Time::parse_stamp(&format!("2026-02-28T{time}")).is_some(), "{time}");
        }
        for time in [
            "24:00:01Z",
            "24:00:00.1Z",
            "24:30:00Z",
            "25:00:00Z",
            "12:60:00Z",
            "23:59:60Z",
            "12:00:00+14:01",
            "12:00:00-15:00",
            "12:00:00+01:60",
            "12:00:00+99:99",
        ] {
            assert_eq!(Time::parse_stamp(&format!("2026-02-28T{time}")), None, "{time}");
        }
        let end = Time::parse_stamp("2026-02-28T24:00:00Z").map(Time::stamp);
        assert_eq!(end.as_deref(), Some("2026-03-01T00:00:00.000Z"));
    }

    #[test]
    fn what_is_told_of_a_moment_is_read_back_as_what_is_written_of_it() {
        for micros in [0, 1, 999, 1000, 1_795_367_520_123_456, -1, -999, -1001] {
            let time = Time(micros);
            assert_eq!(Time::parse_stamp(&time.stamp()), Some(time.told()), "{micros}");
            assert_eq!(time.told().stamp(), time.stamp(), "{micros}");
            let last = time.last_told_alike();
            assert_eq!(last.stamp(), time.stamp(), "{micros}");
            assert_ne!(Time(last.0 + 1).stamp(), time.stamp(), "{micros}");
        }
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_sleepers_in_the_order_of_their_deadlines() {
        let clock = Clock::manual(Time(0));
        let limit = clock.steady().after(Duration::from_secs(10));
        let (first, second) = (clock.clone(), clock.clone());
        let first = tokio::spawn(async move { first.sleep(Duration::from_secs(1)).await });
        let second = tokio::spawn(async move { second.sleep(Duration::from_secs(2)).await });
        tokio::task::yield_now().await;

        assert!(clock.advance_to(limit));
        first.await.expect("the first sleeper woke");
        assert_eq!(clock.now(), Time(1_000_000));
        assert!(!second.is_finished());

        assert!(clock.advance_to(limit));
        second.await.expect("the second sleeper woke");
        assert!(!clock.advance_to(limit));
        assert_eq!(clock.moment(), Moment { wall: Time(10_000_000), steady: limit });
    }

    #[tokio::test]
    async fn a_wall_that_is_set_moves_nothing_that_lasts() {
        let clock = Clock::manual(Time(5_000_000));
        let (before, sleeper) = (clock.steady(), clock.clone());
        let sleeper = tokio::spawn(async move { sleeper.sleep(Duration::from_secs(1)).await });
        tokio::task::yield_now().await;

        clock.set_wall(Time(400 * 86_400 * 1_000_000));
        tokio::task::yield_now().await;
        assert_eq!(clock.steady(), before);
        assert!(!sleeper.is_finished());
        clock.set_wall(Time(0));
        assert!(clock.advance_to(before.after(Duration::from_secs(1))));
        sleeper.await.expect("the sleeper woke");
        assert_eq!(clock.now(), Time(1_000_000));
    }

    #[test]
    fn of_a_stored_deadline_no_more_is_left_than_is_set() {
        let at = |wall| Moment { wall: Time(wall), steady: Steady(500) };
        let (stored, at_most) = (Time(1000), Duration::from_micros(60));

        for (why, wall, left) in [
            ("a moment later", 990, 10),
            ("at its end", 1000, 0),
            ("long after it", 9000, 0),
            ("as it was stored", 940, 60),
            ("a wall that was set back", 10, 60),
        ] {
            assert_eq!(at(wall).steady_at(stored, at_most), Steady(500 + left), "{why}");
        }
        assert_eq!(at(0).steady_at(Time::NEVER, at_most), Steady::NEVER);
    }

    #[test]
    fn a_deadline_is_stored_on_the_wall_of_this_moment() {
        let now = Moment { wall: Time(10_000), steady: Steady(500) };

        assert_eq!(now.wall_at(Steady(560)), Time(10_060));
        assert_eq!(now.wall_at(Steady(440)), Time(9940));
        assert_eq!(now.wall_at(Steady::NEVER), Time::NEVER);
        let later = Moment { wall: Time(10_050), steady: Steady(0) };
        let at_most = Duration::from_micros(100);
        assert_eq!(later.steady_at(now.wall_at(Steady(560)), at_most), Steady(10));
    }

    #[tokio::test]
    async fn the_systems_steady_time_goes_on() {
        let clock = Clock::system();
        let before = clock.steady();

        clock.sleep(Duration::from_millis(1)).await;

        assert!(clock.steady().since(before) >= Duration::from_millis(1));
        clock.sleep_until(before).await;
    }
}
