//! RFC 6120, 8.1: the envelope of a stanza as it arrived: attributes unescaped, children as named
//! spans, bytes untouched.
//! Everything here comes from the scanner's single pass. Rarely needed parts (other attributes,
//! texts) are looked up again in the bytes, which are known to be well-formed.

mod alone;
mod edit;
pub(crate) mod read;

pub use edit::Edit;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use smallvec::SmallVec;

use crate::name::Namespace;
use crate::scanner::chars;
use crate::scanner::element::{Done, Element, Surroundings, text};
use crate::scanner::tag::{Attribute, Span, Tag};
use crate::{Limits, Payload, ScanError, StanzaError, ns, payload};

/// The kind of a stanza, or another element of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<message/>`.
    Message,
    /// `<presence/>`.
    Presence,
    /// `<iq/>`.
    Iq,
    /// Another element: SASL, STARTTLS, stream management…
    Other,
}

/// One whole element of depth 1.
///
/// Its `Debug` shows the root and the children but no text, so that logs contain no messages.
#[derive(Clone)]
pub struct Stanza {
    bytes: Bytes,
    // The data are behind a pointer, because a stanza is moved many times.
    meaning: Arc<Meaning>,
}

/// What the scanner found out about a stanza.
struct Meaning {
    head: Head,
    children: SmallVec<[Child; 4]>,
}

/// A direct child: its resolved name and its place in the bytes.
#[derive(Debug, Clone)]
pub struct Child {
    pub(crate) name: CompactString,
    pub(crate) namespace: Namespace,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// What the scanner found out about the root.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    kind: Kind,
    name: CompactString,
    pub(crate) namespace: Namespace,
    to: Value,
    from: Value,
    id: Value,
    type_: Value,
    lang: Value,
    /// The values that differ from their bytes, one after the other.
    decoded: String,
    /// The offset after `<name`.
    pub(crate) after_name: u32,
    /// The offset after the last attribute.
    pub(crate) attributes_end: u32,
    /// The offset after the start tag.
    pub(crate) tag_end: u32,
    /// The offset of the end tag; the end of the element if it has none.
    pub(crate) end_tag: u32,
    /// The attribute `from` with the white space before it; empty if there is none.
    pub(crate) from_attribute: Span,
    /// The attribute `to` with the white space before it; empty if there is none.
    pub(crate) to_attribute: Span,
    /// The declaration `xmlns` with the white space before it; empty if there is none.
    pub(crate) default_declaration: Span,
    /// Whether names in the children may depend on declarations of the root.
    pub(crate) scoped: bool,
    /// Whether the root's own prefix is one of the stream header's.
    pub(crate) borrows: bool,
}

/// An attribute's value.
#[derive(Debug, Clone, Copy, Default)]
enum Value {
    #[default]
    Absent,
    /// The value is in the bytes.
    Plain(Span),
    /// The value is in [`Head::decoded`].
    Decoded(Span),
}

impl Default for Head {
    fn default() -> Head {
        Head {
            kind: Kind::Other,
            name: CompactString::default(),
            namespace: Namespace::Known(""),
            to: Value::Absent,
            from: Value::Absent,
            id: Value::Absent,
            type_: Value::Absent,
            lang: Value::Absent,
            decoded: String::new(),
            after_name: 0,
            attributes_end: 0,
            tag_end: 0,
            end_tag: 0,
            from_attribute: Span::default(),
            to_attribute: Span::default(),
            default_declaration: Span::default(),
            scoped: false,
            borrows: false,
        }
    }
}

impl Head {
    /// Parses the root's start tag. `message`, `presence` and `iq` are stanzas if they are in the
    /// content namespace.
    pub(crate) fn new(bytes: &[u8], tag: &Tag, name: &str, namespace: Namespace) -> Head {
        let kind = match name {
            _ if namespace.as_str() != ns::CLIENT => Kind::Other,
            "message" => Kind::Message,
            "presence" => Kind::Presence,
            "iq" => Kind::Iq,
            _ => Kind::Other,
        };
        let after_name = tag.name.span.end;
        let mut head = Head {
            kind,
            name: CompactString::new(name),
            namespace,
            after_name,
            attributes_end: after_name,
            tag_end: tag.at,
            ..Head::default()
        };
        for attribute in &tag.attributes {
            // The range includes the closing quote.
            let whole = Span { start: head.attributes_end, end: attribute.value.end + 1 };
            head.attributes_end = whole.end;
            match attribute.name.span.of(bytes) {
                b"to" => {
                    head.to = head.value(attribute, bytes);
                    head.to_attribute = whole;
                }
                b"from" => {
                    head.from = head.value(attribute, bytes);
                    head.from_attribute = whole;
                }
                b"id" => head.id = head.value(attribute, bytes),
                b"type" => head.type_ = head.value(attribute, bytes),
                b"xml:lang" => head.lang = head.value(attribute, bytes),
                b"xmlns" => head.default_declaration = whole,
                _ => {}
            }
        }
        head
    }

    fn value(&mut self, attribute: &Attribute, bytes: &[u8]) -> Value {
        if attribute.plain {
            return Value::Plain(attribute.value);
        }
        let start = self.decoded.len() as u32;
        self.decoded.push_str(&chars::unescape_value(attribute.value.of(bytes)));
        Value::Decoded(Span { start, end: self.decoded.len() as u32 })
    }
}

/// Compares the bytes, which determine the meaning of a stanza that is complete in itself.
impl PartialEq for Stanza {
    fn eq(&self, other: &Stanza) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Stanza {}

impl Stanza {
    pub(crate) fn new(bytes: Bytes, head: Head, children: SmallVec<[Child; 4]>) -> Stanza {
        Stanza { bytes, meaning: Arc::new(Meaning { head, children }) }
    }

    /// Scans one element as if it were on an open `jabber:client` stream whose header declared the
    /// prefix `stream`; for tests, stored rows and our own output.
    ///
    /// White space around it is ignored; anything else beside it is an error.
    pub fn parse(xml: impl Into<Bytes>) -> Result<Stanza, ScanError> {
        let bytes: Bytes = xml.into();
        let trimmed = bytes.trim_ascii();
        let bytes = bytes.slice_ref(trimmed);
        if bytes.first() != Some(&b'<') {
            return Err(ScanError::NotWellFormed);
        }
        let prefixes = [(CompactString::const_new("stream"), Namespace::Known(ns::STREAM))];
        let mut element = scan(&bytes, 2, &prefixes)?;
        let head = std::mem::take(&mut element.head);
        let children = std::mem::take(&mut element.children);
        Ok(Stanza::new(bytes, head, children))
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        self.meaning.head.kind
    }

    /// The root's local name.
    pub fn name(&self) -> &str {
        &self.meaning.head.name
    }

    /// The root's namespace.
    pub fn ns(&self) -> &str {
        self.meaning.head.namespace.as_str()
    }

    /// `to`, unescaped and unparsed.
    pub fn to(&self) -> Option<&str> {
        self.value(self.meaning.head.to)
    }

    /// Whether there is a `to`, without reading it.
    pub fn is_addressed(&self) -> bool {
        !matches!(self.meaning.head.to, Value::Absent)
    }

    /// `from`, unescaped and unparsed.
    pub fn from(&self) -> Option<&str> {
        self.value(self.meaning.head.from)
    }

    /// `id`.
    pub fn id(&self) -> Option<&str> {
        self.value(self.meaning.head.id)
    }

    /// `type`.
    pub fn type_(&self) -> Option<&str> {
        self.value(self.meaning.head.type_)
    }

    /// `xml:lang`.
    pub fn lang(&self) -> Option<&str> {
        self.value(self.meaning.head.lang)
    }

    fn value(&self, value: Value) -> Option<&str> {
        match value {
            Value::Absent => None,
            Value::Plain(span) => Some(std::str::from_utf8(span.of(&self.bytes)).unwrap_or("")),
            Value::Decoded(span) => Some(
                self.meaning.head.decoded.get(span.start as usize..span.end as usize).unwrap_or(""),
            ),
        }
    }

    /// Returns any other attribute of the root by local name without namespace, such as
    /// `mechanism`, `h` or `previd` (rare; scans again).
    pub fn attr(&self, name: &str) -> Option<CompactString> {
        read::attribute(&self.bytes, name)
    }

    /// Direct children, in order.
    pub fn children(&self) -> &[Child] {
        &self.meaning.children
    }

    /// Returns the first child of that name and namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Child> {
        self.meaning.children.iter().find(|child| child.is(name, ns))
    }

    /// Whether there is such a child.
    pub fn has(&self, name: &str, ns: &str) -> bool {
        self.child(name, ns).is_some()
    }

    /// Returns a child's bytes, as they came (the default namespace may be inherited from the
    /// root).
    pub fn slice(&self, child: &Child) -> &[u8] {
        child.span().of(&self.bytes)
    }

    /// Returns the children of a child or of a deeper element, in order. It scans the whole stanza
    /// again, so call it for one child, not for each of many.
    ///
    /// The result can be used like the children of this stanza: with `slice`, `child_attr`,
    /// `text_of`, `payload` and this function.
    pub fn grandchildren(&self, child: &Child) -> Vec<Child> {
        let within = |c: &Child| child.start < c.start && c.end <= child.end;
        // The root is at depth 1; the children of an element with n ancestors are at n + 2.
        let depth = read::ancestors(&self.bytes, child.start).len() + 2;
        let prefixes =
            [(CompactString::from_utf8_lossy(self.prefix()), self.meaning.head.namespace.clone())];
        // The bytes have been scanned before, so this does not fail.
        scan(&self.bytes, depth, &prefixes)
            .map(|element| element.children.into_iter().filter(within).collect())
            .unwrap_or_default()
    }

    /// Returns the prefix of the root, if it is one of the stream header's.
    fn prefix(&self) -> &[u8] {
        let name = self.bytes.get(1..self.meaning.head.after_name as usize).unwrap_or_default();
        let length = if self.meaning.head.borrows { memchr::memchr(b':', name) } else { None };
        &name[..length.unwrap_or(0)]
    }

    /// The whole element's bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Returns the text directly inside the root (SASL payloads), unescaped.
    pub fn text(&self) -> CompactString {
        read::text(&self.bytes)
    }

    /// Returns the text directly inside a child, unescaped.
    pub fn text_of(&self, child: &Child) -> CompactString {
        read::text(self.slice(child))
    }

    /// Returns the text of a child, unescaped: `stanza.child_text("body", ns::CLIENT)`.
    pub fn child_text(&self, name: &str, ns: &str) -> Option<CompactString> {
        self.child(name, ns).map(|child| self.text_of(child))
    }

    /// Returns an attribute of a child, unescaped.
    pub fn child_attr(&self, child: &Child, attr: &str) -> Option<CompactString> {
        read::attribute(self.slice(child), attr)
    }

    /// Reads a child as its typed payload; a payload that does not fit its schema is `bad-request`.
    pub fn payload<T: Payload>(&self, child: &Child) -> Result<T, StanzaError> {
        payload::payload(self, child)
    }

    /// Returns the start tags around an element of this stanza on which names in it may depend.
    pub(crate) fn scope_of(&self, child: &Child) -> Vec<Cow<'_, [u8]>> {
        if !self.meaning.head.scoped
            && self.meaning.children.iter().any(|direct| direct.start == child.start)
        {
            return Vec::new();
        }
        let mut tags: Vec<_> =
            read::ancestors(&self.bytes, child.start).into_iter().map(Cow::Borrowed).collect();
        if let Some(root) = tags.first_mut()
            && self.meaning.head.borrows
        {
            // The stream header is not here to declare the prefix.
            let mut declaration = b" xmlns:".to_vec();
            declaration.extend_from_slice(self.prefix());
            declaration.extend_from_slice(b"='");
            crate::write::escape(&mut declaration, self.ns());
            declaration.push(b'\'');
            let at = self.meaning.head.after_name as usize;
            root.to_mut().splice(at..at, declaration);
        }
        tags
    }

    pub(crate) fn head(&self) -> &Head {
        &self.meaning.head
    }
}

impl Child {
    /// Local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Resolved namespace.
    pub fn ns(&self) -> &str {
        self.namespace.as_str()
    }

    /// Whether it has this name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns() == ns
    }

    pub(crate) fn span(&self) -> Span {
        Span { start: self.start, end: self.end }
    }
}

/// Scans exactly one element, listing the elements at depth `list`.
fn scan(
    bytes: &[u8],
    list: usize,
    prefixes: &[(CompactString, Namespace)],
) -> Result<Element, ScanError> {
    if bytes.len() > Limits::OWN.bytes {
        return Err(ScanError::TooBig);
    }
    text(bytes)?;
    let limits = Limits::OWN;
    let place = Surroundings { content: ns::CLIENT, prefixes, limits, list, header: false };
    let mut element = Element::new();
    match element.read(bytes, &place)? {
        Some(Done::Element) if element.length() == bytes.len() => Ok(element),
        _ => Err(ScanError::NotWellFormed),
    }
}

impl fmt::Debug for Stanza {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stanza")
            .field("name", &self.name())
            .field("ns", &self.ns())
            .field("type", &self.type_())
            .field("children", &self.meaning.children)
            .finish_non_exhaustive()
    }
}

impl TryFrom<&str> for Stanza {
    type Error = ScanError;

    fn try_from(xml: &str) -> Result<Stanza, ScanError> {
        Stanza::parse(Bytes::copy_from_slice(xml.as_bytes()))
    }
}

/// Converts unescaped text to the type that this module returns.
pub(crate) fn compact(text: Cow<'_, str>) -> CompactString {
    CompactString::from(text)
}

#[cfg(test)]
mod tests;
