//! Requests to a whole server: each has one answer, which is well-formed and not an internal
//! error, whatever is in the request.

use crate::choices::Choices;
use crate::house::House;
use crate::payload::mutated;
use whoelse_xmpp::Stanza;

pub mod forms;
pub mod multiplied;
pub mod paging;

/// Payloads of requests, to the server, the own account and others'.
const PAYLOADS: &[&str] = &[
    "<query xmlns='jabber:iq:roster'/>",
    "<query xmlns='jabber:iq:roster' ver=''/>",
    "<query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='b'><group>g</group><group>h</group></item></query>",
    "<query xmlns='jabber:iq:roster'><item jid='eve@elsewhere.example' subscription='both' ask='subscribe' approved='true'/></query>",
    "<query xmlns='jabber:iq:roster'><item jid='bob@localhost' subscription='remove'/></query>",
    "<block xmlns='urn:xmpp:blocking'><item jid='dave@localhost'/></block>",
    "<unblock xmlns='urn:xmpp:blocking'/>",
    "<blocklist xmlns='urn:xmpp:blocking'/>",
    "<query xmlns='http://jabber.org/protocol/disco#info'/>",
    "<query xmlns='http://jabber.org/protocol/disco#info' node='http://jabber.org/protocol/commands'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>",
    "<query xmlns='jabber:iq:version'/>",
    "<query xmlns='jabber:iq:last'/>",
    "<time xmlns='urn:xmpp:time'/>",
    "<ping xmlns='urn:xmpp:ping'/>",
    "<enable xmlns='urn:xmpp:carbons:2'/>",
    "<query xmlns='urn:xmpp:mam:2' queryid='q'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field><field var='with'><value>bob@localhost</value></field></x><set xmlns='http://jabber.org/protocol/rsm'><max>10</max><before/></set></query>",
    "<command xmlns='http://jabber.org/protocol/commands' node='urn:whoelse:commands:0#whoelsesince' action='execute'><x xmlns='jabber:x:data' type='submit'><field var='seconds'><value>5</value></field></x></command>",
    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind>",
    "<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>",
    "<vCard xmlns='vcard-temp'/>",
    "<query xmlns='jabber:iq:private'><x xmlns='u'/></query>",
    "<x xmlns='urn:nobody'/>",
];

/// Any request described by `data`.
pub fn any(data: &[u8]) {
    let mut choices = Choices::new(data);
    let type_ = choices.pick(&["get", "set"]);
    let to = choices.pick(&[
        "",
        " to='localhost'",
        " to='alice@localhost'",
        " to='bob@localhost'",
        " to='nobody@localhost'",
        " to='bob@elsewhere.example'",
        " to='localhost/x'",
    ]);
    let payload = mutated(&mut choices, PAYLOADS);
    let request = format!("<iq type='{type_}' id='r'{to}>{payload}</iq>");
    // What is no stanza ends the stream: that is the stream targets' business.
    if Stanza::parse(request.clone()).is_err() {
        return;
    }
    House::with(|house| {
        house.ask("r", &request);
    });
}
