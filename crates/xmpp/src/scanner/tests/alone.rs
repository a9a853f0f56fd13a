//! Tests of a scanner whose transport carries each element alone.

use super::*;

/// Returns what a frame brings, in pieces of this many bytes.
fn frame(scanner: &mut Scanner, text: &str, piece: usize) -> Result<Option<Stanza>, ScanError> {
    let mut found = None;
    for bytes in text.as_bytes().chunks(piece) {
        scanner.push(bytes);
        while let Some(frame) = scanner.next()? {
            let Frame::Element(element) = frame else { panic!("there is no header") };
            assert!(found.replace(element).is_none(), "one element a frame");
        }
    }
    scanner.end_frame()?;
    Ok(found)
}

fn alone(text: &str) -> Result<Option<Stanza>, ScanError> {
    let results = [1, 2, 7, 1000].map(|piece| {
        let mut scanner = Scanner::alone(Limits::AFTER_LOGIN);
        let first = frame(&mut scanner, text, piece);
        // One error is the end of everything.
        let next = frame(&mut scanner, "<presence/>", piece);
        assert_eq!(next.is_ok(), first.is_ok(), "{text}");
        first
    });
    assert!(results.iter().all(|result| *result == results[0]), "{text}: {results:?}");
    results.into_iter().next().unwrap()
}

#[test]
fn a_frame_has_one_element_with_what_is_legal_around_it() {
    let plain = "<message xmlns='jabber:client' to='bob'><body>hi</body></message>";
    for (before, after) in [
        ("", ""),
        ("", "\r\n"),
        ("<?xml version='1.0'?>", ""),
        ("<?xml version='1.0' encoding='UTF-8'?>\n", "\n "),
        (" ", " "),
    ] {
        let stanza = alone(&format!("{before}{plain}{after}")).unwrap().unwrap();
        assert_eq!((stanza.kind(), stanza.to()), (Kind::Message, Some("bob")));
        assert_eq!(stanza.bytes(), plain);
    }
}

#[test]
fn an_element_without_a_namespace_is_in_the_content_namespace() {
    assert_eq!(alone("<iq/>").unwrap().unwrap().kind(), Kind::Iq);
    assert_eq!(alone("<iq xmlns=''/>").unwrap().unwrap().kind(), Kind::Other);
    assert_eq!(alone("<iq xmlns='jabber:server'/>").unwrap().unwrap().kind(), Kind::Other);
}

#[test]
fn a_frame_with_nothing_in_it_is_a_sign_of_life() {
    for nothing in ["", " ", "\r\n\t "] {
        assert_eq!(alone(nothing), Ok(None));
    }
}

#[test]
fn what_is_not_one_whole_element_is_refused() {
    for (text, error) in [
        ("<a/><b/>", ScanError::BadFormat),
        ("<a/>b", ScanError::BadFormat),
        ("b<a/>", ScanError::BadFormat),
        ("<a>", ScanError::NotWellFormed),
        ("<", ScanError::NotWellFormed),
        ("</a>", ScanError::NotWellFormed),
        ("<?xml version='1.0'?>", ScanError::NotWellFormed),
        ("<?xml version='1.0'?><?xml version='1.0'?><a/>", ScanError::Restricted),
        ("<a/><?xml version='1.0'?>", ScanError::BadFormat),
        ("<?php x ?><a/>", ScanError::Restricted),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", ScanError::Restricted),
        ("<!-- a --><a/>", ScanError::Restricted),
        ("<a/><!-- a -->", ScanError::BadFormat),
        ("<a>&b;</a>", ScanError::Restricted),
        ("<stream:error/>", ScanError::BadPrefix),
        (
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>",
            ScanError::NotWellFormed,
        ),
    ] {
        assert_eq!(alone(text).map(|found| found.is_some()), Err(error), "{text}");
    }
}

#[test]
fn a_prefix_of_one_frame_means_nothing_in_the_next() {
    let mut scanner = Scanner::alone(Limits::AFTER_LOGIN);
    let first = "<stream:error xmlns:stream='http://etherx.jabber.org/streams'/>";
    assert_eq!(frame(&mut scanner, first, 9).unwrap().unwrap().ns(), ns::STREAM);
    assert_eq!(frame(&mut scanner, "<stream:error/>", 9), Err(ScanError::BadPrefix));
}

#[test]
fn the_limit_is_that_of_the_element_as_on_a_stream() {
    let limits = Limits { bytes: 300, ..Limits::AFTER_LOGIN };
    for (length, passes) in [(299, true), (300, true), (301, false)] {
        let text = format!("<?xml version='1.0'?>\n<a>{}</a>\n", "x".repeat(length - 7));
        for piece in [1, 7, 1000] {
            let result = frame(&mut Scanner::alone(limits), &text, piece);
            assert_eq!(result.is_ok(), passes);
            assert!(passes || result == Err(ScanError::TooBig));
        }
    }
}

#[test]
fn white_space_without_an_end_is_not_held() {
    let mut scanner = Scanner::alone(Limits::BEFORE_LOGIN);
    for text in ["   ", "<presence/>", "   "] {
        for _ in 0..1000 {
            scanner.push(text.as_bytes());
            let _ = scanner.next().unwrap();
            assert_eq!(scanner.buffered(), 0);
            if text != "   " {
                break;
            }
        }
    }
    scanner.end_frame().unwrap();
}

#[test]
fn a_new_header_is_not_awaited_where_there_is_none() {
    let mut scanner = Scanner::alone(Limits::BEFORE_LOGIN);
    scanner.restart();
    assert!(frame(&mut scanner, "<presence/>", 3).unwrap().is_some());
}
