//! When to ask the server for its count, and when it counts as dead (XEP-0198, 4; XEP-0199).

use std::time::{Duration, Instant};

/// After this long without a byte from the server it is asked for a sign of life.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// The answer must come within this time, or the connection counts as lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// If the answer leaves stanzas unacknowledged, the server is asked again after this time.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What the server was asked, and when it last said anything.
#[derive(Debug)]
pub(super) struct Keepalive {
    heard: Instant,
    /// When the unanswered `<r/>` was sent.
    asked: Option<Instant>,
    /// Whether something was sent since then.
    news: bool,
    again: Option<Instant>,
}

/// What is due now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// Ask for the count again.
    Count,
    /// Ask for a sign of life after a long silence.
    SignOfLife,
    /// The answer did not come in time.
    Dead,
}

impl Keepalive {
    /// Starts with a connection. `news`: unacknowledged stanzas were sent.
    pub(super) fn new(now: Instant, news: bool) -> Keepalive {
        Keepalive { heard: now, asked: None, news, again: None }
    }

    /// Stops, since the connection is gone.
    pub(super) fn handle_loss(&mut self) {
        self.asked = None;
        self.again = None;
    }

    /// Takes note that bytes arrived.
    pub(super) fn handle_sign_of_life(&mut self, now: Instant) {
        self.heard = now;
    }

    /// Takes note that a counted stanza was sent.
    pub(super) fn handle_sent(&mut self) {
        self.news = true;
    }

    /// Takes note of a count. `open`: some stanzas are still unacknowledged.
    pub(super) fn handle_count(&mut self, open: bool, now: Instant) {
        self.asked = None;
        self.again = open.then(|| now + ASK_AGAIN);
    }

    /// Takes note that the server was asked for its count.
    pub(super) fn handle_asked(&mut self, now: Instant) {
        self.asked = Some(now);
        self.news = false;
        self.again = None;
    }

    /// Returns whether to ask now: something was sent, and no `<r/>` is unanswered.
    pub(super) fn wants_count(&self) -> bool {
        self.news && self.asked.is_none()
    }

    /// Returns when [`Keepalive::due`] has something to say.
    pub(super) fn next_deadline(&self) -> Instant {
        let alive = match self.asked {
            Some(asked) => asked.max(self.heard) + PATIENCE,
            None => self.heard + SILENCE,
        };
        self.again.map_or(alive, |again| again.min(alive))
    }

    /// Returns what is due now.
    pub(super) fn due(&self, now: Instant) -> Due {
        match self.asked {
            Some(asked) if asked.max(self.heard) + PATIENCE <= now => Due::Dead,
            Some(_) => Due::Nothing,
            None if self.again.is_some_and(|again| again <= now) => Due::Count,
            None if self.heard + SILENCE <= now => Due::SignOfLife,
            None => Due::Nothing,
        }
    }
}
