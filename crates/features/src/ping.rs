//! XEP-0199, XMPP Ping: the server shows that it is there.

use whoelse_core::kit::{Answer, Cx, Feature, Reply, SERVER_OR_OWN};
use whoelse_xmpp::ns;
use whoelse_xmpp::payload::xmpp_parsers::ping::Ping;

/// XEP-0199.
pub const FEATURE: Feature = Feature {
    name: "ping",
    xeps: &[(199, "2.0.1")],
    disco: &[ns::PING],
    wire: |w| w.get(SERVER_OR_OWN, ping),
    ..Feature::PLAIN
};

async fn ping(_: Cx, _: Ping) -> Answer {
    Ok(Reply::empty())
}
