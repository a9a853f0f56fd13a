//! Everything but chatting: running a server, and looking after one that runs.

pub mod server;
