//! Whom the relay admits: the library asks after a connection has proved its key.

use parking_lot::Mutex;

use super::admissions::{Admissions, Room};
use iroh_base::EndpointId;
use iroh_relay::server::{Access, AccessControl, ClientRequest, ConnectionId};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;
use whoelse_core::Node;
use whoelse_features::relay::{self, Denied, EndpointKey, Limits};

/// Who is in and who may come.
pub(super) struct Guests {
    /// Weak, because the node holds the relay.
    node: Weak<Node>,
    /// Whether anything is relayed.
    open: AtomicBool,
    /// Whether the server is shutting down.
    closed: AtomicBool,
    /// Held for a look or a change, never across an await.
    admissions: Mutex<Admissions<ConnectionId>>,
    /// Told when some are to be closed, and when the relay closes.
    go: Notify,
}

impl Guests {
    pub fn new(node: &Arc<Node>) -> Guests {
        Guests {
            node: Arc::downgrade(node),
            open: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            admissions: Mutex::default(),
            go: Notify::new(),
        }
    }

    /// Sets whether anybody may come.
    pub fn open(&self, open: bool) {
        self.open.store(open, Ordering::Release);
    }

    /// Admits nobody any more, whatever the settings say.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.go.notify_one();
    }

    /// Returns those that are to be closed, when there are some; `None` when the relay closes.
    pub async fn going(&self) -> Option<Vec<(ConnectionId, EndpointKey)>> {
        loop {
            if self.closed.load(Ordering::Acquire) {
                return None;
            }
            let going = self.admissions.lock().going();
            if !going.is_empty() {
                return Some(going);
            }
            self.go.notified().await;
        }
    }

    pub fn are_welcome(&self) -> bool {
        self.open.load(Ordering::Acquire) && !self.closed.load(Ordering::Acquire)
    }

    pub fn count(&self) -> usize {
        self.admissions.lock().count()
    }

    /// Forgets the tokens of an account, whose guests go.
    pub fn end(&self, account: i64) {
        self.admissions.lock().end(account);
        self.go.notify_one();
    }

    /// Does the same for every account.
    pub fn end_all(&self) {
        self.admissions.lock().end_all();
        self.go.notify_one();
    }

    async fn admit(&self, node: &Node, request: &ClientRequest) -> Result<(), Denied> {
        let text = request.auth_token().ok_or(Denied::NoToken)?;
        let token = relay::open(node, &text).ok_or(Denied::Forged)?;
        let limits = node.settings().of::<Limits>().clone();
        let room = Room { all: limits.relay_clients, per_account: limits.relay_per_account };
        let (connection, key) = (request.connection_id(), request.endpoint_id());
        let times = (node.started.wall, node.unset_time());
        {
            let mut admissions = self.admissions.lock();
            // Checked under the lock, so it comes either before or after all guests are ended.
            if !self.are_welcome() {
                return Err(Denied::Off);
            }
            admissions.enter(connection, token.clone(), key.as_bytes(), room, times)?;
        }
        self.go.notify_one();
        // Checked after it is in the book: an account that is locked, or gets another password, from
        // now on is found there and ended.
        if relay::may_come(node, &token).await {
            tracing::debug!("relay_admitted");
            return Ok(());
        }
        self.admissions.lock().refuse(connection);
        Err(Denied::NoAccount)
    }
}

impl AccessControl for Guests {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        // Without a node there is nobody to ask, and the relay is about to end.
        let Some(node) = self.node.upgrade() else { return Access::Deny { reason: None } };
        match self.admit(&node, request).await {
            Ok(()) => Access::Allow,
            Err(denied) => {
                node.counters.of::<relay::Counters>().refused.inc([denied.name()]);
                tracing::debug!(reason = denied.name(), "relay_refused");
                Access::Deny { reason: Some(denied.to_string()) }
            }
        }
    }

    fn on_disconnect(&self, _: EndpointId, connection: ConnectionId) {
        if let Some(node) = self.node.upgrade() {
            self.admissions.lock().leave(connection, node.unset_time());
        }
    }
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guests").field("count", &self.count()).finish_non_exhaustive()
    }
}
