//! The ids that a program gives to its messages (docs/scripting.md).
//!
//! The server takes a repeated id for a repeated message, and whoever reads what we print tells
//! messages apart by it. So an id stands for one message; it is free again when that message came
//! back, or when nobody knows what became of it and it may have to be said again.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ids that are remembered: far more than messages can be on their way. Beyond, the oldest goes.
const MAX_IDS: usize = 10_000;

/// The ids in use, for whoever obeys lines and whoever hears what became of them.
#[derive(Debug, Clone, Default)]
pub struct Ids(Arc<Mutex<Known>>);

/// Held for one look or one change.
#[derive(Debug, Default)]
struct Known {
    taken: HashSet<String>,
    /// From the oldest to the newest; an id that was given back may still stand here.
    order: VecDeque<String>,
}

impl Ids {
    /// Takes an id for a message. Returns whether it was free.
    pub fn take(&self, id: &str) -> bool {
        let mut known = self.lock();
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

    /// The message of this id was not sent.
    pub fn give_back(&self, id: &str) {
        let mut known = self.lock();
        if known.taken.remove(id) {
            known.order.retain(|other| other != id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
