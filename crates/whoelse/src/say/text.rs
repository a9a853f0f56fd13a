//! Text from others, made safe for a terminal (docs/behaviour.md; security.md, row 46).
//!
//! A control character could move the cursor, recolour, retitle or type into the terminal; a
//! bidirectional control could show words in another order; a line break could begin a line that
//! looks like a notice or a prompt. All of them except tabs become visible text, and every line of
//! a message but the first is indented. Every text from others passes through here before it
//! reaches the terminal.

use std::fmt::Write as _;

/// The prefix of every further line of a text.
pub const INDENT: &str = "    ";

/// Makes one line: control characters and line breaks become `\u{…}`; a tab becomes a blank.
pub fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        push(&mut safe, c, " ");
    }
    safe
}

/// Makes several lines, all but the first indented. A tab becomes as many blanks as an
/// indentation.
pub fn lines(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let text = text.strip_suffix('\n').unwrap_or(text);
    for (n, piece) in text.split('\n').enumerate() {
        if n > 0 {
            safe.push('\n');
            safe.push_str(INDENT);
        }
        // A carriage return before the line break is part of it.
        for c in piece.strip_suffix('\r').unwrap_or(piece).chars() {
            push(&mut safe, c, INDENT);
        }
    }
    safe
}

fn push(safe: &mut String, c: char, tab: &str) {
    if c == '\t' {
        safe.push_str(tab);
    } else if is_unsafe(c) {
        // Writing to a String cannot fail.
        let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
    } else {
        safe.push(c);
    }
}

/// Returns whether a character is unsafe: C0 and C1 controls, DEL, bidirectional controls, and the
/// two separators that some terminals treat as a line break.
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_of_any_script_stays_as_it_is() {
        for text in ["hello", "Grüße", "שלום", "你好", "👍🏽", "a  b", ""] {
            assert_eq!(line(text), text);
            assert_eq!(lines(text), text);
        }
    }

    #[test]
    fn controls_are_shown_and_not_obeyed() {
        assert_eq!(line("\u{1b}[2J"), "\\u{1b}[2J");
        assert_eq!(line("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(line("a\rb\u{7}\u{7f}\u{0}"), "a\\u{d}b\\u{7}\\u{7f}\\u{0}");
    }

    #[test]
    fn every_control_of_both_sets_is_shown() {
        for code in (0..0x20).chain(0x7f..0xa0).filter(|code| *code != 9) {
            let c = char::from_u32(code).unwrap_or_default();
            assert_eq!(line(&c.to_string()), format!("\\u{{{code:x}}}"));
        }
    }

    #[test]
    fn tabs_are_blanks() {
        assert_eq!(line("a\tb"), "a b");
        assert_eq!(lines("if x:\n\treturn"), "if x:\n        return");
    }

    #[test]
    fn words_cannot_be_turned_around() {
        for code in [0x61c, 0x200e, 0x200f, 0x202a, 0x202e, 0x2066, 0x2069] {
            let c = char::from_u32(code).unwrap_or_default();
            assert_eq!(line(&format!("a{c}b")), format!("a\\u{{{code:x}}}b"));
        }
    }

    #[test]
    fn a_line_break_in_a_body_forges_no_notice() {
        assert_eq!(lines("hi\n* bob logged in"), "hi\n    * bob logged in");
        assert_eq!(lines("hi\r\n> "), "hi\n    > ");
        assert_eq!(lines("hi\u{2028}* x\u{85}* y"), "hi\\u{2028}* x\\u{85}* y");
        assert_eq!(lines("hi\n"), "hi");
    }

    #[test]
    fn a_line_break_in_a_name_forges_nothing_either() {
        assert_eq!(line("bob\n* eve logged in"), "bob\\u{a}* eve logged in");
    }
}
