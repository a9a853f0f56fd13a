//! RFC 7395: a stream over a WebSocket. What is said on it is tested with the other framings; here
//! is what differs.

use super::*;
use crate::framing::Framing;
use crate::websocket::tests::frame;
use whoelse_xmpp::Scanner;

const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a.example' \
                    version='1.0' xml:lang='de'/>";
const CLOSE: &str = "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>";

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload)
}

/// Returns a server's frames, as their first byte and their payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, String)> {
    let mut found = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        let (length, rest) = match length {
            126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
            length => (usize::from(*length), rest),
        };
        let (payload, after) = rest.split_at(length);
        found.push((*first, String::from_utf8_lossy(payload).into_owned()));
        bytes = after;
    }
    found
}

struct Web {
    machine: Machine,
    steps: Vec<String>,
}

impl Web {
    fn new() -> Web {
        let config = Config { framing: Framing::WebSocket, ..config(Transport::Tls) };
        Web { machine: Machine::new(Arc::new(config), None), steps: Vec::new() }
    }

    /// With the header exchanged.
    fn begun() -> Web {
        let mut web = Web::new();
        web.send(&text(OPEN));
        web
    }

    /// Bound as bob@a.example/desk.
    fn open() -> Web {
        let config = Config { framing: Framing::WebSocket, ..config(Transport::Trusted) };
        let mut web = Web { machine: Machine::new(Arc::new(config), None), steps: Vec::new() };
        web.send(&text(OPEN));
        web.send(&text(&auth("EXTERNAL", Some(""))));
        web.machine.succeeded_as(bob());
        web.send(&text(OPEN));
        web.send(&text(BIND));
        web.machine.bound(&FullJid::parse("bob@a.example/desk").unwrap());
        web.send(b"");
        assert!(web.machine.is_open());
        web.steps.clear();
        web
    }

    fn send(&mut self, bytes: &[u8]) -> Vec<(u8, String)> {
        self.machine.push(bytes);
        while let Some(step) = self.machine.poll() {
            self.steps.extend(name(&step));
            if matches!(step, Step::Closed) {
                self.machine.close(None);
            }
        }
        frames(&self.machine.output().take())
    }

    /// Sends something that ends the stream. Returns the condition and the code of the close frame.
    fn ends(&mut self, bytes: &[u8]) -> (String, u16) {
        let said = self.send(bytes);
        assert!(self.machine.is_over());
        let [.., (0x81, error), (0x81, close), (0x88, _)] = &said[..] else { panic!("{said:?}") };
        assert_eq!(close, CLOSE);
        let declared = "<stream:error xmlns:stream='http://etherx.jabber.org/streams'><";
        let condition = error.strip_prefix(declared).unwrap();
        let condition = condition.split([' ', '/', '>']).next().unwrap().to_owned();
        (condition, self.machine.pump.close_code() as u16)
    }
}

#[test]
fn open_and_features_answer_open() {
    let said = Web::new().send(&text(OPEN));

    let [(0x81, open), (0x81, features)] = &said[..] else { panic!("{said:?}") };
    assert!(open.starts_with("<open from='a.example' id='"), "{open}");
    assert!(open.ends_with(" version='1.0' xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>"));
    assert!(features.starts_with(
        "<stream:features xmlns:stream='http://etherx.jabber.org/streams'><mechanisms "
    ));
    // Nobody vouches for a channel here.
    assert!(!features.contains("-PLUS") && !features.contains("starttls"));
}

#[test]
fn every_message_of_ours_is_a_document_of_its_own() {
    let mut said = Vec::new();
    let mut web = Web::new();
    said.extend(web.send(&text(OPEN)));
    said.extend(web.send(&text(&auth("PLAIN", Some("\0bob")))));
    said.extend(web.send(&text("<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>")));
    said.extend(web.send(&text("<enable xmlns='urn:xmpp:sm:3'/>")));
    said.extend(web.send(&text("<message/>")));
    let mut open = Web::open();
    let stanza = whoelse_xmpp::write::Element::new("presence");
    open.machine.output().stanza(&stanza.outgoing(whoelse_xmpp::Class::Message), b" to='x'");
    said.extend(open.send(b""));
    said.extend(open.send(&text(CLOSE)));

    let mut scanner = Scanner::alone(Limits::FROM_SERVER);
    for (_, text) in said.iter().filter(|(first, _)| *first == 0x81) {
        scanner.push(text.as_bytes());
        let found = scanner.next();
        assert!(matches!(found, Ok(Some(Frame::Element(_)))), "{text}: {found:?}");
        scanner.end_frame().unwrap();
        let declares = text.contains(" xmlns='") || text.contains(" xmlns:stream='");
        assert!(declares, "{text}");
    }
    assert!(said.len() > 8, "{said:?}");
}

#[test]
fn a_login_restarts_the_stream_with_another_open() {
    let mut web = Web::open();

    // A header in an open stream is none.
    assert_eq!(web.ends(&text(OPEN)), ("bad-format".into(), 1000));
}

#[test]
fn legal_oddities_end_nothing() {
    let message = "<message xmlns='jabber:client' to='alice'><body>hi</body></message>";
    let (one, two) = message.split_at(20);
    for bytes in [
        text(message),
        text(&format!("<?xml version='1.0'?>{message}")),
        text(&format!("<?xml version='1.0' encoding='utf-8'?>\n{message}\r\n")),
        [frame(0x01, one), frame(0x80, two)].concat(),
        [frame(0x01, one), frame(0x89, "there?"), frame(0x00, two), frame(0x80, "")].concat(),
        [frame(0x01, ""), frame(0x00, message), frame(0x80, "\n")].concat(),
        [text(""), text(message), text(" ")].concat(),
    ] {
        let mut web = Web::open();
        for piece in [1, bytes.len()] {
            web.steps.clear();
            let mut said = Vec::new();
            for piece in bytes.chunks(piece) {
                said.extend(web.send(piece));
            }
            assert_eq!(web.steps, ["stanza message"], "{}", String::from_utf8_lossy(&bytes));
            assert!(said.iter().all(|frame| *frame == (0x8A, "there?".to_owned())), "{said:?}");
        }
    }
}

#[test]
fn what_ends_a_stream_on_tcp_ends_it_here() {
    for (message, condition) in [
        // Security rows 1, 4 and 32.
        ("<!DOCTYPE x [<!ENTITY a 'b'>]><message/>", "restricted-xml"),
        ("<?xml version='1.0'?><!DOCTYPE x><message/>", "restricted-xml"),
        ("<!-- hi --><message/>", "restricted-xml"),
        ("<?php x ?><message/>", "restricted-xml"),
        ("<message><body>&b;</body></message>", "restricted-xml"),
        ("<message><!-- hi --></message>", "restricted-xml"),
        ("<x:message/>", "bad-namespace-prefix"),
        ("<stream:error/>", "bad-namespace-prefix"),
        ("<message></presence>", "not-well-formed"),
        ("<message>", "not-well-formed"),
        ("<message/><message/>", "bad-format"),
        ("hi", "bad-format"),
        ("<message a='1' a='2'/>", "not-well-formed"),
    ] {
        assert_eq!(Web::open().ends(&text(message)).0, condition, "{message}");
        let before = Web::begun().ends(&text(message)).0;
        let expected = if message == "<message/><message/>" { "not-authorized" } else { condition };
        assert_eq!(before, expected, "{message}");
    }
    let latin = frame(0x81, b"<m>\xFF</m>");
    assert_eq!(Web::open().ends(&latin), ("unsupported-encoding".into(), 1007));
}

#[test]
fn what_is_no_frame_ends_the_stream_with_its_code() {
    for (bytes, code) in [
        (vec![0x82, 0x80], 1003),
        (vec![0x81, 0x01], 1002),
        (vec![0xC1, 0x80], 1002),
        (frame(0x80, "late"), 1002),
        (vec![0x89, 0xFE], 1002),
    ] {
        assert_eq!(Web::open().ends(&bytes), ("bad-format".into(), code), "{bytes:x?}");
        assert_eq!(Web::new().ends(&bytes), ("bad-format".into(), code), "{bytes:x?}");
    }
}

#[test]
fn nothing_comes_before_open() {
    for message in [
        "<message xmlns='jabber:client'/>",
        &auth("PLAIN", Some("\0bob\0pencil")),
        "<open to='a.example' version='1.0'/>",
        "<stream:stream to='a.example' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'/>",
    ] {
        assert_eq!(Web::new().ends(&text(message)), ("invalid-namespace".into(), 1000));
    }
    // A stream's own header is not even an element.
    assert_eq!(Web::new().ends(&text(HEADER)).0, "not-well-formed");
}

#[test]
fn a_header_is_checked_as_on_tcp() {
    for (attributes, condition) in [
        ("to='b.example' version='1.0'", "host-unknown"),
        ("to='@' version='1.0'", "improper-addressing"),
        ("to='a.example'", "unsupported-version"),
        ("to='a.example' version='2.0'", "unsupported-version"),
    ] {
        let open = format!("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' {attributes}/>");
        assert_eq!(Web::new().ends(&text(&open)).0, condition, "{attributes}");
    }
}

#[test]
fn limits_before_login_are_those_of_tcp() {
    // Row 3: a byte is enough, before the message or its frame is complete.
    let most = Limits::BEFORE_LOGIN.bytes;
    let long = format!("<auth xmlns='{}'>{}", ns::SASL, "x".repeat(most));
    let mut web = Web::begun();
    let bytes = frame(0x01, &long);
    assert_eq!(web.ends(&bytes[..bytes.len() - 10]).0, "policy-violation");
    // Row 4.
    let wide = format!("<a xmlns='urn:x'>{}</a>", "<b/>".repeat(32));
    assert_eq!(Web::begun().ends(&text(&wide)).0, "policy-violation");
    // However many frames a message is in, it has one limit.
    let mut web = Web::begun();
    let mut said = web.send(&frame(0x01, "<a>"));
    for _ in 0..most {
        if web.machine.is_over() {
            break;
        }
        said = web.send(&frame(0x00, "xx"));
        assert!(web.machine.buffered() <= most + 16);
    }
    assert!(
        web.machine.is_over() && said.iter().any(|(_, text)| text.contains("policy-violation"))
    );
}

#[test]
fn tls_is_not_asked_for_over_a_websocket() {
    let mut web = Web::begun();
    let said = web.send(&text("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
    assert_eq!(said[0].1, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    assert!(web.machine.is_over());
}

#[test]
fn who_closes_the_stream_is_gone_and_who_closes_the_websocket_alone_is_lost() {
    let mut web = Web::open();
    let said = web.send(&[text(CLOSE), frame(0x88, "")].concat());
    assert_eq!(web.steps, ["closed"]);
    assert_eq!(said[0], (0x81, CLOSE.to_owned()));
    assert_eq!(said[1].0, 0x88);
    assert!(!web.machine.is_cut());

    let mut web = Web::open();
    let said = web.send(&[frame(0x88, "\u{3}\u{0}"), text("<message/>")].concat());
    // Not a code that one may send.
    assert!(web.machine.is_over() && !web.machine.is_cut(), "{said:?}");

    let mut web = Web::open();
    let said = web.send(&[frame(0x88, ""), text("<message/>")].concat());
    assert_eq!((said, web.steps.len()), (vec![(0x88, String::new())], 0));
    assert!(web.machine.is_cut() && !web.machine.is_over());
}
