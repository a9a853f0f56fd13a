//! RFC 6121, 5, XEP-0359 and XEP-0203: writes and reads messages.
//!
//! A message carries its id twice, as `id` and as `origin-id`, so that the server recognises a
//! repetition and it appears once. When reading, only trustworthy claims count (security.md, row
//! 24): archive ids and times are taken only from the own account or the own server, and carbons
//! are ignored.

use std::collections::VecDeque;
use std::time::SystemTime;

use xmpp_parsers::date::DateTime;

use whoelse_xmpp::write::Element;
use whoelse_xmpp::{BareJid, Class, FullJid, Jid, Kind, Outgoing, Stanza, StanzaError, ns};

use crate::events::Message;
use crate::refusal::Refusal;

/// Most characters of a text. The server has the same limit.
pub const MAX_TEXT: usize = 10_000;
/// Archive ids that are remembered, so that messages repeated after a crash of the server are
/// shown once.
const REMEMBERED: usize = 1_000;

/// Writes a chat message to all devices of `to`.
pub fn write(to: &BareJid, id: &str, text: &str) -> Outgoing {
    Element::new("message")
        .attr("to", to.as_str())
        .attr("type", "chat")
        .attr("id", id)
        .child(Element::new("body").text(text))
        .child(Element::new("origin-id").xmlns(ns::STANZA_ID).attr("id", id))
        .outgoing(Class::Message)
}

/// The meaning of a message stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Somebody wrote.
    Message(Message),
    /// A message of mine was refused.
    Refused {
        /// Its id.
        id: String,
        /// Who refused it.
        from: Option<Jid>,
        /// The reason.
        why: Refusal,
    },
    /// Nothing to show: a receipt, a typing notice, something forged.
    Nothing,
}

/// Reads a message stanza that arrived in the session `me`.
pub fn read(stanza: &Stanza, me: &FullJid) -> Incoming {
    if stanza.kind() != Kind::Message {
        return Incoming::Nothing;
    }
    // A stanza without `from` is from the own account (RFC 6120, 8.1.2.1).
    let from = match stanza.from().map(Jid::parse) {
        None => Jid::from(me.to_bare()),
        Some(Ok(from)) => from,
        Some(Err(_)) => return Incoming::Nothing,
    };
    if stanza.type_() == Some("error") {
        let why = StanzaError::read(stanza).map_or(Refusal::Unreachable, |it| Refusal::of(&it));
        return match stanza.id() {
            Some(id) => Incoming::Refused { id: id.to_owned(), from: Some(from), why },
            None => Incoming::Nothing,
        };
    }
    // This client never enables carbons, so a carbon is forged or misdirected.
    if stanza.children().iter().any(|child| child.ns() == ns::CARBONS) {
        return Incoming::Nothing;
    }
    if stanza.type_() == Some("groupchat") {
        return Incoming::Nothing;
    }
    let text = match stanza.child_text("body", ns::CLIENT) {
        Some(text) if !text.is_empty() => text.to_string(),
        _ => return Incoming::Nothing,
    };
    let broadcast =
        stanza.type_() == Some("headline") && stanza.has("broadcast", ns::WHOELSE_BROADCAST);
    Incoming::Message(Message {
        from: from.to_bare(),
        text,
        id: archive_id(stanza, me),
        at: kept_since(stanza, me),
        broadcast,
    })
}

/// Returns when the own server stored the message. Anybody else's claim is ignored.
fn kept_since(stanza: &Stanza, me: &FullJid) -> Option<SystemTime> {
    let delay = stanza.children().iter().find(|child| {
        child.name() == "delay"
            && child.ns() == ns::DELAY
            && stanza.child_attr(child, "from").is_some_and(|by| speaks_for(&by, me))
    })?;
    parse_time(&stanza.child_attr(delay, "stamp")?)
}

/// Returns the id in my archive, which only my own account gives.
fn archive_id(stanza: &Stanza, me: &FullJid) -> Option<String> {
    let own = stanza.children().iter().find(|child| {
        child.name() == "stanza-id"
            && child.ns() == ns::STANZA_ID
            && stanza.child_attr(child, "by").is_some_and(|by| by == me.to_bare().as_str())
    })?;
    stanza.child_attr(own, "id").map(|id| id.to_string())
}

fn speaks_for(by: &str, me: &FullJid) -> bool {
    by == me.domain() || by == me.to_bare().as_str()
}

/// Reads a time as XEP-0082 writes it.
pub(crate) fn parse_time(text: &str) -> Option<SystemTime> {
    text.parse::<DateTime>().ok().map(|time| SystemTime::from(time.0))
}

/// The archive ids seen lately.
#[derive(Debug, Default)]
pub struct Seen(VecDeque<String>);

impl Seen {
    /// Returns whether the id is new, and remembers it.
    pub fn is_new(&mut self, id: &str) -> bool {
        if self.0.iter().any(|known| known == id) {
            return false;
        }
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(id.to_owned());
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn me() -> FullJid {
        FullJid::parse("me@a.example/here").unwrap()
    }

    fn read_xml(xml: &str) -> Incoming {
        read(&Stanza::parse(xml.as_bytes().to_vec()).unwrap(), &me())
    }

    fn message(xml: &str) -> Message {
        match read_xml(xml) {
            Incoming::Message(message) => message,
            other => panic!("no message: {other:?}"),
        }
    }

    #[test]
    fn a_message_carries_its_id_twice_and_its_text_escaped() {
        let to = BareJid::parse("bob@a.example").unwrap();

        let written = write(&to, "m1", "a < b & c");

        let stanza = Stanza::parse(written.bytes).unwrap();
        assert_eq!(stanza.id(), Some("m1"));
        assert_eq!(stanza.to(), Some("bob@a.example"));
        assert_eq!(stanza.child_text("body", ns::CLIENT).unwrap(), "a < b & c");
        let origin = stanza.child("origin-id", ns::STANZA_ID).unwrap();
        assert_eq!(stanza.child_attr(origin, "id").unwrap(), "m1");
    }

    #[test]
    fn a_chat_message_is_read() {
        let message =
            message("<message from='bob@a.example/x' type='chat'><body>a &lt; b</body></message>");

        assert_eq!(message.from.as_str(), "bob@a.example");
        assert_eq!(message.text, "a < b");
        assert_eq!((message.at, message.broadcast), (None, false));
    }

    #[test]
    fn a_broadcast_is_told_apart() {
        let xml = "<message from='bob@a.example/x' type='headline'><body>all</body>\
                   <broadcast xmlns='urn:whoelse:broadcast:0'/></message>";

        assert!(message(xml).broadcast);
        assert!(!message(&xml.replace("headline", "chat")).broadcast);
    }

    #[test]
    fn only_my_server_says_when_a_message_was_written() {
        let delayed = |by: &str| {
            message(&format!(
                "<message from='bob@a.example/x'><body>x</body>\
                 <delay xmlns='urn:xmpp:delay' from='{by}' stamp='2026-11-22T14:03:00Z'/></message>"
            ))
            .at
        };

        let then = parse_time("2026-11-22T14:03:00Z");
        assert!(then.is_some());
        assert_eq!(delayed("a.example"), then);
        assert_eq!(delayed("me@a.example"), then);
        assert_eq!(delayed("bob@a.example"), None);
        assert_eq!(delayed("b.example"), None);
    }

    #[test]
    fn only_my_account_numbers_my_archive() {
        let id = |xml: &str| message(xml).id;
        let forged = "<stanza-id xmlns='urn:xmpp:sid:0' by='bob@a.example' id='evil'/>";
        let own = "<stanza-id xmlns='urn:xmpp:sid:0' by='me@a.example' id='good'/>";
        let with =
            |ids: String| format!("<message from='bob@a.example/x'><body>x</body>{ids}</message>");

        assert_eq!(id(&with(format!("{forged}{own}"))), Some("good".to_owned()));
        assert_eq!(id(&with(forged.to_owned())), None);
    }

    // security.md, row 24.
    #[test]
    fn a_forged_carbon_shows_nothing() {
        for sender in ["mallory@a.example/x", "me@a.example", "a.example"] {
            let xml = format!(
                "<message from='{sender}'><body>outside</body>\
                 <received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
                 <message xmlns='jabber:client' from='alice@a.example/x'><body>inside</body>\
                 </message></forwarded></received></message>"
            );

            assert_eq!(read_xml(&xml), Incoming::Nothing, "from {sender}");
        }
    }

    #[test]
    fn a_refused_message_says_why_and_by_whom() {
        let xml = "<message from='bob@a.example' id='m1' type='error'><body>hi</body>\
                   <error type='cancel'>\
                   <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                   <blocked-you xmlns='urn:whoelse:errors:0'/></error></message>";

        let Incoming::Refused { id, from, why } = read_xml(xml) else { panic!("not refused") };

        assert_eq!(id, "m1");
        assert_eq!(from.unwrap().as_str(), "bob@a.example");
        assert_eq!(why, Refusal::BlockedYou);
    }

    #[test]
    fn what_has_nothing_to_say_shows_nothing() {
        for xml in [
            "<message from='bob@a.example/x'/>",
            "<message from='bob@a.example/x'><body/></message>",
            "<message from='bob@a.example/x'><body xmlns='urn:x'>x</body></message>",
            "<message from='bob@a.example/x' type='groupchat'><body>x</body></message>",
            "<message from='@'><body>x</body></message>",
            "<message from='bob@a.example/x' type='error'><body>x</body></message>",
            "<presence from='bob@a.example/x'/>",
        ] {
            assert_eq!(read_xml(xml), Incoming::Nothing, "{xml}");
        }
    }

    #[test]
    fn a_repeated_archive_id_is_noticed_and_the_memory_is_bounded() {
        let mut seen = Seen::default();

        assert!(seen.is_new("a"));
        assert!(!seen.is_new("a"));
        for n in 0..REMEMBERED {
            assert!(seen.is_new(&n.to_string()));
        }
        assert_eq!(seen.0.len(), REMEMBERED);
        assert!(seen.is_new("a"));
    }
}
