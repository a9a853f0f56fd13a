//! The rules: accounts, sessions, the router, presence, limits, the keeper, and the kit by which
//! features are attached.
//!
//! This crate touches no socket: the crate `server` reads and writes bytes, the crate `stream`
//! holds the conversation up to an open session, the crate `store` keeps rows, and the crate
//! `features` has what the server can do beyond moving stanzas. Read first: [`session::Session`]
//! (one live login, which outlives its connection) and [`keeper::Keeper`] (through which everything
//! is changed that is remembered).

pub mod account;
mod account_life;
mod accounts;
mod administrators;
mod ahead_of_log;
mod archive_id;
mod asked;
pub mod audience;
pub mod audit;
mod bind_inline;
mod boxed_future;
mod by_type;
pub mod carbon_tap;
pub mod clock;
pub mod counters;
pub mod delivery;
pub mod devices;
mod growth;
mod hashing;
mod heartbeat;
mod held;
pub mod hosts;
mod housekeeping;
pub mod in_progress;
pub mod keeper;
pub mod kit;
mod known_networks;
pub mod lasting;
pub mod ledger;
pub mod login;
pub mod login_attempt;
pub mod login_throttle;
mod mailbox;
mod names;
pub mod network;
pub mod node;
mod online;
mod passwords;
pub mod paying;
pub mod presence;
pub mod principal;
pub mod question;
mod recent_logins;
mod removals;
mod rewriting;
mod rights;
pub mod roster;
pub mod route;
pub mod session;
mod session_list;
pub mod sessions;
pub mod settings;
pub mod slots;
pub mod start;
pub mod storage_policy;
mod to_the_end;
pub mod trust;
pub mod turns;
pub mod underway;
mod upgrades;
mod verifiers;
mod waiting_alone;
mod watch;
mod who_gets;

pub use clock::{Clock, Moment, Steady, Time};
pub use node::Node;
