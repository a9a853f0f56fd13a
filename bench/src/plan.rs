//! How long and how large a run is.

use std::time::Duration;

/// The sizes of a run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Accounts that write to each other.
    pub users: usize,
    /// Idle sessions, a multiple of users and slices.
    pub sessions: usize,
    /// Online in `everyone` mode.
    pub online: usize,
    /// Before anything is counted.
    pub warm: Duration,
    /// Parts of a row; the median of them stands in the table.
    pub slices: usize,
    /// How long one of them is.
    pub slice: Duration,
    /// How long the latency is watched.
    pub watch: Duration,
    /// After the last of the idle sessions, until memory is read.
    pub settle: Duration,
}

impl Plan {
    /// For figures to be shown.
    pub const FULL: Plan = Plan {
        users: 200,
        sessions: 3000,
        online: 1000,
        warm: Duration::from_secs(2),
        slices: 5,
        slice: Duration::from_millis(1600),
        watch: Duration::from_secs(6),
        settle: Duration::from_secs(5),
    };

    /// For a first look.
    pub const QUICK: Plan = Plan {
        sessions: 600,
        online: 200,
        warm: Duration::from_millis(800),
        slices: 3,
        slice: Duration::from_millis(700),
        watch: Duration::from_secs(2),
        settle: Duration::from_secs(2),
        ..Plan::FULL
    };
}
