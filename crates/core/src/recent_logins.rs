//! The successful logins that are not written down yet; [`crate::login`] writes them.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::account::Account;
use crate::clock::Time;
use crate::login_throttle::stored::Scope;
use crate::network::Network;

/// A successful login.
pub(crate) struct RecentLogin {
    /// Whose.
    pub account: Arc<Account>,
    /// From where.
    pub network: Network,
    /// The time on the wall.
    pub at: Time,
    /// The counts that wrong tries before it may have left in the store.
    pub forgiven: Vec<Scope>,
}

/// The logins that are not written yet.
#[derive(Default)]
pub(crate) struct RecentLogins {
    /// Held for one look or change, never across an await.
    waiting: Mutex<Vec<RecentLogin>>,
}

impl RecentLogins {
    /// Whether an account has logged in from a network and this is not written yet.
    pub fn include(&self, account: i64, network: Network) -> bool {
        self.waiting.lock().iter().any(|it| it.account.id == account && it.network == network)
    }

    /// Adds a login. Returns how many wait now.
    pub fn push(&self, login: RecentLogin) -> usize {
        let mut waiting = self.waiting.lock();
        waiting.push(login);
        waiting.len()
    }

    /// Takes the logins that wait.
    pub fn take(&self) -> Vec<RecentLogin> {
        std::mem::take(&mut *self.waiting.lock())
    }
}
