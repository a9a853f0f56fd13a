//! Worlds in which scenes are played: a server, a clock, and ways to connect.

pub mod memory;
mod settings;
pub mod sockets;

pub use settings::settings;

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use crate::line::Line;
use crate::scene::{ClockSet, PASSWORD, Scene, Server, Way};
use whoelse_core::Node;
use whoelse_store::StoredVerifier;
use whoelse_stream::Password;
use whoelse_stream::scram::{Hash, ITERATIONS, Verifier};

/// Which world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The server's connection driver over pipes, with a clock that the scene moves.
    Memory,
    /// The same, whose clients connect over WebSockets (RFC 7395).
    WebSocket,
    /// The same, whose clients ask over BOSH (XEP-0206).
    Bosh,
    /// The first over a PostgreSQL for tests.
    MemoryOnPostgres,
    /// A whole server on sockets, with TLS and the system's clock.
    Sockets,
}

/// A world for one scene.
pub(crate) trait World {
    /// Connects to the server. `injected` is what an attacker in between adds in clear after the
    /// request for TLS.
    fn connect(&mut self, way: Way, from: Option<IpAddr>, injected: &str) -> Result<Line, String>;

    /// Asks for a path as a browser would, and returns the whole answer.
    fn fetch(&mut self, path: &str) -> Result<String, String>;

    /// Waits until the server has done everything that needs no input and no time.
    fn settle(&mut self);

    /// Waits until a connection has something new. Returns `false` if that cannot happen or took
    /// too long.
    fn wait_for(&mut self, line: &Line) -> bool;

    /// Returns whether [`World::settle`] waits for everything that the server does by itself.
    fn is_exact(&self) -> bool;

    /// Moves the clock, calling `meanwhile` whenever something may have happened.
    fn pass(
        &mut self,
        time: Duration,
        meanwhile: &mut dyn FnMut(&mut dyn World),
    ) -> Result<(), String>;

    /// Sets the wall clock.
    fn set_clock(&mut self, set: ClockSet) -> Result<(), String>;

    /// Stops or starts the server over the same store.
    fn server(&mut self, what: Server) -> Result<(), String>;
}

/// Makes the world a scene asks for.
pub(crate) fn make(kind: Kind, scene: &Scene) -> Result<Box<dyn World>, String> {
    Ok(match kind {
        Kind::Memory => Box::new(memory::Memory::new(scene)?),
        Kind::Bosh => Box::new(memory::Memory::over_bosh(scene)?),
        Kind::WebSocket => Box::new(memory::Memory::over_websockets(scene)?),
        Kind::MemoryOnPostgres => Box::new(memory::Memory::on_postgres(scene)?),
        Kind::Sockets => Box::new(sockets::Sockets::new(scene)?),
    })
}

/// The verifiers of [`PASSWORD`], made once for all actors.
static VERIFIERS: LazyLock<Option<Vec<StoredVerifier>>> = LazyLock::new(|| {
    let password = Password::new(PASSWORD).ok()?;
    let verifiers = Hash::ALL.map(|hash| {
        let verifier = Verifier::derive(hash, &password, b"salt of a scene", ITERATIONS);
        StoredVerifier {
            mechanism: hash.mechanism().to_owned(),
            salt: verifier.salt,
            iterations: ITERATIONS.get().into(),
            stored_key: verifier.stored_key,
            server_key: verifier.server_key,
        }
    });
    Some(Vec::from(verifiers))
});

/// Makes the accounts of a scene.
async fn make_accounts(node: &Node, names: &[String]) -> Result<(), String> {
    let verifiers = VERIFIERS.as_ref().ok_or("the password of scenes is none")?;
    let made = async {
        let mut tx = node.store.begin().await?;
        for name in names {
            tx.create_account(node.domain().id, name, verifiers, node.clock.now().0).await?;
        }
        tx.commit().await
    };
    made.await.map_err(|error| error.to_string())
}
