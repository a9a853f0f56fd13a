//! XEP-0092, Software Version: name and version of this program. It does not tell the operating
//! system.

use whoelse_core::kit::{Answer, Cx, Feature, Reply, SERVER};
use whoelse_xmpp::ns;
use whoelse_xmpp::payload::xmpp_parsers::version::{VersionQuery, VersionResult};

/// XEP-0092.
pub const FEATURE: Feature = Feature {
    name: "version",
    xeps: &[(92, "1.1")],
    disco: &[ns::VERSION],
    wire: |w| w.get(SERVER, version),
    ..Feature::PLAIN
};

async fn version(_: Cx, _: VersionQuery) -> Answer {
    Ok(Reply::of(&VersionResult {
        name: "whoelse".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        os: None,
    }))
}
