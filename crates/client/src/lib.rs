//! The other end as a library: a session, requests with answers, events, reconnection.
//!
//! The interfaces above handle what a person sees and types; `whoelse-stream` below handles the
//! bytes until a session is open. Read first: [`Client`] (what can be asked of a session) and
//! [`Event`] (what it reports). [`Link`] is for short errands over an existing connection.
//!
//! One task owns the connection and the session (`actor`). The session itself (`session`) is
//! sans-IO and outlives its connections.

mod actor;
pub mod admin;
mod answer;
mod backoff;
pub mod blocking;
mod client;
pub mod commands;
mod config;
mod connect;
pub mod devices;
pub mod disco;
pub mod dns;
mod ending;
mod entry;
mod error;
mod events;
mod faults;
pub mod history;
mod kit;
mod link;
mod login;
pub mod message;
mod nested;
mod order;
mod outlets;
pub mod password;
mod pins;
mod presence;
mod proof;
mod reached;
mod refusal;
mod register;
mod remembered;
mod renamed;
mod request;
pub mod rooms;
pub mod roster;
mod route;
mod session;
pub mod state;
mod stranger;
mod subscription;
mod table;
mod teller;
pub mod tls;
mod wire;

pub use client::{Client, Domain, Events};
pub use config::{Begin, Config};
pub use error::{
    ConnectError, LoginError, NotSent, PasswordError, RegisterError, RequestError, SendError,
    Stranger,
};
pub use events::{Ending, Event, Message};
pub use kit::{Heard, Kit, Listener, ListenerId, Mark};
pub use link::{Credentials, Link};
pub use pins::Fingerprint;
pub use reached::{Reached, SameServer};
pub use refusal::Refusal;
pub use register::Probe;
pub use request::{Answer, Ask, Request};
pub use subscription::SubscriptionType;
pub use teller::Teller;
pub use whoelse_stream::{Password, token};
