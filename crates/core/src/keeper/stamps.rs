//! The stamps of the log: they do not go back when the clock is set back a little, since clients
//! sort an archive by them.

use std::time::Duration;

use crate::clock::Time;

/// If the clock is set back by more than this, it was wrong before and is believed now.
const HELD: Duration = Duration::from_secs(3600);

/// The stamp of the last message.
pub(super) struct Stamps(Time);

impl Stamps {
    /// Starts after the stamp of the last kept message, if there is one.
    pub fn after(last: Option<i64>) -> Stamps {
        Stamps(last.map(Time).unwrap_or_default())
    }

    /// Returns the stamp of the next message: the wall's time, or the stamp of the message before
    /// while the wall is less than [`HELD`] behind it.
    pub fn next(&mut self, wall: Time) -> Time {
        let behind = self.0.since(wall);
        if behind > HELD {
            tracing::warn!(seconds = behind.as_secs(), "archive_stamps_go_back");
            self.0 = wall;
        }
        self.0 = self.0.max(wall);
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000;

    #[test]
    fn stamps_stand_still_for_a_clock_that_is_set_back_by_up_to_an_hour() {
        let mut stamps = Stamps::after(Some(10 * HOUR));

        for (wall, stamp) in [
            (10 * HOUR + 1, 10 * HOUR + 1),
            (10 * HOUR, 10 * HOUR + 1),
            (9 * HOUR + 1, 10 * HOUR + 1),
            (9 * HOUR + 2, 10 * HOUR + 1),
            (11 * HOUR, 11 * HOUR),
        ] {
            assert_eq!(stamps.next(Time(wall)), Time(stamp), "{wall}");
        }
    }

    #[test]
    fn beyond_an_hour_the_clock_is_right() {
        let mut stamps = Stamps::after(Some(10 * HOUR));

        assert_eq!(stamps.next(Time(9 * HOUR - 1)), Time(9 * HOUR - 1));
        assert_eq!(stamps.next(Time(9 * HOUR)), Time(9 * HOUR));
        assert_eq!(Stamps::after(None).next(Time(5)), Time(5));
    }
}
