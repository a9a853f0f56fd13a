//! whoelse client.
