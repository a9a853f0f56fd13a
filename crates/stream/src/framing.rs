//! RFC 6120, 4, RFC 7395, 3, and XEP-0206: writes what is said on a stream as the bytes of its
//! transport.
//!
//! A stream is a header, whole elements and an end, and each is written in one piece: only the
//! caller that puts it into the [`Output`] knows where it begins and ends. So if a transport needs
//! frame borders, they are written at that moment, into the same buffer. TCP needs none: XML says
//! where an element ends, and the pieces follow one another. Over a WebSocket each is a message,
//! and declares the namespaces that a stream's header would have declared. BOSH puts any number of
//! them into a body; its header and its end are attributes of bodies.

use crate::header::Attributes;
use crate::websocket::{self, CloseCode, Opcode};
use std::fmt;
use whoelse_xmpp::{Class, Outgoing, ns, write::escape};

/// How the transport carries the parts of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// One after the other, between the tags of the stream.
    #[default]
    Stream,
    /// Each in a message of a WebSocket.
    WebSocket,
    /// In bodies of BOSH, whose writer sees where the stream ends by [`Framing::END`].
    Bodies,
}

impl Framing {
    /// The end of a stream over BOSH: a byte that XML cannot contain.
    pub const END: u8 = 0x04;
    /// The end of one that an error has ended, which stands before it.
    pub const FAULT: u8 = 0x05;
}

/// What each stanza declares where no header does.
const DECLARES_CLIENT: &[u8] = b" xmlns='jabber:client'";
/// What each element of the stream itself declares there.
const DECLARES_STREAM: &[u8] = b" xmlns:stream='http://etherx.jabber.org/streams'";

/// The output of one stream, in the order in which it was said.
///
/// It holds no memory once all of it is flushed. It has no bound of its own: callers that add
/// stanzas check [`Output::len`] first.
#[derive(Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// How many of the bytes have been written.
    written: usize,
    framing: Framing,
}

impl Output {
    /// Makes an output for a transport.
    pub(crate) fn new(framing: Framing) -> Output {
        Output { framing, ..Output::default() }
    }

    /// Adds the stream's header, in the content namespace of clients.
    pub(crate) fn header(&mut self, attributes: &Attributes<'_>) {
        if self.framing == Framing::Bodies {
            return;
        }
        let Attributes { from, to, id, lang } = attributes;
        let all = [("from", *from), ("to", *to), ("id", *id), ("xml:lang", Some(*lang))];
        let mut written = Vec::new();
        for (name, value) in all {
            let Some(value) = value else { continue };
            written.extend_from_slice(format!(" {name}='").as_bytes());
            escape(&mut written, value);
            written.push(b'\'');
        }
        let (name, client, stream) =
            ("<?xml version='1.0'?><stream:stream", ns::CLIENT, ns::STREAM);
        let (name, rest) = match self.framing {
            Framing::Stream | Framing::Bodies => {
                (name, format!(" version='1.0' xmlns='{client}' xmlns:stream='{stream}'>"))
            }
            Framing::WebSocket => ("<open", format!(" version='1.0' xmlns='{}'/>", ns::FRAMING)),
        };
        self.part(&[name.as_bytes(), &written, rest.as_bytes()]);
    }

    /// Adds one whole element of the stream, encoded.
    pub fn element(&mut self, element: &[u8]) {
        match self.framing {
            Framing::Stream => self.bytes.extend_from_slice(element),
            Framing::WebSocket | Framing::Bodies => {
                let (head, tail) = element.split_at(after_name(element));
                self.part(&[head, undeclared(head), tail]);
            }
        }
    }

    /// Adds one stanza, with attributes that only its recipient's stream knows: ` to='bob@host'`,
    /// or none.
    #[inline]
    pub fn stanza(&mut self, stanza: &Outgoing, attributes: &[u8]) {
        let (head, tail) = stanza.bytes.split_at(stanza.after_name as usize);
        match self.framing {
            Framing::Stream => {
                self.bytes.extend_from_slice(head);
                self.bytes.extend_from_slice(attributes);
                self.bytes.extend_from_slice(tail);
            }
            // What waits among the stanzas and is none declares its namespace itself.
            _ if stanza.class == Class::Nonza => self.part(&[&stanza.bytes]),
            Framing::WebSocket | Framing::Bodies => {
                self.part(&[head, DECLARES_CLIENT, attributes, tail])
            }
        }
    }

    /// Adds the end of the stream, and that of a WebSocket below it.
    pub(crate) fn end(&mut self, code: CloseCode, is_fault: bool) {
        match self.framing {
            Framing::Bodies => {
                self.bytes.push(if is_fault { Framing::FAULT } else { Framing::END })
            }
            Framing::Stream => self.bytes.extend_from_slice(b"</stream:stream>"),
            Framing::WebSocket => {
                let close = format!("<close xmlns='{}'/>", ns::FRAMING);
                self.part(&[close.as_bytes()]);
                self.close_frame(Some(code as u16));
            }
        }
    }

    /// Adds a close frame of a WebSocket.
    pub(crate) fn close_frame(&mut self, code: Option<u16>) {
        self.control(Opcode::Close, code.map(u16::to_be_bytes).as_ref().map_or(&[], |code| code));
    }

    /// Adds a control frame of a WebSocket.
    pub(crate) fn control(&mut self, opcode: Opcode, payload: &[u8]) {
        websocket::head(&mut self.bytes, opcode, payload.len());
        self.bytes.extend_from_slice(payload);
    }

    /// Adds one part, with the border that its transport needs before it.
    fn part(&mut self, pieces: &[&[u8]]) {
        if self.framing == Framing::WebSocket {
            let length = pieces.iter().map(|piece| piece.len()).sum();
            websocket::head(&mut self.bytes, Opcode::Text, length);
        }
        pieces.iter().for_each(|piece| self.bytes.extend_from_slice(piece));
    }

    /// How many bytes are held: all of them until they are flushed together.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether everything is flushed.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the bytes that are not written yet.
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Notes that this many bytes more have been written.
    pub fn wrote(&mut self, bytes: usize) {
        self.written = self.written.saturating_add(bytes);
    }

    /// Notes that what has been written is flushed. Frees the memory if that was everything.
    pub fn flushed(&mut self) {
        if self.rest().is_empty() {
            *self = Output::new(self.framing);
        }
    }

    /// Takes everything that is not written yet, as it goes over the wire.
    pub fn take(&mut self) -> Vec<u8> {
        let mut taken = std::mem::replace(self, Output::new(self.framing));
        taken.bytes.drain(..taken.written.min(taken.bytes.len()));
        taken.bytes
    }
}

/// Returns the offset after `<name`.
fn after_name(element: &[u8]) -> usize {
    let ends = |byte: &u8| matches!(byte, b' ' | b'/' | b'>');
    element.iter().position(ends).unwrap_or(element.len())
}

/// Returns what an element that begins so has to declare where no header does. Each that is neither
/// a stanza nor the stream's own declares its namespace itself.
fn undeclared(head: &[u8]) -> &'static [u8] {
    match head {
        b"<message" | b"<presence" | b"<iq" => DECLARES_CLIENT,
        _ if head.starts_with(b"<stream:") => DECLARES_STREAM,
        _ => b"",
    }
}

impl fmt::Debug for Output {
    /// Shows no content: there may be a message in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("length", &self.bytes.len())
            .field("written", &self.written)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use whoelse_xmpp::write::Element;

    fn message() -> Outgoing {
        Element::new("message").child(Element::new("body").text("hi")).outgoing(Class::Message)
    }

    #[test]
    fn on_tcp_one_part_follows_the_other() {
        let mut out = Output::default();
        let attributes = Attributes { to: Some("a.example"), lang: "en", ..Attributes::default() };

        out.header(&attributes);
        out.element(b"<r xmlns='urn:xmpp:sm:3'/>");
        out.stanza(&message(), b" to='bob@a.example'");
        out.stanza(&message(), b"");
        out.end(CloseCode::Normal, false);

        let expected = "<?xml version='1.0'?><stream:stream to='a.example' xml:lang='en' \
             version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\
             <r xmlns='urn:xmpp:sm:3'/>\
             <message to='bob@a.example'><body>hi</body></message>\
             <message><body>hi</body></message></stream:stream>";
        assert_eq!(String::from_utf8(out.take()).as_deref(), Ok(expected));
        assert!(out.is_empty());
    }

    /// Returns the messages of a WebSocket, and its close frame as it is.
    fn messages(mut bytes: &[u8]) -> Vec<String> {
        let mut messages = Vec::new();
        while let [first, second, rest @ ..] = bytes {
            assert_eq!(second & 0x80, 0, "a server masks nothing");
            let (length, rest) = match second {
                126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
                127 => (
                    usize::try_from(u64::from_be_bytes(rest[..8].try_into().unwrap())).unwrap(),
                    &rest[8..],
                ),
                short => (usize::from(*short), rest),
            };
            let (payload, after) = rest.split_at(length);
            messages.push(match first {
                0x81 => String::from_utf8(payload.to_vec()).unwrap(),
                first => format!("{first:x} {payload:?}"),
            });
            bytes = after;
        }
        messages
    }

    #[test]
    fn over_a_websocket_each_part_is_a_message_that_declares_its_namespaces() {
        let mut out = Output::new(Framing::WebSocket);
        let attributes = Attributes { to: Some("a.example"), lang: "en", ..Attributes::default() };

        out.header(&attributes);
        out.element(b"<stream:features><bind xmlns='urn:x'/></stream:features>");
        out.element(b"<r xmlns='urn:xmpp:sm:3'/>");
        out.element(b"<iq type='result'/>");
        out.stanza(&message(), b" to='bob@a.example'");
        out.stanza(&message(), b"");
        let request: &[u8] = b"<r xmlns='urn:xmpp:sm:3'/>";
        let (after_name, before_end) = (0, 0);
        let bytes = request.into();
        out.stanza(&Outgoing { bytes, after_name, before_end, class: Class::Nonza }, b"");
        out.end(CloseCode::Normal, false);

        let expected = [
            "<open to='a.example' xml:lang='en' version='1.0' \
             xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
            "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>\
             <bind xmlns='urn:x'/></stream:features>",
            "<r xmlns='urn:xmpp:sm:3'/>",
            "<iq xmlns='jabber:client' type='result'/>",
            "<message xmlns='jabber:client' to='bob@a.example'><body>hi</body></message>",
            "<message xmlns='jabber:client'><body>hi</body></message>",
            "<r xmlns='urn:xmpp:sm:3'/>",
            "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>",
            "88 [3, 232]",
        ];
        assert_eq!(messages(&out.take()), expected);
        assert!(out.is_empty());
    }

    #[test]
    fn a_message_of_any_length_has_the_head_of_its_length() {
        for length in [125, 126, 65_535, 65_536] {
            let mut out = Output::new(Framing::WebSocket);
            let element = format!("<a xmlns='urn:x'>{}</a>", "x".repeat(length - 21));
            out.element(element.as_bytes());
            assert_eq!(messages(&out.take()), [element]);
        }
    }

    #[test]
    fn what_is_flushed_keeps_its_framing() {
        let mut out = Output::new(Framing::WebSocket);
        out.element(b"<a/>");
        out.wrote(6);
        out.flushed();
        out.element(b"<b/>");
        assert_eq!(out.take(), b"\x81\x04<b/>");
    }

    #[test]
    fn what_is_written_in_pieces_is_held_until_all_of_it_is_flushed() {
        let mut out = Output::default();
        out.element(b"<a/>");
        out.wrote(3);
        out.element(b"<b/>");

        out.flushed();
        assert_eq!((out.rest(), out.len()), (&b"><b/>"[..], 8));
        out.wrote(5);
        assert!(out.rest().is_empty() && !out.is_empty());
        out.flushed();

        assert!(out.is_empty());
        assert_eq!(out.bytes.capacity(), 0);
    }

    #[test]
    fn what_is_taken_is_what_was_not_written() {
        let mut out = Output::default();
        out.element(b"<a/><b/>");
        out.wrote(4);

        assert_eq!(out.take(), b"<b/>");
        assert_eq!((out.len(), out.rest()), (0, &b""[..]));
    }
}
