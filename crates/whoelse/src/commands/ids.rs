//! The ids that a program gives to its messages (docs/scripting.md).
//!
//! The server treats a repeated id as a repeated message, and readers of our output tell messages
//! apart by it. So an id stands for one message. It is free again after the message was refused,
//! or if its fate is unknown and it may have to be sent again.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

/// Ids that are remembered: far more than messages can be in flight. When full, the oldest is
/// dropped.
const MAX_IDS: usize = 10_000;

/// The ids in use, shared by the task that obeys lines and the one that hears the results.
#[derive(Debug, Clone, Default)]
pub struct Ids(Arc<Mutex<Known>>);

/// Held for one look or one change.
#[derive(Debug, Default)]
struct Known {
    taken: HashSet<String>,
    /// From oldest to newest; an id that was given back may still be listed.
    order: VecDeque<String>,
}

impl Ids {
    /// Reserves an id for a message. Returns whether it was free.
    pub fn take(&self, id: &str) -> bool {
        let mut known = self.0.lock();
        if !known.taken.insert(id.to_owned()) {
            return false;
        }
        known.order.push_back(id.to_owned());
        while known.order.len() > MAX_IDS {
            if let Some(oldest) = known.order.pop_front() {
                known.taken.remove(&oldest);
            }
        }
        true
    }

    /// Frees the id of a message that was not sent.
    pub fn give_back(&self, id: &str) {
        let mut known = self.0.lock();
        if known.taken.remove(id) {
            known.order.retain(|other| other != id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_once_and_free_again_when_it_is_given_back() {
        let ids = Ids::default();
        assert!(ids.take("m1") && ids.take("m2"));
        assert!(!ids.take("m1"));

        ids.give_back("m1");

        assert!(ids.take("m1"));
        assert!(!ids.take("m2"));
    }

    #[test]
    fn the_oldest_ids_are_forgotten_first() {
        let ids = Ids::default();
        for n in 0..=MAX_IDS {
            assert!(ids.take(&n.to_string()));
            ids.give_back("nobody has this one");
        }

        assert!(!ids.take("1"));
        assert!(ids.take("0"));
    }
}
