//! whoelse testkit.
