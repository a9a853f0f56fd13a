//! RFC 6120, 4: writes what is said on a stream as the bytes of its transport.
//!
//! A stream is a header, whole elements and an end, and each is written in one piece: only the
//! caller that puts it into the [`Output`] knows where it begins and ends. So if a transport needs
//! frame borders, they are written at that moment, into the same buffer. TCP needs none: XML says
//! where an element ends, and the pieces follow one another.

use crate::header::Attributes;
use std::fmt;
use whoelse_xmpp::{Outgoing, ns, write::escape};

/// The output of one stream, in the order in which it was said.
///
/// It holds no memory once all of it is flushed. It has no bound of its own: callers that add
/// stanzas check [`Output::len`] first.
#[derive(Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// How many of the bytes have been written.
    written: usize,
}

impl Output {
    /// Adds the stream's header, in the content namespace of clients.
    pub(crate) fn header(&mut self, attributes: &Attributes<'_>) {
        let out = &mut self.bytes;
        out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
        let Attributes { from, to, id, lang } = attributes;
        let all = [("from", *from), ("to", *to), ("id", *id), ("xml:lang", Some(*lang))];
        for (name, value) in all {
            let Some(value) = value else { continue };
            out.extend_from_slice(format!(" {name}='").as_bytes());
            escape(out, value);
            out.push(b'\'');
        }
        let rest = format!(" version='1.0' xmlns='{}' xmlns:stream='{}'>", ns::CLIENT, ns::STREAM);
        out.extend_from_slice(rest.as_bytes());
    }

    /// Adds one whole element of the stream, encoded.
    pub fn element(&mut self, element: &[u8]) {
        self.bytes.extend_from_slice(element);
    }

    /// Adds one stanza, with attributes that only its recipient's stream knows: ` to='bob@host'`,
    /// or none.
    #[inline]
    pub fn stanza(&mut self, stanza: &Outgoing, attributes: &[u8]) {
        let (head, tail) = stanza.bytes.split_at(stanza.after_name as usize);
        self.bytes.extend_from_slice(head);
        self.bytes.extend_from_slice(attributes);
        self.bytes.extend_from_slice(tail);
    }

    /// Adds the end of the stream.
    pub(crate) fn end(&mut self) {
        self.bytes.extend_from_slice(b"</stream:stream>");
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
            *self = Output::default();
        }
    }

    /// Takes everything that is not written yet, as it goes over the wire.
    pub fn take(&mut self) -> Vec<u8> {
        let mut taken = std::mem::take(self);
        taken.bytes.drain(..taken.written.min(taken.bytes.len()));
        taken.bytes
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
    use super::*;
    use whoelse_xmpp::Class;
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
        out.end();

        let expected = "<?xml version='1.0'?><stream:stream to='a.example' xml:lang='en' \
             version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\
             <r xmlns='urn:xmpp:sm:3'/>\
             <message to='bob@a.example'><body>hi</body></message>\
             <message><body>hi</body></message></stream:stream>";
        assert_eq!(String::from_utf8(out.take()).as_deref(), Ok(expected));
        assert!(out.is_empty());
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
