//! What rxml reads in a stream, with the span of every element.

use rxml::{Event, Namespace, Options, Parse, Parser, WithOptions};

/// An element that rxml has read whole.
#[derive(Debug, Default, PartialEq)]
pub struct Element {
    /// Its local name.
    pub name: String,
    /// Its namespace.
    pub ns: String,
    /// Namespace, name and value of each attribute.
    pub attributes: Vec<(String, String, String)>,
    /// Offset of its `<`.
    pub start: usize,
    /// Offset after its end.
    pub end: usize,
    /// The text directly inside it.
    pub text: String,
    /// The elements directly inside it.
    pub children: Vec<Element>,
}

impl Element {
    /// Takes another name for a namespace, in everything that it is made of.
    pub fn respell(&mut self, ns: &str, name: &str) {
        let of_attributes = self.attributes.iter_mut().map(|(ns, _, _)| ns);
        for of in std::iter::once(&mut self.ns).chain(of_attributes).filter(|of| *of == ns) {
            name.clone_into(of);
        }
        self.children.iter_mut().for_each(|child| child.respell(ns, name));
    }

    /// Moves it to another place in a stream.
    pub fn shift(&mut self, by: isize) {
        self.start = self.start.saturating_add_signed(by);
        self.end = self.end.saturating_add_signed(by);
        self.children.iter_mut().for_each(|child| child.shift(by));
    }

    /// An attribute's value.
    pub fn attribute(&self, ns: &str, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(n, l, _)| n == ns && l == name);
        found.map(|(_, _, value)| value.as_str())
    }

    /// How many elements it is made of.
    pub fn count(&self) -> usize {
        1 + self.children.iter().map(Element::count).sum::<usize>()
    }

    /// How deep it goes.
    pub fn depth(&self) -> usize {
        1 + self.children.iter().map(Element::depth).max().unwrap_or(0)
    }
}

/// A stream as rxml reads it.
#[derive(Debug, Default)]
pub struct Reading {
    /// The stream's own element, which ends with its start tag; its children are in `elements`.
    pub root: Option<Element>,
    /// The elements of depth 1 that are complete.
    pub elements: Vec<Element>,
    /// Before how many elements of depth 1 there stood text other than white space.
    pub texts: Vec<usize>,
    /// Whether the stream has ended.
    pub closed: bool,
}

impl Reading {
    /// Whether text stands where the frame of this number (the header's is 0) was expected.
    pub fn text_at(&self, frame: usize) -> bool {
        self.texts.iter().any(|text| text + 1 == frame)
    }
}

/// Reads as far as rxml accepts.
pub fn read(stream: &[u8]) -> Reading {
    // White space may be left over from a stream that was restarted; rxml knows no restarts.
    let skipped = stream.len() - stream.trim_ascii_start().len();
    let mut rest = &stream[skipped..];
    let options = Options { max_token_length: 1 << 20, ..Options::default() };
    let mut parser = Parser::with_options(options);
    let mut reading = Reading::default();
    let mut open: Vec<Element> = Vec::new();
    while let Ok(Some(event)) = parser.parse(&mut rest, false) {
        // rxml reads no further than the end of a tag before it reports the tag. (Its own
        // measurements leave out an empty CDATA section.)
        let at = stream.len() - rest.len();
        match event {
            Event::XmlDeclaration(..) => {}
            Event::StartElement(_, (ns, name), attributes) => {
                // There is no other `<` in a tag.
                let start = stream[..at].iter().rposition(|b| *b == b'<').unwrap_or(0);
                let attributes = attributes
                    .into_iter()
                    .map(|((ns, name), value)| (text(&ns), name.to_string(), value))
                    .collect();
                let element = Element {
                    name: name.to_string(),
                    ns: text(&ns),
                    attributes,
                    start,
                    ..Element::default()
                };
                if reading.root.is_none() {
                    reading.root = Some(Element { end: at, ..element });
                } else {
                    open.push(element);
                }
            }
            Event::Text(_, text) => match open.last_mut() {
                Some(element) => element.text.push_str(&text),
                None if text.trim_ascii().is_empty() => {}
                None => reading.texts.push(reading.elements.len()),
            },
            Event::EndElement(_) => match open.pop() {
                Some(mut element) => {
                    element.end = at;
                    match open.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => reading.elements.push(element),
                    }
                }
                None => {
                    reading.closed = true;
                    return reading;
                }
            },
        }
    }
    reading
}

fn text(ns: &Namespace<'static>) -> String {
    ns.as_str().to_owned()
}
