//! The namespaces this program speaks, each named once.

/// RFC 6120: content namespace of a client's stream; the scanner returns it for any stream.
pub const CLIENT: &str = "jabber:client";
/// RFC 6120: content namespace between servers, on the wire.
pub const SERVER: &str = "jabber:server";
/// RFC 6120: the stream's own elements.
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// RFC 6120, 4.9: stream error conditions.
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// RFC 6120, 8.3: stanza error conditions.
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// RFC 6120, 5: STARTTLS.
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// RFC 6120, 6: SASL.
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// RFC 6120, 7: resource binding.
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// RFC 7395: the beginning and the end of a stream over a WebSocket.
pub const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// XEP-0124: the wrapper of what goes over BOSH.
pub const BOSH: &str = "http://jabber.org/protocol/httpbind";
/// XEP-0206: the stream's attributes on it.
pub const XBOSH: &str = "urn:xmpp:xbosh";
/// RFC 3921, 3: session establishment, kept as a no-op for old clients.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// The `xml` prefix.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The `xmlns` prefix.
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
/// XEP-0030.
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// XEP-0030.
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// XEP-0004.
pub const DATA: &str = "jabber:x:data";
/// XEP-0050.
pub const COMMANDS: &str = "http://jabber.org/protocol/commands";
/// XEP-0060: what anybody may ask for.
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// XEP-0060: what only an owner may ask for.
pub const PUBSUB_OWNER: &str = "http://jabber.org/protocol/pubsub#owner";
/// XEP-0060: what subscribers are told.
pub const PUBSUB_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// XEP-0060: the conditions of its errors.
pub const PUBSUB_ERRORS: &str = "http://jabber.org/protocol/pubsub#errors";
/// XEP-0060: the FORM_TYPE of a node's configuration.
pub const PUBSUB_NODE_CONFIG: &str = "http://jabber.org/protocol/pubsub#node_config";
/// XEP-0060: the FORM_TYPE of the preconditions of a publication.
pub const PUBSUB_PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
/// XEP-0060: the FORM_TYPE of what service discovery says about a node.
pub const PUBSUB_META_DATA: &str = "http://jabber.org/protocol/pubsub#meta-data";
/// XEP-0060: the FORM_TYPE of the question whether somebody may subscribe.
pub const PUBSUB_AUTHORIZATION: &str = "http://jabber.org/protocol/pubsub#subscribe_authorization";
/// XEP-0054.
pub const VCARD: &str = "vcard-temp";
/// XEP-0153: which avatar a client shows, in presence.
pub const VCARD_UPDATE: &str = "vcard-temp:x:update";
/// XEP-0084: the image of an avatar, and the node with it.
pub const AVATAR_DATA: &str = "urn:xmpp:avatar:data";
/// XEP-0084: what an avatar is, and the node with that.
pub const AVATAR_METADATA: &str = "urn:xmpp:avatar:metadata";
/// XEP-0398: avatars and photos of vCards are one.
pub const PEP_VCARD_CONVERSION: &str = "urn:xmpp:pep-vcard-conversion:0";
/// XEP-0402: bookmarks, and the node with an item for each.
pub const BOOKMARKS: &str = "urn:xmpp:bookmarks:1";
/// XEP-0402: the bookmarks are the same in private XML.
pub const BOOKMARKS_COMPAT: &str = "urn:xmpp:bookmarks:1#compat";
/// XEP-0402: the bookmarks are the same in a list at the node of XEP-0048.
pub const BOOKMARKS_COMPAT_PEP: &str = "urn:xmpp:bookmarks:1#compat-pep";
/// XEP-0048: a list of all bookmarks, and the node with it.
pub const BOOKMARKS_LIST: &str = "storage:bookmarks";
/// XEP-0411: the list is the same in private XML and at its node.
pub const BOOKMARKS_CONVERSION: &str = "urn:xmpp:bookmarks-conversion:0";
/// XEP-0490: up to where chats were displayed, and the node with an item for each.
pub const MDS_DISPLAYED: &str = "urn:xmpp:mds:displayed:0";
/// XEP-0490: the server publishes what a message says of that.
pub const MDS_SERVER_ASSIST: &str = "urn:xmpp:mds:server-assist:0";
/// XEP-0049.
pub const PRIVATE_STORAGE: &str = "jabber:iq:private";
/// XEP-0059.
pub const RSM: &str = "http://jabber.org/protocol/rsm";
/// XEP-0077: the IQ payload.
pub const REGISTER: &str = "jabber:iq:register";
/// XEP-0077: the stream feature.
pub const REGISTER_FEATURE: &str = "http://jabber.org/features/iq-register";
/// XEP-0092.
pub const VERSION: &str = "jabber:iq:version";
/// XEP-0160: offline messages, as a service discovery feature.
pub const OFFLINE: &str = "msgoffline";
/// XEP-0133: the FORM_TYPE of its forms; a command's node is this, `#` and its name.
pub const ADMIN: &str = "http://jabber.org/protocol/admin";
/// XEP-0166.
pub const JINGLE: &str = "urn:xmpp:jingle:1";
/// XEP-0166: the conditions of its errors.
pub const JINGLE_ERRORS: &str = "urn:xmpp:jingle:errors:1";
/// XEP-0184.
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// XEP-0191.
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// XEP-0191: the condition inside `not-acceptable`.
pub const BLOCKING_ERRORS: &str = "urn:xmpp:blocking:errors";
/// XEP-0198.
pub const SM: &str = "urn:xmpp:sm:3";
/// XEP-0199.
pub const PING: &str = "urn:xmpp:ping";
/// XEP-0202.
pub const TIME: &str = "urn:xmpp:time";
/// XEP-0203.
pub const DELAY: &str = "urn:xmpp:delay";
/// XEP-0045: what a user who enters a room says.
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// XEP-0045: what moderators and admins of a room ask for.
pub const MUC_ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// XEP-0045: what owners of a room ask for.
pub const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// XEP-0045: the FORM_TYPE of a room's configuration.
pub const MUC_CONFIG: &str = "http://jabber.org/protocol/muc#roomconfig";
/// XEP-0045: the FORM_TYPE of what a room says of itself.
pub const MUC_INFO: &str = "http://jabber.org/protocol/muc#roominfo";
/// XEP-0045: the FORM_TYPE of a registration with a room.
pub const MUC_REGISTER: &str = "http://jabber.org/protocol/muc#register";
/// XEP-0045: the FORM_TYPE of a request for voice.
pub const MUC_REQUEST: &str = "http://jabber.org/protocol/muc#request";
/// XEP-0045: a message has the same id for everybody.
pub const MUC_STABLE_ID: &str = "http://jabber.org/protocol/muc#stable_id";
/// XEP-0410: a self-ping is answered by the room.
pub const MUC_SELF_PING: &str = "http://jabber.org/protocol/muc#self-ping-optimization";
/// XEP-0421.
pub const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// XEP-0045: the elements that a room sends to a user.
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// XEP-0085.
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// XEP-0249.
pub const CONFERENCE: &str = "jabber:x:conference";
/// XEP-0280.
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// XEP-0297.
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// XEP-0313.
pub const MAM: &str = "urn:xmpp:mam:2";
/// XEP-0313, 10: queries by id, flipped pages and metadata.
pub const MAM_EXTENDED: &str = "urn:xmpp:mam:2#extended";
/// XEP-0122: what may be filled in.
pub const DATA_VALIDATE: &str = "http://jabber.org/protocol/xdata-validate";
/// XEP-0334.
pub const HINTS: &str = "urn:xmpp:hints";
/// XEP-0424.
pub const RETRACT: &str = "urn:xmpp:message-retract:1";
/// XEP-0424, 4: what was retracted leaves a tombstone in the archive.
pub const RETRACT_TOMBSTONE: &str = "urn:xmpp:message-retract:1#tombstone";
/// XEP-0424 as it was before 2022.
pub const RETRACT_OLD: &str = "urn:xmpp:message-retract:0";
/// XEP-0425.
pub const MODERATE: &str = "urn:xmpp:message-moderate:1";
/// XEP-0425 as it was before 2022, and XEP-0422, on which it stood.
pub const MODERATE_OLD: &str = "urn:xmpp:message-moderate:0";
/// XEP-0422.
pub const FASTEN: &str = "urn:xmpp:fasten:0";
/// XEP-0352.
pub const CLIENT_STATE: &str = "urn:xmpp:csi:0";
/// XEP-0359.
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// XEP-0380: this message is encrypted.
pub const EME: &str = "urn:xmpp:eme:0";
/// XEP-0478.
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// XEP-0115.
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// XEP-0012.
pub const LAST: &str = "jabber:iq:last";
/// XEP-0386.
pub const BIND2: &str = "urn:xmpp:bind:0";
/// XEP-0388.
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// XEP-0484.
pub const FAST: &str = "urn:xmpp:fast:0";
/// XEP-0440.
pub const SASL_CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// RFC 6121, 2: the roster.
pub const ROSTER: &str = "jabber:iq:roster";
/// RFC 6121, 2.6.1: the stream feature.
pub const ROSTER_VERSIONS: &str = "urn:xmpp:features:rosterver";
/// XEP-0353.
pub const JINGLE_MESSAGE: &str = "urn:xmpp:jingle-message:0";
/// Ours, docs/protocol.md: the Jingle application of a private chat.
pub const WHOELSE_PRIVATE: &str = "urn:whoelse:private:0";
/// Ours, docs/protocol.md: the Jingle transport of a private chat: a line between two clients.
pub const WHOELSE_LINE: &str = "urn:whoelse:line:0";
/// Ours: the relay that a server offers to private chats.
pub const WHOELSE_RELAY: &str = "urn:whoelse:relay:0";
/// Ours, docs/protocol.md: why a message was refused, for a local sender in `everyone` mode.
pub const WHOELSE_ERRORS: &str = "urn:whoelse:errors:0";
/// Ours, docs/protocol.md: this request was typed by hand, so it counts as activity.
pub const WHOELSE_ACTIVITY: &str = "urn:whoelse:activity:0";
/// Ours, docs/protocol.md: this message is a broadcast to everyone; only the server says so.
pub const WHOELSE_BROADCAST: &str = "urn:whoelse:broadcast:0";
/// Ours: what waits is sent to a session that begins along with its login.
pub const WHOELSE_WAITING: &str = "urn:whoelse:waiting:0";
/// Ours, docs/protocol.md: the ad-hoc commands; a command's node is this, `#` and its name.
pub const WHOELSE_COMMANDS: &str = "urn:whoelse:commands:0";
