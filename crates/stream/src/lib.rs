//! The conversation from the first byte to an open session, both ends, without a socket or a clock.
//!
//! A machine takes the bytes that arrived, and the events and answers of its driver. It returns the
//! bytes to write and the steps to take. The crates above handle sockets, TLS, time, accounts and
//! everything after the session is open.
//! Read first: [`c2s::Machine`] (the accepting end) and [`client::Machine`] (the connecting one).

pub mod binding;
mod bodies;
pub mod bosh;
pub mod c2s;
pub mod client;
pub mod der;
mod end_point;
pub mod fast;
pub mod features;
pub mod framing;
mod header;
pub mod hex;
pub mod ht;
mod messages;
pub mod plain;
mod pump;
pub mod sasl;
pub mod sasl2;
pub mod scram;
pub mod secret;
pub mod sm;
pub mod token;
mod transport;
pub mod websocket;

pub use binding::ChannelBindings;
pub use end_point::server_end_point;
pub use features::Features;
pub use framing::{Framing, Output};
pub use secret::Password;
pub use token::token;
pub use transport::Transport;
