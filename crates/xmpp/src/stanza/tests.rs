//! RFC 6120, 8.1: tests of the envelope of a stanza.
#![allow(clippy::unwrap_used)]

use super::*;

fn parse(xml: &str) -> Stanza {
    Stanza::try_from(xml).unwrap()
}

#[test]
fn exactly_one_element_is_parsed() {
    assert_eq!(parse(" \n<iq/> ").bytes(), "<iq/>");
    for xml in ["", " ", "x", "<iq/>x", "<iq/><iq/>", "<iq>", "</iq>", "<iq/", "&amp;"] {
        assert_eq!(Stanza::try_from(xml).unwrap_err(), ScanError::NotWellFormed, "{xml}");
    }
    assert_eq!(Stanza::parse(&b"<a>\xff</a>"[..]).unwrap_err(), ScanError::Encoding);
    assert_eq!(Stanza::try_from("<!-- -->").unwrap_err(), ScanError::Restricted);
}

#[test]
fn any_attribute_can_be_asked_for() {
    let stanza = parse(
        "<resume xmlns='urn:xmpp:sm:3' h='5' x:previd='no' previd='a&lt;b' xmlns:x='u' c='>'/>",
    );

    assert_eq!(stanza.attr("h").as_deref(), Some("5"));
    assert_eq!(stanza.attr("previd").as_deref(), Some("a<b"));
    assert_eq!(stanza.attr("c").as_deref(), Some(">"));
    assert_eq!(stanza.attr("missing"), None);
}

#[test]
fn texts_are_what_they_mean() {
    let stanza = parse(
        "<message>a<body c='>' d=\"'>\">1 &lt; 2&#x41;<b>not this</b><![CDATA[ & <3> ]]>\r\nend</body>\
         &amp;<![CDATA[b]]><empty/><body xmlns='u'>other</body></message>",
    );

    let body = stanza.child_text("body", ns::CLIENT);

    assert_eq!(body.as_deref(), Some("1 < 2A & <3> \nend"));
    assert_eq!(stanza.text(), "a&b");
    assert_eq!(stanza.child_text("body", "u").as_deref(), Some("other"));
    assert_eq!(stanza.child_text("empty", ns::CLIENT).as_deref(), Some(""));
    assert_eq!(stanza.child_text("none", ns::CLIENT), None);
}

#[test]
fn attributes_of_children_can_be_asked_for() {
    let stanza = parse("<iq><p:enable xmlns:p='urn:xmpp:sm:3' resume='true' p:max='1'/></iq>");
    let enable = stanza.child("enable", "urn:xmpp:sm:3").unwrap();

    assert_eq!(stanza.child_attr(enable, "resume").as_deref(), Some("true"));
    assert_eq!(stanza.child_attr(enable, "max"), None);
}

#[test]
fn a_child_is_found_by_name_and_namespace() {
    let stanza = parse("<message><a/><a xmlns='u'/><b xmlns='u'><c/></b></message>");

    assert!(stanza.has("a", ns::CLIENT) && stanza.has("a", "u") && stanza.has("b", "u"));
    assert!(!stanza.has("b", ns::CLIENT) && !stanza.has("c", "u") && !stanza.has("message", ""));
    assert_eq!(stanza.slice(stanza.child("a", "u").unwrap()), b"<a xmlns='u'/>");
}

#[test]
fn grandchildren_have_resolved_names_at_every_depth() {
    let stanza = parse(
        "<message xmlns:r='root'><first><no/></first><result xmlns='m' xmlns:i='in'><i:x/>\
         <forwarded><r:deep id='7'>text</r:deep></forwarded></result></message>",
    );
    let result = stanza.child("result", "m").unwrap();

    let names = |children: &[Child]| -> Vec<String> {
        children.iter().map(|c| format!("{}:{}", c.ns(), c.name())).collect()
    };
    let inner = stanza.grandchildren(result);
    assert_eq!(names(&inner), ["in:x", "m:forwarded"]);
    assert_eq!(names(&stanza.grandchildren(&inner[0])), [""; 0]);
    let deep = stanza.grandchildren(&inner[1]);
    assert_eq!(names(&deep), ["root:deep"]);
    assert_eq!(stanza.text_of(&deep[0]), "text");
    assert_eq!(stanza.child_attr(&deep[0], "id").as_deref(), Some("7"));
}

#[test]
fn values_are_unescaped_as_the_schema_of_xml_says() {
    let stanza = parse("<iq id='a\nb&#10;c&amp;amp;' to=' bob@x ' type=''/>");

    assert_eq!(stanza.id(), Some("a b\nc&amp;"));
    assert_eq!(stanza.to(), Some(" bob@x "));
    assert_eq!(stanza.type_(), Some(""));
}

#[test]
fn a_stanza_is_small_enough_to_be_moved() {
    assert!(size_of::<Stanza>() <= 64, "{}", size_of::<Stanza>());
}
