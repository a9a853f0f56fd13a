//! whoelse stream.
