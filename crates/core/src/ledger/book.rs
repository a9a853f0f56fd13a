//! The entries of the ledger, by account or by site.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use super::bucket::{Bucket, Rate};
use super::rates::Rates;
use crate::clock::Steady;
use crate::turns::OwnTurn;

/// The most entries that no session holds. To be among them an account must have spent something
/// within a quarter of an hour.
const MOST: usize = 100_000;
/// Below so many entries nobody looks which of them are full.
const FEW: usize = 1024;

/// What is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Work,
    FanOuts,
}

impl Rates {
    fn of(self, what: What) -> Rate {
        match what {
            What::Work => self.work,
            What::FanOuts => self.fan_outs,
        }
    }
}

/// What an account or a site has spent.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Held for one look or one change; taken last of all locks.
    budgets: Mutex<Budgets>,
    /// Of a site: the turn of its new accounts to read much.
    pub reading: OwnTurn,
}

#[derive(Debug, Default)]
struct Budgets {
    work: Bucket,
    fan_outs: Bucket,
}

impl Budgets {
    fn of(&mut self, what: What) -> &mut Bucket {
        match what {
            What::Work => &mut self.work,
            What::FanOuts => &mut self.fan_outs,
        }
    }
}

impl Entry {
    /// Pays so much; see [`Bucket::spend`].
    pub fn spend(&self, what: What, cost: f64, rates: Rates, now: Steady) -> Steady {
        self.budgets.lock().of(what).spend(cost, rates.of(what), now)
    }

    /// Returns when so much would be covered, and pays nothing.
    pub fn would_be_covered(&self, what: What, cost: f64, rates: Rates, now: Steady) -> Steady {
        self.budgets.lock().of(what).would_be_covered(cost, rates.of(what), now)
    }

    /// How far it is from being full: of the two budgets, the part that is spent of what there is
    /// at once. Zero: it is full.
    fn lacks(&self, rates: Rates, now: Steady) -> f64 {
        let budgets = self.budgets.lock();
        let part = |bucket: &Bucket, rate: Rate| bucket.spent(rate, now) / rate.at_once;
        part(&budgets.work, rates.work).max(part(&budgets.fan_outs, rates.fan_outs))
    }
}

/// The entries by their keys.
#[derive(Debug)]
pub(super) struct Book<K>(
    /// Held for one look, or for a look at all of them; an entry's lock is taken after it.
    Mutex<Entries<K>>,
);

#[derive(Debug)]
struct Entries<K> {
    by_key: HashMap<K, Arc<Entry>>,
    /// When there are so many, those that are full are forgotten.
    look_at: usize,
}

impl<K> Default for Book<K> {
    fn default() -> Book<K> {
        Book(Mutex::new(Entries { by_key: HashMap::new(), look_at: FEW }))
    }
}

impl<K: Copy + Eq + Hash> Book<K> {
    /// Returns the entry of this key. It is not forgotten as long as the caller holds it.
    /// `slowest`: the lowest rates that any of the entries has; by them is judged which are full.
    pub fn entry(&self, key: K, slowest: Rates, now: Steady) -> Arc<Entry> {
        let mut entries = self.0.lock();
        if let Some(entry) = entries.by_key.get(&key) {
            return entry.clone();
        }
        if entries.by_key.len() >= entries.look_at {
            entries.forget(slowest, now);
        }
        entries.by_key.entry(key).or_default().clone()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.lock().by_key.len()
    }
}

impl<K: Copy + Eq + Hash> Entries<K> {
    /// Forgets what is full and held by nobody, and of the others that nobody holds those that
    /// will be full soonest, if there are too many.
    fn forget(&mut self, rates: Rates, now: Steady) {
        let mut idle = Vec::new();
        self.by_key.retain(|key, entry| {
            if Arc::strong_count(entry) > 1 {
                return true;
            }
            let lacks = entry.lacks(rates, now);
            if lacks > 0.0 {
                idle.push((lacks, *key));
            }
            lacks > 0.0
        });
        if let Some(over) = idle.len().checked_sub(MOST).filter(|over| *over > 0) {
            idle.select_nth_unstable_by(over - 1, |(one, _), (other, _)| one.total_cmp(other));
            for (_, key) in idle.iter().take(over) {
                self.by_key.remove(key);
            }
        }
        self.look_at = FEW.max(2 * self.by_key.len());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Steady = Steady(1_000_000_000);

    fn rates() -> Rates {
        Rates::of_account(1000)
    }

    fn spend(book: &Book<usize>, key: usize, cost: f64) -> Steady {
        book.entry(key, rates(), NOW).spend(What::FanOuts, cost, rates(), NOW)
    }

    #[test]
    fn who_comes_again_finds_what_was_spent() {
        let book = Book::default();
        assert_eq!(spend(&book, 1, 60.0), NOW);

        assert!(spend(&book, 1, 1.0) > NOW);
        assert_eq!(spend(&book, 2, 1.0), NOW);
    }

    #[test]
    fn what_is_full_again_is_forgotten_unless_somebody_holds_it() {
        let book = Book::default();
        for key in 0..FEW {
            spend(&book, key, 1.0);
        }
        let held = book.entry(7, rates(), NOW);
        let later = NOW.after(Duration::from_secs(1));

        book.entry(FEW, rates(), later);

        assert_eq!(book.len(), 2);
        assert!(Arc::ptr_eq(&held, &book.entry(7, rates(), later)));
    }

    #[test]
    fn what_is_not_full_is_not_forgotten_whoever_else_comes() {
        let book = Book::default();
        spend(&book, 1, 60.0);
        for key in 2..10 * FEW {
            book.entry(key, rates(), NOW);
        }

        assert!(spend(&book, 1, 1.0) > NOW);
        assert!(book.len() <= FEW + 1, "{}", book.len());
    }

    #[test]
    fn of_too_many_those_that_will_be_full_soonest_are_forgotten() {
        let book = Book::default();
        for key in 0..4 * MOST {
            spend(&book, key, if key % 100 == 0 { 60.0 } else { 1.0 });
        }

        assert!(book.len() <= 2 * MOST + 1, "{}", book.len());
        assert!((0..4 * MOST).step_by(100).all(|key| spend(&book, key, 1.0) > NOW));
    }
}
