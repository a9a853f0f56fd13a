//! Decodes the bytes of a terminal into keys: text, control characters, and the sequences of
//! ECMA-48 and xterm for keys without a character.
//!
//! A read may end inside a sequence or a character. Nothing is an error here: invalid UTF-8
//! becomes U+FFFD, and an unknown sequence is dropped.

use std::mem::take;

/// Longest sequence that is waited for; a longer one is dropped.
const LONGEST_SEQUENCE: usize = 32;
/// The end of a bracketed paste (`ESC [ 200 ~` to `ESC [ 201 ~`).
const PASTE_ENDS: &[u8] = b"\x1b[201~";

/// One key, or a run of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Characters, typed or pasted; line breaks are among them only if the terminal marked them as
    /// pasted.
    Text(String),
    /// Enter.
    Enter,
    /// Ctrl with this lower-case letter or `_`.
    Ctrl(char),
    /// Alt with this character, or Escape before it.
    Alt(char),
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    WordLeft,
    WordRight,
    /// Alt-Backspace.
    EraseWord,
}

/// Decodes keys from bytes.
#[derive(Debug, Default)]
pub struct Keys {
    /// The beginning of a sequence or a character.
    pending: Vec<u8>,
    pasting: bool,
    /// Whether the last byte of a paste was a carriage return, so that a line feed after it
    /// belongs to it.
    after_return: bool,
}

impl Keys {
    /// Decodes what arrived, and returns the complete keys.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.pending.extend_from_slice(bytes);
        let bytes = take(&mut self.pending);
        let mut rest = &bytes[..];
        let mut keys = Vec::new();
        while let Some((key, used)) = self.next(rest) {
            rest = &rest[used..];
            match (key, keys.last_mut()) {
                (Some(Key::Text(more)), Some(Key::Text(text))) => text.push_str(&more),
                (Some(key), _) => keys.push(key),
                (None, _) => {}
            }
        }
        self.pending = rest.to_vec();
        keys
    }

    /// Returns the first key and its length; `None` if it is incomplete.
    fn next(&mut self, bytes: &[u8]) -> Option<(Option<Key>, usize)> {
        if self.pasting {
            return self.pasted(bytes);
        }
        let key = match *bytes.first()? {
            0x1b => return self.escape(bytes),
            b'\r' | b'\n' => Key::Enter,
            0x7f | 0x08 => Key::Backspace,
            // A tab becomes a blank wherever a line is read.
            b'\t' => Key::Text("\t".to_owned()),
            0 => return Some((None, 1)),
            code @ 1..=0x1a => Key::Ctrl(char::from(code | 0x60)),
            0x1f => Key::Ctrl('_'),
            0x1c..=0x1e => return Some((None, 1)),
            _ => {
                let run = bytes.iter().position(|byte| is_control(*byte)).unwrap_or(bytes.len());
                return text(&bytes[..run], run < bytes.len());
            }
        };
        Some((Some(key), 1))
    }

    /// Returns text up to the end of the paste. It is passed on as it comes, since the end may
    /// never come.
    fn pasted(&mut self, bytes: &[u8]) -> Option<(Option<Key>, usize)> {
        if bytes.starts_with(PASTE_ENDS) {
            self.pasting = false;
            return Some((None, PASTE_ENDS.len()));
        }
        match *bytes.first()? {
            0x1b if PASTE_ENDS.starts_with(bytes) => None,
            b'\n' if take(&mut self.after_return) => Some((None, 1)),
            code @ (b'\r' | b'\n') => {
                self.after_return = code == b'\r';
                Some((Some(Key::Text("\n".to_owned())), 1))
            }
            code if is_control(code) => {
                self.after_return = false;
                Some((Some(Key::Text(char::from(code).to_string())), 1))
            }
            _ => {
                self.after_return = false;
                let run = bytes.iter().position(|byte| is_control(*byte)).unwrap_or(bytes.len());
                text(&bytes[..run], run < bytes.len())
            }
        }
    }

    fn escape(&mut self, bytes: &[u8]) -> Option<(Option<Key>, usize)> {
        let (key, used) = match *bytes.get(1)? {
            b'[' => {
                let middle = bytes[2..].iter().take_while(|byte| (0x20..0x40).contains(*byte));
                let end = 2 + middle.count();
                match bytes.get(end) {
                    None if bytes.len() > LONGEST_SEQUENCE => (None, bytes.len()),
                    None => return None,
                    // The Linux console sends F1 to F5 like this.
                    Some(b'[') if end == 2 => {
                        bytes.get(3)?;
                        (None, 4)
                    }
                    Some(last @ 0x40..0x7f) => (self.sequence(&bytes[2..end], *last), end + 1),
                    // Cut off by something else, which is decoded next.
                    Some(_) => (None, end),
                }
            }
            b'O' => (self.sequence(b"", *bytes.get(2)?), 3),
            0x7f | 0x08 => (Some(Key::EraseWord), 2),
            // A second Escape begins a new key.
            0x1b => (None, 1),
            letter @ 0x20..0x7f => (Some(Key::Alt(char::from(letter).to_ascii_lowercase())), 2),
            _ => (None, 1),
        };
        Some((key, used))
    }

    /// `ESC [ numbers letter`.
    fn sequence(&mut self, numbers: &[u8], letter: u8) -> Option<Key> {
        let by_word = numbers.ends_with(b";5") || numbers.ends_with(b";3");
        Some(match (letter, numbers) {
            (b'A', _) => Key::Up,
            (b'B', _) => Key::Down,
            (b'C', _) if by_word => Key::WordRight,
            (b'D', _) if by_word => Key::WordLeft,
            (b'C', _) => Key::Right,
            (b'D', _) => Key::Left,
            (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
            (b'F', _) | (b'~', b"4" | b"8") => Key::End,
            (b'~', b"3") => Key::Delete,
            (b'~', b"200") => {
                self.pasting = true;
                return None;
            }
            _ => return None,
        })
    }
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

/// Decodes text; a character that is cut at the end is waited for, unless something else
/// `follows`.
fn text(bytes: &[u8], follows: bool) -> Option<(Option<Key>, usize)> {
    let whole = match std::str::from_utf8(bytes) {
        Err(why) if why.error_len().is_none() && !follows => {
            let cut = why.valid_up_to();
            // The bytes before it may not be valid text either.
            if cut == 0 {
                return None;
            }
            cut
        }
        // Up to and including the invalid bytes, whatever comes after.
        Err(why) => why.valid_up_to() + why.error_len().unwrap_or(bytes.len()),
        Ok(_) => bytes.len(),
    };
    let whole = whole.min(bytes.len());
    Some((Some(Key::Text(String::from_utf8_lossy(&bytes[..whole]).into_owned())), whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<Key> {
        Keys::default().read(bytes)
    }

    fn typed(text: &str) -> Key {
        Key::Text(text.to_owned())
    }

    #[test]
    fn text_and_keys_come_in_their_order() {
        assert_eq!(
            all(b"a\xc3\xa4\x7f\x1b[D\x01\x1bb\x1b[1;5Cz\r"),
            [
                typed("aä"),
                Key::Backspace,
                Key::Left,
                Key::Ctrl('a'),
                Key::Alt('b'),
                Key::WordRight,
                typed("z"),
                Key::Enter
            ]
        );
        assert_eq!(all(b"\x1bOH\x1b[F\x1b[3~\x1b[A"), [Key::Home, Key::End, Key::Delete, Key::Up]);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such_and_end_nothing() {
        for (bytes, text) in [
            (&b"a\xffb"[..], "a\u{fffd}b"),
            (b"\xfe\xff", "\u{fffd}\u{fffd}"),
            (b"\xe2\x82b", "\u{fffd}b"),
            (b"\x80", "\u{fffd}"),
        ] {
            assert_eq!(all(bytes), [typed(text)], "{bytes:?}");
        }
        // A character that was cut and is never completed.
        assert_eq!(all(b"\xe2\x82\r"), [typed("\u{fffd}"), Key::Enter]);
    }

    #[test]
    fn what_is_pasted_is_text_with_its_line_breaks() {
        assert_eq!(
            all(b"\x1b[200~one\r\ntwo\rthree\n\x1b[A\x1b[201~\r"),
            [typed("one\ntwo\nthree\n\u{1b}[A"), Key::Enter]
        );
    }

    #[test]
    fn what_is_no_known_sequence_is_no_key() {
        assert_eq!(all(b"\x1b[15~a\x1b[[Ab\x1bOPc\x1b[?1;2cd"), [typed("abcd")]);
        // A sequence that is cut off by something else.
        assert_eq!(all(b"\x1b[1\rx"), [Key::Enter, typed("x")]);
        let long = [b"\x1b[".as_slice(), &[b'1'; 100], b"x\r"].concat();
        assert!(all(&long).contains(&Key::Enter));
    }

    #[test]
    fn it_makes_no_difference_where_bytes_are_cut() {
        let bytes =
            b"a\xc3\xa4\xf0\x9f\x91\x8d\xff\x1b[D\x1b[200~p\r\nq\x1b[201~\x1bOH\x1bd\x7fz\r";
        let whole = all(bytes);
        for cut in 1..bytes.len() {
            let mut keys = Keys::default();
            let mut pieces = keys.read(&bytes[..cut]);
            for key in keys.read(&bytes[cut..]) {
                match (key, pieces.last_mut()) {
                    (Key::Text(more), Some(Key::Text(text))) => text.push_str(&more),
                    (key, _) => pieces.push(key),
                }
            }
            assert_eq!(pieces, whole, "cut at {cut}");
        }
    }
}
