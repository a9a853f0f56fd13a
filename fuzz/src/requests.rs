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
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'><item id='i'><e xmlns='urn:e'>x</e></item></publish><publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>http://jabber.org/protocol/pubsub#publish-options</value></field><field var='pubsub#max_items'><value>max</value></field><field var='pubsub#access_model'><value>open</value></field></x></publish-options></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'><item><e xmlns='urn:e'/></item></publish></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n' max_items='2'><item id='i'/></items></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='n'/><set xmlns='http://jabber.org/protocol/rsm'><max>2</max><after>i</after></set></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><retract node='n' notify='true'><item id='i'/></retract></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><create node='n'/><configure><x xmlns='jabber:x:data' type='submit'><field var='pubsub#title'><value>t</value></field></x></configure></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='n' jid='alice@localhost'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><unsubscribe node='n' jid='alice@localhost'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><subscriptions/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><affiliations node='n'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><configure node='n'><x xmlns='jabber:x:data' type='submit'><field var='pubsub#max_items'><value>3</value></field><field var='pubsub#roster_groups_allowed'><value>a</value><value>b</value></field></x></configure></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><default/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><purge node='n'/></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><delete node='n'><redirect uri='xmpp:x'/></delete></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><affiliations node='n'><affiliation jid='bob@localhost' affiliation='publisher'/></affiliations></pubsub>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'><subscriptions node='n'><subscription jid='alice@localhost' subscription='none'/></subscriptions></pubsub>",
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
        " to='pubsub.localhost'",
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
