//! The edges: sockets, TLS, configuration, the admin socket, shutdown: a running server as a
//! library.
//!
//! What a stream says is the crate `stream`'s, what it means `core`'s and `features`'; the program
//! around it, with its command line and its log, is `whoelse`. Read first: [`Server`] (started
//! from a [`Config`], stopped gracefully) and [`ingress::Connections`] (what drives a
//! connection, over a socket or over a pipe in memory).

pub mod admin;
pub mod audit;
pub mod config;
pub mod credentials;
pub mod data_dir;
mod health;
pub mod ingress;
mod liveness;
pub mod maintenance;
pub mod metrics;
mod precheck;
mod process;
#[cfg(feature = "relay")]
mod relay;
mod reload;
mod renewal;
mod server;
pub mod synchronised;
pub mod tls;
mod web;

pub use config::Config;
pub use liveness::{Liveness, Watch};
pub use reload::{ChangeLog, Reloaded, Reloader};
pub use server::{Server, StartError};
