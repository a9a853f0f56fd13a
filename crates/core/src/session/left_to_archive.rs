//! XEP-0386: the messages of the log that a session is not sent, since its client reads them in the
//! archive.
//!
//! Nobody can know whether the client will do so. Until it has, what it confirms says nothing about
//! messages before; so the cursor moves over what was left out only where the client has confirmed
//! pages of the archive that join on to it (docs/design/fast-logins.md).

use std::collections::VecDeque;

/// How many ranges that were read are remembered. Of more, those that were read first are forgotten,
/// and the client has to read them again before the cursor moves over them.
const RANGES: usize = 16;
/// How many pages may be on their way to the client. What further ones show counts for nothing.
const PAGES: usize = 16;

/// What a session leaves to the archive.
pub(super) struct LeftToArchive {
    /// What the archive shows up to this number is not sent.
    up_to: i64,
    /// The first and the last number that was left out.
    out: Option<(i64, i64)>,
    /// The ranges that the client has read: the numbers after the first, up to the second. They
    /// neither overlap nor touch.
    read: VecDeque<(i64, i64)>,
    /// The pages that the client has not confirmed: the number of each, and the range that it shows.
    pages: VecDeque<(u64, (i64, i64))>,
    /// The number of the last page.
    page: u64,
}

impl LeftToArchive {
    pub fn up_to(up_to: i64) -> LeftToArchive {
        let (read, pages) = (VecDeque::new(), VecDeque::new());
        LeftToArchive { up_to, out: None, read, pages, page: 0 }
    }

    /// Returns the number up to which nothing is sent that the archive shows.
    pub fn last(&self) -> i64 {
        self.up_to
    }

    /// Notes that messages were left out, from the first number to the last.
    pub fn leave_out(&mut self, (first, last): (i64, i64)) {
        let (begin, end) = self.out.unwrap_or((first, last));
        self.out = Some((begin.min(first), end.max(last)));
    }

    /// Whether this message may have been left out.
    pub fn has_left_out(&self, number: i64) -> bool {
        self.out.is_some_and(|(first, last)| first <= number && number <= last)
    }

    /// Notes that a page is on its way that shows everything of the archive after the first number, up
    /// to the second. Returns its number.
    pub fn shows(&mut self, (after, to): (i64, i64)) -> u64 {
        self.page += 1;
        if self.pages.len() >= PAGES {
            self.pages.pop_front();
        }
        // Later messages are sent, so it does not matter whether a page shows them.
        self.pages.push_back((self.page, (after, to.min(self.up_to))));
        self.page
    }

    /// Notes that the client has confirmed a page, and with it all that came before.
    pub fn page_confirmed(&mut self, page: u64) {
        let Some(place) = self.pages.iter().position(|(number, _)| *number == page) else { return };
        let Some((_, range)) = self.pages.remove(place) else { return };
        self.read_range(range);
    }

    fn read_range(&mut self, (after, to): (i64, i64)) {
        if after >= to {
            return;
        }
        let (mut after, mut to) = (after, to);
        self.read.retain(|(begin, end)| {
            let touches = *begin <= to && after <= *end;
            if touches {
                (after, to) = (after.min(*begin), to.max(*end));
            }
            !touches
        });
        if self.read.len() >= RANGES {
            self.read.pop_front();
        }
        self.read.push_back((after, to));
    }

    /// Returns the number up to which nothing is missing of what was left out, by what the client has
    /// read; `confirmed`: up to there the log is confirmed.
    pub fn read_to(&self, confirmed: i64) -> i64 {
        // Up to the first that was left out, everything was sent.
        let before = self.out.map_or(0, |(first, _)| first - 1);
        let joins = confirmed.max(before);
        let range = self.read.iter().find(|(after, to)| *after <= joins && joins < *to);
        range.map_or(joins, |(_, to)| *to)
    }

    /// Returns the last number that was left out, or may be when the log is read further than
    /// `log_read_to`; 0 if nothing is.
    pub fn last_out(&self, log_read_to: i64) -> i64 {
        match log_read_to < self.up_to {
            true => self.up_to,
            false => self.out.map_or(0, |(_, last)| last),
        }
    }

    /// Returns the number after which something before this number is missing that was left out, or may
    /// be when the log is read further than `log_read_to`.
    pub fn missing_before(&self, number: i64, confirmed: i64, log_read_to: i64) -> Option<i64> {
        let last = self.last_out(log_read_to);
        let read_to = self.read_to(confirmed);
        (read_to < number.min(last)).then_some(read_to)
    }

    /// Returns the same as a bound on what the client's confirmations may say: none, once nothing is
    /// missing any more.
    pub fn bound(&self, confirmed: i64) -> i64 {
        let read_to = self.read_to(confirmed);
        match self.out {
            Some((_, last)) if read_to < last => read_to,
            Some(_) | None => i64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a log that was confirmed up to 10, leaves 12 to 19 out, of an archive that ends with 20.
    fn left() -> LeftToArchive {
        let mut left = LeftToArchive::up_to(20);
        left.leave_out((12, 15));
        left.leave_out((17, 19));
        left
    }

    /// Confirms pages that show these ranges.
    fn read(left: &mut LeftToArchive, ranges: &[(i64, i64)]) {
        for range in ranges {
            let page = left.shows(*range);
            left.page_confirmed(page);
        }
    }

    #[test]
    fn nothing_bounds_who_was_left_nothing() {
        assert_eq!(LeftToArchive::up_to(20).bound(10), i64::MAX);
    }

    #[test]
    fn what_was_left_out_is_a_bound_until_it_is_read_or_confirmed_by_others() {
        assert_eq!(left().bound(10), 11);
        assert_eq!(left().bound(18), 18);
        assert_eq!(left().bound(19), i64::MAX);

        let mut left = left();
        read(&mut left, &[(10, i64::MAX)]);
        assert_eq!((left.bound(10), left.read_to(10)), (i64::MAX, 20));
    }

    #[test]
    fn pages_join_in_any_order() {
        for pages in [[(10, 14), (14, 17), (17, 20)], [(17, 20), (14, 17), (10, 14)]] {
            let mut left = left();
            read(&mut left, &pages);
            assert_eq!(left.bound(10), i64::MAX, "{pages:?}");
        }
        let mut one = left();
        read(&mut one, &[(9, 13)]);
        assert_eq!(one.bound(10), 13);
    }

    #[test]
    fn a_page_that_does_not_join_on_counts_for_nothing_yet() {
        let mut left = left();
        read(&mut left, &[(13, 20)]);
        assert_eq!(left.bound(10), 11);

        read(&mut left, &[(11, 13)]);
        assert_eq!(left.bound(10), i64::MAX);
    }

    #[test]
    fn a_page_that_is_not_confirmed_counts_for_nothing() {
        let mut left = left();
        let first = left.shows((10, 15));
        let second = left.shows((15, 20));
        assert_eq!(left.bound(10), 11);

        left.page_confirmed(second);
        assert_eq!(left.bound(10), 11);
        left.page_confirmed(first);
        assert_eq!(left.bound(10), i64::MAX);
    }

    #[test]
    fn what_is_missing_before_a_page_begins_where_it_does_not_join_on() {
        let mut left = left();
        assert_eq!(left.missing_before(15, 10, 20), Some(11));
        assert_eq!(left.missing_before(11, 10, 20), None);
        assert_eq!(left.missing_before(30, 19, 20), None);

        read(&mut left, &[(11, 14)]);
        assert_eq!(left.missing_before(15, 10, 20), Some(14));
        assert_eq!(left.missing_before(14, 10, 20), None);
        assert_eq!(LeftToArchive::up_to(20).missing_before(15, 10, 20), None);
    }

    #[test]
    fn before_the_log_is_read_everything_may_be_missing() {
        let mut left = LeftToArchive::up_to(20);
        assert_eq!(left.missing_before(15, 10, 0), Some(10));
        assert_eq!(left.missing_before(10, 10, 0), None);
        assert_eq!(left.missing_before(30, 20, 0), None);

        read(&mut left, &[(10, 15)]);
        assert_eq!(left.missing_before(15, 10, 12), None);
    }

    #[test]
    fn an_empty_page_changes_nothing() {
        let mut left = left();
        read(&mut left, &[(10, 10), (15, 12)]);

        assert_eq!(left.bound(10), 11);
        assert!(left.read.is_empty());
    }

    #[test]
    fn too_many_ranges_and_pages_move_nothing() {
        let mut left = LeftToArchive::up_to(1_000);
        left.leave_out((1, 1_000));
        let ranges: Vec<_> = (0..=RANGES as i64).map(|n| (10 * n, 10 * n + 5)).collect();
        read(&mut left, &ranges);
        assert_eq!(left.bound(0), 0, "the first one is forgotten");

        let first = left.shows((0, 1_000));
        for _ in 0..PAGES {
            left.shows((500, 501));
        }
        left.page_confirmed(first);
        assert_eq!(left.bound(0), 0);
    }
}
