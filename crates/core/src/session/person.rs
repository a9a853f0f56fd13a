//! What a session knows of its user: the presence they have sent, to whom, and how often they may
//! speak to everybody.

use std::collections::BTreeSet;
use std::time::Duration;

use whoelse_xmpp::{BareJid, Jid, Outgoing};

use super::TooMany;
use crate::clock::Steady;

/// Fan-outs a session may make at once, and how many more each second: a change of presence is
/// an append for everybody online, so a flood of them is slowed down, not delivered.
const FANOUT_BURST: f64 = 30.0;
const FANOUT_PER_SECOND: f64 = 2.0;
/// Bytes that count as one more fan-out. Large ones would fill the queues of everybody who reads
/// slowly, and cut them off.
const FANOUT_BYTES: f64 = 4096.0;

/// A budget that refills with time (security row 44).
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Steady,
}

pub(super) struct Person {
    /// The presence last broadcast, and its priority.
    pub presence: Option<(Outgoing, i8)>,
    /// To whom presence was sent directly, and not taken back (RFC 6121, 4.6).
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

    /// Presence was sent to this address directly. Fails when `most` addresses are remembered.
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

    /// Whether presence was sent directly to this device or its account.
    pub fn has_shown_itself_to(&self, jid: &Jid) -> bool {
        self.directed.contains(jid) || self.directed.contains(&Jid::from(jid.to_bare()))
    }

    /// Presence sent to this address was taken back.
    pub fn forget_directed(&mut self, to: &Jid) {
        self.directed.remove(to);
    }

    /// Presence sent to this account or its devices is forgotten. Returns whether any was.
    pub fn forget_directed_to(&mut self, to: &BareJid) -> bool {
        let before = self.directed.len();
        self.directed.retain(|directed| directed.bare() != to.as_str());
        self.directed.len() != before
    }

    /// To whom presence was sent directly; they are forgotten.
    pub fn take_directed(&mut self) -> Vec<Jid> {
        std::mem::take(&mut self.directed).into_iter().collect()
    }

    /// Takes one fan-out of so many bytes from the budget, or says when there will be one.
    pub fn spend_fanout(&mut self, bytes: usize, now: Steady) -> Result<(), Steady> {
        // The largest waits until nothing else has been spent, and not for ever.
        let cost = (1.0 + (bytes as f64 / FANOUT_BYTES).floor()).min(FANOUT_BURST);
        let bucket = &mut self.fanout;
        let refill = now.since(bucket.at).as_secs_f64() * FANOUT_PER_SECOND;
        bucket.tokens = (bucket.tokens + refill).min(FANOUT_BURST);
        bucket.at = bucket.at.max(now);
        // Less than what rounding to microseconds leaves, or one would wait for nothing again.
        if bucket.tokens + 1e-5 >= cost {
            bucket.tokens -= cost;
            return Ok(());
        }
        let wait = (cost - bucket.tokens) / FANOUT_PER_SECOND;
        Err(now.after(Duration::from_secs_f64(wait)))
    }
}
