//! XEP-0198, the counts of a session: stanzas received and handled, stanzas sent and acknowledged.
//! Without stream management, a stanza counts as acknowledged once it is flushed.

use whoelse_stream::sm::{BadAck, Handled, Sent};
use whoelse_xmpp::Class;

use super::{Queued, Ticket};
use crate::clock::Steady;
use crate::settings::Limits;

/// Bytes that one session may have on their way through the keeper before its reading pauses: four
/// of the largest stanzas, or thousands of ordinary ones. A fast sender waits for the disk,
/// instead of filling memory.
const POSTED: usize = 1 << 20;

/// Stream management of one session, after it was enabled.
struct Managed {
    sent: Sent<Queued>,
    resume: Option<String>,
    since_request: u32,
    /// Since when an `<r/>` is unanswered.
    asked_at: Option<Steady>,
}

/// The counts.
#[derive(Default)]
pub(super) struct Counting {
    managed: Option<Managed>,
    handled: Handled,
    /// Whether the last `<r/>` was answered with less than what had been received.
    owes_ack: bool,
    /// Without stream management: what a connection has taken and not yet flushed of messages that are
    /// kept, and of the ends of pages of the archive.
    unflushed: Vec<Queued>,
    /// The bytes that the session has posted to the keeper and that are not delivered or refused yet.
    posted_bytes: usize,
}

impl Counting {
    // --- stream management ---

    /// XEP-0198, 3: starts counting. `resume` is the token by which the session can be resumed.
    /// Returns false if it was enabled already.
    pub fn enable(&mut self, resume: Option<String>) -> bool {
        if self.managed.is_some() {
            return false;
        }
        self.handled = Handled::default();
        self.managed =
            Some(Managed { sent: Sent::default(), resume, since_request: 0, asked_at: None });
        true
    }

    pub fn is_managed(&self) -> bool {
        self.managed.is_some()
    }

    /// The token by which the session can be resumed.
    pub fn resumption(&self) -> Option<&str> {
        self.managed.as_ref()?.resume.as_deref()
    }

    /// Takes the token away: the session cannot be resumed any more.
    pub fn forget_resumption(&mut self) -> Option<String> {
        self.managed.as_mut()?.resume.take()
    }

    /// When the unanswered `<r/>` went out.
    pub fn asked_at(&self) -> Option<Steady> {
        self.managed.as_ref()?.asked_at
    }

    /// Notes that the connection is lost, and with it any `<r/>`.
    pub fn forget_asking(&mut self) {
        if let Some(managed) = &mut self.managed {
            managed.asked_at = None;
        }
    }

    // --- what came in ---

    /// Counts a received stanza; the ticket is its place in the count.
    pub fn received(&mut self) -> Ticket {
        Ticket { managed: self.managed.is_some(), number: self.handled.received() }
    }

    /// Notes that a stanza is handled. Returns false if its ticket is from before the count began.
    pub fn done(&mut self, ticket: Ticket) -> bool {
        let counts = ticket.managed == self.managed.is_some();
        if counts {
            self.handled.done(ticket.number);
        }
        counts
    }

    /// Whether everything that was received is handled.
    pub fn all_done(&self) -> bool {
        self.handled.all_done()
    }

    pub fn h(&self) -> u32 {
        self.handled.h()
    }

    /// Returns the count in answer to `<r/>`. If more was received, another answer follows when
    /// that is handled.
    pub fn acknowledge(&mut self) -> u32 {
        self.owes_ack = !self.handled.all_done();
        self.handled.h()
    }

    pub fn owes_ack(&self) -> bool {
        self.owes_ack
    }

    /// Returns the answer that is still owed, once everything received is handled.
    pub fn take_owed_ack(&mut self) -> Option<u32> {
        let whole = self.owes_ack && self.handled.all_done();
        whole.then(|| {
            self.owes_ack = false;
            self.handled.h()
        })
    }

    // --- what is on its way through the keeper ---

    /// Notes that a stanza of this many bytes was posted. Returns whether reading should pause until
    /// some are delivered or refused.
    pub fn posted(&mut self, bytes: usize) -> bool {
        self.posted_bytes += bytes;
        self.has_posted_too_much()
    }

    /// Whether reading should pause until some of what was posted is delivered or refused.
    pub fn has_posted_too_much(&self) -> bool {
        self.posted_bytes > POSTED
    }

    /// Notes that one of them is delivered or refused.
    pub fn arrived(&mut self, bytes: usize) {
        self.posted_bytes = self.posted_bytes.saturating_sub(bytes);
    }

    // --- what goes out ---

    /// Whether a stanza of this class stays in memory after it is written, until it is acknowledged.
    pub fn holds(&self, class: Class) -> bool {
        self.managed.is_some() && class != Class::Nonza
    }

    /// Notes that a stanza is being written.
    pub fn writes(&mut self, item: Queued) {
        let class = item.stanza.class;
        let holds = self.holds(class);
        match &mut self.managed {
            Some(managed) if holds => {
                let bytes = item.len();
                managed.sent.push(item, bytes);
                managed.since_request += 1;
            }
            _ => {
                if let Class::Kept(_) | Class::AheadOfLog(_) | Class::ArchivePage(_) = class {
                    self.unflushed.push(item);
                }
            }
        }
    }

    /// Whether to write an `<r/>` now: after so many stanzas, or after the last one.
    pub fn asks(&mut self, limits: &Limits, more_waits: bool, now: Steady) -> bool {
        let Some(managed) = &mut self.managed else { return false };
        let due =
            managed.since_request >= limits.ack_every || (managed.since_request > 0 && !more_waits);
        let asks = due && managed.asked_at.is_none();
        if asks {
            managed.since_request = 0;
            managed.asked_at = Some(now);
        }
        asks
    }

    /// Notes that what was written is flushed. Returns what is confirmed by that.
    pub fn flushed(&mut self) -> Vec<Queued> {
        std::mem::take(&mut self.unflushed)
    }

    /// Takes the peer's count `h`. Returns the stanzas that it newly acknowledges, and whether
    /// there are more for which no `<r/>` is out.
    pub fn acknowledged(&mut self, h: u32) -> Result<(Vec<Queued>, bool), BadAck> {
        let Some(managed) = &mut self.managed else { return Ok((Vec::new(), false)) };
        managed.asked_at = None;
        let acked = managed.sent.ack(h)?;
        Ok((acked, managed.since_request > 0))
    }

    /// What was written and is not acknowledged, in order; without stream management, what is not
    /// flushed.
    pub fn unacknowledged(&self) -> impl Iterator<Item = &Queued> {
        self.managed.iter().flat_map(|managed| managed.sent.resend()).chain(&self.unflushed)
    }

    /// How many stanzas were sent.
    #[cfg(test)]
    pub fn sent(&self) -> u32 {
        self.managed.as_ref().map_or(0, |managed| managed.sent.sent())
    }

    /// XEP-0198, 5: another connection continues the counts. Returns what has to be written again.
    pub fn resume(&mut self) -> Vec<Queued> {
        self.owes_ack = false;
        let Some(managed) = &mut self.managed else { return Vec::new() };
        managed.since_request = 0;
        managed.asked_at = None;
        managed.sent.take_back()
    }

    /// Ends the counts. Returns what was written and never confirmed, in order.
    pub fn take_unconfirmed(&mut self) -> Vec<Queued> {
        let sent = self.managed.take().map(|managed| managed.sent.into_unacknowledged());
        let mut unconfirmed = sent.unwrap_or_default();
        unconfirmed.append(&mut self.unflushed);
        unconfirmed
    }
}
