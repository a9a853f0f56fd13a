//! XML as scenes compare it: a tree of names, namespaces, attributes and text.
//!
//! It is read with rxml and not with our own scanner, so that an independent parser judges the
//! server's output.

use std::collections::BTreeMap;
use std::fmt;

use rxml::{Event, Options, Parse, Parser, WithOptions};

/// The start tag of a stream, around every fragment of a scene.
const ROOT: &str = "<stream:stream xmlns='jabber:client' \
                    xmlns:stream='http://etherx.jabber.org/streams'>";

/// The namespace of the stream's own elements, by its usual prefix.
const STREAM: &str = "http://etherx.jabber.org/streams";

/// An element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The local name.
    pub name: String,
    /// The namespace.
    pub ns: String,
    /// The attributes, by namespace and name.
    pub attributes: BTreeMap<(String, String), String>,
    /// The content.
    pub content: Vec<Content>,
}

/// What an element holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Characters.
    Text(String),
    /// An element.
    Element(Tree),
}

/// What was received on a stream, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A stream header; it has no content.
    Header(Tree),
    /// A whole element of the stream.
    Element(Tree),
    /// The end tag of the stream.
    Close,
    /// The bytes were not XML, for this reason.
    Broken(String),
}

/// Parses a stream as its bytes arrive.
pub struct Ear {
    parser: Parser,
    unread: Vec<u8>,
    /// Whether a byte other than white space has arrived.
    begun: bool,
    /// Whether the header has arrived.
    started: bool,
    open: Vec<Tree>,
    broken: bool,
}

impl Default for Ear {
    fn default() -> Ear {
        let options = Options { max_token_length: 8 << 20, ..Options::default() };
        Ear {
            parser: Parser::with_options(options),
            unread: Vec::new(),
            begun: false,
            started: false,
            open: Vec::new(),
            broken: false,
        }
    }
}

impl Ear {
    /// Takes bytes; returns what they complete.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        if self.broken {
            return heard;
        }
        self.unread.extend_from_slice(bytes);
        if !self.begun {
            // The rest of the previous stream's line.
            let blank = self.unread.len() - self.unread.trim_ascii_start().len();
            self.unread.drain(..blank);
            self.begun = !self.unread.is_empty();
        }
        let unread = std::mem::take(&mut self.unread);
        let mut rest = unread.as_slice();
        loop {
            match self.parser.parse(&mut rest, false) {
                Ok(Some(event)) => heard.extend(self.event(event)),
                Ok(None) | Err(rxml::error::EndOrError::NeedMoreData) => break,
                Err(rxml::error::EndOrError::Error(error)) => {
                    self.broken = true;
                    heard.push(Heard::Broken(error.to_string()));
                    break;
                }
            }
        }
        self.unread = rest.to_vec();
        heard
    }

    /// Waits for a header again.
    pub fn restart(&mut self) {
        *self = Ear::default();
    }

    fn event(&mut self, event: Event) -> Option<Heard> {
        match event {
            Event::XmlDeclaration(..) => None,
            Event::StartElement(_, (ns, name), attributes) => {
                let attributes = attributes
                    .into_iter()
                    .map(|((ns, name), value)| ((ns.as_str().to_owned(), name.to_string()), value))
                    .collect();
                let tree = Tree {
                    name: name.to_string(),
                    ns: ns.as_str().to_owned(),
                    attributes,
                    content: Vec::new(),
                };
                if !std::mem::replace(&mut self.started, true) {
                    return Some(Heard::Header(tree));
                }
                self.open.push(tree);
                None
            }
            Event::Text(_, text) => {
                match self.open.last_mut().map(|open| &mut open.content) {
                    Some(content) => match content.last_mut() {
                        Some(Content::Text(before)) => before.push_str(&text),
                        _ => content.push(Content::Text(text)),
                    },
                    // White space between stanzas is only a keepalive.
                    None if text.trim_ascii().is_empty() => {}
                    None => return Some(Heard::Broken(format!("text between stanzas: {text}"))),
                }
                None
            }
            Event::EndElement(_) => match (self.open.pop(), self.open.last_mut()) {
                (Some(tree), Some(parent)) => {
                    parent.content.push(Content::Element(tree));
                    None
                }
                (Some(tree), None) => Some(Heard::Element(tree)),
                (None, _) => Some(Heard::Close),
            },
        }
    }
}

impl Tree {
    /// Reads the elements of a fragment, as if they were in a client's stream.
    pub fn parse_all(xml: &str) -> Result<Vec<Tree>, String> {
        let mut ear = Ear::default();
        ear.hear(ROOT.as_bytes());
        let mut heard = ear.hear(format!("{xml}</stream:stream>").as_bytes());
        match heard.pop() {
            Some(Heard::Close) => {}
            Some(Heard::Broken(why)) => return Err(why),
            _ => return Err("an element that is not closed".to_owned()),
        }
        let trees = heard.into_iter().map(|heard| match heard {
            Heard::Element(tree) => Ok(tree),
            Heard::Broken(why) => Err(why),
            Heard::Header(_) | Heard::Close => Err("a tag too many".to_owned()),
        });
        trees.collect()
    }

    /// Returns the child elements.
    pub fn children(&self) -> impl Iterator<Item = &Tree> {
        self.content.iter().filter_map(|content| match content {
            Content::Element(tree) => Some(tree),
            Content::Text(_) => None,
        })
    }

    /// Returns the direct text.
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|content| match content {
            Content::Text(text) => Some(text.as_str()),
            Content::Element(_) => None,
        });
        texts.collect()
    }

    /// An attribute without a namespace.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(&(String::new(), name.to_owned())).map(String::as_str)
    }

    /// Returns whether it has this name and namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    fn write(&self, out: &mut fmt::Formatter<'_>, around: &str, indent: usize) -> fmt::Result {
        let prefix = if self.ns == STREAM { "stream:" } else { "" };
        write!(out, "{:indent$}<{prefix}{}", "", self.name)?;
        if self.ns != around && self.ns != STREAM {
            write!(out, " xmlns='{}'", self.ns)?;
        }
        for ((ns, name), value) in &self.attributes {
            let xml = if ns.is_empty() { "" } else { "xml:" };
            write!(out, " {xml}{name}='{}'", escaped(value))?;
        }
        if self.content.is_empty() {
            return out.write_str("/>");
        }
        out.write_str(">")?;
        let mixed = self.children().next().is_some();
        for content in &self.content {
            match content {
                Content::Text(text) if mixed && text.trim_ascii().is_empty() => {}
                Content::Text(text) => out.write_str(&escaped(text))?,
                Content::Element(tree) => {
                    writeln!(out)?;
                    // A prefixed element leaves the default namespace as it is.
                    let inside = if self.ns == STREAM { around } else { &self.ns };
                    tree.write(out, inside, indent + 2)?;
                }
            }
        }
        if mixed {
            write!(out, "\n{:indent$}", "")?;
        }
        write!(out, "</{prefix}{}>", self.name)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "jabber:client", 0)
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Heard::Header(tree) | Heard::Element(tree) => tree.fmt(f),
            Heard::Close => f.write_str("</stream:stream>"),
            Heard::Broken(why) => write!(f, "what is no XML: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_fragment_is_read_with_the_namespaces_of_a_stream() {
        let trees =
            Tree::parse_all("<a x='1'><b xmlns='u'>t</b></a> <stream:error xml:lang='de'/>")
                .unwrap();

        assert_eq!(trees.len(), 2);
        assert!(trees[0].is("a", "jabber:client"));
        assert_eq!(trees[0].attribute("x"), Some("1"));
        assert_eq!(trees[0].children().next().unwrap().text(), "t");
        assert!(trees[1].is("error", "http://etherx.jabber.org/streams"));
    }

    #[test]
    fn a_fragment_that_is_no_xml_is_refused() {
        for bad in ["<a>", "<a", "</a>", "x", "<a></b>", "</stream:stream>", "<!-- -->"] {
            assert!(Tree::parse_all(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_stream_is_heard_whatever_the_pieces() {
        let stream = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams' id='7'><iq><q/></iq>\n\
                      <message/></stream:stream>";
        let mut whole = Ear::default();
        let mut pieces = Ear::default();

        let heard = whole.hear(stream.as_bytes());
        let again: Vec<_> = stream.bytes().flat_map(|byte| pieces.hear(&[byte])).collect();

        assert_eq!(heard, again);
        assert_eq!(heard.len(), 4);
        assert_eq!(heard[3], Heard::Close);
    }

    #[test]
    fn a_tree_is_written_so_that_it_can_be_pasted_into_a_scene() {
        let xml = "<iq type='get'>\n  <query xmlns='u'/>\n</iq>";

        assert_eq!(Tree::parse_all(xml).unwrap()[0].children().count(), 1);
        assert_eq!(
            Tree::parse_all("<iq type='get'><query xmlns='u'/></iq>").unwrap()[0].to_string(),
            xml
        );
    }
}
