//! Ours, docs/protocol.md: how many private chats are proposed (XEP-0353), for the operator: never
//! by whom, or to whom. The introductions themselves are messages like any other.

use whoelse_core::kit::{Feature, Flow, Passing, When};
use whoelse_xmpp::{Kind, ns};

/// The count.
pub const FEATURE: Feature = Feature {
    name: "introductions",
    xeps: &[],
    disco: &[],
    // After the guards of both ends: what a block refused introduces nobody.
    wire: |w| w.incoming(When::Mark, count),
    ..Feature::PLAIN
};

fn count(passing: &mut Passing<'_>) -> Flow {
    let stanza = passing.stanza;
    if stanza.kind() == Kind::Message
        && stanza.type_() != Some("error")
        && let Some(propose) = stanza.child("propose", ns::JINGLE_MESSAGE)
        && stanza.grandchildren(propose).iter().any(|it| it.is("description", ns::WHOELSE_PRIVATE))
    {
        passing.node.counters.introductions.inc();
    }
    Flow::On
}
