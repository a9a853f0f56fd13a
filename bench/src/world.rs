//! A node in memory with accounts and sessions, without sockets or TLS: for what is counted exactly.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::DuplexStream;
use whoelse_core::keeper::Touches;
use whoelse_core::network::Network;
use whoelse_core::principal::{Principal, Rights};
use whoelse_core::route::{self, Routed};
use whoelse_core::sessions::Hold;
use whoelse_core::settings::{Sessions, Settings};
use whoelse_core::{Clock, Node, Time};
use whoelse_server::ingress::{Connections, Ingress, Peer};
use whoelse_store::{Location, Store};
use whoelse_stream::{Output, Password};
use whoelse_xmpp::{BareJid, Stanza};

use crate::Failed;
use crate::load::client::{self, PASSWORD};

/// A node, at a time that stands still until it is told to pass.
pub struct World {
    /// The node.
    pub node: Arc<Node>,
    connections: Arc<Connections>,
}

impl World {
    /// Makes a node with these settings and so many accounts. Only the first has a password, since
    /// making one costs more than all that is counted.
    pub async fn new(accounts: usize, settings: Settings) -> Result<World, Failed> {
        let store = Store::open(&Location::Memory).await?;
        let settings = Settings { sessions: Sessions::Many, ..settings };
        let clock = Clock::manual(Time(1_800_000_000_000_000));
        let features = whoelse_features::ALL;
        let node = Node::start(settings, clock, store, features, Some("localhost")).await?;
        let password = Password::new(PASSWORD).map_err(|error| error.to_string())?;
        let made = node.create_account(&address(0)?, password).await;
        made.map_err(|error| format!("{error:?}"))?;
        let domain = node.domain().id;
        for account in 1..accounts {
            let made = node.keeper.change(Touches::All, move |tx| {
                Box::pin(async move {
                    let made = tx.create_account(domain, &client::name(account), &[], 0).await?;
                    Ok((made, Vec::new()))
                })
            });
            made.await?.ok_or("the account exists")?;
        }
        Ok(World { connections: Connections::new(node.clone(), None), node })
    }

    /// A session of an account that is available and has read what was waiting.
    pub async fn online(&self, account: usize) -> Result<Hold, Failed> {
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

    /// Handles a stanza of a session, as a connection does.
    pub async fn handle(&self, hold: &Hold, stanza: Stanza) -> Result<(), Failed> {
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
    pub fn written(&self, hold: &Hold) -> Result<u64, Failed> {
        let mut out = Output::default();
        let limits = &self.node.settings().limits;
        let taken =
            hold.session.take(hold.epoch, self.node.clock.steady(), limits, &mut out, 64 << 10);
        taken.map_err(|_| "the session has ended")?;
        let seq = hold.session.flushed(hold.epoch).map_err(|_| "the session has ended")?;
        self.node.confirm(&hold.session, seq);
        Ok(out.len() as u64)
    }

    /// Lets so much time pass: what was paid for comes back.
    pub fn pass(&self, time: Duration) {
        let until = self.node.clock.steady().after(time);
        while self.node.clock.advance_to(until) {}
    }

    /// Opens a connection to the node, and returns the client's end.
    pub fn connect(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(16 << 10);
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let peer = Peer { network: Network::of(address), address: address.to_string() };
        self.connections.welcome(far, Ingress::Pipe, peer);
        near
    }
}

/// The address of an account.
fn address(account: usize) -> Result<BareJid, Failed> {
    Ok(BareJid::new(Some(&client::name(account)), "localhost")?)
}
