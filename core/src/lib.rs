//! whoelse core.
