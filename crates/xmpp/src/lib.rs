//! The words of the protocol: addresses, the XML scanner, stanza envelopes, payload types, errors.
//!
//! This crate knows nothing of connections, accounts or storage; the crates above handle those.
//! Read first: [`Stanza`] (what arrived, parsed in one pass, bytes kept as they came) and
//! [`Outgoing`] (what is sent, encoded once and shared by every queue).

pub mod error;
pub mod jid;
mod name;
pub mod nickname;
pub mod ns;
pub mod payload;
pub mod scanner;
pub mod stanza;
mod system;
pub mod write;

pub use error::{Condition, ErrorType, StanzaError, StreamCondition, StreamError};
pub use jid::{BareJid, FullJid, Jid, JidError};
pub use payload::Payload;
pub use scanner::{Body, Frame, Limits, ScanError, Scanner, StreamHeader};
pub use stanza::{Child, Edit, Kind, Stanza};
pub use system::in_words;
pub use write::{Class, Element, Outgoing, Rewrite, rewrite};
