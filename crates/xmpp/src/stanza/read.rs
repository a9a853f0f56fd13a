//! A second reading of an element that the scanner has accepted: finds its texts and attributes.
//!
//! Nothing here refuses anything: the bytes are known to be well-formed. If they were not, the
//! result could be wrong, but nothing panics.

use compact_str::CompactString;

use super::compact;
use crate::scanner::chars;
use crate::scanner::tag::Tag;

/// A piece of an element.
enum Token<'a> {
    Start { empty: bool },
    End,
    Text(&'a [u8]),
    Cdata(&'a [u8]),
}

/// The pieces of a well-formed element, one after the other.
struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        if rest[0] != b'<' {
            let length = memchr::memchr(b'<', rest).unwrap_or(rest.len());
            self.at += length;
            return Some(Token::Text(&rest[..length]));
        }
        if let Some(inside) = rest.strip_prefix(b"<![CDATA[") {
            let length = memchr::memmem::find(inside, b"]]>")?;
            self.at += b"<![CDATA[".len() + length + b"]]>".len();
            return Some(Token::Cdata(&inside[..length]));
        }
        let closes = rest.get(1) == Some(&b'/');
        let length = tag_length(rest)?;
        self.at += length;
        let empty = rest[..length].ends_with(b"/>");
        Some(if closes { Token::End } else { Token::Start { empty } })
    }
}

/// Returns the length of the tag at the start of `bytes`.
fn tag_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr3(b'>', b'\'', b'"', bytes.get(at..)?)?;
        match bytes[at] {
            b'>' => return Some(at + 1),
            quote => at += memchr::memchr(quote, bytes.get(at + 1..)?)? + 2,
        }
    }
}

/// Returns the text directly inside the element.
pub(super) fn text(element: &[u8]) -> CompactString {
    let mut text = CompactString::default();
    let mut depth = 0_usize;
    for token in (Tokens { bytes: element, at: 0 }) {
        match token {
            Token::Start { empty: false } => depth += 1,
            Token::Start { empty: true } => {}
            Token::End => depth = depth.saturating_sub(1),
            Token::Text(raw) if depth == 1 => append(&mut text, chars::unescape_text(raw)),
            Token::Cdata(raw) if depth == 1 => append(&mut text, chars::unescape_cdata(raw)),
            Token::Text(_) | Token::Cdata(_) => {}
        }
    }
    text
}

fn append(text: &mut CompactString, more: std::borrow::Cow<'_, str>) {
    if text.is_empty() {
        *text = compact(more);
    } else {
        text.push_str(&more);
    }
}

/// Returns whether there is an element inside the element.
pub(super) fn has_children(element: &[u8]) -> bool {
    let tokens = Tokens { bytes: element, at: 0 };
    tokens.skip(1).any(|token| matches!(token, Token::Start { .. }))
}

/// Returns the start tags of the elements that are open where the one at `offset` begins, outermost
/// first.
pub(crate) fn ancestors(element: &[u8], offset: u32) -> Vec<&[u8]> {
    let mut open = Vec::new();
    let mut tokens = Tokens { bytes: element, at: 0 };
    while tokens.at < offset as usize {
        let start = tokens.at;
        match tokens.next() {
            None => break,
            Some(Token::Start { empty: false }) => {
                open.push(element.get(start..tokens.at).unwrap_or_default());
            }
            Some(Token::End) => {
                open.pop();
            }
            Some(_) => {}
        }
    }
    open
}

/// Returns the name in a start tag, prefix included.
pub(crate) fn tag_name(tag: &[u8]) -> &[u8] {
    let name = tag.get(1..).unwrap_or_default();
    let length = name.iter().take_while(|b| chars::is(**b, chars::NAME) || **b == b':').count();
    &name[..length]
}

/// Returns an attribute of the element's root that has no namespace.
pub(super) fn attribute(element: &[u8], name: &str) -> Option<CompactString> {
    let mut tag = Tag::new(1, false);
    if !tag.read(element).unwrap_or(false) {
        return None;
    }
    let found = tag.attributes.iter().find(|a| a.name.span.of(element) == name.as_bytes())?;
    Some(compact(chars::unescape_value(found.value.of(element))))
}
