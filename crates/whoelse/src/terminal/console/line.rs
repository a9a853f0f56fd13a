//! A line being typed: its text, the cursor, and the editing keys.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::keys::Key;

/// Longest line, in bytes; the command that gets a longer one refuses it.
const LONGEST: usize = 1 << 20;

/// What is being typed.
#[derive(Debug, Default)]
pub struct Line {
    text: String,
    /// The cursor in bytes, always between two grapheme clusters.
    cursor: usize,
    /// The last erased word or line, for Ctrl-Y.
    erased: String,
}

impl Line {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the cursor's position in bytes.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Replaces the text, with the cursor at the end.
    pub fn set(&mut self, text: &str) {
        self.text = text.to_owned();
        self.cursor = text.len();
    }

    /// Takes the text out.
    pub fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Clears what Ctrl-Y would insert.
    pub fn forget_erased(&mut self) {
        self.erased = String::new();
    }

    /// Applies an editing key, if it is one; the keys are those of Emacs and readline.
    pub fn press(&mut self, key: &Key) {
        match key {
            Key::Text(text) => self.insert(text),
            Key::Left | Key::Ctrl('b') => self.cursor = self.left(),
            Key::Right | Key::Ctrl('f') => self.cursor = self.right(),
            Key::Home | Key::Ctrl('a') => self.cursor = 0,
            Key::End | Key::Ctrl('e') => self.cursor = self.text.len(),
            Key::WordLeft | Key::Alt('b') => self.cursor = self.word_left(),
            Key::WordRight | Key::Alt('f') => self.cursor = self.word_right(),
            Key::Backspace => self.remove(self.left(), self.cursor),
            Key::Delete | Key::Ctrl('d') => self.remove(self.cursor, self.right()),
            Key::Ctrl('w') => self.erase(self.blank_left(), self.cursor),
            Key::EraseWord => self.erase(self.word_left(), self.cursor),
            Key::Alt('d') => self.erase(self.cursor, self.word_right()),
            Key::Ctrl('u') => self.erase(0, self.cursor),
            Key::Ctrl('k') => self.erase(self.cursor, self.text.len()),
            Key::Ctrl('y') => self.insert(&self.erased.clone()),
            Key::Ctrl('t') => self.swap(),
            _ => {}
        }
    }

    /// Inserts as much as there is room for.
    fn insert(&mut self, text: &str) {
        let room = LONGEST.saturating_sub(self.text.len());
        let text = &text[..text.floor_char_boundary(room)];
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
        self.settle();
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
        self.settle();
    }

    fn erase(&mut self, from: usize, to: usize) {
        if from < to {
            self.erased = self.text[from..to].to_owned();
            self.remove(from, to);
        }
    }

    /// Moves the cursor after a cluster that has been joined, for instance with an accent.
    fn settle(&mut self) {
        let mut place = GraphemeCursor::new(self.cursor, self.text.len(), true);
        if !place.is_boundary(&self.text, 0).unwrap_or(true) {
            self.cursor = self.right();
        }
    }

    /// Swaps the two clusters around the cursor; at the end, the last two.
    fn swap(&mut self) {
        if self.cursor == self.text.len() {
            self.cursor = self.left();
        }
        let (from, to) = (self.left(), self.right());
        if from < self.cursor && self.cursor < to {
            let (one, other) = (&self.text[from..self.cursor], &self.text[self.cursor..to]);
            let swapped = format!("{other}{one}");
            self.text.replace_range(from..to, &swapped);
            self.cursor = to;
            self.settle();
        }
    }

    fn left(&self) -> usize {
        let mut place = GraphemeCursor::new(self.cursor, self.text.len(), true);
        place.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0)
    }

    fn right(&self) -> usize {
        let mut place = GraphemeCursor::new(self.cursor, self.text.len(), true);
        place.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len())
    }

    /// Returns the beginning of the word before the cursor.
    fn word_left(&self) -> usize {
        let mut words = self.text[..self.cursor].unicode_word_indices();
        words.next_back().map_or(0, |(at, _)| at)
    }

    /// Returns the end of the word after the cursor.
    fn word_right(&self) -> usize {
        let mut words = self.text[self.cursor..].unicode_word_indices();
        words.next().map_or(self.text.len(), |(at, word)| self.cursor + at + word.len())
    }

    /// Returns the beginning of the blank-separated word before the cursor.
    fn blank_left(&self) -> usize {
        let before = self.text[..self.cursor].trim_end();
        before
            .rfind(char::is_whitespace)
            .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the line after these keys, with the cursor as `|`.
    fn after(keys: &[Key]) -> String {
        let mut line = Line::default();
        keys.iter().for_each(|key| line.press(key));
        let (before, after) = line.text.split_at(line.cursor);
        format!("{before}|{after}")
    }

    fn typed(text: &str, keys: &[Key]) -> String {
        after(&[&[Key::Text(text.to_owned())], keys].concat())
    }

    #[test]
    fn keys_do_what_they_do_in_every_line_editor() {
        let two = "one two-three";
        for (keys, shown) in [
            (vec![Key::Home], "|one two-three"),
            (vec![Key::Ctrl('a'), Key::Right, Key::Text("x".into())], "ox|ne two-three"),
            (vec![Key::Backspace, Key::Left, Key::Delete], "one two-thr|"),
            (vec![Key::Alt('b')], "one two-|three"),
            (vec![Key::Home, Key::Alt('f')], "one| two-three"),
            (vec![Key::EraseWord], "one two-|"),
            (vec![Key::Ctrl('w')], "one |"),
            (vec![Key::Ctrl('w'), Key::Ctrl('w')], "|"),
            (vec![Key::Home, Key::Alt('d')], "| two-three"),
            (vec![Key::WordLeft, Key::Ctrl('u')], "|three"),
            (vec![Key::WordLeft, Key::Ctrl('k')], "one two-|"),
            (vec![Key::Ctrl('w'), Key::Home, Key::Ctrl('y')], "two-three|one "),
            (vec![Key::WordLeft, Key::Left, Key::Ctrl('t')], "one tw-o|three"),
            (vec![Key::Text("xy".into()), Key::Ctrl('t')], "one two-threeyx|"),
        ] {
            assert_eq!(typed(two, &keys), shown, "{keys:?}");
        }
    }

    #[test]
    fn at_either_end_nothing_happens() {
        for key in ['b', 'd', 'u', 'w', 't', 'y'].map(Key::Ctrl) {
            assert_eq!(after(&[key]), "|");
        }
        for key in [Key::Backspace, Key::Delete, Key::Left, Key::WordLeft, Key::EraseWord] {
            assert_eq!(after(&[key]), "|");
        }
    }

    #[test]
    fn the_cursor_goes_by_what_a_person_sees_as_one_character() {
        // An emoji with a skin tone, a family, a combining accent, a wide character.
        for one in ["👍🏽", "👨‍👩‍👧", "e\u{301}", "漢"] {
            assert_eq!(typed(&format!("a{one}"), &[Key::Left]), format!("a|{one}"));
            assert_eq!(typed(&format!("a{one}"), &[Key::Backspace]), "a|");
        }
        let accent = [Key::Left, Key::Text("\u{301}".to_owned())];
        assert_eq!(typed("eb", &accent), "e\u{301}|b");
    }

    #[test]
    fn a_line_has_an_end() {
        let mut line = Line::default();
        line.press(&Key::Text("ä".repeat(LONGEST)));
        line.press(&Key::Text("more".to_owned()));
        assert_eq!(line.text().len(), LONGEST);
    }

    #[test]
    fn whatever_is_pressed_the_cursor_stands_between_two_characters() {
        let pieces =
            ["a", " ", "e\u{301}", "\u{301}", "👍🏽", "\u{200d}", "👨", "🇩", "\n", "\u{fffd}"];
        let mut seed = 7u64;
        let mut line = Line::default();
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = (seed >> 33) as usize;
            let key = match n % 24 {
                0..10 => Key::Text(pieces[n / 24 % pieces.len()].to_owned()),
                10 => Key::Left,
                11 => Key::Right,
                12 => Key::Backspace,
                13 => Key::Delete,
                14 => Key::Home,
                15 => Key::End,
                16 => Key::WordLeft,
                17 => Key::WordRight,
                18 => Key::EraseWord,
                19 => Key::Ctrl('w'),
                20 => Key::Ctrl('t'),
                21 => Key::Ctrl('y'),
                22 => Key::Alt('d'),
                _ => Key::Ctrl('k'),
            };
            line.press(&key);
            let at = line.cursor();
            let on_edge = line.text().grapheme_indices(true).any(|(place, _)| place == at);
            assert!(on_edge || at == line.text().len(), "{key:?}: {at} in {:?}", line.text());
        }
    }
}
