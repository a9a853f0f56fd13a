//! XEP-0334, Message Processing Hints: a sender says what servers should not do with a message, or
//! do though they would not.
//!
//! What is kept is one function of the rules (`whoelse_core::storage_policy`), and who gets a copy one of
//! carbon copies; hints are never taken out. Here it is said that they are understood.

use whoelse_core::kit::Feature;

/// XEP-0334. It names no feature for service discovery.
pub const FEATURE: Feature =
    Feature { name: "hints", xeps: &[(334, "1.0.0")], disco: &[], wire: |_| {} };
