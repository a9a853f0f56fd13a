//! Limits how often somebody's requests are shown; further ones are ignored.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use whoelse_xmpp::BareJid;

/// Requests of one person that are shown in [`RING_SPAN`]; further ones are silently ignored.
const MAX_RINGS: u32 = 5;
const RING_SPAN: Duration = Duration::from_secs(60);
/// People whose requests are counted.
const MAX_RINGING: usize = 1_000;

/// The requests that were shown lately, by person.
#[derive(Debug, Default)]
pub(super) struct Rings(HashMap<BareJid, Count>);

/// How often somebody has asked recently.
#[derive(Debug)]
struct Count {
    since: Instant,
    count: u32,
}

impl Rings {
    /// Returns whether one more request of somebody is shown.
    pub(super) fn may_ring(&mut self, whom: &BareJid, now: Instant) -> bool {
        if self.0.len() >= MAX_RINGING {
            self.0.retain(|_, rings| now.duration_since(rings.since) < RING_SPAN);
        }
        if self.0.len() >= MAX_RINGING && !self.0.contains_key(whom) {
            return false;
        }
        let rings = self.0.entry(whom.clone()).or_insert(Count { since: now, count: 0 });
        if now.duration_since(rings.since) >= RING_SPAN {
            *rings = Count { since: now, count: 0 };
        }
        rings.count = rings.count.saturating_add(1);
        rings.count <= MAX_RINGS
    }
}
