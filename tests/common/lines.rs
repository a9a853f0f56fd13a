//! Output of a program, line by line. A thread of its own reads it, so that nothing is missed and
//! the program does not block on a full pipe.

use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::PATIENCE;

/// Lines in the order of arrival, with a mark up to where the test has read.
pub struct Lines {
    heard: Arc<(Mutex<Heard>, Condvar)>,
    mark: usize,
}

#[derive(Default)]
struct Heard {
    lines: Vec<String>,
    readers: usize,
}

impl Lines {
    pub fn of(from: impl Read + Send + 'static) -> Lines {
        let lines = Lines { heard: Arc::default(), mark: 0 };
        lines.add(from);
        lines
    }

    /// Adds the lines of another pipe.
    pub fn add(&self, from: impl Read + Send + 'static) {
        let heard = self.heard.clone();
        heard.0.lock().readers += 1;
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).unwrap_or(0) > 0 {
                let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
                heard.0.lock().lines.push(text);
                heard.1.notify_all();
                line.clear();
            }
            heard.0.lock().readers -= 1;
            heard.1.notify_all();
        });
    }

    /// Returns the next line that fits; skips those before it.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        self.collect(what, fits).pop().unwrap()
    }

    /// Returns every line up to the next one that fits, including it.
    #[track_caller]
    pub fn collect(&mut self, what: &str, fits: impl Fn(&str) -> bool) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let (lock, changed) = &*self.heard;
        let mut heard = lock.lock();
        let begin = self.mark;
        loop {
            while let Some(line) = heard.lines.get(self.mark) {
                self.mark += 1;
                if fits(line) {
                    return heard.lines[begin..self.mark].to_vec();
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if heard.readers == 0 || left.is_zero() {
                let why = if left.is_zero() { "waited in vain for" } else { "it ended before" };
                let lines = heard.lines.clone();
                drop(heard);
                panic!(
                    "{why} {what}\nread: {:#?}\nbefore: {:#?}",
                    &lines[begin..],
                    &lines[..begin]
                );
            }
            changed.wait_for(&mut heard, left);
        }
    }

    /// Returns the next line.
    #[track_caller]
    pub fn next(&mut self) -> String {
        self.wait_for("another line", |_| true)
    }

    /// Returns every unread line after the program has closed its end.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<String> {
        let until = Instant::now() + PATIENCE;
        let (lock, changed) = &*self.heard;
        let mut heard = lock.lock();
        while heard.readers > 0 {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it does not end; read: {:#?}", heard.lines);
            changed.wait_for(&mut heard, left);
        }
        let rest = heard.lines[self.mark..].to_vec();
        self.mark = heard.lines.len();
        rest
    }

    /// Returns every line so far, read or not.
    pub fn all(&self) -> Vec<String> {
        self.heard.0.lock().lines.clone()
    }
}
