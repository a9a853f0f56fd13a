//! The sessions of one owner: an account, or the server itself.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::session::Session;

/// The live and detached sessions of one owner.
///
/// Its lock is held for a look or a change, never across an await; taken before any session's own
/// lock, never after.
#[derive(Default)]
pub(crate) struct SessionList(RwLock<Vec<Arc<Session>>>);

impl SessionList {
    /// Lists the sessions.
    pub fn all(&self) -> Vec<Arc<Session>> {
        self.0.read().clone()
    }

    /// Calls `look` on each session, under the lock: it must not call back into the list.
    pub fn each(&self, mut look: impl FnMut(&Arc<Session>)) {
        self.0.read().iter().for_each(&mut look);
    }

    /// Whether `is_so` is true of any session. It is called under the lock.
    pub fn any(&self, is_so: impl Fn(&Session) -> bool) -> bool {
        self.0.read().iter().any(|session| is_so(session))
    }

    /// Finds the session with this resource.
    pub fn find(&self, resource: &str) -> Option<Arc<Session>> {
        self.0.read().iter().find(|session| session.resource() == resource).cloned()
    }

    /// Counts the sessions.
    pub fn count(&self) -> usize {
        self.0.read().len()
    }

    /// Adds a session if `fits` accepts the present ones. Check and change are one step: two logins
    /// at once cannot both find the list empty.
    pub fn add_if(
        &self,
        session: &Arc<Session>,
        fits: impl FnOnce(&[Arc<Session>]) -> bool,
    ) -> bool {
        let mut sessions = self.0.write();
        let fits = fits(&sessions);
        if fits {
            // Most owners have one or two.
            sessions.reserve_exact(1);
            sessions.push(session.clone());
        }
        fits
    }

    /// Removes a session by its number.
    pub fn remove(&self, id: u64) {
        self.0.write().retain(|session| session.id != id);
    }
}
