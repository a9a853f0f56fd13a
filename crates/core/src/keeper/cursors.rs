//! The cursors: up to which seq each archive is confirmed. A cursor is noted at once and saved a
//! little later, so that a confirmation costs no commit of its own. What need not be kept once it is
//! confirmed is deleted in the same commit, or, where that is much, in the next ones.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::MutexGuard;
use whoelse_store::{Error, Tx};

use super::lane::Lane;
use super::{Keeper, PIECE};
use crate::clock::{Clock, Steady};
use crate::node::Node;

/// How often confirmed cursors are saved, with the group that is committed then or alone. After a
/// crash, the messages of this interval may come twice.
pub(super) const CURSORS: Duration = Duration::from_millis(100);
/// The most cursors that are saved in one commit; the others are saved in the next one.
const MOST: usize = PIECE as usize;

/// A cursor that has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moved {
    pub archive: i64,
    /// Where it was when it was saved last, or earlier.
    pub from: i64,
    pub to: i64,
}

/// The cursors that have moved and are not saved.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// By archive: from where and to where.
    moved: BTreeMap<i64, (i64, i64)>,
    /// The last archive whose cursor was saved: the others have their turn before it.
    last: i64,
}

impl Unsaved {
    /// Returns the next so many.
    fn next(&self, most: usize) -> Vec<Moved> {
        let after = self.moved.range(self.last.saturating_add(1)..);
        let moved = after.chain(self.moved.range(..=self.last)).take(most);
        moved
            .map(|(archive, (from, to))| Moved { archive: *archive, from: *from, to: *to })
            .collect()
    }

    /// Forgets those that are saved. What has moved on meanwhile goes on from there.
    fn saved(&mut self, cursors: &[Moved]) {
        for saved in cursors {
            self.last = saved.archive;
            match self.moved.get_mut(&saved.archive) {
                Some((from, to)) if *to > saved.to => *from = saved.to,
                Some(_) => drop(self.moved.remove(&saved.archive)),
                None => {}
            }
        }
    }
}

/// Rows of an archive that are confirmed and still to be deleted.
#[derive(Debug, Clone, Copy)]
struct Confirmed {
    after: i64,
    up_to: i64,
}

/// What is confirmed and still to be deleted: by archive, and whether only those rows go that are
/// kept until they are delivered. What a crash leaves of it goes with the next confirmation, or with
/// the housekeeping.
#[derive(Debug, Clone, Default)]
pub(super) struct ToDelete(BTreeMap<(i64, bool), Confirmed>);

/// What an archive counts for at least, when few of its rows go: some statements.
const LEAST: u64 = 10;

impl ToDelete {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn add(&mut self, archive: i64, passing: bool, new: Confirmed) {
        let confirmed = self.0.entry((archive, passing)).or_insert(new);
        confirmed.after = confirmed.after.min(new.after);
        confirmed.up_to = confirmed.up_to.max(new.up_to);
    }

    /// Deletes the next rows, [`PIECE`] at most. Returns the archives that hold nothing any more
    /// that is kept until it is delivered.
    async fn delete(&mut self, tx: &mut Tx) -> Result<Vec<i64>, Error> {
        let (mut left, mut emptied) = (PIECE, Vec::new());
        while left > 0
            && let Some(((archive, passing), Confirmed { after, up_to })) = self.0.pop_first()
        {
            let most = left as i64;
            let dropped = match passing {
                true => tx.drop_passed(archive, up_to, most).await?,
                false => tx.drop_confirmed(archive, after, up_to, most).await?,
            };
            if let Some(after) = dropped.more_after {
                self.add(archive, passing, Confirmed { after, up_to });
                return Ok(emptied);
            }
            if passing && !tx.is_anything_passing(archive).await? {
                emptied.push(archive);
            }
            left = left.saturating_sub(dropped.rows.max(LEAST));
        }
        Ok(emptied)
    }
}

impl Keeper {
    /// Returns up to where an archive is confirmed, if that is not saved yet.
    pub(crate) fn unsaved_cursor(&self, archive: i64) -> Option<i64> {
        self.unsaved().moved.get(&archive).map(|(_, to)| *to)
    }

    /// Notes that a device has confirmed everything up to `seq`, where everything up to `from` was
    /// confirmed before; saved within [`CURSORS`].
    pub(crate) fn confirmed(&self, archive: i64, from: i64, seq: i64) {
        let mut unsaved = self.unsaved();
        if unsaved.moved.is_empty() {
            self.lane_is_due.notify_one();
        }
        let (known, to) = unsaved.moved.entry(archive).or_insert((from, seq));
        *known = from.min(*known);
        *to = seq.max(*to);
    }

    /// Waits until there is something to save, or to delete, or was left behind, and then until `at`:
    /// while nobody confirms anything, the lane sleeps.
    pub(super) async fn cursors_due(&self, clock: &Clock, at: Steady, deleting: bool) {
        while !deleting && self.unsaved().moved.is_empty() && self.count_left_behind() == 0 {
            self.lane_is_due.notified().await;
        }
        clock.sleep_until(at).await;
    }

    /// Returns what has to be saved next. It stays known until it is saved.
    pub(super) fn moved(&self) -> Vec<Moved> {
        self.unsaved().next(MOST)
    }

    /// Notes that these are saved; returns whether others are not.
    pub(super) fn saved(&self, cursors: &[Moved]) -> bool {
        let mut unsaved = self.unsaved();
        unsaved.saved(cursors);
        !unsaved.moved.is_empty()
    }

    fn unsaved(&self) -> MutexGuard<'_, Unsaved> {
        self.unsaved.lock()
    }
}

impl Lane {
    /// Saves cursors, and deletes what is confirmed: a bounded part of both. Returns whether the rest
    /// is due at once.
    pub(super) async fn save_cursors(&mut self, node: &Node) -> bool {
        let now = node.clock.steady();
        self.flush_at = now.after(CURSORS);
        let cursors = node.keeper.moved();
        let nothing = cursors.is_empty() && self.to_delete.is_empty();
        if nothing || !self.away.may_be_tried(now) {
            return false;
        }
        let mut to_delete = self.to_delete.clone();
        let keeps_history = node.settings().history.is_some();
        for Moved { archive, from, to } in &cursors {
            if !keeps_history {
                to_delete.add(*archive, false, Confirmed { after: *from, up_to: *to });
            }
            if self.passing.contains(archive) {
                to_delete.add(*archive, true, Confirmed { after: 0, up_to: *to });
            }
        }
        let saved = async {
            let mut tx = self.store.begin().await?;
            tx.advance_cursors(&pairs(&cursors)).await?;
            let emptied = to_delete.delete(&mut tx).await?;
            tx.commit().await.map(|()| emptied)
        };
        match saved.await {
            Ok(emptied) => {
                for archive in emptied {
                    self.passing.remove(&archive);
                }
                self.to_delete = to_delete;
                let is_more = node.keeper.saved(&cursors) || !self.to_delete.is_empty();
                if is_more {
                    self.flush_at = now;
                }
                is_more
            }
            // They are saved again, which does no harm if the first time succeeded.
            Err(error) => {
                node.store_failing("cursors_not_saved", None, &error);
                self.away.put_off(now);
                false
            }
        }
    }
}

/// The archives, and up to where each is confirmed.
pub(super) fn pairs(cursors: &[Moved]) -> Vec<(i64, i64)> {
    cursors.iter().map(|moved| (moved.archive, moved.to)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archives(cursors: &[Moved]) -> Vec<i64> {
        cursors.iter().map(|moved| moved.archive).collect()
    }

    #[test]
    fn every_cursor_has_its_turn_however_often_others_move() {
        let mut unsaved = Unsaved::default();
        let mut saved = Vec::new();
        for _ in 0..4 {
            // These two move again and again.
            for archive in [1, 2] {
                unsaved.moved.insert(archive, (0, 1));
            }
            for archive in [3, 4, 5] {
                if !saved.contains(&archive) {
                    unsaved.moved.insert(archive, (0, 1));
                }
            }
            let next = unsaved.next(2);
            saved.extend(archives(&next));
            unsaved.saved(&next);
        }

        assert_eq!(saved, [1, 2, 3, 4, 5, 1, 2, 1]);
    }

    #[test]
    fn a_cursor_that_moves_while_it_is_saved_goes_on_from_there() {
        let mut unsaved = Unsaved::default();
        unsaved.moved.insert(7, (2, 5));
        let next = unsaved.next(9);
        unsaved.moved.insert(7, (2, 8));

        unsaved.saved(&next);
        assert_eq!(unsaved.next(9), [Moved { archive: 7, from: 5, to: 8 }]);
        let next = unsaved.next(9);
        unsaved.saved(&next);
        assert!(unsaved.moved.is_empty());
    }
}
