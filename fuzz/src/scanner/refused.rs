//! What we refuse on purpose though XML allows it. Any other refusal is a fault.

use whoelse_xmpp::{Limits, ScanError, ns};

use super::oracle::{Element, Reading};

/// Panics unless there is a reason to refuse a header that rxml accepts.
pub fn check_header(error: ScanError, stream: &[u8], root: &Element, limits: Limits) {
    let is_stream = root.name == "stream" && root.ns == ns::STREAM;
    let reason = match error {
        // Another root, another content namespace, or none.
        ScanError::InvalidNamespace => true,
        // Another root, or one without content.
        ScanError::BadFormat => !is_stream || contains(stream, b"/>"),
        ScanError::TooBig => stream.len() >= limits.bytes || declarations(stream) > 60,
        // A longer reference than ours, a name that is not ASCII, a declaration made twice.
        ScanError::NotWellFormed => {
            !stream.is_ascii() || contains(stream, b"&#") || contains(stream, b"xmlns")
        }
        ScanError::Restricted => contains(stream, b"\r") || disguised(stream),
        ScanError::BadPrefix => reserved(stream),
        ScanError::Encoding => std::str::from_utf8(stream).is_err(),
    };
    assert!(reason, "{error:?} for a header that XML allows: {}", show(stream));
}

/// Panics unless there is a reason to refuse what rxml read next.
pub fn check(
    error: ScanError,
    stream: &[u8],
    next: Option<&Element>,
    reading: &Reading,
    limits: Limits,
) {
    // What stands between the last element that both accepted and the next.
    let before = reading.elements.iter().take_while(|e| next.is_none_or(|n| e.start < n.start));
    let last = before.last().or(reading.root.as_ref()).map_or(0, |element| element.end);
    let between = &stream[last..next.map_or(stream.len(), |element| element.start)];
    // Text that is a CDATA section, even an empty one.
    if error == ScanError::Restricted && contains(between, b"<![CDATA[") {
        return;
    }
    let Some(element) = next else {
        // Text, or the end of the stream, which rxml only accepts after the elements it accepted.
        assert!(
            error == ScanError::BadFormat || reading.closed && error == ScanError::TooBig,
            "{error:?}: {}",
            show(stream)
        );
        return;
    };
    let bytes = &stream[element.start..element.end];
    let reason = match error {
        ScanError::TooBig => {
            bytes.len() > limits.bytes
                || element.count() > limits.elements
                || element.depth() > limits.depth
                || bytes.iter().filter(|b| **b == b'=').count() > 64
        }
        ScanError::Restricted => contains(bytes, b"\r") || disguised(bytes),
        ScanError::BadPrefix => {
            let header = reading.root.as_ref().map_or(0, |root| root.end);
            reserved(bytes)
                || has_header_prefix(bytes, &stream[..header])
                || has_prefixed_root(bytes, element)
        }
        ScanError::NotWellFormed => {
            !bytes.is_ascii() || long_reference(bytes) || declarations(bytes) > 1
        }
        ScanError::BadFormat => reading.texts.iter().any(|before| {
            reading.elements.get(*before).is_some_and(|other| other.start == element.start)
        }),
        ScanError::InvalidNamespace | ScanError::Encoding => false,
    };
    assert!(reason, "{error:?} for an element that XML allows: {}", show(bytes));
}

/// A namespace that needs decoding to be compared.
fn disguised(bytes: &[u8]) -> bool {
    contains(bytes, b"xmlns")
        && (contains(bytes, b"&") || contains(bytes, b"\t") || contains(bytes, b"\n"))
}

/// A reserved prefix or namespace.
fn reserved(bytes: &[u8]) -> bool {
    contains(bytes, b"<xml:")
        || contains(bytes, b"xmlns:xml")
        || contains(bytes, ns::XML.as_bytes())
        || contains(bytes, ns::XMLNS.as_bytes())
}

/// A prefix that the header declares.
fn has_header_prefix(bytes: &[u8], header: &[u8]) -> bool {
    const DECLARATION: &[u8] = b"xmlns:";
    let declarations = header.windows(DECLARATION.len()).enumerate();
    declarations.filter(|(_, window)| *window == DECLARATION).any(|(at, _)| {
        let rest = &header[at + DECLARATION.len()..];
        let length = rest.iter().take_while(|b| !matches!(b, b'=' | b' ' | b'\t' | b'\n')).count();
        contains(bytes, &[&rest[..length], b":"].concat())
    })
}

/// The content namespace by a prefix.
fn has_prefixed_root(bytes: &[u8], element: &Element) -> bool {
    element.ns == ns::CLIENT && !bytes.starts_with(format!("<{}", element.name).as_bytes())
}

/// More digits than any character needs.
fn long_reference(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Some(at) = rest.windows(2).position(|w| w == b"&#") {
        rest = &rest[at + 2..];
        let digits = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        if digits > 7 {
            return true;
        }
    }
    false
}

fn declarations(bytes: &[u8]) -> usize {
    bytes.windows(5).filter(|w| w == b"xmlns").count()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
