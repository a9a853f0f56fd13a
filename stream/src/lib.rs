//! The conversation from the first byte to an open session, both ends: bytes, events and answers in, bytes and steps out.

pub mod binding;
pub mod plain;
pub mod scram;
pub mod secret;
pub mod token;

pub use binding::ChannelBindings;
pub use secret::Password;
pub use token::token;
