//! XEP-0424, Message Retraction, between two people: what somebody takes back of what they have said
//! to the other leaves a tombstone in the archives of both, and in what waits. Whose message it is, is
//! known by the archives; a retraction of anything else is a message and nothing more.
//!
//! A retraction is never taken back itself: clients that were away learn of it from the archive (6).
//! Rooms retract in an order of their own (`muc/tombstone.rs`).

use whoelse_core::kit::Feature;
use whoelse_core::kit::taps::Replacing;
use whoelse_core::settings::count;
use whoelse_core::storage_policy::StoragePolicy;
use whoelse_core::{Node, Time, settings};
use whoelse_xmpp::write::Element;
use whoelse_xmpp::{Class, Stanza, ns};

/// XEP-0424.
pub const FEATURE: Feature = Feature {
    name: "retraction",
    xeps: &[(424, "0.4.2")],
    disco: &[ns::RETRACT, ns::RETRACT_TOMBSTONE],
    settings: &[Limits::SETTINGS],
    wire: |w| {
        w.storage(keep);
        w.replace(retract);
    },
    ..Feature::PLAIN
};

settings! {
    /// Bounds of what is looked at for one retraction.
    struct Limits in "limits" {
        /// Messages of two people among which one that is taken back is looked for, from the newest on
        /// (XEP-0424). An older one stays in the archives: no index has the ids that clients give, since
        /// every message would pay for it.
        retracted_among: u32 = 500, count();
    }
}

/// 2: a server that knows retractions sees to it that they are archived, whatever else is in them.
fn keep(message: &Stanza, policy: StoragePolicy) -> StoragePolicy {
    match policy {
        StoragePolicy::Never if message.has("retract", ns::RETRACT) => StoragePolicy::Archived,
        policy => policy,
    }
}

/// The retraction of a message, as its tombstone tells of it.
struct Retraction {
    /// The id of what is taken back.
    of: String,
    /// The id of the retraction itself.
    by: String,
    at: Time,
    among: u32,
}

/// One without an id of its own replaces nothing: a tombstone must name it (5).
fn retract(node: &Node, message: &Stanza) -> Option<Box<dyn Replacing>> {
    let retract = message.child("retract", ns::RETRACT)?;
    let is_named = |id: &String| !id.is_empty();
    Some(Box::new(Retraction {
        of: message.child_attr(retract, "id").map(String::from).filter(is_named)?,
        by: message.id().map(str::to_owned).filter(is_named)?,
        at: node.clock.now(),
        among: node.settings().of::<Limits>().retracted_among,
    }))
}

impl Replacing for Retraction {
    fn among(&self) -> u32 {
        self.among
    }

    /// 6.1: by the id of the message; old clients have put it into an `<origin-id/>` alone.
    fn is_meant(&self, earlier: &Stanza) -> bool {
        let origin = earlier.child("origin-id", ns::STANZA_ID);
        let origin = origin.and_then(|child| earlier.child_attr(child, "id"));
        earlier.id() == Some(self.of.as_str()) || origin.is_some_and(|id| id == self.of)
    }

    /// 5: that there was a message, and that it was retracted. What was so already stays.
    fn instead_of(&self, earlier: &Stanza) -> Option<Vec<u8>> {
        if earlier.has("retracted", ns::RETRACT) || earlier.has("retract", ns::RETRACT) {
            return None;
        }
        let tombstone = Element::new("message")
            .attr_opt("to", earlier.to())
            .attr_opt("type", earlier.type_())
            .attr_opt("id", earlier.id())
            .child(retracted(self.at, Some(&self.by)));
        Some(tombstone.outgoing(Class::Message).bytes.to_vec())
    }
}

/// Writes that a message was retracted: when, and by which message.
pub(crate) fn retracted(at: Time, by: Option<&str>) -> Element {
    let element = Element::new("retracted").xmlns(ns::RETRACT);
    element.attr_opt("id", by).attr("stamp", &at.stamp())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn retraction() -> Retraction {
        Retraction { of: "a".into(), by: "r".into(), at: Time(0), among: 1 }
    }

    fn message(id: &str, children: &str) -> Stanza {
        let text = format!("<message to='bob@a.example' type='chat'{id}>{children}</message>");
        Stanza::parse(text).unwrap()
    }

    #[test]
    fn a_message_is_meant_by_its_id_or_its_origin_id() {
        let origin = "<origin-id xmlns='urn:xmpp:sid:0' id='a'/>";
        for (id, children, is_meant) in [
            (" id='a'", "<body>x</body>", true),
            (" id='b'", "<body>x</body>", false),
            (" id='b'", origin, true),
            ("", origin, true),
            ("", "<stanza-id xmlns='urn:xmpp:sid:0' id='a'/>", false),
        ] {
            let earlier = message(id, children);
            assert_eq!(retraction().is_meant(&earlier), is_meant, "{id} {children}");
        }
    }

    #[test]
    fn nothing_of_what_was_said_is_left() {
        let said = "<subject>x</subject><body>x</body><thread>x</thread>";

        let left = retraction().instead_of(&message(" id='a'", said)).unwrap();

        assert_eq!(
            String::from_utf8(left).unwrap(),
            "<message to='bob@a.example' type='chat' id='a'><retracted \
            xmlns='urn:xmpp:message-retract:1' id='r' stamp='1970-01-01T00:00:00.000Z'/></message>"
        );
    }

    #[test]
    fn a_tombstone_and_a_retraction_stay() {
        for child in ["retracted", "retract"] {
            let child = format!("<{child} xmlns='urn:xmpp:message-retract:1' id='x'/>");
            assert_eq!(retraction().instead_of(&message(" id='a'", &child)), None, "{child}");
        }
    }

    #[test]
    fn a_retraction_without_content_is_kept_too() {
        let retraction = |type_: &str, children: &str| {
            let text = format!("<message type='{type_}'>{children}</message>");
            keep(&Stanza::parse(text).unwrap(), StoragePolicy::Never)
        };
        let word = "<retract xmlns='urn:xmpp:message-retract:1' id='a'/>";

        assert_eq!(retraction("chat", word), StoragePolicy::Archived);
        assert_eq!(retraction("groupchat", word), StoragePolicy::Archived);
        let ringing = "<retract xmlns='urn:xmpp:jingle-message:0' id='a'/>";
        assert_eq!(retraction("chat", ringing), StoragePolicy::Never);
        let stays = |policy| keep(&Stanza::parse("<message type='chat'/>").unwrap(), policy);
        assert_eq!(stays(StoragePolicy::UntilDelivered), StoragePolicy::UntilDelivered);
    }
}
