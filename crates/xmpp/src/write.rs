//! RFC 6120, 8 and 11: writing XML: escaping, small elements by hand, and the only rewriting of a
//! forwarded stanza.

use std::fmt;

use bytes::Bytes;

use crate::scanner::tag::Span;
use crate::{Kind, Stanza, scanner};

/// The class of a stanza: what a queue needs to know of it without parsing it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A message that is kept in the log if nobody takes it, with its number there, or 0 if it is
    /// in no log.
    Kept(u64),
    /// A message of the log that was handed out ahead of earlier ones, with its number.
    AheadOfLog(u64),
    /// A groupchat message.
    Groupchat,
    /// Any other message.
    Message,
    /// Presence.
    Presence,
    /// An iq get or set.
    IqRequest,
    /// An iq result or error.
    IqAnswer,
    /// An iq result that ends a page of the recipient's archive, with a number by which its session
    /// knows the page.
    ArchivePage(u64),
    /// Not a stanza: not counted by stream management.
    Nonza,
}

/// One encoded stanza, shared by every queue that holds it.
///
/// The root has neither `xmlns` nor (on broadcast presence) `to`, and always an end tag. So a
/// connection can insert what only it knows: attributes at `after_name`, children at `before_end`.
///
/// Its `Debug` shows no text, so that logs contain no messages.
#[derive(Clone)]
pub struct Outgoing {
    /// The encoded bytes.
    pub bytes: Bytes,
    /// Offset just after `<message`.
    pub after_name: u32,
    /// Offset of `</message>`.
    pub before_end: u32,
    /// The class.
    pub class: Class,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("class", &self.class)
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl Outgoing {
    /// Makes it from bytes that follow the rule above (a row of the log, or what [`Element`]
    /// wrote).
    ///
    /// Bytes that do not follow it are sent unchanged, with nothing inserted in the wrong place.
    pub fn from_encoded(kind: Kind, bytes: Bytes, class: Class) -> Outgoing {
        let name = match kind {
            Kind::Message => "message".len(),
            Kind::Presence => "presence".len(),
            Kind::Iq => "iq".len(),
            Kind::Other => {
                let ends = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b'/' | b'>');
                bytes.iter().position(ends).unwrap_or(1) - 1
            }
        };
        let after_name = (name + 1).min(bytes.len());
        let before_end = match memchr::memrchr(b'<', &bytes) {
            Some(at) if at >= after_name => at,
            _ => bytes.len(),
        };
        Outgoing { bytes, after_name: after_name as u32, before_end: before_end as u32, class }
    }

    /// Returns a copy with children added before the end tag.
    pub fn with_children(&self, children: &[u8]) -> Outgoing {
        let bytes = self.insert(self.before_end, children);
        let before_end = self.before_end.saturating_add(children.len() as u32);
        Outgoing { bytes, before_end, ..*self }
    }

    /// Returns a copy with attributes added after the name: ` to='bob@host'`.
    pub fn with_attributes(&self, attributes: &[u8]) -> Outgoing {
        let bytes = self.insert(self.after_name, attributes);
        let before_end = self.before_end.saturating_add(attributes.len() as u32);
        Outgoing { bytes, before_end, ..*self }
    }

    fn insert(&self, at: u32, more: &[u8]) -> Bytes {
        let (before, after) = self.bytes.split_at((at as usize).min(self.bytes.len()));
        let mut out = Vec::with_capacity(self.bytes.len() + more.len());
        out.extend_from_slice(before);
        out.extend_from_slice(more);
        out.extend_from_slice(after);
        Bytes::from(out)
    }
}

/// How a forwarded stanza is rewritten, in one copy.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rewrite<'a> {
    /// The sender's address, unescaped; replaces the present one. Empty: no `from` at all.
    pub from: &'a str,
    /// The stream's `xml:lang`, added if the stanza has none (RFC 6120, 4.7.4).
    pub lang: Option<&'a str>,
    /// The `to` to add if the stanza has none; an existing one is never rewritten.
    pub to: Option<&'a str>,
    /// Whether to leave out the present `to`: the stanza is stored, or goes to the bare address.
    pub drop_to: bool,
    /// Indices into `Stanza::children` to leave out.
    pub drop: &'a [usize],
    /// Children to append, already encoded.
    pub add: &'a [u8],
}

/// Rewrites a stanza: replaces `from`, drops the root's `xmlns`, leaves out and adds children, and
/// makes sure that there is an end tag. All other bytes stay as the sender wrote them.
pub fn rewrite(stanza: &Stanza, how: &Rewrite<'_>, class: Class) -> Outgoing {
    let bytes: &[u8] = stanza.bytes();
    let head = stanza.head();
    let slice = |from: u32, to: u32| bytes.get(from as usize..to as usize).unwrap_or_default();
    let addresses = how.from.len() + how.to.map_or(0, str::len) + how.lang.map_or(0, str::len);
    let mut out = Vec::with_capacity(bytes.len() + addresses + how.add.len() + 64);

    out.extend_from_slice(slice(0, head.after_name));
    if !how.from.is_empty() {
        attribute(&mut out, "from", how.from);
    }
    if let (false, Some(to)) = (stanza.is_addressed(), how.to) {
        attribute(&mut out, "to", to);
    }
    if let (None, Some(lang)) = (stanza.lang(), how.lang) {
        attribute(&mut out, "xml:lang", lang);
    }
    let to = if how.drop_to { head.to_attribute } else { Span::default() };
    let mut cuts = [head.from_attribute, head.default_declaration, to];
    cuts.sort_unstable_by_key(|cut| cut.start);
    let mut at = head.after_name;
    for cut in cuts {
        if cut.len() > 0 {
            out.extend_from_slice(slice(at, cut.start));
            at = cut.end;
        }
    }
    out.extend_from_slice(slice(at, head.attributes_end));
    out.push(b'>');

    // Sorted, so the cost is not quadratic even if every child is left out.
    let mut dropped = how.drop.to_vec();
    dropped.sort_unstable();
    dropped.dedup();
    let mut at = head.tag_end;
    for child in dropped.into_iter().filter_map(|i| stanza.children().get(i)) {
        let span = child.span();
        append(&mut out, slice(at, span.start));
        at = span.end;
    }
    append(&mut out, slice(at, head.end_tag));
    out.extend_from_slice(how.add);
    let before_end = out.len() as u32;
    out.extend_from_slice(b"</");
    out.extend_from_slice(slice(1, head.after_name));
    out.push(b'>');

    Outgoing { bytes: Bytes::from(out), after_name: head.after_name, before_end, class }
}

/// Appends text and elements as they came: text on both sides of an element that is left out must not
/// join into `]]>`.
pub(crate) fn append(out: &mut Vec<u8>, text: &[u8]) {
    let joined = [b"]".as_slice(), b"]]"].into_iter().find_map(|begun| {
        let rest = b"]]>".get(begun.len()..)?;
        (out.ends_with(begun) && text.starts_with(rest)).then_some(rest)
    });
    match joined {
        Some(rest) => {
            out.extend_from_slice(&rest[..rest.len() - 1]);
            out.extend_from_slice(b"&gt;");
            out.extend_from_slice(&text[rest.len()..]);
        }
        None => out.extend_from_slice(text),
    }
}

/// Appends `text` escaped for an attribute in single quotes or for content.
///
/// The result is always well-formed: a character that XML cannot represent becomes U+FFFD.
pub fn escape(out: &mut Vec<u8>, text: &str) {
    escape_as(out, text, true);
}

/// Escapes text; in content, unlike in an attribute, a line end stays as it is.
fn escape_as(out: &mut Vec<u8>, text: &str, value: bool) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (i, &b) in bytes.iter().enumerate() {
        let (instead, length): (&[u8], usize) = match b {
            b'&' => (b"&amp;", 1),
            b'<' => (b"&lt;", 1),
            b'>' => (b"&gt;", 1),
            b'\'' => (b"&apos;", 1),
            b'"' => (b"&quot;", 1),
            b'\r' => (b"&#13;", 1),
            b'\n' if value => (b"&#10;", 1),
            b'\t' if value => (b"&#9;", 1),
            b'\t' | b'\n' => continue,
            0..0x20 => ("\u{FFFD}".as_bytes(), 1),
            0xEF if scanner::chars::is_noncharacter(&bytes[i..]) => ("\u{FFFD}".as_bytes(), 3),
            _ => continue,
        };
        out.extend_from_slice(&bytes[copied..i]);
        out.extend_from_slice(instead);
        copied = i + length;
    }
    out.extend_from_slice(&bytes[copied..]);
}

pub(crate) fn attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape(out, value);
    out.push(b'\'');
}

/// Room for the end tags that follow a long text, so that it is not moved for them.
const END_TAGS: usize = 64;

/// Writes one element by hand; texts are escaped.
///
/// ```
/// # use whoelse_xmpp::Element;
/// let ping = Element::new("iq").attr("type", "get").child(Element::new("ping").xmlns("urn:xmpp:ping"));
/// assert_eq!(ping.finish(), "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>");
/// ```
///
/// Attributes come first: one that is added after a child or text is a programming error and is
/// left out.
#[derive(Debug, Clone)]
pub struct Element {
    buf: Vec<u8>,
    name: &'static str,
    /// Whether the start tag is still open.
    in_tag: bool,
}

impl Element {
    /// Starts `<name`.
    pub fn new(name: &'static str) -> Element {
        let mut buf = Vec::with_capacity(128);
        buf.push(b'<');
        buf.extend_from_slice(name.as_bytes());
        Element { buf, name, in_tag: true }
    }

    /// ` xmlns='…'`.
    #[must_use]
    pub fn xmlns(self, ns: &str) -> Element {
        self.attr("xmlns", ns)
    }

    /// Adds one attribute.
    #[must_use]
    pub fn attr(mut self, name: &'static str, value: &str) -> Element {
        debug_assert!(self.in_tag, "attribute {name} after the content of {}", self.name);
        if self.in_tag {
            attribute(&mut self.buf, name, value);
        }
        self
    }

    /// Adds one attribute, if there is a value.
    #[must_use]
    pub fn attr_opt(self, name: &'static str, value: Option<&str>) -> Element {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// Adds a child.
    #[must_use]
    pub fn child(self, child: Element) -> Element {
        self.raw(&child.close())
    }

    /// Adds a child that has only text. For long lists: the text is copied once.
    #[must_use]
    pub fn text_child(mut self, name: &'static str, text: &str) -> Element {
        self.end_tag();
        self.buf.push(b'<');
        self.buf.extend_from_slice(name.as_bytes());
        let child = Element { buf: self.buf, name, in_tag: true };
        self.buf = child.text(text).close();
        self
    }

    /// Adds children that are already encoded.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Element {
        if !bytes.is_empty() {
            self.end_tag();
            // With room for the end tags, so that a long text is not moved for them.
            self.buf.reserve(bytes.len() + END_TAGS);
            self.buf.extend_from_slice(bytes);
        }
        self
    }

    /// Adds about `bytes` of children that `write` encodes in their place.
    #[must_use]
    pub fn raw_by(mut self, bytes: usize, write: impl FnOnce(&mut Vec<u8>)) -> Element {
        self.buf.reserve(bytes + END_TAGS);
        let (before, was_in_tag) = (self.buf.len(), self.in_tag);
        self.end_tag();
        let begun = self.buf.len();
        write(&mut self.buf);
        if self.buf.len() == begun {
            self.buf.truncate(before);
            self.in_tag = was_in_tag;
        }
        self
    }

    /// Adds text.
    #[must_use]
    pub fn text(mut self, text: &str) -> Element {
        if !text.is_empty() {
            self.end_tag();
            escape_as(&mut self.buf, text, false);
        }
        self
    }

    /// Returns the bytes; always with an end tag for `message`, `presence`, `iq`.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.close())
    }

    /// Returns the element as a stanza to send.
    pub fn outgoing(self, class: Class) -> Outgoing {
        let kind = match self.name {
            "message" => Kind::Message,
            "presence" => Kind::Presence,
            "iq" => Kind::Iq,
            _ => Kind::Other,
        };
        Outgoing::from_encoded(kind, self.finish(), class)
    }

    fn end_tag(&mut self) {
        if self.in_tag {
            self.buf.push(b'>');
            self.in_tag = false;
        }
    }

    fn close(mut self) -> Vec<u8> {
        if self.in_tag && !matches!(self.name, "message" | "presence" | "iq") {
            self.buf.extend_from_slice(b"/>");
            return self.buf;
        }
        self.end_tag();
        self.buf.extend_from_slice(b"</");
        self.buf.extend_from_slice(self.name.as_bytes());
        self.buf.push(b'>');
        self.buf
    }
}

#[cfg(test)]
mod tests;
