//! A table for people: aligned columns under headings. Programs are given JSON instead.
//!
//! Times are in UTC, as in the server's log, since an administrator may be in another time zone.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::say::fold::{cut, width};

/// The widest column; a longer cell is cut, or sticks out if it is the last in its row.
const WIDEST: usize = 64;

/// Returns the whole table without the last line end. The cells must be safe for a terminal.
pub fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headings.map(width);
    for row in rows {
        for (most, cell) in widths.iter_mut().zip(row) {
            *most = width(cell).min(WIDEST).max(*most);
        }
    }
    let mut lines = vec![line(&headings.map(str::to_owned), &widths)];
    lines.extend(rows.iter().map(|row| line(row, &widths)));
    lines.join("\n")
}

/// Formats a time for a cell.
pub fn utc(at: SystemTime, format: &str) -> String {
    DateTime::<Utc>::from(at).format(format).to_string()
}

/// Formats a time to the minute, for a cell.
pub fn minute(at: SystemTime) -> String {
    utc(at, "%Y-%m-%d %H:%M UTC")
}

/// Formats a time for programs (RFC 3339).
pub fn rfc3339(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn line<const N: usize>(cells: &[String; N], widths: &[usize; N]) -> String {
    let mut line = String::new();
    for (nth, (cell, most)) in cells.iter().zip(widths).enumerate() {
        let cell = match nth + 1 == N || width(cell) <= *most {
            true => cell.clone(),
            false => cut(cell, most - 1),
        };
        line.push_str(&cell);
        line.push_str(&" ".repeat(most.saturating_sub(width(&cell)) + 2));
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_long_cell_does_not_push_all_others_away() {
        let row = |name: &str| [name.to_owned(), "x".to_owned()];

        let shown = table(["NAME", "WHAT"], &[row(&"x".repeat(500)), row("bob")]);

        let bob = shown.lines().last().unwrap();
        assert!(bob.starts_with("bob ") && bob.len() < 100, "{bob}");
        let long = shown.lines().nth(1).unwrap();
        assert!(long.ends_with("x…  x") && width(long) == width(bob), "{long}");
    }

    #[test]
    fn names_of_two_columns_a_letter_are_aligned_too() {
        let row = |name: &str| [name.to_owned(), "x".to_owned()];

        assert_eq!(
            table(["NAME", "WHAT"], &[row("李小龍"), row("bob")]),
            "NAME    WHAT\n李小龍  x\nbob     x"
        );
    }
}
