//! XEP-0359, Unique and Stable Stanza IDs: only the server assigns ids in its name.
//!
//! The ids are added where a message gets its number (crate `core`). This file removes *every* id
//! that claims to be by us from what users send, not only the first (security row 28).

use whoelse_core::kit::{Feature, Flow, Passing, When};
use whoelse_xmpp::{Jid, Kind, ns};

/// XEP-0359.
pub const FEATURE: Feature = Feature {
    name: "stanza-ids",
    xeps: &[(359, "0.7.0")],
    disco: &[ns::STANZA_ID],
    wire: |w| w.outgoing(When::Mark, strip_claims),
    ..Feature::PLAIN
};

fn strip_claims(passing: &mut Passing<'_>) -> Flow {
    if passing.stanza.kind() != Kind::Message {
        return Flow::On;
    }
    let domain = passing.node.domain_name();
    for (place, child) in passing.stanza.children().iter().enumerate() {
        if child.name() != "stanza-id" || child.ns() != ns::STANZA_ID {
            continue;
        }
        let by = passing.stanza.child_attr(child, "by").unwrap_or_default();
        // An id without a name claims nothing that it could prove; it is removed, too.
        let ours = Jid::parse(&by).map_or(true, |by| by.domain() == domain);
        if ours {
            passing.strip.push(place);
        }
    }
    Flow::On
}
