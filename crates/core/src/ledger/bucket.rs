//! A budget: how much of it is spent, which falls with time.

use crate::clock::Steady;

/// How fast a budget refills, and how much there is when it is full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// What comes back each second.
    pub per_second: f64,
    /// What may be spent at once.
    pub at_once: f64,
}

/// A budget. It does not know its rate: that is handed in, so that it may change at any time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    /// What is spent and has not come back; more than there is at once is owed.
    spent: f64,
    /// When that was so.
    at: Steady,
}

impl Bucket {
    /// Spends so much. Returns when it is covered: now, or as soon as what is owed has come back.
    ///
    /// So by any time no more is covered than what there is at once and the rate times the time,
    /// and whoever spent first is covered first.
    pub fn spend(&mut self, cost: f64, rate: Rate, now: Steady) -> Steady {
        self.spent = self.spent(rate, now) + cost;
        self.at = self.at.max(now);
        covered(self.spent, rate, self.at)
    }

    /// Returns when so much would be covered, and spends nothing.
    pub fn would_be_covered(&self, cost: f64, rate: Rate, now: Steady) -> Steady {
        covered(self.spent(rate, now) + cost, rate, self.at.max(now))
    }

    /// Returns what is spent and has not come back.
    pub fn spent(&self, rate: Rate, now: Steady) -> f64 {
        (self.spent - rate.per_second * now.since(self.at).as_secs_f64()).max(0.0)
    }
}

/// Returns when no more than there is at once is spent.
fn covered(spent: f64, rate: Rate, now: Steady) -> Steady {
    let micros = ((spent - rate.at_once).max(0.0) / rate.per_second * 1e6).round();
    // A number that is too large becomes the largest.
    Steady(now.0.saturating_add(micros as i64))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TWO: Rate = Rate { per_second: 2.0, at_once: 10.0 };
    const BEGIN: Steady = Steady(1_000_000_000);

    fn later(millis: u64) -> Steady {
        BEGIN.after(Duration::from_millis(millis))
    }

    #[test]
    fn what_there_is_at_once_is_covered_now_and_the_rest_in_the_order_in_which_it_was_spent() {
        let mut bucket = Bucket::default();
        for (cost, at) in [(9.0, 0), (1.0, 0), (1.0, 500), (0.0, 500), (2.0, 1_500), (7.0, 5_000)] {
            assert_eq!(bucket.spend(cost, TWO, BEGIN), later(at), "{cost}");
        }
    }

    #[test]
    fn it_refills_with_time_and_no_further_than_full() {
        for (wait, cost, covered) in [
            (0, 1.0, 500),
            (499, 1.0, 500),
            (500, 1.0, 500),
            (5_000, 10.0, 5_000),
            (4_999, 10.0, 5_000),
            (86_400_000, 10.0, 86_400_000),
            (86_400_000, 11.0, 86_400_500),
        ] {
            let mut bucket = Bucket::default();
            bucket.spend(10.0, TWO, BEGIN);

            assert_eq!(bucket.would_be_covered(cost, TWO, later(wait)), later(covered), "{wait}");
            assert_eq!(bucket.spend(cost, TWO, later(wait)), later(covered), "{wait}");
        }
    }

    #[test]
    fn what_is_more_than_there_is_at_once_waits_and_not_for_ever() {
        let mut bucket = Bucket::default();

        assert_eq!(bucket.spend(65.0, TWO, BEGIN), later(27_500));
        assert_eq!(bucket.spend(1.0, TWO, later(27_500)), later(28_000));
    }

    #[test]
    fn asking_spends_nothing() {
        let mut bucket = Bucket::default();
        for _ in 0..100 {
            assert_eq!(bucket.would_be_covered(10.0, TWO, BEGIN), BEGIN);
        }
        assert_eq!(bucket.spend(10.0, TWO, BEGIN), BEGIN);
    }

    #[test]
    fn a_rate_that_changes_counts_from_then_on() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.spend(30.0, TWO, BEGIN), later(10_000));

        let faster = Rate { per_second: 20.0, at_once: 100.0 };

        assert_eq!(bucket.spend(70.0, faster, BEGIN), BEGIN);
        assert_eq!(bucket.spend(20.0, faster, BEGIN), later(1_000));
    }

    #[test]
    fn whoever_is_late_gives_nothing_back() {
        let mut bucket = Bucket::default();
        bucket.spend(10.0, TWO, later(1_000));

        assert_eq!(bucket.spend(1.0, TWO, BEGIN), later(1_500));
    }
}
