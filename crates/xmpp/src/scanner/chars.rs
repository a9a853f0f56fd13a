//! XML 1.0, 2.2 and 4.1: which characters a document may contain, and the references to them.

use std::borrow::Cow;

use crate::ScanError;

/// May start a name. ASCII only: no protocol of ours uses other names, and what is refused cannot
/// be understood differently by another program.
pub(crate) const NAME_START: u8 = 1;
/// May continue a name.
pub(crate) const NAME: u8 = 2;
/// XML white space.
pub(crate) const SPACE: u8 = 4;
/// Needs a check inside an attribute value.
pub(crate) const VALUE_STOP: u8 = 8;
/// Needs a check inside text.
const TEXT_STOP: u8 = 16;

/// The classes of each byte, as a set of the bits above.
pub(crate) static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        class[i] = match b {
            b'\t' | b'\n' => SPACE | VALUE_STOP,
            b'\r' => SPACE | VALUE_STOP,
            b' ' => SPACE,
            0..0x20 => VALUE_STOP | TEXT_STOP,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => NAME_START | NAME,
            b'0'..=b'9' | b'-' | b'.' => NAME,
            b'&' => VALUE_STOP | TEXT_STOP,
            b'<' | b'\'' | b'"' => VALUE_STOP,
            b']' => TEXT_STOP,
            // U+FFFE and U+FFFF begin with this byte.
            0xEF => VALUE_STOP | TEXT_STOP,
            _ => 0,
        };
        i += 1;
    }
    class
};

/// Whether `byte` is in one of the classes in `set`.
#[inline]
pub(crate) fn is(byte: u8, set: u8) -> bool {
    CLASS[usize::from(byte)] & set != 0
}

/// Whether `rest`, which begins with 0xEF, begins with U+FFFE or U+FFFF.
pub(crate) fn is_noncharacter(rest: &[u8]) -> bool {
    matches!(rest, [0xEF, 0xBF, 0xBE | 0xBF, ..])
}

/// Checks character data between tags. UTF-8 is checked for the whole stanza at its end.
pub(crate) fn check_text(text: &[u8]) -> Result<(), ScanError> {
    check(text, true)
}

/// Checks the inside of a CDATA section.
pub(crate) fn check_cdata(text: &[u8]) -> Result<(), ScanError> {
    check(text, false)
}

fn check(text: &[u8], markup: bool) -> Result<(), ScanError> {
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        // Reads sixteen bytes at a time while none needs a check; the compiler turns this into one
        // vector comparison.
        if let Some((chunk, _)) = rest.split_first_chunk::<16>() {
            let stop = chunk.iter().fold(false, |stop, &b| {
                stop | (b < 0x20) | (b == b'&') | (b == b']') | (b == 0xEF)
            });
            if !stop {
                at += 16;
                continue;
            }
        }
        let Some(skip) = rest.iter().position(|&b| is(b, TEXT_STOP)) else { return Ok(()) };
        at += skip;
        let rest = &rest[skip..];
        match rest[0] {
            b'&' if markup => at += reference(rest)?.1,
            b']' if markup && rest.starts_with(b"]]>") => return Err(ScanError::NotWellFormed),
            0xEF if is_noncharacter(rest) => return Err(ScanError::NotWellFormed),
            b if b < 0x20 => return Err(ScanError::NotWellFormed),
            _ => at += 1,
        }
    }
    Ok(())
}

/// Checks every reference in an attribute value.
pub(crate) fn check_references(value: &[u8]) -> Result<(), ScanError> {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'&', rest) {
        rest = &rest[at..];
        let (_, length) = reference(rest)?;
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(())
}

/// Reads the reference at the start of `rest`: returns its character and its length.
///
/// Accepts the five entities of XML 1.0, 4.6, and references of at most seven digits to legal
/// characters.
pub(crate) fn reference(rest: &[u8]) -> Result<(char, usize), ScanError> {
    let window = &rest[..rest.len().min(11)];
    let Some(end) = memchr::memchr(b';', window) else {
        // A long name, or no reference at all.
        return Err(match window.get(1) {
            Some(&b) if is(b, NAME_START) && window.len() == 11 => ScanError::Restricted,
            _ => ScanError::NotWellFormed,
        });
    };
    let name = &window[1..end];
    let character = match name {
        b"lt" => '<',
        b"gt" => '>',
        b"amp" => '&',
        b"apos" => '\'',
        b"quot" => '"',
        [b'#', b'x', digits @ ..] => number(digits, 16)?,
        [b'#', digits @ ..] => number(digits, 10)?,
        [first, others @ ..] if is(*first, NAME_START) && others.iter().all(|b| is(*b, NAME)) => {
            return Err(ScanError::Restricted);
        }
        _ => return Err(ScanError::NotWellFormed),
    };
    Ok((character, end + 1))
}

fn number(digits: &[u8], radix: u32) -> Result<char, ScanError> {
    if digits.is_empty() || digits.len() > 7 {
        return Err(ScanError::NotWellFormed);
    }
    let mut value = 0;
    for &digit in digits {
        let digit = char::from(digit).to_digit(radix).ok_or(ScanError::NotWellFormed)?;
        // Seven hexadecimal digits fit into 28 bits.
        value = value * radix + digit;
    }
    char::from_u32(value).filter(|c| is_legal(*c)).ok_or(ScanError::NotWellFormed)
}

/// Whether a document may contain `c` at all (XML 1.0, 2.2).
pub(crate) fn is_legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// Returns the value of an attribute that has been checked (XML 1.0, 3.3.3).
pub(crate) fn unescape_value(raw: &[u8]) -> Cow<'_, str> {
    unescape(raw, |b| match b {
        b'\t' | b'\n' => Some(" "),
        _ => None,
    })
}

/// Returns text that has been checked, with references decoded and line ends normalised (XML 1.0,
/// 2.11).
pub(crate) fn unescape_text(raw: &[u8]) -> Cow<'_, str> {
    fold_line_ends(raw, true)
}

/// Returns the text of a CDATA section that has been checked.
pub(crate) fn unescape_cdata(raw: &[u8]) -> Cow<'_, str> {
    fold_line_ends(raw, false)
}

fn fold_line_ends(raw: &[u8], references: bool) -> Cow<'_, str> {
    let has_cr = memchr::memchr(b'\r', raw).is_some();
    let has_reference = references && memchr::memchr(b'&', raw).is_some();
    if !has_cr && !has_reference {
        return String::from_utf8_lossy(raw);
    }
    let folded: Cow<'_, [u8]> = if has_cr {
        // References are decoded after this, so a `&#13;` survives.
        let mut folded = Vec::with_capacity(raw.len());
        for (i, &b) in raw.iter().enumerate() {
            match b {
                b'\r' if raw.get(i + 1) == Some(&b'\n') => {}
                b'\r' => folded.push(b'\n'),
                _ => folded.push(b),
            }
        }
        Cow::Owned(folded)
    } else {
        Cow::Borrowed(raw)
    };
    if references {
        Cow::Owned(unescape(&folded, |_| None).into_owned())
    } else {
        Cow::Owned(String::from_utf8_lossy(&folded).into_owned())
    }
}

fn unescape(raw: &[u8], replace: impl Fn(u8) -> Option<&'static str>) -> Cow<'_, str> {
    let stops = |b: &u8| *b == b'&' || replace(*b).is_some();
    if !raw.iter().any(stops) {
        return String::from_utf8_lossy(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.iter().position(stops) {
        let (plain, stop) = rest.split_at(at);
        out.push_str(&String::from_utf8_lossy(plain));
        let skip = match (replace(stop[0]), reference(stop)) {
            (Some(text), _) => {
                out.push_str(text);
                1
            }
            (None, Ok((character, length))) => {
                out.push(character);
                length
            }
            // Checked input does not get here; to leave the text unchanged is the safest reading.
            (None, Err(_)) => {
                out.push('&');
                1
            }
        };
        rest = stop.get(skip..).unwrap_or_default();
    }
    out.push_str(&String::from_utf8_lossy(rest));
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_five_entities_and_legal_character_references_are_read() {
        for (text, meaning) in [
            ("&lt;", '<'),
            ("&gt;", '>'),
            ("&amp;", '&'),
            ("&apos;", '\''),
            ("&quot;", '"'),
            ("&#64;", '@'),
            ("&#x40;", '@'),
            ("&#0000064;", '@'),
            ("&#x10FFFF;", '\u{10FFFF}'),
            ("&#9;", '\t'),
            ("&#xFFFD;", '\u{FFFD}'),
        ] {
            assert_eq!(reference(text.as_bytes()), Ok((meaning, text.len())), "{text}");
        }
    }

    #[test]
    fn every_other_reference_is_refused() {
        for text in [
            "&",
            "& ",
            "&;",
            "&#;",
            "&#x;",
            "&#0;",
            "&#1;",
            "&#x1F;",
            "&#xD800;",
            "&#xFFFE;",
            "&#xFFFF;",
            "&#x110000;",
            "&#00000064;",
            "&#-1;",
            "&#+64;",
            "&#X40;",
            "&lt",
            "&#6 4;",
            "&#xFFFFFFF;",
            "&1;",
        ] {
            assert_eq!(reference(text.as_bytes()), Err(ScanError::NotWellFormed), "{text}");
        }
        for text in ["&lol;", "&nbsp;", "&LT;", "&alongerentityname;"] {
            assert_eq!(reference(text.as_bytes()), Err(ScanError::Restricted), "{text}");
        }
    }

    #[test]
    fn text_is_refused_for_one_bad_character_wherever_it_stands() {
        let plain = "0123456789abcdef".repeat(4);
        for bad in ["\0", "\u{1}", "\u{b}", "\u{1f}", "\u{fffe}", "\u{ffff}", "]]>", "&", "&#0;"] {
            for at in 0..plain.len() {
                let text = format!("{}{bad}{}", &plain[..at], &plain[at..]);
                assert!(check_text(text.as_bytes()).is_err(), "{bad:?} at {at}");
            }
        }
    }

    #[test]
    fn text_may_hold_everything_else() {
        for text in [
            "",
            "a\tb\nc\r\nd",
            "]] >",
            "]>",
            "]]",
            "\u{7f}\u{85}",
            "\u{fffd}ｆ\u{feff}",
            "😀",
            "a > b",
        ] {
            assert_eq!(check_text(text.as_bytes()), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn cdata_may_hold_markup_but_no_control_character() {
        assert_eq!(check_cdata(b"<a> & </a> ]] ]>"), Ok(()));
        assert!(check_cdata(b"a\x02").is_err());
    }

    #[test]
    fn values_and_text_are_normalised_as_xml_says() {
        assert_eq!(unescape_value(b"a\tb\nc&#9;&#10;d&amp;e"), "a b c\t\nd&e");
        assert_eq!(unescape_text(b"a\r\nb\rc\nd&#13;e\r\r\n&lt;"), "a\nb\nc\nd\re\n\n<");
        assert_eq!(unescape_cdata(b"a\r\n&lt;"), "a\n&lt;");
    }
}
