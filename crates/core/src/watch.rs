//! What this run knows of the wall clock: even time, and whether the wall is believed.
//! [`crate::heartbeat`] looks at it twice a minute, [`crate::trust`] judges it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use whoelse_store::Heartbeat;

use crate::clock::{Clock, Moment, Steady, Time};
use crate::trust::{Doubt, Reading, Why};

/// How often to ask the system whether it keeps its clock right, while that is in doubt.
const ASK: Duration = Duration::from_secs(120);
/// If the wall moves by this much more or less than the time that has passed, it was set.
const SET: Duration = Duration::from_secs(5);

/// What this run knows of the wall.
pub(crate) struct Watch {
    /// Even time minus steady time.
    base: AtomicI64,
    /// Even time when the run before was last seen alive.
    pub last_alive: Option<Time>,
    /// Held for a look or a change, never across an await.
    look: Mutex<Look>,
    /// Held by the caller that vouches, to the end: two at once would each renew what the other has
    /// renewed.
    pub vouching: tokio::sync::Mutex<()>,
}

struct Look {
    seen: Reading,
    /// The time of the last look.
    at: Steady,
    /// When to ask the system next.
    ask_at: Steady,
}

impl Watch {
    /// Starts from what the run before has stored, which must be read before anything else is
    /// written.
    pub fn at_start(last: Option<Heartbeat>, now: Moment) -> Watch {
        let last = last.map(Reading::from);
        let seen = Reading::at_start(last, now.wall);
        if let Some(doubt) = seen.doubt {
            tell(&doubt);
        }
        Watch {
            base: AtomicI64::new(seen.even.0.saturating_sub(now.steady.0)),
            last_alive: last.map(|last| last.even),
            look: Mutex::new(Look { seen, at: now.steady, ask_at: now.steady }),
            vouching: tokio::sync::Mutex::default(),
        }
    }

    /// Even time at this moment.
    pub fn even(&self, steady: Steady) -> Time {
        Time(self.base.load(Ordering::Acquire).saturating_add(steady.0))
    }

    /// This moment, with even time in place of the wall.
    pub fn even_moment(&self, steady: Steady) -> Moment {
        Moment { wall: self.even(steady), steady }
    }

    /// Reads the clocks.
    pub fn look(&self, now: Moment) -> Reading {
        let mut look = self.look.lock();
        let (before, passed) = (look.seen, now.steady.since(look.at));
        look.seen = before.later(now.wall, passed);
        look.at = now.steady;
        let (seen, expected) = (look.seen, before.wall.after(passed));
        drop(look);
        let moved = now.wall.0.saturating_sub(expected.0) / 1_000_000;
        if moved.unsigned_abs() >= SET.as_secs() {
            tracing::info!(seconds = moved, "clock_set");
        }
        match seen.doubt {
            Some(doubt) if before.doubt.is_none_or(|known| known.why != doubt.why) => tell(&doubt),
            _ => {}
        }
        seen
    }

    /// Whether to ask the system now; if so, the next time is set later.
    pub fn asks(&self, now: Steady) -> bool {
        let mut look = self.look.lock();
        let due = look.ask_at <= now;
        if due {
            look.ask_at = now.after(ASK);
        }
        due
    }

    /// Returns what was seen at the last look.
    pub fn seen(&self) -> Reading {
        self.look.lock().seen
    }

    /// Returns what would be seen at a look now, and the moment.
    pub fn seen_now(&self, clock: &Clock) -> (Reading, Moment) {
        let look = self.look.lock();
        let now = clock.moment();
        (look.seen.later(now.wall, now.steady.since(look.at)), now)
    }

    /// Why the wall is not believed, if it is not.
    pub fn doubt(&self) -> Option<Doubt> {
        self.look.lock().seen.doubt
    }

    /// The wall is believed from this moment on.
    pub fn believe(&self, seen: Reading, at: Steady) {
        let mut look = self.look.lock();
        look.seen = seen;
        look.at = at;
        self.base.store(seen.even.0.saturating_sub(at.0), Ordering::Release);
    }
}

fn tell(doubt: &Doubt) {
    match doubt.why {
        // True of every first start, for a moment.
        Why::Unproven => tracing::debug!("clock_unproven"),
        why => tracing::warn!(
            why = %why,
            until = "the system synchronises it, `whoelse clock trust`, or a day of uptime",
            "clock_doubted"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = crate::trust::EARLIEST;

    #[test]
    fn whatever_was_written_down_the_wall_is_looked_at() {
        for wall in [i64::MIN, -1, 0, i64::MAX] {
            for even in [i64::MIN, -1, 0, i64::MAX] {
                let doubt = Some(whoelse_store::ClockDoubt {
                    since: even,
                    up: even,
                    claim: even,
                    gap: wall,
                });
                for doubt in [None, doubt] {
                    let now = |seconds: i64| Moment {
                        wall: NOW,
                        steady: Steady(5 + seconds * 1_000_000),
                    };

                    let watch = Watch::at_start(Some(Heartbeat { wall, even, doubt }), now(0));

                    assert_eq!(watch.look(now(30)).wall, NOW);
                    let _ = watch.look(Moment { wall: Time(wall), ..now(60) });
                }
            }
        }
    }
}
