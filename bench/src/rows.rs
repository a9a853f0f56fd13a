//! The rows of the table: what is measured, in which unit, and what we aim for
//! (docs/performance.md).

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Row {
    /// Messages, 16 in flight for each user.
    Message,
    /// Messages, one in flight for each user.
    Lone,
    /// Messages over WebSockets, 16 in flight for each user.
    Web,
    /// Messages that are kept, 16 in flight for each user.
    History,
    /// TLS handshake, SCRAM and bind.
    Login,
    /// TLS handshake, a token and bind in one step (ours only).
    Token,
    /// Resident memory of a session that does nothing.
    Memory,
    /// The same over a WebSocket.
    WebMemory,
    /// Messages a second, 16 in flight for each user.
    Throughput,
    /// Messages a second that are kept, 16 in flight for each user.
    Kept,
    /// The same, of a server with two processors (ours only). On a machine with two, the load shares
    /// the second one.
    KeptByTwo,
    /// Latency at half the rate that the server reaches with one message in flight for each user.
    Median,
    /// The same, of the slowest in a hundred.
    Slowest,
    /// Messages under stream management (ours only).
    Managed,
    /// A login with many online who all see it (ours only).
    Crowd,
}

/// What a figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds of the server's processor time.
    Microseconds,
    /// Milliseconds of the server's processor time.
    Milliseconds,
    /// Milliseconds on the wall.
    Latency,
    /// KiB.
    Memory,
    /// In a second: more is better.
    PerSecond,
}

impl Row {
    /// All, in the order of the table.
    pub const ALL: [Row; 15] = [
        Row::Message,
        Row::Lone,
        Row::Web,
        Row::History,
        Row::Login,
        Row::Token,
        Row::Memory,
        Row::WebMemory,
        Row::Throughput,
        Row::Kept,
        Row::KeptByTwo,
        Row::Median,
        Row::Slowest,
        Row::Managed,
        Row::Crowd,
    ];

    /// How the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Row::Message => "message, 16 in flight each",
            Row::Lone => "message, 1 in flight each",
            Row::Web => "message over WebSockets, 16 in flight each",
            Row::History => "message, history on, 16 in flight each",
            Row::Login => "login (TLS handshake, SCRAM, bind)",
            Row::Token => "login by a token (TLS handshake, FAST, bind)",
            Row::Memory => "memory of an idle TLS session",
            Row::WebMemory => "memory of an idle TLS session over a WebSocket",
            Row::Throughput => "throughput, 16 in flight each",
            Row::Kept => "throughput, history on, 16 in flight each",
            Row::KeptByTwo => "throughput, history on, two processors",
            Row::Median => "latency at half of own rate, p50",
            Row::Slowest => "latency at half of own rate, p99",
            Row::Managed => "message, stream management on, 16 in flight each",
            Row::Crowd => "login and presence, everyone mode, a crowd online",
        }
    }

    /// The unit of its figures.
    pub fn unit(self) -> Unit {
        match self {
            Row::Message | Row::Lone | Row::Web | Row::History | Row::Managed => Unit::Microseconds,
            Row::Login | Row::Token | Row::Crowd => Unit::Milliseconds,
            Row::Memory | Row::WebMemory => Unit::Memory,
            Row::Throughput | Row::Kept | Row::KeptByTwo => Unit::PerSecond,
            Row::Median | Row::Slowest => Unit::Latency,
        }
    }

    /// What ours should stay under.
    pub fn goal(self) -> Option<f64> {
        match self {
            Row::Message => Some(4.0),
            Row::Lone => Some(12.0),
            Row::History => Some(60.0),
            Row::Login => Some(0.6),
            Row::Memory => Some(12.0),
            Row::WebMemory => Some(14.0),
            Row::Slowest => Some(5.0),
            Row::Web
            | Row::Token
            | Row::Throughput
            | Row::Kept
            | Row::KeptByTwo
            | Row::Median
            | Row::Managed
            | Row::Crowd => None,
        }
    }
}

impl Unit {
    /// A figure with its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::Microseconds => format!("{} µs", digits(value)),
            Unit::Milliseconds => format!("{} ms", digits(value)),
            Unit::Latency => format!("{value:.2} ms"),
            Unit::Memory => format!("{value:.1} KiB"),
            Unit::PerSecond => format!("{:.0}/s", value),
        }
    }
}

/// About three digits that count.
fn digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The median of the parts.
    pub value: f64,
    /// The lowest of them.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Figure {
    /// Of some parts; `None` of none.
    pub fn of(parts: &[f64]) -> Option<Figure> {
        let mut parts = parts.to_vec();
        parts.sort_by(f64::total_cmp);
        let value = *parts.get(parts.len() / 2)?;
        Some(Figure { value, low: *parts.first()?, high: *parts.last()? })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_figure_is_the_median_and_says_how_far_the_others_are() {
        let figure = Figure::of(&[3.0, 1.0, 2.0]).unwrap();

        assert_eq!(figure, Figure { value: 2.0, low: 1.0, high: 3.0 });
        assert_eq!(Figure::of(&[]), None);
    }
}
