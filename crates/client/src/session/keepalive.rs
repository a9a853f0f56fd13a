//! When the server is asked how much it has, and when it counts as gone (XEP-0198, 4; XEP-0199).

use std::time::{Duration, Instant};

/// After so long without a byte from the server it is asked for a sign of life.
pub(super) const SILENCE: Duration = Duration::from_secs(60);
/// The sign must come within this time, or the connection counts as lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// What is not acknowledged at once is asked for again after this time.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What the server was asked, and when it last said anything.
#[derive(Debug)]
pub(super) struct Keepalive {
    heard: Instant,
    /// Since when an answer to `<r/>` is awaited.
    asked: Option<Instant>,
    /// Something was sent since the server was asked.
    news: bool,
    again: Option<Instant>,
}

/// What the time asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// The server is to be asked for its count again.
    Count,
    /// It has been silent for long, and is to be asked anything.
    SignOfLife,
    /// It was asked, and has not answered in time.
    Dead,
}

impl Keepalive {
    /// A connection begins. `news`: something was sent whose count is not known.
    pub(super) fn new(now: Instant, news: bool) -> Keepalive {
        Keepalive { heard: now, asked: None, news, again: None }
    }

    /// The connection is gone, and nobody can answer.
    pub(super) fn handle_loss(&mut self) {
        self.asked = None;
        self.again = None;
    }

    /// Bytes arrived, whatever they were.
    pub(super) fn handle_sign_of_life(&mut self, now: Instant) {
        self.heard = now;
    }

    /// A stanza that is counted went out.
    pub(super) fn handle_sent(&mut self) {
        self.news = true;
    }

    /// The server has told its count. `open`: something is not acknowledged by it.
    pub(super) fn handle_count(&mut self, open: bool, now: Instant) {
        self.asked = None;
        self.again = open.then(|| now + ASK_AGAIN);
    }

    /// The server is asked for its count.
    pub(super) fn handle_asked(&mut self, now: Instant) {
        self.asked = Some(now);
        self.news = false;
        self.again = None;
    }

    /// Whether to ask now: something was sent, and no question is open.
    pub(super) fn wants_count(&self) -> bool {
        self.news && self.asked.is_none()
    }

    /// When [`Keepalive::due`] says anything.
    pub(super) fn next_deadline(&self) -> Instant {
        let alive = match self.asked {
            Some(asked) => asked.max(self.heard) + PATIENCE,
            None => self.heard + SILENCE,
        };
        self.again.map_or(alive, |again| again.min(alive))
    }

    /// What is to be done now.
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
