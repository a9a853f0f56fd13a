//! XEP-0198, Stream Management: the two counters of a stream, shared by both ends.
//!
//! [`Handled`] counts received stanzas and how many of them are done without a gap; [`Sent`] keeps
//! sent stanzas until the peer acknowledges them. Both outlive a connection. The elements are in
//! [`element`].

use std::collections::VecDeque;
use std::fmt;
use whoelse_xmpp::{StreamCondition, StreamError, ns, write};

pub mod element;

pub use element::{Element, Enabled};

/// Half of the number space of `h`: a count further back than this looks like one ahead.
const HALF: u64 = 1 << 31;

/// Received stanzas: how many there are, and up to which one all are done.
///
/// *Done* is more than received: a message that must be stored is done when it is stored. Stanzas
/// may be done in any order; `h` is the longest prefix without a gap. This holds one bit for each
/// stanza after `h`; the caller that hands out the work bounds them, see [`Handled::pending`].
#[derive(Debug, Clone, Default)]
pub struct Handled {
    h: u32,
    /// One entry for each stanza after `h`: whether it is done. The first is never true.
    after: VecDeque<bool>,
}

impl Handled {
    /// Starts at zero, when `<enable/>` or `<enabled/>` arrives.
    pub fn new() -> Handled {
        Handled::default()
    }

    /// Continues from a count, for a session that was kept elsewhere.
    pub fn starting_at(h: u32) -> Handled {
        Handled { h, after: VecDeque::new() }
    }

    /// Counts a received stanza; the ticket is its number, to be given back to [`Handled::done`].
    pub fn received(&mut self) -> u32 {
        self.after.push_back(false);
        // Never more than 2^32 pending: each is a stanza held in memory.
        self.h.wrapping_add(self.after.len() as u32)
    }

    /// Marks the stanza with this ticket as done. A ticket that is not pending changes nothing.
    pub fn done(&mut self, ticket: u32) {
        let place = ticket.wrapping_sub(self.h).wrapping_sub(1) as usize;
        if let Some(done) = self.after.get_mut(place) {
            *done = true;
        }
        while self.after.front() == Some(&true) {
            self.after.pop_front();
            self.h = self.h.wrapping_add(1);
        }
    }

    /// Returns how many are done without a gap: the `h` to tell the peer.
    pub fn h(&self) -> u32 {
        self.h
    }

    /// Whether everything that came in is done.
    pub fn all_done(&self) -> bool {
        self.after.is_empty()
    }

    /// Returns how many stanzas are remembered because they, or one before them, are not done.
    pub fn pending(&self) -> usize {
        self.after.len()
    }
}

/// Sent stanzas that are not acknowledged, in order, and their bytes.
#[derive(Debug, Clone)]
pub struct Sent<T> {
    /// How many are acknowledged, as a number that never wraps.
    acked: u64,
    queue: VecDeque<(T, usize)>,
    bytes: usize,
}

impl<T> Default for Sent<T> {
    fn default() -> Sent<T> {
        Sent::new()
    }
}

impl<T> Sent<T> {
    /// Starts at zero, when `<enable/>` or `<enabled/>` is sent.
    pub fn new() -> Sent<T> {
        Sent { acked: 0, queue: VecDeque::new(), bytes: 0 }
    }

    /// Counts a sent stanza, with its bytes against the session's budget.
    pub fn push(&mut self, stanza: T, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.queue.push_back((stanza, bytes));
    }

    /// Takes the peer's count `h`: returns the stanzas that it newly acknowledges, in order.
    ///
    /// An `h` that was true earlier acknowledges nothing. An `h` that was never true is an error
    /// that ends the stream (XEP-0198, 5).
    pub fn ack(&mut self, h: u32) -> Result<Vec<T>, BadAck> {
        let ahead = u64::from(h.wrapping_sub(self.acked as u32));
        if ahead > self.queue.len() as u64 {
            let behind = u64::from((self.acked as u32).wrapping_sub(h));
            if behind <= self.acked.min(HALF) {
                return Ok(Vec::new());
            }
            return Err(BadAck { h, sent: self.sent() });
        }
        self.acked = self.acked.wrapping_add(ahead);
        let acknowledged = self.queue.drain(..ahead as usize);
        let mut freed = 0usize;
        let stanzas = acknowledged
            .map(|(stanza, bytes)| {
                freed = freed.saturating_add(bytes);
                stanza
            })
            .collect();
        self.bytes = self.bytes.saturating_sub(freed);
        Ok(stanzas)
    }

    /// How many were sent, modulo 2^32.
    pub fn sent(&self) -> u32 {
        (self.acked as u32).wrapping_add(self.queue.len() as u32)
    }

    /// How many the peer has acknowledged, modulo 2^32.
    pub fn acknowledged(&self) -> u32 {
        self.acked as u32
    }

    /// Returns what has to be sent again after a resumption, in order. It stays here until
    /// acknowledged.
    pub fn resend(&self) -> impl Iterator<Item = &T> {
        self.queue.iter().map(|(stanza, _)| stanza)
    }

    /// How many stanzas are not acknowledged.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether everything is acknowledged.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The bytes of what is not acknowledged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes out everything that is not acknowledged, to be sent and pushed again on a resumed
    /// stream. The count of acknowledged stanzas stays.
    pub fn take_back(&mut self) -> Vec<T> {
        self.bytes = 0;
        self.queue.drain(..).map(|(stanza, _)| stanza).collect()
    }

    /// Takes out everything that is not acknowledged, because the session is over.
    pub fn into_unacknowledged(self) -> Vec<T> {
        self.queue.into_iter().map(|(stanza, _)| stanza).collect()
    }
}

/// The error that the peer acknowledged more than it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadAck {
    /// The count that it claimed.
    pub h: u32,
    /// The count that it was sent.
    pub sent: u32,
}

impl fmt::Display for BadAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BadAck { h, sent } = self;
        write!(f, "You acknowledged {h} stanzas, but only {sent} were sent so far.")
    }
}

impl std::error::Error for BadAck {}

impl From<BadAck> for StreamError {
    /// The text for logs and for the driver; [`BadAck::encode`] is what goes over the wire, with
    /// both counts.
    fn from(bad: BadAck) -> StreamError {
        StreamError::new(StreamCondition::UndefinedCondition)
            .with_text(bad.to_string())
            .with_app("handled-count-too-high", ns::SM)
    }
}

impl BadAck {
    /// The stream error of XEP-0198, 5, with both counts.
    pub fn encode(&self) -> Vec<u8> {
        let condition = write::Element::new("undefined-condition").xmlns(ns::STREAM_ERRORS);
        let counts = write::Element::new("handled-count-too-high")
            .xmlns(ns::SM)
            .attr("h", &self.h.to_string())
            .attr("send-count", &self.sent.to_string());
        let text = write::Element::new("text")
            .attr("xml:lang", "en")
            .xmlns(ns::STREAM_ERRORS)
            .text(&self.to_string());
        write::Element::new("stream:error")
            .child(condition)
            .child(counts)
            .child(text)
            .finish()
            .to_vec()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn h_grows_with_the_prefix_that_is_done() {
        let mut handled = Handled::new();
        let tickets: Vec<u32> = (0..4).map(|_| handled.received()).collect();
        assert_eq!(tickets, [1, 2, 3, 4]);

        let mut seen = Vec::new();
        for ticket in [2, 1, 4, 3] {
            handled.done(ticket);
            seen.push((handled.h(), handled.all_done()));
        }

        assert_eq!(seen, [(0, false), (2, false), (2, false), (4, true)]);
    }

    #[test]
    fn a_ticket_counts_once_and_a_foreign_one_not_at_all() {
        let mut handled = Handled::new();
        let first = handled.received();
        let _second = handled.received();

        for ticket in [first, first, 0, 3, u32::MAX] {
            handled.done(ticket);
        }

        assert_eq!((handled.h(), handled.pending()), (1, 1));
    }

    #[test]
    fn h_wraps_to_zero_after_2_to_the_32() {
        let mut handled = Handled::starting_at(u32::MAX);
        let (one, two) = (handled.received(), handled.received());
        assert_eq!((one, two), (0, 1));

        handled.done(two);
        assert_eq!(handled.h(), u32::MAX);
        handled.done(one);

        assert_eq!(handled.h(), 1);
        assert!(handled.all_done());
    }

    fn sent(n: u32) -> Sent<u32> {
        let mut sent = Sent::new();
        (1..=n).for_each(|i| sent.push(i, 10));
        sent
    }

    #[test]
    fn an_ack_returns_what_it_newly_acknowledges() {
        let mut sent = sent(5);

        assert_eq!(sent.ack(2).unwrap(), [1, 2]);
        assert!(sent.ack(2).unwrap().is_empty());
        assert_eq!(sent.ack(4).unwrap(), [3, 4]);

        assert_eq!((sent.bytes(), sent.len(), sent.sent()), (10, 1, 5));
        assert_eq!(sent.resend().collect::<Vec<_>>(), [&5]);
        assert_eq!(sent.into_unacknowledged(), [5]);
    }

    #[test]
    fn an_old_ack_acknowledges_nothing() {
        let mut sent = sent(5);
        sent.ack(4).unwrap();

        for old in [0, 1, 3, 4] {
            assert!(sent.ack(old).unwrap().is_empty());
        }
        assert_eq!(sent.len(), 1);
    }

    #[test]
    fn an_ack_of_more_than_was_sent_is_an_error() {
        let mut sent = sent(8);
        sent.ack(3).unwrap();

        for h in [9, 10, u32::MAX, 1 << 31] {
            assert_eq!(sent.ack(h), Err(BadAck { h, sent: 8 }));
        }
        assert_eq!(sent.len(), 5);
        assert_eq!(Sent::<()>::new().ack(1), Err(BadAck { h: 1, sent: 0 }));
    }

    #[test]
    fn acknowledgements_go_on_over_2_to_the_32() {
        let mut sent = Sent { acked: (1 << 32) - 2, queue: VecDeque::new(), bytes: 0 };
        (1..=4).for_each(|i| sent.push(i, 1));
        assert_eq!(sent.sent(), 2);

        assert_eq!(sent.ack(u32::MAX).unwrap(), [1]);
        assert_eq!(sent.ack(1).unwrap(), [2, 3]);
        assert!(sent.ack(u32::MAX).unwrap().is_empty());
        assert_eq!(sent.ack(3), Err(BadAck { h: 3, sent: 2 }));
    }

    #[test]
    fn an_error_about_a_count_names_both() {
        let bad = BadAck { h: 10, sent: 8 };

        let text = String::from_utf8(bad.encode()).unwrap();

        assert!(text.contains("h='10'") && text.contains("send-count='8'"), "{text}");
        assert!(text.starts_with("<stream:error><undefined-condition"), "{text}");
    }

    proptest! {
        #[test]
        fn whatever_is_acknowledged_nothing_is_lost_or_doubled(
            start in prop_oneof![Just(0u64), Just((1 << 32) - 3), 0u64..1 << 34],
            acks in proptest::collection::vec(0u32..12, 0..12),
        ) {
            let mut sent = Sent { acked: start, queue: VecDeque::new(), bytes: 0 };
            (0..10).for_each(|i| sent.push(i, 1));
            let mut out = Vec::new();
            for ahead in acks {
                if let Ok(stanzas) = sent.ack((start as u32).wrapping_add(ahead)) {
                    out.extend(stanzas);
                }
                prop_assert_eq!(sent.bytes(), sent.len());
            }
            out.extend(sent.into_unacknowledged());
            prop_assert_eq!(out, (0..10).collect::<Vec<_>>());
        }

        #[test]
        fn any_order_of_work_ends_with_everything_done(
            order in Just((1u32..=20).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let mut handled = Handled::new();
            (0..20).for_each(|_| { handled.received(); });
            for (n, ticket) in order.iter().enumerate() {
                handled.done(*ticket);
                let prefix = (1..).take_while(|t| order[..=n].contains(t)).count();
                prop_assert_eq!(handled.h() as usize, prefix);
            }
            prop_assert!(handled.all_done());
        }
    }
}
