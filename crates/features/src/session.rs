//! RFC 3921, 3: session establishment, which RFC 6120 removed and old clients still request.
//! COMPAT: for clients from before 2011; harmless.

use whoelse_core::kit::{Answer, Cx, Feature, Reply, SERVER_OR_OWN, Verb};
use whoelse_xmpp::{Child, Stanza, ns};

/// RFC 3921.
pub const FEATURE: Feature = Feature {
    name: "session",
    xeps: &[],
    disco: &[],
    wire: |w| w.on(Verb::Set, SERVER_OR_OWN, (ns::SESSION, "session"), begin),
    ..Feature::PLAIN
};

async fn begin(_: Cx, _: Stanza, _: Child) -> Answer {
    Ok(Reply::empty())
}
