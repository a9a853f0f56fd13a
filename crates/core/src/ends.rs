//! The ends of sessions that are under way. A session is in no list any more, and what it never confirmed
//! is still to be posted: whoever stops the server waits for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many sessions are ending.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    underway: AtomicUsize,
    none: Notify,
}

/// One that is ending, until this is dropped.
pub(crate) struct Ending(Arc<Ends>);

impl Ends {
    /// Notes that a session is about to end.
    pub fn begin(self: &Arc<Ends>) -> Ending {
        self.underway.fetch_add(1, Ordering::AcqRel);
        Ending(self.clone())
    }

    /// Waits until none is ending.
    pub async fn over(&self) {
        loop {
            let none = self.none.notified();
            if self.underway.load(Ordering::Acquire) == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.0.underway.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}
