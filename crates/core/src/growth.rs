//! How much archives grow between two looks at all of them: one that has grown by a good part of what it
//! may hold is looked at at once (`docs/design/shares.md`).

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::settings::Limits;

/// The part of a quota by which an archive may grow before somebody looks at it.
const PART: u64 = 64;
/// It may grow by so much in any case: a look costs about what it costs to store a few messages.
const LEAST: u64 = 1 << 20;
/// The most archives of which it is known by how much they have grown: more than are written to in an
/// hour. Beyond, all are forgotten, and looked at with the others.
const KNOWN: usize = 100_000;
/// The most archives that wait to be looked at. Beyond, they are looked at with the others.
const WAITING: usize = 1_000;

/// By how much archives have grown since they were looked at.
#[derive(Debug)]
pub(crate) struct Growth {
    /// In bytes. Held for a look or a change; no other lock is taken meanwhile.
    grown: Mutex<HashMap<i64, u64>>,
    /// Takes the archives to look at.
    due: mpsc::Sender<i64>,
}

impl Growth {
    /// Also returns where the archives come out that are to be looked at.
    pub fn new() -> (Growth, mpsc::Receiver<i64>) {
        let (due, looks) = mpsc::channel(WAITING);
        (Growth { grown: Mutex::default(), due }, looks)
    }

    /// Notes by how much archives have grown.
    pub fn note(&self, rows: impl Iterator<Item = (i64, u64)>, limits: &Limits) {
        let quota = limits.archive_bytes.min(limits.room_archive_bytes);
        let most = (quota / PART).max(LEAST);
        let mut grown = self.grown.lock();
        for (archive, bytes) in rows {
            let known = grown.entry(archive).or_default();
            *known += bytes;
            if *known >= most {
                grown.remove(&archive);
                // When too many wait, it is looked at with all others.
                let _ = self.due.try_send(archive);
            }
        }
        if grown.len() > KNOWN {
            grown.clear();
        }
    }

    /// All archives are looked at now.
    pub fn forget(&self) {
        self.grown.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_at(looks: &mut mpsc::Receiver<i64>) -> Vec<i64> {
        std::iter::from_fn(|| looks.try_recv().ok()).collect()
    }

    #[test]
    fn what_has_grown_by_a_part_of_its_quota_is_looked_at_once() {
        let (growth, mut looks) = Growth::new();
        let limits = Limits { archive_bytes: 128 << 20, ..Limits::default() };
        for _ in 0..7 {
            growth.note([(1, 300 << 10), (2, 10)].into_iter(), &limits);
        }
        assert_eq!(looked_at(&mut looks), [1]);

        growth.note([(1, (2 << 20) - 1)].into_iter(), &limits);
        growth.forget();
        growth.note([(1, 1)].into_iter(), &limits);
        assert!(looked_at(&mut looks).is_empty());
    }

    #[test]
    fn however_many_archives_grow_no_more_is_known_than_may_be() {
        let (growth, mut looks) = Growth::new();
        let limits = Limits::default();
        let many = KNOWN as i64 + 10;
        growth.note((0..many).map(|archive| (archive, 1)), &limits);
        assert!(growth.grown.lock().len() <= KNOWN);

        growth.note((0..many).map(|archive| (archive, u64::from(u32::MAX))), &limits);
        assert_eq!(looked_at(&mut looks).len(), WAITING);
    }
}
