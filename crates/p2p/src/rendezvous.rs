//! Connects two ends that know each other's transport: this device joins the network, one end
//! dials, and the other accepts whoever proves the named key.

use std::collections::HashMap;

use iroh::endpoint::Connection;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use whoelse_client::Client;
use whoelse_xmpp::BareJid;

use crate::config::Relaying;
use crate::endpoint::{MAX_HANDSHAKES, NOT_INTRODUCED, Net, Plan, key_of};
use crate::jingle::Transport;
use crate::key::Key;
use crate::note::{Note, Wanted};

/// This device on the network, and the connections being made.
pub(crate) struct Rendezvous {
    client: Client,
    relaying: Relaying,
    notes: mpsc::Sender<Note>,
    incoming: mpsc::Sender<Connection>,
    net: Option<Net>,
    /// Introductions that wait for the addresses of this device.
    gathering: Vec<(BareJid, String)>,
    /// Keys that are expected, with their lines.
    expected: HashMap<Key, Wanted>,
    dialling: HashMap<Wanted, AbortHandle>,
}

impl Rendezvous {
    /// Also returns the channel of incoming connections that have proved a key.
    pub(crate) fn new(
        client: Client,
        relaying: Relaying,
        notes: mpsc::Sender<Note>,
    ) -> (Rendezvous, mpsc::Receiver<Connection>) {
        let (incoming, comes) = mpsc::channel(MAX_HANDSHAKES);
        let rendezvous = Rendezvous {
            client,
            relaying,
            notes,
            incoming,
            net: None,
            gathering: Vec::new(),
            expected: HashMap::new(),
            dialling: HashMap::new(),
        };
        (rendezvous, comes)
    }

    /// Finds out the addresses of this device, with its secret key; a [`Note::Here`] reports them.
    pub(crate) fn gather(&mut self, whom: BareJid, sid: String, secret: [u8; 32]) {
        self.gathering.push((whom, sid.clone()));
        if self.gathering.len() > 1 {
            return;
        }
        let (client, relaying) = (self.client.clone(), self.relaying);
        let plan = Plan { client, secret, relaying, sid, incoming: self.incoming.clone() };
        let (net, noted) = (self.net.clone(), self.notes.clone());
        tokio::spawn(async move {
            let here = match net {
                Some(net) => net.refresh(plan).await,
                None => Net::open(plan).await,
            };
            let _ = noted.send(Note::Here(here)).await;
        });
    }

    pub(crate) fn is_gathering(&self) -> bool {
        !self.gathering.is_empty()
    }

    /// Takes note that this device is on the network, or cannot be. Returns the introductions that
    /// wait for it.
    pub(crate) fn handle_here(&mut self, here: Option<&Net>) -> Vec<(BareJid, String)> {
        self.net = here.cloned();
        std::mem::take(&mut self.gathering)
    }

    /// Makes a connection to a known transport: dials, or expects to be dialled. Returns whether
    /// that is possible. A key is expected for one line at a time, so naming the key of somebody
    /// else takes no line away from them.
    pub(crate) fn connect(
        &mut self,
        whom: BareJid,
        sid: String,
        initiator: bool,
        theirs: Transport,
    ) -> bool {
        let direct = self.relaying != Relaying::Only && !theirs.addresses.is_empty();
        let wanted = Wanted { whom, sid, direct };
        if !initiator {
            let taken = self.expected.get(&theirs.key).is_some_and(|it| it.whom != wanted.whom);
            if !taken {
                self.expected.insert(theirs.key, wanted);
            }
            return !taken;
        }
        let Some(net) = self.net.clone() else { return true };
        let (noted, of) = (self.notes.clone(), wanted.clone());
        let dialling = tokio::spawn(async move {
            let connection = net.dial(&theirs).await;
            let _ = noted.send(Note::Dialled { wanted, connection }).await;
        });
        self.dialling.insert(of, dialling.abort_handle());
        true
    }

    /// Takes note that dialling has ended, with any result.
    pub(crate) fn handle_dialled(&mut self, wanted: &Wanted) {
        self.dialling.remove(wanted);
    }

    /// Returns the line for which a device has dialled this one; nobody else is admitted.
    pub(crate) fn admit(&mut self, connection: Connection) -> Option<(Wanted, Connection)> {
        match self.expected.remove(&key_of(&connection)) {
            Some(wanted) => Some((wanted, connection)),
            None => {
                connection.close(NOT_INTRODUCED, b"not introduced");
                None
            }
        }
    }

    /// Drops what belongs to finished introductions.
    pub(crate) fn clear(&mut self, connecting: impl Fn(&BareJid, &str) -> bool) {
        self.expected.retain(|_, it| connecting(&it.whom, &it.sid));
        self.dialling.retain(|it, task| {
            let keep = connecting(&it.whom, &it.sid);
            if !keep {
                task.abort();
            }
            keep
        });
    }

    /// Leaves the network, since nothing needs it any more.
    pub(crate) fn leave(&mut self) {
        if self.gathering.is_empty()
            && let Some(net) = self.net.take()
        {
            tokio::spawn(net.close());
        }
    }

    /// Leaves the network at the end of the program, and waits for it.
    pub(crate) async fn close(self) {
        if let Some(net) = self.net {
            net.close().await;
        }
    }
}
