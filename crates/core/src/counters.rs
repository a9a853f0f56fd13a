//! Counters for the operator: numbers that grow while the server runs, for its metrics.
//!
//! The counters of the rules and of the sockets are here; a feature's counters are in its own file
//! ([`declare`]). Counting costs one relaxed atomic operation. Nothing here names an account or an
//! address: the numbers say how much, never who. Every label is a word of this program, so no
//! stranger can make one.

pub mod declare;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use whoelse_xmpp::{Class, Kind};

use crate::by_type::ByType;

pub use declare::{Counted, CounterGroup, CountersOfFeature, Metric, MetricKind, Samples};

crate::counters! {
    /// Everything that is counted.
    pub struct Counters of Counters {
        /// Tries to log in: `ok`, `wrong` (password), `blocked` (not even checked), `refused` (right
        /// password, and blocked by an administrator), `former` (a former password); `mechanism` is
        /// `in-session` where an open session was asked for the present one.
        logins: Tally<2> = "whoelse_logins" ["mechanism", "outcome"],
            act "`wrong` or `blocked` rise: somebody guesses";
        /// Accounts that people have made themselves.
        registered: Counter = "whoelse_registrations", act "more than you have friends";
        /// Connections let in, by listener: `starttls`, `direct_tls`, `admin`.
        connected: Tally<1> = "whoelse_connections_accepted" ["ingress"];
        /// Times that accepting paused for want of descriptors.
        accepting_paused: Counter = "whoelse_accepting_paused", act "rises: raise LimitNOFILE";
        /// TLS handshakes that failed or took too long.
        handshakes_failed: Counter = "whoelse_handshakes_failed",
            act "rises after a new certificate";
        /// Connections that ended, in `negotiation` or with a `session`, and why; a stream error has
        /// its condition (RFC 6120, 4.9.3) as the reason.
        disconnected: Tally<2> = "whoelse_disconnects" ["stage", "reason"],
            act "`internal-server-error`, `resource-constraint` rise";
        /// Stanzas of sessions, `in` from them and `out` to them.
        stanzas: Stanzas = "whoelse_stanzas" ["kind", "direction"];
        /// Messages `kept` in the log, `passed` on, `repeated` and dropped, `refused`; `caught_up`:
        /// read from the log for somebody who had been away.
        messages: Messages = "whoelse_messages" ["outcome"], act "`refused` rises";
        /// Times that somebody was over the budget of their account or network and had to wait, with
        /// what they had sent (`work`), with something for everybody (`fan-out`) or with a login
        /// (`begin`); `refused`: logins that would have had to wait for too long.
        held_up: Tally<1> = "whoelse_held_up" ["why"],
            act "rises: somebody floods; the log says who (`sender_held_up`)";
        /// Passing stanzas that were answered or dropped because no device of the recipient had room
        /// for them.
        without_room: Counter = "whoelse_stanzas_without_room",
            act "rises: somebody floods others, or many read slowly";
        /// Bytes of the streams, without what TLS adds.
        bytes: Bytes = "whoelse_bytes" ["direction"];
        /// Messages in one commit.
        batch: Histogram<BatchSize> = "whoelse_keeper_batch_messages";
        /// Seconds that a commit of messages takes.
        commit: Histogram<CommitTime> = "whoelse_keeper_commit_seconds",
            act "the 99th percentile beyond 0.25 s";
        /// Commits that failed, of messages or of anything else.
        commits_failed: Counter = "whoelse_keeper_commits_failed", act "rises: look at the disk";
    }
    with {
        /// What features count.
        of_features: ByType;
    }
}

impl Counters {
    /// Returns counters at zero, with these groups of features.
    pub(crate) fn with<'a>(groups: impl IntoIterator<Item = &'a CounterGroup>) -> Counters {
        let mut counters = Counters::default();
        for group in groups {
            (group.make)(&mut counters);
        }
        counters
    }

    /// What a feature counts.
    pub fn of<T: CountersOfFeature>(&self) -> &T {
        let found = self.of_features.get();
        debug_assert!(found.is_some(), "a feature does not list its counters in its FEATURE");
        found.unwrap_or_else(|| T::of_nobody())
    }

    #[doc(hidden)]
    pub fn put<T: CountersOfFeature>(&mut self, counters: T) {
        self.of_features.put(Arc::new(counters));
    }
}

/// Stanzas of sessions.
#[derive(Debug, Default)]
pub struct Stanzas {
    /// Stanzas that sessions have sent.
    pub received: ByKind,
    /// Stanzas that were written to sessions.
    pub sent: ByKind,
}

impl Counted for Stanzas {
    const KIND: MetricKind = MetricKind::Counter;

    fn samples(&self) -> Samples {
        let of = |direction, ByKind { message, presence, iq }: &ByKind| {
            let counts = [("message", message), ("presence", presence), ("iq", iq)];
            counts.map(|(kind, count)| (vec![kind, direction], count.get()))
        };
        Samples::Labelled([of("in", &self.received), of("out", &self.sent)].concat())
    }
}

/// Bytes of connections, without what TLS adds.
#[derive(Debug, Default)]
pub struct Bytes {
    /// Read from them.
    pub read: Counter,
    /// Written to them.
    pub written: Counter,
}

impl Counted for Bytes {
    const KIND: MetricKind = MetricKind::Counter;

    fn samples(&self) -> Samples {
        let Bytes { read, written } = self;
        Samples::Labelled(vec![(vec!["in"], read.get()), (vec!["out"], written.get())])
    }
}

/// What became of messages.
#[derive(Debug, Default)]
pub struct Messages {
    /// Messages committed to the log.
    pub kept: Counter,
    /// Messages passed on without being kept.
    pub passed: Counter,
    /// Messages sent a second time under the same id, and dropped.
    pub repeated: Counter,
    /// Messages answered with an error.
    pub refused: Counter,
    /// Messages read from the log for a session that had been away.
    pub caught_up: Counter,
}

impl Counted for Messages {
    const KIND: MetricKind = MetricKind::Counter;

    fn samples(&self) -> Samples {
        let Messages { kept, passed, repeated, refused, caught_up } = self;
        let counts = [
            ("kept", kept),
            ("passed", passed),
            ("repeated", repeated),
            ("refused", refused),
            ("caught_up", caught_up),
        ];
        Samples::Labelled(counts.map(|(word, count)| (vec![word], count.get())).into())
    }
}

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts so many more; zero costs nothing.
    pub fn add(&self, more: usize) {
        if more > 0 {
            self.0.fetch_add(more as u64, Ordering::Relaxed);
        }
    }

    /// The present value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counted for Counter {
    const KIND: MetricKind = MetricKind::Counter;

    fn samples(&self) -> Samples {
        Samples::One(self.get())
    }
}

/// Stanzas by their kind.
#[derive(Debug, Default)]
pub struct ByKind {
    /// Messages.
    pub message: Counter,
    /// Presences.
    pub presence: Counter,
    /// IQs: requests and answers.
    pub iq: Counter,
}

impl ByKind {
    pub(crate) fn inc(&self, kind: Kind) {
        match kind {
            Kind::Message => self.message.inc(),
            Kind::Presence => self.presence.inc(),
            Kind::Iq => self.iq.inc(),
            Kind::Other => {}
        }
    }

    /// Adds what one write took from a session's queue.
    pub fn add(&self, taken: &Kinds) {
        self.message.add(taken.message);
        self.presence.add(taken.presence);
        self.iq.add(taken.iq);
    }
}

/// Stanza counts as plain numbers, to be added in one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Messages.
    pub message: usize,
    /// Presences.
    pub presence: usize,
    /// IQs: requests and answers.
    pub iq: usize,
}

impl Kinds {
    pub(crate) fn inc(&mut self, class: Class) {
        match class {
            Class::Kept(_) | Class::AheadOfLog(_) | Class::Message | Class::Groupchat => {
                self.message += 1;
            }
            Class::Presence => self.presence += 1,
            Class::IqRequest | Class::IqAnswer | Class::ArchivePage(_) => self.iq += 1,
            Class::Nonza => {}
        }
    }
}

/// Counts by words of this program, one for each label. Each count takes a lock, so this is for
/// what happens once in a connection.
#[derive(Debug)]
pub struct Tally<const N: usize>(Mutex<BTreeMap<[&'static str; N], u64>>);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Tally<N> {
        Tally(Mutex::default())
    }
}

impl<const N: usize> Tally<N> {
    /// Counts one more with these words.
    pub fn inc(&self, words: [&'static str; N]) {
        let mut counts = self.0.lock();
        *counts.entry(words).or_default() += 1;
    }

    /// Returns the count of these words.
    pub fn get(&self, words: [&'static str; N]) -> u64 {
        let counts = self.0.lock();
        counts.get(&words).copied().unwrap_or_default()
    }
}

impl<const N: usize> Counted for Tally<N> {
    const KIND: MetricKind = MetricKind::Counter;

    fn samples(&self) -> Samples {
        let counts = self.0.lock();
        Samples::Labelled(counts.iter().map(|(words, n)| (words.to_vec(), *n)).collect())
    }
}

/// The upper bounds of a histogram.
pub trait Bounds {
    /// The bounds in rising order, at most [`BUCKETS`].
    const BOUNDS: &'static [f64];
}

/// The most bounds a histogram may have.
pub const BUCKETS: usize = 12;

/// Bounds for messages in a commit.
#[derive(Debug, Default)]
pub struct BatchSize;

impl Bounds for BatchSize {
    const BOUNDS: &'static [f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
}

/// Bounds for the seconds of a commit: from a fast disk to one that is about to be replaced.
#[derive(Debug, Default)]
pub struct CommitTime;

impl Bounds for CommitTime {
    const BOUNDS: &'static [f64] =
        &[0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
}

/// A histogram: how often a value was of which size.
#[derive(Debug, Default)]
pub struct Histogram<B> {
    /// The count of values up to each bound and above the one before; the last counts all above.
    counts: [Counter; BUCKETS + 1],
    /// The sum of the values, in millionths.
    millionths: AtomicU64,
    bounds: std::marker::PhantomData<B>,
}

/// The content of a histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The sum of all values.
    pub sum: f64,
    /// How many values there were.
    pub count: u64,
    /// Each bound, with the count of values between it and the one before; the last bound is
    /// infinite.
    pub buckets: Vec<(f64, u64)>,
}

impl<B: Bounds> Histogram<B> {
    /// Counts a duration.
    pub fn time(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.note(took.as_secs_f64(), micros);
    }

    /// Counts a number of parts.
    pub fn size(&self, parts: usize) {
        self.note(parts as f64, parts as u64 * 1_000_000);
    }

    fn note(&self, value: f64, millionths: u64) {
        let place = B::BOUNDS.iter().position(|bound| value <= *bound).unwrap_or(B::BOUNDS.len());
        if let Some(count) = self.counts.get(place) {
            count.inc();
        }
        self.millionths.fetch_add(millionths, Ordering::Relaxed);
    }

    /// Returns the present content.
    pub fn get(&self) -> Observed {
        let bounds = B::BOUNDS.iter().copied().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> =
            bounds.zip(&self.counts).map(|(bound, count)| (bound, count.get())).collect();
        Observed {
            sum: self.millionths.load(Ordering::Relaxed) as f64 / 1e6,
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

impl<B: Bounds + Default> Counted for Histogram<B> {
    const KIND: MetricKind = MetricKind::Histogram;

    fn samples(&self) -> Samples {
        Samples::Histogram(self.get())
    }
}

/// Gauges: who is connected at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// Accounts in memory.
    pub accounts: usize,
    /// Accounts with an available session.
    pub online: usize,
    /// Sessions with a connection.
    pub attached: usize,
    /// Sessions that wait for a resumption.
    pub detached: usize,
    /// Bytes in the queues of all sessions, unsent or unacknowledged.
    pub queued_bytes: usize,
    /// Blocks after wrong passwords that hold: of accounts for a network, and of whole networks.
    pub blocked: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_in_the_bucket_below_the_next_bound() {
        let batches = Histogram::<BatchSize>::default();

        for size in [1, 2, 3, 256, 257] {
            batches.size(size);
        }

        let seen = batches.get();
        let in_bucket = |bound| seen.buckets.iter().find(|(b, _)| *b == bound).map(|(_, n)| *n);
        assert_eq!(in_bucket(1.0), Some(1));
        assert_eq!(in_bucket(2.0), Some(1));
        assert_eq!(in_bucket(4.0), Some(1));
        assert_eq!(in_bucket(256.0), Some(1));
        assert_eq!(in_bucket(f64::INFINITY), Some(1));
        assert_eq!((seen.sum, seen.count), (519.0, 5));
    }

    #[test]
    fn times_are_summed_in_seconds() {
        let commits = Histogram::<CommitTime>::default();

        commits.time(Duration::from_millis(3));
        commits.time(Duration::from_secs(60));

        let seen = commits.get();
        assert_eq!((seen.sum, seen.count), (60.003, 2));
        assert_eq!(seen.buckets.last(), Some(&(f64::INFINITY, 1)));
    }

    #[test]
    fn every_histogram_has_room_for_its_bounds() {
        for bounds in [BatchSize::BOUNDS, CommitTime::BOUNDS] {
            assert!(bounds.len() <= BUCKETS && bounds.is_sorted());
        }
    }
}
