//! XEP-0353 and XEP-0166: writes and reads the stanzas of an introduction.
//!
//! This file only parses: the server stamps the sender, and
//! [`Introductions`](crate::introduction::Introductions) decides what a stanza means.

use std::net::{IpAddr, SocketAddr};

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Child, Class, FullJid, Jid, Outgoing, Stanza, ns};

use crate::key::Key;

/// Longest id of a session, in bytes.
const MAX_SID: usize = 128;
/// Longest name of a device, in bytes.
const MAX_DEVICE: usize = 64;
/// Addresses that one end may name. More do not help, and each is tried.
pub(crate) const MAX_ADDRESSES: usize = 32;
/// The one content of our sessions (XEP-0166, 7.3).
const CONTENT: &str = "private";

/// XEP-0353: a message before there is a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// A request.
    Propose,
    /// Accepted, by this device.
    Proceed,
    /// Declined.
    Reject(Why),
    /// Withdrawn.
    Retract(Why),
    /// Failed or ended.
    Finish(Why),
}

/// XEP-0166, 7.4: the reasons that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Declined.
    Decline,
    /// Withdrawn.
    Cancel,
    /// Too many other requests.
    Busy,
    /// Expired.
    Expired,
    /// Both have asked at once, and the other request counts (XEP-0353, tie breaking).
    TieBreak,
    /// The peer did not continue.
    Timeout,
    /// There is no path between the two.
    Connectivity,
    /// The key is not the known one.
    Security,
    /// A stanza was invalid.
    Failed,
    /// Anything else.
    Other,
}

/// A message with its sender and session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) from: FullJid,
    pub(crate) sid: String,
    pub(crate) word: Word,
}

/// XEP-0166: the action of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Begins a session, with the sender's transport.
    Initiate(Result<Transport, Bad>),
    /// Accepts it, with the sender's transport.
    Accept(Result<Transport, Bad>),
    /// Ends it.
    Terminate(Why),
    /// A ping (XEP-0166, 6.8: a `session-info` without a payload).
    Ping,
    /// An action that these sessions do not have.
    Unknown,
}

/// An action with its sender and session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JingleRequest {
    pub(crate) from: FullJid,
    pub(crate) sid: String,
    pub(crate) act: Act,
}

/// The transport is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bad;

/// The addresses and the key of one end (docs/protocol.md, `urn:whoelse:line:0`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transport {
    /// The name of the device.
    pub(crate) device: String,
    /// The key that it proves on the line.
    pub(crate) key: Key,
    /// Its addresses.
    pub(crate) addresses: Vec<SocketAddr>,
    /// Whether it can be reached through the relay of the shared server.
    pub(crate) relay: bool,
}

impl Transport {
    /// Returns whether there can be a path between two ends at all.
    pub(crate) fn has_way_to(&self, other: &Transport) -> bool {
        self.relay && other.relay || !self.addresses.is_empty() && !other.addresses.is_empty()
    }
}

// ---- what is written ----

/// Writes a message under an id. It is not to be stored, because a request expires after a minute.
pub(crate) fn say(to: &Jid, id: &str, sid: &str, word: Word) -> Outgoing {
    let (name, why) = match word {
        Word::Propose => ("propose", None),
        Word::Proceed => ("proceed", None),
        Word::Reject(why) => ("reject", Some(why)),
        Word::Retract(why) => ("retract", Some(why)),
        Word::Finish(why) => ("finish", Some(why)),
    };
    let mut said = Element::new(name).xmlns(ns::JINGLE_MESSAGE).attr("id", sid);
    if word == Word::Propose {
        said = said.child(Element::new("description").xmlns(ns::WHOELSE_PRIVATE));
    }
    if let Some(why) = why {
        said = said.child(reason(why));
        if why == Why::TieBreak {
            said = said.child(Element::new("tie-break"));
        }
    }
    Element::new("message")
        .attr("to", to.as_str())
        .attr("type", "chat")
        .attr("id", id)
        .child(said)
        .child(Element::new("no-store").xmlns(ns::HINTS))
        .outgoing(Class::Message)
}

/// Returns the payload that begins a session.
pub(crate) fn initiate(sid: &str, me: &FullJid, mine: &Transport) -> Element {
    jingle("session-initiate", sid).attr("initiator", me.as_str()).child(content(mine))
}

/// Returns the payload that accepts it.
pub(crate) fn accept(sid: &str, me: &FullJid, mine: &Transport) -> Element {
    jingle("session-accept", sid).attr("responder", me.as_str()).child(content(mine))
}

/// Returns the payload that ends it.
pub(crate) fn terminate(sid: &str, why: Why) -> Element {
    jingle("session-terminate", sid).child(reason(why))
}

fn jingle(action: &str, sid: &str) -> Element {
    Element::new("jingle").xmlns(ns::JINGLE).attr("action", action).attr("sid", sid)
}

fn reason(why: Why) -> Element {
    let condition = CONDITIONS.iter().find(|(known, _)| *known == why).map(|(_, name)| *name);
    let condition = Element::new(condition.unwrap_or("general-error"));
    Element::new("reason").xmlns(ns::JINGLE).child(condition)
}

fn content(mine: &Transport) -> Element {
    let key = mine.key.to_string();
    let mut transport = Element::new("transport")
        .xmlns(ns::WHOELSE_LINE)
        .attr("device", &mine.device)
        .attr("key", &key);
    for address in &mine.addresses {
        transport = transport.child(
            Element::new("address")
                .attr("ip", &address.ip().to_string())
                .attr("port", &address.port().to_string()),
        );
    }
    if mine.relay {
        transport = transport.child(Element::new("relay"));
    }
    Element::new("content")
        .attr("creator", "initiator")
        .attr("name", CONTENT)
        .child(Element::new("description").xmlns(ns::WHOELSE_PRIVATE))
        .child(transport)
}

/// The name of each reason; if two share a name, the first is what reading gives.
const CONDITIONS: &[(Why, &str)] = &[
    (Why::Decline, "decline"),
    (Why::Cancel, "cancel"),
    (Why::Busy, "busy"),
    (Why::Expired, "expired"),
    (Why::TieBreak, "expired"),
    (Why::Timeout, "timeout"),
    (Why::Connectivity, "connectivity-error"),
    (Why::Security, "security-error"),
    (Why::Failed, "failed-transport"),
];

// ---- what is read ----

/// Reads a message that is, or may be, about a private chat: only a proposal names its subject.
pub(crate) fn said(stanza: &Stanza) -> Option<Said> {
    let child = stanza.children().iter().find(|child| child.ns() == ns::JINGLE_MESSAGE)?;
    let sid = sid(stanza.child_attr(child, "id")?.as_str())?;
    let word = match child.name() {
        "propose" => {
            let about = stanza.grandchildren(child);
            about
                .iter()
                .any(|it| it.is("description", ns::WHOELSE_PRIVATE))
                .then_some(Word::Propose)?
        }
        "proceed" => Word::Proceed,
        "reject" => Word::Reject(why(stanza, child)),
        "retract" => Word::Retract(why(stanza, child)),
        "finish" => Word::Finish(why(stanza, child)),
        _ => return None,
    };
    Some(Said { from: FullJid::parse(stanza.from()?).ok()?, sid, word })
}

/// Reads a Jingle request. Its transport may still be invalid.
pub(crate) fn read_request(stanza: &Stanza) -> Option<JingleRequest> {
    let jingle = stanza.child("jingle", ns::JINGLE)?;
    let from = FullJid::parse(stanza.from()?).ok()?;
    let sid = sid(stanza.child_attr(jingle, "sid")?.as_str())?;
    let act = match stanza.child_attr(jingle, "action")?.as_str() {
        "session-initiate" => Act::Initiate(transport(stanza, jingle)),
        "session-accept" => Act::Accept(transport(stanza, jingle)),
        "session-terminate" => Act::Terminate(why(stanza, jingle)),
        "session-info" if stanza.grandchildren(jingle).is_empty() => Act::Ping,
        _ => Act::Unknown,
    };
    Some(JingleRequest { from, sid, act })
}

fn sid(text: &str) -> Option<String> {
    let sound = (1..=MAX_SID).contains(&text.len()) && !text.chars().any(char::is_control);
    sound.then(|| text.to_owned())
}

/// Reads the reason below an element; a tie-break is beside it.
fn why(stanza: &Stanza, parent: &Child) -> Why {
    let children = stanza.grandchildren(parent);
    if children.iter().any(|child| child.name() == "tie-break") {
        return Why::TieBreak;
    }
    let Some(reason) = children.iter().find(|child| child.is("reason", ns::JINGLE)) else {
        return Why::Other;
    };
    let conditions = stanza.grandchildren(reason);
    let known = |name: &str| CONDITIONS.iter().find(|(_, known)| *known == name);
    conditions.iter().find_map(|it| known(it.name())).map_or(Why::Other, |(why, _)| *why)
}

/// Reads the transport of a session's one content, which must be a private chat's.
fn transport(stanza: &Stanza, jingle: &Child) -> Result<Transport, Bad> {
    let contents = stanza.grandchildren(jingle);
    let [content] = contents.as_slice() else { return Err(Bad) };
    let parts = stanza.grandchildren(content);
    let is_ours = parts.iter().any(|part| part.is("description", ns::WHOELSE_PRIVATE));
    let found = parts.iter().find(|part| part.is("transport", ns::WHOELSE_LINE));
    let (true, Some(found)) = (is_ours, found) else { return Err(Bad) };
    let attr = |name| stanza.child_attr(found, name).ok_or(Bad);
    let device = attr("device")?.to_string();
    if device.is_empty() || device.len() > MAX_DEVICE || !device.bytes().all(is_plain) {
        return Err(Bad);
    }
    let key = Key::parse(attr("key")?.as_str()).ok_or(Bad)?;
    let ways = stanza.grandchildren(found);
    let named = || ways.iter().filter(|way| way.is("address", ns::WHOELSE_LINE));
    if named().count() > MAX_ADDRESSES {
        return Err(Bad);
    }
    let mut addresses = Vec::new();
    for way in named() {
        let of = |name| stanza.child_attr(way, name).ok_or(Bad);
        let ip: IpAddr = of("ip")?.parse().map_err(|_| Bad)?;
        let port: u16 = of("port")?.parse().map_err(|_| Bad)?;
        let address = SocketAddr::new(ip.to_canonical(), port);
        if may_be_tried(&address) && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let relay = ways.iter().any(|way| way.is("relay", ns::WHOELSE_LINE));
    Ok(Transport { device, key, addresses, relay })
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Returns whether packets may be sent to an address that a peer has named: it must be that of one
/// host, with a port.
fn may_be_tried(address: &SocketAddr) -> bool {
    let one = match address.ip() {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast() && !ip.is_unspecified(),
        IpAddr::V6(ip) => !ip.is_multicast() && !ip.is_unspecified(),
    };
    one && address.port() != 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ALICE: &str = "alice@a.example/desk";

    fn from_alice(out: &Outgoing) -> Stanza {
        let text = std::str::from_utf8(&out.bytes).unwrap();
        let stamped = text.replacen(" to=", &format!(" from='{ALICE}' to="), 1);
        Stanza::parse(stamped.into_bytes()).unwrap()
    }

    fn request(payload: Element) -> Stanza {
        let iq = Element::new("iq").attr("type", "set").attr("from", ALICE).attr("id", "q");
        Stanza::parse(iq.child(payload).finish()).unwrap()
    }

    fn mine() -> Transport {
        Transport {
            device: "d1".to_owned(),
            key: Key::of([7; 32]),
            addresses: vec!["192.0.2.1:4000".parse().unwrap(), "[2001:db8::1]:5".parse().unwrap()],
            relay: true,
        }
    }

    fn me() -> FullJid {
        FullJid::parse("bob@a.example/x").unwrap()
    }

    #[test]
    fn every_word_reads_back_as_it_was_said() {
        let to = Jid::parse("bob@a.example").unwrap();
        for word in [
            Word::Propose,
            Word::Proceed,
            Word::Reject(Why::Decline),
            Word::Reject(Why::TieBreak),
            Word::Retract(Why::Cancel),
            Word::Retract(Why::TieBreak),
            Word::Finish(Why::Expired),
        ] {
            let stanza = from_alice(&say(&to, "m1", "s1", word));

            let said = said(&stanza).unwrap();

            assert_eq!((said.sid.as_str(), said.word), ("s1", word));
            assert_eq!(said.from.as_str(), ALICE);
            assert!(stanza.has("no-store", ns::HINTS), "nobody is to store it");
        }
    }

    #[test]
    fn a_proposal_of_something_else_is_none_of_ours() {
        let call = "<message from='alice@a.example/x'><propose xmlns='urn:xmpp:jingle-message:0' \
                    id='s'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>\
                    </propose></message>";

        assert_eq!(said(&Stanza::parse(call.as_bytes().to_vec()).unwrap()), None);
    }

    #[test]
    fn a_transport_reads_back_as_it_was_written() {
        let asked = |payload| super::read_request(&request(payload)).unwrap();

        let it = asked(initiate("s1", &me(), &mine()));
        assert_eq!((it.sid.as_str(), it.act), ("s1", Act::Initiate(Ok(mine()))));
        let it = asked(accept("s1", &me(), &mine()));
        assert_eq!(it.act, Act::Accept(Ok(mine())));
        let it = asked(terminate("s1", Why::Security));
        assert_eq!(it.act, Act::Terminate(Why::Security));
    }

    #[test]
    fn more_addresses_than_a_device_can_have_are_refused() {
        let with = |count: u16| {
            let addresses = (1..=count).map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
            let it = Transport { addresses: addresses.collect(), relay: false, ..mine() };
            super::read_request(&request(initiate("s1", &me(), &it))).unwrap().act
        };

        assert!(matches!(with(32), Act::Initiate(Ok(it)) if it.addresses.len() == 32));
        assert_eq!(with(33), Act::Initiate(Err(Bad)));
        assert_eq!(with(10_000), Act::Initiate(Err(Bad)));
    }

    #[test]
    fn an_address_that_is_no_machine_is_left_out() {
        let addresses =
            ["224.0.0.1:9", "255.255.255.255:9", "0.0.0.0:9", "192.0.2.1:0", "[ff02::1]:9"];
        let addresses = addresses.map(|text| text.parse().unwrap()).to_vec();
        let it = Transport { addresses, ..mine() };

        let read = super::read_request(&request(initiate("s1", &me(), &it))).unwrap().act;

        assert!(matches!(read, Act::Initiate(Ok(it)) if it.addresses.is_empty()));
    }

    #[test]
    fn nonsense_in_a_transport_is_told_apart_from_a_session_that_is_none() {
        let good = initiate("s1", &me(), &mine()).finish();
        let good = std::str::from_utf8(&good).unwrap().to_owned();
        let read = |payload: String| {
            let xml = format!("<iq type='set' from='{ALICE}' id='q'>{payload}</iq>");
            super::read_request(&Stanza::parse(xml.into_bytes()).unwrap()).map(|it| it.act)
        };

        for (from, to) in [
            ("device='d1'", "device=''"),
            ("device='d1'", "device='a b'"),
            ("device='d1'", "device='\u{202e}'"),
            ("key='07", "key='7"),
            ("urn:whoelse:line:0", "urn:whoelse:line:9"),
            ("urn:whoelse:private:0", "urn:xmpp:jingle:apps:rtp:1"),
            ("ip='192.0.2.1'", "ip='a.example'"),
            ("port='4000'", "port='65536'"),
        ] {
            assert!(good.contains(from), "{from}");
            assert_eq!(read(good.replace(from, to)), Some(Act::Initiate(Err(Bad))), "{to}");
        }
        assert_eq!(read(good.replace("sid='s1'", "")), None);
        assert_eq!(read(good.replace("sid='s1'", &format!("sid='{}'", "x".repeat(129)))), None);
        assert_eq!(read(good.replace("session-initiate", "content-add")), Some(Act::Unknown));
    }

    #[test]
    fn two_ends_need_a_way_that_both_have() {
        let direct = Transport { relay: false, ..mine() };
        let hidden = Transport { addresses: Vec::new(), ..mine() };

        assert!(mine().has_way_to(&direct) && mine().has_way_to(&hidden));
        assert!(!direct.has_way_to(&hidden));
    }
}
