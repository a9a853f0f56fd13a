//! The cursors: up to which seq each archive is confirmed. A cursor is noted at once and saved a
//! little later, so that a confirmation costs no commit of its own. Messages that are kept only
//! until they are delivered are deleted in the same commit.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::MutexGuard;

use super::Keeper;
use super::lane::Lane;
use crate::clock::{Clock, Steady};
use crate::node::Node;

/// How often confirmed cursors are saved, with the group that is committed then or alone. After a
/// crash, the messages of this interval may come twice.
pub(super) const CURSORS: Duration = Duration::from_millis(100);

impl Keeper {
    /// Returns up to where an archive is confirmed, if that is not saved yet.
    pub(crate) fn unsaved_cursor(&self, archive: i64) -> Option<i64> {
        self.lock_cursors().get(&archive).copied()
    }

    /// Notes that a device has confirmed everything up to `seq`; saved within [`CURSORS`].
    pub(crate) fn confirmed(&self, archive: i64, seq: i64) {
        let mut dirty = self.lock_cursors();
        if dirty.is_empty() {
            self.unsaved.notify_one();
        }
        let cursor = dirty.entry(archive).or_insert(seq);
        *cursor = seq.max(*cursor);
    }

    /// Waits until there is something to save, and then until `at`: while nobody confirms anything,
    /// the lane sleeps.
    pub(super) async fn cursors_due(&self, clock: &Clock, at: Steady) {
        while self.lock_cursors().is_empty() {
            self.unsaved.notified().await;
        }
        clock.sleep_until(at).await;
    }

    /// Returns what has to be saved. It stays known until it is saved.
    pub(super) fn dirty(&self) -> Vec<(i64, i64)> {
        let dirty = self.lock_cursors();
        dirty.iter().map(|(archive, seq)| (*archive, *seq)).collect()
    }

    /// Notes that these are saved, except those that have moved on meanwhile.
    pub(super) fn saved(&self, cursors: &[(i64, i64)]) {
        let mut dirty = self.lock_cursors();
        for (archive, seq) in cursors {
            if dirty.get(archive) == Some(seq) {
                dirty.remove(archive);
            }
        }
    }

    fn lock_cursors(&self) -> MutexGuard<'_, HashMap<i64, i64>> {
        self.dirty.lock()
    }
}

impl Lane {
    pub(super) async fn save_cursors(&mut self, node: &Node) {
        self.flush_at = node.clock.steady().after(CURSORS);
        let cursors = node.keeper.dirty();
        if cursors.is_empty() || !self.away.may_be_tried(node.clock.steady()) {
            return;
        }
        let passing = cursors.iter().filter(|(archive, _)| self.passing.contains(archive));
        let saved = async {
            let mut tx = self.store.begin().await?;
            tx.advance_cursors(&cursors).await?;
            if node.settings().history.is_none() {
                for (archive, seq) in &cursors {
                    tx.drop_confirmed(*archive, *seq).await?;
                }
            }
            let mut emptied = Vec::new();
            for (archive, seq) in passing {
                tx.drop_passed(*archive, *seq).await?;
                if !tx.is_anything_passing(*archive).await? {
                    emptied.push(*archive);
                }
            }
            tx.commit().await.map(|()| emptied)
        };
        match saved.await {
            Ok(emptied) => {
                for archive in emptied {
                    self.passing.remove(&archive);
                }
                node.keeper.saved(&cursors);
            }
            // They are saved again, which does no harm if the first time succeeded.
            Err(error) => {
                node.store_failing("cursors_not_saved", None, &error);
                self.away.put_off(node.clock.steady());
            }
        }
    }
}
