//! Private chats: a direct encrypted line between two clients, without the server.
//!
//! The server introduces the two ([`introduction`](crate::introduction), by XEP-0353 and
//! XEP-0166). After that they talk over QUIC, in an XML stream of their own (`line`, after
//! XEP-0174), and the server can neither read nor count what they say. docs/protocol.md is enough
//! to write another end.
//!
//! Read first: [`PrivateChats`] (what can be asked) and [`Happening`] (what is told). Introductions
//! and lines are sans-IO; `actor` is the one task that owns them and listens beside the session,
//! `chat` carries the bytes of one line, and `endpoint` opens the socket.
//!
//! Without the Cargo feature `iroh` nothing of this is built, and every call returns an error that
//! says so.

mod config;
mod events;

#[cfg(feature = "iroh")]
mod account;
#[cfg(feature = "iroh")]
mod actor;
#[cfg(feature = "iroh")]
mod chat;
#[cfg(feature = "iroh")]
mod chats;
#[cfg(feature = "iroh")]
mod device;
#[cfg(feature = "iroh")]
mod endpoint;
#[cfg(feature = "iroh")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "iroh")]
mod introduction;
#[cfg(feature = "iroh")]
mod jingle;
#[cfg(feature = "iroh")]
mod key;
#[cfg(feature = "iroh")]
mod line;
#[cfg(feature = "iroh")]
mod note;
#[cfg(feature = "iroh")]
mod order;
#[cfg(feature = "iroh")]
mod private;
#[cfg(feature = "iroh")]
mod rendezvous;
#[cfg(feature = "iroh")]
mod signals;

#[cfg(not(feature = "iroh"))]
#[path = "absent.rs"]
mod private;

pub use config::{Config, Relaying};
pub use events::{Asked, Closing, Failure, Fingerprint, Happening, Path, Refused, Stopped};
pub use private::{NAMESPACES, PrivateChats};
