//! Ranges of numbers of the log that came to a session in one way or another.

/// How many ranges are remembered. A message of an older one may come twice, if the device that it
/// was for goes and never had it.
const MOST: usize = 16;

/// Each pair is a range: the numbers greater than the first, up to the second. Most sessions have
/// one.
#[derive(Debug, Default)]
pub(super) struct SeqRanges(Vec<(i64, i64)>);

impl SeqRanges {
    /// Adds a range. It may continue the last one.
    pub fn add(&mut self, behind: i64, last: i64) {
        match self.0.last_mut() {
            Some((_, before)) if *before == behind => *before = last,
            _ => {
                if self.0.len() >= MOST {
                    self.0.remove(0);
                }
                self.0.reserve_exact(1);
                self.0.push((behind, last));
            }
        }
    }

    /// Begins a range that has no end yet.
    pub fn begin(&mut self, behind: i64) {
        self.add(behind, i64::MAX);
    }

    /// Ends the last range here.
    pub fn end(&mut self, last: i64) {
        if let Some((_, end)) = self.0.last_mut() {
            *end = last;
        }
    }

    pub fn contains(&self, number: i64) -> bool {
        self.0.iter().any(|(behind, last)| *behind < number && number <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_begin_behind_a_number_and_end_at_one() {
        let mut stretches = SeqRanges::default();
        stretches.add(2, 4);
        stretches.add(4, 6);
        stretches.begin(9);

        let contained: Vec<i64> = (0..12).filter(|n| stretches.contains(*n)).collect();
        assert_eq!(contained, [3, 4, 5, 6, 10, 11]);

        stretches.end(10);

        assert!(stretches.contains(10) && !stretches.contains(11));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut stretches = SeqRanges::default();
        for n in 0..=MOST as i64 {
            stretches.add(10 * n, 10 * n + 1);
        }

        assert!(!stretches.contains(1) && stretches.contains(11));
    }
}
