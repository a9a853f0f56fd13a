//! Private chats: whatever the peer of a line or somebody who asks for a chat sends, this device
//! does not panic, grow without bound, or reveal its addresses.

use whoelse_p2p::fuzzing;

use crate::choices::Choices;

const ON_A_LINE: &[&str] = &[
    "<message id='1'><body>hi</body><request xmlns='urn:xmpp:receipts'/></message>",
    "<message><body>hi</body></message>",
    "<message id='1'/>",
    "<message><received xmlns='urn:xmpp:receipts' id='1'/></message>",
    "<message><received xmlns='urn:xmpp:receipts'/></message>",
    "<message type='error'><body>hi</body></message>",
    "<presence/>",
    "<iq type='get' id='1'/>",
    "<stream:error/>",
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    "</stream:stream>",
    "<message>",
    "</message>",
    "<body>",
    "&amp;",
    "&#0;",
    "<!--x-->",
    "<![CDATA[x]]>",
    " ",
    "é",
];

const TO_A_DEVICE: &[&str] = &[
    "<propose xmlns='urn:xmpp:jingle-message:0' id='s'><description xmlns='urn:whoelse:private:0'/></propose>",
    "<proceed xmlns='urn:xmpp:jingle-message:0' id='s'/>",
    "<reject xmlns='urn:xmpp:jingle-message:0' id='s'><reason xmlns='urn:xmpp:jingle:1'><expired/></reason><tie-break/></reject>",
    "<retract xmlns='urn:xmpp:jingle-message:0' id='s'/>",
    "<finish xmlns='urn:xmpp:jingle-message:0'/>",
    "<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='s'/>",
    "<jingle xmlns='urn:xmpp:jingle:1' action='session-accept' sid='s'><content name='private'>",
    "<description xmlns='urn:whoelse:private:0'/>",
    "<transport xmlns='urn:whoelse:line:0' device='d' key='00'/>",
    "<transport xmlns='urn:whoelse:line:0' device='d' key='0707070707070707070707070707070707070707070707070707070707070707'>",
    "<address ip='192.0.2.1' port='1'/>",
    "<address ip='::' port='99999'/>",
    "<relay/>",
    "</transport>",
    "</content>",
    "</jingle>",
    "<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='s'><reason><success/></reason></jingle>",
    "<x xmlns='urn:y'/>",
];

/// What the other end of a line says: these bytes, and what they describe.
pub fn line(data: &[u8]) {
    fuzzing::line(data);
    fuzzing::line(put_together(data, ON_A_LINE).as_bytes());
}

/// What somebody says to a device: these bytes, and what they describe.
pub fn introduction(data: &[u8]) {
    fuzzing::introduction(data);
    let (from, payload) = ("from='bob@a.example/x'", put_together(data, TO_A_DEVICE));
    fuzzing::introduction(format!("<message {from}>{payload}</message>").as_bytes());
    fuzzing::introduction(format!("<iq type='set' id='q' {from}>{payload}</iq>").as_bytes());
}

fn put_together(data: &[u8], pieces: &[&str]) -> String {
    let mut choices = Choices::new(data);
    let mut text = String::new();
    while !choices.is_empty() && text.len() < 16 << 10 {
        text.push_str(choices.pick(pieces));
    }
    text
}
