//! XEP-0160, Best Practices for Offline Messages, and XEP-0203, Delayed Delivery: a message that
//! arrives while nobody is there waits in the log and is delivered with the time at which it was
//! sent.
//!
//! The keeper (crate `core`) does the work: offline messages are a view of the log. This file only
//! announces it.

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
