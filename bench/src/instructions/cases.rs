//! The work that is counted: our own crates, in memory, without sockets or TLS.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use whoelse_core::network::Network;
use whoelse_core::principal::{Principal, Rights};
use whoelse_core::route::{self, Routed};
use whoelse_core::sessions::Hold;
use whoelse_core::settings::{Sessions, Settings};
use whoelse_core::{Clock, Node, Time};
use whoelse_server::ingress::{Connections, Ingress, Peer};
use whoelse_store::{Location, Store};
use whoelse_stream::{Output, Password};
use whoelse_xmpp::scanner::{Frame, Limits, Scanner};
use whoelse_xmpp::{BareJid, Stanza, ns};

use crate::Failed;
use crate::load::client::{self, PASSWORD};
use crate::load::message;

/// Who hears of a presence.
const CROWD: usize = 100;
/// Taken at once by a connection.
const BATCH: u64 = 16;

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Case {
    /// The scanner.
    Scan,
    /// The router, to a queue and out of it.
    Route,
    /// Presence to everybody.
    Presence,
    /// The keeper, one message at a time.
    Keep1,
    /// Ten.
    Keep10,
    /// A hundred.
    Keep100,
    /// SCRAM and bind.
    Login,
}

impl Case {
    /// All.
    pub const ALL: [Case; 7] = [
        Case::Scan,
        Case::Route,
        Case::Presence,
        Case::Keep1,
        Case::Keep10,
        Case::Keep100,
        Case::Login,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Case::Scan => "scan",
            Case::Route => "route",
            Case::Presence => "presence",
            Case::Keep1 => "keep1",
            Case::Keep10 => "keep10",
            Case::Keep100 => "keep100",
            Case::Login => "login",
        }
    }

    /// What one unit of it is.
    pub fn what(self) -> &'static str {
        match self {
            Case::Scan => "a message of 350 bytes found and understood",
            Case::Route => "a message through the router into a queue, and written from it",
            Case::Presence => "a presence to one of a hundred, and written for him",
            Case::Keep1 => "a message stored and delivered, one in a transaction",
            Case::Keep10 => "a message stored and delivered, ten in a transaction",
            Case::Keep100 => "a message stored and delivered, a hundred in a transaction",
            Case::Login => "a stream, SCRAM-SHA-1, bind, and its end; both ends, over a pipe",
        }
    }

    /// How often it is done, at least.
    pub fn times(self) -> u64 {
        match self {
            Case::Scan | Case::Route => 2000,
            Case::Presence | Case::Keep1 => 100,
            Case::Keep10 | Case::Login => 50,
            Case::Keep100 => 10,
        }
    }

    /// Units each time.
    pub fn units(self) -> u64 {
        match self {
            Case::Presence => CROWD as u64,
            Case::Keep10 => 10,
            Case::Keep100 => 100,
            Case::Scan | Case::Route | Case::Keep1 | Case::Login => 1,
        }
    }
}

/// Does it so many times.
pub fn run(case: Case, times: u64) -> Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match case {
            Case::Scan => scan(times),
            Case::Route => route(times).await,
            Case::Presence => presence(times).await,
            Case::Keep1 => keep(times, 1).await,
            Case::Keep10 => keep(times, 10).await,
            Case::Keep100 => keep(times, 100).await,
            Case::Login => login(times).await,
        }
    })
}

fn scan(times: u64) -> Result<(), Failed> {
    let mut scanner = Scanner::new(ns::CLIENT, Limits::AFTER_LOGIN);
    scanner.push(b"<stream:stream xmlns='jabber:client' version='1.0' to='localhost' xmlns:stream='http://etherx.jabber.org/streams'>");
    scanner.next().map_err(|error| format!("{error:?}"))?;
    let message = message(1, 0);
    for _ in 0..times {
        scanner.push(&message);
        match scanner.next() {
            Ok(Some(Frame::Element(_))) => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok(())
}

async fn route(times: u64) -> Result<(), Failed> {
    let world = World::new(2, false).await?;
    let [from, to] = [world.online(0).await?, world.online(1).await?];
    let stanza = Stanza::parse(message(1, 0).trim_ascii_end().to_vec());
    let stanza = stanza.map_err(|error| format!("{error:?}"))?;
    let mut written = 0;
    for time in 1..=times {
        world.handle(&from, stanza.clone()).await?;
        if time % BATCH == 0 {
            written += world.written(&to)?;
        }
    }
    enough(written, times / BATCH * BATCH * 300)
}

async fn presence(times: u64) -> Result<(), Failed> {
    let world = World::new(CROWD, false).await?;
    let mut all = Vec::new();
    for account in 0..CROWD {
        all.push(world.online(account).await?);
    }
    let first = all.first().cloned().ok_or("nobody is there")?;
    let stanza = Stanza::parse("<presence><show>away</show></presence>");
    let stanza = stanza.map_err(|error| format!("{error:?}"))?;
    let mut written = 0;
    for _ in 0..times {
        // So that there is always room in the budget for it.
        world.node.clock.advance_to(world.node.clock.steady().after(Duration::from_secs(1)));
        world.handle(&first, stanza.clone()).await?;
        for one in &all {
            written += world.written(one)?;
        }
    }
    enough(written, times * CROWD as u64 * 40)
}

async fn keep(times: u64, together: u64) -> Result<(), Failed> {
    let world = World::new(2, true).await?;
    let [from, to] = [world.online(0).await?, world.online(1).await?];
    let stanza = Stanza::parse(message(1, 0).trim_ascii_end().to_vec());
    let stanza = stanza.map_err(|error| format!("{error:?}"))?;
    let mut written = 0;
    for _ in 0..times {
        for _ in 0..together {
            world.handle(&from, stanza.clone()).await?;
        }
        world.node.keeper.caught_up().await;
        written += world.written(&to)?;
    }
    enough(written, times * together * 300)
}

async fn login(times: u64) -> Result<(), Failed> {
    let world = World::new(1, false).await?;
    let connections = Connections::new(world.node.clone(), None);
    let mut keys = None;
    for _ in 0..times {
        let (mut near, far) = tokio::io::duplex(16 << 10);
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let peer = Peer { network: Network::of(address), address: address.to_string() };
        connections.welcome(far, Ingress::Pipe, peer);
        keys = Some(client::begin_session(&mut near, 0, 0, keys).await?);
        near.write_all(b"</stream:stream>").await?;
        near.read_to_end(&mut Vec::new()).await?;
    }
    Ok(())
}

/// The address of an account.
fn address(account: usize) -> Result<BareJid, Failed> {
    Ok(BareJid::new(Some(&client::name(account)), "localhost")?)
}

/// A node with accounts, in memory, at a time that stands still.
struct World {
    node: Arc<Node>,
}

impl World {
    async fn new(accounts: usize, history: bool) -> Result<World, Failed> {
        let store = Store::open(&Location::Memory).await?;
        let mut settings = Settings { sessions: Sessions::Many, ..Settings::default() };
        if !history {
            settings.history = None;
        }
        let clock = Clock::manual(Time(1_800_000_000_000_000));
        let features = whoelse_features::ALL;
        let node = Node::start(settings, clock, store, features, Some("localhost")).await?;
        for account in 0..accounts {
            let password = Password::new(PASSWORD).map_err(|error| error.to_string())?;
            let made = node.create_account(&address(account)?, password).await;
            made.map_err(|error| format!("{error:?}"))?;
        }
        Ok(World { node })
    }

    /// A session that is available and has read what was waiting.
    async fn online(&self, account: usize) -> Result<Hold, Failed> {
        let account = self.node.account(&address(account)?).await?;
        let account = account.ok_or("no such account")?;
        let principal = Principal::of(&account, Rights::Own);
        let hold = self.node.bind(&principal, Some("s0")).await;
        let hold = hold.map_err(|error| format!("{error:?}"))?;
        let stanza = Stanza::parse("<presence/>").map_err(|error| format!("{error:?}"))?;
        self.handle(&hold, stanza).await?;
        self.written(&hold)?;
        self.node.read_log(&hold.session).await;
        self.written(&hold)?;
        Ok(hold)
    }

    async fn handle(&self, hold: &Hold, stanza: Stanza) -> Result<(), Failed> {
        match route::handle(&self.node, hold, stanza, None) {
            Routed::Done => Ok(()),
            Routed::Waits(rest) => {
                rest.await;
                Ok(())
            }
            Routed::End(_) | Routed::Superseded => Err("the session has ended".into()),
        }
    }

    /// Takes what is queued, as a connection does; how many bytes that is.
    fn written(&self, hold: &Hold) -> Result<u64, Failed> {
        let mut out = Output::default();
        let limits = &self.node.settings().limits;
        let taken =
            hold.session.take(hold.epoch, self.node.clock.steady(), limits, &mut out, 64 << 10);
        taken.map_err(|_| "the session has ended")?;
        let seq = hold.session.flushed(hold.epoch).map_err(|_| "the session has ended")?;
        self.node.confirm(&hold.session, seq);
        Ok(out.len() as u64)
    }
}

/// What was counted must have been done.
fn enough(written: u64, least: u64) -> Result<(), Failed> {
    if written >= least { Ok(()) } else { Err(format!("{written} bytes, not {least}").into()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_case_does_what_it_counts() {
        for case in Case::ALL {
            run(case, BATCH).unwrap();
        }
    }
}
