//! How much of something is in progress, for whoever has to wait until none of it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many there are.
#[derive(Debug, Default)]
pub struct InProgress {
    count: AtomicUsize,
    none: Notify,
}

/// One of them, until this is dropped.
#[derive(Debug)]
pub struct Begun(Arc<InProgress>);

impl InProgress {
    /// Counts one more.
    pub fn begin(self: &Arc<InProgress>) -> Begun {
        self.count.fetch_add(1, Ordering::AcqRel);
        Begun(self.clone())
    }

    /// How many there are at this moment.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until there are none.
    pub async fn none(&self) {
        loop {
            let none = self.none.notified();
            if self.count() == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}
