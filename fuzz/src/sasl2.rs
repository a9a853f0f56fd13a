//! The elements of SASL2 (XEP-0388): whatever a peer puts into them, what is read can be written and
//! is read alike again, nothing in it is longer than what came, and all of it together has a bound.

use whoelse_stream::sasl2::{Authenticate, Authentication, Success};
use whoelse_xmpp::Stanza;

use crate::choices::Choices;

/// The most bytes of what is kept of a login's children.
const ROOM: usize = 16 << 10;

const PARTS: &[&str] = &[
    "<initial-response>AGJvYgBwZW5jaWw=</initial-response>",
    "<initial-response/>",
    "<initial-response>=</initial-response>",
    "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'>",
    "<user-agent id='D4565FA7-4D72-4749-B3D3-740EDBF87770'/>",
    "<user-agent id='é4565fa7-4d72-4749-b3d3-740edbf8777'/>",
    "<user-agent>",
    "</user-agent>",
    "<software>whoelse &amp; more</software>",
    "<device>ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé</device>",
    "<resume xmlns='urn:xmpp:sm:3' previd='&lt;&apos;' h='4294967295'/>",
    "<resume xmlns='urn:xmpp:sm:3' previd='x' h='4294967296'/>",
    "<bind xmlns='urn:xmpp:bind:0'>",
    "<bind xmlns='urn:xmpp:bind:0' xmlns:c='urn:xmpp:carbons:2'>",
    "</bind>",
    "<tag>phone</tag>",
    "<tag> <![CDATA[<]]></tag>",
    "<c:enable/>",
    "<enable xmlns='urn:xmpp:sm:3' resume='true'/>",
    "<inactive xmlns='urn:xmpp:csi:0'/>",
    "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>",
    "<p:fast xmlns:p='urn:xmpp:fast:0' p:count='1'/>",
    "<fast xmlns='urn:xmpp:fast:0' count='1'/>",
    "<additional-data>dj0x</additional-data>",
    "<authorization-identifier>bob@a.example/x</authorization-identifier>",
    "<authorization-identifier>bob@</authorization-identifier>",
    "<bound xmlns='urn:xmpp:bind:0'>",
    "</bound>",
    "<inline>",
    "</inline>",
    "<mechanism>PLAIN</mechanism>",
    "<sm xmlns='urn:xmpp:sm:3'/>",
    "<feature var='urn:xmpp:sm:3'/>",
    "text",
];

/// Reads an element made of these parts, as each end would.
pub fn elements(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (name, prefix) = (choices.pick(&["authenticate", "success"]), choices.once_in(4));
    let (open, close) = match prefix {
        true => (format!("<s:{name} xmlns:s='urn:xmpp:sasl:2'"), format!("</s:{name}>")),
        false => (format!("<{name} xmlns='urn:xmpp:sasl:2'"), format!("</{name}>")),
    };
    let mut xml = format!("{open} mechanism='PLAIN'>");
    while !choices.is_empty() && xml.len() < 8 << 10 {
        xml += choices.pick(PARTS);
    }
    xml += &close;
    let Ok(element) = Stanza::parse(xml) else { return };
    let came = element.bytes().len();

    if let Ok(read) = Authenticate::read(&element) {
        let written = read.encode();
        let again = Stanza::parse(written.clone()).expect("what is written is well-formed");
        let again = Authenticate::read(&again).expect("what is written can be read");
        assert_eq!(again.encode(), written);
        let features = read.bind.iter().flat_map(|bind| &bind.features);
        let mut kept = 0;
        for inside in read.others.iter().chain(features) {
            assert!(inside.bytes().len() <= came);
            kept += inside.bytes().len();
        }
        assert!(kept <= ROOM, "{kept} bytes of {came}");
    }
    if let Some(read) = Success::read(&element) {
        assert!(read.others.iter().all(|inside| inside.bytes().len() <= came));
    }
    let _ = Authentication::read(&element);
}
