//! The history of commands, for the arrow keys and Ctrl-R. It is kept in memory only.

use std::collections::VecDeque;

/// How many are remembered; then the oldest is dropped.
const MOST: usize = 1_000;

/// The commands, oldest first.
#[derive(Debug, Default)]
pub struct History {
    lines: VecDeque<String>,
    /// The one that is shown.
    at: Option<usize>,
    /// The text before one was shown.
    draft: String,
}

impl History {
    /// Remembers a command. A repetition is remembered once.
    pub fn add(&mut self, line: &str) {
        self.leave();
        if line.trim().is_empty() || self.lines.back().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() >= MOST {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
    }

    /// Stops showing one; the next step goes to the newest.
    pub fn leave(&mut self) {
        self.at = None;
        self.draft = String::new();
    }

    /// Returns the one before the shown one. `typed` is the present text.
    pub fn older(&mut self, typed: &str) -> Option<&str> {
        let at = self.at.unwrap_or(self.lines.len()).checked_sub(1)?;
        if self.at.is_none() {
            self.draft = typed.to_owned();
        }
        self.at = Some(at);
        self.lines.get(at).map(String::as_str)
    }

    /// Returns the one after the shown one; after the newest, the text before.
    pub fn newer(&mut self) -> Option<&str> {
        let at = self.at? + 1;
        self.at = (at < self.lines.len()).then_some(at);
        Some(self.lines.get(at).unwrap_or(&self.draft))
    }

    /// Returns the newest one before `below` (or of all) that contains this, and its index.
    pub fn find(&self, what: &str, below: Option<usize>) -> Option<(usize, &str)> {
        let below = below.unwrap_or(self.lines.len()).min(self.lines.len());
        let lines = self.lines.iter().enumerate().take(below).rev();
        let mut found = lines.filter(|(_, line)| !what.is_empty() && line.contains(what));
        found.next().map(|(at, line)| (at, line.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> History {
        let mut history = History::default();
        lines.iter().for_each(|line| history.add(line));
        history
    }

    #[test]
    fn the_arrows_go_through_it_and_back_to_what_was_being_typed() {
        let mut history = of(&["one", "two"]);

        assert_eq!(history.older("dra"), Some("two"));
        assert_eq!(history.older("two"), Some("one"));
        assert_eq!(history.older("one"), None);
        assert_eq!(history.newer(), Some("two"));
        assert_eq!(history.newer(), Some("dra"));
        assert_eq!(history.newer(), None);
    }

    #[test]
    fn nothing_and_repetitions_are_not_remembered_and_the_oldest_are_forgotten() {
        let mut history = of(&["one", "one", " ", ""]);
        assert_eq!(history.lines, ["one"]);

        (0..2 * MOST).for_each(|n| history.add(&n.to_string()));
        assert_eq!(history.lines.len(), MOST);
    }

    #[test]
    fn a_search_finds_the_newest_and_then_older_ones() {
        let history = of(&["message bob a", "help", "message bob b"]);

        let (at, line) = history.find("bob", None).unwrap_or_default();
        assert_eq!((at, line), (2, "message bob b"));
        assert_eq!(history.find("bob", Some(at)), Some((0, "message bob a")));
        assert_eq!(history.find("bob", Some(0)), None);
        assert_eq!(history.find("", None), None);
    }
}
