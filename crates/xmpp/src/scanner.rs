//! XML 1.0 and Namespaces in XML, as restricted by RFC 6120, 11: the scanner, which finds one whole
//! stanza and parses it in one pass.
//!
//! It accepts a subset of what a conforming parser accepts, with the same meaning; a fuzzer
//! compares the two. So a stanza that it accepts may be forwarded unchanged: every prefix in it is
//! declared inside it, nothing in it needs a document type, and no receiver can read it
//! differently. State is kept across reads, so a stanza that arrives in small pieces costs linear
//! time.

pub(crate) mod chars;
pub(crate) mod element;
mod header;
pub(crate) mod tag;

use bytes::{Buf, BytesMut};
use compact_str::CompactString;

use self::element::{Done, Element, Surroundings};
use crate::name::Namespace;
use crate::{Stanza, ns};

/// The limits of one element. Depth counts the stanza's root as 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one stanza, or of the stream header.
    pub bytes: usize,
    /// Elements in one stanza.
    pub elements: usize,
    /// Levels of nesting, at most [`Limits::DEEPEST`].
    pub depth: usize,
}

impl Limits {
    /// The limits before login: 8 KiB and 32 elements, enough for every negotiation, so that a
    /// stranger costs little.
    pub const BEFORE_LOGIN: Limits = Limits { bytes: 8 << 10, elements: 32, depth: 32 };
    /// The limits after login: 256 KiB.
    pub const AFTER_LOGIN: Limits = Limits { bytes: 256 << 10, elements: 16 << 10, depth: 32 };
    /// The limits of a client for its server's stanzas: archived and forwarded stanzas come in
    /// wrappers, which add to the size and depth that their senders were allowed, and a roster, a list
    /// of everybody with a part in a room, or what a client has stored is one stanza, of a MiB and
    /// more.
    pub const FROM_SERVER: Limits = Limits { bytes: 8 << 20, elements: 256 << 10, depth: 40 };
    /// The greatest depth that any limit may have: typed payloads are read by recursion.
    pub const DEEPEST: usize = 64;
    /// The limits of [`Stanza::parse`]: for our own stanzas, or stored ones that were scanned
    /// before.
    pub(crate) const OWN: Limits =
        Limits { bytes: 64 << 20, elements: usize::MAX, depth: Limits::DEEPEST };
}

/// The attributes of a `<stream:stream …>` header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// `to`, unescaped and unparsed.
    pub to: Option<CompactString>,
    /// `from`, unescaped and unparsed.
    pub from: Option<CompactString>,
    /// `id`.
    pub id: Option<CompactString>,
    /// `version` as written, `None` if absent.
    pub version: Option<CompactString>,
    /// `xml:lang`.
    pub lang: Option<CompactString>,
}

/// The attributes of a `<body/>` of BOSH, as far as they are used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    /// The number of the request.
    pub rid: Option<u64>,
    /// The session; none in the request that asks for one.
    pub sid: Option<CompactString>,
    /// `to`, unescaped and unparsed.
    pub to: Option<CompactString>,
    /// `from`, unescaped and unparsed.
    pub from: Option<CompactString>,
    /// `type`.
    pub type_: Option<CompactString>,
    /// For how many seconds a request may be held.
    pub wait: Option<u32>,
    /// How many requests may be held.
    pub hold: Option<u32>,
    /// The last answer that has arrived; in the first request, that this will be said.
    pub ack: Option<u64>,
    /// `xml:lang`.
    pub lang: Option<CompactString>,
    /// XEP-0206: the version of the stream.
    pub version: Option<CompactString>,
    /// XEP-0206: the stream begins anew.
    pub restart: bool,
    /// Whether it is one tag: nothing is in it, and no [`Frame::Close`] follows.
    pub is_empty: bool,
}

impl Body {
    /// The greatest number of a request (XEP-0124, 14.1): languages without integers count to there.
    pub const LAST_RID: u64 = (1 << 53) - 1;
}

/// A frame: what the scanner found next.
#[derive(Debug)]
pub enum Frame {
    /// `<stream:stream>`.
    Open(StreamHeader),
    /// The start tag of a body of BOSH.
    Body(Box<Body>),
    /// One whole element of depth 1.
    Element(Stanza),
    /// `</stream:stream>`, or the end of a body.
    Close,
}

/// Why the scanner refuses bytes; each reason maps to one stream error (RFC 6120, 4.9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanError {
    /// `not-well-formed`: not XML, or not namespace-well-formed.
    NotWellFormed,
    /// `restricted-xml`: XML that RFC 6120, 11.1 forbids, or that we refuse for safety.
    Restricted,
    /// `bad-namespace-prefix`: a prefix that is not declared where it must be.
    BadPrefix,
    /// `invalid-namespace`: a stream header of another protocol.
    InvalidNamespace,
    /// `policy-violation`: over a limit.
    TooBig,
    /// `unsupported-encoding`: not UTF-8.
    Encoding,
    /// `bad-format`: XML, but not a stream of stanzas.
    BadFormat,
}

/// The position in the stream.
#[derive(Debug)]
enum State {
    /// Before the header.
    Start,
    /// After an XML declaration.
    Declared,
    /// Between or in elements.
    Open(Box<Root>),
    /// In a frame of a transport that carries each element alone.
    Alone(Part),
    /// After `</stream:stream>`.
    Closed,
    /// After an error: nothing more is accepted.
    Failed(ScanError),
}

/// What a frame of the transport has brought so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// White space at most.
    Nothing,
    /// An XML declaration.
    Declaration,
    /// Its element.
    Element,
}

/// What later elements need of the stream header.
#[derive(Debug)]
struct Root {
    /// Its name as written: the end tag must have the same.
    name: CompactString,
    /// The prefixes it declared.
    prefixes: Box<[(CompactString, Namespace)]>,
}

/// The scanner of one stream. It keeps its state across reads, and no buffer while it is empty.
///
/// Call [`next`](Scanner::next) until it returns `None` after each [`push`](Scanner::push): then it
/// never holds more than the limit and one read.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    /// Whether elements come in bodies of BOSH, one after the other, and not on one stream.
    in_bodies: bool,
    content: &'static str,
    state: State,
    buffer: BytesMut,
    /// An element that has only partly arrived.
    partial: Option<Box<Element>>,
    keepalives: u64,
}

impl Scanner {
    /// Makes a scanner that waits for a stream header. `content` is ns::CLIENT or ns::SERVER, and
    /// is the only default namespace accepted in the header. Frames have ns::CLIENT in either case,
    /// in their names and in their bytes.
    pub fn new(content: &'static str, limits: Limits) -> Scanner {
        Scanner {
            limits,
            in_bodies: false,
            content,
            state: State::Start,
            buffer: BytesMut::new(),
            partial: None,
            keepalives: 0,
        }
    }

    /// Makes a scanner for elements in bodies of BOSH (XEP-0124, 6), one body after the other. An
    /// element that declares no default namespace is in ns::CLIENT.
    pub fn in_bodies(limits: Limits) -> Scanner {
        Scanner { in_bodies: true, ..Scanner::new(ns::CLIENT, limits) }
    }

    /// Makes a scanner for a transport that carries each element alone, as a document (RFC 7395,
    /// 3.3.3). There is no header: prefixes are declared in the element, and one that declares no
    /// default namespace is in ns::CLIENT. Bytes of one frame are pushed and read, then
    /// [`end_frame`](Scanner::end_frame), then those of the next.
    pub fn alone(limits: Limits) -> Scanner {
        Scanner { state: State::Alone(Part::Nothing), ..Scanner::new(ns::CLIENT, limits) }
    }

    /// Notes that the transport's frame ends here. Fails if it ends within an element. A frame with
    /// white space alone is a sign of life.
    pub fn end_frame(&mut self) -> Result<(), ScanError> {
        match self.state {
            State::Alone(part) if self.is_empty() && part != Part::Declaration => {
                self.state = State::Alone(Part::Nothing);
                Ok(())
            }
            State::Failed(error) => Err(error),
            _ => Err(self.fail(ScanError::NotWellFormed)),
        }
    }

    fn fail(&mut self, error: ScanError) -> ScanError {
        self.state = State::Failed(error);
        self.discard();
        error
    }

    /// Changes the limits for what comes next.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Closed | State::Failed(_)) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Takes bytes that arrived, without a copy if none are held.
    pub fn push_owned(&mut self, bytes: BytesMut) {
        if self.buffer.is_empty() && !matches!(self.state, State::Closed | State::Failed(_)) {
            self.buffer = bytes;
        } else {
            self.push(&bytes);
        }
    }

    /// Returns the next whole frame; `None` when more bytes are needed. After an error: the same
    /// error again.
    #[expect(clippy::should_implement_trait, reason = "an iterator would end, this one waits")]
    pub fn next(&mut self) -> Result<Option<Frame>, ScanError> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        let found = self.find();
        if let Err(error) = found {
            self.fail(error);
        }
        if self.buffer.is_empty() {
            // This frees the memory: an idle stream owns no buffer.
            self.buffer = BytesMut::new();
        }
        found
    }

    /// Expects a new stream header, if there are headers. Keeps bytes that were pushed and not
    /// consumed.
    pub fn restart(&mut self) {
        if !self.in_bodies && !matches!(self.state, State::Failed(_) | State::Alone(_)) {
            self.state = State::Start;
            self.partial = None;
        }
    }

    /// Throws away bytes that were pushed and not consumed. This is required before a TLS
    /// handshake: what was sent in clear text must not count as sent under TLS.
    pub fn discard(&mut self) {
        self.buffer = BytesMut::new();
        self.partial = None;
    }

    /// Whether no part of an unfinished frame is held (white space does not count).
    pub fn is_empty(&self) -> bool {
        self.buffer.iter().all(|b| chars::is(*b, chars::SPACE))
    }

    /// How many bytes are held.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Returns how many bytes of white space have come between elements so far. RFC 6120, 4.6.1
    /// lets a peer send white space to show that it is alive.
    pub fn keepalives(&self) -> u64 {
        self.keepalives
    }

    fn find(&mut self) -> Result<Option<Frame>, ScanError> {
        loop {
            if matches!(self.state, State::Closed | State::Failed(_)) {
                self.discard();
                return Ok(None);
            }
            if self.partial.is_none() {
                self.skip_space();
                match self.buffer.first() {
                    None => return Ok(None),
                    Some(b'<') => {}
                    Some(_) => return Err(self.not_an_element()),
                }
                let declares = matches!(self.state, State::Start | State::Alone(Part::Nothing));
                if declares && self.buffer.len() == 1 {
                    // More bytes are needed to tell a declaration from an element.
                    return Ok(None);
                }
                if matches!(self.state, State::Alone(Part::Element)) {
                    return Err(ScanError::BadFormat);
                }
                if declares && self.buffer.starts_with(b"<?") {
                    let view = &self.buffer[..self.buffer.len().min(self.limits.bytes)];
                    let Some(length) = header::declaration(view)? else {
                        let full = view.len() == self.limits.bytes;
                        return if full { Err(ScanError::TooBig) } else { Ok(None) };
                    };
                    self.buffer.advance(length);
                    self.state = match self.state {
                        State::Alone(_) => State::Alone(Part::Declaration),
                        _ => State::Declared,
                    };
                    continue;
                }
            }
            return self.find_element();
        }
    }

    fn skip_space(&mut self) {
        let space = self.buffer.iter().take_while(|b| chars::is(**b, chars::SPACE)).count();
        if space > 0 {
            self.buffer.advance(space);
            if matches!(self.state, State::Open(_) | State::Alone(_)) {
                self.keepalives = self.keepalives.saturating_add(space as u64);
            }
        }
    }

    /// Returns the error for text where only elements may be.
    fn not_an_element(&self) -> ScanError {
        match self.state {
            State::Open(_) | State::Alone(_) => ScanError::BadFormat,
            _ => ScanError::NotWellFormed,
        }
    }

    fn find_element(&mut self) -> Result<Option<Frame>, ScanError> {
        match self.partial.take() {
            // Most elements arrive whole, and are read without a box.
            None => {
                let mut element = Element::new();
                let frame = self.read_element(&mut element)?;
                if frame.is_none() {
                    self.partial = Some(Box::new(element));
                }
                Ok(frame)
            }
            Some(mut element) => {
                let frame = self.read_element(&mut element)?;
                if frame.is_none() {
                    self.partial = Some(element);
                }
                Ok(frame)
            }
        }
    }

    fn read_element(&mut self, element: &mut Element) -> Result<Option<Frame>, ScanError> {
        let limit = self.limits.bytes.min(Limits::OWN.bytes);
        // Bytes beyond the limit are not read, so the result does not depend on how many of them
        // have arrived.
        let view = &self.buffer[..self.buffer.len().min(limit)];
        let place = Surroundings {
            content: self.content,
            prefixes: match &self.state {
                State::Open(root) => &root.prefixes,
                _ => &[],
            },
            limits: self.limits,
            list: 2,
            header: !matches!(self.state, State::Open(_) | State::Alone(_)),
        };
        let Some(done) = element.read(view, &place)? else {
            return if view.len() == limit { Err(ScanError::TooBig) } else { Ok(None) };
        };
        let length = element.length();
        let frame = match done {
            Done::Element => {
                element::text(&view[..length])?;
                let head = std::mem::take(&mut element.head);
                let children = std::mem::take(&mut element.children);
                let mut bytes = self.buffer.split_to(length);
                element.respell(&mut bytes);
                if let State::Alone(part) = &mut self.state {
                    *part = Part::Element;
                }
                Frame::Element(Stanza::new(bytes.freeze(), head, children))
            }
            Done::Header if self.in_bodies => {
                element::text(&view[..length])?;
                let (body, root) = header::read_body(&element.tag, view)?;
                self.buffer.advance(length);
                if !body.is_empty {
                    self.state = State::Open(Box::new(root));
                } else {
                    self.state = State::Start;
                }
                Frame::Body(Box::new(body))
            }
            Done::Header => {
                element::text(&view[..length])?;
                let (header, root) = header::read(&element.tag, view, self.content)?;
                self.buffer.advance(length);
                self.state = State::Open(Box::new(root));
                Frame::Open(header)
            }
            Done::Close => {
                let name = element.tag.name.span.of(view);
                match &self.state {
                    State::Open(root) if root.name.as_bytes() == name => {}
                    _ => return Err(ScanError::NotWellFormed),
                }
                self.buffer.advance(length);
                self.state = if self.in_bodies { State::Start } else { State::Closed };
                Frame::Close
            }
        };
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests;
