//! XML 1.0, 3.1: one tag, read byte by byte; reading can stop anywhere and continue with the next
//! read.
//!
//! No byte is read twice however slowly a tag arrives, except the inside of a quoted value with
//! references, which is read once more after its closing quote.

use smallvec::SmallVec;

use super::chars::{self, NAME, NAME_START, SPACE, VALUE_STOP};
use crate::ScanError;

/// The most attributes of one element, declarations included. The check for duplicates is quadratic
/// in their number.
pub(crate) const MAX_ATTRIBUTES: usize = 64;

/// A range of the element's bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// The bytes it covers.
    #[inline]
    pub(crate) fn of(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// Its length in bytes.
    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }
}

/// A name, `local` or `prefix:local`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RawName {
    /// The whole name.
    pub(crate) span: Span,
    /// The offset of the colon; 0 without one, as no name begins there.
    colon: u32,
}

impl RawName {
    /// Returns the part before the colon.
    #[inline]
    pub(crate) fn prefix(self) -> Option<Span> {
        (self.colon != 0).then_some(Span { start: self.span.start, end: self.colon })
    }

    /// Returns the part after the colon, or all of it.
    #[inline]
    pub(crate) fn local(self) -> Span {
        match self.colon {
            0 => self.span,
            colon => Span { start: colon + 1, end: self.span.end },
        }
    }
}

/// One attribute of a start tag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute {
    pub(crate) name: RawName,
    /// The value, between the quotes.
    pub(crate) value: Span,
    /// Whether the value is exactly its bytes: it has no reference, and nothing to normalise.
    pub(crate) plain: bool,
}

/// The state: what is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The element's name.
    Name,
    /// White space, then an attribute or the end of the tag.
    Space,
    /// The name of an attribute.
    AttributeName,
    /// `=`, perhaps after white space.
    Equals,
    /// A quote, perhaps after white space.
    Quote,
    /// The inside of a value, up to this quote.
    Value(u8),
    /// Directly after a closing quote, where a name may not follow.
    AfterValue,
    /// `>` after a slash.
    Slash,
}

/// A tag, as far as it has been read.
#[derive(Debug)]
pub(crate) struct Tag {
    /// The next byte to read; after `>` when the tag is complete.
    pub(crate) at: u32,
    step: Step,
    /// Whether it is an end tag.
    pub(crate) closes: bool,
    /// Whether it is a start tag that ends with a slash.
    pub(crate) empty: bool,
    pub(crate) name: RawName,
    pub(crate) attributes: SmallVec<[Attribute; 8]>,
    // The attribute being read.
    current: RawName,
    value_start: u32,
    plain: bool,
    references: bool,
}

impl Tag {
    /// Starts a tag whose name is expected at `at`.
    pub(crate) fn new(at: u32, closes: bool) -> Tag {
        Tag {
            at,
            step: Step::Name,
            closes,
            empty: false,
            name: RawName { span: Span { start: at, end: at }, colon: 0 },
            attributes: SmallVec::new(),
            current: RawName::default(),
            value_start: 0,
            plain: true,
            references: false,
        }
    }

    /// Restarts, for the next tag of the same element.
    pub(crate) fn reset(&mut self, at: u32, closes: bool) {
        self.at = at;
        self.step = Step::Name;
        self.closes = closes;
        self.empty = false;
        self.name = RawName { span: Span { start: at, end: at }, colon: 0 };
        self.attributes.clear();
    }

    /// Reads on; returns whether the tag is complete. `bytes` is what it was before, and perhaps
    /// more.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Result<bool, ScanError> {
        let mut at = self.at as usize;
        while let Some(&byte) = bytes.get(at) {
            match self.step {
                Step::Name => {
                    if !read_name(bytes, &mut at, &mut self.name)? {
                        break;
                    }
                    self.step = Step::Space;
                    // If another name started here, it would have been part of this one: so white
                    // space separates a name from an attribute.
                    continue;
                }
                Step::Space | Step::AfterValue => match byte {
                    b'>' => {
                        self.at = at as u32 + 1;
                        return Ok(true);
                    }
                    b'/' if !self.closes => self.step = Step::Slash,
                    _ if chars::is(byte, SPACE) => self.step = Step::Space,
                    _ if chars::is(byte, NAME_START)
                        && self.step == Step::Space
                        && !self.closes =>
                    {
                        if self.attributes.len() == MAX_ATTRIBUTES {
                            return Err(ScanError::TooBig);
                        }
                        let start = at as u32;
                        self.current = RawName { span: Span { start, end: start }, colon: 0 };
                        self.step = Step::AttributeName;
                        continue;
                    }
                    _ => return Err(ScanError::NotWellFormed),
                },
                Step::AttributeName => {
                    if !read_name(bytes, &mut at, &mut self.current)? {
                        break;
                    }
                    self.step = Step::Equals;
                    // Tags are nearly always written like this.
                    if let Some([b'=', quote @ (b'\'' | b'"'), ..]) = bytes.get(at..) {
                        at += 2;
                        self.start_value(*quote, at as u32);
                    }
                    continue;
                }
                Step::Equals => match byte {
                    b'=' => self.step = Step::Quote,
                    _ if chars::is(byte, SPACE) => {}
                    _ => return Err(ScanError::NotWellFormed),
                },
                Step::Quote => match byte {
                    b'\'' | b'"' => self.start_value(byte, at as u32 + 1),
                    _ if chars::is(byte, SPACE) => {}
                    _ => return Err(ScanError::NotWellFormed),
                },
                Step::Value(quote) => {
                    let rest = &bytes[at..];
                    let Some(skip) = rest.iter().position(|&b| chars::is(b, VALUE_STOP)) else {
                        at = bytes.len();
                        break;
                    };
                    at += skip;
                    let rest = &rest[skip..];
                    match rest[0] {
                        b if b == quote => self.finish_attribute(bytes, at as u32)?,
                        b'\'' | b'"' => {}
                        b'&' => {
                            self.plain = false;
                            self.references = true;
                        }
                        b'\t' | b'\n' => self.plain = false,
                        // This is legal, but nobody sends it, and readers have disagreed about it.
                        b'\r' => return Err(ScanError::Restricted),
                        // At least a quote and `>` must follow, so waiting loses nothing.
                        0xEF if rest.len() < 3 => break,
                        0xEF if !chars::is_noncharacter(rest) => {}
                        _ => return Err(ScanError::NotWellFormed),
                    }
                }
                Step::Slash => {
                    if byte != b'>' {
                        return Err(ScanError::NotWellFormed);
                    }
                    self.empty = true;
                    self.at = at as u32 + 1;
                    return Ok(true);
                }
            }
            at += 1;
        }
        self.at = at as u32;
        Ok(false)
    }

    fn start_value(&mut self, quote: u8, start: u32) {
        self.step = Step::Value(quote);
        self.value_start = start;
        self.plain = true;
        self.references = false;
    }

    fn finish_attribute(&mut self, bytes: &[u8], end: u32) -> Result<(), ScanError> {
        let value = Span { start: self.value_start, end };
        if self.references {
            chars::check_references(value.of(bytes))?;
        }
        self.attributes.push(Attribute { name: self.current, value, plain: self.plain });
        self.step = Step::AfterValue;
        Ok(())
    }
}

/// Reads on in a name that began before or at `at`; returns whether its end was found.
#[inline]
fn read_name(bytes: &[u8], at: &mut usize, name: &mut RawName) -> Result<bool, ScanError> {
    let starts_name = |at: u32| bytes.get(at as usize).is_some_and(|b| chars::is(*b, NAME_START));
    while let Some(rest) = bytes.get(*at..) {
        let Some(skip) = rest.iter().position(|b| !chars::is(*b, NAME)) else {
            *at = bytes.len();
            return Ok(false);
        };
        *at += skip;
        if rest[skip] == b':' && name.colon == 0 {
            name.colon = *at as u32;
            *at += 1;
            continue;
        }
        name.span.end = *at as u32;
        let well_formed = rest[skip] != b':'
            && starts_name(name.span.start)
            && (name.colon == 0 || starts_name(name.colon + 1));
        return if well_formed { Ok(true) } else { Err(ScanError::NotWellFormed) };
    }
    Ok(false)
}
