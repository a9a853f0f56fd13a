//! whoelse server.
