//! What clients can do of which the server knows: proved once, and true of every client that says the
//! same of itself (XEP-0115, 5.4).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::answer::Wanted;
use super::said::Said;

/// The most that are known: people use a few clients, each in a few versions. What was not said for
/// longest is forgotten, and whoever says it is asked again.
const MOST: usize = 1_000;

/// What a client has said of itself, and what is known of it.
#[derive(Debug)]
pub(super) struct Capabilities {
    pub said: Said,
    pub wanted: Arc<Wanted>,
}

/// In the slot of the server: the capabilities that were proved. Held for a look or a change, also of
/// the slot of a session; taken before that.
#[derive(Default)]
pub(super) struct Known(Mutex<Table>);

/// The capabilities by what is said, each with when it was last.
#[derive(Default)]
pub(super) struct Table {
    by_what_is_said: HashMap<Said, (Arc<Capabilities>, u64)>,
    /// How often one was looked for.
    looks: u64,
}

impl Known {
    pub fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock()
    }
}

impl Table {
    /// Returns what is known of a client that says this.
    pub fn find(&mut self, said: &Said) -> Option<Arc<Capabilities>> {
        self.looks += 1;
        let (found, last) = self.by_what_is_said.get_mut(said)?;
        *last = self.looks;
        Some(found.clone())
    }

    /// Notes what was proved. Returns what all who say it share.
    pub fn learn(&mut self, proved: Capabilities) -> Arc<Capabilities> {
        if let Some(known) = self.find(&proved.said) {
            return known;
        }
        let all = &mut self.by_what_is_said;
        if all.len() >= MOST
            && let Some(oldest) = all.iter().min_by_key(|(_, (_, last))| *last)
        {
            let oldest = oldest.0.clone();
            all.remove(&oldest);
        }
        let proved = Arc::new(proved);
        all.insert(proved.said.clone(), (proved.clone(), self.looks));
        proved
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said(n: usize) -> Said {
        Said { hash: None, node: "urn:x".into(), ver: n.to_string().into() }
    }

    fn learn(table: &mut Table, n: usize) -> Arc<Capabilities> {
        table.learn(Capabilities { said: said(n), wanted: Arc::default() })
    }

    #[test]
    fn all_who_say_the_same_share_what_is_known() {
        let mut table = Table::default();
        assert!(table.find(&said(1)).is_none());

        let (first, second) = (learn(&mut table, 1), learn(&mut table, 1));

        assert!(Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&first, &table.find(&said(1)).unwrap()));
        assert!(table.find(&said(2)).is_none());
    }

    #[test]
    fn a_thousand_are_known_and_what_was_not_said_for_longest_goes() {
        let mut table = Table::default();
        (0..MOST).for_each(|n| drop(learn(&mut table, n)));

        assert!(table.find(&said(0)).is_some());
        learn(&mut table, MOST);

        assert_eq!(table.by_what_is_said.len(), MOST);
        assert!(table.find(&said(0)).is_some() && table.find(&said(MOST)).is_some());
        assert!(table.find(&said(1)).is_none());
    }
}
