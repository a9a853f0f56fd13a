//! What of an archive has still to be looked at for a page.

use whoelse_store::Query;

/// Numbers looked at at once where times are asked for, which no index has: at most as many small
/// rows, and the bodies of those that match.
const PART: i64 = 10_000;

/// The numbers that have still to be looked at: those between two others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub after: i64,
    pub before: i64,
    /// How many at once, if not all.
    pub part: Option<i64>,
    backwards: bool,
}

impl Left {
    /// Where times are asked for, an archive is gone through in parts: nothing tells where a time is,
    /// so a time that matches nothing would have all of it walked through at once.
    pub fn of(query: &Query) -> Left {
        let timed = query.start.is_some() || query.end.is_some();
        Left {
            after: query.after_seq.unwrap_or(i64::MIN),
            before: query.before_seq.unwrap_or(i64::MAX),
            part: timed.then_some(PART),
            backwards: query.backwards,
        }
    }

    /// Leaves out the numbers before this one, with which the next part begins; all, if there is none.
    pub fn begin_with(&mut self, nearest: Option<i64>) {
        match (nearest, self.backwards) {
            (None, _) => self.after = self.before,
            (Some(seq), true) => self.before = seq.saturating_add(1),
            (Some(seq), false) => self.after = seq.saturating_sub(1),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.after.saturating_add(1) >= self.before
    }

    /// The next part: after this number, and before that one.
    pub fn next(&self) -> (i64, i64) {
        let Some(part) = self.part else { return (self.after, self.before) };
        match self.backwards {
            true => (self.after.max(self.before.saturating_sub(part + 1)), self.before),
            false => (self.after, self.before.min(self.after.saturating_add(part + 1))),
        }
    }

    /// Takes the next part off.
    pub fn take_next(&mut self) {
        let (after, before) = self.next();
        match self.backwards {
            true => self.before = after.saturating_add(1),
            false => self.after = before.saturating_sub(1),
        }
    }

    /// Takes off what comes first, up to this number.
    pub fn take_up_to(&mut self, edge: i64) {
        match self.backwards {
            true => self.before = edge,
            false => self.after = edge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_looked_at_once_and_only_so_many_at_a_time() {
        for (after, before) in [(0, 1), (0, 2), (4, 15), (0, 10), (0, 11), (0, 12), (-1, 100)] {
            for backwards in [false, true] {
                let mut left = Left { after, before, part: Some(10), backwards };
                let mut seen = Vec::new();
                while !left.is_empty() {
                    let (after, before) = left.next();
                    let part: Vec<i64> = (after + 1..before).collect();
                    assert!((1..=10).contains(&part.len()), "{left:?}");
                    // Some parts are read in two steps.
                    let edge = part[part.len() / 2];
                    match edge % 2 {
                        0 => left.take_next(),
                        _ => left.take_up_to(edge),
                    }
                    seen.extend(part.into_iter().filter(|seq| {
                        let is_left = *seq > left.after && *seq < left.before;
                        !is_left
                    }));
                }
                seen.sort_unstable();
                assert_eq!(seen, (after + 1..before).collect::<Vec<_>>(), "{backwards}");
            }
        }
    }

    #[test]
    fn what_no_row_has_is_left_out() {
        let of = |backwards| Left { after: 0, before: 90, part: Some(10), backwards };
        for (backwards, next) in [(false, (49, 60)), (true, (40, 51))] {
            let mut left = of(backwards);
            left.begin_with(Some(50));
            assert_eq!(left.next(), next);
            left.begin_with(None);
            assert!(left.is_empty());
        }
    }

    #[test]
    fn without_a_time_all_is_one_part() {
        for backwards in [false, true] {
            let (after, before) = (i64::MIN, i64::MAX);
            let mut left = Left { after, before, part: None, backwards };

            assert_eq!(left.next(), (after, before));
            left.take_next();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}
