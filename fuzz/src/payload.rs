//! Typed payloads: every type may be given anything that the scanner accepts, and a type can read
//! again what it has read and written.

use whoelse_xmpp::payload::{Payload, commands, encode, xmpp_parsers as parsers};
use whoelse_xmpp::{Child, Stanza, StanzaError};

use crate::choices::Choices;

const PAYLOADS: &[&str] = &[
    "<query xmlns='http://jabber.org/protocol/disco#info' node='n'><identity category='a' type='b' name='c'/><feature var='d'/></query>",
    "<query xmlns='http://jabber.org/protocol/disco#items'><item jid='a@b' node='c' name='d'/></query>",
    "<x xmlns='jabber:x:data' type='submit'><title>t</title><field var='a' type='list-multi'><value>1</value><option label='l'><value>2</value></option></field></x>",
    "<x xmlns='jabber:x:data' type='result'><reported><field var='a'/></reported><item><field var='a'><value>v</value></field></item></x>",
    "<query xmlns='jabber:iq:register'><username>u</username><password>p</password></query>",
    "<query xmlns='jabber:iq:register'><remove/></query>",
    "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/></block>",
    "<unblock xmlns='urn:xmpp:blocking'/>",
    "<blocklist xmlns='urn:xmpp:blocking'><item jid='a'/></blocklist>",
    "<ping xmlns='urn:xmpp:ping'/>",
    "<query xmlns='jabber:iq:version'><name>n</name><version>v</version><os>o</os></query>",
    "<time xmlns='urn:xmpp:time'><tzo>-06:00</tzo><utc>2006-12-19T17:58:35Z</utc></time>",
    "<query xmlns='urn:xmpp:mam:2' queryid='q'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field></x><set xmlns='http://jabber.org/protocol/rsm'><max>10</max><before/></set></query>",
    "<result xmlns='urn:xmpp:mam:2' id='1'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2010-07-10T23:08:25Z'/><message xmlns='jabber:client' from='a@b'><body>c</body></message></forwarded></result>",
    "<fin xmlns='urn:xmpp:mam:2' complete='true'><set xmlns='http://jabber.org/protocol/rsm'><first index='0'>a</first><last>b</last><count>2</count></set></fin>",
    "<query xmlns='jabber:iq:roster' ver='1'><item jid='a@b' name='c' subscription='both' ask='subscribe'><group>d</group></item></query>",
    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind>",
    "<delay xmlns='urn:xmpp:delay' from='a' stamp='2002-09-10T23:08:25Z'>text</delay>",
    "<stanza-id xmlns='urn:xmpp:sid:0' id='a' by='b@c'/>",
    "<origin-id xmlns='urn:xmpp:sid:0' id='a'/>",
    "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'/></forwarded></received>",
    "<command xmlns='http://jabber.org/protocol/commands' node='n' action='execute' sessionid='s' status='executing'><actions execute='next'><next/></actions><note type='info'>n</note></command>",
    "<set xmlns='http://jabber.org/protocol/rsm'><max>1</max><after>a</after></set>",
];
const PIECES: &[&str] = &[
    "<a/>",
    "<a xmlns='u'>",
    "</a>",
    " x='1'",
    "text",
    "&lt;",
    "'",
    ">",
    "-1",
    "99999999999999999999",
    "<item/>",
    "<value/>",
    "<x xmlns='jabber:x:data' type='form'/>",
    "<body/>",
    "/",
    "😀",
    "true",
    "<![CDATA[]]>",
];

/// One of these payloads, with pieces put in, taken out and exchanged as `choices` has it.
pub(crate) fn mutated(choices: &mut Choices<'_>, payloads: &[&str]) -> String {
    let mut payload = choices.pick(payloads).to_owned();
    while !choices.is_empty() {
        let mut at = choices.below(payload.len().clamp(1, 65_536));
        while !payload.is_char_boundary(at) {
            at -= 1;
        }
        match choices.below(4) {
            0 => payload.insert_str(at, choices.pick(PIECES)),
            1 => payload.insert_str(at, choices.pick(payloads)),
            2 => {
                let end = payload[at..].find('>').map_or(payload.len(), |end| at + end + 1);
                payload.replace_range(at..end, "");
            }
            _ => {
                let end =
                    payload[at..].find(['\'', '<', ' ']).map_or(payload.len(), |end| at + end);
                payload.replace_range(at..end, choices.pick(PIECES));
            }
        }
        if payload.len() > 4096 {
            break;
        }
    }
    payload
}

/// Reads payloads described by `data`, with every type.
pub fn typed(data: &[u8]) {
    let mut choices = Choices::new(data);
    let payload = mutated(&mut choices, PAYLOADS);
    let root = choices.pick(&[
        "<iq>",
        "<iq xmlns:p='urn:xmpp:ping' type='get'>",
        "<message xml:lang='de'>",
    ]);
    let name = root[1..].split([' ', '>']).next().unwrap_or_default();
    let Ok(stanza) = Stanza::parse(format!("{root}{payload}</{name}>")) else { return };
    // What other errors say is read as leniently as it is written.
    let _ = StanzaError::read(&stanza);
    let grandchildren: Vec<Child> =
        stanza.children().iter().flat_map(|child| stanza.grandchildren(child)).collect();
    for child in stanza.children().iter().chain(&grandchildren) {
        read_as_all(&stanza, child);
    }
}

macro_rules! types {
    ($($type:ty,)+) => {
        fn read_as_all(stanza: &Stanza, child: &Child) {
            $(read_as::<$type>(stanza, child);)+
        }
    };
}

types! {
    parsers::disco::DiscoInfoQuery,
    parsers::disco::DiscoInfoResult,
    parsers::disco::DiscoItemsQuery,
    parsers::disco::DiscoItemsResult,
    parsers::rsm::SetQuery,
    parsers::rsm::SetResult,
    parsers::data_forms::DataForm,
    parsers::ibr::FieldsQuery,
    parsers::ibr::LegacyQuery,
    parsers::ibr::FormQuery,
    parsers::ibr::RemoveQuery,
    parsers::blocking::BlocklistRequest,
    parsers::blocking::BlocklistResult,
    parsers::blocking::Block,
    parsers::blocking::Unblock,
    parsers::ping::Ping,
    parsers::version::VersionQuery,
    parsers::version::VersionResult,
    parsers::time::TimeQuery,
    parsers::time::TimeResult,
    parsers::mam::Query,
    parsers::mam::Fin,
    parsers::roster::Roster,
    parsers::bind::BindQuery,
    parsers::bind::BindResponse,
    parsers::delay::Delay,
    parsers::stanza_id::StanzaId,
    parsers::stanza_id::OriginId,
    commands::Command,
}

fn read_as<T: Payload>(stanza: &Stanza, child: &Child) {
    let Ok(payload) = stanza.payload::<T>(child) else { return };
    let mut xml = b"<iq>".to_vec();
    xml.extend_from_slice(&encode(&payload));
    xml.extend_from_slice(b"</iq>");
    let again = match Stanza::parse(xml) {
        Ok(again) => again,
        Err(error) => panic!("{} is written badly: {error:?}", T::NAME),
    };
    let child = &again.children()[0];
    if let Err(error) = again.payload::<T>(child) {
        panic!("{} does not read what it wrote: {error:?}", T::NAME);
    }
}
