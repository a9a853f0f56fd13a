//! Removes spoofed elements from what users send, which only the server may say: carbon wrappers
//! (XEP-0280, security row 24), archive results (XEP-0313, row 27), the mark of a broadcast, and
//! `delay` in our name (XEP-0203).

use whoelse_core::kit::{Feature, Flow, Passing, When};
use whoelse_xmpp::{Jid, Kind, ns};

/// The stripping of forged wrappers.
pub const FEATURE: Feature = Feature {
    name: "forgeries",
    xeps: &[],
    disco: &[],
    wire: |w| w.outgoing(When::Mark, strip),
    ..Feature::PLAIN
};

fn strip(passing: &mut Passing<'_>) -> Flow {
    if passing.stanza.kind() != Kind::Message {
        return Flow::On;
    }
    for (place, child) in passing.stanza.children().iter().enumerate() {
        let forged = match (child.name(), child.ns()) {
            ("sent" | "received", ns::CARBONS) => true,
            ("result" | "fin", ns::MAM) => true,
            ("broadcast", ns::WHOELSE_BROADCAST) => true,
            ("delay", ns::DELAY) => {
                let from = passing.stanza.child_attr(child, "from").unwrap_or_default();
                Jid::parse(&from).is_ok_and(|from| from.domain() == passing.node.domain_name())
            }
            _ => false,
        };
        if forged {
            passing.strip.push(place);
        }
    }
    Flow::On
}
