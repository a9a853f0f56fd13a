//! Tests of the limits for strangers: bytes, elements, levels, attributes, time and memory.

use super::*;

#[test]
fn a_stanza_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let limits = Limits { bytes: 300, ..Limits::AFTER_LOGIN };
    for (length, passes) in [(299, true), (300, true), (301, false)] {
        for text in [
            format!("<a>{}</a>", "x".repeat(length - 7)),
            format!("<a b='{}'/>", "x".repeat(length - 9)),
            format!("<{}/>", "x".repeat(length - 3)),
            format!("<a {}/>", " ".repeat(length - 5)),
            format!("<a><![CDATA[{}]]></a>", "x".repeat(length - 19)),
            format!("<a></a{}>", " ".repeat(length - 7)),
        ] {
            assert_eq!(text.len(), length);
            for read in [1, 7, 1000] {
                let mut scanner = open(limits);
                let mut result = Ok(None);
                for bytes in text.as_bytes().chunks(read) {
                    scanner.push(bytes);
                    result = scanner.next();
                    assert!(scanner.buffered() <= limits.bytes + read);
                    if !matches!(result, Ok(None)) {
                        break;
                    }
                }
                match result {
                    Ok(Some(_)) => assert!(passes, "{text}"),
                    Err(error) => assert!(!passes && error == ScanError::TooBig, "{text}"),
                    Ok(None) => panic!("{text}"),
                }
            }
        }
    }
}

#[test]
fn an_unfinished_stanza_is_refused_as_soon_as_it_is_too_long() {
    for text in ["<a>", "<a b='", "<a", "<a ", "<a><![CDATA[", "<a><b/>", "<stream:a "] {
        let mut scanner = open(Limits { bytes: 1000, ..Limits::AFTER_LOGIN });
        scanner.push(text.as_bytes());
        scanner.push("x".repeat(1000 - text.len() - 1).as_bytes());
        assert!(matches!(scanner.next(), Ok(None)), "{text}");
        scanner.push(b"x");
        assert_eq!(scanner.next().unwrap_err(), ScanError::TooBig, "{text}");
        assert_eq!(scanner.buffered(), 0);
    }
}

#[test]
fn a_header_without_end_is_refused() {
    for start in ["<stream:stream to='", "<stream:stream ", "<"] {
        let mut scanner = Scanner::new(ns::CLIENT, Limits::BEFORE_LOGIN);
        scanner.push(start.as_bytes());
        scanner.push(&vec![b'x'; 8 << 10]);
        assert_eq!(scanner.next().unwrap_err(), ScanError::TooBig);
    }
    let mut scanner = Scanner::new(ns::CLIENT, Limits::BEFORE_LOGIN);
    scanner.push(b"<?xml ");
    scanner.push(&vec![b' '; 300]);
    assert_eq!(scanner.next().unwrap_err(), ScanError::NotWellFormed);
}

#[test]
fn elements_and_levels_are_counted() {
    let limits = Limits { elements: 5, depth: 4, ..Limits::AFTER_LOGIN };
    for (text, passes) in [
        ("<a><b/><c/><d/><e/></a>".to_owned(), true),
        ("<a><b/><c/><d/><e/><f/></a>".to_owned(), false),
        ("<a><b><c><d/></c></b></a>".to_owned(), true),
        ("<a><b><c><d><e/></d></c></b></a>".to_owned(), false),
        ("<a><b><c><d></d></c></b><e/></a>".to_owned(), true),
    ] {
        let mut scanner = open(limits);
        scanner.push(text.as_bytes());
        match scanner.next() {
            Ok(Some(_)) => assert!(passes, "{text}"),
            error => assert!(!passes && matches!(error, Err(ScanError::TooBig)), "{text}"),
        }
    }
}

#[test]
fn no_limit_lets_through_what_overflows_a_stack() {
    let deep = "<a xmlns='x'>".repeat(5000);
    for limits in [
        Limits::BEFORE_LOGIN,
        Limits::AFTER_LOGIN,
        Limits::FROM_SERVER,
        Limits { bytes: usize::MAX, elements: usize::MAX, depth: usize::MAX },
    ] {
        let mut scanner = open(limits);
        scanner.push(deep.as_bytes());
        assert_eq!(scanner.next().unwrap_err(), ScanError::TooBig);
    }
    assert_eq!(Stanza::parse(deep).unwrap_err(), ScanError::TooBig);
}

#[test]
fn an_element_has_at_most_64_attributes_prefixed_or_not() {
    for (n, passes) in [(23, true), (24, true), (25, true), (63, true), (64, true), (65, false)] {
        let plain: String = (0..n).map(|i| format!(" a{i}=''")).collect();
        let prefixed: String = (0..n - 1).map(|i| format!(" p:a{i}=''")).collect();
        for text in [format!("<a{plain}/>"), format!("<a xmlns:p='u'{prefixed}/>")] {
            match scan(&text) {
                Ok(_) => assert!(passes, "{text}"),
                Err(error) => assert!(!passes && error == ScanError::TooBig, "{text}"),
            }
        }
    }
}

#[test]
fn at_most_64_declarations_are_in_force_at_once() {
    let nested = |n: usize| {
        let declarations: String = (0..n).map(|i| format!(" xmlns:p{i}='u'")).collect();
        format!("<a{declarations}><b xmlns='v'/><b xmlns='v'/></a>")
    };
    scan(nested(63)).unwrap();
    assert_eq!(scan(nested(64)).unwrap_err(), ScanError::TooBig);
}

#[test]
fn an_idle_scanner_owns_no_buffer() {
    let mut scanner = open(Limits::AFTER_LOGIN);
    assert_eq!(scanner.buffer.capacity(), 0);
    scanner.push(MESSAGE.as_bytes());
    let Ok(Some(Frame::Element(stanza))) = scanner.next() else { panic!() };
    assert_eq!(scanner.buffer.capacity(), 0);
    assert!(scanner.partial.is_none());
    drop(stanza);
    assert!(size_of::<Scanner>() <= 160, "{}", size_of::<Scanner>());
}

#[test]
fn a_slow_drip_costs_linear_time() {
    // With quadratic cost, these would be 2¹⁸ × 2¹⁷ steps each: minutes.
    for text in [
        format!("<a>{}</a>", "x".repeat(250_000)),
        format!("<a b='{}'/>", "x".repeat(250_000)),
        format!("<a b='{}'/>", "&amp;".repeat(50_000)),
        format!("<a {} b=''/>", " ".repeat(250_000)),
        format!("<{}/>", "x".repeat(250_000)),
        format!("<a><![CDATA[{}]]></a>", "]".repeat(250_000)),
        format!("<a>{}</a>", "<b/>".repeat(16_000)),
        format!("<a></a{}>", " ".repeat(250_000)),
    ] {
        let mut scanner = open(Limits::AFTER_LOGIN);
        let started = std::time::Instant::now();
        let mut found = 0;
        for byte in text.as_bytes().chunks(1) {
            scanner.push(byte);
            found += usize::from(scanner.next().unwrap().is_some());
        }
        assert_eq!(found, 1);
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }
}

#[test]
fn attributes_cost_no_more_than_their_square() {
    let tag: String = (0..60).map(|i| format!(" p{i}:a=''")).collect();
    let declarations: String = (0..60).map(|i| format!(" xmlns:p{i}='u{i}'")).collect();
    let text = format!("<a{declarations}>{}</a>", format!("<b{tag}/>").repeat(400));
    let started = std::time::Instant::now();
    scan(&text).unwrap();
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
}

#[test]
fn namespaces_that_strangers_invent_are_forgotten_with_their_stanza() {
    // Nothing is interned: only the children own their names.
    for i in 0..1000 {
        let stanza = scan(format!("<a><b xmlns='urn:invented:by:a:stranger:{i}'/></a>")).unwrap();
        assert!(matches!(stanza.children()[0].namespace, Namespace::Other(_)));
    }
}

#[test]
fn what_is_learnt_of_a_stanza_is_bounded_by_its_length() {
    // The worst case: each child costs an entry in the list for four bytes of input.
    let text = format!("<a>{}</a>", "<b/>".repeat(16_000));
    let stanza = scan(&text).unwrap();
    let list = size_of_val(stanza.children());
    assert!(list <= 16 * text.len(), "{list} bytes for {}", text.len());
}

#[test]
fn children_share_the_name_of_a_namespace_however_long_it_is() {
    let text = format!("<a xmlns:p='{}'>{}</a>", "x".repeat(100_000), "<p:b/>".repeat(16_000));
    let stanza = scan(&text).unwrap();
    let name = stanza.children()[0].ns();
    assert_eq!(name.len(), 100_000);
    assert!(stanza.children().iter().all(|child| std::ptr::eq(child.ns(), name)));
}
