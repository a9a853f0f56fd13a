//! The logins, and the counts of failed ones, that are not written down yet; [`crate::login`] writes
//! them.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use whoelse_stream::sasl2::UserAgentId;

use crate::account::Account;
use crate::clock::Time;
use crate::login_throttle::stored::Scope;
use crate::network::Network;

/// How much may wait to be written. What comes while so much waits is not written at all, as if a
/// crash had lost it: the database takes nothing, and that is told elsewhere.
const ROOM: usize = 10_000;

/// A successful login.
#[derive(Clone)]
pub(crate) struct RecentLogin {
    /// Whose.
    pub account: Arc<Account>,
    /// From where.
    pub network: Network,
    /// The time on the wall.
    pub at: Time,
    /// The counts that wrong tries before it may have left in the store.
    pub forgiven: Vec<Scope>,
    /// Of which device, if it has told.
    pub device: Option<UserAgentId>,
}

/// The logins that are not written yet.
#[derive(Default)]
pub(crate) struct RecentLogins {
    /// Held for one look or change, never across an await.
    waiting: Mutex<Waiting>,
    /// Held by whoever writes them down: what comes while one does waits together for the next.
    pub writing: tokio::sync::Mutex<()>,
}

/// What waits to be written.
#[derive(Default)]
pub(crate) struct Waiting {
    /// The successful logins.
    pub logins: Vec<RecentLogin>,
    /// The counts of failed ones.
    pub failed: HashSet<Scope>,
}

impl Waiting {
    /// How much waits.
    pub fn len(&self) -> usize {
        self.logins.len() + self.failed.len()
    }
}

impl RecentLogins {
    /// Adds something, unless too much waits. Returns how much waited before and waits now.
    pub fn add(&self, add: impl FnOnce(&mut Waiting)) -> (usize, usize) {
        let mut waiting = self.waiting.lock();
        let before = waiting.len();
        if before < ROOM {
            add(&mut waiting);
        }
        (before, waiting.len())
    }

    /// Takes the next of what waits: so many logins, and as many counts.
    pub fn take(&self, most: usize) -> Waiting {
        let mut waiting = self.waiting.lock();
        let logins = most.min(waiting.logins.len());
        let logins = waiting.logins.drain(..logins).collect();
        let failed: HashSet<Scope> = waiting.failed.iter().take(most).cloned().collect();
        waiting.failed.retain(|scope| !failed.contains(scope));
        Waiting { logins, failed }
    }
}
