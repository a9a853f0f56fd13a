//! RFC 6120, 4.7 and 11.5: the stream header, and the XML declaration before it.

use compact_str::CompactString;

use super::chars;
use super::element::{declaration as declared_namespace, declared, text};
use super::tag::Tag;
use super::{Body, Root, StreamHeader};
use crate::name::Namespace;
use crate::{ScanError, ns};

/// The most bytes of a declaration: more than any valid one has.
const MAX_DECLARATION: usize = 256;

/// Reads the XML declaration at the start of `bytes`: returns its length, or `None` if it is
/// incomplete.
pub(super) fn declaration(bytes: &[u8]) -> Result<Option<usize>, ScanError> {
    const START: &[u8] = b"<?xml";
    if !START.starts_with(&bytes[..bytes.len().min(START.len())]) {
        // This is another processing instruction.
        return Err(ScanError::Restricted);
    }
    let window = &bytes[..bytes.len().min(MAX_DECLARATION)];
    let Some(close) = memchr::memchr(b'>', window) else {
        let never = window.len() == MAX_DECLARATION;
        return if never { Err(ScanError::NotWellFormed) } else { Ok(None) };
    };
    let Some(end) = close.checked_sub(1).filter(|end| window[*end] == b'?') else {
        return Err(ScanError::NotWellFormed);
    };

    let mut rest = window.get(START.len()..end).ok_or(ScanError::NotWellFormed)?;
    for (name, required) in [("version", true), ("encoding", false), ("standalone", false)] {
        let Some((value, after)) = pseudo_attribute(rest, name) else {
            if required {
                return Err(ScanError::NotWellFormed);
            }
            continue;
        };
        rest = after;
        match name {
            "version" if value != b"1.0" => return Err(ScanError::Restricted),
            "encoding" if !value.eq_ignore_ascii_case(b"utf-8") => return Err(ScanError::Encoding),
            "standalone" if value != b"yes" => return Err(ScanError::Restricted),
            _ => {}
        }
    }
    if !trim(rest).is_empty() {
        return Err(ScanError::NotWellFormed);
    }
    Ok(Some(end + 2))
}

/// Reads ` name='value'`: returns the value, and what follows.
fn pseudo_attribute<'a>(bytes: &'a [u8], name: &str) -> Option<(&'a [u8], &'a [u8])> {
    let rest = trim(bytes);
    if rest.len() == bytes.len() {
        return None;
    }
    let rest = trim(rest.strip_prefix(name.as_bytes())?);
    let rest = trim(rest.strip_prefix(b"=")?);
    let (quote, rest) = rest.split_first().filter(|(q, _)| matches!(q, b'\'' | b'"'))?;
    let end = memchr::memchr(*quote, rest)?;
    Some((&rest[..end], &rest[end + 1..]))
}

fn trim(bytes: &[u8]) -> &[u8] {
    let space = bytes.iter().take_while(|b| chars::is(**b, chars::SPACE)).count();
    &bytes[space..]
}

/// What a start tag declares.
struct Declared {
    /// The default namespace.
    default: Option<Namespace>,
    prefixes: Vec<(CompactString, Namespace)>,
}

impl Declared {
    /// Reads the declarations of a tag, and checks that its attributes are unique and their prefixes
    /// declared here.
    fn by(tag: &Tag, bytes: &[u8]) -> Result<Declared, ScanError> {
        let mut found = Declared { default: None, prefixes: Vec::new() };
        for (i, attribute) in tag.attributes.iter().enumerate() {
            let name = attribute.name;
            let twice =
                |other: &super::tag::Attribute| other.name.span.of(bytes) == name.span.of(bytes);
            if tag.attributes[..i].iter().any(twice) {
                return Err(ScanError::NotWellFormed);
            }
            if let Some(prefix) = declared(name, bytes) {
                let namespace = declared_namespace(attribute, prefix, bytes)?;
                if prefix.len() == 0 {
                    found.default = Some(namespace);
                } else {
                    let prefix = CompactString::new(text(prefix.of(bytes))?);
                    found.prefixes.push((prefix, namespace));
                }
            }
        }
        for (i, attribute) in tag.attributes.iter().enumerate() {
            let name = attribute.name;
            let Some(prefix) = name.prefix().map(|p| p.of(bytes)) else { continue };
            if prefix == b"xmlns" {
                continue;
            }
            let namespace = found.of_prefix(prefix).ok_or(ScanError::BadPrefix)?;
            let same = |other: &super::tag::Attribute| {
                other.name.local().of(bytes) == name.local().of(bytes)
                    && other
                        .name
                        .prefix()
                        .is_some_and(|p| found.of_prefix(p.of(bytes)) == Some(namespace))
            };
            if tag.attributes[..i].iter().any(same) {
                return Err(ScanError::NotWellFormed);
            }
        }
        Ok(found)
    }

    fn of_prefix(&self, prefix: &[u8]) -> Option<&str> {
        if prefix == b"xml" {
            return Some(ns::XML);
        }
        let known = self.prefixes.iter().find(|(known, _)| known.as_bytes() == prefix);
        known.map(|(_, namespace)| namespace.as_str())
    }

    /// Returns the namespace of the tag itself; nothing if none is declared.
    fn of_tag(&self, tag: &Tag, bytes: &[u8]) -> Result<Option<&str>, ScanError> {
        match tag.name.prefix().map(|p| p.of(bytes)) {
            None => Ok(self.default.as_ref().map(Namespace::as_str)),
            Some(prefix) => self.of_prefix(prefix).ok_or(ScanError::BadPrefix).map(Some),
        }
    }

    fn into_root(self, tag: &Tag, bytes: &[u8]) -> Result<Root, ScanError> {
        let name = CompactString::new(text(tag.name.span.of(bytes))?);
        Ok(Root { name, prefixes: self.prefixes.into() })
    }
}

/// Parses a start tag as a stream header. `bytes` has been checked to be UTF-8.
pub(super) fn read(
    tag: &Tag,
    bytes: &[u8],
    content: &'static str,
) -> Result<(StreamHeader, Root), ScanError> {
    let mut header = StreamHeader::default();
    let declared = Declared::by(tag, bytes)?;
    if declared.of_tag(tag, bytes)? != Some(ns::STREAM) {
        return Err(ScanError::InvalidNamespace);
    }
    // RFC 6120, 4.8.2: the content namespace is declared as the stream's default namespace.
    if declared.default.as_ref().is_none_or(|default| default.as_str() != content) {
        return Err(ScanError::InvalidNamespace);
    }
    if tag.name.local().of(bytes) != b"stream" || tag.empty {
        return Err(ScanError::BadFormat);
    }

    for attribute in &tag.attributes {
        let place = match attribute.name.span.of(bytes) {
            b"to" => &mut header.to,
            b"from" => &mut header.from,
            b"id" => &mut header.id,
            b"version" => &mut header.version,
            b"xml:lang" => &mut header.lang,
            _ => continue,
        };
        *place = Some(CompactString::from(chars::unescape_value(attribute.value.of(bytes))));
    }
    Ok((header, declared.into_root(tag, bytes)?))
}

/// Parses a start tag as that of a body of BOSH (XEP-0124, XEP-0206). `bytes` has been checked to be
/// UTF-8.
pub(super) fn read_body(tag: &Tag, bytes: &[u8]) -> Result<(Body, Root), ScanError> {
    let declared = Declared::by(tag, bytes)?;
    if declared.of_tag(tag, bytes)? != Some(ns::BOSH) {
        return Err(ScanError::InvalidNamespace);
    }
    if tag.name.local().of(bytes) != b"body" {
        return Err(ScanError::BadFormat);
    }
    let mut body = Body { is_empty: tag.empty, ..Body::default() };
    for attribute in &tag.attributes {
        let name = attribute.name;
        let namespace = name.prefix().map(|prefix| prefix.of(bytes));
        let namespace = namespace.and_then(|prefix| declared.of_prefix(prefix));
        let value = CompactString::from(chars::unescape_value(attribute.value.of(bytes)));
        match (namespace, name.local().of(bytes)) {
            (None, b"rid") => body.rid = value.parse().ok().filter(|rid| *rid <= Body::LAST_RID),
            (None, b"sid") => body.sid = Some(value),
            (None, b"to") => body.to = Some(value),
            (None, b"from") => body.from = Some(value),
            (None, b"type") => body.type_ = Some(value),
            (None, b"wait") => body.wait = value.parse().ok(),
            (None, b"hold") => body.hold = value.parse().ok(),
            (None, b"ack") => body.ack = value.parse().ok(),
            (Some(ns::XML), b"lang") => body.lang = Some(value),
            (Some(ns::XBOSH), b"version") => body.version = Some(value),
            (Some(ns::XBOSH), b"restart") => body.restart = matches!(&*value, "true" | "1"),
            _ => {}
        }
    }
    Ok((body, declared.into_root(tag, bytes)?))
}
