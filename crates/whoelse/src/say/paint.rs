//! Lines with parts that stand out on a terminal with colours.
//!
//! Text of other people is never painted, and cannot paint itself ([`text`](super::text)):
//! whatever stands out is ours. Without colours the same lines say the same.

use std::ops::Range;

use super::fold::{Cut, Page, cuts};

/// The look of a part of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// The time of a message.
    Time,
    /// The mark of a broadcast or a private chat.
    Mark,
    /// The author's name.
    Name,
    /// The star of a notice.
    Star,
    /// Something that was not done.
    Failure,
}

impl Paint {
    /// Returns its ECMA-48 code: looks that are readable on dark and on light ground.
    fn code(self) -> &'static str {
        match self {
            Paint::Time => "2",
            Paint::Mark => "35",
            Paint::Name => "1",
            Paint::Star => "36",
            Paint::Failure => "33",
        }
    }
}

/// Returns whether the user wants colours on a terminal (no-color.org).
pub fn is_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// One message to the user, safe for a terminal: a line, and perhaps more of them, indented.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Line {
    text: String,
    /// The painted parts, in order.
    painted: Vec<(Range<usize>, Paint)>,
}

impl Line {
    /// Appends a text.
    pub fn and(mut self, text: &str) -> Line {
        self.text.push_str(text);
        self
    }

    /// Appends a text that stands out.
    pub fn and_painted(mut self, text: &str, paint: Paint) -> Line {
        let begin = self.text.len();
        self.text.push_str(text);
        self.painted.push((begin..self.text.len(), paint));
        self
    }

    /// Makes a line of our own; if it is a notice, its star stands out.
    pub fn of_ours(words: &str) -> Line {
        match words.strip_prefix("* ") {
            Some(rest) => Line::default().and_painted("* ", Paint::Star).and(rest),
            None => Line::from(words),
        }
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns it as a terminal shows it, broken if it is too wide.
    pub fn shown(&self, page: Page, colours: bool) -> String {
        let mut shown = String::with_capacity(self.text.len());
        let mut from = 0;
        for Cut { gone, then } in cuts(&self.text, page) {
            self.show(from..gone.start, colours, &mut shown);
            shown.push_str(then);
            from = gone.end;
        }
        self.show(from..self.text.len(), colours, &mut shown);
        shown
    }

    /// Appends one part. The look is ended within the part, so it does not spread to what follows.
    fn show(&self, part: Range<usize>, colours: bool, shown: &mut String) {
        let text = |range: Range<usize>| self.text.get(range).unwrap_or_default();
        let mut from = part.start;
        for (range, paint) in self.painted.iter().filter(|_| colours) {
            let (begin, end) = (range.start.max(from), range.end.min(part.end));
            if begin < end {
                shown.push_str(text(from..begin));
                for row in text(begin..end).split_inclusive('\n') {
                    let (row, end) = row.strip_suffix('\n').map_or((row, ""), |row| (row, "\n"));
                    shown.push_str(&format!("\x1b[{}m{row}\x1b[0m{end}", paint.code()));
                }
                from = end;
            }
        }
        shown.push_str(text(from..part.end));
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Line {
        Line { text: text.to_owned(), painted: Vec::new() }
    }
}

impl From<String> for Line {
    fn from(text: String) -> Line {
        Line { text, painted: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(columns: usize) -> Page {
        Page { columns, wide: false }
    }

    fn from_bob(text: &str) -> Line {
        Line::default()
            .and_painted("[14:03] ", Paint::Time)
            .and_painted("bob", Paint::Name)
            .and(": ")
            .and(text)
    }

    #[test]
    fn what_is_ours_stands_out_and_nothing_else_does() {
        let line = from_bob("hi");

        assert_eq!(line.shown(page(80), true), "\x1b[2m[14:03] \x1b[0m\x1b[1mbob\x1b[0m: hi");
        assert_eq!(line.shown(page(80), false), "[14:03] bob: hi");
        assert_eq!(line.text(), "[14:03] bob: hi");
        assert_eq!(Line::of_ours("* x").shown(page(80), true), "\x1b[36m* \x1b[0mx");
    }

    #[test]
    fn no_colour_reaches_over_the_end_of_a_row() {
        let long = Line::default()
            .and_painted("one two three\nfour five six", Paint::Failure)
            .and(" seven");

        let shown = long.shown(page(12), true);

        for row in shown.lines() {
            let balanced = row.matches("\x1b[33m").count() == row.matches("\x1b[0m").count();
            assert!(balanced, "{shown:?}");
        }
        let bare = shown.replace("\x1b[33m", "").replace("\x1b[0m", "");
        assert_eq!(bare, long.shown(page(12), false));
    }

    #[test]
    fn whatever_somebody_writes_has_no_colour() {
        for text in ["* carol logged in", "[14:03] carol: hi", "a\n    * b", &"x ".repeat(100)] {
            let shown = from_bob(text).shown(page(20), true);

            let (_, theirs) = shown.split_once("bob\x1b[0m: ").unwrap_or_default();
            assert!(!theirs.is_empty() && !theirs.contains('\x1b'), "{shown:?}");
        }
    }
}
