//! One element of depth 1, from `<` to the `>` of its end, with its names resolved.
//!
//! Every decision depends only on the bytes before it, so it does not matter how they were split
//! into reads.

use compact_str::CompactString;
use smallvec::SmallVec;

use super::Limits;
use super::chars;
use super::tag::{Attribute, RawName, Span, Tag};
use crate::name::Namespace;
use crate::stanza::{Child, Head};
use crate::{ScanError, ns};

/// The most namespace declarations in force at once. A name is looked up among them one by one.
const MAX_DECLARATIONS: usize = 64;

const CDATA: &[u8] = b"<![CDATA[";

/// The context of the element: what it inherits from its stream, and its limits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// The stream's spelling of the content namespace, which is its default namespace.
    pub(crate) content: &'static str,
    /// The prefixes that the stream header declared.
    pub(crate) prefixes: &'a [(CompactString, Namespace)],
    /// The limits of the element.
    pub(crate) limits: Limits,
    /// The depth whose elements are listed: 2 for the children of the root.
    pub(crate) list: usize,
    /// Whether a stream header is expected, which has no end tag yet.
    pub(crate) header: bool,
}

/// RFC 6120, 4.8.2: the content namespace in the spelling in which every stanza is returned.
/// Streams between servers spell it `jabber:server` and mean the same stanzas.
const CONTENT: Namespace = Namespace::Known(ns::CLIENT);

// Both spellings have the same length, so one overwrites the other in place.
const _: () = assert!(ns::CLIENT.len() == ns::SERVER.len());

impl Surroundings<'_> {
    /// Whether this is the content namespace in a spelling that has to be replaced.
    fn respells(&self, declared: &Namespace) -> bool {
        declared.as_str() == self.content && self.content != ns::CLIENT
    }
}

/// What ended.
#[derive(Debug)]
pub(crate) enum Done {
    /// A start tag at depth 0, where a stream header was awaited.
    Header,
    /// A whole element.
    Element,
    /// An end tag at depth 0.
    Close,
}

/// An open element.
#[derive(Debug, Clone, Copy)]
struct Open {
    name: Span,
    /// How many declarations are in force outside it.
    scope: u32,
}

/// A namespace declaration in force.
#[derive(Debug)]
struct Declaration {
    /// The prefix; empty for the default namespace.
    prefix: Span,
    namespace: Namespace,
}

#[derive(Debug, Clone, Copy)]
enum Mode {
    /// In text, which was searched for `<` up to this offset.
    Text(u32),
    /// At a `<`.
    Markup,
    /// In a tag.
    Tag,
    /// In a CDATA section, which was searched for its end up to this offset.
    Cdata(u32),
}

/// An element, as far as it has been read. Offsets count from its `<`.
#[derive(Debug)]
pub(crate) struct Element {
    /// Where the token that is being read begins.
    at: u32,
    mode: Mode,
    pub(crate) tag: Tag,
    elements: usize,
    open: SmallVec<[Open; 8]>,
    scope: SmallVec<[Declaration; 8]>,
    pub(crate) head: Head,
    pub(crate) children: SmallVec<[Child; 4]>,
    /// The offsets of namespace names that have to be respelled.
    respelled: Vec<u32>,
}

impl Element {
    /// Starts an element, whose `<` is the first byte to be read.
    pub(crate) fn new() -> Element {
        Element {
            at: 0,
            mode: Mode::Markup,
            tag: Tag::new(1, false),
            elements: 0,
            open: SmallVec::new(),
            scope: SmallVec::new(),
            head: Head::default(),
            children: SmallVec::new(),
            respelled: Vec::new(),
        }
    }

    /// Its length in bytes, once it is complete.
    pub(crate) fn length(&self) -> usize {
        self.at as usize
    }

    /// Reads on. `bytes` begins with the element's `<`, contains what it contained before and more,
    /// and is shorter than 4 GiB. `None` when more bytes are needed.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        place: &Surroundings<'_>,
    ) -> Result<Option<Done>, ScanError> {
        loop {
            let rest = bytes.get(self.at as usize..).unwrap_or_default();
            match self.mode {
                Mode::Text(searched) => {
                    let unseen = bytes.get(searched as usize..).unwrap_or_default();
                    let Some(found) = memchr::memchr(b'<', unseen) else {
                        self.mode = Mode::Text(bytes.len() as u32);
                        return Ok(None);
                    };
                    let end = searched + found as u32;
                    chars::check_text(Span { start: self.at, end }.of(bytes))?;
                    self.at = end;
                    self.mode = Mode::Markup;
                }
                Mode::Markup => match rest.get(1) {
                    None => return Ok(None),
                    Some(b'/') => {
                        self.tag.reset(self.at + 2, true);
                        self.mode = Mode::Tag;
                    }
                    Some(b'!') => {
                        // Comments, document types: anything that is not character data.
                        let begun = &rest[..rest.len().min(CDATA.len())];
                        if self.open.is_empty() || !CDATA.starts_with(begun) {
                            return Err(ScanError::Restricted);
                        }
                        if begun.len() < CDATA.len() {
                            return Ok(None);
                        }
                        self.at += CDATA.len() as u32;
                        self.mode = Mode::Cdata(self.at);
                    }
                    Some(b'?') => return Err(ScanError::Restricted),
                    Some(_) => {
                        self.tag.reset(self.at + 1, false);
                        self.mode = Mode::Tag;
                    }
                },
                Mode::Cdata(searched) => {
                    let unseen = bytes.get(searched as usize..).unwrap_or_default();
                    let Some(found) = memchr::memmem::find(unseen, b"]]>") else {
                        // The last two bytes may be the beginning of the section's end.
                        let searched = (bytes.len() as u32).saturating_sub(2).max(self.at);
                        self.mode = Mode::Cdata(searched);
                        return Ok(None);
                    };
                    let end = searched + found as u32;
                    chars::check_cdata(Span { start: self.at, end }.of(bytes))?;
                    self.at = end + 3;
                    self.mode = Mode::Text(self.at);
                }
                Mode::Tag => {
                    if !self.tag.read(bytes)? {
                        return Ok(None);
                    }
                    let start = self.at;
                    self.at = self.tag.at;
                    self.mode = Mode::Text(self.at);
                    if self.open.is_empty() && self.tag.closes {
                        return Ok(Some(Done::Close));
                    }
                    if self.open.is_empty() && place.header {
                        return Ok(Some(Done::Header));
                    }
                    if !self.tag.closes {
                        self.start(bytes, start, place)?;
                    }
                    if self.tag.closes || self.tag.empty {
                        self.end(bytes, start, place)?;
                        if self.open.is_empty() {
                            return Ok(Some(Done::Element));
                        }
                    }
                }
            }
        }
    }

    /// Handles a start tag, which began at `start` and has just been read.
    fn start(
        &mut self,
        bytes: &[u8],
        start: u32,
        place: &Surroundings<'_>,
    ) -> Result<(), ScanError> {
        self.elements += 1;
        let depth = self.open.len() + 1;
        if self.elements > place.limits.elements || depth > place.limits.depth.min(Limits::DEEPEST)
        {
            return Err(ScanError::TooBig);
        }
        let name = self.tag.name;
        self.open.push(Open { name: name.span, scope: self.scope.len() as u32 });
        self.check_attributes(bytes, place)?;

        if depth == 1 {
            let prefix = name.prefix().map(|prefix| prefix.of(bytes));
            let namespace = match prefix {
                None => self.default_namespace(),
                Some(prefix) => self.root_namespace(prefix, bytes, place)?,
            };
            if name.prefix().is_some() && namespace.as_str() == ns::CLIENT {
                // RFC 6120, 4.8.5: the content namespace has no prefix, and programs that forward
                // the stanza may rely on this.
                return Err(ScanError::BadPrefix);
            }
            let local = text(name.local().of(bytes))?;
            self.head = Head::new(bytes, &self.tag, local, namespace);
            self.head.borrows = prefix.is_some_and(|prefix| self.namespace(prefix, bytes).is_err());
            self.head.scoped = self.scope.iter().any(|d| d.prefix.len() > 0)
                || self.head.namespace.as_str() != ns::CLIENT;
            return Ok(());
        }
        if depth == place.list {
            let namespace = match name.prefix() {
                None => self.default_namespace(),
                Some(prefix) => self.namespace(prefix.of(bytes), bytes)?.clone(),
            };
            let local = CompactString::new(text(name.local().of(bytes))?);
            self.children.push(Child { name: local, namespace, start, end: start });
        } else if let Some(prefix) = name.prefix() {
            self.namespace(prefix.of(bytes), bytes)?;
        }
        Ok(())
    }

    /// Ends the innermost element, with the tag that began at `start` and has just been read.
    fn end(&mut self, bytes: &[u8], start: u32, place: &Surroundings<'_>) -> Result<(), ScanError> {
        let depth = self.open.len();
        let Some(open) = self.open.pop() else { return Err(ScanError::NotWellFormed) };
        if self.tag.closes && open.name.of(bytes) != self.tag.name.span.of(bytes) {
            return Err(ScanError::NotWellFormed);
        }
        self.scope.truncate(open.scope as usize);
        if depth == place.list
            && let Some(child) = self.children.last_mut()
        {
            child.end = self.at;
        }
        if depth == 1 {
            self.head.end_tag = if self.tag.empty { self.at } else { start };
        }
        Ok(())
    }

    /// Enters the declarations of the tag that was just read, and checks that its attributes are
    /// unique and their prefixes declared.
    fn check_attributes(
        &mut self,
        bytes: &[u8],
        place: &Surroundings<'_>,
    ) -> Result<(), ScanError> {
        let mut prefixed = false;
        for (i, attribute) in self.tag.attributes.iter().enumerate() {
            let name = attribute.name.span;
            for before in &self.tag.attributes[..i] {
                let other = before.name.span;
                if other.len() == name.len() && other.of(bytes) == name.of(bytes) {
                    return Err(ScanError::NotWellFormed);
                }
            }
            match declared(attribute.name, bytes) {
                Some(prefix) => {
                    if self.scope.len() == MAX_DECLARATIONS {
                        return Err(ScanError::TooBig);
                    }
                    let mut namespace = declaration(attribute, prefix, bytes)?;
                    if place.respells(&namespace) {
                        namespace = CONTENT;
                        self.respelled.push(attribute.value.start);
                    }
                    self.scope.push(Declaration { prefix, namespace });
                }
                None => prefixed |= attribute.name.prefix().is_some(),
            }
        }
        if prefixed { self.check_prefixed(bytes) } else { Ok(()) }
    }

    /// Namespaces in XML, 6.3: checks that no two attributes have the same name, whatever their
    /// prefixes.
    fn check_prefixed(&self, bytes: &[u8]) -> Result<(), ScanError> {
        let mut seen: SmallVec<[(&[u8], &str); 4]> = SmallVec::new();
        for attribute in &self.tag.attributes {
            let Some(prefix) = attribute.name.prefix() else { continue };
            if declared(attribute.name, bytes).is_some() {
                continue;
            }
            let namespace = match prefix.of(bytes) {
                b"xml" => ns::XML,
                prefix => self.namespace(prefix, bytes)?.as_str(),
            };
            let local = attribute.name.local().of(bytes);
            if seen.contains(&(local, namespace)) {
                return Err(ScanError::NotWellFormed);
            }
            seen.push((local, namespace));
        }
        Ok(())
    }

    /// Returns the namespace of a prefix inside this element.
    fn namespace(&self, prefix: &[u8], bytes: &[u8]) -> Result<&Namespace, ScanError> {
        self.scope
            .iter()
            .rev()
            .find(|d| d.prefix.of(bytes) == prefix)
            .map(|d| &d.namespace)
            .ok_or(ScanError::BadPrefix)
    }

    /// Returns the namespace of the prefix of the root's own name. Only here do the prefixes of the
    /// stream header count, because such an element is never forwarded.
    fn root_namespace(
        &self,
        prefix: &[u8],
        bytes: &[u8],
        place: &Surroundings<'_>,
    ) -> Result<Namespace, ScanError> {
        if let Ok(namespace) = self.namespace(prefix, bytes) {
            return Ok(namespace.clone());
        }
        let declared = place.prefixes.iter().find(|(declared, _)| declared.as_bytes() == prefix);
        match declared {
            Some((_, namespace)) if place.respells(namespace) => Ok(CONTENT),
            Some((_, namespace)) => Ok(namespace.clone()),
            None => Err(ScanError::BadPrefix),
        }
    }

    fn default_namespace(&self) -> Namespace {
        let declared = self.scope.iter().rev().find(|d| d.prefix.len() == 0);
        declared.map_or(CONTENT, |d| d.namespace.clone())
    }

    /// Replaces the spelling of the content namespace in the bytes of the whole element. No offset
    /// changes.
    pub(crate) fn respell(&self, bytes: &mut [u8]) {
        for start in &self.respelled {
            let start = *start as usize;
            if let Some(name) = bytes.get_mut(start..start + ns::SERVER.len()) {
                name.copy_from_slice(ns::CLIENT.as_bytes());
            }
        }
    }
}

/// Returns the prefix that an attribute of this name declares, if it is a declaration; empty for
/// `xmlns`.
pub(crate) fn declared(name: RawName, bytes: &[u8]) -> Option<Span> {
    match name.prefix() {
        None if name.span.of(bytes) == b"xmlns" => {
            Some(Span { start: name.span.start, end: name.span.start })
        }
        Some(prefix) if prefix.of(bytes) == b"xmlns" => Some(name.local()),
        _ => None,
    }
}

/// Checks a declaration by the constraints of Namespaces in XML, 3.
pub(crate) fn declaration(
    attribute: &Attribute,
    prefix: Span,
    bytes: &[u8],
) -> Result<Namespace, ScanError> {
    if !attribute.plain {
        // `urn:xmpp&#58;carbons:2` means the same as the plain spelling, and attackers have used it
        // to deceive filters that compare bytes.
        return Err(ScanError::Restricted);
    }
    let name = attribute.value.of(bytes);
    let reserved = matches!(prefix.of(bytes), b"xml" | b"xmlns");
    let undeclares = prefix.len() > 0 && name.is_empty();
    if reserved || undeclares || name == ns::XML.as_bytes() || name == ns::XMLNS.as_bytes() {
        return Err(ScanError::BadPrefix);
    }
    match Namespace::known(name) {
        Some(known) => Ok(known),
        None => text(name).map(Namespace::new),
    }
}

/// Converts bytes to text (RFC 6120, 11.6).
pub(crate) fn text(bytes: &[u8]) -> Result<&str, ScanError> {
    std::str::from_utf8(bytes).map_err(|_| ScanError::Encoding)
}
