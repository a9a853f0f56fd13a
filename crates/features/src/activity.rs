//! Ours, docs/protocol.md: the server understands the mark of a request that was typed by hand.
//!
//! A message with content is activity by itself; features say what else is.

use whoelse_core::kit::Feature;
use whoelse_xmpp::{Kind, Stanza, ns};

/// The mark, and the offer among the stream features.
pub const FEATURE: Feature = Feature {
    name: "activity",
    xeps: &[],
    disco: &[],
    wire: |w| {
        w.offer("<activity xmlns='urn:whoelse:activity:0'/>");
        w.beside_requests(ns::WHOELSE_ACTIVITY);
        w.activity(is_typed_by_hand);
    },
    ..Feature::PLAIN
};

fn is_typed_by_hand(stanza: &Stanza) -> bool {
    stanza.kind() == Kind::Iq && stanza.has("by-hand", ns::WHOELSE_ACTIVITY)
}
