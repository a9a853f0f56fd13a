//! RFC 7395: how what the load says is written, on a stream or over a WebSocket.

use std::iter;

/// What a server unmasks with; any will do.
const MASK: [u8; 4] = [0x3c, 0x5a, 0x96, 0xe1];
/// RFC 6455, 5.2: the last piece of a message, which is a text.
const TEXT: u8 = 0x81;
/// The payload is masked.
const MASKED: u8 = 0x80;
/// The length is in the two bytes that follow.
const LONGER: u8 = 126;

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// As they are, one after the other.
    Stream,
    /// Each in a message of its own, where it says its own namespace.
    WebSocket,
}

impl Framing {
    /// What begins a stream.
    pub fn opening(self) -> &'static str {
        match self {
            Framing::Stream => {
                "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' \
                 xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
            }
            Framing::WebSocket => {
                "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>"
            }
        }
    }

    /// What a stanza needs behind its name.
    pub fn after_name(self) -> &'static str {
        match self {
            Framing::Stream => "",
            Framing::WebSocket => " xmlns='jabber:client'",
        }
    }

    /// The bytes of one element on the wire; it has less than 64 KiB.
    pub fn frame(self, element: &str) -> Vec<u8> {
        if self == Framing::Stream {
            return element.as_bytes().to_vec();
        }
        let mut frame = vec![TEXT];
        match u8::try_from(element.len()) {
            Ok(length) if length < LONGER => frame.push(MASKED | length),
            _ => {
                frame.push(MASKED | LONGER);
                frame.extend_from_slice(&(element.len() as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&MASK);
        let masks = iter::repeat(MASK).flatten();
        frame.extend(element.bytes().zip(masks).map(|(byte, mask)| byte ^ mask));
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_over_a_websocket_is_one_masked_frame() {
        let frame = Framing::WebSocket.frame("<r/>");

        assert_eq!(frame[..2], [0x81, 0x84]);
        assert_eq!(frame[2..6], MASK);
        assert_eq!(frame[6], b'<' ^ MASK[0]);
        let long = Framing::WebSocket.frame(&"x".repeat(300));
        assert_eq!((long.len(), &long[1..4]), (8 + 300, [0xfe, 1, 44].as_slice()));
        assert_eq!(Framing::Stream.frame("<r/>"), b"<r/>");
    }
}
