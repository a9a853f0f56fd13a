//! Ours, docs/protocol.md: the server understands the mark that a request was typed by hand.
//!
//! What counts as activity is the router's to say (crate `core`); here clients learn that they
//! may send the mark.

use whoelse_core::kit::Feature;

/// The offer among the stream features.
pub const FEATURE: Feature = Feature {
    name: "activity",
    xeps: &[],
    disco: &[],
    wire: |w| w.offer("<activity xmlns='urn:whoelse:activity:0'/>"),
};
