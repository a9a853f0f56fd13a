//! Scenes, and the worlds they are played in; only tests use it.
//!
//! A scene is a conversation as text (`scenes/README.md`): who sends what, and who receives what.
//! It is played in memory, over the server's own connection driver with a clock that the scene
//! moves ([`world::memory`]), and again over sockets with TLS ([`world::sockets`]). This crate
//! only tests; the server and the client are in other crates. Read first: [`scene::Scene`] and
//! [`play::play`].

mod actor;
mod bosh;
pub mod faults;
mod line;
pub mod pattern;
pub mod play;
pub mod reference;
pub mod scene;
pub mod signatures;
mod tokens;
pub mod tree;
mod websocket;
pub mod world;
pub mod xeps;
