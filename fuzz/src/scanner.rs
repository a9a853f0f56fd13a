//! XML 1.0 and Namespaces in XML: our scanner against rxml, a conforming parser.
//!
//! Whatever our scanner accepts, rxml must accept, and mean the same by it: names, namespaces,
//! attribute values, texts, and where each child begins and ends. What only rxml accepts must be
//! something that we refuse on purpose (`refused`). How the bytes were cut into reads
//! must not matter. The content namespace of a stream between servers is handed on as that of
//! clients, and nothing else is changed.

pub(crate) mod grammar;
pub(crate) mod oracle;
mod refused;

use std::borrow::Cow;

use whoelse_xmpp::{Class, Frame, Kind, Limits, Rewrite, ScanError, Scanner, Stanza, ns, rewrite};

use crate::choices::Choices;
use oracle::{Element, Reading};

/// What the scanner makes of a stream.
struct Scanned {
    frames: Vec<Frame>,
    error: Option<ScanError>,
}

/// Describes a stream by `data`, or is one, and compares the two readers of it.
pub fn differential(data: &[u8]) {
    let mut choices = Choices::new(data);
    let limits = grammar::limits(&mut choices);
    let content = choices.pick(&[ns::CLIENT, ns::CLIENT, ns::SERVER]);
    let raw = choices.once_in(4);
    let cuts = usize::from(choices.byte());
    let stream = if raw {
        let mut stream = grammar::plain_header(content).into_bytes();
        stream.extend_from_slice(choices.rest());
        stream
    } else {
        grammar::stream(&mut choices, content, limits)
    };

    let whole = scan(&[&stream], content, limits);
    for read in [1, cuts % 16 + 1, cuts + 17] {
        let reads: Vec<_> = stream.chunks(read).collect();
        same(&whole, &scan(&reads, content, limits));
    }
    let mut reading = oracle::read(&stream);
    reading.elements.iter_mut().for_each(|element| element.respell(content, ns::CLIENT));
    compare(&stream, content, limits, &whole, &reading);
}

fn scan(reads: &[&[u8]], content: &'static str, limits: Limits) -> Scanned {
    let longest = reads.iter().map(|read| read.len()).max().unwrap_or(0);
    let mut scanner = Scanner::new(content, limits);
    let mut frames = Vec::new();
    for read in reads {
        scanner.push(read);
        loop {
            match scanner.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(scanner.next().err(), Some(error), "an error is for ever");
                    assert_eq!(scanner.buffered(), 0, "nothing is held after an error");
                    return Scanned { frames, error: Some(error) };
                }
            }
        }
        assert!(scanner.buffered() <= limits.bytes + longest, "the buffer has a bound");
    }
    Scanned { frames, error: None }
}

fn same(one: &Scanned, other: &Scanned) {
    assert_eq!(one.error, other.error, "cutting changes nothing");
    assert_eq!(one.frames.len(), other.frames.len(), "cutting changes nothing");
    for (one, other) in one.frames.iter().zip(&other.frames) {
        match (one, other) {
            (Frame::Open(one), Frame::Open(other)) => assert_eq!(one, other),
            (Frame::Close, Frame::Close) => {}
            (Frame::Element(one), Frame::Element(other)) => {
                assert_eq!(one.bytes(), other.bytes());
                assert_eq!(format!("{one:?}"), format!("{other:?}"));
            }
            _ => panic!("cutting changes nothing"),
        }
    }
}

/// Compares what the scanner found with what rxml read.
fn compare(stream: &[u8], content: &str, limits: Limits, scanned: &Scanned, reading: &Reading) {
    let mut elements = reading.elements.iter();
    for frame in &scanned.frames {
        match frame {
            Frame::Open(header) => {
                let Some(root) = &reading.root else { panic!("rxml accepts the header") };
                assert_eq!((root.name.as_str(), root.ns.as_str()), ("stream", ns::STREAM));
                assert_eq!(header.to.as_deref(), root.attribute("", "to"));
                assert_eq!(header.from.as_deref(), root.attribute("", "from"));
                assert_eq!(header.id.as_deref(), root.attribute("", "id"));
                assert_eq!(header.version.as_deref(), root.attribute("", "version"));
                assert_eq!(header.lang.as_deref(), root.attribute(ns::XML, "lang"));
            }
            Frame::Body(_) => panic!("a stream has no bodies"),
            Frame::Element(stanza) => {
                let Some(element) = elements.next() else { panic!("rxml accepts the element") };
                let stream = handed_on(stream, content, stanza, element);
                compare_element(&stream, stanza, element);
                check_rewrite(stanza);
            }
            Frame::Close => {
                assert!(reading.closed, "rxml sees the end");
                assert!(elements.next().is_none());
                return;
            }
        }
    }
    match scanned.error {
        Some(error) if reading.root.is_none() || scanned.frames.is_empty() => {
            // A header that rxml reads may be refused for what it says.
            if let Some(root) = &reading.root {
                refused::check_header(error, stream, root, limits);
            }
        }
        Some(error) => {
            let next = elements.next();
            if next.is_some() || reading.closed || reading.text_at(scanned.frames.len()) {
                refused::check(error, stream, next, reading, limits);
            }
        }
        None => {
            assert!(elements.next().is_none(), "the scanner finds every element");
            assert!(!reading.closed, "the scanner sees the end");
            assert!(reading.root.is_none() || !scanned.frames.is_empty(), "and the header");
        }
    }
}

/// The stream with an element as it was handed on, which is as it was, or with the content namespace
/// in another spelling and the same meaning.
fn handed_on<'s>(
    stream: &'s [u8],
    content: &str,
    stanza: &Stanza,
    element: &Element,
) -> Cow<'s, [u8]> {
    let (bytes, handed_on) = (&stream[element.start..element.end], &stanza.bytes()[..]);
    if content == ns::CLIENT {
        assert_eq!(bytes, handed_on, "the same bytes");
        return Cow::Borrowed(stream);
    }
    assert_eq!(bytes.len(), handed_on.len(), "every offset stays");
    let mut respelled = bytes.to_vec();
    for at in 0..bytes.len() {
        if handed_on[at..].starts_with(ns::CLIENT.as_bytes())
            && bytes[at..].starts_with(ns::SERVER.as_bytes())
        {
            respelled[at..at + ns::CLIENT.len()].copy_from_slice(ns::CLIENT.as_bytes());
        }
    }
    assert_eq!(respelled, handed_on, "nothing else is changed");
    if stanza.kind() != Kind::Other {
        let header = grammar::plain_header(ns::CLIENT).into_bytes();
        let mut again = oracle::read(&[&header, handed_on].concat());
        let Some(mut again) = again.elements.pop() else { panic!("rxml reads what is handed on") };
        again.shift(element.start as isize - header.len() as isize);
        assert_eq!(&again, element, "it means the same to a client");
    }
    Cow::Owned([&stream[..element.start], handed_on, &stream[element.end..]].concat())
}

fn compare_element(stream: &[u8], stanza: &Stanza, element: &Element) {
    assert_eq!((stanza.name(), stanza.ns()), (element.name.as_str(), element.ns.as_str()));
    assert_eq!(stanza.to(), element.attribute("", "to"));
    assert_eq!(stanza.from(), element.attribute("", "from"));
    assert_eq!(stanza.id(), element.attribute("", "id"));
    assert_eq!(stanza.type_(), element.attribute("", "type"));
    assert_eq!(stanza.lang(), element.attribute(ns::XML, "lang"));
    assert_eq!(stanza.text(), element.text);
    for (namespace, name, value) in &element.attributes {
        if namespace.is_empty() {
            assert_eq!(stanza.attr(name).as_deref(), Some(value.as_str()));
        }
    }
    let expected = match (stanza.name(), stanza.ns()) {
        ("message", ns::CLIENT) => Kind::Message,
        ("presence", ns::CLIENT) => Kind::Presence,
        ("iq", ns::CLIENT) => Kind::Iq,
        _ => Kind::Other,
    };
    assert_eq!(stanza.kind(), expected);

    assert_eq!(stanza.children().len(), element.children.len());
    for (child, other) in stanza.children().iter().zip(&element.children) {
        assert_eq!((child.name(), child.ns()), (other.name.as_str(), other.ns.as_str()));
        assert_eq!(stanza.slice(child), &stream[other.start..other.end]);
        assert_eq!(stanza.text_of(child), other.text);
        for (namespace, name, value) in &other.attributes {
            if namespace.is_empty() {
                assert_eq!(stanza.child_attr(child, name).as_deref(), Some(value.as_str()));
            }
        }
        let inner = stanza.grandchildren(child);
        let names = inner.iter().map(|c| (c.name(), c.ns()));
        let others = other.children.iter().map(|c| (c.name.as_str(), c.ns.as_str()));
        assert!(names.eq(others), "the same grandchildren");
    }
}

/// A rewritten stanza is well-formed by itself and says what the rewrite says, and nothing else is
/// changed.
fn check_rewrite(stanza: &Stanza) {
    if stanza.kind() == Kind::Other {
        return;
    }
    const FROM: &str = "alice@example.org/<'&\">";
    let how = Rewrite {
        from: FROM,
        lang: Some("en"),
        to: Some("bob@example.org"),
        drop_to: false,
        drop: &[1],
        add: b"<stanza-id xmlns='urn:xmpp:sid:0' id='1'/>",
    };
    let stored = rewrite(stanza, &Rewrite { drop_to: true, ..Rewrite::default() }, Class::Presence);
    let stored = Stanza::parse(stored.bytes);
    let Ok(stored) = stored else { panic!("without addresses it is well-formed: {stored:?}") };
    assert_eq!((stored.from(), stored.to()), (None, None));
    assert_eq!((stored.id(), stored.type_()), (stanza.id(), stanza.type_()));

    let out = rewrite(stanza, &how, Class::Message);

    let again = Stanza::parse(out.bytes.clone());
    let Ok(again) = again else { panic!("a rewritten stanza is well-formed: {again:?}") };
    assert_eq!(again.from(), Some(FROM));
    assert_eq!(again.to(), stanza.to().or(how.to));
    assert_eq!(again.lang(), stanza.lang().or(how.lang));
    assert_eq!(
        (again.kind(), again.id(), again.type_()),
        (stanza.kind(), stanza.id(), stanza.type_())
    );
    assert_eq!(again.text(), stanza.text());
    let kept =
        stanza.children().iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, child)| child);
    let mut others = again.children().iter();
    for child in kept {
        let Some(other) = others.next() else { panic!("a child is lost") };
        assert_eq!((child.name(), child.ns()), (other.name(), other.ns()));
        assert_eq!(stanza.slice(child), again.slice(other));
    }
    assert_eq!(others.next().map(|c| c.name()), Some("stanza-id"));
    assert!(others.next().is_none());
    assert!(out.bytes[..out.after_name as usize].ends_with(stanza.name().as_bytes()));
    assert!(out.bytes[out.before_end as usize..].starts_with(b"</"));
}
