//! Ours, docs/protocol.md: counts for the operator how many private chats are proposed (XEP-0353),
//! but never by whom, or to whom. The introductions themselves are messages like any other.

use whoelse_core::counters;
use whoelse_core::counters::Counter;
use whoelse_core::kit::{Feature, Flow, Passing, When};
use whoelse_xmpp::{Kind, ns};

/// The counter.
pub const FEATURE: Feature = Feature {
    name: "introductions",
    xeps: &[],
    disco: &[],
    counters: &[Counters::GROUP],
    // It runs after the guards of both ends: an introduction that a block refused is not counted.
    wire: |w| w.incoming(When::Mark, count),
    ..Feature::PLAIN
};

counters! {
    /// What is counted of introductions.
    pub struct Counters {
        /// Requests for a private chat, without those that a block refused; never who asked whom.
        introductions: Counter = "whoelse_introductions";
    }
}

fn count(passing: &mut Passing<'_>) -> Flow {
    let stanza = passing.stanza;
    if stanza.kind() == Kind::Message
        && stanza.type_() != Some("error")
        && let Some(propose) = stanza.child("propose", ns::JINGLE_MESSAGE)
        && stanza.grandchildren(propose).iter().any(|it| it.is("description", ns::WHOELSE_PRIVATE))
    {
        passing.node.counters.of::<Counters>().introductions.inc();
    }
    Flow::On
}
