//! RFC 6120, 8: tests of writing: escaping, and each rewriting of a stanza.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::ns;

fn text(outgoing: &Outgoing) -> &str {
    std::str::from_utf8(&outgoing.bytes).unwrap()
}

fn rewritten(xml: &str, how: Rewrite<'_>) -> String {
    let stanza = Stanza::try_from(xml).unwrap();
    let out = rewrite(&stanza, &how, Class::Message);
    // Checks the invariants of `Outgoing`, and that it can be read again.
    let again = Stanza::parse(out.bytes.clone()).unwrap();
    assert_eq!(again.kind(), stanza.kind());
    let name = format!("<{}", stanza.name());
    assert_eq!(&text(&out)[..out.after_name as usize], name);
    assert_eq!(&text(&out)[out.before_end as usize..], format!("</{}>", stanza.name()));
    text(&out).to_owned()
}

#[test]
fn the_sender_is_replaced_and_nothing_else_touched() {
    let xml = "<message\tid = 'x'  from=\"mallory@x\" foo=\"1 > 2\" to='b&#64;x' ><body>a  b</body>\
               <![CDATA[x]]> <e xmlns='u' /></message >";

    let out = rewritten(xml, Rewrite { from: "alice@x/r", ..Rewrite::default() });

    assert_eq!(
        out,
        "<message from='alice@x/r'\tid = 'x' foo=\"1 > 2\" to='b&#64;x'><body>a  b</body>\
         <![CDATA[x]]> <e xmlns='u' /></message>"
    );
}

#[test]
fn the_sender_is_escaped() {
    let how = Rewrite { from: "a'b@x/<&\">", ..Rewrite::default() };
    let out = rewritten("<message/>", how);
    assert_eq!(out, "<message from='a&apos;b@x/&lt;&amp;&quot;&gt;'></message>");
    assert_eq!(Stanza::try_from(out.as_str()).unwrap().from(), Some("a'b@x/<&\">"));
}

#[test]
fn the_roots_declaration_goes_and_its_prefixes_stay() {
    for (xml, expected) in [
        (
            "<iq xmlns='jabber:client' xmlns:p='u' from='x'><p:a/></iq>",
            "<iq from='a@x' xmlns:p='u'><p:a/></iq>",
        ),
        ("<iq from='x' id='1' xmlns=\"jabber:client\"/>", "<iq from='a@x' id='1'></iq>"),
        ("<iq xmlns='jabber:client' from='x'/>", "<iq from='a@x'></iq>"),
        ("<iq from='x'  xmlns='jabber:client'  a='b'/>", "<iq from='a@x'  a='b'></iq>"),
    ] {
        assert_eq!(rewritten(xml, Rewrite { from: "a@x", ..Rewrite::default() }), expected);
    }
}

#[test]
fn language_and_recipient_are_added_only_where_absent() {
    let how = Rewrite { from: "a@x", lang: Some("de"), to: Some("b@x"), ..Rewrite::default() };
    assert_eq!(rewritten("<iq/>", how), "<iq from='a@x' to='b@x' xml:lang='de'></iq>");
    let own = "<iq to='' xml:lang=''/>";
    assert_eq!(rewritten(own, how), "<iq from='a@x' to='' xml:lang=''></iq>");
}

#[test]
fn children_are_left_out_and_put_in() {
    let xml = "<message>0<a/>1<b>x</b>2<c/>3</message>";
    for (drop, expected) in [
        (&[][..], "<message>0<a/>1<b>x</b>2<c/>3<n/></message>"),
        (&[0], "<message>01<b>x</b>2<c/>3<n/></message>"),
        (&[2, 0], "<message>01<b>x</b>23<n/></message>"),
        (&[0, 1, 2], "<message>0123<n/></message>"),
        (&[1, 1, 7], "<message>0<a/>12<c/>3<n/></message>"),
    ] {
        let how = Rewrite { drop, add: b"<n/>", ..Rewrite::default() };
        assert_eq!(rewritten(xml, how), expected);
    }
}

#[test]
fn text_that_a_child_parted_stays_well_formed_without_it() {
    for (xml, expected) in [
        ("<iq>]]<a/>>b</iq>", "<iq>]]&gt;b</iq>"),
        ("<iq>]<a/>]>b</iq>", "<iq>]]&gt;b</iq>"),
        ("<iq>]<a/>]<b/>></iq>", "<iq>]]&gt;</iq>"),
        ("<iq>]<a/><b/>]><c/></iq>", "<iq>]]&gt;</iq>"),
        ("<iq>]]<a/>]]<b/>]></iq>", "<iq>]]]]]&gt;</iq>"),
        ("<iq><![CDATA[]]]]><a/>></iq>", "<iq><![CDATA[]]]]>></iq>"),
        ("<iq>]<a/>></iq>", "<iq>]></iq>"),
    ] {
        let how = Rewrite { drop: &[0, 1, 2], ..Rewrite::default() };
        let stanza = Stanza::try_from(xml).unwrap();
        let out = rewritten(xml, how);
        assert_eq!(out, expected);
        assert_eq!(Stanza::try_from(out.as_str()).unwrap().text(), stanza.text());
    }
}

#[test]
fn an_empty_element_gets_an_end_tag_and_its_children() {
    let how = Rewrite { from: "a@x", add: b"<n/>", ..Rewrite::default() };
    assert_eq!(rewritten("<presence />", how), "<presence from='a@x'><n/></presence>");
    assert_eq!(rewritten("<presence></presence>", how), "<presence from='a@x'><n/></presence>");
}

#[test]
fn a_sink_inserts_what_only_it_knows() {
    let stanza = Stanza::try_from("<presence id='1'><show>away</show></presence>").unwrap();
    let out = rewrite(&stanza, &Rewrite { from: "a@x/r", ..Rewrite::default() }, Class::Presence);

    let addressed = out.with_attributes(b" to='b@x'");
    let both = addressed.with_children(b"<n/>").with_children(b"<m/>");

    let expected = "<presence to='b@x' from='a@x/r' id='1'><show>away</show><n/><m/></presence>";
    assert_eq!(text(&both), expected);
    assert_eq!(both.class, Class::Presence);
}

#[test]
fn encoded_bytes_become_outgoing() {
    let row = Bytes::from_static(b"<message from='a@x'><body>hi</body></message>");
    let out = Outgoing::from_encoded(Kind::Message, row, Class::Kept(7));
    assert_eq!(
        text(&out.with_children(b"<n/>")),
        "<message from='a@x'><body>hi</body><n/></message>"
    );
    assert_eq!(
        text(&out.with_attributes(b" b=''")),
        "<message b='' from='a@x'><body>hi</body></message>"
    );

    let nonza = Element::new("a").xmlns(ns::SM).attr("h", "1").outgoing(Class::Nonza);
    assert_eq!(text(&nonza), "<a xmlns='urn:xmpp:sm:3' h='1'/>");
    assert_eq!(text(&nonza.with_attributes(b" b=''")), "<a b='' xmlns='urn:xmpp:sm:3' h='1'/>");
}

#[test]
fn a_damaged_row_does_not_panic() {
    for row in ["", "<", "x", "<message", "</message>", "<iq>", "<message>"] {
        for kind in [Kind::Message, Kind::Iq, Kind::Presence, Kind::Other] {
            let out = Outgoing::from_encoded(kind, Bytes::from(row), Class::Message);
            let _ = out.with_children(b"<n/>").with_attributes(b" a=''");
        }
    }
}

#[test]
fn whatever_is_escaped_is_read_as_it_was() {
    for value in ["", "a", "<>&'\"", "\t\n\r", "]]>", "é😀\u{fffd}", "a\u{7f}\u{85}", "&amp;"] {
        let xml = Element::new("message").attr("id", value).child(Element::new("body").text(value));
        let stanza = Stanza::parse(xml.finish()).unwrap();
        assert_eq!(stanza.id(), Some(value));
        assert_eq!(stanza.child_text("body", ns::CLIENT).as_deref(), Some(value));
    }
}

#[test]
fn what_xml_cannot_hold_is_replaced() {
    for c in (0..0x20).chain([0xFFFE, 0xFFFF]).filter_map(char::from_u32) {
        if matches!(c, '\t' | '\n' | '\r') {
            continue;
        }
        let value = format!("a{c}b");
        let xml = Element::new("message").attr("id", &value).text(&value).finish();
        let stanza = Stanza::parse(xml).unwrap();
        assert_eq!(stanza.id(), Some("a\u{fffd}b"), "{c:?}");
        assert_eq!(stanza.text(), "a\u{fffd}b");
    }
}

#[test]
fn an_element_is_written_by_hand() {
    let element = Element::new("iq")
        .attr("type", "result")
        .attr_opt("id", Some("1"))
        .attr_opt("to", None)
        .child(Element::new("x").xmlns("urn:y").text("h<i").raw(b"<z/>"))
        .child(Element::new("e").text(""));
    assert_eq!(
        element.finish(),
        "<iq type='result' id='1'><x xmlns='urn:y'>h&lt;i<z/></x><e/></iq>"
    );
    for name in ["message", "presence", "iq"] {
        assert_eq!(Element::new(name).finish(), format!("<{name}></{name}>"));
    }
    assert_eq!(Element::new("r").finish(), "<r/>");
}

#[test]
fn children_are_left_out_however_many_and_in_whatever_order_they_are_named() {
    let children = "<c:sent/>".repeat(16_000);
    let xml = format!("<message xmlns:c='urn:xmpp:carbons:2'>{children}<body>hi</body></message>");
    let stanza = Stanza::parse(xml).unwrap();
    let mut drop: Vec<usize> = (0..16_000).rev().collect();
    drop.extend([3, 99_999]);

    let out = rewrite(&stanza, &Rewrite { drop: &drop, ..Rewrite::default() }, Class::Message);

    let text = String::from_utf8(out.bytes.to_vec()).unwrap();
    assert_eq!(text, "<message xmlns:c='urn:xmpp:carbons:2'><body>hi</body></message>");
}

#[test]
fn a_child_of_text_and_children_written_in_their_place_are_as_if_they_were_made_apart() {
    for text in ["", "a", "<&]]>'\t\n"] {
        let apart =
            Element::new("x").child(Element::new("value").text(text)).child(Element::new("y"));
        let there = Element::new("x").text_child("value", text).text_child("y", "");
        assert_eq!(there.finish(), apart.finish());
    }
    let written = Element::new("x").attr("a", "b").raw_by(4, |out| out.extend_from_slice(b"<y/>"));
    assert_eq!(written.finish(), "<x a='b'><y/></x>");
    assert_eq!(Element::new("x").raw_by(4, |_| {}).attr("a", "b").finish(), "<x a='b'/>");
    assert_eq!(Element::new("x").text("t").raw_by(4, |_| {}).finish(), "<x>t</x>");
}
