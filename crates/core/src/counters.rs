//! What an operator counts: numbers that grow while the server runs, for its metrics.
//!
//! Counting costs one relaxed atomic. Nothing here names an account or an address: the numbers say
//! how much, never who; and every label is a word of this program, so no stranger can make one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use whoelse_xmpp::{Class, Kind};

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Counters {
    /// Stanzas that sessions have sent.
    pub received: ByKind,
    /// Stanzas that sessions were written.
    pub sent: ByKind,
    /// What became of the messages that people sent.
    pub messages: Messages,
    /// Accounts made by people themselves (XEP-0077).
    pub registered: Counter,
    /// Logins, by mechanism and outcome.
    pub logins: Tally,
    /// Connections that were let in, by the door they came through.
    pub connected: Tally,
    /// Connections that ended, by what they were (negotiating, or with a session) and why.
    pub disconnected: Tally,
    /// Requests for a private chat that no block refused.
    pub introductions: Counter,
    /// Tokens for the relay that people were given.
    pub relay_tokens: Counter,
    /// Connections that the relay did not admit, and why; the first word says nothing.
    pub relay_refused: Tally,
    /// Handshakes that failed or took too long.
    pub handshakes_failed: Counter,
    /// Times that accepting paused for want of a descriptor.
    pub accepting_paused: Counter,
    /// Bytes read from connections, without what TLS adds.
    pub bytes_read: Counter,
    /// Bytes written to connections, without what TLS adds.
    pub bytes_written: Counter,
    /// Messages in one commit of the keeper.
    pub batch: Histogram<BatchSize>,
    /// How long a commit of messages takes.
    pub commit: Histogram<CommitTime>,
    /// Commits that failed, of messages or of anything else.
    pub commits_failed: Counter,
}

/// What became of messages.
#[derive(Debug, Default)]
pub struct Messages {
    /// Committed to the log.
    pub kept: Counter,
    /// Handed on without being kept.
    pub passed: Counter,
    /// Sent a second time under the same id, and dropped.
    pub repeated: Counter,
    /// Answered with an error.
    pub refused: Counter,
    /// Read from the log for somebody who had been away.
    pub caught_up: Counter,
}

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more; none costs nothing.
    pub fn add(&self, more: usize) {
        if more > 0 {
            self.0.fetch_add(more as u64, Ordering::Relaxed);
        }
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Stanzas by their kind.
#[derive(Debug, Default)]
pub struct ByKind {
    /// Messages.
    pub message: Counter,
    /// Presences.
    pub presence: Counter,
    /// Requests and answers.
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

/// The same as plain numbers, to be added at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Messages.
    pub message: usize,
    /// Presences.
    pub presence: usize,
    /// Requests and answers.
    pub iq: usize,
}

impl Kinds {
    pub(crate) fn inc(&mut self, class: Class) {
        match class {
            Class::Kept(_) | Class::AheadOfLog(_) | Class::Message | Class::Groupchat => {
                self.message += 1;
            }
            Class::Presence => self.presence += 1,
            Class::IqRequest | Class::IqAnswer => self.iq += 1,
            Class::Nonza => {}
        }
    }
}

/// Counts by two words of this program. For what happens once in a connection: it takes a lock.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<Words, u64>>);

/// Two labels.
pub type Words = (&'static str, &'static str);

impl Tally {
    /// One more of these.
    pub fn inc(&self, first: &'static str, second: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((first, second)).or_default() += 1;
    }

    /// All of them now.
    pub fn get(&self) -> BTreeMap<Words, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The upper bounds of a histogram.
pub trait Bounds {
    /// In rising order, at most [`BUCKETS`].
    const BOUNDS: &'static [f64];
}

/// The most bounds a histogram may have.
pub const BUCKETS: usize = 12;

/// Messages in a commit.
#[derive(Debug, Default)]
pub struct BatchSize;

impl Bounds for BatchSize {
    const BOUNDS: &'static [f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
}

/// Seconds of a commit: from a fast disk to one that is about to be replaced.
#[derive(Debug, Default)]
pub struct CommitTime;

impl Bounds for CommitTime {
    const BOUNDS: &'static [f64] =
        &[0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
}

/// How often something was how large.
#[derive(Debug, Default)]
pub struct Histogram<B> {
    /// Below each bound and above the one before; the last above all.
    counts: [Counter; BUCKETS + 1],
    /// The sum, in millionths.
    millionths: AtomicU64,
    bounds: std::marker::PhantomData<B>,
}

/// What a histogram holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// The sum of all.
    pub sum: f64,
    /// How many there were.
    pub count: u64,
    /// Each bound with how many were above the one before it; the last bound has no end.
    pub buckets: Vec<(f64, u64)>,
}

impl<B: Bounds> Histogram<B> {
    /// Something took this long.
    pub fn time(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.note(took.as_secs_f64(), micros);
    }

    /// Something had so many parts.
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

    /// What it holds now.
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

/// Who is here at this moment.
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
    /// Blocks after wrong passwords that hold: accounts for a place, and whole places.
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
