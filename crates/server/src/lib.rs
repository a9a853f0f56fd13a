//! The edges: sockets, TLS, configuration, the admin socket, shutdown: a running server as a
//! library.
//!
//! The crate `stream` decides what is said on a stream, `core` and `features` what it means. The
//! program `whoelse` around it has the command line and the log. Read first: [`Server`] (started
//! from a [`Config`], stopped gracefully) and [`ingress::Connections`] (which drives a connection,
//! over a socket or over a pipe in memory).

pub mod admin;
pub mod audit;
mod byte_stream;
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
mod start_error;
pub mod synchronised;
pub mod tls;
mod web;

pub use config::Config;
pub use liveness::{Liveness, Watch};
pub use reload::{ChangeLog, Reloaded, Reloader};
pub use server::Server;
pub use start_error::StartError;
