//! whoelse features.
