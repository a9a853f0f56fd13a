//! Private chats in a program that was built without them: every wish is answered so.

use whoelse_client::{Client, Events};
use whoelse_xmpp::BareJid;

use crate::config::Config;
use crate::events::{Asked, Fingerprint, Refused, Stopped, Told};

/// What the session has to be asked to pass on.
pub const EXTENSIONS: &[&str] = &[];

/// The handle.
#[derive(Debug, Clone)]
pub struct PrivateChats(());

/// What a face hears.
#[derive(Debug)]
pub struct ToldEvents(Events);

impl ToldEvents {
    /// The next one; `None` when the session's task has ended.
    pub async fn next(&mut self) -> Option<Told> {
        self.0.next().await.map(Told::Session)
    }
}

impl PrivateChats {
    /// Stands between a session and its face.
    pub fn start(_: Client, events: Events, _: Config) -> (PrivateChats, ToldEvents) {
        (PrivateChats(()), ToldEvents(events))
    }

    /// Asks somebody.
    pub async fn ask(&self, _: &BareJid) -> Result<Asked, Refused> {
        Err(Refused::NotBuilt)
    }

    /// Says yes to somebody.
    pub async fn accept(&self, _: &BareJid) -> Result<(), Refused> {
        Err(Refused::NotBuilt)
    }

    /// Says no to somebody.
    pub async fn decline(&self, _: &BareJid) -> Result<(), Refused> {
        Err(Refused::NotBuilt)
    }

    /// Sends a message over a line.
    pub async fn send(&self, _: &BareJid, _: &str, _: String) -> Result<(), Refused> {
        Err(Refused::NotBuilt)
    }

    /// Closes a line.
    pub async fn stop(&self, _: &BareJid) -> Result<Stopped, Refused> {
        Err(Refused::NotBuilt)
    }

    /// The devices of somebody.
    pub async fn fingerprints(&self, _: &BareJid) -> Result<Vec<Fingerprint>, Refused> {
        Err(Refused::NotBuilt)
    }

    /// Accepts the changed keys of somebody.
    pub async fn trust(&self, _: &BareJid) -> Result<(), Refused> {
        Err(Refused::NotBuilt)
    }

    /// Closes every line.
    pub async fn close(&self) -> bool {
        false
    }
}
