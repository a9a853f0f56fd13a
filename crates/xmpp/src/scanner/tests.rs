//! RFC 6120, 11: tests of the scanner: what it finds, what it refuses, and its limits.
#![allow(clippy::unwrap_used)]

mod alone;
mod limits;

use super::*;
use crate::{Kind, ns};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='x' version='1.0' \
                      xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Makes a scanner that has read its header.
fn open(limits: Limits) -> Scanner {
    let mut scanner = Scanner::new(ns::CLIENT, limits);
    scanner.push(HEADER.as_bytes());
    assert!(matches!(scanner.next(), Ok(Some(Frame::Open(_)))));
    scanner
}

/// Returns the one element in the bytes, or the error.
fn scan(bytes: impl AsRef<[u8]>) -> Result<Stanza, ScanError> {
    let mut scanner = open(Limits::AFTER_LOGIN);
    scanner.push(bytes.as_ref());
    match scanner.next()? {
        Some(Frame::Element(stanza)) => {
            assert!(matches!(scanner.next(), Ok(None)));
            assert!(scanner.is_empty());
            Ok(stanza)
        }
        other => panic!("not one element: {other:?}"),
    }
}

fn header(text: &str) -> Result<StreamHeader, ScanError> {
    let mut scanner = Scanner::new(ns::CLIENT, Limits::BEFORE_LOGIN);
    scanner.push(text.as_bytes());
    match scanner.next()? {
        Some(Frame::Open(header)) => Ok(header),
        other => panic!("not a header: {other:?}"),
    }
}

const MESSAGE: &str = "<message from='alice@example.org/desk' to='bob@example.org' id='a&amp;b' \
    type='chat' xml:lang='en'><body>Hello &lt;Bob&gt;</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/>\
    <x:y xmlns:x='urn:x'><x:z/></x:y></message>";

#[test]
fn a_stanza_is_understood_in_one_pass() {
    let stanza = scan(MESSAGE).unwrap();

    assert_eq!((stanza.kind(), stanza.name(), stanza.ns()), (Kind::Message, "message", ns::CLIENT));
    assert_eq!(stanza.from(), Some("alice@example.org/desk"));
    assert_eq!(stanza.to(), Some("bob@example.org"));
    assert_eq!(stanza.id(), Some("a&b"));
    assert_eq!(stanza.type_(), Some("chat"));
    assert_eq!(stanza.lang(), Some("en"));
    let children: Vec<_> = stanza.children().iter().map(|c| (c.name(), c.ns())).collect();
    let expected =
        [("body", ns::CLIENT), ("active", "http://jabber.org/protocol/chatstates"), ("y", "urn:x")];
    assert_eq!(children, expected);
    assert_eq!(stanza.slice(&stanza.children()[2]), b"<x:y xmlns:x='urn:x'><x:z/></x:y>");
    assert_eq!(stanza.bytes(), MESSAGE.as_bytes());
}

#[test]
fn it_does_not_matter_where_the_bytes_are_cut() {
    let text = format!(
        "{HEADER} {MESSAGE}\n<iq/><a xmlns='b'>\r\n<![CDATA[<]]]]>&#x40;</a></stream:stream>"
    );
    let whole = frames(&mut Scanner::new(ns::CLIENT, Limits::AFTER_LOGIN), &[text.as_bytes()]);
    assert_eq!(whole.len(), 5);

    for cut in 0..=text.len() {
        let (first, second) = text.as_bytes().split_at(cut);
        let mut scanner = Scanner::new(ns::CLIENT, Limits::AFTER_LOGIN);
        assert_eq!(frames(&mut scanner, &[first, second]), whole, "cut at {cut}");
    }
    let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
    assert_eq!(frames(&mut Scanner::new(ns::CLIENT, Limits::AFTER_LOGIN), &bytes), whole);
}

fn frames(scanner: &mut Scanner, reads: &[&[u8]]) -> Vec<String> {
    let mut frames = Vec::new();
    for read in reads {
        scanner.push(read);
        loop {
            match scanner.next() {
                Ok(Some(Frame::Element(stanza))) => {
                    frames.push(format!("{stanza:?} {:?} {:?}", stanza.head(), stanza.bytes()));
                }
                Ok(Some(frame)) => frames.push(format!("{frame:?}")),
                Ok(None) => break,
                Err(error) => {
                    frames.push(format!("{error:?}"));
                    return frames;
                }
            }
        }
    }
    frames
}

#[test]
fn a_document_type_a_comment_an_instruction_are_refused() {
    for text in [
        "<!DOCTYPE lolz [<!ENTITY lol 'lol'>]>",
        "<!-- hello -->",
        "<?php echo ?>",
        "<?xml version='1.0'?>",
        "<message><!-- hello --></message>",
        "<message><!DOCTYPE x></message>",
        "<message><?target data?></message>",
        "<message><!ELEMENT a></message>",
        "<message><![cdata[x]]></message>",
        "<![CDATA[x]]>",
    ] {
        assert_eq!(scan(text).unwrap_err(), ScanError::Restricted, "{text}");
    }
    for text in ["<!DOCTYPE x SYSTEM 'file:///etc/passwd'><stream:stream>", "<!-- x --><a>"] {
        assert_eq!(header(text).unwrap_err(), ScanError::Restricted, "{text}");
    }
}

#[test]
fn an_entity_beyond_the_five_is_refused() {
    for text in ["<a>&lol;</a>", "<a b='&lol;'/>", "<a>&nbsp;</a>", "<a>&averyverylongname;</a>"] {
        assert_eq!(scan(text).unwrap_err(), ScanError::Restricted, "{text}");
    }
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for text in [
        "<a>&</a>",
        "<a>&;</a>",
        "<a>&#0;</a>",
        "<a>&#x1;</a>",
        "<a>&#xD800;</a>",
        "<a>&#xFFFE;</a>",
        "<a b='&'/>",
        "<a b='&#0;'/>",
        "<a></b>",
        "<a><b></a></b>",
        "</a>",
        "<a b='1' b='2'/>",
        "<a b=1/>",
        "<a b/>",
        "<a b='1'c='2'/>",
        "<a b='<'/>",
        "<a b='1' / >",
        "< a/>",
        "<a/ >",
        "<1a/>",
        "<-a/>",
        "<a:/>",
        "<:a/>",
        "<a:b:c xmlns:a='u'/>",
        "<a:1 xmlns:a='u'/>",
        "<a>]]></a>",
        "<a></ a>",
        "<a></a b='1'>",
        "<a></a/>",
        "<>",
        "</>",
        "<a =''/>",
        "<a b=''=''/>",
        "<é/>",
        "<a é=''/>",
        "<a>\u{1}</a>",
        "<a b='\u{1}'/>",
        "<a>\u{fffe}</a>",
        "<a>\u{ffff}</a>",
        "<a b='\u{ffff}'/>",
        "<a><![CDATA[\u{1}]]></a>",
        "<a><![CDATA[\u{fffe}]]></a>",
        "<a\u{0}/>",
        "<a b=\"'/>",
        "<a \u{a0}b=''/>",
    ] {
        let text = format!("{text}<c/>");
        assert_eq!(scan(&text).unwrap_err(), ScanError::NotWellFormed, "{text}");
    }
}

#[test]
fn two_attributes_of_one_name_are_refused_also_through_two_prefixes() {
    for text in [
        "<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>",
        "<m xmlns:p='u'><a xmlns:q='u' p:x='1' q:x='2'/></m>",
        "<a xml:lang='a' xml:lang='b'/>",
        "<a xmlns='u' xmlns='u'/>",
        "<a xmlns:p='u' xmlns:p='u'/>",
    ] {
        assert_eq!(scan(text).unwrap_err(), ScanError::NotWellFormed, "{text}");
    }
    scan("<a xmlns:p='u' xmlns:q='v' p:x='1' q:x='2' x='3'/>").unwrap();
}

#[test]
fn a_prefix_must_be_declared_inside_the_stanza() {
    for text in [
        "<p:a/>",
        "<a p:b=''/>",
        "<a><p:b/></a>",
        "<a><b xmlns:p='u'/><p:c/></a>",
        // The stream's own prefix, which the next stream may not declare.
        "<message><stream:a/></message>",
        "<message stream:a=''/>",
        "<stream:a><stream:b/></stream:a>",
        // Reserved names.
        "<xml:a/>",
        "<xmlns:a/>",
        "<a xmlns:xml='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns:xmlns='u'/>",
        // Undeclaring a prefix, which Namespaces in XML 1.0 does not allow.
        "<a xmlns:p=''/>",
        // RFC 6120, 4.8.5: the content namespace has no prefix.
        "<c:message xmlns:c='jabber:client'/>",
    ] {
        assert_eq!(scan(text).unwrap_err(), ScanError::BadPrefix, "{text}");
    }
    for text in [
        "<p:a xmlns:p='u'/>",
        "<a xmlns:p='u'><b><p:c p:d=''/></b></a>",
        "<a><b xmlns:p='u'/><p:c xmlns:p='u'/></a>",
        "<message xmlns:c='jabber:client'><c:body/></message>",
    ] {
        scan(text).unwrap();
    }
}

#[test]
fn a_namespace_in_disguise_is_refused() {
    for text in [
        "<a><received xmlns='urn:xmpp&#58;carbons:2'/></a>",
        "<a xmlns:p='urn&amp;x'/>",
        "<a xmlns='urn:\tx'/>",
        "<a b='\r'/>",
    ] {
        assert_eq!(scan(text).unwrap_err(), ScanError::Restricted, "{text:?}");
    }
}

#[test]
fn an_address_in_disguise_is_seen_through() {
    let stanza = scan("<message to='bob&#64;host' from=\"a&apos;b\tc\" id='&#x31;'/>").unwrap();

    assert_eq!(stanza.to(), Some("bob@host"));
    assert_eq!(stanza.from(), Some("a'b c"));
    assert_eq!(stanza.id(), Some("1"));
}

#[test]
fn an_attribute_counts_only_without_a_namespace() {
    let stanza = scan("<message xmlns:x='u' x:to='a' x:from='b' x:lang='c' lang='d'/>").unwrap();

    assert_eq!((stanza.to(), stanza.from(), stanza.lang()), (None, None, None));
}

#[test]
fn bytes_that_are_not_utf_8_are_refused() {
    for bytes in [
        &b"<a>\xff</a>"[..],
        b"<a b='\xc3\x28'/>",
        b"<a>\xc0\xaf</a>",
        b"<a>\xed\xa0\x80</a>",
        b"<a>\xf4\x90\x80\x80</a>",
        b"<a><![CDATA[\xe2\x82]]></a>",
        b"<a xmlns='\xff'/>",
    ] {
        assert_eq!(scan(bytes).unwrap_err(), ScanError::Encoding, "{bytes:?}");
    }
    // CVE-2022-25235: the second byte looks like the end of a tag.
    for bytes in [&b"<a\xc3>b</a>"[..], b"<\xe2>", b"<a b\xc3=''/>"] {
        assert_eq!(scan(bytes).unwrap_err(), ScanError::NotWellFormed, "{bytes:?}");
    }
}

#[test]
fn text_between_stanzas_is_bad_format_and_white_space_a_sign_of_life() {
    for text in ["hello", " x<a/>", "<a/>x", "&amp;", "\u{feff}"] {
        let mut scanner = open(Limits::AFTER_LOGIN);
        scanner.push(text.as_bytes());
        let error = std::iter::from_fn(|| scanner.next().transpose()).find_map(Result::err);
        assert_eq!(error, Some(ScanError::BadFormat), "{text}");
    }

    let mut scanner = open(Limits { bytes: 200, ..Limits::AFTER_LOGIN });
    for _ in 0..1000 {
        scanner.push(b" \n");
        assert!(matches!(scanner.next(), Ok(None)));
        assert_eq!((scanner.is_empty(), scanner.buffered()), (true, 0));
    }
    assert_eq!(scanner.keepalives(), 2000);
}

#[test]
fn a_stanza_is_one_only_in_the_content_namespace() {
    for (text, kind) in [
        ("<message/>", Kind::Message),
        ("<presence/>", Kind::Presence),
        ("<iq xmlns='jabber:client'/>", Kind::Iq),
        ("<message xmlns='jabber:server'/>", Kind::Other),
        ("<message xmlns=''/>", Kind::Other),
        ("<message xmlns='jabber:client '/>", Kind::Other),
        ("<Message/>", Kind::Other),
        ("<auth/>", Kind::Other),
        ("<x:iq xmlns:x='u'/>", Kind::Other),
        ("<stream:iq/>", Kind::Other),
    ] {
        assert_eq!(scan(text).unwrap().kind(), kind, "{text}");
    }
}

/// Returns the one element in these bytes on a stream between servers, or the error.
fn scan_from_server(bytes: &str) -> Result<Stanza, ScanError> {
    let mut scanner = Scanner::new(ns::SERVER, Limits::AFTER_LOGIN);
    let header = HEADER.replace(ns::CLIENT, "jabber:server' xmlns:s='jabber:server");
    for read in [header.as_bytes(), bytes.as_bytes()].concat().chunks(7) {
        scanner.push(read);
        match scanner.next()? {
            Some(Frame::Element(stanza)) => return Ok(stanza),
            Some(Frame::Open(_)) | None => {}
            Some(Frame::Body(_) | Frame::Close) => panic!("not one element"),
        }
    }
    panic!("not one element")
}

#[test]
fn the_content_namespace_of_another_server_is_handed_on_as_that_of_clients() {
    let stanza = scan_from_server(
        "<message xmlns='jabber:server' id='jabber:server'><body>a</body>\
         <body xmlns=\"jabber:server\">xmlns='jabber:server'</body>\
         <c:body xmlns:c='jabber:client'/><s:body xmlns:s = 'jabber:server'/>\
         <x xmlns='urn:x'><y/><message xmlns='jabber:server'/></x></message>",
    )
    .unwrap();

    assert_eq!((stanza.kind(), stanza.ns()), (Kind::Message, ns::CLIENT));
    let children: Vec<_> = stanza.children().iter().map(|c| (c.name(), c.ns())).collect();
    assert_eq!(children[..4], [("body", ns::CLIENT); 4]);
    let inside = stanza.grandchildren(&stanza.children()[4]);
    let inside: Vec<_> = inside.iter().map(|c| (c.name(), c.ns())).collect();
    assert_eq!(inside, [("y", "urn:x"), ("message", ns::CLIENT)]);
    // Its bytes have the new spelling, and nothing else in them has changed.
    let expected = "<message xmlns='jabber:client' id='jabber:server'><body>a</body>\
         <body xmlns=\"jabber:client\">xmlns='jabber:server'</body>\
         <c:body xmlns:c='jabber:client'/><s:body xmlns:s = 'jabber:client'/>\
         <x xmlns='urn:x'><y/><message xmlns='jabber:client'/></x></message>";
    assert_eq!(stanza.bytes(), expected.as_bytes());
}

#[test]
fn two_spellings_of_the_content_namespace_are_one() {
    // After respelling, these two attributes would have the same name.
    let twice = "<iq><x xmlns:a='jabber:client' xmlns:b='jabber:server' a:y='' b:y=''/></iq>";
    assert_eq!(scan_from_server(twice), Err(ScanError::NotWellFormed));
    assert!(scan(twice).is_ok());
    // With a prefix neither spelling is a stanza's, whoever declares it.
    for root in ["<s:iq/>", "<p:iq xmlns:p='jabber:server'/>", "<p:iq xmlns:p='jabber:client'/>"] {
        assert_eq!(scan_from_server(root), Err(ScanError::BadPrefix), "{root}");
    }
    // On a client's stream, this spelling is another namespace.
    let stanza = scan("<message><body xmlns='jabber:server'/></message>").unwrap();
    assert_eq!(stanza.children()[0].ns(), ns::SERVER);
}

#[test]
fn the_prefixes_of_the_header_are_good_for_the_streams_own_elements() {
    let stanza = scan("<stream:features><mechanisms xmlns='u'/></stream:features>").unwrap();
    assert_eq!((stanza.name(), stanza.ns()), ("features", ns::STREAM));

    let mut scanner = Scanner::new(ns::SERVER, Limits::AFTER_LOGIN);
    scanner.push(
        b"<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams' \
          xmlns:db='jabber:server:dialback'><db:result/><message/></s:stream>",
    );
    assert!(matches!(scanner.next(), Ok(Some(Frame::Open(_)))));
    let Ok(Some(Frame::Element(result))) = scanner.next() else { panic!() };
    assert_eq!(result.ns(), "jabber:server:dialback");
    let Ok(Some(Frame::Element(message))) = scanner.next() else { panic!() };
    assert_eq!((message.kind(), message.ns()), (Kind::Message, ns::CLIENT));
    assert!(matches!(scanner.next(), Ok(Some(Frame::Close))));
    assert!(matches!(scanner.next(), Ok(None)));
}

#[test]
fn a_prefix_of_the_header_is_still_known_when_its_element_is_looked_into() {
    let mut scanner = Scanner::new(ns::CLIENT, Limits::AFTER_LOGIN);
    scanner.push(
        b"<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>\
          <s:features xmlns:p='urn:p'><p:list><item/></p:list>\
          <ping xmlns='urn:xmpp:ping'/></s:features>",
    );
    assert!(matches!(scanner.next(), Ok(Some(Frame::Open(_)))));
    let Ok(Some(Frame::Element(features))) = scanner.next() else { panic!() };

    let items = features.grandchildren(&features.children()[0]);

    assert_eq!((items[0].name(), items[0].ns()), ("item", ns::CLIENT));
    features.payload::<crate::payload::xmpp_parsers::ping::Ping>(&features.children()[1]).unwrap();
}

#[test]
fn a_stream_ends_with_the_name_it_began_with() {
    for text in ["</stream>", "</stream:stream2>", "</message>", "</s:stream>"] {
        assert_eq!(scan(text).unwrap_err(), ScanError::NotWellFormed, "{text}");
    }
    let mut scanner = open(Limits::AFTER_LOGIN);
    scanner.push(b"</stream:stream >garbage\xff");
    assert!(matches!(scanner.next(), Ok(Some(Frame::Close))));
    assert!(matches!(scanner.next(), Ok(None)));
    scanner.push(b"<more/>");
    assert!(matches!(scanner.next(), Ok(None)));
    assert_eq!(scanner.buffered(), 0);
}

#[test]
fn a_header_is_read() {
    let text = "<?xml version=\"1.0\" encoding='utf-8' ?>\n<stream:stream from='a&amp;b' to='x' \
                id='1' version='1.0' xml:lang='en' xmlns='jabber:client' \
                xmlns:stream='http://etherx.jabber.org/streams' other='z'>";

    let expected = StreamHeader {
        to: Some("x".into()),
        from: Some("a&b".into()),
        id: Some("1".into()),
        version: Some("1.0".into()),
        lang: Some("en".into()),
    };
    assert_eq!(header(text).unwrap(), expected);
}

#[test]
fn a_header_of_something_else_is_refused() {
    let ns = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
    for (text, error) in [
        ("GET / HTTP/1.1", ScanError::NotWellFormed),
        ("\x16\x03\x01", ScanError::NotWellFormed),
        ("</stream:stream>", ScanError::NotWellFormed),
        ("<message/>", ScanError::InvalidNamespace),
        ("<stream:stream>", ScanError::BadPrefix),
        ("<stream>", ScanError::InvalidNamespace),
        (
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>",
            ScanError::InvalidNamespace,
        ),
        ("<stream:stream xmlns='jabber:client' xmlns:stream='other'>", ScanError::InvalidNamespace),
        (
            "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>",
            ScanError::InvalidNamespace,
        ),
        (&format!("<stream:open {ns}>"), ScanError::BadFormat),
        (&format!("<stream:stream {ns}/>"), ScanError::BadFormat),
        (&format!("<stream:stream to='a' to='b' {ns}>"), ScanError::NotWellFormed),
        (&format!("<stream:stream p:a='' {ns}>"), ScanError::BadPrefix),
        (
            &format!("<stream:stream xmlns:a='u' xmlns:b='u' a:x='' b:x='' {ns}>"),
            ScanError::NotWellFormed,
        ),
        (&format!("<stream:stream to='\u{1}' {ns}>"), ScanError::NotWellFormed),
        ("<?xml version='1.1'?><a>", ScanError::Restricted),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a>", ScanError::Encoding),
        ("<?xml version='1.0' standalone='no'?><a>", ScanError::Restricted),
        ("<?xml?><a>", ScanError::NotWellFormed),
        ("<?xml ?><a>", ScanError::NotWellFormed),
        ("<?xml version='1.0'encoding='UTF-8'?><a>", ScanError::NotWellFormed),
        ("<?xml version='1.0' x='y'?><a>", ScanError::NotWellFormed),
        ("<?xml version='1.0'><a>", ScanError::NotWellFormed),
        ("<?xml-stylesheet ?><a>", ScanError::NotWellFormed),
        ("<?php ?><a>", ScanError::Restricted),
        ("<?xml version='1.0'?><?xml version='1.0'?><a>", ScanError::Restricted),
    ] {
        assert_eq!(header(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn a_restarted_stream_begins_with_a_header_again() {
    let mut scanner = open(Limits::BEFORE_LOGIN);
    scanner.push(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert!(matches!(scanner.next(), Ok(Some(Frame::Element(_)))));

    // What a fast peer has already sent is kept.
    scanner.push(b"\n");
    scanner.push(HEADER.as_bytes());
    scanner.push(b"<iq/>");
    scanner.restart();

    assert!(matches!(scanner.next(), Ok(Some(Frame::Open(_)))));
    assert!(matches!(scanner.next(), Ok(Some(Frame::Element(_)))));
    scanner.restart();
    scanner.push(b"<iq/>");
    assert_eq!(scanner.next().unwrap_err(), ScanError::InvalidNamespace);
}

#[test]
fn what_came_before_a_handshake_can_be_thrown_away() {
    let mut scanner = open(Limits::BEFORE_LOGIN);
    scanner.push(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><iq type='set'/><mess");
    assert!(matches!(scanner.next(), Ok(Some(Frame::Element(_)))));

    scanner.discard();
    scanner.restart();

    assert!(scanner.is_empty());
    scanner.push(HEADER.as_bytes());
    assert!(matches!(scanner.next(), Ok(Some(Frame::Open(_)))));
    assert!(matches!(scanner.next(), Ok(None)));
}

#[test]
fn half_a_stanza_can_be_thrown_away() {
    let mut scanner = open(Limits::BEFORE_LOGIN);
    scanner.push(b"<iq><a");
    assert!(matches!(scanner.next(), Ok(None)));

    scanner.discard();
    scanner.restart();

    scanner.push(HEADER.as_bytes());
    assert!(matches!(scanner.next(), Ok(Some(Frame::Open(_)))));
}

#[test]
fn after_an_error_nothing_is_held_and_nothing_accepted() {
    let mut scanner = open(Limits::AFTER_LOGIN);
    scanner.push(b"<a></b><c/>");
    assert_eq!(scanner.next().unwrap_err(), ScanError::NotWellFormed);

    scanner.push(b"<c/>");
    scanner.restart();

    assert_eq!(scanner.buffered(), 0);
    assert_eq!(scanner.next().unwrap_err(), ScanError::NotWellFormed);
}
