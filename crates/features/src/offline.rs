//! XEP-0160, Best Practices for Offline Messages, and XEP-0203, Delayed Delivery: what arrives
//! while nobody is there waits in the log and comes with the time it was sent.
//!
//! The work is the keeper's (crate `core`): offline messages are a view of the log. Here it is said.

use whoelse_core::kit::Feature;
use whoelse_xmpp::ns;

/// XEP-0160 and XEP-0203.
pub const FEATURE: Feature = Feature {
    name: "offline",
    xeps: &[(160, "1.0.1"), (203, "2.0")],
    disco: &[ns::OFFLINE, ns::DELAY],
    is_of_the_rules: true,
    ..Feature::PLAIN
};
