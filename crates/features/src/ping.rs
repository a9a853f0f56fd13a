//! XEP-0199, XMPP Ping: the server shows that it is there, and so do its services.

use whoelse_core::kit::{ANY_SERVICE, Answer, Cx, Feature, Reply, Target};
use whoelse_xmpp::ns;
use whoelse_xmpp::payload::xmpp_parsers::ping::Ping;

/// XEP-0199.
pub const FEATURE: Feature = Feature {
    name: "ping",
    xeps: &[(199, "2.0.1")],
    disco: &[ns::PING],
    wire: |w| w.get(&[Target::Server, Target::Own, ANY_SERVICE], ping),
    ..Feature::PLAIN
};

async fn ping(_: Cx, _: Ping) -> Answer {
    Ok(Reply::empty())
}
