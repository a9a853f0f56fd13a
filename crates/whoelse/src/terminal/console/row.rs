//! The row on which a line is typed: the prompt, and as much of the line as fits after it.
//!
//! It is one row, however long the line is. Nothing is ever drawn above it, so drawing it cannot
//! erase lines that arrived, whatever a terminal does to its rows when it is resized.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::say::text;

/// The width if the terminal does not report one.
const USUAL: usize = 80;
/// A prompt that leaves less room than this is left out.
const ROOM: usize = 8;

/// The content of the row, and the cursor's column.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub shown: String,
    /// Its width in columns.
    pub width: usize,
    pub cursor: usize,
}

/// Lays out a line with its cursor, on a terminal of this many columns.
pub fn of(prompt: &str, line: &str, cursor: usize, columns: usize) -> Row {
    // The last column stays free, because a terminal that has filled it may already be on the next
    // row.
    let columns = if columns == 0 { USUAL } else { columns } - 1;
    let prompt = if prompt.width() + ROOM > columns { "" } else { prompt };
    let room = columns.saturating_sub(prompt.width()).max(1);
    let before = cells(&line[..cursor]);
    let width = before.iter().map(|cell| cell.width()).sum::<usize>();
    // It scrolls by half of the room, so that the text around the cursor stays visible.
    let step = (room / 2).max(1);
    let scrolled = if width < room { 0 } else { ((width - room) / step + 1) * step };

    let mut shown = prompt.to_owned();
    let (mut column, mut passed) = (0, 0);
    for cell in before.into_iter().chain(cells(&line[cursor..])) {
        let width = cell.width();
        passed += width;
        if passed <= scrolled {
            continue;
        }
        if column + width > room {
            break;
        }
        // A wide character that is cut by the edge leaves a blank.
        let cut = column == 0 && passed - scrolled < width;
        shown.push_str(if cut { " " } else { &cell });
        column += width.min(passed - scrolled);
    }
    Row { shown, width: prompt.width() + column, cursor: prompt.width() + width - scrolled }
}

/// Splits a text into the clusters shown on one row.
fn cells(text: &str) -> Vec<String> {
    text.graphemes(true)
        .map(|one| match one {
            "\n" => "↵".to_owned(),
            "\t" => " ".to_owned(),
            one => text::line(one),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_fits_stands_after_its_prompt() {
        let row = Row { shown: "> help".to_owned(), width: 6, cursor: 6 };
        assert_eq!(of("> ", "help", 4, 80), row);
        assert_eq!(of("> ", "help", 0, 80).cursor, 2);
        assert_eq!(of("> ", "漢字", "漢".len(), 80).cursor, 4);
    }

    #[test]
    fn a_long_line_is_scrolled_so_that_the_cursor_is_seen() {
        let line: String = (0..500).map(|n| char::from(b'a' + (n % 26) as u8)).collect();
        for columns in [1, 2, 3, 9, 20, 80, 200] {
            for cursor in 0..=line.len() {
                let row = of("> ", &line, cursor, columns);
                assert!(row.shown.width() < columns.max(3), "{columns}: {row:?}");
                assert_eq!(row.shown.width(), row.width, "{columns}: {row:?}");
                assert!(row.cursor < columns.max(2), "{columns}, {cursor}: {row:?}");
                if columns > 20 {
                    // The text before the cursor is what was typed there.
                    let shown = &row.shown[2..row.cursor];
                    assert!(line[..cursor].ends_with(shown), "{columns}, {cursor}: {row:?}");
                }
            }
        }
    }

    #[test]
    fn it_is_one_row_whatever_is_typed() {
        let line = "a\tb\n\u{1b}[2J漢👨‍👩‍👧e\u{301}\u{202e}".repeat(20);
        for columns in [5, 24, 80] {
            for (cursor, _) in line.grapheme_indices(true) {
                let row = of("> ", &line, cursor, columns);
                assert!(row.shown.width() < columns, "{columns}: {row:?}");
                assert!(!row.shown.chars().any(text::is_unsafe), "{row:?}");
            }
        }
    }
}
