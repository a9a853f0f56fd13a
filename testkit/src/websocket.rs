//! RFC 7395 between an actor and the server: what the actor says as on TCP goes over a WebSocket,
//! and comes back as on TCP. So every scene can be played over either.
//!
//! It does more than a client has to: each message goes in two frames with a ping between them.

use whoelse_xmpp::ns;

/// The mask of every frame; one is as good as another where nobody listens in.
const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
/// A message shorter than this goes in one frame.
const SHORT: usize = 8;
/// A header longer than this is sent without its end.
const LONG: usize = 1000;

/// Makes frames of what an actor says.
#[derive(Default)]
pub(crate) struct Framer {
    /// What belongs to the next message and was not sent.
    message: Vec<u8>,
    /// Whether frames of this message were sent.
    is_begun: bool,
    lexer: Lexer,
}

/// Finds where elements end.
#[derive(Default)]
pub(crate) struct Lexer {
    depth: usize,
    place: Place,
    /// The present tag so far.
    tag: Vec<u8>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    Tag,
    Quoted(u8),
    /// In a CDATA section.
    Cdata,
    /// In what no stream may have: it is sent as it is.
    Raw,
}

/// What a byte ends.
pub(crate) enum Ended {
    /// Nothing.
    Nothing,
    /// An element of the stream.
    Element,
    /// The header of the stream.
    Header,
    /// The stream.
    Stream,
}

impl Lexer {
    /// Reads on.
    pub(crate) fn read(&mut self, byte: u8) -> Ended {
        match self.place {
            Place::Raw => {}
            Place::Text if byte == b'<' => {
                self.place = Place::Tag;
                self.tag = vec![byte];
            }
            Place::Text if self.depth == 0 && !byte.is_ascii_whitespace() => {
                self.place = Place::Raw;
            }
            Place::Text => {}
            Place::Quoted(quote) => {
                self.tag.push(byte);
                if byte == quote {
                    self.place = Place::Tag;
                }
            }
            Place::Cdata => {
                self.tag.push(byte);
                if self.tag.ends_with(b"]]>") {
                    self.place = Place::Text;
                }
            }
            Place::Tag => {
                self.tag.push(byte);
                return self.read_tag(byte);
            }
        }
        Ended::Nothing
    }

    fn read_tag(&mut self, byte: u8) -> Ended {
        let tag = &self.tag[..];
        match byte {
            b'[' if tag == b"<![CDATA[" && self.depth > 0 => self.place = Place::Cdata,
            b'\'' | b'"' => self.place = Place::Quoted(byte),
            b'>' if tag.starts_with(b"<?xml ") && self.depth == 0 => self.place = Place::Text,
            b'>' if tag.starts_with(b"<?") || tag.starts_with(b"<!") => self.place = Place::Raw,
            b'>' => {
                self.place = Place::Text;
                if tag.starts_with(b"<stream:stream") && self.depth == 0 {
                    return Ended::Header;
                }
                if tag == b"</stream:stream>" && self.depth == 0 {
                    return Ended::Stream;
                }
                if tag.starts_with(b"</") {
                    let Some(depth) = self.depth.checked_sub(1) else {
                        self.place = Place::Raw;
                        return Ended::Nothing;
                    };
                    self.depth = depth;
                } else if !tag.ends_with(b"/>") {
                    self.depth += 1;
                }
                if self.depth == 0 {
                    return Ended::Element;
                }
            }
            _ => {}
        }
        Ended::Nothing
    }

    /// Whether there is no end to find: no stream may have this.
    pub(crate) fn is_raw(&self) -> bool {
        self.place == Place::Raw
    }

    /// Whether a header has begun, which cannot be sent in part.
    fn is_in_header(&self) -> bool {
        self.depth == 0 && self.place != Place::Raw && {
            let header = b"<stream:stream";
            let length = self.tag.len().min(header.len());
            self.tag.get(..length) == header.get(..length)
        }
    }
}

impl Framer {
    /// Returns the frames of what was said now.
    pub(crate) fn frame(&mut self, said: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for byte in said {
            self.message.push(*byte);
            match self.lexer.read(*byte) {
                Ended::Nothing => {}
                Ended::Element => {
                    self.declare_stream();
                    self.end(&mut out);
                }
                Ended::Header => {
                    let open = String::from_utf8_lossy(&self.message)
                        .replace("<stream:stream", &format!("<open xmlns='{}'", ns::FRAMING));
                    let open = open.replace("xmlns='jabber:client'", "").replace('>', "/>");
                    self.message = open.replace("?/>", "?>").into_bytes();
                    self.end(&mut out);
                }
                Ended::Stream => {
                    self.message = format!("<close xmlns='{}'/>", ns::FRAMING).into_bytes();
                    self.end(&mut out);
                }
            }
        }
        let waits = self.lexer.is_in_header() && self.message.len() < LONG;
        if !self.message.is_empty() && !waits {
            // The rest is still to come, or never comes.
            let message = std::mem::take(&mut self.message);
            if self.lexer.place == Place::Text && self.lexer.depth == 0 && !self.is_begun {
                // White space.
                out.extend(frame(0x81, &message));
            } else {
                let first = if self.is_begun { 0x00 } else { 0x01 };
                out.extend(frame(first, &message));
                self.is_begun = true;
            }
        }
        out
    }

    /// Ends a message.
    fn end(&mut self, out: &mut Vec<u8>) {
        let message = std::mem::take(&mut self.message);
        let (first, last) = if self.is_begun { (0x00, 0x80) } else { (0x01, 0x81) };
        self.is_begun = false;
        if message.len() < SHORT {
            out.extend(frame(last, &message));
            return;
        }
        let (one, two) = message.split_at(message.len() / 2);
        out.extend(frame(first, one));
        out.extend(frame(0x89, b"?"));
        out.extend(frame(0x80, two));
    }

    /// Declares the prefix of the stream where the header would have.
    fn declare_stream(&mut self) {
        if self.message.starts_with(b"<stream:") {
            let at = self.message.iter().position(|byte| matches!(byte, b' ' | b'/' | b'>'));
            let declaration = format!(" xmlns:stream='{}'", ns::STREAM);
            let at = at.unwrap_or(self.message.len());
            self.message.splice(at..at, declaration.into_bytes());
        }
    }
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// Makes of a server's frames what it would have said on TCP.
#[derive(Default)]
pub(crate) struct Unframer {
    unread: Vec<u8>,
}

impl Unframer {
    /// Returns what the frames that are complete now say.
    pub(crate) fn unframe(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.unread.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let Some((first, payload, length)) = next(&self.unread) {
            if first == 0x81 {
                out.extend(as_on_tcp(&payload));
            }
            self.unread.drain(..length);
        }
        out
    }
}

/// Returns the first byte of a frame, its content and its length, if it is complete.
fn next(bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (length, head) = match second {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let whole = head + usize::try_from(length).ok()?;
    Some((first, bytes.get(head..whole)?.to_vec(), whole))
}

fn as_on_tcp(message: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(message);
    let namespace = format!(" xmlns='{}'/>", ns::FRAMING);
    if let Some(open) = text.strip_prefix("<open").and_then(|rest| rest.strip_suffix(&*namespace)) {
        let (client, stream) = (ns::CLIENT, ns::STREAM);
        return format!(
            "<?xml version='1.0'?><stream:stream{open} xmlns='{client}' xmlns:stream='{stream}'>"
        )
        .into_bytes();
    }
    if *text == format!("<close{namespace}") {
        return b"</stream:stream>".to_vec();
    }
    message.to_vec()
}
