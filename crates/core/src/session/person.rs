//! What a session knows of its user: the presence that they have sent, to whom, and how often they
//! may broadcast.

use std::collections::BTreeSet;
use std::time::Duration;

use whoelse_xmpp::{BareJid, Jid, Outgoing};

use super::TooMany;
use crate::clock::Steady;

/// Fan-outs that a session may make at once, and how many more each second. A change of presence is
/// an append for everybody online, so a flood of them is slowed down instead of delivered.
const FANOUT_BURST: f64 = 30.0;
const FANOUT_PER_SECOND: f64 = 2.0;
/// Bytes that count as one more fan-out. Large ones would fill the queues of clients that read
/// slowly, and cut them off.
const FANOUT_BYTES: f64 = 4096.0;

/// A budget that refills with time (security row 44).
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Steady,
}

pub(super) struct Person {
    /// The presence that was last broadcast, and its priority.
    pub presence: Option<(Outgoing, i8)>,
    /// The addresses of directed presence that was not taken back (RFC 6121, 4.6).
    directed: BTreeSet<Jid>,
    fanout: Bucket,
}

impl Person {
    pub fn new(now: Steady) -> Person {
        Person {
            presence: None,
            directed: BTreeSet::new(),
            fanout: Bucket { tokens: FANOUT_BURST, at: now },
        }
    }

    /// Remembers a directed presence to this address. Fails when `most` addresses are remembered.
    pub fn note_directed(&mut self, to: &Jid, most: usize) -> Result<(), TooMany> {
        if self.directed.contains(to) {
            return Ok(());
        }
        if self.directed.len() >= most {
            return Err(TooMany);
        }
        self.directed.insert(to.clone());
        Ok(())
    }

    /// Whether directed presence was sent to this device or its account.
    pub fn has_shown_itself_to(&self, jid: &Jid) -> bool {
        self.directed.contains(jid) || self.directed.contains(&Jid::from(jid.to_bare()))
    }

    /// Forgets the directed presence to this address, which was taken back.
    pub fn forget_directed(&mut self, to: &Jid) {
        self.directed.remove(to);
    }

    /// Forgets the directed presence to this account or its devices. Returns whether there was any.
    pub fn forget_directed_to(&mut self, to: &BareJid) -> bool {
        let before = self.directed.len();
        self.directed.retain(|directed| directed.bare() != to.as_str());
        self.directed.len() != before
    }

    /// Takes the addresses of all directed presence, and forgets them.
    pub fn take_directed(&mut self) -> Vec<Jid> {
        std::mem::take(&mut self.directed).into_iter().collect()
    }

    /// Takes one fan-out of this many bytes from the budget, or returns when there will be one.
    pub fn spend_fanout(&mut self, bytes: usize, now: Steady) -> Result<(), Steady> {
        // The largest one waits until the budget is full, but not for ever.
        let cost = (1.0 + (bytes as f64 / FANOUT_BYTES).floor()).min(FANOUT_BURST);
        let bucket = &mut self.fanout;
        let refill = now.since(bucket.at).as_secs_f64() * FANOUT_PER_SECOND;
        bucket.tokens = (bucket.tokens + refill).min(FANOUT_BURST);
        bucket.at = bucket.at.max(now);
        // A lack that only comes from rounding to microseconds is ignored; otherwise the caller
        // would wait for nothing again.
        if bucket.tokens + 1e-5 >= cost {
            bucket.tokens -= cost;
            return Ok(());
        }
        let wait = (cost - bucket.tokens) / FANOUT_PER_SECOND;
        Err(now.after(Duration::from_secs_f64(wait)))
    }
}
