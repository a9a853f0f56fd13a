//! A world in memory: the server's own connection driver over pipes, and a clock that only the
//! scene moves.
//!
//! Everything runs on one thread, so the world knows that nothing more will happen and does not
//! guess it by waiting. When the rules are idle and every task has had several turns, all tasks
//! wait for bytes or for the clock.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::World;
use crate::line::Line;
use crate::scene::{ClockSet, Scene, Server, Way};
use whoelse_core::network::Network;
use whoelse_core::settings::Settings;
use whoelse_core::{Clock, Node, Time};
use whoelse_features::relay::{self, Offer, Private, Relay, Relaying, Usage};
use whoelse_server::ingress::{Connections, Ingress, Peer};
use whoelse_store::scratch::Scratch;
use whoelse_store::{Location, RosterRow, Store};
use whoelse_stream::ChannelBindings;

/// 2026-01-01T00:00:00Z, when every scene begins.
const BEGIN: Time = Time(1_767_225_600_000_000);
/// Bytes that a pipe holds in each direction; then its writer waits, as with a socket.
const PIPE: usize = 64 << 10;
/// Turns of the runtime before the world counts as quiet. In one turn run all tasks that are ready
/// and those that they wake, up to 61; only a task that yields comes after the next one.
const TURNS: usize = 10;
/// The same over BOSH, where a session's answers go through several tasks one by one.
const TURNS_OF_BOSH: usize = 200;
/// Seconds within which everybody must be gone at shutdown.
const FAREWELL: usize = 5;

/// The world.
pub struct Memory {
    clock: Clock,
    settings: Settings,
    place: Location,
    store: Store,
    connections: Arc<Connections>,
    /// Dropped after the fields above, which run on it.
    runtime: Runtime,
    /// How clients connect that would over TLS.
    usual: Way,
    /// Only for scenes that kill the server; otherwise the store is temporary.
    folder: Option<TempDir>,
    schema: Option<Scratch>,
}

fn start(
    runtime: &Runtime,
    settings: &Settings,
    clock: &Clock,
    store: &Store,
) -> Result<Arc<Connections>, String> {
    let node = Node::start(
        settings.clone(),
        clock.clone(),
        store.clone(),
        whoelse_features::ALL,
        Some("localhost"),
    );
    let node = runtime.block_on(node).map_err(|error| error.to_string())?;
    relay::embed(&node, Arc::new(Ports(settings.of::<Private>().relay)));
    Ok(Connections::new(node, None))
}

/// The relay that a server with sockets would offer to private chats.
struct Ports(Relaying);

impl Relay for Ports {
    fn offer(&self) -> Offer {
        let relay = (self.0 == Relaying::Auto).then_some(5222);
        Offer { relay, discovery: Some(5222) }
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }

    fn end(&self, _: i64) {}
}

fn open(runtime: &Runtime, place: &Location) -> Result<Store, String> {
    runtime.block_on(Store::open(place)).map_err(|error| error.to_string())
}

fn file_in(folder: &TempDir) -> Location {
    Location::Sqlite(folder.path().join("store.db"))
}

/// Copies the database's files.
fn what_is_on_disk(folder: &TempDir) -> std::io::Result<TempDir> {
    let copy = tempfile::tempdir()?;
    for name in ["store.db", "store.db-wal"] {
        let file = folder.path().join(name);
        if file.exists() {
            std::fs::copy(file, copy.path().join(name))?;
        }
    }
    Ok(copy)
}

/// Returns the clock of a scene. If the scene has its own beginning, the clock is not
/// synchronised.
fn clock_of(scene: &Scene) -> Clock {
    let clock = Clock::manual(scene.begins.unwrap_or(BEGIN));
    if let Some(begins) = scene.begins {
        clock.set_wall(begins);
    }
    clock
}

fn runtime() -> Result<Runtime, String> {
    Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())
}

impl Memory {
    /// Makes a world for a scene: a server with its settings and its accounts.
    pub fn new(scene: &Scene) -> Result<Memory, String> {
        let settings = super::settings(&scene.settings)?;
        Memory::lasting(settings, &scene.accounts, scene.needs_file(), clock_of(scene))
    }

    /// Makes the same with clients that connect over WebSockets.
    pub fn over_websockets(scene: &Scene) -> Result<Memory, String> {
        Ok(Memory { usual: Way::WebSocket, ..Memory::new(scene)? })
    }

    /// Makes the same with clients that ask over BOSH.
    pub fn over_bosh(scene: &Scene) -> Result<Memory, String> {
        Ok(Memory { usual: Way::Bosh, ..Memory::new(scene)? })
    }

    /// Makes one with these settings and accounts. `lasting`: it can crash, and its store is a
    /// file.
    pub(crate) fn with(
        settings: Settings,
        accounts: &[String],
        lasting: bool,
    ) -> Result<Memory, String> {
        Memory::lasting(settings, accounts, lasting, Clock::manual(BEGIN))
    }

    fn lasting(
        settings: Settings,
        accounts: &[String],
        lasting: bool,
        clock: Clock,
    ) -> Result<Memory, String> {
        let folder = match lasting {
            true => Some(tempfile::tempdir().map_err(|error| error.to_string())?),
            false => None,
        };
        let place = match &folder {
            Some(folder) => file_in(folder),
            None => Location::Memory,
        };
        Memory::over(settings, accounts, (place, folder, None), clock)
    }

    /// Makes the same over the PostgreSQL for tests.
    pub fn on_postgres(scene: &Scene) -> Result<Memory, String> {
        let schema = Scratch::new().ok_or("there is no PostgreSQL for tests")??;
        let settings = super::settings(&scene.settings)?;
        let place = (schema.place(), None, Some(schema));
        Memory::over(settings, &scene.accounts, place, clock_of(scene))
    }

    fn over(
        settings: Settings,
        accounts: &[String],
        (place, folder, schema): (Location, Option<TempDir>, Option<Scratch>),
        clock: Clock,
    ) -> Result<Memory, String> {
        let runtime = runtime()?;
        let store = open(&runtime, &place)?;
        let connections = start(&runtime, &settings, &clock, &store)?;
        runtime.block_on(super::make_accounts(connections.node(), accounts))?;
        let usual = Way::Encrypted;
        Ok(Memory { clock, settings, place, store, connections, usual, folder, schema, runtime })
    }

    /// Returns the present time.
    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Puts everybody into everybody's roster, behind the server's back: it knows of that once it is
    /// restarted.
    pub(crate) fn befriend(&self, names: &[String]) -> Result<(), String> {
        let befriend = async {
            let mut tx = self.store.begin().await?;
            let domain = tx.ensure_domain("localhost").await?;
            for (of, with) in names.iter().flat_map(|of| names.iter().map(move |with| (of, with))) {
                let account = tx.find_account(domain, of).await?.map(|account| account.id);
                let contact = format!("{with}@#{domain}");
                let row =
                    RosterRow { contact, listed: true, to: true, from: true, ..Default::default() };
                if let (Some(account), true) = (account, of != with) {
                    tx.write_roster_row(account, &row).await?;
                }
            }
            tx.commit().await
        };
        self.runtime.block_on(befriend).map_err(|error: whoelse_store::Error| error.to_string())
    }

    /// Returns the store, to plan faults in it.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Returns how many sessions there are, attached or not.
    pub(crate) fn sessions(&self) -> usize {
        self.connections.node().sessions().len()
    }

    fn turns(&self) -> usize {
        if self.usual == Way::Bosh { TURNS_OF_BOSH } else { TURNS }
    }

    fn stop(&mut self) {
        let inside = self.runtime.enter();
        self.connections.close();
        drop(inside);
        let (connections, clock) = (self.connections.clone(), self.clock.clone());
        let turns = self.turns();
        self.runtime.block_on(async {
            // A client that does not read is waited for as long as a real server would.
            for _ in 0..FAREWELL {
                quiet(&connections, turns).await;
                let gone = tokio::time::timeout(Duration::ZERO, connections.gone()).await;
                if gone.is_ok() {
                    break;
                }
                clock.advance_to(clock.steady().after(Duration::from_secs(1)));
            }
            connections.node().stop().await;
        });
    }
}

/// Waits until nothing happens any more.
async fn quiet(connections: &Connections, most: usize) {
    let mut turns = 0;
    while turns < most {
        tokio::task::yield_now().await;
        if connections.node().is_idle() {
            turns += 1;
        } else {
            // The store and the hashing have threads of their own.
            turns = 0;
            tokio::time::sleep(Duration::from_micros(100)).await;
        }
    }
}

impl World for Memory {
    fn connect(&mut self, way: Way, from: Option<IpAddr>, _: &str) -> Result<Line, String> {
        let (near, far) = tokio::io::duplex(PIPE);
        let from = from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let way = match way {
            Way::Encrypted | Way::Direct | Way::DirectAtStartTls => self.usual,
            other => other,
        };
        let (ingress, network) = match way {
            Way::WebSocket => (Ingress::Web, Network::of(from)),
            Way::Bosh => (Ingress::Bosh, Network::of(from)),
            Way::Encrypted | Way::Direct | Way::DirectAtStartTls => {
                (Ingress::Pipe, Network::of(from))
            }
            Way::Clear => (Ingress::StartTls, Network::of(from)),
            Way::Admin => (Ingress::Admin, Network::Local),
        };
        let peer = Peer { network, address: from.to_string() };
        let _inside = self.runtime.enter();
        if way == Way::Bosh {
            let connections = self.connections.clone();
            return Ok(Line::over_bosh(self.runtime.handle(), connections, peer));
        }
        self.connections.welcome(far, ingress, peer);
        let (runtime, none) = (self.runtime.handle(), ChannelBindings::default());
        Ok(match ingress {
            Ingress::Web => Line::over_websocket(runtime, near, none),
            _ => Line::new(runtime, near, none),
        })
    }

    fn fetch(&mut self, _: &str) -> Result<String, String> {
        Err("there is no HTTP in memory".to_owned())
    }

    fn settle(&mut self) {
        self.runtime.block_on(quiet(&self.connections, self.turns()));
    }

    fn wait_for(&mut self, _: &Line) -> bool {
        // Everything that needs no time has arrived by now.
        false
    }

    fn is_exact(&self) -> bool {
        true
    }

    fn pass(
        &mut self,
        time: Duration,
        meanwhile: &mut dyn FnMut(&mut dyn World),
    ) -> Result<(), String> {
        let end = self.clock.steady().after(time);
        loop {
            meanwhile(self);
            if !self.clock.advance_to(end) && self.clock.steady() >= end {
                meanwhile(self);
                return Ok(());
            }
        }
    }

    fn set_clock(&mut self, set: ClockSet) -> Result<(), String> {
        match set {
            ClockSet::Ahead(by) => self.clock.set_wall(self.clock.now().after(by)),
            ClockSet::Back(by) => self.clock.set_wall(self.clock.now().before(by)),
            ClockSet::Synchronised => self.clock.keep_wall(),
        }
        Ok(())
    }

    fn server(&mut self, what: Server) -> Result<(), String> {
        match what {
            Server::Stops => self.stop(),
            Server::Starts | Server::Restarts => {
                if what == Server::Restarts {
                    self.stop();
                }
                self.connections = start(&self.runtime, &self.settings, &self.clock, &self.store)?;
            }
            Server::Crashes => {
                // Drops every task, whatever it does, with all that it holds.
                let gone = std::mem::replace(&mut self.runtime, runtime()?);
                gone.shutdown_timeout(Duration::from_secs(1));
                // The next server begins with what is on the disk at this moment. The file itself
                // may still be locked by a transaction that nobody will end.
                if let Some(folder) = &self.folder {
                    let copy = what_is_on_disk(folder).map_err(|error| error.to_string())?;
                    self.place = file_in(&copy);
                    self.folder = Some(copy);
                }
                if let Some(schema) = &self.schema {
                    schema.end_connection()?;
                }
                self.store = open(&self.runtime, &self.place)?;
                self.connections = start(&self.runtime, &self.settings, &self.clock, &self.store)?;
            }
        }
        Ok(())
    }
}
