//! Tests of typed payloads, with the XEPs' own examples.
#![allow(clippy::unwrap_used)]

use xmpp_parsers::blocking::{Block, BlocklistRequest};
use xmpp_parsers::disco::{DiscoInfoQuery, DiscoInfoResult};
use xmpp_parsers::forwarding::Forwarded;
use xmpp_parsers::mam;
use xmpp_parsers::ping::Ping;

use super::*;
use crate::{Condition, Stanza};

// Trees of elements, which are only read here: see the module.
payloads! {
    mam::Result_ = "result" in ns::MAM;
    Forwarded = "forwarded" in ns::FORWARD;
}

fn first<T: Payload>(xml: &str) -> Result<T, crate::StanzaError> {
    let stanza = Stanza::try_from(xml).unwrap();
    stanza.payload(&stanza.children()[0])
}

#[test]
fn one_parser_serves_many_payloads() {
    for _ in 0..3 {
        first::<Ping>("<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>").unwrap();
        let block = first::<Block>(
            "<iq type='set'><block xmlns='urn:xmpp:blocking'><item jid='romeo@montague.net'/>\
             </block></iq>",
        );
        assert_eq!(block.unwrap().items[0].as_str(), "romeo@montague.net");
    }
}

#[test]
fn a_payload_that_does_not_fit_is_a_bad_request_and_harms_nobody_after_it() {
    for xml in [
        "<iq><block xmlns='urn:xmpp:blocking'><item/></block></iq>",
        "<iq><block xmlns='urn:xmpp:blocking'><item jid='@'/></block></iq>",
        "<iq><block xmlns='urn:xmpp:blocking'><item jid='@@'/></block></iq>",
        "<iq><ping xmlns='urn:xmpp:ping'/></iq>",
    ] {
        let error = first::<Block>(xml).unwrap_err();
        assert_eq!(error.condition, Condition::BadRequest, "{xml}");
        // The text is in our words, or absent: those of the libraries are for programmers.
        let ours = "what is in <block/> is not as urn:xmpp:blocking has it";
        assert!(error.text.is_none_or(|text| text == ours), "{xml}");

        first::<BlocklistRequest>("<iq><blocklist xmlns='urn:xmpp:blocking'/></iq>").unwrap();
    }
}

#[test]
fn names_that_depend_on_the_root_are_understood() {
    for xml in [
        "<iq xmlns:d='http://jabber.org/protocol/disco#info'><d:query node='n'/></iq>",
        "<iq><d:query xmlns:d='http://jabber.org/protocol/disco#info' node='n'/></iq>",
        "<x xmlns='http://jabber.org/protocol/disco#info'><query node='n'/></x>",
        "<stream:x xmlns:d='http://jabber.org/protocol/disco#info'><d:query node='n'/></stream:x>",
    ] {
        assert_eq!(first::<DiscoInfoQuery>(xml).unwrap().node.as_deref(), Some("n"), "{xml}");
        // The thread's parser is back in its initial state.
        first::<Ping>("<iq><ping xmlns='urn:xmpp:ping'/></iq>").unwrap();
    }
}

#[test]
fn a_forwarded_stanza_may_inherit_nothing_or_everything() {
    let own = "<message><forwarded xmlns='urn:xmpp:forward:0'>\
               <delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/>\
               <message xmlns='jabber:client' from='a@x/y'><body>hi</body></message>\
               </forwarded></message>";

    let forwarded = first::<Forwarded>(own).unwrap();

    assert_eq!(forwarded.message.bodies.values().next().map(String::as_str), Some("hi"));
}

#[test]
fn a_deeper_payload_is_read_through_grandchildren() {
    let stanza = Stanza::try_from(
        "<message xmlns:f='urn:xmpp:forward:0'><result xmlns='urn:xmpp:mam:2' id='7'>\
         <f:forwarded><message xmlns='jabber:client'><body>hi</body></message></f:forwarded>\
         </result></message>",
    )
    .unwrap();
    let result = &stanza.children()[0];

    let inner = stanza.grandchildren(result);

    assert_eq!((inner[0].name(), inner[0].ns()), ("forwarded", ns::FORWARD));
    stanza.payload::<Forwarded>(&inner[0]).unwrap();
    stanza.payload::<mam::Result_>(result).unwrap();
}

#[test]
fn the_language_of_the_stanza_is_inherited() {
    let xml = "<iq xml:lang='de'><query xmlns='http://jabber.org/protocol/disco#info'>\
               <identity category='server' type='im'/>\
               <identity category='server' type='im' xml:lang='fr'/></query></iq>";

    let info = first::<DiscoInfoResult>(xml).unwrap();

    let languages: Vec<_> = info.identities.iter().map(|i| i.lang.as_deref()).collect();
    assert_eq!(languages, [Some("de"), Some("fr")]);
}

#[test]
fn what_is_encoded_passes_the_scanner() {
    let query = DiscoInfoQuery { node: Some("a'b\"c<d>&\n\té😀".to_owned()) };

    let stanza = Stanza::parse(format!("<iq>{}</iq>", String::from_utf8(encode(&query)).unwrap()));

    let stanza = stanza.unwrap();
    assert_eq!(stanza.payload::<DiscoInfoQuery>(&stanza.children()[0]).unwrap(), query);
}

#[test]
fn a_value_that_xml_cannot_hold_is_not_written() {
    assert_eq!(encode(&DiscoInfoQuery { node: Some("\u{1}".to_owned()) }), b"");
}

#[test]
fn the_deepest_element_that_is_accepted_can_be_read() {
    let deep = crate::Limits::DEEPEST - 2;
    let xml = format!(
        "<iq><x xmlns='jabber:x:data'>{}{}</x></iq>",
        "<a xmlns='u'>".repeat(deep),
        "</a>".repeat(deep)
    );
    // Whatever the result is, the call returns.
    let _ = first::<xmpp_parsers::data_forms::DataForm>(&xml);
    let forward = format!(
        "<iq><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>{}{}</message>\
         </forwarded></iq>",
        "<a xmlns='u'>".repeat(deep - 1),
        "</a>".repeat(deep - 1)
    );
    first::<Forwarded>(&forward).unwrap();

    let deeper =
        xml.replacen("<a xmlns='u'>", "<a xmlns='u'><a>", 1).replacen("</a>", "</a></a>", 1);
    assert!(Stanza::try_from(deeper.as_str()).is_err());
}

#[test]
fn what_a_newer_version_of_a_protocol_adds_is_ignored() {
    for xml in [
        "<iq><ping xmlns='urn:xmpp:ping' new='1'/></iq>",
        "<iq><ping xmlns='urn:xmpp:ping'><new/></ping></iq>",
        "<iq><ping xmlns='urn:xmpp:ping' xmlns:n='urn:new' n:new='1'><n:new/></ping></iq>",
    ] {
        first::<Ping>(xml).unwrap();
    }
}
