//! The log on a terminal: one row for each event.
//!
//! A row has the time of day, the level if it is above info, the event and its fields. What does
//! not fit is cut off; the log in a file has all of it.

use std::fmt;

use chrono::Utc;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::say::text;

/// The width when the terminal's is unknown.
const USUAL: usize = 80;

/// Rows as wide as the terminal of the standard error is at that moment.
pub struct Rows;

impl<S, N> FormatEvent<S, N> for Rows
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = String::new();
        context.field_format().format_fields(Writer::new(&mut fields), event)?;
        let about = event.metadata();
        let (level, color) = match *about.level() {
            Level::ERROR => ("ERROR ", "\u{1b}[31m"),
            Level::WARN => ("WARN ", "\u{1b}[33m"),
            Level::INFO => ("", ""),
            Level::DEBUG => ("DEBUG ", "\u{1b}[2m"),
            Level::TRACE => ("TRACE ", "\u{1b}[2m"),
        };
        // A library's name is added, since its events are not ours.
        let library = match about.target().split("::").next() {
            Some(target) if !target.starts_with("whoelse") => format!("{target}: "),
            _ => String::new(),
        };
        let time = Utc::now().format("%H:%M:%S");
        let row = cut(&format!("{time} {level}{library}{fields}"), columns());
        match writer.has_ansi_escapes() && !color.is_empty() {
            true => writeln!(writer, "{color}{row}\u{1b}[0m"),
            false => writeln!(writer, "{row}"),
        }
    }
}

fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(USUAL)
}

/// Cuts an event to the width and makes it safe. Characters beyond ASCII count as two columns.
fn cut(event: &str, columns: usize) -> String {
    let event = text::line(event);
    let width = |c: char| if c.is_ascii() { 1 } else { 2 };
    if event.chars().map(width).sum::<usize>() <= columns {
        return event;
    }
    let mut room = columns.saturating_sub(width('…'));
    let fits = event.chars().take_while(|c| {
        let fits = width(*c) <= room;
        room = room.saturating_sub(width(*c));
        fits
    });
    fits.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_in_a_row_is_cut_off() {
        assert_eq!(cut("12:00:00 login", 14), "12:00:00 login");
        assert_eq!(cut("12:00:00 login", 13), "12:00:00 lo…");
        assert_eq!(cut("日本日本", 6), "日本…");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn an_event_stays_in_its_row() {
        assert_eq!(cut("a\nb\u{1b}[2J", 80), "a\\u{a}b\\u{1b}[2J");
    }
}
