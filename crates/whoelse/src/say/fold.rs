//! The width of texts, and line breaks: between words, so that the terminal does not break them
//! anywhere (security.md, row 46: the second half of a long message could look like a notice).
//!
//! Widths are never too small: where terminals differ, the widest counts. A grapheme cluster (UAX
//! 29) is not broken.

use std::env;
use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::text::{self, INDENT};

/// The longest typed word that a message quotes, in columns; a sentence with it fits into 80.
const QUOTED: usize = 32;
/// Emoji begin here; some terminals do not draw several of them as one.
const PICTURES: char = '\u{1f000}';
/// Characters that must not begin a line of Chinese or Japanese.
const NOT_FIRST: &str =
    "、。，．：；！？）］｝〉》」』】〕ー…‥々ゝゞァィゥェォッャュョぁぃぅぇぉっゃゅょ";

/// The page that lines are fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// The width in columns; with too few of them nothing is broken.
    pub columns: usize,
    /// Whether Greek, Cyrillic and others take two columns, as on terminals for Chinese or
    /// Japanese.
    pub wide: bool,
}

impl Page {
    /// Returns the page of the terminal at the standard output, as it is now.
    pub fn now() -> Page {
        let size = rustix::termios::tcgetwinsize(std::io::stdout());
        let columns = size.map_or(0, |size| usize::from(size.ws_col));
        let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
        let language = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let language = language.unwrap_or_default();
        let wide = ["ja", "ko", "zh"].iter().any(|it| language.starts_with(it));
        Page { columns, wide }
    }

    /// Returns the columns that a text takes on one line.
    pub fn width(self, text: &str) -> usize {
        text.graphemes(true).map(|cluster| self.of_cluster(cluster)).sum()
    }

    /// Returns the columns of a cluster. A terminal that does not combine its parts draws them one
    /// by one.
    fn of_cluster(self, cluster: &str) -> usize {
        let parts: usize = cluster.chars().map(|c| self.of_char(c)).sum();
        parts.max(cluster.width()).max(1)
    }

    fn of_char(self, c: char) -> usize {
        match c {
            PICTURES.. => 2,
            c => match c.width().unwrap_or(1) {
                1 if self.wide && !c.is_ascii() => 2,
                width => width,
            },
        }
    }
}

/// Returns the columns that a text takes on most terminals.
pub fn width(text: &str) -> usize {
    Page { columns: 0, wide: false }.width(text)
}

/// Quotes what somebody typed: safe, and cut so that a sentence with it fits on a line.
pub fn quoted(typed: &str) -> String {
    format!("'{}'", cut(&text::line(typed), QUOTED))
}

/// Cuts a safe text to a number of columns, with a mark if something is missing.
pub fn cut(safe: &str, columns: usize) -> String {
    let page = Page { columns, wide: true };
    let mut room = columns;
    let fits = |cluster: &&str| {
        let width = page.of_cluster(cluster);
        let fits = width <= room;
        room = room.saturating_sub(width);
        fits
    };
    let shown: String = safe.graphemes(true).take_while(fits).collect();
    let more = if shown.len() < safe.len() { "…" } else { "" };
    format!("{shown}{more}")
}

/// One line break in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The blanks that the break replaces, if there are any.
    pub gone: Range<usize>,
    /// The text in their place.
    pub then: &'static str,
}

/// A continued line is indented.
const CARRIED: &str = "\n    ";

/// Returns the line breaks that make a text fit the page, in order; between words where possible.
/// Continued lines are indented; lines that fit are left as they are. The text must be safe
/// already.
pub fn cuts(text: &str, page: Page) -> Vec<Cut> {
    let mut folding = Folding { page, at: 0, cuts: Vec::new() };
    if page.columns >= 2 * INDENT.len() {
        let mut from = 0;
        for line in text.split_inclusive('\n') {
            folding.line(line.strip_suffix('\n').unwrap_or(line), from);
            from += line.len();
        }
    }
    folding.cuts
}

struct Folding {
    page: Page,
    /// The column of the next character.
    at: usize,
    cuts: Vec<Cut>,
}

impl Folding {
    /// Breaks one line, which begins at this byte of the text.
    fn line(&mut self, line: &str, from: usize) {
        self.at = 0;
        let mut rest = line;
        while !rest.is_empty() {
            let begin = from + line.len() - rest.len();
            let after_blanks = rest.trim_start_matches(' ');
            let blanks = rest.len() - after_blanks.len();
            let word = &after_blanks[..self.word(after_blanks)];
            self.place(begin..begin + blanks, word);
            rest = &after_blanks[word.len()..];
        }
    }

    /// Returns the length of the first word: up to a blank, or a place where Chinese or Japanese
    /// may be broken.
    fn word(&self, text: &str) -> usize {
        let mut before: Option<&str> = None;
        for (at, cluster) in text.grapheme_indices(true) {
            let is_free = |it: &str| it.chars().next().is_some_and(is_ideographic);
            if cluster == " "
                || before.is_some_and(|before| is_free(before) || is_free(cluster))
                    && !NOT_FIRST.contains(cluster)
            {
                return at;
            }
            before = Some(cluster);
        }
        text.len()
    }

    /// Places blanks and the word after them, on this line or the next.
    fn place(&mut self, blanks: Range<usize>, word: &str) {
        let (columns, wide) = (self.page.columns, self.page.width(word));
        let (begin, gap, carried) = (blanks.end, blanks.len(), INDENT.len());
        let fits = self.at + gap + wide <= columns;
        // A word that is wider than a line begins on this one.
        if fits || carried + wide > columns && self.at + gap < columns {
            self.at += gap;
            return self.split(word, begin);
        }
        let then = match word.is_empty() {
            true => "",
            false if self.at == 0 => INDENT,
            false => CARRIED,
        };
        self.cuts.push(Cut { gone: blanks, then });
        self.at = carried;
        self.split(word, begin);
    }

    /// Places a word on this line, and splits it if it is too long.
    fn split(&mut self, word: &str, begin: usize) {
        for (at, cluster) in word.grapheme_indices(true) {
            let width = self.page.of_cluster(cluster);
            if INDENT.len() + width <= self.page.columns {
                self.put(begin + at, width);
                continue;
            }
            for (within, c) in cluster.char_indices() {
                self.put(begin + at + within, self.page.of_char(c).max(1));
            }
        }
    }

    fn put(&mut self, place: usize, width: usize) {
        if self.at + width > self.page.columns {
            self.cuts.push(Cut { gone: place..place, then: CARRIED });
            self.at = INDENT.len();
        }
        self.at += width;
    }
}

/// Returns whether a line may be broken between two of these.
fn is_ideographic(c: char) -> bool {
    ('\u{2e80}'..PICTURES).contains(&c) && c.width() == Some(2)
        || ('\u{20000}'..'\u{40000}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::say::paint::Line;

    fn fold(text: &str, page: Page) -> String {
        Line::from(text).shown(page, false)
    }

    fn page(columns: usize) -> Page {
        Page { columns, wide: false }
    }

    #[test]
    fn words_are_not_broken() {
        let text = "bob: the quick brown fox jumps over the lazy dog";

        assert_eq!(
            fold(text, page(20)),
            "bob: the quick brown\n    fox jumps over\n    the lazy dog"
        );
        assert_eq!(fold(text, page(80)), text);
        assert_eq!(fold("a  b", page(40)), "a  b", "spaces are kept");
    }

    #[test]
    fn a_word_longer_than_a_line_goes_on_in_the_next() {
        let folded = fold(&format!("bob: {}", "x".repeat(40)), page(20));

        let rows = ["bob: xxxxxxxxxxxxxxx", "    xxxxxxxxxxxxxxxx", "    xxxxxxxxx"];
        assert_eq!(folded.lines().collect::<Vec<_>>(), rows);
    }

    #[test]
    fn what_is_carried_over_never_begins_a_line() {
        let notice = "* carol logged in";
        for before in [
            "x".repeat(36),
            "x".repeat(37),
            " ".repeat(500),
            "👨‍👩‍👧‍👦".repeat(20),
            "🇩🇪".repeat(20),
            "漢".repeat(33),
            "e\u{301}".repeat(40),
            "\u{200b}".repeat(100),
            "\u{301}".repeat(100),
            format!("a{}", "\u{200d}👩".repeat(60)),
        ] {
            for wide in [false, true] {
                let page = Page { columns: 40, wide };
                let text = format!("bob: {before}{notice}\n    {before} {notice}");
                let folded = fold(&text, page);
                for row in folded.lines().skip(1) {
                    assert!(row.starts_with(INDENT), "{before}: {folded:?}");
                }
                for row in folded.lines() {
                    // Each part counted by itself, as the simplest terminal draws it.
                    let dull = |c: char| c.width().unwrap_or(1);
                    assert!(row.chars().map(dull).sum::<usize>() <= 40, "{before}: {row:?}");
                    assert!(row.width() <= 40, "{before}: {row:?}");
                }
                let kept = |text: &str| text.replace([' ', '\n'], "");
                assert_eq!(kept(&folded), kept(&text), "nothing but blanks is lost");
            }
        }
    }

    #[test]
    fn chinese_is_broken_between_characters_and_not_before_a_full_stop() {
        let folded = fold("漢字漢字漢字漢字漢字。漢字", page(20));

        assert_eq!(folded, "漢字漢字漢字漢字漢\n    字。漢字");
    }

    #[test]
    fn what_is_read_as_one_character_stays_together() {
        for one in ["e\u{301}", "👍🏽", "🇩🇪", "1\u{fe0f}\u{20e3}", "नि"] {
            let folded = fold(&one.repeat(40), page(16));
            for row in folded.lines() {
                assert_eq!(row.trim_start().replace(one, ""), "", "{row:?}");
            }
        }
    }

    #[test]
    fn lines_of_a_text_are_folded_each_for_itself() {
        assert_eq!(fold("one two\n    three four", page(11)), "one two\n    three\n    four");
        assert_eq!(fold("short", page(40)), "short");
        assert_eq!(
            fold("very narrow terminals are left alone", page(0)),
            "very narrow terminals are left alone"
        );
        assert_eq!(fold("blanks at the end          ", page(20)), "blanks at the end");
    }

    #[test]
    fn cyrillic_takes_one_column_but_two_where_terminals_are_made_for_chinese() {
        let text = "привет";
        assert_eq!(page(80).width(text), 6);
        assert_eq!(Page { wide: true, ..page(80) }.width(text), 12);
    }

    #[test]
    fn what_was_typed_is_quoted_in_part_and_safe() {
        assert_eq!(quoted("nonsense"), "'nonsense'");
        assert_eq!(quoted("\u{1b}[2J"), "'\\u{1b}[2J'");
        assert_eq!(quoted(&"x".repeat(33)), format!("'{}…'", "x".repeat(32)));
        assert_eq!(quoted(&"漢".repeat(1_000_000)), format!("'{}…'", "漢".repeat(16)));
    }
}
